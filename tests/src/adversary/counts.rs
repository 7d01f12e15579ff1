//! Reference counts made from scratch, of what holds what, against those that the kernel keeps.

use std::collections::{BTreeMap, BTreeSet};

use capstan_kernel::ids::{DeviceId, Endpoint, KRef, RemoteId};
use capstan_kernel::view;
use capstan_kernel_ports::store::Read;
use serde_json::Value;

/// Returns how far the kernel's counts of each object (reachable, recognizable) and promise are from what its tables hold: only for
/// those where they differ. What the kernel pins differs, always by the same.
pub type Differences = BTreeMap<String, (i64, i64)>;

/// The differences in a state between two cranks.
///
/// # Panics
/// If a c-list's two directions contradict each other, or something is held that is not there.
pub fn differences(state: &impl Read) -> Differences {
    let dump = view::dump(state).unwrap();
    let mut counts = Counts::default();
    for row in dump["objects"].as_array().unwrap() {
        counts.expect(&row[0], (row[2].as_i64().unwrap(), row[3].as_i64().unwrap()));
    }
    for row in dump["promises"].as_array().unwrap() {
        counts.expect(&row["id"], (row["refCount"].as_i64().unwrap(), 0));
    }
    let vats = view::vats(state).unwrap();
    for vat in &vats {
        counts.clist(state, Endpoint::Vat(*vat));
        for kref in view::vat_parameters(state, *vat).unwrap() {
            counts.hold(&kref.to_string());
        }
    }
    for remote in (1..).map(RemoteId) {
        if view::remote(state, remote).unwrap().is_none() {
            break;
        }
        counts.clist(state, Endpoint::Remote(remote));
    }
    for device in 0..16 {
        counts.device(state, Endpoint::Device(DeviceId(device)));
    }
    for (_, service) in view::services_after(state, "", usize::MAX).unwrap() {
        counts.hold(&service.kref.to_string());
    }
    for name in ["runQueue", "acceptanceQueue"] {
        dump[name].as_array().unwrap().iter().for_each(|event| counts.event(event));
    }
    let mut sources = BTreeSet::new();
    for promise in dump["promises"].as_array().unwrap() {
        // Promises that share their data hold its references once.
        let source = promise["dataOf"].as_str().or(promise["id"].as_str()).unwrap();
        if sources.insert(source) {
            counts.slots(&promise["data"]);
        }
        let waiting = promise["queue"].as_array().into_iter().flatten();
        waiting.for_each(|message| counts.message(&promise["id"], message));
    }
    counts.0.retain(|_, difference| *difference != (0, 0));
    counts.0
}

/// The kept count of each, less the references that were found.
#[derive(Default)]
struct Counts(Differences);

impl Counts {
    fn expect(&mut self, kref: &Value, kept: (i64, i64)) {
        self.0.insert(kref.as_str().unwrap().to_owned(), kept);
    }

    fn clist(&mut self, state: &impl Read, endpoint: Endpoint) {
        for (kref, entry) in view::clist(state, endpoint).unwrap() {
            let reverse = view::kref_of(state, endpoint, &entry.vref).unwrap();
            assert_eq!(reverse, Some(kref), "{endpoint}: {} leads elsewhere", entry.vref);
            match kref {
                KRef::Promise(_) => self.hold(&kref.to_string()),
                // Objects that it imports: o-50, ro-50.
                KRef::Object(_) if entry.vref.trim_start_matches('r').starts_with("o-") => {
                    self.take(&kref.to_string(), (i64::from(entry.reachable), 1));
                }
                _ => {}
            }
        }
    }

    /// Devices never let go.
    fn device(&mut self, state: &impl Read, device: Endpoint) {
        for (kref, entry) in view::clist(state, device).unwrap() {
            if entry.vref.starts_with("o-") {
                self.hold(&kref.to_string());
            }
        }
    }

    fn event(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "send" => self.message(&event["target"], &event["msg"]),
            "notify" => self.hold(event["kpid"].as_str().unwrap()),
            "create-vat" | "upgrade-vat" => self.slots(&event["vatParameters"]),
            _ => {}
        }
    }

    fn message(&mut self, target: &Value, message: &Value) {
        self.hold(target.as_str().unwrap());
        if let Some(result) = message["result"].as_str() {
            self.hold(result);
        }
        self.slots(&message["methargs"]);
    }

    fn slots(&mut self, data: &Value) {
        for slot in data["slots"].as_array().into_iter().flatten() {
            self.hold(slot.as_str().unwrap());
        }
    }

    fn hold(&mut self, kref: &str) {
        self.take(kref, if kref.starts_with("kp") { (1, 0) } else { (1, 1) });
    }

    fn take(&mut self, kref: &str, count: (i64, i64)) {
        // Device nodes have no counts.
        if kref.starts_with("kd") {
            return;
        }
        let kept = self.0.get_mut(kref).unwrap_or_else(|| panic!("{kref} is held and not there"));
        *kept = (kept.0 - count.0, kept.1 - count.1);
    }
}
