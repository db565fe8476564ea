//! What users meet, from the outside: the derives, the erased contract, given/when/then and the messages of the compiler.

// Helpers of tests may unwrap as tests may.
#![allow(clippy::unwrap_used)]

extern crate headwater_component as headwater;

#[path = "component/bodies.rs"]
mod bodies;
#[path = "component/compile_fail.rs"]
mod compile_fail;
#[path = "component/design.rs"]
mod design;
#[path = "component/events.rs"]
mod events;
#[path = "component/given.rs"]
mod given;
#[path = "component/operations.rs"]
mod operations;
#[path = "component/personal.rs"]
mod personal;
#[path = "component/rules.rs"]
mod rules;
#[path = "component/topics.rs"]
mod topics;
#[path = "component/values.rs"]
mod values;
#[path = "component/versions.rs"]
mod versions;
