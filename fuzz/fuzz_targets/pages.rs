#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwarden_fuzz::pages::run(data));
