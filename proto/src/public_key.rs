use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use borsh::{BorshDeserialize, BorshSerialize};
use cosmrs::{
    Any,
    crypto::PublicKey as CosmosKey,
    proto::cosmos::crypto::{multisig::LegacyAminoPubKey, secp256k1::PubKey},
};
use prost::{Message, Name};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Address, point::address_of};

/// Upper bound of the keys of a [`Multisig`]. It is the Cosmos SDK's default of `tx_sig_limit`.
pub const MAX_MULTISIG_KEYS: usize = 7;

/// A compressed secp256k1 key.
pub type Secp256k1Key = [u8; 33];

/// A public key of an account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PublicKey {
    /// One key, `cosmos.crypto.secp256k1.PubKey`.
    Secp256k1(Secp256k1Key),
    /// Several keys, `cosmos.crypto.multisig.LegacyAminoPubKey`.
    Multisig(Multisig),
}

/// Keys of which at least [`threshold`](Self::threshold) have to sign.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Multisig {
    /// Number of signatures of a transaction.
    pub threshold: u32,
    /// The keys, in the order in which the multisig's address covers them. At most [`MAX_MULTISIG_KEYS`].
    pub keys: Vec<Secp256k1Key>,
}

/// Reason why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPublicKey {
    /// The bytes are not valid protobuf.
    #[error("it cannot be decoded: {0}")]
    Undecodable(String),
    /// The bytes are valid protobuf, but not in canonical form.
    #[error("it is not in canonical protobuf form")]
    NotCanonical,
    /// The key is of another type, or out of bounds.
    #[error("{0}")]
    Refused(String),
}

impl PublicKey {
    /// Decodes a key of a transaction, which must be in canonical form.
    ///
    /// # Errors
    /// [`NotAPublicKey`].
    pub fn from_any(any: &Any) -> Result<Self, NotAPublicKey> {
        if any.type_url == CosmosKey::SECP256K1_TYPE_URL {
            return secp256k1(any).map(Self::Secp256k1);
        }
        if any.type_url != LegacyAminoPubKey::type_url() {
            return Err(refused(format!(
                "{:?} is not supported, use {} or {}",
                any.type_url,
                CosmosKey::SECP256K1_TYPE_URL,
                LegacyAminoPubKey::type_url()
            )));
        }
        let multisig: LegacyAminoPubKey = canonical(&any.value)?;
        let count = multisig.public_keys.len();
        if count > MAX_MULTISIG_KEYS {
            return Err(too_many(count));
        }
        let keys = multisig.public_keys.iter().map(secp256k1).collect::<Result<_, _>>()?;
        Multisig::new(multisig.threshold, keys).map(Self::Multisig)
    }

    /// Reads a key in the JSON form of Cosmos tools, such as `{"@type":"/cosmos.crypto.secp256k1.PubKey","key":"…"}`.
    ///
    /// # Errors
    /// [`NotAPublicKey`].
    pub fn from_json(json: &Value) -> Result<Self, NotAPublicKey> {
        let kind = json["@type"].as_str().unwrap_or_default();
        if kind != LegacyAminoPubKey::type_url() {
            return json_key(json).map(Self::Secp256k1);
        }
        let threshold = json["threshold"].as_u64().and_then(|number| u32::try_from(number).ok());
        let threshold = threshold.ok_or_else(|| refused("it has no threshold".to_owned()))?;
        let none = Vec::new();
        let keys = json["public_keys"].as_array().unwrap_or(&none);
        if keys.len() > MAX_MULTISIG_KEYS {
            return Err(too_many(keys.len()));
        }
        let keys = keys.iter().map(json_key).collect::<Result<_, _>>()?;
        Multisig::new(threshold, keys).map(Self::Multisig)
    }

    /// Returns the JSON form that [`PublicKey::from_json`] reads.
    pub fn to_json(&self) -> Value {
        let single = |key: &Secp256k1Key| json!({"@type": CosmosKey::SECP256K1_TYPE_URL, "key": STANDARD.encode(key)});
        match self {
            Self::Secp256k1(key) => single(key),
            Self::Multisig(Multisig { threshold, keys }) => {
                let keys: Vec<Value> = keys.iter().map(single).collect();
                json!({"@type": LegacyAminoPubKey::type_url(), "threshold": threshold, "public_keys": keys})
            }
        }
    }

    /// Encodes the key as Cosmos clients know it.
    pub fn to_any(&self) -> Any {
        let single = |key: &Secp256k1Key| Any {
            type_url: CosmosKey::SECP256K1_TYPE_URL.to_owned(),
            value: PubKey { key: key.to_vec() }.encode_to_vec(),
        };
        match self {
            Self::Secp256k1(key) => single(key),
            Self::Multisig(Multisig { threshold, keys }) => {
                let public_keys = keys.iter().map(single).collect();
                let multisig = LegacyAminoPubKey { threshold: *threshold, public_keys };
                Any { type_url: LegacyAminoPubKey::type_url(), value: multisig.encode_to_vec() }
            }
        }
    }

    /// Returns the [`Address`] that belongs to the key, or `None` if the key is no point of the curve.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Secp256k1(key) => address_of(key),
            Self::Multisig(multisig) => {
                let hash = Sha256::digest(multisig.amino_bytes());
                hash.get(..20)?.try_into().ok().map(Address)
            }
        }
    }

    /// Returns the number of signatures of a transaction.
    pub fn signatures(&self) -> u32 {
        match self {
            Self::Secp256k1(_) => 1,
            Self::Multisig(multisig) => multisig.threshold,
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secp256k1(key) => f.write_str(&hex::encode(key)),
            Self::Multisig(Multisig { threshold, keys }) => {
                let keys: Vec<String> = keys.iter().map(hex::encode).collect();
                write!(f, "{threshold}/{}", keys.join(","))
            }
        }
    }
}

impl Multisig {
    /// Creates a multisig of keys in this order.
    ///
    /// # Errors
    /// [`NotAPublicKey`] if there are no keys, too many, or the same one twice, or if the threshold does not fit them.
    pub fn new(threshold: u32, keys: Vec<Secp256k1Key>) -> Result<Self, NotAPublicKey> {
        let count = keys.len();
        if count == 0 || count > MAX_MULTISIG_KEYS {
            return Err(too_many(count));
        }
        if threshold == 0 || threshold as usize > count {
            return Err(refused(format!("a threshold of {threshold} of {count} keys")));
        }
        // A signature of such a key could stand for either of two members.
        if (1..count).any(|index| keys[..index].contains(&keys[index])) {
            return Err(refused("a multisig with the same key twice".to_owned()));
        }
        Ok(Self { threshold, keys })
    }

    /// Encodes the key in binary amino, as tendermint/PubKeyMultisigThreshold. The address is a hash of that.
    fn amino_bytes(&self) -> Vec<u8> {
        let mut bytes = MULTISIG_PREFIX.to_vec();
        bytes.push(0x08);
        prost::encoding::encode_varint(self.threshold.into(), &mut bytes);
        for key in &self.keys {
            bytes.extend([0x12, SECP256K1_PREFIX.len() as u8 + 33]);
            bytes.extend(SECP256K1_PREFIX);
            bytes.extend(key);
        }
        bytes
    }
}

/// Amino's prefix of `tendermint/PubKeyMultisigThreshold`: of the SHA-256 of the name, four bytes after the first three
/// that are not 0.
const MULTISIG_PREFIX: [u8; 4] = [0x22, 0xC1, 0xF7, 0xE2];

/// Amino's prefix of `tendermint/PubKeySecp256k1`, and the length of a key.
const SECP256K1_PREFIX: [u8; 5] = [0xEB, 0x5A, 0xE9, 0x87, 33];

fn secp256k1(any: &Any) -> Result<Secp256k1Key, NotAPublicKey> {
    if any.type_url != CosmosKey::SECP256K1_TYPE_URL {
        let expected = CosmosKey::SECP256K1_TYPE_URL;
        return Err(refused(format!("a multisig with {:?}, expected {expected}", any.type_url)));
    }
    let key: PubKey = canonical(&any.value)?;
    point(&key.key)
}

fn json_key(json: &Value) -> Result<Secp256k1Key, NotAPublicKey> {
    let expected = CosmosKey::SECP256K1_TYPE_URL;
    if json["@type"] != expected {
        return Err(refused(format!("its @type is {}, expected {expected:?}", json["@type"])));
    }
    let bytes = json["key"].as_str().and_then(|text| STANDARD.decode(text).ok());
    point(&bytes.unwrap_or_default())
}

/// Returns the compressed key in `bytes`.
fn point(bytes: &[u8]) -> Result<Secp256k1Key, NotAPublicKey> {
    let wrong = || refused("expected 33 bytes, a compressed point of secp256k1".to_owned());
    let key: Secp256k1Key = bytes.try_into().map_err(|_| wrong())?;
    address_of(&key).map(|_| key).ok_or_else(wrong)
}

/// Decodes `bytes`, which must be what encoding the message again gives.
fn canonical<M: Message + Default>(bytes: &[u8]) -> Result<M, NotAPublicKey> {
    let message = M::decode(bytes).map_err(|e| NotAPublicKey::Undecodable(e.to_string()))?;
    match message.encode_to_vec() == bytes {
        true => Ok(message),
        false => Err(NotAPublicKey::NotCanonical),
    }
}

fn too_many(count: usize) -> NotAPublicKey {
    refused(format!("a multisig of {count} keys, expected 1 to {MAX_MULTISIG_KEYS}"))
}

fn refused(problem: String) -> NotAPublicKey {
    NotAPublicKey::Refused(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Public keys of the first two development accounts.
    const KEYS: [&str; 2] = [
        "0223aa679d6d5344e201e0df9f02ab15a84726eee0dfb4e953c46a9e2cb52349dc",
        "02635f2f6cc244c2e67017eeba8bc70fab7d579c3d06068b81ed8e4ee781f5e3d4",
    ];

    fn key(index: usize) -> Secp256k1Key {
        point(&hex::decode(KEYS[index]).unwrap()).unwrap()
    }

    #[test]
    fn keys_come_back_from_their_json_and_protobuf() {
        let multisig = Multisig::new(2, vec![key(0), key(1)]).unwrap();
        for key in [PublicKey::Secp256k1(key(0)), PublicKey::Multisig(multisig)] {
            assert_eq!(PublicKey::from_json(&key.to_json()), Ok(key.clone()));
            assert_eq!(PublicKey::from_any(&key.to_any()), Ok(key));
        }
    }

    #[test]
    fn multisigs_out_of_bounds_and_other_types_are_refused() {
        let nine = vec![key(0); 9];
        for (threshold, keys, part) in [
            (1, vec![], "0 keys"),
            (1, nine, "9 keys"),
            (0, vec![key(0)], "threshold of 0"),
            (2, vec![key(0)], "threshold of 2"),
            (1, vec![key(0), key(0)], "twice"),
        ] {
            let error = Multisig::new(threshold, keys).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        for json in [
            json!(null),
            json!({"@type": "/cosmos.crypto.ed25519.PubKey", "key": "AA=="}),
            json!({"@type": "/cosmos.crypto.secp256k1.PubKey", "key": "AA=="}),
            json!({"@type": "/cosmos.crypto.multisig.LegacyAminoPubKey", "threshold": 1}),
        ] {
            assert!(PublicKey::from_json(&json).is_err(), "{json}");
        }
    }
}
