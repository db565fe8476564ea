//! The runtime over the model engine, with a gate between them that holds, fails and repeats appends on demand.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

extern crate headwater_runtime as runtime;
// The derives name `::headwater`, which is the crate that users add.
extern crate component as headwater;

mod bank;
mod gate;
mod rig;
mod store;

mod asynchronous;
mod bounds;
mod cache;
mod embedded;
mod erasure;
mod failures;
mod idempotence;
mod live;
mod operations;
mod races;
mod rules;
mod snapshots;
mod start;
mod travel;
mod truth;
mod views;
mod wrecks;
