//! Signatures of single keys, and the modes in which they sign.

use capstan_proto::{PublicKey, Secp256k1Key};
use cosmrs::{
    crypto::secp256k1::{Signature, VerifyingKey},
    proto::cosmos::tx::signing::v1beta1::{
        SignMode as Mode, SignatureDescriptor,
        signature_descriptor::{
            Data,
            data::{Single, Sum},
        },
    },
};
use k256::ecdsa::signature::Verifier as _;

use crate::{Address, ClientError, Key};

/// Form of the bytes that a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignMode {
    /// `SIGN_MODE_DIRECT`: the protobuf bytes.
    Direct,
    /// `SIGN_MODE_LEGACY_AMINO_JSON`: a JSON document, as Ledgers and the keys of multisigs sign it.
    AminoJson,
}

/// The signature of one key, as it travels from the key's machine to where the transaction is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySignature {
    /// The public key.
    pub key: Secp256k1Key,
    /// The form of the bytes that it covers.
    pub mode: SignMode,
    /// Numbers `r` and `s`, 32 bytes each.
    pub signature: Vec<u8>,
    /// Sequence of the transaction.
    pub sequence: u64,
}

impl SignMode {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Direct => Mode::Direct.into(),
            Self::AminoJson => Mode::LegacyAminoJson.into(),
        }
    }
}

/// Returns the mode with this number.
pub(crate) fn mode_of(number: i32) -> Result<SignMode, ClientError> {
    match Mode::try_from(number) {
        Ok(Mode::Direct) => Ok(SignMode::Direct),
        Ok(Mode::LegacyAminoJson) => Ok(SignMode::AminoJson),
        _ => Err(ClientError::Tx(
            "the sign mode is neither SIGN_MODE_DIRECT nor SIGN_MODE_LEGACY_AMINO_JSON".to_owned(),
        )),
    }
}

/// Returns whether a signature of `bytes` is that of a key, and in low-s form.
pub(crate) fn check(key: &Secp256k1Key, bytes: &[u8], signature: &[u8]) -> bool {
    let (key, signature) = (VerifyingKey::from_sec1_bytes(key), Signature::from_slice(signature));
    let (Ok(key), Ok(signature)) = (key, signature) else { return false };
    signature.normalize_s().is_none() && key.verify(bytes, &signature).is_ok()
}

impl KeySignature {
    pub(crate) fn make(
        key: &Key,
        mode: SignMode,
        sequence: u64,
        bytes: &[u8],
    ) -> Result<Self, ClientError> {
        let fault = || ClientError::Tx("the key cannot sign".to_owned());
        let signature = key.signing_key().ok_or_else(fault)?.sign(bytes).map_err(|_| fault())?;
        match key.account_key() {
            Some(PublicKey::Secp256k1(key)) => {
                Ok(Self { key, mode, signature: signature.to_vec(), sequence })
            }
            _ => Err(fault()),
        }
    }

    /// Returns the [`Address`] of the key, for messages. It is 0 if the key is no point of the curve.
    pub fn address(&self) -> Address {
        PublicKey::Secp256k1(self.key).address().unwrap_or(Address([0; 20]))
    }

    /// Returns the signature as the Cosmos SDK's tools exchange it.
    pub fn to_proto(&self) -> SignatureDescriptor {
        let single = Single { mode: self.mode.number(), signature: self.signature.clone() };
        SignatureDescriptor {
            public_key: Some(PublicKey::Secp256k1(self.key).to_any()),
            data: Some(Data { sum: Some(Sum::Single(single)) }),
            sequence: self.sequence,
        }
    }

    /// Reads a signature of the Cosmos SDK's tools.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if it is not one signature of a secp256k1 key.
    pub fn from_proto(descriptor: SignatureDescriptor) -> Result<Self, ClientError> {
        let key = descriptor.public_key.as_ref().and_then(|any| PublicKey::from_any(any).ok());
        match (key, descriptor.data.and_then(|data| data.sum)) {
            (Some(PublicKey::Secp256k1(key)), Some(Sum::Single(single))) => Ok(Self {
                key,
                mode: mode_of(single.mode)?,
                signature: single.signature,
                sequence: descriptor.sequence,
            }),
            _ => Err(ClientError::Tx("not one signature of a secp256k1 key".to_owned())),
        }
    }
}
