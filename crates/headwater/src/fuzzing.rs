//! The door to this room's decoder, for the fuzz target in `fuzz/`; the journal's are in `journal::embedded::fuzzing`.

use journal::Lineage;
use journal::embedded::ImportedCommit;

/// An export: the history and the position that its header names, and its commits up to the first line that is refused.
#[must_use]
pub fn export(input: &[u8]) -> Option<(Lineage, u64, Vec<ImportedCommit>)> {
    crate::export::commits(input)
}
