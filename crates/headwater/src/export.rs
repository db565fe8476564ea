//! The export: a whole journal as NDJSON, and back. ADR 0001 has the format.
//!
//! ```text
//! {"format":"headwater-export","version":1,"lineage":..,"parents":[..],"family_key":..,"head":"<cursor>"}
//! {"commit":"<uuid>","time":"<RFC 3339>","position":1,"commands":[{..,"events":[{..,"payload":<JSON>}]}]}      one a commit, in order
//! {"gone":{"first":2,"last":5,"leaves":["<hex>",..],"commands":[{..}]}}                       what compaction has left of events (ADR 15)
//! {"gap":{"first":2,"last":5,"resume":"<cursor>","place":".."}}                                where damage was skipped (ADR 4)
//! ```
//!
//! An import fills a directory beside the target (`DIR.importing`) and renames it when the last commit is in: a service never
//! starts on half of an import. A run that was ended, however it was, is gone on with by the next one with the same export. A directory that has data is never added to: it is compared, commit by
//! commit, and is either what the export says or the import is refused. `position` is that of the commit's first event, and
//! `head` that of the last of all: a line that is missing, repeated or not in its place is refused. So is an export with gaps.

mod ahead;
pub(crate) mod base64;
mod parse;
pub(crate) mod place;
mod read;
mod text;
mod write;

pub(crate) use read::{Step, read};
pub(crate) use text::{commit_id, hex, time};
pub(crate) use write::write;

/// What lines say, as far as an import would take them: for the fuzz target.
#[cfg(feature = "testkit")]
pub(crate) fn parts(source: &[u8]) -> Option<(journal::Lineage, u64, Vec<journal::embedded::ImportedPart>)> {
    let mut lines = parse::Lines::new(source);
    let (lineage, head) = lines.header().ok()?;
    let parts = std::iter::from_fn(|| lines.part().ok().flatten()).map(|parsed| parsed.part).collect();
    Some((lineage, head.position(), parts))
}

/// What an export wrote.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    /// Events that compaction has dropped, of which only what remains was written.
    pub(crate) gone: u64,
    /// Places where events are missing.
    pub(crate) gaps: u64,
}

/// What an import found (`skipped` commits) and added.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    /// Events that are gone, as the export says.
    pub(crate) gone: u64,
    pub(crate) skipped: u64,
}
