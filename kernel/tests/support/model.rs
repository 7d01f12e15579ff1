//! Reference counts made from scratch, of what holds what: to compare with those that the kernel keeps.

use std::collections::{BTreeMap, BTreeSet};

use capstan_kernel::{
    ids::{DeviceId, Endpoint, KRef},
    subcluster::IoState,
    view,
};
use capstan_kernel_ports::{memory::MemoryState, store::Read as _};
use serde_json::Value;

/// Counts made from scratch, from what holds what.
#[derive(Default)]
pub(crate) struct Model {
    objects: BTreeMap<String, (u64, u64)>,
    promises: BTreeMap<String, u64>,
}

/// Compares what vats keep with what the kernel has counted, crank by crank.
fn check_kept(state: &MemoryState) {
    for (vat, kept) in view::count_kept(state).unwrap() {
        let record = view::vat_state(state, vat).unwrap().unwrap();
        assert_eq!(record.kept, kept, "what {vat} keeps");
    }
}

/// Compares what vats keep with what the kernel has counted, and their deposits with the price of a byte.
pub(crate) fn check_deposits(state: &MemoryState, price: u64) {
    check_kept(state);
    for vat in view::vats(state).unwrap() {
        let record = view::vat_state(state, vat).unwrap().unwrap();
        let meter = view::vat_config(state, vat).unwrap().unwrap().meter;
        let price = if meter.is_some() { u128::from(price) } else { 0 };
        assert_eq!(record.deposit, u128::from(record.kept.total()) * price, "deposit of {vat}");
    }
}

impl Model {
    /// Counts what holds what. `boot` names the bootstrap vat.
    pub(crate) fn of(state: &MemoryState, dump: &Value) -> Self {
        check_kept(state);
        let mut model = Self::default();
        for row in dump["objects"].as_array().unwrap() {
            model.objects.insert(row[0].as_str().unwrap().to_owned(), (0, 0));
        }
        let running = view::kernel_status(state).unwrap().running_vats;
        assert_eq!(running, view::live_vats(state).unwrap().len() as u64);
        model.count_clists(state);
        model.count_parameters(state);
        for name in ["runQueue", "acceptanceQueue"] {
            dump[name].as_array().unwrap().iter().for_each(|event| model.count_event(event));
        }
        let mut counted = BTreeSet::new();
        for promise in dump["promises"].as_array().unwrap() {
            // Promises that share their data hold its references once.
            let source = promise["dataOf"].as_str().or(promise["id"].as_str()).unwrap();
            if counted.insert(source) {
                model.count_slots(&promise["data"]);
            }
            let waiting = promise["queue"].as_array().into_iter().flatten();
            waiting.for_each(|message| model.count_message(&promise["id"], message));
        }
        // Pinned: the roots of vatAdmin, of the bootstrap vat and of vats that the host started. Held by the host:
        // bootstrap's result.
        for (key, _) in state.scan(b"k.pin.").unwrap() {
            model.hold(std::str::from_utf8(&key[b"k.pin.".len()..]).unwrap());
        }
        model.hold("kp40");
        for (_, value) in state.scan(b"k.io.").unwrap() {
            let channel: IoState = borsh::from_slice(&value).unwrap();
            channel.readers.iter().for_each(|reader| model.hold(&reader.to_string()));
        }
        for (_, service) in view::services_after(state, "", usize::MAX).unwrap() {
            model.hold(&service.kref.to_string());
        }
        model
    }

    fn count_clists(&mut self, state: &MemoryState) {
        for vat in view::vats(state).unwrap() {
            for (kref, entry) in view::clist(state, Endpoint::Vat(vat)).unwrap() {
                let reverse = view::kref_of(state, Endpoint::Vat(vat), &entry.vref).unwrap();
                assert_eq!(reverse, Some(kref), "{vat}: {} leads elsewhere", entry.vref);
                match kref {
                    KRef::Promise(_) => *self.promises.entry(kref.to_string()).or_default() += 1,
                    KRef::Object(_) if entry.vref.starts_with("o-") => {
                        let counts = self.objects.entry(kref.to_string()).or_default();
                        counts.0 += u64::from(entry.reachable);
                        counts.1 += 1;
                    }
                    _ => {}
                }
            }
        }
    }

    /// What vats were started with is held for as long as their records are kept: for good.
    fn count_parameters(&mut self, state: &MemoryState) {
        for vat in view::vats(state).unwrap() {
            for kref in view::vat_parameters(state, vat).unwrap() {
                self.hold(&kref.to_string());
            }
        }
        // Devices have seen them, and never let go.
        for device in (1..20).map(|number| Endpoint::Device(DeviceId(number))) {
            for (kref, entry) in view::clist(state, device).unwrap() {
                if entry.vref.starts_with("o-") {
                    self.hold(&kref.to_string());
                }
            }
            self.count_device_records(state, device);
        }
    }

    /// Counts the results that a device keeps and the answers that it waits for.
    fn count_device_records(&mut self, state: &MemoryState, device: Endpoint) {
        let prefix = format!("k.s.{device}.");
        for (key, value) in state.scan(prefix.as_bytes()).unwrap() {
            let name = String::from_utf8(key[prefix.len()..].to_vec()).unwrap();
            if let Some(promise) = name.strip_prefix("awaited.") {
                self.hold(promise);
            } else if name.starts_with("deferred.") {
                self.hold(&borsh::from_slice::<KRef>(&value).unwrap().to_string());
            }
        }
    }

    fn count_event(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "send" => self.count_message(&event["target"], &event["msg"]),
            "notify" => self.hold(event["kpid"].as_str().unwrap()),
            "create-vat" | "upgrade-vat" => self.count_slots(&event["vatParameters"]),
            _ => {}
        }
    }

    fn count_message(&mut self, target: &Value, message: &Value) {
        self.hold(target.as_str().unwrap());
        if let Some(result) = message["result"].as_str() {
            self.hold(result);
        }
        self.count_slots(&message["methargs"]);
    }

    fn count_slots(&mut self, data: &Value) {
        for slot in data["slots"].as_array().into_iter().flatten() {
            self.hold(slot.as_str().unwrap());
        }
    }

    fn hold(&mut self, kref: &str) {
        if kref.starts_with("kp") {
            *self.promises.entry(kref.to_owned()).or_default() += 1;
        } else if let Some(counts) = self.objects.get_mut(kref) {
            counts.0 += 1;
            counts.1 += 1;
        }
    }

    /// Compares with what the kernel keeps.
    pub(crate) fn check(&self, dump: &Value, context: &str) {
        for row in dump["objects"].as_array().unwrap() {
            let kref = row[0].as_str().unwrap();
            let kept = (row[2].as_u64().unwrap(), row[3].as_u64().unwrap());
            assert_eq!(Some(&kept), self.objects.get(kref), "counts of {kref} {context}");
            assert!(
                !(row[1].is_null() && kept.1 == 0),
                "orphan {kref} was not collected {context}"
            );
        }
        for row in dump["promises"].as_array().unwrap() {
            let kref = row["id"].as_str().unwrap();
            let counted = self.promises.get(kref).copied().unwrap_or_default();
            assert_eq!(row["refCount"].as_u64(), Some(counted), "count of {kref} {context}");
            assert!(counted > 0, "promise {kref} was not collected {context}");
        }
    }
}
