#![no_main]
//! The fuzz target `segment`: see the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| headwater_fuzz::run("segment", input));
