//! The gateway over a real socket: a small service, mostly on the model engine (or the one that `engine` is told of), asked through the gateway's own client and through
//! raw bytes.

// A test that fails says where; a longer message would say nothing more.
#![allow(clippy::unwrap_used)]

// The derives name `::headwater`, the crate that users add; here its component part stands for it.
extern crate component as headwater;
extern crate headwater_gateway as gateway;

mod bad_input;
mod batches;
mod bounds;
mod commands;
mod consumers;
mod cuts;
mod described;
mod destinations;
mod engine;
mod failures;
mod later;
mod pages;
mod processors;
mod public;
mod pulls;
mod reads;
mod shop;
mod stalled;
mod stopping;
mod streams;
mod timers;
mod topics;
mod views;
mod websockets;
mod workflows;
