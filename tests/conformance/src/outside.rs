//! What lies beyond a scenario's devices: the host's end of the bridge, the mailbox's conveyor, the clock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use capstan_kernel::{
    Application, BridgeAnswer, DeviceAnswer, DeviceCall, DeviceSyscalls, KernelPanic,
    device::DeviceError, view,
};
use capstan_kernel_ports::store::Overlay;
use serde_json::{Map, Value, json};

use crate::{
    devices::{self, RecordedDevices},
    runner::{Run, ScenarioHost},
    scenario::Scenario,
};

/// The host's end of the bridge: answers as the scenario says, and writes down what it was called with.
#[derive(Clone, Debug, Default)]
pub struct Outside(Arc<Mutex<Bridge>>);

#[derive(Debug, Default)]
struct Bridge {
    answers: VecDeque<Value>,
    calls: Vec<Value>,
    devices: RecordedDevices,
}

impl Outside {
    /// The host of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let devices = scenario.config.devices.values();
        let answers = devices.flat_map(|device| device.answers.clone()).collect();
        let devices = RecordedDevices::new(&scenario.expected);
        Self(Arc::new(Mutex::new(Bridge { answers, calls: Vec::new(), devices })))
    }

    /// The arguments of all calls through the bridge so far.
    pub fn calls(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }
}

impl Application for Outside {
    fn outbound(
        &mut self,
        _over: &mut dyn Overlay,
        args: &[Value],
    ) -> std::result::Result<BridgeAnswer, KernelPanic> {
        let mut bridge = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bridge.calls.push(args.into());
        let answer = bridge.answers.pop_front().unwrap_or_default();
        Ok(match answer["throws"].as_str() {
            Some(text) => BridgeAnswer::Thrown(text.to_owned()),
            None => BridgeAnswer::Returned(answer.get("returns").cloned()),
        })
    }

    fn call_device(
        &mut self,
        syscalls: &mut dyn DeviceSyscalls,
        call: &DeviceCall<'_>,
    ) -> std::result::Result<DeviceAnswer, KernelPanic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).devices.call(syscalls, call)
    }
}

impl<H: ScenarioHost> Run<H> {
    /// Has a device do what the recording says it did when the host called it.
    pub(crate) fn call_outside(&mut self, step: &Value, expected: &Value) -> Result<Value> {
        let device = step["device"].as_str().context("callOutside: device is a text")?;
        let act =
            |syscalls: &mut dyn DeviceSyscalls| Ok(devices::act(syscalls, &expected["syscalls"])?);
        self.kernel.act_as_device(&mut self.state, device, act)?;
        Ok(json!({}))
    }

    /// Hands a device what the host has for it.
    pub(crate) fn from_outside(&mut self, step: &Value) -> Result<Value> {
        let state = &mut self.state;
        let done = match step["op"].as_str() {
            Some("bridgeInbound") => {
                let args = step["args"].as_array().cloned().unwrap_or_default();
                self.kernel.bridge_inbound(state, &args).map(|()| json!({}))
            }
            Some("pollTimer") => {
                let time = step["time"].as_u64().context("pollTimer: time is a natural number")?;
                self.kernel.poll_timer(state, time).map(|woke| json!({"answer": woke}))
            }
            _ => {
                let peer = step["peer"].as_str().context("deliverInbound: peer is a text")?;
                let ack =
                    step["ack"].as_u64().context("deliverInbound: ack is a natural number")?;
                let messages: Vec<(u64, String)> = serde_json::from_value(step["messages"].clone())
                    .context("deliverInbound: messages are pairs of a number and a text")?;
                let taken = self.kernel.mailbox_inbound(state, peer, &messages, ack);
                taken.map(|()| json!({"answer": true}))
            }
        };
        match done {
            Ok(answer) => Ok(answer),
            Err(DeviceError::Panic(panic)) => Err(panic.into()),
            Err(refusal) => Ok(json!({"threw": refusal.to_string()})),
        }
    }

    /// All mailboxes, in the shape of SwingSet's `exportMailboxData`.
    pub(crate) fn mailboxes(&self) -> Result<Value> {
        let row = |(peer, mailbox): (String, capstan_kernel::device::Mailbox)| {
            let outbox: Vec<Value> =
                mailbox.outbox.iter().map(|(number, body)| json!([number, body])).collect();
            (peer, json!({"inboundAck": mailbox.inbound_ack, "outbox": outbox}))
        };
        let boxes: Map<String, Value> =
            view::mailboxes(&self.state)?.into_iter().map(row).collect();
        Ok(json!({"mailbox": boxes}))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use capstan_kernel_ports::memory::MemoryState;

    use super::*;

    #[test]
    fn the_bridge_answers_in_the_order_of_the_scenario_and_notes_each_call() {
        let answers = VecDeque::from([json!({"returns": 7}), json!({"throws": "no"})]);
        let mut outside = Outside(Arc::new(Mutex::new(Bridge { answers, ..Bridge::default() })));
        let mut state = MemoryState::default();
        let mut call = |arg: &str| outside.outbound(&mut state, &[json!(arg)]).unwrap();
        assert_eq!(call("a"), BridgeAnswer::Returned(Some(json!(7))));
        assert_eq!(call("b"), BridgeAnswer::Thrown("no".to_owned()));
        assert_eq!(call("c"), BridgeAnswer::Returned(None));
        assert_eq!(outside.calls(), [json!(["a"]), json!(["b"]), json!(["c"])]);
    }
}
