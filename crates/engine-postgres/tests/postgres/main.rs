//! The engine's tests against a real server, in one binary: the contract suite and the differential test, long reads, what nodes see of each
//! other, and servers that are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod histories;
mod killed;
mod nodes;
mod pages;
mod proxy;
mod server;
mod stopped;
mod suite;
mod tail;
