//! The rule that a panic of the application ends the process. A node without its application would be worse than none.

/// Exit code of a process whose application panicked, as Rust has it for a panic in `main`.
const EXIT_CODE_PANIC: i32 = 101;

/// Calls `run`, which is part of the ABCI method of that name. If it panics, the process ends.
pub(crate) fn or_exit<R>(method: &'static str, run: impl FnOnce() -> R) -> R {
    let guard = ExitOnPanic(method);
    let answer = run();
    std::mem::forget(guard);
    answer
}

/// Ends the process when it is dropped, which happens only while a panic unwinds. The panic's
/// message is out by then.
struct ExitOnPanic(&'static str);

impl Drop for ExitOnPanic {
    fn drop(&mut self) {
        eprintln!(
            "the application panicked in {}: the node stops; nothing of the running block is committed",
            self.0
        );
        std::process::exit(EXIT_CODE_PANIC);
    }
}
