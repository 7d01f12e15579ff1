//! The log of vats that run without a chain, and what a run is judged by besides its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_app::VatLog;
use capstan_kernel::slog::{Event, Slog};
use capstan_kernel_ports::VatId;

/// Maximum number of unhandled rejections whose texts are kept.
const MAX_KEPT: usize = 100;

/// Beginning of a line about a rejection that nothing in its vat handles.
const UNHANDLED: &str = "unhandled rejection: ";

/// Text of an error that a device's caller sees in place of the cause.
const SEE_LOGS: &str = "device.invoke failed, see logs for details";

/// Handle of what was seen. Clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    log: VatLog,
    unhandled: Unhandled,
    /// The last call that a device refused, with the reason.
    refusal: Option<String>,
}

/// Rejections that nothing handled.
#[derive(Clone, Debug, Default)]
pub(super) struct Unhandled {
    pub(super) count: u64,
    /// The vats and texts of the first ones.
    pub(super) first: Vec<(VatId, String)>,
}

impl Watch {
    /// Returns the rejections that nothing handled so far.
    pub(super) fn unhandled(&self) -> Unhandled {
        self.seen().unhandled.clone()
    }

    /// Adds the cause to the text of an error that hides why a device refused a call.
    pub(super) fn with_cause(&self, text: String) -> String {
        match &self.seen().refusal {
            Some(why) if text.contains(SEE_LOGS) => format!("{text}: {why}"),
            _ => text,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic leaves whole lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slog for Watch {
    fn event(&mut self, event: Event<'_>) {
        let mut seen = self.seen();
        match &event {
            Event::Console { vat, source: "vat", level: "warn", text } => {
                if let Some(reason) = text.strip_prefix(UNHANDLED) {
                    seen.unhandled.add(*vat, reason);
                }
            }
            Event::DeviceThrew { device, method, why } => {
                let text = format!("the device {device} refused {method}(): {why}");
                tracing::warn!("{text}");
                seen.refusal = Some(text);
            }
            _ => {}
        }
        seen.log.event(event);
    }
}

impl Unhandled {
    fn add(&mut self, vat: VatId, reason: &str) {
        self.count += 1;
        if self.first.len() < MAX_KEPT {
            self.first.push((vat, reason.to_owned()));
        }
    }
}
