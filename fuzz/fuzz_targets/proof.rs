#![no_main]
//! The fuzz target `proof`: see the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| headwater_fuzz::run("proof", input));
