//! Messages on standard error about long work. Work of less than a second is not mentioned.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::output;

/// Time after which a step is mentioned.
const PATIENCE: Duration = Duration::from_millis(800);

/// Time after which it is mentioned again.
const REPEAT: Duration = Duration::from_secs(5);

/// Watcher over a piece of work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    steps: Option<Sender<Told>>,
    watcher: Option<JoinHandle<()>>,
}

/// A message to the watcher.
#[derive(Debug)]
enum Told {
    /// A new step begins.
    Step(String),
    /// The step goes on, with this new text.
    Update(String),
}

impl Progress {
    /// Starts with a first step.
    pub(crate) fn new(step: impl Into<String>) -> Self {
        let (steps, received) = channel();
        let first = step.into();
        // Without the thread nothing is told: no reason to fail.
        let watcher = std::thread::Builder::new().spawn(move || watch(first, &received)).ok();
        Self { steps: Some(steps), watcher }
    }

    /// Goes on to the next step.
    pub(crate) fn step(&self, step: impl Into<String>) {
        self.tell(Told::Step(step.into()));
    }

    /// Says how far the step has come. May be called often: it is told when it is time.
    pub(crate) fn update(&self, step: impl Into<String>) {
        self.tell(Told::Update(step.into()));
    }

    fn tell(&self, told: Told) {
        if let Some(steps) = &self.steps {
            // If nobody receives, nothing is told.
            let _ = steps.send(told);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(watcher) = self.watcher.take() {
            // It cannot fail in a way that matters here.
            let _ = watcher.join();
        }
    }
}

/// Does `work`, mentioning it if it takes long.
pub(crate) fn during<T>(step: impl Into<String>, work: impl FnOnce() -> T) -> T {
    let _progress = Progress::new(step);
    work()
}

fn watch(mut step: String, told: &Receiver<Told>) {
    let mut began = Instant::now();
    let mut mention = began + PATIENCE;
    loop {
        match told.recv_timeout(mention.saturating_duration_since(Instant::now())) {
            Ok(Told::Update(update)) => step = update,
            Ok(Told::Step(next)) => {
                step = next;
                began = Instant::now();
                mention = began + PATIENCE;
            }
            Err(RecvTimeoutError::Timeout) => {
                let seconds = began.elapsed().as_secs().max(1);
                output::tell("progress", &format!("{step} … ({seconds} s)"));
                mention = Instant::now() + REPEAT;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
