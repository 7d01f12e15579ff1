//! The genesis document, in CometBFT's JSON format.

use serde::Deserialize;
use serde_json::Value;
use tendermint::Time;
use tendermint_proto::google::protobuf::Duration;
use tendermint_proto::v0_38::types::{
    AbciParams, BlockParams, ConsensusParams, EvidenceParams, ValidatorParams, VersionParams,
};

use super::params;

/// A checked genesis document in CometBFT's format.
///
/// `chain_id` and `genesis_time` (RFC 3339) are required. As in CometBFT, missing consensus parameters have its
/// defaults, 64-bit integers are strings (numbers are accepted too), and `app_hash` is hexadecimal. Without validators,
/// the node's own key is the validator, with power 10. The application gets `app_state` as compact JSON whose keys keep
/// their order.
#[derive(Clone, Debug)]
pub struct GenesisDoc {
    pub(crate) document: Value,
    pub(crate) chain_id: tendermint::chain::Id,
    pub(crate) time: Time,
    pub(crate) initial_height: i64,
    pub(crate) params: ConsensusParams,
    pub(crate) validators: Vec<GenesisValidator>,
    pub(crate) app_hash: Vec<u8>,
    pub(crate) app_state: Vec<u8>,
}

/// Reason why a genesis document is refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisDocError {
    /// The document is not JSON, or a field has the wrong type.
    #[error("the genesis document cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that cannot be used.
    #[error("the genesis document's {field} is wrong: {why}")]
    Field {
        /// The field's path in the document.
        field: &'static str,
        /// The reason, for people.
        why: String,
    },
}

/// A validator that the document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GenesisValidator {
    /// Ed25519 public key, 32 bytes.
    pub(crate) public_key: Vec<u8>,
    pub(crate) power: i64,
}

impl GenesisDoc {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// [`GenesisDocError`], which names the field at fault.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisDocError> {
        Self::from_value(serde_json::from_slice(json)?)
    }

    /// Checks a document that is parsed already.
    ///
    /// # Errors
    /// [`GenesisDocError`], which names the field at fault.
    pub fn from_value(document: Value) -> Result<Self, GenesisDocError> {
        let raw = RawGenesis::deserialize(&document)?;
        let chain_id = raw.chain_id.parse().map_err(|_| {
            let why =
                format!("{:?} is not 1 to 50 of a-z, A-Z, 0-9, '-', '_' and '.'", raw.chain_id);
            GenesisDocError::Field { field: "chain_id", why }
        })?;
        let time = Time::parse_from_rfc3339(&raw.genesis_time).map_err(|error| {
            GenesisDocError::Field { field: "genesis_time", why: error.to_string() }
        })?;
        let params = consensus_params(raw.consensus_params.unwrap_or_default());
        if let Some(why) = params::fault(&params) {
            return Err(GenesisDocError::Field { field: "consensus_params", why });
        }
        let initial_height = raw.initial_height.map_or(1, |height| height.0).max(1);
        let app_hash = hex::decode(&raw.app_hash).map_err(|error| GenesisDocError::Field {
            field: "app_hash",
            why: error.to_string(),
        })?;
        let validators = raw
            .validators
            .unwrap_or_default()
            .into_iter()
            .map(validator)
            .collect::<Result<_, _>>()?;
        let app_state =
            if raw.app_state.is_null() { Vec::new() } else { serde_json::to_vec(&raw.app_state)? };
        Ok(Self {
            document,
            chain_id,
            time,
            initial_height,
            params,
            validators,
            app_hash,
            app_state,
        })
    }

    /// Returns the chain id.
    pub fn chain_id(&self) -> &str {
        self.chain_id.as_str()
    }

    /// Returns the document as it was given.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

#[derive(Deserialize)]
struct RawGenesis {
    chain_id: String,
    genesis_time: String,
    initial_height: Option<Int>,
    consensus_params: Option<RawParams>,
    validators: Option<Vec<RawValidator>>,
    #[serde(default)]
    app_hash: String,
    #[serde(default)]
    app_state: Value,
}

#[derive(Default, Deserialize)]
struct RawParams {
    block: Option<RawBlock>,
    evidence: Option<RawEvidence>,
    validator: Option<ValidatorParams>,
    version: Option<RawVersion>,
    abci: Option<RawAbci>,
}

#[derive(Deserialize)]
struct RawBlock {
    max_bytes: Int,
    max_gas: Int,
}

#[derive(Deserialize)]
struct RawEvidence {
    max_age_num_blocks: Int,
    max_age_duration: Int,
    max_bytes: Int,
}

#[derive(Deserialize)]
struct RawVersion {
    app: Option<Int>,
}

#[derive(Deserialize)]
struct RawAbci {
    vote_extensions_enable_height: Option<Int>,
}

#[derive(Deserialize)]
struct RawValidator {
    pub_key: RawKey,
    power: Int,
}

#[derive(Deserialize)]
struct RawKey {
    r#type: String,
    value: String,
}

/// A 64-bit integer, as a string or as a number.
#[derive(Clone, Copy)]
struct Int(i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = match &value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        parsed
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{value} is not a 64-bit integer")))
    }
}

fn consensus_params(raw: RawParams) -> ConsensusParams {
    let given = ConsensusParams {
        block: raw
            .block
            .map(|block| BlockParams { max_bytes: block.max_bytes.0, max_gas: block.max_gas.0 }),
        evidence: raw.evidence.map(|evidence| EvidenceParams {
            max_age_num_blocks: evidence.max_age_num_blocks.0,
            max_age_duration: Some(duration(evidence.max_age_duration.0)),
            max_bytes: evidence.max_bytes.0,
        }),
        validator: raw.validator,
        // The application's version is unsigned on the wire. A negative one in JSON counts as absent.
        version: raw.version.map(|version| VersionParams {
            app: version.app.and_then(|app| u64::try_from(app.0).ok()).unwrap_or_default(),
        }),
        abci: raw.abci.map(|abci| AbciParams {
            vote_extensions_enable_height: abci
                .vote_extensions_enable_height
                .map_or(0, |height| height.0),
        }),
    };
    params::merged(&params::defaults(), Some(&given))
}

fn duration(nanos: i64) -> Duration {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let rest = i32::try_from(nanos % NANOS_PER_SECOND).unwrap_or_default(); // below 10^9, so it always fits
    Duration { seconds: nanos / NANOS_PER_SECOND, nanos: rest }
}

fn validator(raw: RawValidator) -> Result<GenesisValidator, GenesisDocError> {
    use base64::Engine as _;
    let fault = |why: String| GenesisDocError::Field { field: "validators", why };
    if raw.pub_key.r#type != "tendermint/PubKeyEd25519" {
        return Err(fault(format!(
            "key type {:?}; only tendermint/PubKeyEd25519 is known",
            raw.pub_key.r#type
        )));
    }
    let public_key = base64::engine::general_purpose::STANDARD
        .decode(&raw.pub_key.value)
        .map_err(|error| fault(format!("the public key is not base64: {error}")))?;
    if public_key.len() != 32 {
        return Err(fault(format!("the public key has {} bytes, not 32", public_key.len())));
    }
    if raw.power.0 < 1 {
        return Err(fault(format!("power {}; it must be positive", raw.power.0)));
    }
    Ok(GenesisValidator { public_key, power: raw.power.0 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({"chain_id": "dev-1", "genesis_time": "2025-01-02T03:04:05.6Z", "app_state": {"b": 1, "a": "x"}})
    }

    #[test]
    fn a_minimal_document_has_cometbfts_defaults() {
        let genesis = GenesisDoc::from_value(document()).unwrap();
        assert_eq!(genesis.chain_id(), "dev-1");
        assert_eq!(genesis.params, params::defaults());
        assert_eq!(genesis.initial_height, 1);
        assert_eq!(genesis.app_state, br#"{"b":1,"a":"x"}"#);
    }

    #[test]
    fn integers_are_read_from_strings_and_numbers() {
        let mut doc = document();
        doc["initial_height"] = json!("7");
        doc["consensus_params"] =
            json!({"block": {"max_bytes": "1000", "max_gas": -1}, "version": {"app": "3"}});
        let genesis = GenesisDoc::from_value(doc).unwrap();
        assert_eq!(genesis.initial_height, 7);
        assert_eq!(genesis.params.block.unwrap().max_bytes, 1000);
        assert_eq!(genesis.params.version.unwrap().app, 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("chain_id", json!("with space"), "chain_id"),
            ("chain_id", json!(7), "expected a string"),
            ("genesis_time", json!("yesterday"), "genesis_time"),
            ("app_hash", json!("xyz"), "app_hash"),
            ("initial_height", json!("1.5"), "64-bit integer"),
            (
                "consensus_params",
                json!({"block": {"max_bytes": "0", "max_gas": "-1"}}),
                "max_bytes",
            ),
            (
                "validators",
                json!([{"pub_key": {"type": "x", "value": ""}, "power": "1"}]),
                "key type",
            ),
        ];
        for (field, value, expected) in cases {
            let mut doc = document();
            doc[field] = value;
            let error = GenesisDoc::from_value(doc).unwrap_err().to_string();
            assert!(error.contains(expected), "{field}: {error}");
        }
        assert!(GenesisDoc::from_json(b"{").is_err());
    }
}
