use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::frames::own_frames;

/// A line of the log of vats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VatLine {
    /// Milliseconds since 1970, by the node's clock.
    pub time_ms: u64,
    /// Height of the block. 0 is genesis.
    pub height: u64,
    /// Number of the crank.
    pub crank: u64,
    /// Id of the vat, `vN`.
    pub vat: String,
    /// Name of the vat. Empty if it has none.
    pub name: String,
    /// Level of the line.
    pub level: VatLevel,
    /// Origin of the line: `vat` is the vat's own code, and `kernel` tells what became of the vat.
    pub source: String,
    /// Text of the line, as the vat printed it.
    pub text: String,
}

/// Level of a [`VatLine`]. A level is less than one that tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VatLevel {
    /// Failures and ends of vats, and `console.error`.
    Error,
    /// Rejections that nobody handles, and `console.warn`.
    Warn,
    /// `console.log` and `console.info`.
    Info,
    /// `console.debug`.
    Debug,
}

impl VatLevel {
    /// Returns the level of a method of the console.
    pub(super) fn of(method: &str) -> Self {
        match method {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "log" | "info" => Self::Info,
            _ => Self::Debug,
        }
    }
}

impl fmt::Display for VatLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// Returns the time in milliseconds since 1970. A clock before 1970 is wrong, but that is no reason to stop.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl VatLine {
    /// Returns the text for people. It names the source if that is not the vat's own code.
    pub fn message(&self) -> String {
        match self.source.as_str() {
            "vat" => self.text.clone(),
            source => format!("{source}: {}", self.text),
        }
    }

    /// Returns the number of bytes that count towards the bounds of a block.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.name.len() + 128
    }

    /// Returns whether both tell the same, at whatever time.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        Self { time_ms: other.time_ms, ..self.clone() } == *other
    }

    /// Writes the line to the node's log, without the frames of libraries.
    pub(super) fn trace(&self) {
        let Self { height, crank, vat, name, .. } = self;
        let message = own_frames(&self.message());
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(target: "vat", height, crank, %vat, %name, message = %message)
            };
        }
        match self.level {
            VatLevel::Error => at!(error),
            VatLevel::Warn => at!(warn),
            VatLevel::Info => at!(info),
            VatLevel::Debug => at!(debug),
        }
    }
}
