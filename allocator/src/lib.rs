//! The allocator of the programs: mimalloc, which keeps what is freed for longer than it does by itself. See ADR 18.
//!
//! A node under load frees at the end of each block what the next block takes again. mimalloc gives freed memory back to the system
//! after a second. The system then clears each page when it is used again. That took up to a fifth of the time of the thread that
//! makes blocks.

use std::ffi::{c_int, c_long};

pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3: the milliseconds until freed memory goes back to the system.
const PURGE_DELAY: c_int = 15;

/// Milliseconds for which freed memory is kept.
const KEPT_MS: c_long = 10_000;

unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Keeps freed memory for ten seconds, unless the environment's `MIMALLOC_PURGE_DELAY` says otherwise. A program that
/// allocates with [`MiMalloc`] calls it first.
pub fn keep_freed_memory() {
    // SAFETY: the function writes to an entry of mimalloc's own table of options, and the number is that of an option.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: MiMalloc = MiMalloc;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_option_is_that_of_the_delay() {
        // SAFETY: as above.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        // What mimalloc does by itself. No other option has this value.
        assert_eq!(delay(), 1_000);
        keep_freed_memory();
        assert_eq!(delay(), KEPT_MS);
    }
}
