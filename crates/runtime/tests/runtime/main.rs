//! The runtime over the model engine, with a gate between them that holds, fails and repeats appends on demand.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

extern crate headwater_runtime as runtime;

mod bank;
mod gate;
mod rig;

mod asynchronous;
mod bounds;
mod cache;
mod embedded;
mod failures;
mod idempotence;
mod operations;
mod races;
mod rules;
mod snapshots;
mod start;
mod travel;
mod truth;
