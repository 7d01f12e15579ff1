//! Two halves of a work at once.

use std::thread;

use crate::Error;

/// Does `one` in a thread of its own while `other` is done here. If both fail, the error is that of `one`.
pub(crate) fn both<A: Send, B>(
    one: impl FnOnce() -> Result<A, Error> + Send,
    other: impl FnOnce() -> Result<B, Error>,
) -> Result<(A, B), Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
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
