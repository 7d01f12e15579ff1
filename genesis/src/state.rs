//! The application's part of the document.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Address, Amount, BundleId, GenesisError, GenesisSubcluster, Params, invalid, subcluster,
};

/// The `app_state` of a genesis document: the application's initial state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppState {
    /// The initial [`GenesisAccount`]s. Their account numbers follow the order of this list.
    pub accounts: Vec<GenesisAccount>,
    /// The chain's initial [`Params`].
    #[serde(default)]
    pub params: Params,
    /// The [`GenesisBundle`]s that are installed from the start.
    #[serde(default)]
    pub bundles: Vec<GenesisBundle>,
    /// The options and static vats of the kernel, as [`GenesisKernel`].
    #[serde(default)]
    pub kernel: GenesisKernel,
    /// The exported state with which the chain starts, as [`FromState`]. It excludes accounts, bundles and vats in this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_state: Option<FromState>,
}

/// A reference to an exported state with which a chain starts.
///
/// It is the state of another chain, or of the same chain before it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromState {
    /// The height at which the state was committed. The new chain's first block has the next height.
    pub height: u64,
    /// The app hash after that block: 64 hexadecimal digits.
    pub root: String,
    /// The length of the exported file in bytes.
    pub bytes: u64,
    /// The SHA-256 of the exported file: 64 hexadecimal digits.
    pub sha256: String,
    /// The vats that are no longer critical. The chain continues if they terminate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncritical: Vec<String>,
}

/// An initial account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// The account's [`Address`].
    pub address: Address,
    /// The account's initial balance, an [`Amount`].
    pub balance: Amount,
    /// A name for people. The chain does not use it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// An initially installed bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisBundle {
    /// The [`BundleId`]. The chain does not start if the bundle has another one.
    pub id: BundleId,
    /// The name under which vats find the bundle (`getNamedBundleCap`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The bundle in base64: an Endo zip archive, the JSON record in which Agoric's tools wrap one, or a WebAssembly
    /// module.
    pub base64: String,
}

/// The initial options and static vats of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenesisKernel {
    /// The static vats, each a [`GenesisVat`], by name. `vatAdmin` must be one of them.
    pub vats: BTreeMap<String, GenesisVat>,
    /// The static vat that receives the message `bootstrap(vats, devices)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    /// The static vat whose root object provisions new accounts.
    ///
    /// It receives `provision(address)` and returns the account's factory object. If this is `None`, accounts receive
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
    /// The [`GenesisDevice`]s that bootstrap receives besides `vatAdmin` and `bridge`, which always exist.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub devices: BTreeSet<GenesisDevice>,
    /// The [`GenesisSubcluster`]s that are launched after bootstrap, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system_subclusters: Vec<GenesisSubcluster>,
    /// The [`GenesisService`]s of the kernel, which bootstrap receives as a third argument if there are any.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<GenesisService>,
    /// The number of deliveries after which a vat receives `bringOutYourDead`. 0 turns this trigger off.
    pub reap_interval: u64,
    /// The number of collected references after which a vat receives `bringOutYourDead`. 0 turns this trigger off.
    pub reap_gc_krefs: u64,
    /// Lets durable kinds of all vats hold what is not durable. This is for experiments.
    pub relax_durability_rules: bool,
}

/// A device that a chain may do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GenesisDevice {
    /// The timer: wakes vats at given block times.
    Timer,
    /// The mailbox: numbered messages to and from other machines, for SwingSet's vat-tp.
    Mailbox,
    /// The bundle device: finds installed bundles.
    Bundle,
}

/// A service of the kernel: an object that the kernel, and not a vat, answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GenesisService {
    /// The kernel itself: status, messages, and other services. For the system alone.
    KernelFacet,
    /// The chain: id, height, block time, parameters. Every account can look it up as `chain/info`.
    Chain,
    /// The validators: who they are, and their powers, which can be set. For the system alone.
    Validators,
    /// The vats' side of the mailbox. For the system alone.
    Mailbox,
    /// The outer side of the mailbox. For the system alone.
    MailboxConveyor,
    /// The vats' side of the bridge. For the system alone.
    Bridge,
    /// The outer side of the bridge. For the system alone.
    BridgeConveyor,
}

impl GenesisService {
    /// Returns the service of that name, or `None` if only a vat can register one.
    pub fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(Value::String(name.to_owned())).ok()
    }
}

/// A static vat, which exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisVat {
    /// The vat's bundle. It must be one of [`AppState::bundles`].
    pub bundle: BundleId,
    /// The vat's `vatParameters`, in plain JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// `true` if the chain stops when this vat terminates.
    #[serde(default)]
    pub critical: bool,
    /// `true` for a system vat, which serves all users of the chain.
    ///
    /// The kernel refuses messages that are too large for it, and no delivery can terminate it.
    #[serde(default)]
    pub system: bool,
    /// `true` if the vat receives `vatPowers.disavow`.
    #[serde(default)]
    pub enable_disavow: bool,
    /// `true`, as is the default, if the vat receives `vatPowers.vatstore`.
    #[serde(default = "enabled", skip_serializing_if = "is_enabled")]
    pub enable_vatstore: bool,
    /// `true` for a raw vat: the bundle's default export `setup()` takes its deliveries, without liveslots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_setup: bool,
    /// `true` if messages to promises that this vat decides are delivered to it at once (pipelining).
    #[serde(default)]
    pub enable_pipelining: bool,
    /// The vat's own [`reap_interval`](GenesisKernel::reap_interval). 0 means that it never receives `bringOutYourDead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reap_interval: Option<u64>,
}

fn enabled() -> bool {
    true
}

fn is_enabled(option: &bool) -> bool {
    *option
}

impl Default for GenesisKernel {
    fn default() -> Self {
        Self {
            vats: BTreeMap::new(),
            bootstrap: None,
            provisioner: None,
            devices: BTreeSet::new(),
            system_subclusters: Vec::new(),
            services: BTreeSet::new(),
            reap_interval: 100,
            reap_gc_krefs: 20,
            relax_durability_rules: false,
        }
    }
}

impl GenesisVat {
    /// Returns a vat of `bundle` with default options and no parameters.
    pub fn new(bundle: BundleId) -> Self {
        Self {
            bundle,
            parameters: Value::Null,
            critical: false,
            system: false,
            enable_disavow: false,
            enable_vatstore: true,
            enable_setup: false,
            enable_pipelining: false,
            reap_interval: None,
        }
    }
}

impl GenesisBundle {
    /// Returns a bundle with this content. Whether `id` is right is checked when the chain starts.
    pub fn new(id: BundleId, name: Option<String>, bytes: &[u8]) -> Self {
        Self { id, name, base64: STANDARD.encode(bytes) }
    }

    /// Decodes the content. Returns a [`GenesisError`] if it is not base64.
    pub fn bytes(&self) -> Result<Vec<u8>, GenesisError> {
        let problem = |e| invalid(format!("app_state.bundles[{}].base64", self.id), format!("{e}"));
        STANDARD.decode(&self.base64).map_err(problem)
    }
}

impl AppState {
    /// Reads an `app_state` from the JSON that consensus passes to `InitChain`, and validates it.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        let state: Self = serde_json::from_slice(json)?;
        state.validate()?;
        Ok(state)
    }

    /// Checks everything that can be checked without running the chain. A [`GenesisError`] names the field at fault.
    pub fn validate(&self) -> Result<(), GenesisError> {
        self.params.validate()?;
        if let Some(from) = &self.from_state {
            return self.validate_from(from);
        }
        self.validate_accounts()?;
        self.validate_bundles()?;
        self.validate_kernel()
    }

    /// Returns the sum of all balances. [`AppState::validate`] refuses a sum that overflows.
    pub fn supply(&self) -> Amount {
        Amount(self.accounts.iter().fold(0u128, |sum, a| sum.saturating_add(a.balance.0)))
    }

    fn validate_from(&self, from: &FromState) -> Result<(), GenesisError> {
        let has_more = !self.accounts.is_empty()
            || !self.bundles.is_empty()
            || self.kernel != GenesisKernel::default();
        if has_more {
            let problem = "must stand alone: accounts, bundles and kernel come with the state";
            return Err(invalid("app_state.from_state", problem));
        }
        let is_hash = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        for (name, hash) in [("root", &from.root), ("sha256", &from.sha256)] {
            if !is_hash(hash) {
                let field = format!("app_state.from_state.{name}");
                return Err(invalid(field, "must be 64 lower-case hex digits"));
            }
        }
        match from.height {
            0 => Err(invalid("app_state.from_state.height", "must be at least 1")),
            _ => Ok(()),
        }
    }

    fn validate_accounts(&self) -> Result<(), GenesisError> {
        let mut seen = BTreeSet::new();
        let mut supply = Amount(0);
        for (i, account) in self.accounts.iter().enumerate() {
            let field = |name: &str| format!("app_state.accounts[{i}].{name}");
            if !seen.insert(account.address) {
                return Err(invalid(field("address"), format!("{} stands twice", account.address)));
            }
            supply = supply.checked_add(account.balance).ok_or_else(|| {
                invalid(field("balance"), "the sum of all balances exceeds 2^128")
            })?;
        }
        Ok(())
    }

    fn validate_bundles(&self) -> Result<(), GenesisError> {
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (i, bundle) in self.bundles.iter().enumerate() {
            let field = |name: &str| format!("app_state.bundles[{i}].{name}");
            if !ids.insert(&bundle.id) {
                return Err(invalid(field("id"), format!("{} stands twice", bundle.id)));
            }
            if let Some(name) = &bundle.name
                && !names.insert(name)
            {
                return Err(invalid(field("name"), format!("{name:?} stands twice")));
            }
            let size = bundle.bytes()?.len() as u64;
            if size > self.params.max_bundle_bytes {
                let problem = format!("{size} bytes, more than max_bundle_bytes");
                return Err(invalid(field("base64"), problem));
            }
        }
        Ok(())
    }

    fn validate_kernel(&self) -> Result<(), GenesisError> {
        for (name, vat) in &self.kernel.vats {
            let field = format!("app_state.kernel.vats.{name}");
            if !is_vat_name(name) {
                let problem = "a vat's name is 1 to 64 letters, digits, _ or -";
                return Err(invalid(field, problem));
            }
            if !self.bundles.iter().any(|bundle| bundle.id == vat.bundle) {
                let problem = format!("{} is not one of app_state.bundles", vat.bundle);
                return Err(invalid(format!("{field}.bundle"), problem));
            }
        }
        let named =
            [("bootstrap", &self.kernel.bootstrap), ("provisioner", &self.kernel.provisioner)];
        for (field, name) in named {
            if let Some(name) = name
                && !self.kernel.vats.contains_key(name)
            {
                let problem = format!("{name:?} is not one of app_state.kernel.vats");
                return Err(invalid(format!("app_state.kernel.{field}"), problem));
            }
        }
        let is_installed =
            |vat: &GenesisVat| self.bundles.iter().any(|bundle| bundle.id == vat.bundle);
        // Other names may be registered by vats of the system, while the chain runs.
        let lacks = |name: &str| {
            GenesisService::parse(name).is_some_and(|it| !self.kernel.services.contains(&it))
        };
        subcluster::validate(&self.kernel.system_subclusters, is_installed, lacks)
    }
}

pub(crate) fn is_vat_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> AppState {
        let account = |n: u8| GenesisAccount {
            address: Address([n; 20]),
            balance: Amount(5),
            name: String::new(),
        };
        AppState { accounts: vec![account(1), account(2)], ..AppState::default() }
    }

    fn bundle_id() -> BundleId {
        format!("w1-{}", "00".repeat(32)).parse().unwrap()
    }

    fn vat() -> GenesisVat {
        GenesisVat::new(bundle_id())
    }

    #[test]
    fn json_form_round_trips() {
        let mut state = state();
        state.bundles.push(GenesisBundle::new(bundle_id(), Some("one".into()), b"bytes"));
        state.kernel.vats.insert("one".into(), vat());
        state.kernel.bootstrap = Some("one".into());
        let json = serde_json::to_vec(&state).unwrap();
        assert_eq!(AppState::from_json(&json).unwrap(), state);
        assert_eq!(state.supply(), Amount(10));
    }

    #[test]
    fn refusals_name_the_field() {
        let cases: &[(fn(&mut AppState), &str)] = &[
            (|s| s.accounts[1].address = s.accounts[0].address, "accounts[1].address"),
            (|s| s.accounts[1].balance = Amount(u128::MAX), "accounts[1].balance"),
            (|s| s.bundles = vec![GenesisBundle::new(bundle_id(), None, b""); 2], "bundles[1].id"),
            (
                |s| {
                    s.bundles =
                        vec![GenesisBundle { id: bundle_id(), name: None, base64: "*".into() }]
                },
                "base64",
            ),
            (|s| drop(s.kernel.vats.insert("a".into(), vat())), "kernel.vats.a.bundle"),
            (|s| drop(s.kernel.vats.insert("a b".into(), vat())), "kernel.vats.a b"),
            (|s| s.kernel.bootstrap = Some("nobody".into()), "kernel.bootstrap"),
        ];
        for (spoil, name) in cases {
            let mut state = state();
            spoil(&mut state);
            let error = state.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
