//! libFuzzer's entry to [`capstan_fuzz::abi`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capstan_fuzz::abi(data));
