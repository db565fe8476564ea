//! The engine's tests against a real server, in one binary: the contract suite and the differential test, long reads, what nodes see of each
//! other, servers that are killed, and what the tables of shared views hold to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod histories;
mod killed;
mod lookups;
mod moved;
mod nodes;
mod pages;
mod plans;
mod proxy;
mod server;
mod stopped;
mod suite;
mod tail;
mod views;
