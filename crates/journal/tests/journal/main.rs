//! The journal's integration tests, in one binary: the contract suite and the differential test against every engine, and proofs that
//! both can fail.

mod broken;
mod crashes;
mod damage;
mod engines;
mod fixture;
mod full;
mod suite;
