//! What a background scrub has read and found: the same words for every engine that has one.

use crate::time::Timestamp;

/// How a journal's scrub stands. The counters only grow while the journal is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// A pass is under way.
    pub running: bool,
    /// Whole passes.
    pub passes: u64,
    /// Bytes read, over all passes.
    pub bytes_read: u64,
    /// Segments read, over all passes.
    pub segments_read: u64,
    /// Segments of the pass under way, or of the last one, that were read, and how many it has.
    pub progress: (u64, u64),
    /// When the last pass ended.
    pub ended: Option<Timestamp>,
    /// What is damaged at rest, in words, in the order of the log; reads of what is whole go on.
    pub damage: Vec<String>,
    /// Sealed segments whose root is kept, and how many sealed segments there are.
    pub roots: (u64, u64),
    /// Sealed segments that are packed, and the bytes that this spares.
    pub packed: (u64, u64),
    /// Why the last segment that was to be packed was not, in words; it stays as it is, and the next pass tries again.
    pub not_packed: Option<String>,
}
