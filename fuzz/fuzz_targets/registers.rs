#![no_main]
//! The fuzz target `registers`: see the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| headwater_fuzz::run("registers", input));
