//! Threads of the store, and work divided between two of them.

use std::thread;

use crate::Error;

/// Stack size of every thread of the store, in bytes. It suffices for any block, since recursion is bounded by the
/// height of the tree (see [`crate::tree::join`]).
pub(crate) const STACK_BYTES: usize = 256 << 10;

/// Runs `one` in a thread of its own and `other` in this one. Returns the error of `one` if both fail.
pub(crate) fn both<A: Send, B>(
    one: impl FnOnce() -> Result<A, Error> + Send,
    other: impl FnOnce() -> Result<B, Error>,
) -> Result<(A, B), Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, one)
            .map_err(|error| failed(&error.to_string()))?;
        let other = other();
        let one = thread.join().map_err(|_| failed("it panicked"))?;
        Ok((one?, other?))
    })
}

fn failed(why: &str) -> Error {
    Error::Thread { what: "the second thread of a block", why: why.to_owned() }
}
