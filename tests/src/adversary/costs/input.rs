//! Inputs: what somebody makes a chain do, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an attacker does from a chain's first block on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it tries. A changed input keeps the name.
    pub name: String,
    /// The vats that are made first. Messages know them by their index.
    pub vats: Vec<Vat>,
    /// Transactions before the measurement, each in a block of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Vec<Message>>,
    /// The transactions of the first block that is measured. The blocks that their work takes are measured too.
    pub measured: Vec<Vec<Message>>,
}

/// A vat of an [`Input`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vat {
    /// A bundle's name: `wasm` and `js` do what they are told, the start of `endless`, `endlessly-loaded`, `rootless` and
    /// `silent` fails.
    pub bundle: String,
    /// Further options of `createVat`, in smallcaps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

/// A message of a transaction.
///
/// Slots and targets are references of the account, or aliases: `vat0` and on for roots, `admin0` and on for admin objects,
/// `factory` and `timer`. In arguments `@wasm@` stands for a bundle's id, and `@900@` for so many `x`. The slot `ro+1..9` is nine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Message {
    /// A call of a vat of `adversary.c`.
    Program {
        /// The vat's index.
        vat: usize,
        /// What it is to do.
        program: String,
        /// References in the arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slots: Vec<String>,
        /// How often the transaction has it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// A call of a vat of `adversary.js`.
    Steps {
        /// The vat's index.
        vat: usize,
        /// The calls.
        steps: Vec<Value>,
        /// References in the arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slots: Vec<String>,
        /// How often the transaction has it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// A call of any object. The arguments are a smallcaps array.
    Send {
        /// The object.
        to: String,
        /// Its method.
        method: String,
        /// The arguments.
        args: Value,
        /// References in the arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slots: Vec<String>,
        /// How often the transaction has it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// A new vat.
    Create {
        /// The bundle's name.
        bundle: String,
        /// Computrons of its meter.
        computrons: u64,
        /// How often the transaction has it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// An upgrade.
    Upgrade {
        /// The vat's index.
        vat: usize,
        /// The bundle's name.
        bundle: String,
        /// How often the transaction has it.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u32,
    },
    /// The end of a vat.
    Terminate {
        /// The vat's index.
        vat: usize,
    },
    /// The installation of a module with so many functions of so many instructions, as the bundle `grown`.
    Install {
        /// Number of the functions.
        functions: u32,
        /// Additions in each.
        instructions: u32,
    },
}

fn once() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_once(times: &u32) -> bool {
    *times == 1
}

impl Input {
    /// Reads an input from JSON, as [`Input::line`] writes it.
    ///
    /// # Panics
    /// If it is none.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("no input: {error}: {text:.300}"))
    }

    /// The input as one line of JSON.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}

impl Message {
    /// How often the transaction has it.
    pub fn times(&self) -> u32 {
        match self {
            Self::Program { times, .. }
            | Self::Steps { times, .. }
            | Self::Send { times, .. }
            | Self::Create { times, .. }
            | Self::Upgrade { times, .. } => *times,
            Self::Terminate { .. } | Self::Install { .. } => 1,
        }
    }

    /// The same, to be changed. `None` if there is always one.
    pub(super) fn times_mut(&mut self) -> Option<&mut u32> {
        match self {
            Self::Program { times, .. }
            | Self::Steps { times, .. }
            | Self::Send { times, .. }
            | Self::Create { times, .. }
            | Self::Upgrade { times, .. } => Some(times),
            Self::Terminate { .. } | Self::Install { .. } => None,
        }
    }
}
