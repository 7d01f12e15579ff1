use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Address, Amount, AppState, GenesisAccount, GenesisBundle, GenesisDevice, GenesisError,
    GenesisVat, invalid,
};

/// A genesis document in CometBFT's format (`genesis.json` of v0.38).
///
/// Numbers of 64 bits are strings of digits there, as CometBFT writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// When the chain starts: an RFC 3339 time in UTC, as in `2026-01-01T00:00:00Z`.
    pub genesis_time: String,
    /// The chain's id, which every signature covers. At most 50 bytes.
    pub chain_id: String,
    /// The height of the first block.
    #[serde(with = "as_text")]
    pub initial_height: i64,
    /// The engine's parameters.
    pub consensus_params: ConsensusParams,
    /// The first validators. May be empty for an engine that has its own.
    #[serde(default)]
    pub validators: Vec<Validator>,
    /// The app hash before the first block: empty.
    #[serde(default)]
    pub app_hash: String,
    /// What the app starts from.
    pub app_state: AppState,
}

/// The engine's parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsensusParams {
    /// Limits of a block.
    pub block: BlockParams,
    /// How long evidence of misbehaviour counts.
    pub evidence: EvidenceParams,
    /// Which keys validators may have.
    pub validator: ValidatorParams,
    /// The app's version.
    #[serde(default)]
    pub version: VersionParams,
    /// ABCI's options.
    #[serde(default)]
    pub abci: AbciParams,
}

/// Limits of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockParams {
    /// The largest block in bytes.
    #[serde(with = "as_text")]
    pub max_bytes: i64,
    /// The most gas in a block; -1: no limit (the app has its own).
    #[serde(with = "as_text")]
    pub max_gas: i64,
}

/// How long evidence of misbehaviour counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceParams {
    /// In blocks.
    #[serde(with = "as_text")]
    pub max_age_num_blocks: i64,
    /// In nanoseconds.
    #[serde(with = "as_text")]
    pub max_age_duration: i64,
    /// The most bytes of evidence in a block.
    #[serde(with = "as_text")]
    pub max_bytes: i64,
}

/// Which keys validators may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorParams {
    /// CometBFT's names of key types.
    pub pub_key_types: Vec<String>,
}

/// The app's version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionParams {
    /// Counts incompatible versions of the app.
    #[serde(with = "as_text")]
    pub app: u64,
}

/// ABCI's options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbciParams {
    /// The height from which votes carry extensions; 0: never. Capstan needs none.
    #[serde(with = "as_text")]
    pub vote_extensions_enable_height: i64,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Its consensus address, 40 upper-case hex digits.
    pub address: String,
    /// Its consensus key.
    pub pub_key: PubKey,
    /// Its voting power.
    #[serde(with = "as_text")]
    pub power: i64,
    /// A name for people.
    #[serde(default)]
    pub name: String,
}

/// A consensus key in CometBFT's JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PubKey {
    /// The key's type, as in `tendermint/PubKeyEd25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key's bytes in base64.
    pub value: String,
}

impl Genesis {
    /// A chain without validators and accounts, with default parameters. `genesis_time` is RFC 3339
    /// in UTC; it is an argument because nothing here reads a clock.
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

    /// A chain for development: the accounts named, each with [`Genesis::DEV_BALANCE`].
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

    /// What each account of [`Genesis::dev`] owns: ten million times a million `ucap`.
    pub const DEV_BALANCE: Amount = Amount(10_000_000_000_000);

    /// Adds the system's own vats: `vatAdmin`, without which no chain runs, and `provisioner`, which is
    /// bootstrapped and gives accounts their factory objects. Call it when the parameters are set.
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
        bundles.extend([vat_admin, provisioner]);
    }

    /// Adds the timer device and the vat that serves it. The provisioner publishes its service as
    /// `chain/timer`.
    pub fn add_timer(&mut self, timer: GenesisBundle) {
        let AppState { kernel, bundles, .. } = &mut self.app_state;
        let vat = GenesisVat { system: true, ..GenesisVat::new(timer.id.clone()) };
        kernel.vats.insert("timer".to_owned(), vat);
        kernel.devices.insert(GenesisDevice::Timer);
        bundles.push(timer);
    }

    /// Adds a validator with an Ed25519 key. Its address follows from the key.
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

    /// Reads and validates a document.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = serde_json::from_slice(json)?;
        genesis.validate()?;
        Ok(genesis)
    }

    /// The canonical form: JSON with the fields in the order of this type, indented by two blanks,
    /// one line feed at the end.
    pub fn to_json(&self) -> Result<String, GenesisError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// SHA-256 of the canonical form, in hex: equal documents have equal hashes, however they were
    /// formatted.
    pub fn hash(&self) -> Result<String, GenesisError> {
        Ok(hex::encode(Sha256::digest(self.to_json()?)))
    }

    /// Checks everything that can be checked without running the chain.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if !is_chain_id(&self.chain_id) {
            return Err(invalid("chain_id", "must be 1 to 50 letters, digits, '-', '_' or '.'"));
        }
        if !is_utc_time(&self.genesis_time) {
            return Err(invalid(
                "genesis_time",
                "must be RFC 3339 in UTC, as in 2026-01-01T00:00:00Z",
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
        self.validate_engine()?;
        self.app_state.validate()
    }

    fn validate_engine(&self) -> Result<(), GenesisError> {
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

/// `YYYY-MM-DDTHH:MM:SS[.f…]Z`; whether the day exists is left to the engine.
fn is_utc_time(text: &str) -> bool {
    let Some(body) = text.strip_suffix('Z') else { return false };
    let (seconds, fraction) = body.split_once('.').unwrap_or((body, "0"));
    let shape = b"0000-00-00T00:00:00";
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fits = |(b, s): (u8, &u8)| if *s == b'0' { b.is_ascii_digit() } else { b == *s };
    seconds.len() == shape.len()
        && seconds.bytes().zip(shape).all(fits)
        && digits(fraction)
        && fraction.len() <= 9
}

/// What a block holds beside transactions: header, commit and evidence of a large validator set.
const BLOCK_OVERHEAD_BYTES: u64 = 1024 * 1024;

/// The name of the vat that provisions accounts.
const PROVISIONER: &str = "provisioner";

/// CometBFT's name of an Ed25519 key in JSON.
const ED25519_KEY: &str = "tendermint/PubKeyEd25519";

/// Numbers as strings of digits, as CometBFT's JSON has them.
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
