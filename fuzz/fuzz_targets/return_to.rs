#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwarden_fuzz::return_to::run(data));
