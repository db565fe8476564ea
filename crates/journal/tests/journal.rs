//! The journal's integration tests, in one binary: the contract suite and the differential test against every engine, and proofs that
//! both can fail.

#[path = "journal/broken.rs"]
mod broken;
#[path = "journal/engines.rs"]
mod engines;
#[path = "journal/suite.rs"]
mod suite;
