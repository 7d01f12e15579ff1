//! The timer device: vats register handlers, and when the time of the block has come each is sent
//! `wake(time)`. It behaves as SwingSet's device of that name; its clock is what the host says. Beyond it,
//! `wakeSoon(handler, ...args)` sends `wake(...args)` at once, and keeps nothing; and it has the methods of
//! [`later`](super::later).
//!
//! Kept under the device's store: `now` (u128), `next` (u64, orders wakeups of the same time),
//! `repeaters` (u64, the next index), `repeater.N` ([`Repeater`]) and `at.TIME.N` ([`Wakeup`]), both
//! numbers in hex.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Message;
use capstan_kernel_ports::store::Read;

use super::{
    Answer, CallResult, DeviceError, DeviceFailure, Invocation, ROOT, bigint, later, thrown,
};
use crate::{
    capdata::{Builder, Json},
    error::{Result, inconsistent},
    ids::{DeviceId, Endpoint, KRef},
    state::{
        handle::{State, get_record},
        key::Key,
        keys,
    },
};

/// The method that keeps nothing of what it is given.
pub(super) const WAKE_SOON: &str = "wakeSoon";

/// The name of the timer device.
pub const TIMER: &str = "timer";

/// A wakeup that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Wakeup {
    handler: KRef,
    /// The repeater that asks for the next one.
    repeater: Option<u64>,
}

/// A rhythm: `start + N * interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Repeater {
    start: u128,
    interval: u128,
}

impl Repeater {
    /// The next beat after `now`, by the formula of SwingSet's device:
    /// `now + interval - (now - start) % interval`, where the remainder has the sign of `now - start`.
    fn next_after(self, now: u128) -> Option<u128> {
        if self.interval == 0 {
            return None;
        }
        let base = now.checked_add(self.interval)?;
        match now >= self.start {
            true => Some(base - (now - self.start) % self.interval),
            false => base.checked_add((self.start - now) % self.interval),
        }
    }
}

impl State<'_> {
    pub(super) fn call_timer(&mut self, call: &mut Invocation<'_>) -> CallResult {
        let device = call.device;
        if call.node != ROOT {
            return thrown(format!("unknown device node {}", call.node));
        }
        match call.method {
            "getLastPolled" => Ok(Answer::Value(bigint(self.now(device)?))),
            "setWakeup" => {
                let (time, handler) = (call.nat(0, "baseTime")?, call.object(1, "handler")?);
                self.add_wakeup(device, time, Wakeup { handler, repeater: None })?;
                Ok(Answer::Value(bigint(time)))
            }
            "removeWakeup" => {
                let times = self.remove_wakeups(device, call.object(0, "handler")?)?;
                Ok(Answer::Value(Json::Array(times.into_iter().map(bigint).collect())))
            }
            // Beyond SwingSet's device: a message that nobody waits for the answer of, which vats of JavaScript
            // cannot send, and which the timer vat can send to itself.
            WAKE_SOON => {
                let handler = call.object(0, "handler")?;
                let methargs = later::wake_arguments(call, 1)?;
                self.send_woken(handler, Message { methargs, result: None })?;
                Ok(Answer::Undefined)
            }
            later::DEFER_RESULT => self.defer_result(call),
            later::SETTLE_RESULT => self.settle_result(call),
            later::WAKE_AND_TELL => self.wake_and_tell(call),
            "makeRepeater" => {
                let (start, interval) = (call.nat(0, "startTime")?, call.nat(1, "interval")?);
                let index = self.take_number(device, "repeaters")?;
                self.put(&repeater_key(device, index), &Repeater { start, interval })?;
                Ok(Answer::Value(Json::Scalar(index.to_string())))
            }
            "deleteRepeater" => {
                let index = repeater_index(call)?;
                self.over.delete(&repeater_key(device, index));
                Ok(Answer::Value(Json::Scalar(index.to_string())))
            }
            "schedule" => {
                let (index, handler) = (repeater_index(call)?, call.object(1, "handler")?);
                let Some(repeater) = self.get::<Repeater>(&repeater_key(device, index))? else {
                    return thrown(format!("there is no repeater {index}"));
                };
                let Some(time) = repeater.next_after(self.now(device)?) else {
                    return thrown("the repeater's next time cannot be computed");
                };
                self.add_wakeup(device, time, Wakeup { handler, repeater: Some(index) })?;
                Ok(Answer::Value(bigint(time)))
            }
            method => thrown(format!("target[{method}] does not exist")),
        }
    }

    /// Sets the device's time to `now`, in seconds, and sends what is due. Returns true if anything was.
    pub(crate) fn poll_timer(&mut self, now: u64) -> std::result::Result<bool, DeviceError> {
        let device = self.device_named(TIMER)?;
        let last = self.now(device)?;
        if u128::from(now) < last {
            return Err(DeviceError::TimeRanBackwards { now, last });
        }
        if last != u128::from(now) {
            self.put(&now_key(device), &u128::from(now))?;
        }
        // What is asked for while the due ones are served waits for the next poll.
        let due = due(self.over, device, u128::from(now))?;
        for (key, time, wakeup) in &due {
            self.over.delete(key);
            self.send_only(wakeup.handler, "wake", Builder::default(), vec![bigint(*time)])?;
        }
        for (_, _, wakeup) in &due {
            self.repeat(device, *wakeup, u128::from(now))?;
        }
        Ok(!due.is_empty())
    }

    fn repeat(&mut self, device: DeviceId, wakeup: Wakeup, now: u128) -> Result<()> {
        let Some(index) = wakeup.repeater else { return Ok(()) };
        let repeater = self.get::<Repeater>(&repeater_key(device, index))?;
        match repeater.and_then(|repeater| repeater.next_after(now)) {
            Some(next) => self.add_wakeup(device, next, wakeup),
            None => Ok(()),
        }
    }

    fn now(&self, device: DeviceId) -> Result<u128> {
        Ok(self.get(&now_key(device))?.unwrap_or(0))
    }

    fn add_wakeup(&mut self, device: DeviceId, time: u128, wakeup: Wakeup) -> Result<()> {
        let number = self.take_number(device, "next")?;
        self.put(&key(device, &format!("at.{time:032x}.{number:016x}")), &wakeup)
    }

    /// Forgets all wakeups of a handler. Returns their times, soonest first.
    fn remove_wakeups(&mut self, device: DeviceId, handler: KRef) -> Result<Vec<u128>> {
        let mut times = Vec::new();
        for (key, time, wakeup) in due(self.over, device, u128::MAX)? {
            if wakeup.handler == handler {
                self.over.delete(&key);
                times.push(time);
            }
        }
        Ok(times)
    }
}

/// Returns when the next wakeup is due, in seconds. Returns `None` if there is no timer or nothing to wake.
pub(crate) fn next_wakeup(from: &(impl Read + ?Sized)) -> Result<Option<u128>> {
    let Some(device) = get_record(from, &keys::device_name(TIMER))? else { return Ok(None) };
    let prefix = key(device, "at.");
    let first = from.next_after(&prefix, &prefix)?;
    first.map(|(key, _)| time_of(&key[prefix.len()..])).transpose()
}

/// The wakeups up to `now`, in the order in which they are served.
fn due(
    from: &(impl Read + ?Sized),
    device: DeviceId,
    now: u128,
) -> Result<Vec<(Vec<u8>, u128, Wakeup)>> {
    let prefix = key(device, "at.");
    let mut due = Vec::new();
    let mut after = prefix.to_vec();
    while let Some((key, value)) = from.next_after(&prefix, &after)? {
        let time = time_of(&key[prefix.len()..])?;
        if time > now {
            break;
        }
        due.push((key.clone(), time, crate::state::handle::decode(&key, &value)?));
        after = key;
    }
    Ok(due)
}

fn time_of(suffix: &[u8]) -> Result<u128> {
    let text = String::from_utf8_lossy(suffix).into_owned();
    let time = text.split('.').next().and_then(|hex| u128::from_str_radix(hex, 16).ok());
    time.ok_or_else(|| inconsistent(format!("{text} is not the time of a wakeup")))
}

fn key(device: DeviceId, name: &str) -> Key {
    keys::vatstore(Endpoint::Device(device), name)
}

fn now_key(device: DeviceId) -> Key {
    key(device, "now")
}

fn repeater_key(device: DeviceId, index: u64) -> Key {
    key(device, &format!("repeater.{index}"))
}

fn repeater_index(call: &Invocation<'_>) -> std::result::Result<u64, DeviceFailure> {
    let index = u64::try_from(call.nat(0, "index")?);
    index.or_else(|_| thrown("there is no such repeater"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeater_keeps_its_rhythm_however_late_it_is_asked() {
        let repeater = Repeater { start: 10, interval: 7 };
        for (now, next) in [(10, 17), (11, 17), (16, 17), (17, 24), (100, 101), (3, 10), (0, 10)] {
            assert_eq!(repeater.next_after(now), Some(next), "after {now}");
        }
        assert_eq!(Repeater { start: 0, interval: 0 }.next_after(5), None);
        assert_eq!(Repeater { start: 0, interval: 2 }.next_after(u128::MAX), None);
    }
}
