//! Polling with a time limit.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::ClientError;

/// Shortest and longest pause between two polls.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Moment at which waiting ends.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    /// Returns a deadline `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self { start: Instant::now(), limit }
    }

    /// Returns the time that is left, or zero if the deadline has passed.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.start.elapsed())
    }

    /// Returns the whole time between start and deadline.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Calls `ask` until it returns `Some`. The pauses grow, since most answers come soon.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] naming `what` was waited for, or the error of a question.
    pub fn poll<T, E: From<ClientError>>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        let mut pause = PAUSES.0;
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            let left = self.left();
            if left.is_zero() {
                return Err(
                    ClientError::Timeout { what: what.to_owned(), waited: self.limit }.into()
                );
            }
            sleep(pause.min(left));
            pause = (pause * 3 / 2).min(PAUSES.1);
        }
    }
}
