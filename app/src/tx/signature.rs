use capstan_proto::amino;
use cosmrs::proto::cosmos::{
    crypto::multisig::v1beta1::{CompactBitArray, MultiSignature},
    tx::v1beta1::{SignDoc, SignerInfo, TxRaw, mode_info},
};
use prost::Message as _;
use sha2::{Digest, Sha256};

use super::{
    MAX_MULTISIG_KEYS, Multisig, PublicKey, Secp256k1Key, TxError, curve,
    protobuf::decode_canonical, public_key,
};

/// The signatures of a transaction, and the bytes that they cover but for the chain id and the account number.
#[derive(Clone, Debug)]
pub struct Signature {
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
    signers: Signers,
}

/// The keys that signed.
#[derive(Clone, Debug)]
enum Signers {
    /// The account's one key.
    Single(Signed),
    /// Keys of a multisig of `keys` keys, by their index.
    Multi { keys: usize, signed: Vec<(usize, Signed)> },
}

/// The signature of one key, and the form of the bytes that it covers.
#[derive(Clone, Debug)]
struct Signed {
    mode: Mode,
    /// Numbers `r` and `s` of the signature, 32 bytes each.
    signature: Vec<u8>,
}

/// The form of the bytes that a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `SIGN_MODE_DIRECT`: the protobuf bytes.
    Direct,
    /// `SIGN_MODE_LEGACY_AMINO_JSON`: a JSON document.
    AminoJson,
}

/// Reason why a signature is refused.
pub(crate) enum Unverified {
    /// A signature is not in low-s form.
    HighS,
    /// A signature does not verify.
    Wrong,
    /// Other keys signed than the account's key asks for.
    Keys(TxError),
}

impl Signature {
    /// Reads the signatures of a transaction's only signer.
    pub(super) fn read(
        signer: &SignerInfo,
        signature: &[u8],
        raw: &TxRaw,
    ) -> Result<Self, TxError> {
        let mode = signer.mode_info.as_ref();
        let signers = match mode.and_then(|mode| mode.sum.as_ref()) {
            Some(mode_info::Sum::Single(single)) => Signers::Single(Signed {
                mode: Mode::of(single.mode)?,
                signature: signature.to_vec(),
            }),
            Some(mode_info::Sum::Multi(multi)) => read_multi(multi, signature)?,
            None => return Err(TxError::SignMode),
        };
        Ok(Self::of(raw, signers))
    }

    /// Returns as many empty signatures as the signer's key needs, for a transaction that is not signed yet. They verify
    /// for no key.
    pub(super) fn missing(
        signer: &SignerInfo,
        _signature: &[u8],
        raw: &TxRaw,
    ) -> Result<Self, TxError> {
        let missing = || Signed { mode: Mode::Direct, signature: Vec::new() };
        let key = signer.public_key.as_ref().map(public_key::decode).transpose()?;
        Ok(Self::of(
            raw,
            match key {
                Some(PublicKey::Multisig(Multisig { threshold, keys })) => Signers::Multi {
                    keys: keys.len(),
                    signed: (0..threshold as usize).map(|index| (index, missing())).collect(),
                },
                _ => Signers::Single(missing()),
            },
        ))
    }

    fn of(raw: &TxRaw, signers: Signers) -> Self {
        let (body_bytes, auth_info_bytes) = (raw.body_bytes.clone(), raw.auth_info_bytes.clone());
        Self { body_bytes, auth_info_bytes, signers }
    }

    /// Returns whether a key signed a JSON document, which does not cover the transaction byte by byte.
    pub(super) fn has_amino(&self) -> bool {
        match &self.signers {
            Signers::Single(signed) => signed.mode == Mode::AminoJson,
            Signers::Multi { signed, .. } => {
                signed.iter().any(|(_, signed)| signed.mode == Mode::AminoJson)
            }
        }
    }

    /// Returns the signatures, as numbers `r` and `s` of 32 bytes each.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &[u8]> {
        let signed: Vec<&Signed> = match &self.signers {
            Signers::Single(signed) => vec![signed],
            Signers::Multi { signed, .. } => signed.iter().map(|(_, signed)| signed).collect(),
        };
        signed.into_iter().map(|signed| signed.signature.as_slice())
    }

    /// Returns the number of signatures.
    pub(super) fn count(&self) -> usize {
        match &self.signers {
            Signers::Single(_) => 1,
            Signers::Multi { signed, .. } => signed.len(),
        }
    }

    /// Verifies the signatures by `key` for a chain and account number.
    pub(crate) fn verify(
        &self,
        key: &PublicKey,
        chain_id: &str,
        account_number: u64,
    ) -> Result<(), Unverified> {
        let by = self.by_keys(key).map_err(Unverified::Keys)?;
        let (mut direct, mut amino_json) = (None, None);
        for (key, signed) in by {
            let hash = match signed.mode {
                Mode::Direct => {
                    direct.get_or_insert_with(|| self.direct_hash(chain_id, account_number))
                }
                Mode::AminoJson => match &mut amino_json {
                    Some(hash) => hash,
                    none => none.insert(self.amino_hash(chain_id, account_number)?),
                },
            };
            signed.verify(key, hash)?;
        }
        Ok(())
    }

    /// Pairs the signatures with the keys that must have made them.
    fn by_keys<'a>(
        &'a self,
        key: &'a PublicKey,
    ) -> Result<Vec<(&'a Secp256k1Key, &'a Signed)>, TxError> {
        match (key, &self.signers) {
            (PublicKey::Secp256k1(key), Signers::Single(signed)) => Ok(vec![(key, signed)]),
            (PublicKey::Multisig(multisig), Signers::Multi { keys, signed }) => {
                if *keys != multisig.keys.len() || signed.len() != multisig.threshold as usize {
                    return Err(TxError::Multisig(format!(
                        "{} of {keys} keys signed, expected {} of {}",
                        signed.len(),
                        multisig.threshold,
                        multisig.keys.len()
                    )));
                }
                let by = |(index, signed): &'a (usize, Signed)| {
                    multisig.keys.get(*index).map(|key| (key, signed))
                };
                Ok(signed.iter().filter_map(by).collect())
            }
            (PublicKey::Secp256k1(_), _) => Err(TxError::Multisig(
                "the account has one key, and the mode info is that of a multisig".to_owned(),
            )),
            (PublicKey::Multisig(_), _) => Err(TxError::Multisig(
                "the account is a multisig, and the mode info is that of one key".to_owned(),
            )),
        }
    }

    fn direct_hash(&self, chain_id: &str, account_number: u64) -> [u8; 32] {
        let document = SignDoc {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number,
        };
        Sha256::digest(document.encode_to_vec()).into()
    }

    fn amino_hash(&self, chain_id: &str, account_number: u64) -> Result<[u8; 32], Unverified> {
        let (body, auth_info) = (&self.body_bytes, &self.auth_info_bytes);
        let bytes = amino::sign_bytes(body, auth_info, chain_id, account_number);
        Ok(Sha256::digest(bytes.map_err(|error| Unverified::Keys(TxError::no_document(error)))?)
            .into())
    }
}

impl Mode {
    fn of(number: i32) -> Result<Self, TxError> {
        match number {
            DIRECT => Ok(Self::Direct),
            LEGACY_AMINO_JSON => Ok(Self::AminoJson),
            _ => Err(TxError::SignMode),
        }
    }
}

impl Signed {
    fn verify(&self, key: &Secp256k1Key, hash: &[u8; 32]) -> Result<(), Unverified> {
        curve::verify(key, &self.signature, hash)
    }
}

fn read_multi(multi: &mode_info::Multi, signature: &[u8]) -> Result<Signers, TxError> {
    let refused = |problem: &str| TxError::Multisig(problem.to_owned());
    let bits = multi.bitarray.as_ref().ok_or_else(|| refused("the bit array is missing"))?;
    let (keys, set) = read_bits(bits)?;
    let signatures: MultiSignature = decode_canonical("MultiSignature", signature)?;
    let (modes, signatures) = (&multi.mode_infos, signatures.signatures);
    if set.len() != modes.len() || set.len() != signatures.len() {
        return Err(TxError::Multisig(format!(
            "the bit array names {} keys, but there are {} mode infos and {} signatures",
            set.len(),
            modes.len(),
            signatures.len()
        )));
    }
    let mut signed = Vec::with_capacity(set.len());
    for ((index, mode), signature) in set.into_iter().zip(modes).zip(signatures) {
        let Some(mode_info::Sum::Single(single)) = &mode.sum else {
            return Err(refused("a multisig in a multisig is not supported"));
        };
        signed.push((index, Signed { mode: Mode::of(single.mode)?, signature }));
    }
    Ok(Signers::Multi { keys, signed })
}

/// Returns the number of keys, and the indices of those that signed. The first key has the highest bit of the first
/// byte.
fn read_bits(bits: &CompactBitArray) -> Result<(usize, Vec<usize>), TxError> {
    let refused = |problem: String| Err(TxError::Multisig(problem));
    let [byte] = bits.elems.as_slice() else {
        return refused(format!(
            "a bit array of {} bytes, expected 1: a multisig has at most {MAX_MULTISIG_KEYS} keys",
            bits.elems.len()
        ));
    };
    let keys = bits.extra_bits_stored as usize;
    if keys == 0 || keys > MAX_MULTISIG_KEYS {
        return refused(format!("a bit array of {keys} bits, expected 1 to {MAX_MULTISIG_KEYS}"));
    }
    let is_set = |index: &usize| byte & (0x80 >> index) != 0;
    if (keys..8).any(|index| is_set(&index)) {
        return refused("the bit array names keys that are not there".to_owned());
    }
    Ok((keys, (0..keys).filter(is_set).collect()))
}

/// Number of `cosmos.tx.signing.v1beta1.SignMode.SIGN_MODE_DIRECT`.
const DIRECT: i32 = 1;

/// Number of `cosmos.tx.signing.v1beta1.SignMode.SIGN_MODE_LEGACY_AMINO_JSON`.
const LEGACY_AMINO_JSON: i32 = 127;
