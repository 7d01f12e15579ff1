//! The configuration of a vat, and the options that it is made of.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;
use serde_json::{Value, json};

use crate::ids::{BundleKind, MeterId};

/// Thresholds of a vat's counters. When one is reached, the vat gets `bringOutYourDead`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReapThreshold {
    /// The threshold for deliveries.
    pub deliveries: Threshold,
    /// References in deliveries of garbage collection.
    pub gc_krefs: Threshold,
    /// The threshold for computrons.
    pub computrons: Threshold,
    /// True if no threshold ever counts.
    pub never: bool,
}

/// A threshold of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Threshold {
    /// The kernel's default, as [`KernelOptions`](crate::KernelOptions) has it.
    #[default]
    Default,
    /// Never: the counter does not count.
    Never,
    /// Reached at this value.
    At(u64),
}

impl Threshold {
    /// Reads `"never"` or a number.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) if text == "never" => Some(Self::Never),
            Value::Number(number) => number.as_u64().map(Self::At),
            _ => None,
        }
    }

    pub(crate) fn or(self, default: Self) -> Self {
        if self == Self::Default { default } else { self }
    }

    fn to_json(self) -> Value {
        match self {
            Self::Default => Value::Null,
            Self::Never => json!("never"),
            Self::At(n) => json!(n),
        }
    }
}

/// Options of a vat that is made at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DynamicOptions {
    /// The name for people.
    pub name: Option<String>,
    /// Stops the chain when the vat ends.
    pub critical: bool,
    /// The [`Meter`](crate::meter::Meter) that pays.
    pub meter: Option<MeterId>,
    /// SwingSet's `managerType`. It is recorded and has no effect, because the bundle says what runs it.
    pub manager_type: Option<String>,
    /// SwingSet's `enableSetup`: a raw vat, which runs the bundle's `setup()` without liveslots.
    pub enable_setup: Option<bool>,
    /// SwingSet's `enableVatstore`: gives its code `vatPowers.vatstore`, as is the default.
    pub enable_vatstore: Option<bool>,
    /// Delivers messages to promises that the vat decides at once.
    pub enable_pipelining: Option<bool>,
    /// Keeps a transcript, as is the default.
    pub use_transcript: Option<bool>,
    /// The [`Threshold`] of deliveries for `bringOutYourDead`.
    pub reap_interval: Threshold,
}

impl DynamicOptions {
    /// Returns the configuration of a vat with these options.
    pub(crate) fn config(&self, bundle_id: String, engine: Hash) -> VatConfig {
        VatConfig {
            name: self.name.clone(),
            is_static: false,
            bundle_id,
            engine,
            critical: self.critical,
            meter: self.meter,
            enable_pipelining: self.enable_pipelining.unwrap_or(false),
            enable_disavow: false,
            enable_vatstore: self.enable_vatstore.unwrap_or(true),
            enable_setup: self.enable_setup.unwrap_or(false),
            use_transcript: self.use_transcript.unwrap_or(true),
            reap: ReapThreshold { deliveries: self.reap_interval, ..ReapThreshold::default() },
            system: false,
            is_upgraded: false,
        }
    }

    /// Returns the options as SwingSet's slog writes them: those that were given, in the order of their
    /// names.
    pub fn to_json(&self) -> Value {
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        };
        put("critical", json!(self.critical));
        put("enablePipelining", json!(self.enable_pipelining));
        put("enableSetup", json!(self.enable_setup));
        put("enableVatstore", json!(self.enable_vatstore));
        put("managerType", json!(self.manager_type));
        put("meterID", json!(self.meter.map(|meter| meter.to_string())));
        put("name", json!(self.name));
        put("reapInterval", self.reap_interval.to_json());
        put("useTranscript", json!(self.use_transcript));
        Value::Object(fields)
    }
}

/// The configuration of a vat. It changes only at creation, upgrade and change of options.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VatConfig {
    /// The name of a static vat, or the label of a dynamic one.
    pub name: Option<String>,
    /// True for a vat of the genesis configuration.
    pub is_static: bool,
    /// The id of its bundle.
    pub bundle_id: String,
    /// The JavaScript engine's image on which this incarnation runs.
    pub engine: Hash,
    /// Stops the chain when the vat ends.
    pub critical: bool,
    /// The [`Meter`](crate::meter::Meter) that pays for it.
    pub meter: Option<MeterId>,
    /// Delivers messages to promises that the vat decides at once.
    pub enable_pipelining: bool,
    /// Gives its code `vatPowers.disavow`.
    pub enable_disavow: bool,
    /// Gives its code `vatPowers.vatstore`.
    pub enable_vatstore: bool,
    /// Runs the bundle's `setup()` without liveslots.
    pub enable_setup: bool,
    /// Keeps a transcript. Without one the vat's worker lives for one delivery: the next one begins with
    /// `setup()` again, over the same store.
    pub use_transcript: bool,
    /// Its own [`ReapThreshold`] for `bringOutYourDead`.
    pub reap: ReapThreshold,
    /// True for a vat of the system. The kernel refuses what is too large for it and undoes the deliveries in
    /// which it fails, so that no stranger can end it. See [`SystemGuard`](crate::limits::SystemGuard).
    pub system: bool,
    /// True from the vat's first upgrade on. Its store is not empty when an incarnation begins.
    pub is_upgraded: bool,
}

impl VatConfig {
    /// Returns true for a vat without liveslots, which makes syscalls itself: a wasm module, or a bundle whose
    /// `setup()` runs.
    pub fn is_raw(&self) -> bool {
        self.enable_setup || BundleKind::from_id(&self.bundle_id) == Some(BundleKind::Wasm)
    }

    /// Checks that the vat can come back into memory. The error says what it lacks.
    pub(crate) fn check_transcript(&self) -> std::result::Result<(), &'static str> {
        match self.use_transcript || self.is_raw() {
            true => Ok(()),
            false => Err(
                "useTranscript: false needs enableSetup: liveslots comes back into memory by its transcript alone",
            ),
        }
    }
}
