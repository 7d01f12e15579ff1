use std::collections::BTreeMap;
use std::ops::Bound;

use capstan_abi::{
    CapData, Delivery, DeliveryResult, Message, Resolution, Syscall, SyscallData, SyscallResult,
};
use capstan_client::Bundle;
use capstan_kernel_ports::host::{Syscalls, VatHost, WorkerOptions, WorkerSource};
use capstan_kernel_ports::{Computrons, VatId};
use capstan_vat_host::WasmHost;
use serde_json::Value;

use crate::{Options, host};

const VAT: VatId = VatId(1);

/// Computrons that no delivery here may spend.
const CRANK_LIMIT: Computrons = Computrons(2_000_000_000);

/// Answers a device call: the device's node, the method, the arguments' body; a body without slots. An empty answer is a failure.
pub type Device = Box<dyn FnMut(&str, &str, &str) -> String>;

/// One JavaScript vat on the real engine, with the test as its kernel: what it asks for is written down, what it spends
/// and how many syscalls it makes is counted.
pub struct LoneVat {
    host: WasmHost,
    kernel: TestKernel,
    next_promise: u32,
    started: usize,
}

impl std::fmt::Debug for LoneVat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoneVat").field("keys", &self.kernel.vatstore.len()).finish_non_exhaustive()
    }
}

/// The outcome of a delivery.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Syscalls but those of the vatstore and subscriptions.
    pub syscalls: Vec<Syscall>,
    /// Number of syscalls of any kind.
    pub count: usize,
    /// Computrons that the vat spent.
    pub computrons: u64,
    /// The result promise of a message, empty for other deliveries.
    pub result: String,
}

struct TestKernel {
    vatstore: BTreeMap<String, String>,
    device: Device,
    syscalls: Vec<Syscall>,
    count: usize,
}

impl LoneVat {
    /// Starts a vat of an Endo bundle.
    pub fn start(bundle: &[u8], parameters: &str, device: Device) -> Self {
        Self::again(bundle, parameters, device, BTreeMap::new())
    }

    /// Starts a vat of an Endo bundle with what another incarnation kept.
    pub fn again(
        bundle: &[u8],
        parameters: &str,
        device: Device,
        vatstore: BTreeMap<String, String>,
    ) -> Self {
        let bundle = Bundle::from_endo_json(bundle).unwrap();
        let mut host = host(&Options::usual());
        let source = WorkerSource::JavaScript {
            engine: host.engine(),
            bundle_id: bundle.id.to_string(),
            zip: bundle.bytes.clone(),
        };
        host.start(VAT, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
        let kernel = TestKernel { vatstore, device, syscalls: vec![], count: 0 };
        let mut vat = Self { host, kernel, next_promise: 100, started: 0 };
        let start = Delivery::StartVat { parameters: data(parameters, &[]) };
        vat.started = vat.deliver(&start).count;
        vat
    }

    /// Returns the number of syscalls that its start took.
    pub fn started(&self) -> usize {
        self.started
    }

    /// Returns the vat's own store.
    pub fn vatstore(&self) -> &BTreeMap<String, String> {
        &self.kernel.vatstore
    }

    /// Hands over a delivery, which must not end the vat.
    pub fn deliver(&mut self, delivery: &Delivery) -> Outcome {
        self.kernel.count = 0;
        let done = self.host.deliver(VAT, delivery, CRANK_LIMIT, &mut self.kernel).unwrap();
        assert_eq!(done.result, DeliveryResult::Ok, "{delivery:?}");
        let syscalls = std::mem::take(&mut self.kernel.syscalls);
        let computrons = done.computrons.unwrap().0;
        Outcome { syscalls, count: self.kernel.count, computrons, result: String::new() }
    }

    /// Sends a message. `args` is the body of its arguments, an array.
    pub fn send(&mut self, target: &str, method: &str, args: &str, slots: &[&str]) -> Outcome {
        self.next_promise += 1;
        let result = format!("p-{}", self.next_promise);
        let methargs = data(&format!("[{method:?},{args}]"), slots);
        let message = Message { methargs, result: Some(result.clone()) };
        let target = target.to_owned();
        Outcome { result, ..self.deliver(&Delivery::Message { target, message }) }
    }

    /// Settles a promise of the vat's.
    pub fn notify(&mut self, promise: &str, rejected: bool, body: &str, slots: &[&str]) -> Outcome {
        let resolution =
            Resolution { promise: promise.to_owned(), rejected, data: data(body, slots) };
        self.deliver(&Delivery::Notify { resolutions: vec![resolution] })
    }

    /// Lets it collect its garbage.
    pub fn bring_out_your_dead(&mut self) -> Outcome {
        self.deliver(&Delivery::BringOutYourDead)
    }

    /// Returns the size of its heap, in bytes.
    pub fn heap_bytes(&self) -> u64 {
        self.host.heap(VAT).unwrap().1
    }
}

impl Outcome {
    /// Returns the settled promises: each with whether it was rejected, the body and the slots.
    pub fn settled(&self) -> Vec<Resolution> {
        let all = self.syscalls.iter().filter_map(|syscall| match syscall {
            Syscall::Resolve { resolutions } => Some(resolutions.clone()),
            _ => None,
        });
        all.flatten().collect()
    }

    /// The answer to the message: the slots of what it was fulfilled with.
    pub fn slots(&self) -> Vec<String> {
        let answer = self.answer();
        assert!(!answer.rejected, "{answer:?}");
        answer.data.slots
    }

    /// The body of what the message was fulfilled with.
    pub fn body(&self) -> String {
        let answer = self.answer();
        assert!(!answer.rejected, "{answer:?}");
        answer.data.body
    }

    /// The text of the error that the message was rejected with.
    pub fn refusal(&self) -> String {
        let answer = self.answer();
        assert!(answer.rejected, "{answer:?}");
        let error: Value = serde_json::from_str(&answer.data.body[1..]).unwrap();
        error["#error"].as_str().unwrap().to_owned()
    }

    /// Targets and bodies of the messages that it sent.
    pub fn sent(&self) -> Vec<(String, String, String)> {
        let all = self.syscalls.iter().filter_map(|syscall| match syscall {
            Syscall::Send { target, message } => {
                let result = message.result.clone().unwrap_or_default();
                Some((target.clone(), message.methargs.body.clone(), result))
            }
            _ => None,
        });
        all.collect()
    }

    /// The methods of devices that it called.
    pub fn called(&self) -> Vec<&str> {
        let all = self.syscalls.iter().filter_map(|syscall| match syscall {
            Syscall::CallNow { method, .. } => method.as_str(),
            _ => None,
        });
        all.collect()
    }

    fn answer(&self) -> Resolution {
        let mut all = self.settled();
        all.retain(|resolution| resolution.promise == self.result);
        assert_eq!(all.len(), 1, "{:?}", self.syscalls);
        all.remove(0)
    }
}

fn data(body: &str, slots: &[&str]) -> CapData {
    let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
    CapData { body: format!("#{body}"), slots }
}

impl Syscalls for TestKernel {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        self.count += 1;
        // The vats of the system keep texts without lone surrogates alone.
        let text = |found: Option<String>| {
            found.map_or(SyscallData::Null, |text| SyscallData::Text(text.into()))
        };
        let answer = match &syscall {
            Syscall::VatstoreGet { key } => text(self.vatstore.get(&key.to_string()).cloned()),
            Syscall::VatstoreGetNextKey { prior } => {
                let range = (Bound::Excluded(prior.to_string()), Bound::Unbounded);
                text(self.vatstore.range::<String, _>(range).next().map(|(key, _)| key.clone()))
            }
            Syscall::VatstoreSet { key, value } => {
                self.vatstore.insert(key.to_string(), value.to_string());
                SyscallData::Null
            }
            Syscall::VatstoreDelete { key } => {
                self.vatstore.remove(&key.to_string());
                SyscallData::Null
            }
            Syscall::CallNow { target, method, args } => {
                let answer = (self.device)(target, &method.legible(), &args.body);
                self.syscalls.push(syscall);
                return Some(match answer.is_empty() {
                    true => SyscallResult::Error("device.invoke failed".to_owned()),
                    false => SyscallResult::Ok(SyscallData::CapData(data(&answer, &[]))),
                });
            }
            Syscall::Subscribe { .. } => SyscallData::Null,
            _ => {
                self.syscalls.push(syscall);
                SyscallData::Null
            }
        };
        Some(SyscallResult::Ok(answer))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        panic!("a malformed syscall: {problem}");
    }

    fn console(&mut self, _source: &str, _level: &str, _text: &str) {}
}
