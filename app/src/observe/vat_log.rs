//! The log of vats: what they print, and how they fail and end. One thing is one [`VatLine`], and each is written once.
//!
//! Deliveries that are replayed print nothing. A block that is executed again, as after a crash, prints only what it
//! had not printed before.

mod block;
mod file;
mod frames;
mod line;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capstan_files::Rotation;
use capstan_kernel::{
    capdata,
    slog::{Event, Slog},
    vat::{EndKind, VatConfig},
};
use capstan_kernel_ports::VatId;

use block::BlockLines;
use file::LineFile;
pub use frames::own_frames;
pub use line::{VatLevel, VatLine};

/// Handle of the log of vats, which goes to the node's log and to a file, if there is one. Clones are handles of the
/// same log.
#[derive(Clone, Debug, Default)]
pub struct VatLog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    file: Option<LineFile>,
    block: BlockLines,
    crank: u64,
    /// The vat that runs, or that ran last in this crank.
    running: Option<Running>,
    /// Message of the worker about the failure of the delivery. The next line about the vat contains it.
    failure: Option<String>,
}

#[derive(Clone, Debug)]
struct Running {
    vat: VatId,
    name: String,
    is_system: bool,
}

/// The source of lines that liveslots prints.
const LIVESLOTS: &str = "ls";
/// The source of lines that the worker's supervisor prints.
const SUPERVISOR: &str = "xsnap";
/// The source of lines about a vat that the kernel tells.
const KERNEL: &str = "kernel";

impl VatLog {
    /// Opens the file at `path` to append to it, or creates it. `rotation` bounds its size.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let file = LineFile::append(path, rotation)?;
        Ok(Self(Arc::new(Mutex::new(Inner { file: Some(file), ..Inner::default() }))))
    }

    /// Finds the lines that an earlier process wrote of the block after the committed one.
    pub(crate) fn resume(&self, committed: u64) {
        let mut inner = self.inner();
        let next = committed + 1;
        let lines = inner.file.as_ref().map(|file| file.last_lines(next)).unwrap_or_default();
        inner.block = BlockLines::executed(next, lines);
    }

    pub(crate) fn begin_block(&self, height: u64) {
        self.inner().block.begin(height);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves whole lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slog for VatLog {
    fn event(&mut self, event: Event<'_>) {
        self.inner().event(&event);
    }
}

impl Inner {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::CrankStart { crank, .. } => {
                self.crank = *crank;
                self.running = None;
            }
            Event::WorkerStart { vat, config } | Event::Deliver { vat, config, .. } => {
                self.runs(*vat, config);
            }
            Event::Console { vat, source, level, text } => self.console(*vat, source, level, text),
            Event::DeviceThrew { device, method, why } => self.device_threw(device, method, why),
            Event::UpgradeFailed { vat, cause } => {
                let cause = self.cause(*vat, cause);
                let text = format!("the upgrade failed and is undone: {cause}");
                self.tell(*vat, None, VatLevel::Error, &text);
            }
            Event::DeliveryLost { vat, cause } => {
                let cause = self.cause(*vat, &capdata::message(&cause.body));
                let text = format!("a delivery failed and is undone: {cause}");
                self.tell(*vat, None, VatLevel::Error, &text);
            }
            Event::Terminate { vat, name, kind: EndKind::Failed, info } => {
                let cause = self.cause(*vat, &capdata::message(&info.body));
                let text = format!("the vat ended by a failure: {cause}");
                self.tell(*vat, *name, VatLevel::Error, &text);
            }
            Event::Terminate { vat, name, kind, info } => {
                let how = match kind {
                    EndKind::Terminated => "the vat was terminated",
                    _ => "the vat ended",
                };
                let text = format!("{how}: {}", capdata::message(&info.body));
                self.tell(*vat, *name, VatLevel::Info, &text);
            }
            Event::CrankFinish { .. } => {
                if let (Some(failure), Some(Running { vat, .. })) =
                    (self.failure.take(), self.running.clone())
                {
                    self.tell(vat, None, VatLevel::Error, &failure);
                }
            }
            _ => {}
        }
    }

    fn runs(&mut self, vat: VatId, config: &VatConfig) {
        self.failure = None;
        let name = config.name.clone().unwrap_or_default();
        self.running = Some(Running { vat, name, is_system: config.system });
    }

    fn console(&mut self, vat: VatId, source: &str, level: &str, text: &str) {
        let (source, level) = match source {
            SUPERVISOR => {
                self.failure.get_or_insert_with(|| text.to_owned());
                return;
            }
            // A vat of the system passes on what other vats have said already.
            LIVESLOTS if self.is_system(vat) => ("liveslots", VatLevel::Debug),
            LIVESLOTS => ("liveslots", VatLevel::of(level)),
            source => (source, VatLevel::of(level)),
        };
        self.write(vat, None, level, source, text);
    }

    /// Tells why a call of a device failed. The vat itself is only told to look here.
    fn device_threw(&mut self, device: &str, method: &str, why: &str) {
        let Some(Running { vat, is_system, .. }) = self.running.clone() else { return };
        // A vat of the system passes on why.
        let level = if is_system { VatLevel::Debug } else { VatLevel::Warn };
        self.tell(vat, None, level, &format!("device {device} failed in {method}: {why}"));
    }

    fn is_system(&self, vat: VatId) -> bool {
        self.running.as_ref().is_some_and(|running| running.vat == vat && running.is_system)
    }

    /// Returns what is known about the failure of a vat: the worker's words, with the place, or else `told`.
    fn cause(&mut self, vat: VatId, told: &str) -> String {
        let is_running = self.running.as_ref().is_some_and(|running| running.vat == vat);
        let said = self.failure.take_if(|_| is_running);
        said.unwrap_or_else(|| told.to_owned())
    }

    fn tell(&mut self, vat: VatId, name: Option<&str>, level: VatLevel, text: &str) {
        self.write(vat, name, level, KERNEL, text);
    }

    fn write(&mut self, vat: VatId, name: Option<&str>, level: VatLevel, source: &str, text: &str) {
        let running = self.running.as_ref().filter(|running| running.vat == vat);
        let name = name.or(running.map(|running| running.name.as_str())).unwrap_or_default();
        let line = VatLine {
            time_ms: line::now(),
            height: self.block.height(),
            crank: self.crank,
            vat: vat.to_string(),
            name: name.to_owned(),
            level,
            source: source.to_owned(),
            text: text.to_owned(),
        };
        for line in self.block.admit(line) {
            line.trace();
            if let Some(file) = &mut self.file {
                file.write(&line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_of_a_device_is_told_with_its_cause() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vats.jsonl");
        let log = VatLog::append(&path, Rotation { max_bytes: 1 << 20, keep: 1 }).unwrap();
        for is_system in [false, true] {
            let name = "lamp".to_owned();
            let mut inner = log.inner();
            inner.running = Some(Running { vat: VatId(7), name, is_system });
            let why = "no such port";
            inner.event(&Event::DeviceThrew { device: "bridge", method: "callOutbound", why });
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<VatLine> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = "device bridge failed in callOutbound: no such port";
        assert!(lines.iter().all(|line| (line.vat.as_str(), line.text.as_str()) == ("v7", told)));
        let levels: Vec<VatLevel> = lines.iter().map(|line| line.level).collect();
        assert_eq!(levels, [VatLevel::Warn, VatLevel::Debug]);
    }
}
