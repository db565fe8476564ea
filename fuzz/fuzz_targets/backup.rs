#![no_main]
//! The fuzz target `backup`: see the library.

libfuzzer_sys::fuzz_target!(|input: &[u8]| headwater_fuzz::run("backup", input));
