#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strdiffusion_fuzz::run("config", bytes));
