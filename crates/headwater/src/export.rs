//! The export: a whole journal as NDJSON, and back. ADR 0001 has the format.
//!
//! ```text
//! {"format":"headwater-export","version":1,"lineage":..,"parents":[..],"family_key":..,"head":"<cursor>"}
//! {"commit":"<uuid>","time":"<RFC 3339>","commands":[{..,"events":[{..,"payload":<JSON>}]}]}      one a commit, in order
//! ```
//!
//! An import fills a directory beside the target (`DIR.importing`) and renames it when the last commit is in: a service never
//! starts on half of an import. It may be run again: what is there already is recognised by its command ids and skipped.
//! `head` tells how many events there must be, so that a file that was cut short is refused.

mod base64;
mod read;
mod text;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

/// What an export wrote.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
}

/// What an import found and added.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    pub(crate) skipped: u64,
}
