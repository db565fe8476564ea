//! The journal's integration tests, in one binary: the contract suite and the differential test against every engine, and proofs that
//! both can fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod backup;
mod backup_kills;
mod broken;
mod bulk;
mod closing;
mod compacted;
mod compacted_lacks;
mod crashes;
mod damage;
mod engines;
mod fixture;
mod flips;
mod found;
mod full;
mod machine;
mod packed;
mod panics;
mod planted;
mod salvage;
mod sim;
mod size;
mod stalled;
mod suite;
mod tamper;
