//! The most that two cores of this machine can give: the same game in two kernels at once, each on one thread, over one
//! alone.
//!
//! The kernels share nothing, so no way to run vats on two threads can gain more. Two kernels of one process share its
//! address space, which two processes do not.

use std::{
    io::{BufRead, BufReader, Write, stdin},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{HITS, Player, ROUNDS, median};
use crate::Bench;

/// Two kernels at once over one alone.
pub(super) struct Ceiling {
    /// Twice the wall time of one alone over that of both.
    pub(super) wall: f64,
    /// CPU time of both over twice that of one alone.
    pub(super) cpu: f64,
}

/// A kernel that plays a round when it is told to.
trait Seat {
    fn begin(&mut self) -> Result<()>;

    /// Waits for the end of the round. Returns the CPU time of the kernel's thread.
    fn finish(&mut self) -> Result<Duration>;
}

/// A kernel in a process of its own.
struct Process {
    child: Child,
    /// `None` once the process is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(threads: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["parallel", "player", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a player has no output")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }
}

impl Seat for Process {
    fn begin(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("a player has no input")?;
        Ok(writeln!(input, "play")?)
    }

    fn finish(&mut self) -> Result<Duration> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let micros = line.trim().parse().context("a player has ended")?;
        Ok(Duration::from_micros(micros))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its input, and removes its store.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Plays a round of pairs for each line of the input, and prints the CPU microseconds of each.
pub(super) fn player(threads: usize) -> Result<()> {
    let mut player = Player::start(&Bench::workshop()?, threads)?;
    for line in stdin().lines() {
        line?;
        println!("{}", player.round("games", HITS, false)?.thread.as_micros());
    }
    Ok(())
}

/// A kernel on a thread of this process.
struct Thread {
    orders: Sender<()>,
    results: Receiver<Result<Duration>>,
}

impl Thread {
    fn start() -> Self {
        let (orders, to_do) = channel();
        let (done, results) = channel();
        thread::spawn(move || {
            let mut player = Bench::workshop().and_then(|workshop| Player::start(&workshop, 1));
            while to_do.recv().is_ok() {
                let round = match &mut player {
                    Ok(player) => player.round("games", HITS, false).map(|round| round.thread),
                    Err(error) => Err(anyhow::anyhow!("a player did not start: {error:#}")),
                };
                if done.send(round).is_err() {
                    return;
                }
            }
        });
        Self { orders, results }
    }
}

impl Seat for Thread {
    fn begin(&mut self) -> Result<()> {
        self.orders.send(()).context("a player has ended")
    }

    fn finish(&mut self) -> Result<Duration> {
        self.results.recv().context("a player has ended")?
    }
}

/// Measures two kernels in two processes.
pub(super) fn of_processes() -> Result<Ceiling> {
    measure([Process::start(1)?, Process::start(1)?])
}

/// Measures two kernels on two threads of this process.
pub(super) fn of_threads() -> Result<Ceiling> {
    measure([Thread::start(), Thread::start()])
}

fn measure(mut seats: [impl Seat; 2]) -> Result<Ceiling> {
    let (mut walls, mut cpus) = (vec![], vec![]);
    for number in 0..=ROUNDS {
        let (alone, one) = timed(&mut seats[..1])?;
        let (both, two) = timed(&mut seats)?;
        // The first round warms up.
        if number > 0 {
            walls.push(2.0 * alone.as_secs_f64() / both.as_secs_f64());
            cpus.push(two.as_secs_f64() / (2.0 * one.as_secs_f64()));
        }
    }
    Ok(Ceiling { wall: median(walls), cpu: median(cpus) })
}

/// Has all play a round at once. Returns its wall time, and the CPU time of all.
fn timed(seats: &mut [impl Seat]) -> Result<(Duration, Duration)> {
    let began = Instant::now();
    seats.iter_mut().try_for_each(Seat::begin)?;
    let cpu = seats.iter_mut().map(Seat::finish).sum::<Result<Duration>>()?;
    Ok((began.elapsed(), cpu))
}
