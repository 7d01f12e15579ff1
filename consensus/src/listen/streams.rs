//! The requests of one HTTP/2 connection that are under way.
//!
//! Many requests share such a connection, and pings keep it alive. So bytes that move do not show that it is of use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::time_for;

/// The requests of a connection that are under way, and when the last one ended.
#[derive(Debug)]
pub struct Streams(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u64,
    /// For each request the time until which its answer must be taken, from when it is sent.
    open: BTreeMap<u64, Option<Instant>>,
    /// The time at which the last request began or ended.
    last: Instant,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    id: u64,
}

/// Reason why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No request is under way, and there was none for long.
    Idle,
    /// The client does not take an answer.
    Stuck,
}

impl Default for Streams {
    fn default() -> Self {
        let (open, last) = (BTreeMap::new(), Instant::now());
        Self(Mutex::new(State { next: 0, open, last }))
    }
}

impl Streams {
    /// Begins a request.
    pub fn begin(self: &Arc<Self>) -> Stream {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.last = Instant::now();
        state.open.insert(id, None);
        Stream { streams: Arc::clone(self), id }
    }

    /// Notes a request that does not count as under way.
    pub fn touch(&self) {
        self.state().last = Instant::now();
    }

    /// Waits until the connection must end. `idle` is the time for which it may be of no use.
    pub(super) async fn ended(&self, idle: Duration) -> End {
        loop {
            sleep(idle / 4).await;
            if let Some(end) = self.state().end(idle) {
                return end;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&self, idle: Duration) -> Option<End> {
        let now = Instant::now();
        if self.open.values().flatten().any(|until| *until < now) {
            return Some(End::Stuck);
        }
        (self.open.is_empty() && now - self.last > idle).then_some(End::Idle)
    }
}

impl Stream {
    /// Notes that an answer of so many bytes is sent from now on. The client must take it in the time `idle`, and a
    /// second more for each 64 KiB.
    pub fn answer(&self, bytes: usize, idle: Duration) {
        let until = Instant::now() + time_for(bytes, idle);
        self.streams.state().open.insert(self.id, Some(until));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.streams.state();
        state.open.remove(&self.id);
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(40);

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn a_connection_without_requests_ends_and_one_with_a_request_does_not() {
        run(async {
            let streams = Arc::new(Streams::default());
            let stream = streams.begin();
            let ended = tokio::time::timeout(IDLE * 4, streams.ended(IDLE)).await;
            assert!(ended.is_err(), "a request is under way");
            drop(stream);
            assert_eq!(streams.ended(IDLE).await, End::Idle);
        });
    }

    #[test]
    fn an_answer_that_is_not_taken_ends_the_connection() {
        run(async {
            let streams = Arc::new(Streams::default());
            let (stream, _other) = (streams.begin(), streams.begin());
            stream.answer(10, IDLE);
            assert_eq!(streams.ended(IDLE).await, End::Stuck);
        });
    }
}
