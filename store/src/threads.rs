//! The threads of the store.

use std::thread;

use crate::Error;

/// The stack of every thread of the store, in bytes. Nothing that a block writes makes more necessary: calls
/// are nested as deep as a tree is high, see [`crate::tree::join`].
pub(crate) const STACK_BYTES: usize = 256 << 10;

/// Does `one` in a thread of its own while `other` is done here. If both fail, the error is that of `one`.
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
