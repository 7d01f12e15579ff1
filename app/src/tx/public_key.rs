use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::Address;
use cosmrs::{
    Any,
    crypto::{PublicKey as CosmosKey, secp256k1 as ecdsa},
    proto::cosmos::crypto::{multisig::LegacyAminoPubKey, secp256k1::PubKey},
};
use prost::{Message as _, Name as _};
use sha2::{Digest, Sha256};

use super::{
    TxError,
    protobuf::{decode_canonical, type_url},
};

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

impl PublicKey {
    /// Decodes a key of a transaction, which must be in canonical form.
    pub(super) fn decode(any: &Any) -> Result<Self, TxError> {
        if any.type_url == CosmosKey::SECP256K1_TYPE_URL {
            return secp256k1(any).map(Self::Secp256k1);
        }
        if any.type_url != type_url::<LegacyAminoPubKey>() {
            return Err(refused(format!(
                "{:?} is not supported, use {} or {}",
                any.type_url,
                CosmosKey::SECP256K1_TYPE_URL,
                type_url::<LegacyAminoPubKey>()
            )));
        }
        let multisig: LegacyAminoPubKey = decode_canonical("public key", &any.value)?;
        let (count, threshold) = (multisig.public_keys.len(), multisig.threshold);
        if count == 0 || count > MAX_MULTISIG_KEYS {
            return Err(refused(format!(
                "a multisig of {count} keys, expected 1 to {MAX_MULTISIG_KEYS}"
            )));
        }
        if threshold == 0 || threshold as usize > count {
            return Err(refused(format!("a threshold of {threshold} of {count} keys")));
        }
        let keys: Vec<_> = multisig.public_keys.iter().map(secp256k1).collect::<Result<_, _>>()?;
        // A signature of such a key could stand for either of two members.
        if (1..keys.len()).any(|index| keys[..index].contains(&keys[index])) {
            return Err(refused("a multisig with the same key twice".to_owned()));
        }
        Ok(Self::Multisig(Multisig { threshold, keys }))
    }

    /// Encodes the key as Cosmos clients know it.
    pub(crate) fn to_any(&self) -> Any {
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
            Self::Secp256k1(key) => {
                let key = ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
                Address::from_public_key(&CosmosKey::from(key))
            }
            Self::Multisig(multisig) => {
                let hash = Sha256::digest(multisig.amino_bytes());
                hash.get(..20)?.try_into().ok().map(Address)
            }
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
    /// Encodes the key in binary amino, as tendermint/PubKeyMultisigThreshold. The address is a hash of that.
    ///
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

fn secp256k1(any: &Any) -> Result<Secp256k1Key, TxError> {
    if any.type_url != CosmosKey::SECP256K1_TYPE_URL {
        let expected = CosmosKey::SECP256K1_TYPE_URL;
        return Err(refused(format!("a multisig with {:?}, expected {expected}", any.type_url)));
    }
    let key: PubKey = decode_canonical("public key", &any.value)?;
    let wrong = || refused("expected 33 bytes, a compressed point of secp256k1".to_owned());
    let bytes: Secp256k1Key = key.key.try_into().map_err(|_| wrong())?;
    ecdsa::VerifyingKey::from_sec1_bytes(&bytes).map_err(|_| wrong())?;
    Ok(bytes)
}

fn refused(problem: String) -> TxError {
    TxError::PublicKey(problem)
}
