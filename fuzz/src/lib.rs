//! The fuzz targets as functions: bytes go in, and whatever they are, nothing may panic, hang or take memory out of proportion.
//!
//! Each has a binary of its name for libFuzzer (`fuzz_targets/`), inputs to begin with (`corpus/NAME`), and `tests/corpus.rs` runs all of
//! these and thousands of their mutations without a fuzzer, on the stable toolchain. An input that broke something is kept in the
//! corpus for ever.

mod export;
mod http;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 12] = [
    ("frame", journal::embedded::fuzzing::frame),
    ("segment", journal::embedded::fuzzing::segment),
    ("seal", journal::embedded::fuzzing::seal),
    ("packed", journal::embedded::fuzzing::packed),
    ("registers", journal::embedded::fuzzing::registers),
    ("cursor", journal::embedded::fuzzing::cursor),
    ("roots", journal::embedded::fuzzing::roots),
    ("proof", journal::embedded::fuzzing::proof),
    ("backup", journal::embedded::fuzzing::backup),
    ("export", export::import),
    ("snapshots", runtime::fuzzing::snapshots),
    ("http", http::request),
];

/// Runs one of them.
///
/// # Panics
/// When there is none of this name, and when the target finds something.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is in the list");
    target(input);
}
