//! The guide as documentation tests: a module for each page of `docs/guide`, which `build.rs` makes. Empty for everybody else.

#[cfg(doctest)]
include!(concat!(env!("OUT_DIR"), "/guide.rs"));
