//! The slog: events of the kernel as lines of JSON in a file.
//!
//! Types and fields are named as in SwingSet's slog, so that tools written for it read this one: `kernel-init-start`,
//! `kernel-init-finish`, `create-vat`, `vat-startup-start`, `vat-startup-finish`, `console`, `crank-start`,
//! `crank-finish` (with `crankhash`, the link of Capstan's crank chain), `deliver`, `deliver-result`, `syscall`,
//! `syscall-result`, `clist`, `terminate`, `vat-cleanup`, `vat-cleanup-complete`, `start-replay`, `finish-replay`,
//! `heap-snapshot-save`, `heap-snapshot-load`, and of the chain `cosmic-swingset-bootstrap-block-start` and `-finish`,
//! `cosmic-swingset-begin-block`, `cosmic-swingset-end-block-start` and `-finish`, `cosmic-swingset-commit-block-start`
//! and `-finish`, `cosmic-swingset-after-commit-block`. As there, `create-vat` and `vat-startup-…` come the first time
//! that this process brings a vat into memory, and what ends something has its `seconds`, except for syscalls. Deliveries
//! that are replayed are not written again. Capstan's own are `device-threw`, `promise-policy` and `vat-upgrade-failed`. Every line has `time`,
//! seconds since 1970, and `monotime`, seconds since the process's slog began. Events of cranks that were undone are
//! there too.

mod events;
mod writer;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capstan_files::Rotation;
use capstan_kernel::slog::{Event, Slog};
use serde_json::json;

use writer::Writer;

/// Handle of a slog file. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct SlogFile(Arc<Mutex<Writer>>);

impl SlogFile {
    /// Opens the file at `path` to append to it, or creates it. `rotation` bounds its size: see [`Rotation`].
    pub fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer::append(path, rotation)?))))
    }

    pub(crate) fn kernel_init(&self) {
        self.writer().start("kernel-init-start", "kernel-init-finish", json!({}));
    }

    pub(crate) fn kernel_ready(&self) {
        self.writer().finish("kernel-init-finish", json!({}));
    }

    pub(crate) fn bootstrap(&self, time: Option<u64>) {
        self.writer().start(
            "cosmic-swingset-bootstrap-block-start",
            "cosmic-swingset-bootstrap-block-finish",
            json!({"blockTime": time}),
        );
    }

    pub(crate) fn bootstrapped(&self, time: Option<u64>) {
        let mut writer = self.writer();
        writer.finish("cosmic-swingset-bootstrap-block-finish", json!({"blockTime": time}));
        writer.flush();
    }

    pub(crate) fn begin_block(&self, height: u64, time: Option<u64>) {
        let mut writer = self.writer();
        let fields = json!({"blockHeight": height, "blockTime": time});
        writer.put("cosmic-swingset-begin-block", fields.clone());
        writer.start("cosmic-swingset-end-block-start", "cosmic-swingset-end-block-finish", fields);
    }

    pub(crate) fn end_block(&self, height: u64, cranks: u64, computrons: u64) {
        let mut writer = self.writer();
        let fields = json!({"blockHeight": height, "cranks": cranks, "computrons": computrons});
        writer.finish("cosmic-swingset-end-block-finish", fields);
        writer.flush();
    }

    pub(crate) fn commit(&self, height: u64) {
        self.writer().start(
            "cosmic-swingset-commit-block-start",
            "cosmic-swingset-commit-block-finish",
            json!({"blockHeight": height}),
        );
    }

    pub(crate) fn committed(&self, height: u64) {
        let mut writer = self.writer();
        writer.finish("cosmic-swingset-commit-block-finish", json!({"blockHeight": height}));
        writer.put("cosmic-swingset-after-commit-block", json!({"blockHeight": height}));
        writer.flush();
    }

    /// Flushes the buffer to the file.
    pub(crate) fn flush(&self) {
        self.writer().flush();
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic cannot leave part of a line, so the lock's state is consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slog for SlogFile {
    fn event(&mut self, event: Event<'_>) {
        self.writer().event(&event);
    }
}
