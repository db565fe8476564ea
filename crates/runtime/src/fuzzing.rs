//! The door to this room's decoder, for the fuzz target in `fuzz/`; the journal's are in `journal::embedded::fuzzing`.

/// A file of snapshots. The first byte says whether its checksums are set right first.
pub fn snapshots(input: &[u8]) {
    if let Some((first, bytes)) = input.split_first() {
        crate::entity::snapshots::fuzz(bytes, first & 1 == 1);
    }
}
