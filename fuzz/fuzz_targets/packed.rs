#![no_main]
//! The fuzz target `packed`: see the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| headwater_fuzz::run("packed", input));
