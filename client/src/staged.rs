//! Transactions that are made, signed and sent in steps, perhaps on several machines.

use capstan_proto::{Multisig, PublicKey, Secp256k1Key, amino};
use cosmrs::proto::cosmos::{
    crypto::multisig::v1beta1::{CompactBitArray, MultiSignature},
    tx::v1beta1::{
        AuthInfo, ModeInfo, SignDoc, SignerInfo, Tx, TxBody, TxRaw,
        mode_info::{Multi, Single, Sum},
    },
};
use prost::Message as _;

use crate::{
    Address, Amount, ClientError, DENOM, Key, SignMode, SignedTx, SignerData, TxBuilder,
    signing::{KeySignature, check, mode_of},
};

/// A transaction that may be without signatures yet. It has one signer: a secp256k1 key, or a multisig.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedTx {
    body: TxBody,
    auth: AuthInfo,
    signatures: Vec<Vec<u8>>,
}

impl StagedTx {
    /// Returns what a [`TxBuilder`] builds, without signatures.
    ///
    /// # Errors
    /// [`ClientError::Tx`].
    pub fn new(tx: &TxBuilder) -> Result<Self, ClientError> {
        let (body, fee) = tx.parts()?;
        #[allow(deprecated)] // the field is there
        let auth = AuthInfo { signer_infos: Vec::new(), fee: Some(fee), tip: None };
        Ok(Self { body, auth, signatures: Vec::new() })
    }

    /// Reads the Cosmos SDK's `Tx`.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if the body or the `AuthInfo` is missing.
    pub fn from_proto(tx: Tx) -> Result<Self, ClientError> {
        match (tx.body, tx.auth_info) {
            (Some(body), Some(auth)) => Ok(Self { body, auth, signatures: tx.signatures }),
            _ => Err(fault("the transaction has no body or no auth_info")),
        }
    }

    /// Checks that a chain could accept the fee and the gas limit, whatever its prices are.
    ///
    /// # Errors
    /// [`ClientError::Tx`], which says what they must be.
    pub fn check_fee(&self) -> Result<(), ClientError> {
        let Some(fee) = &self.auth.fee else {
            return Err(fault(
                "the transaction has no fee; auth_info.fee is needed, with its gas_limit",
            ));
        };
        if fee.gas_limit == 0 {
            return Err(fault("the gas limit is 0, with which no transaction is executed"));
        }
        let wrong = |found: &str| {
            fault(format!("the fee must be one amount of {DENOM}, a number from 0 on; {found}"))
        };
        match fee.amount.as_slice() {
            [] => Ok(()),
            [coin] if coin.denom != DENOM => {
                Err(wrong(&format!("its denom is {:?}", shortened(&coin.denom))))
            }
            [coin] => match coin.amount.parse::<Amount>() {
                Ok(_) => Ok(()),
                Err(_) => Err(wrong(&format!("its amount is {:?}", shortened(&coin.amount)))),
            },
            coins => Err(wrong(&format!("it has {} amounts", coins.len()))),
        }
    }

    /// Returns the transaction as the Cosmos SDK's `Tx`.
    pub fn to_proto(&self) -> Tx {
        let Self { body, auth, signatures } = self.clone();
        Tx { body: Some(body), auth_info: Some(auth), signatures }
    }

    /// Decodes the bytes of a transaction.
    ///
    /// # Errors
    /// [`ClientError::Tx`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClientError> {
        let broken = |error: prost::DecodeError| fault(format!("not a transaction: {error}"));
        let raw = TxRaw::decode(bytes).map_err(broken)?;
        let body = TxBody::decode(raw.body_bytes.as_slice()).map_err(broken)?;
        let auth = AuthInfo::decode(raw.auth_info_bytes.as_slice()).map_err(broken)?;
        Ok(Self { body, auth, signatures: raw.signatures })
    }

    /// Encodes the transaction, as it is broadcast.
    pub fn to_signed(&self) -> SignedTx {
        let raw = TxRaw {
            body_bytes: self.body.encode_to_vec(),
            auth_info_bytes: self.auth.encode_to_vec(),
            signatures: self.signatures.clone(),
        };
        SignedTx::from_bytes(raw.encode_to_vec())
    }

    /// Returns the size that the transaction has when `key` has signed it with this sequence. Without a key, one
    /// secp256k1 key is assumed.
    pub(crate) fn signed_size(&self, key: Option<&PublicKey>, sequence: u64) -> u64 {
        let point: Secp256k1Key = [2; 33];
        let single = PublicKey::Secp256k1(point);
        let signature = vec![0xFF; 64];
        let tx = match key.unwrap_or(&single) {
            PublicKey::Multisig(multisig) => {
                let signed = 0..multisig.threshold as usize;
                let signed = signed.map(|index| (index, SignMode::AminoJson, signature.clone()));
                self.clone().with_multi(multisig, signed.collect(), sequence)
            }
            key => self.clone().with_single(key, SignMode::AminoJson, signature, sequence),
        };
        tx.to_signed().bytes().len() as u64
    }

    /// Signs for the key's own account. Signatures that are there already are replaced.
    ///
    /// # Errors
    /// [`ClientError::Tx`].
    pub fn sign(
        self,
        key: &Key,
        mode: SignMode,
        signer: &SignerData,
    ) -> Result<(Self, KeySignature), ClientError> {
        let public_key = key.account_key().ok_or_else(|| fault("the key has no public key"))?;
        let unsigned = self.with_single(&public_key, mode, Vec::new(), signer.sequence);
        let made = unsigned.key_signature(key, mode, signer)?;
        let signature = made.signature.clone();
        Ok((unsigned.with_single(&public_key, mode, signature, signer.sequence), made))
    }

    /// Signs as a member of a multisig, whose account `signer` describes. [`StagedTx::combine`] takes such signatures.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if the key is none of the multisig's, or if the mode is [`SignMode::Direct`]: that one covers
    /// who else signs.
    pub fn sign_for(
        &self,
        multisig: &Multisig,
        key: &Key,
        mode: SignMode,
        signer: &SignerData,
    ) -> Result<KeySignature, ClientError> {
        if mode == SignMode::Direct {
            return Err(fault(
                "the keys of a multisig sign in the mode amino-json: direct covers which of them sign, which is not known yet",
            ));
        }
        let unsigned = self.clone().with_multi(multisig, Vec::new(), signer.sequence);
        let made = unsigned.key_signature(key, mode, signer)?;
        match multisig.keys.contains(&made.key) {
            true => Ok(made),
            false => Err(fault(format!("{} is no key of the multisig", key.address()))),
        }
    }

    /// Joins the signatures of a multisig's members, as many as its threshold, in the order of its keys.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if one does not verify, is not that of a member or has another sequence, or if there are too
    /// few.
    pub fn combine(
        self,
        multisig: &Multisig,
        signatures: &[KeySignature],
        signer: &SignerData,
    ) -> Result<Self, ClientError> {
        let unsigned = self.with_multi(multisig, Vec::new(), signer.sequence);
        let mut signed = Vec::new();
        for made in signatures {
            let name = made.address();
            let index = multisig.keys.iter().position(|key| *key == made.key);
            let index = index.ok_or_else(|| fault(format!("{name} is no key of the multisig")))?;
            if made.sequence != signer.sequence {
                return Err(fault(format!(
                    "the signature of {name} is for sequence {}, expected {}",
                    made.sequence, signer.sequence
                )));
            }
            let bytes = unsigned.sign_bytes(made.mode, signer)?;
            if !check(&made.key, &bytes, &made.signature) {
                return Err(does_not_verify(&name, signer));
            }
            signed.push((index, made.mode, made.signature.clone()));
        }
        signed.sort_by_key(|(index, ..)| *index);
        signed.dedup_by_key(|(index, ..)| *index);
        let (count, threshold) = (signed.len(), multisig.threshold as usize);
        if count < threshold {
            return Err(fault(format!(
                "{count} of the {threshold} keys that the multisig needs have signed"
            )));
        }
        // The chain takes exactly as many.
        signed.truncate(threshold);
        Ok(unsigned.with_multi(multisig, signed, signer.sequence))
    }

    /// Verifies the signatures for a chain and account number, and returns the signer's [`Address`]. The sequence is that
    /// of the transaction.
    ///
    /// # Errors
    /// [`ClientError::Tx`] says what is missing or wrong.
    pub fn verify(&self, chain_id: &str, account_number: u64) -> Result<Address, ClientError> {
        let (info, [signature]) = (self.signer()?, self.signatures.as_slice()) else {
            return Err(fault("the transaction does not have one signature"));
        };
        let key = self.signer_key()?.ok_or_else(|| fault("the signer has no public key"))?;
        let sequence = info.sequence;
        let signer = SignerData { chain_id: chain_id.to_owned(), account_number, sequence };
        let address = key.address().ok_or_else(|| fault("the public key has no address"))?;
        let sum = info.mode_info.as_ref().and_then(|mode| mode.sum.as_ref());
        let signed = match (&key, sum) {
            (PublicKey::Secp256k1(key), Some(Sum::Single(single))) => {
                vec![(*key, mode_of(single.mode)?, signature.clone())]
            }
            (PublicKey::Multisig(multisig), Some(Sum::Multi(multi))) => {
                members(multisig, multi, signature)?
            }
            _ => return Err(fault("the mode info does not fit the public key")),
        };
        for (key, mode, signature) in signed {
            if !check(&key, &self.sign_bytes(mode, &signer)?, &signature) {
                let name = PublicKey::Secp256k1(key).address();
                return Err(does_not_verify(&name.unwrap_or(address), &signer));
            }
        }
        Ok(address)
    }

    /// Returns the sequence that the signer signed for.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if there is not one signer.
    pub fn sequence(&self) -> Result<u64, ClientError> {
        self.signer().map(|info| info.sequence)
    }

    /// Returns the signer's public key, if the transaction carries one.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if there is not one signer, or if the key is none that accounts have.
    pub fn signer_key(&self) -> Result<Option<PublicKey>, ClientError> {
        let key = self.signer()?.public_key.as_ref().map(PublicKey::from_any);
        key.transpose().map_err(|error| fault(format!("public key: {error}")))
    }

    fn signer(&self) -> Result<&SignerInfo, ClientError> {
        match self.auth.signer_infos.as_slice() {
            [info] => Ok(info),
            [] => Err(fault("the transaction is not signed")),
            infos => Err(fault(format!("the transaction has {} signers", infos.len()))),
        }
    }

    fn key_signature(
        &self,
        key: &Key,
        mode: SignMode,
        signer: &SignerData,
    ) -> Result<KeySignature, ClientError> {
        KeySignature::make(key, mode, signer.sequence, &self.sign_bytes(mode, signer)?)
    }

    /// Returns the bytes that a key signs.
    fn sign_bytes(&self, mode: SignMode, signer: &SignerData) -> Result<Vec<u8>, ClientError> {
        let (body, auth) = (self.body.encode_to_vec(), self.auth.encode_to_vec());
        let (chain_id, account_number) = (&signer.chain_id, signer.account_number);
        match mode {
            SignMode::AminoJson => amino::sign_bytes(&body, &auth, chain_id, account_number)
                .map_err(|error| fault(error.to_string())),
            SignMode::Direct => {
                let (body_bytes, auth_info_bytes) = (body, auth);
                let chain_id = chain_id.clone();
                Ok(SignDoc { body_bytes, auth_info_bytes, chain_id, account_number }
                    .encode_to_vec())
            }
        }
    }

    fn with_single(
        mut self,
        key: &PublicKey,
        mode: SignMode,
        signature: Vec<u8>,
        sequence: u64,
    ) -> Self {
        let sum = Sum::Single(Single { mode: mode.number() });
        self.auth.signer_infos = vec![info(key, sum, sequence)];
        self.signatures = vec![signature];
        self
    }

    fn with_multi(
        mut self,
        multisig: &Multisig,
        signed: Vec<(usize, SignMode, Vec<u8>)>,
        sequence: u64,
    ) -> Self {
        let count = multisig.keys.len();
        let byte = signed.iter().fold(0_u8, |bits, (index, ..)| bits | (0x80 >> index));
        let single =
            |mode: &SignMode| ModeInfo { sum: Some(Sum::Single(Single { mode: mode.number() })) };
        let sum = Sum::Multi(Multi {
            bitarray: Some(CompactBitArray { extra_bits_stored: count as u32, elems: vec![byte] }),
            mode_infos: signed.iter().map(|(_, mode, _)| single(mode)).collect(),
        });
        self.auth.signer_infos = vec![info(&PublicKey::Multisig(multisig.clone()), sum, sequence)];
        let signatures = signed.into_iter().map(|(.., signature)| signature).collect();
        self.signatures = vec![MultiSignature { signatures }.encode_to_vec()];
        self
    }
}

fn info(key: &PublicKey, sum: Sum, sequence: u64) -> SignerInfo {
    let mode_info = Some(ModeInfo { sum: Some(sum) });
    SignerInfo { public_key: Some(key.to_any()), mode_info, sequence }
}

/// Returns the members of a multisig that signed, with their signatures.
fn members(
    multisig: &Multisig,
    multi: &Multi,
    signature: &[u8],
) -> Result<Vec<(Secp256k1Key, SignMode, Vec<u8>)>, ClientError> {
    let signatures = MultiSignature::decode(signature)
        .map_err(|error| fault(format!("not the signatures of a multisig: {error}")))?
        .signatures;
    let bits = multi.bitarray.as_ref().and_then(|bits| bits.elems.first()).copied().unwrap_or(0);
    let keys: Vec<_> =
        (0..).zip(&multisig.keys).filter(|(index, _)| bits & (0x80_u8 >> index) != 0).collect();
    let threshold = multisig.threshold as usize;
    if keys.len() != threshold
        || signatures.len() != threshold
        || multi.mode_infos.len() != threshold
    {
        return Err(fault(format!(
            "{} keys and {} signatures, expected {threshold} of each",
            keys.len(),
            signatures.len()
        )));
    }
    let mut signed = Vec::new();
    for (((_, key), mode), signature) in keys.into_iter().zip(&multi.mode_infos).zip(signatures) {
        let Some(Sum::Single(single)) = &mode.sum else {
            return Err(fault("a multisig in a multisig is not supported"));
        };
        signed.push((*key, mode_of(single.mode)?, signature));
    }
    Ok(signed)
}

fn does_not_verify(name: &Address, signer: &SignerData) -> ClientError {
    fault(format!(
        "the signature of {name} does not verify for chain id {:?}, account number {} and sequence {}; sign again for these",
        signer.chain_id, signer.account_number, signer.sequence
    ))
}

/// Returns the beginning of a text of a file, as an error shows it.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn fault(text: impl Into<String>) -> ClientError {
    ClientError::Tx(text.into())
}
