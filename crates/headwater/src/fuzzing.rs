//! The door to this room's decoder, for the fuzz target in `fuzz/`; the journal's are in `journal::embedded::fuzzing`.

use journal::Lineage;
use journal::embedded::ImportedPart;

/// An export: the history and the position that its header names, and what it has up to the first line that is refused.
#[must_use]
pub fn export(input: &[u8]) -> Option<(Lineage, u64, Vec<ImportedPart>)> {
    crate::export::parts(input)
}
