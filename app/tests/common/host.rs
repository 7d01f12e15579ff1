//! A vat host without wasm: every vat does what its messages say. Whatever it knows follows from its
//! deliveries, so replay brings it back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use capstan_abi::{
    CapData, Delivery, DeliveryResult, Message, Resolution, Syscall, SyscallData, SyscallResult,
};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HostFault, SourceRefused, Start, StartVerdict, Syscalls, VatHost, WorkerOptions,
        WorkerSource,
    },
};
use serde_json::{Value, json};

/// Computrons of every delivery.
pub const DELIVERY: u64 = 10_000;
/// Computrons of a `work` message.
pub const WORK: u64 = 60_000_000;

/// Vats by id, with the number of the next export of each.
#[derive(Debug, Default)]
pub struct FakeHost {
    running: BTreeMap<VatId, u64>,
    /// Deliveries so far, replays included.
    pub deliveries: Arc<Mutex<u64>>,
}

impl VatHost for FakeHost {
    fn engine(&self) -> Hash {
        Hash([7; 32])
    }

    fn validate(&self, module: &[u8]) -> StartVerdict {
        match module.starts_with(b"bad") {
            true => {
                Err(SourceRefused("import env.clock is not allowed: only capstan.* are".to_owned()))
            }
            false => Ok(()),
        }
    }

    fn start(
        &mut self,
        vat: VatId,
        _source: &WorkerSource,
        _options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.running.insert(vat, 1);
        Ok(Start::free(Ok(())))
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        _limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        *self.deliveries.lock().unwrap() += 1;
        let next = self
            .running
            .get_mut(&vat)
            .ok_or_else(|| HostFault::Missing(format!("{vat} is not started")))?;
        let mut computrons = DELIVERY;
        let mut result = DeliveryResult::Ok;
        if let Delivery::Message { target, message } = delivery {
            let mut worker = Worker { next, syscalls };
            match worker.message(target, message) {
                Outcome::Done => {}
                Outcome::Worked => computrons = WORK,
                Outcome::Died => {
                    result = DeliveryResult::Error("Compute meter exceeded".into());
                    return Ok(Delivered { result, computrons: None, test_log: vec![] });
                }
            }
        }
        Ok(Delivered { result, computrons: Some(Computrons(computrons)), test_log: vec![] })
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.running.contains_key(&vat)
    }

    fn stop(&mut self, vat: VatId) {
        self.running.remove(&vat);
    }

    fn heap(&self, _vat: VatId) -> Option<(Hash, u64)> {
        None
    }
}

enum Outcome {
    Done,
    Worked,
    Died,
}

struct Worker<'a> {
    next: &'a mut u64,
    syscalls: &'a mut dyn Syscalls,
}

impl Worker<'_> {
    fn message(&mut self, target: &str, message: &Message) -> Outcome {
        let methargs: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
        let args = methargs[1].to_string();
        let slots = message.methargs.slots.clone();
        match methargs[0].as_str().unwrap() {
            "provision" => {
                let factory = self.export();
                let key = format!("payer.{factory}").into();
                let value = methargs[1][0].as_str().unwrap().into();
                self.syscall(Syscall::VatstoreSet { key, value });
                self.answer(message, false, "\"$0.Alleged: factory\"", vec![factory]);
            }
            // [bundle, options]: buys the computrons through the bridge, the first of its devices.
            "createVat" => {
                if !self.buy(target, &methargs[1][1]["computrons"]) {
                    let body = "{\"#error\":\"not paid\",\"name\":\"Error\"}";
                    self.answer(message, true, body, vec![]);
                    return Outcome::Done;
                }
                let (admin, root) = (self.export(), self.export());
                let body = "{\"adminNode\":\"$0.Alleged: admin\",\"root\":\"$1.Alleged: root\"}";
                self.answer(message, false, body, vec![admin, root]);
            }
            // [target]: sends it `hello` with a promise of its own for the answer.
            "call" => {
                let methargs = CapData { body: "#[\"hello\",[]]".to_owned(), slots: vec![] };
                let result = format!("p+{}", self.number());
                let send = Message { methargs, result: Some(result.clone()) };
                self.syscall(Syscall::Send { target: slots[0].clone(), message: send });
                self.syscall(Syscall::Subscribe { promise: result.clone() });
                self.answer(message, false, "\"called\"", vec![]);
            }
            "set" => {
                let value = args.as_str().into();
                self.syscall(Syscall::VatstoreSet { key: "value".into(), value });
                self.answer(message, false, &args, vec![]);
            }
            "get" => {
                let got = self.syscall(Syscall::VatstoreGet { key: "value".into() });
                let text = match got {
                    Some(SyscallResult::Ok(SyscallData::Text(text))) => text.to_string(),
                    _ => "null".to_owned(),
                };
                self.answer(message, false, &text, vec![]);
            }
            "fail" => self.answer(message, true, "{\"#error\":\"no\",\"name\":\"Error\"}", vec![]),
            "never" => {}
            "work" => {
                self.answer(message, false, "\"worked\"", vec![]);
                return Outcome::Worked;
            }
            "die" => return Outcome::Died,
            _ => self.answer(message, false, &args, slots),
        }
        Outcome::Done
    }

    fn buy(&mut self, factory: &str, computrons: &Value) -> bool {
        let key = format!("payer.{factory}").into();
        let payer = match self.syscall(Syscall::VatstoreGet { key }) {
            Some(SyscallResult::Ok(SyscallData::Text(payer))) => payer.to_string(),
            other => panic!("nobody was given {factory}: {other:?}"),
        };
        let number = computrons.as_str().unwrap().trim_start_matches('+');
        let request = json!({"type": "buy", "payer": payer, "computrons": number});
        let args = CapData { body: format!("#{}", json!(["computrons", request])), slots: vec![] };
        let (target, method) = ("d-70".to_owned(), "callOutbound".into());
        match self.syscall(Syscall::CallNow { target, method, args }) {
            Some(SyscallResult::Ok(SyscallData::CapData(answer))) => !answer.body.contains("error"),
            other => panic!("the bridge failed: {other:?}"),
        }
    }

    fn answer(&mut self, message: &Message, rejected: bool, body: &str, slots: Vec<String>) {
        let Some(promise) = message.result.clone() else { return };
        let data = CapData { body: format!("#{body}"), slots };
        self.syscall(Syscall::Resolve {
            resolutions: vec![Resolution { promise, rejected, data }],
        });
    }

    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        self.syscalls.syscall(syscall)
    }

    fn export(&mut self) -> String {
        format!("o+{}", self.number())
    }

    fn number(&mut self) -> u64 {
        *self.next += 1;
        *self.next
    }
}
