//! The whole document, in CometBFT's format.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Address, Amount, AppState, GenesisAccount, GenesisBundle, GenesisDevice, GenesisError,
    GenesisService, GenesisVat, invalid,
};

/// A genesis document in CometBFT's format (`genesis.json` of v0.38).
///
/// As CometBFT does, it writes 64-bit integers as JSON strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The chain's start time, in RFC 3339 and UTC, as in `2026-01-01T00:00:00Z`.
    pub genesis_time: String,
    /// The chain id, which every signature covers. It has at most 50 bytes.
    pub chain_id: String,
    /// The height of the first block.
    #[serde(with = "as_text")]
    pub initial_height: i64,
    /// The [`ConsensusParams`].
    pub consensus_params: ConsensusParams,
    /// The initial [`Validator`]s. The list may be empty for a chain with a single node, which needs none.
    #[serde(default)]
    pub validators: Vec<Validator>,
    /// The app hash before the first block. It must be empty, since the application computes it.
    #[serde(default)]
    pub app_hash: String,
    /// The application's initial state: an [`AppState`].
    pub app_state: AppState,
}

/// Parameters of consensus, as CometBFT defines them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsensusParams {
    /// The limits of a block, as [`BlockParams`].
    pub block: BlockParams,
    /// The limits of evidence, as [`EvidenceParams`].
    pub evidence: EvidenceParams,
    /// The kinds of keys that validators may have, as [`ValidatorParams`].
    pub validator: ValidatorParams,
    /// The application's version, as [`VersionParams`].
    #[serde(default)]
    pub version: VersionParams,
    /// The options of ABCI, as [`AbciParams`].
    #[serde(default)]
    pub abci: AbciParams,
}

/// Limits of a block's size and gas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockParams {
    /// Maximum size of a block in bytes.
    #[serde(with = "as_text")]
    pub max_bytes: i64,
    /// Maximum gas of a block, or -1 for no limit. Capstan has limits of its own in [`Params`](crate::Params).
    #[serde(with = "as_text")]
    pub max_gas: i64,
}

/// Limits of the age and size of evidence of misbehaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceParams {
    /// Maximum age of evidence in blocks.
    #[serde(with = "as_text")]
    pub max_age_num_blocks: i64,
    /// Maximum age of evidence in nanoseconds.
    #[serde(with = "as_text")]
    pub max_age_duration: i64,
    /// Maximum size in bytes of the evidence in a block.
    #[serde(with = "as_text")]
    pub max_bytes: i64,
}

/// The kinds of keys that validators may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorParams {
    /// The key types, by CometBFT's names.
    pub pub_key_types: Vec<String>,
}

/// Version of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionParams {
    /// A number that increases with every incompatible version of the application.
    #[serde(with = "as_text")]
    pub app: u64,
}

/// Options of ABCI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbciParams {
    /// The first height at which votes carry extensions, or 0 for never. Capstan needs none.
    #[serde(with = "as_text")]
    pub vote_extensions_enable_height: i64,
}

/// An initial validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The consensus address: 40 upper-case hexadecimal digits.
    pub address: String,
    /// The consensus key: a [`PubKey`].
    pub pub_key: PubKey,
    /// The voting power.
    #[serde(with = "as_text")]
    pub power: i64,
    /// A name for people. Consensus does not use it.
    #[serde(default)]
    pub name: String,
}

/// A consensus key in CometBFT's JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubKey {
    /// The key type, as in `tendermint/PubKeyEd25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key in base64.
    pub value: String,
}

impl Genesis {
    /// Returns a document without validators and accounts, with default parameters.
    ///
    /// `genesis_time` is in RFC 3339 and UTC. It is an argument because this crate reads no clock.
    pub fn new(chain_id: &str, genesis_time: &str) -> Self {
        let app_state = AppState::default();
        let max_bytes = app_state.params.max_block_bytes + BLOCK_OVERHEAD_BYTES;
        Self {
            genesis_time: genesis_time.to_owned(),
            chain_id: chain_id.to_owned(),
            initial_height: 1,
            // Evidence: CometBFT's defaults (100,000 blocks, 48 hours, 1 MiB).
            consensus_params: ConsensusParams {
                block: BlockParams { max_bytes: max_bytes as i64, max_gas: -1 },
                evidence: EvidenceParams {
                    max_age_num_blocks: 100_000,
                    max_age_duration: 172_800_000_000_000,
                    max_bytes: 1_048_576,
                },
                validator: ValidatorParams { pub_key_types: vec!["ed25519".to_owned()] },
                version: VersionParams::default(),
                abci: AbciParams::default(),
            },
            validators: Vec::new(),
            app_hash: String::new(),
            app_state,
        }
    }

    /// Returns a document for development, in which each of `accounts` owns [`Genesis::DEV_BALANCE`].
    pub fn dev(chain_id: &str, genesis_time: &str, accounts: &[(&str, Address)]) -> Self {
        let mut genesis = Self::new(chain_id, genesis_time);
        let funded = |(name, address): &(&str, Address)| GenesisAccount {
            address: *address,
            balance: Self::DEV_BALANCE,
            name: (*name).to_owned(),
        };
        genesis.app_state.accounts = accounts.iter().map(funded).collect();
        genesis
    }

    /// Balance of each account of [`Genesis::dev`]: ten million times a million `ucap`.
    pub const DEV_BALANCE: Amount = Amount(10_000_000_000_000);

    /// Adds the system vats `vatAdmin` and `provisioner`, and the kernel services of every chain: all but those of the
    /// mailbox.
    ///
    /// No chain runs without `vatAdmin`. The provisioner is the bootstrap vat and gives accounts their factory objects.
    /// Its vat parameters are copied from [`AppState::params`], so set those first.
    pub fn add_system_vats(&mut self, vat_admin: GenesisBundle, provisioner: GenesisBundle) {
        let AppState { kernel, params, bundles, .. } = &mut self.app_state;
        let vat = |bundle: &GenesisBundle| GenesisVat {
            system: true,
            ..GenesisVat::new(bundle.id.clone())
        };
        let admin = GenesisVat { critical: true, ..vat(&vat_admin) };
        let parameters = serde_json::json!({
            "defaultComputrons": params.default_vat_computrons,
            "maxComputrons": params.max_vat_computrons,
        });
        kernel.vats.insert("vatAdmin".to_owned(), admin);
        kernel.vats.insert(PROVISIONER.to_owned(), GenesisVat { parameters, ..vat(&provisioner) });
        kernel.bootstrap = Some(PROVISIONER.to_owned());
        kernel.provisioner = Some(PROVISIONER.to_owned());
        kernel.services.extend([
            GenesisService::KernelFacet,
            GenesisService::Chain,
            GenesisService::Validators,
            GenesisService::Bridge,
            GenesisService::BridgeConveyor,
        ]);
        bundles.extend([vat_admin, provisioner]);
    }

    /// Adds the mailbox device and its services.
    pub fn add_mailbox(&mut self) {
        let kernel = &mut self.app_state.kernel;
        kernel.devices.insert(GenesisDevice::Mailbox);
        kernel.services.extend([GenesisService::Mailbox, GenesisService::MailboxConveyor]);
    }

    /// Adds the timer device and its vat. The provisioner publishes the vat's service as `chain/timer`.
    pub fn add_timer(&mut self, timer: GenesisBundle) {
        let AppState { kernel, bundles, .. } = &mut self.app_state;
        let vat = GenesisVat { system: true, ..GenesisVat::new(timer.id.clone()) };
        kernel.vats.insert("timer".to_owned(), vat);
        kernel.devices.insert(GenesisDevice::Timer);
        bundles.push(timer);
    }

    /// Adds a [`Validator`] with an Ed25519 key, from which its address is derived.
    pub fn add_validator(&mut self, name: &str, ed25519_key: &[u8; 32], power: i64) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let digest = Sha256::digest(ed25519_key);
        self.validators.push(Validator {
            address: hex::encode_upper(&digest[..20]),
            pub_key: PubKey { kind: ED25519_KEY.to_owned(), value: STANDARD.encode(ed25519_key) },
            power,
            name: name.to_owned(),
        });
    }

    /// Reads a document from JSON and validates it.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = serde_json::from_slice(json)?;
        genesis.validate()?;
        Ok(genesis)
    }

    /// Returns the canonical form: JSON with the fields in this type's order, indented by two spaces, with a line feed at
    /// the end.
    pub fn to_json(&self) -> Result<String, GenesisError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Returns the SHA-256 of the canonical form in hexadecimal.
    ///
    /// Equal documents have equal hashes, however their JSON was formatted.
    pub fn hash(&self) -> Result<String, GenesisError> {
        Ok(hex::encode(Sha256::digest(self.to_json()?)))
    }

    /// Checks everything that can be checked without running the chain. A [`GenesisError`] names the field at fault.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if !is_chain_id(&self.chain_id) {
            return Err(invalid("chain_id", "must be 1 to 50 letters, digits, '-', '_' or '.'"));
        }
        if !is_utc_time(&self.genesis_time) {
            return Err(invalid(
                "genesis_time",
                "must be RFC 3339 in UTC, from 1970 on, as in 2026-01-01T00:00:00Z",
            ));
        }
        if self.initial_height < 1 {
            return Err(invalid("initial_height", "must be at least \"1\""));
        }
        if !self.app_hash.is_empty() {
            return Err(invalid("app_hash", "must be empty: the app computes it"));
        }
        if let Some(from) = &self.app_state.from_state
            && u64::try_from(self.initial_height).ok() != from.height.checked_add(1)
        {
            let problem = format!("must be one above from_state.height ({})", from.height);
            return Err(invalid("initial_height", problem));
        }
        self.validate_consensus()?;
        self.app_state.validate()
    }

    fn validate_consensus(&self) -> Result<(), GenesisError> {
        let limit = self.app_state.params.max_block_bytes;
        let max_bytes = self.consensus_params.block.max_bytes;
        if max_bytes != -1 && (max_bytes < 0 || (max_bytes as u64) < limit) {
            let problem = format!("must be at least app_state.params.max_block_bytes ({limit})");
            return Err(invalid("consensus_params.block.max_bytes", problem));
        }
        for (i, validator) in self.validators.iter().enumerate() {
            if validator.power < 1 {
                return Err(invalid(format!("validators[{i}].power"), "must be at least \"1\""));
            }
        }
        Ok(())
    }
}

fn is_chain_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=50).contains(&text.len()) && text.bytes().all(allowed)
}

/// Returns whether `text` has the form `YYYY-MM-DDTHH:MM:SS[.f…]Z`. Consensus checks whether the day exists.
fn is_utc_time(text: &str) -> bool {
    let Some(body) = text.strip_suffix('Z') else { return false };
    let (seconds, fraction) = body.split_once('.').unwrap_or((body, "0"));
    let shape = b"0000-00-00T00:00:00";
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Blocks count time from 1970 on. CometBFT knows no earlier one either.
    let since_epoch = seconds.get(..4).is_some_and(|year| year >= "1970");
    let fits = |(b, s): (u8, &u8)| if *s == b'0' { b.is_ascii_digit() } else { b == *s };
    since_epoch
        && seconds.len() == shape.len()
        && seconds.bytes().zip(shape).all(fits)
        && digits(fraction)
        && fraction.len() <= 9
}

/// Size of a block besides its transactions: header, commit and evidence of a large validator set.
const BLOCK_OVERHEAD_BYTES: u64 = 1024 * 1024;

/// Name of the vat that provisions accounts.
const PROVISIONER: &str = "provisioner";

/// CometBFT's JSON name of the type of Ed25519 keys.
const ED25519_KEY: &str = "tendermint/PubKeyEd25519";

/// Serialisation of integers as JSON strings, which is CometBFT's form.
mod as_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(input: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(input)?;
        text.parse().map_err(|e| D::Error::custom(format!("{text:?} is not a number: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev() -> Genesis {
        let accounts = [("alice", Address([1; 20])), ("bob", Address([2; 20]))];
        Genesis::dev("capstan-dev-1", "2026-01-01T00:00:00Z", &accounts)
    }

    #[test]
    fn the_canonical_form_is_read_back_and_has_one_hash() {
        let mut genesis = dev();
        genesis.add_validator("v", &[3; 32], 10);
        let text = genesis.to_json().unwrap();
        let compact =
            serde_json::to_string(&serde_json::from_str::<serde_json::Value>(&text).unwrap());
        let again = Genesis::from_json(compact.unwrap().as_bytes()).unwrap();
        assert_eq!(again, genesis);
        assert_eq!(again.hash().unwrap(), genesis.hash().unwrap());
        assert_ne!(dev().hash().unwrap(), genesis.hash().unwrap());
    }

    #[test]
    fn numbers_stand_as_cometbft_writes_them() {
        let text = dev().to_json().unwrap();
        for part in
            ["\"initial_height\": \"1\"", "\"max_gas\": \"-1\"", "\"balance\": \"10000000000000\""]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let cases: &[(fn(&mut Genesis), &str)] = &[
            (|g| g.chain_id.clear(), "chain_id"),
            (|g| g.chain_id = "x".repeat(51), "chain_id"),
            (|g| g.genesis_time = "2026-01-01".into(), "genesis_time"),
            (|g| g.genesis_time = "1969-12-31T23:59:59.999Z".into(), "genesis_time"),
            (|g| g.genesis_time = "0000-01-01T00:00:00Z".into(), "genesis_time"),
            (|g| g.genesis_time = "2026-01-01T00:00:00+01:00".into(), "genesis_time"),
            (|g| g.initial_height = 0, "initial_height"),
            (|g| g.app_hash = "00".into(), "app_hash"),
            (|g| g.consensus_params.block.max_bytes = 1, "consensus_params.block.max_bytes"),
            (|g| g.add_validator("v", &[3; 32], 0), "validators[0].power"),
            (|g| g.app_state.params.block_computrons = 0, "app_state.params.block_computrons"),
        ];
        for (spoil, name) in cases {
            let mut genesis = dev();
            spoil(&mut genesis);
            let error = genesis.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(dev().validate().is_ok());
    }

    #[test]
    fn system_vats_are_bootstrapped_and_told_the_parameters() {
        let bundle = |n: u8| {
            let id = format!("w1-{}", hex::encode([n; 32])).parse().unwrap();
            GenesisBundle::new(id, None, &[n])
        };
        let mut genesis = dev();
        genesis.add_system_vats(bundle(1), bundle(2));
        genesis.validate().unwrap();
        let kernel = &genesis.app_state.kernel;
        assert_eq!(kernel.bootstrap.as_deref(), Some("provisioner"));
        assert_eq!(kernel.vats["provisioner"].parameters["maxComputrons"], 10_000_000_000_000_u64);
        assert!(kernel.vats["vatAdmin"].critical);
    }

    #[test]
    fn a_fraction_of_a_second_is_allowed() {
        assert!(is_utc_time("2026-01-01T00:00:00.123456789Z"));
        assert!(!is_utc_time("2026-01-01T00:00:00.Z"));
    }
}
