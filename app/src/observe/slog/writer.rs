use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    time::{Instant, SystemTime},
};

use capstan_files::{RotatingFile, Rotation};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};

/// Writer of lines, with what it has to remember between events.
#[derive(Debug)]
pub(super) struct Writer {
    out: RotatingFile,
    began: Instant,
    /// Start times of unfinished activities, by the type of the line that will end each.
    pub(super) under_way: BTreeMap<&'static str, Instant>,
    /// Vats that this process has brought into memory before.
    pub(super) known: BTreeSet<VatId>,
    /// Vat that is being brought into memory for the first time, or `None`.
    pub(super) starting: Option<VatId>,
    pub(super) crank: u64,
    pub(super) hash: Option<String>,
    pub(super) delivery: Option<(String, u64)>,
    pub(super) syscalls: u64,
    failed: bool,
}

impl Writer {
    /// Opens the file at `path` to append to it, or creates it.
    pub(super) fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Ok(Self {
            out: RotatingFile::append(path, rotation)?,
            began: Instant::now(),
            under_way: BTreeMap::new(),
            known: BTreeSet::new(),
            starting: None,
            crank: 0,
            hash: None,
            delivery: None,
            syscalls: 0,
            failed: false,
        })
    }

    /// Adds to `fields` those that name the current delivery.
    pub(super) fn about(&self, mut fields: Value) -> Value {
        if let Some((vat, number)) = &self.delivery {
            fields["crankNum"] = json!(self.crank);
            fields["vatID"] = json!(vat);
            fields["deliveryNum"] = json!(number);
        }
        fields
    }

    /// Writes the first line of an activity, which a line of the type `end` will end.
    pub(super) fn start(&mut self, kind: &str, end: &'static str, fields: Value) {
        self.put(kind, fields);
        self.under_way.insert(end, Instant::now());
    }

    /// Writes the last line of an activity.
    pub(super) fn finish(&mut self, kind: &'static str, mut fields: Value) {
        fields["seconds"] = json!(self.seconds(kind));
        self.put(kind, fields);
    }

    /// Returns the duration, in seconds, of the activity that a line of the type `end` ends.
    pub(super) fn seconds(&mut self, end: &'static str) -> Option<f64> {
        self.under_way.remove(end).map(|began| began.elapsed().as_secs_f64())
    }

    pub(super) fn put(&mut self, kind: &str, fields: Value) {
        // A clock before 1970 is wrong, but that is no reason to stop.
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut line = json!({"type": kind});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
            line.insert("time".to_owned(), json!(time.as_secs_f64()));
            line.insert("monotime".to_owned(), json!(self.began.elapsed().as_secs_f64()));
        }
        let written = self.out.write_line(&line.to_string());
        self.note(written);
    }

    pub(super) fn flush(&mut self) {
        let flushed = self.out.flush();
        self.note(flushed);
    }

    /// Logs the first of several failures in a row. A node goes on without its slog.
    fn note(&mut self, outcome: io::Result<()>) {
        if let (Err(error), false) = (&outcome, self.failed) {
            tracing::warn!(%error, "the slog cannot be written");
        }
        self.failed = outcome.is_err();
    }
}
