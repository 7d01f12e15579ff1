//! The time of a kernel without a chain: none, one that stands still until it is advanced, or that of this machine.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use capstan_kernel::{RunReport, view};
use capstan_kernel_ports::store::{Overlay as _, Read as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::machine::{Basedir, Until};
use crate::failure::usage;

/// The vat that offers the timer service. Its device has the same name.
pub(crate) const TIMER_VAT: &str = "timer";

/// Key of the time, next to the state of the kernel.
const TIME: &[u8] = b"basedir.time";

/// Longest sleep. A clock that was set forward is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Answer to those who would move the time of a timer that is not a fake one.
pub(crate) const NOT_FAKE: &str = "only a fake timer can be advanced: start with --timer fake";

/// Arguments that give a timer to the vats.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct ClockArgs {
    /// Give the vats a timer: the service of a chain's `chain/timer`.
    #[arg(long, value_name = "KIND", value_enum)]
    timer: Option<Timer>,
    /// Time at which a fake timer begins, in seconds [default: 0].
    #[arg(long, value_name = "SECONDS", requires = "timer")]
    time: Option<u64>,
}

/// The kind of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(crate) enum Timer {
    /// The time stands still until it is advanced. Every run comes to the same.
    Fake,
    /// The time is that of this machine.
    Real,
}

/// A change of a fake timer's time: some seconds, once or several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advance {
    pub(crate) seconds: u64,
    pub(crate) times: u64,
}

impl ClockArgs {
    /// Returns the kind of the timer, if there is one, and the time at which it begins.
    ///
    /// # Errors
    /// A real timer cannot begin at another time.
    pub(crate) fn read(self) -> anyhow::Result<(Option<Timer>, u64)> {
        match (self.timer, self.time) {
            (Some(Timer::Real), Some(_)) => {
                Err(usage("--time: a real timer follows this machine's clock; use --timer fake"))
            }
            (timer, time) => Ok((timer, time.unwrap_or(0))),
        }
    }
}

impl Advance {
    /// Parses `SECONDS` or `SECONDSxTIMES`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (seconds, times) = text.split_once('x').unwrap_or((text, "1"));
        match (seconds.parse(), times.parse()) {
            (Ok(seconds), Ok(times)) => Ok(Self { seconds, times }),
            _ => Err("write a number of seconds, such as 60, or 60x5 for five times 60".to_owned()),
        }
    }
}

impl Basedir {
    /// Finishes what is to be done, moves the time of a fake timer, and finishes what is due then. As often as `advance`
    /// says.
    ///
    /// # Errors
    /// The timer is not a fake one, or the kernel fails.
    pub(crate) fn advance(&mut self, advance: Advance) -> anyhow::Result<RunReport> {
        if self.timer() != Some(Timer::Fake) {
            bail!(NOT_FAKE);
        }
        let mut total = self.run(u64::MAX, Until::Idle)?;
        for _ in 0..advance.times {
            let time = self.time()?.checked_add(advance.seconds);
            self.set_time(time.context("the time is too late: at most 2^64 - 1 seconds")?)?;
            let report = self.run(u64::MAX, Until::Idle)?;
            total.cranks += report.cranks;
            total.computrons += report.computrons;
        }
        total.idle = true;
        Ok(total)
    }

    /// Returns the time that the vats know, in seconds.
    pub(crate) fn time(&self) -> anyhow::Result<u64> {
        let Some(found) = self.state().get(TIME)? else { return Ok(0) };
        let bytes = found.try_into().ok().context("the home's record of the time is damaged")?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Returns the time at which a vat wants to be woken next.
    pub(crate) fn next_wakeup(&self) -> anyhow::Result<Option<u128>> {
        Ok(view::next_wakeup(&self.state())?)
    }

    /// Returns the time and the next wakeup as fields for JSON. There are none without a timer.
    pub(crate) fn time_json(&self) -> anyhow::Result<Option<(u64, Value)>> {
        if self.timer().is_none() {
            return Ok(None);
        }
        // A number of JSON holds less than a time may be.
        let next = self.next_wakeup()?.map(|next| match u64::try_from(next) {
            Ok(next) => json!(next),
            Err(_) => json!(next.to_string()),
        });
        Ok(Some((self.time()?, next.unwrap_or(Value::Null))))
    }

    /// Tells the vats a time, which wakes those whose time has come.
    pub(super) fn set_time(&mut self, time: u64) -> anyhow::Result<()> {
        self.change(|kernel, block| {
            kernel.poll_timer(block, time)?;
            block.set(TIME, time.to_be_bytes().to_vec());
            Ok(())
        })
    }

    /// Tells the vats the time of this machine, if their timer is a real one and the second is another. Time never runs
    /// backwards for them.
    pub(super) fn follow_clock(&mut self) -> anyhow::Result<()> {
        if self.timer() != Some(Timer::Real) {
            return Ok(());
        }
        let now = since_1970()?.as_secs();
        if now > self.time()? { self.set_time(now) } else { Ok(()) }
    }

    /// Sleeps towards the next wakeup of a real timer. Returns false if none will come by itself.
    pub(super) fn wait_for_wakeup(&self) -> anyhow::Result<bool> {
        let Some(next) = self.next_wakeup()? else { return Ok(false) };
        if self.timer() != Some(Timer::Real) {
            return Ok(false);
        }
        let next = Duration::from_secs(u64::try_from(next).unwrap_or(u64::MAX));
        sleep(next.saturating_sub(since_1970()?).min(LONGEST_SLEEP));
        Ok(true)
    }
}

fn since_1970() -> anyhow::Result<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock stands before 1970; set it, or use --timer fake")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_given_with_a_number_of_times() {
        let advance = |seconds, times| Advance { seconds, times };
        assert_eq!(Advance::parse("60"), Ok(advance(60, 1)));
        assert_eq!(Advance::parse("10x6"), Ok(advance(10, 6)));
        for bad in ["", "x", "1x", "x2", "-1", "1.5", "1x2x3", "1m"] {
            assert!(Advance::parse(bad).is_err(), "{bad}");
        }
    }
}
