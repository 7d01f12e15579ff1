use capstan_proto::{Address, Amount, DENOM, Fees, Params};
use cosmrs::{
    Any,
    crypto::PublicKey,
    proto::cosmos::{
        base::v1beta1::Coin,
        crypto::secp256k1::PubKey,
        tx::v1beta1::{AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw, mode_info},
    },
};

use prost::Message as _;
use sha2::{Digest, Sha256};

use super::{Action, TxError, TxHash, messages, protobuf::decode_canonical};
use cosmrs::crypto::secp256k1 as ecdsa;

/// A decoded transaction. It is in canonical form and within the chain's limits, and each of its messages has been
/// decoded.
#[derive(Clone, Debug)]
pub struct Tx {
    /// [`TxHash`] of the transaction.
    pub hash: TxHash,
    /// Size of the transaction, in bytes.
    pub size: usize,
    /// [`Address`] of the account for which all messages act. `admission::check` verifies that it signed.
    pub signer: Address,
    /// Compressed secp256k1 key of the signer, if the transaction carries one.
    pub public_key: Option<[u8; 33]>,
    /// Sequence of the transaction.
    pub sequence: u64,
    /// Fee that the transaction pays: an [`Amount`].
    pub fee: Amount,
    /// Declared gas limit. It buys nothing here, but CometBFT counts it and explorers show it.
    pub gas_limit: u64,
    /// Last block height at which the transaction is valid, or 0 without a limit.
    pub timeout_height: u64,
    /// Messages in the order of their execution, each an [`Action`].
    pub actions: Vec<Action>,
    /// [`Signature`], and the bytes that it covers.
    pub signature: Signature,
}

/// A signature and the bytes that it covers, except for chain id and account number.
#[derive(Clone, Debug)]
pub struct Signature {
    body_bytes: Vec<u8>,
    auth_info_bytes: Vec<u8>,
    /// Numbers `r` and `s` of the signature, 32 bytes each.
    signature: Vec<u8>,
}

impl Tx {
    /// Returns whether the transaction does more than send coins and use io channels, so that its signer must be an
    /// endpoint of the kernel.
    pub fn needs_endpoint(&self) -> bool {
        self.actions.iter().any(|action| {
            !matches!(
                action,
                Action::BankSend { .. } | Action::WriteChannel { .. } | Action::AckChannel { .. }
            )
        })
    }

    /// Returns the lowest fee that the chain accepts for the transaction, by [`Fees::required`].
    pub fn required_fee(&self, fees: &Fees) -> Amount {
        let declared = self.actions.iter().map(|action| u128::from(action.declared_bytes())).sum();
        fees.required(self.size as u64, declared, self.actions.len() as u64)
    }

    /// Returns the gas that the transaction uses: the number of coins in [`Self::required_fee`]. So the lowest price of
    /// gas is one coin.
    pub fn gas(&self, fees: &Fees) -> u64 {
        u64::try_from(self.required_fee(fees).0).unwrap_or(u64::MAX)
    }

    /// Decodes a transaction, and checks all that needs no state. Returns a [`TxError`] for the first mistake.
    pub fn decode(bytes: &[u8], params: &Params) -> Result<Self, TxError> {
        Self::read(bytes, params, true)
    }

    /// Decodes a transaction that may not be signed yet. Its [`Self::size`] has room for a signature and a fee, if it
    /// has none.
    pub(crate) fn decode_unsigned(bytes: &[u8], params: &Params) -> Result<Self, TxError> {
        let mut tx = Self::read(bytes, params, false)?;
        if tx.signature.signature.is_empty() {
            tx.size += SIGNATURE_BYTES;
        }
        if tx.fee == Amount(0) {
            tx.size += FEE_BYTES;
        }
        Ok(tx)
    }

    fn read(bytes: &[u8], params: &Params, is_signed: bool) -> Result<Self, TxError> {
        if bytes.len() as u64 > params.max_tx_bytes {
            return Err(TxError::TooLarge { size: bytes.len(), limit: params.max_tx_bytes });
        }
        let raw: TxRaw = decode_canonical("TxRaw", bytes)?;
        let body: TxBody = decode_canonical("TxBody", &raw.body_bytes)?;
        let auth: AuthInfo = decode_canonical("AuthInfo", &raw.auth_info_bytes)?;
        check_body(&body, params)?;
        let (signer_info, signature) = single_signer(&auth, &raw.signatures, is_signed)?;
        let public_key = signer_info.public_key.as_ref().map(read_key).transpose()?;
        let signer = signer_of(&body, public_key.as_ref())?;
        let (fee, gas_limit) = read_fee(auth.fee.as_ref(), signer)?;
        let read = |(index, any): (usize, &Any)| messages::read(index, any, signer, params);
        let actions = body.messages.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            hash: TxHash::digest(bytes),
            size: bytes.len(),
            signer,
            public_key,
            sequence: signer_info.sequence,
            fee,
            gas_limit,
            timeout_height: body.timeout_height,
            actions,
            signature: Signature {
                body_bytes: raw.body_bytes,
                auth_info_bytes: raw.auth_info_bytes,
                signature,
            },
        })
    }
}

impl Signature {
    /// Verifies the signature by `key` for a chain and account number. `Err` says only whether it is invalid or not
    /// in low-s form.
    pub(crate) fn verify(
        &self,
        key: &[u8; 33],
        chain_id: &str,
        account_number: u64,
    ) -> Result<(), Unverified> {
        let key = ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| Unverified::Wrong)?;
        let signature =
            ecdsa::Signature::from_slice(&self.signature).map_err(|_| Unverified::Wrong)?;
        if signature.normalize_s().is_some() {
            return Err(Unverified::HighS);
        }
        let document = SignDoc {
            body_bytes: self.body_bytes.clone(),
            auth_info_bytes: self.auth_info_bytes.clone(),
            chain_id: chain_id.to_owned(),
            account_number,
        };
        let hash = Sha256::digest(document.encode_to_vec());
        use k256::ecdsa::signature::hazmat::PrehashVerifier;
        key.verify_prehash(&hash, &signature).map_err(|_| Unverified::Wrong)
    }
}

/// Reason why a signature is refused.
pub(crate) enum Unverified {
    HighS,
    Wrong,
}

fn check_body(body: &TxBody, params: &Params) -> Result<(), TxError> {
    if body.memo.len() > params.max_memo_bytes as usize {
        return Err(TxError::Memo { size: body.memo.len(), limit: params.max_memo_bytes });
    }
    if !body.extension_options.is_empty() || !body.non_critical_extension_options.is_empty() {
        return Err(TxError::Unsupported("an extension option"));
    }
    let (count, limit) = (body.messages.len(), params.max_messages_per_tx);
    if count == 0 || count > limit as usize {
        return Err(TxError::MessageCount { count, limit });
    }
    Ok(())
}

fn single_signer<'a>(
    auth: &'a AuthInfo,
    signatures: &[Vec<u8>],
    is_signed: bool,
) -> Result<(&'a SignerInfo, Vec<u8>), TxError> {
    #[allow(deprecated)] // the field must be looked at to refuse it
    if auth.tip.is_some() {
        return Err(TxError::Unsupported("a tip"));
    }
    let ([info], [signature]) = (auth.signer_infos.as_slice(), signatures) else {
        let (signers, signatures) = (auth.signer_infos.len(), signatures.len());
        return Err(TxError::SignerCount { signers, signatures });
    };
    match &info.mode_info {
        Some(ModeInfo { sum: Some(mode_info::Sum::Single(single)) }) if single.mode == DIRECT => {
            Ok((info, signature.clone()))
        }
        _ if !is_signed => Ok((info, signature.clone())),
        _ => Err(TxError::SignMode),
    }
}

fn read_key(any: &Any) -> Result<[u8; 33], TxError> {
    if any.type_url != PublicKey::SECP256K1_TYPE_URL {
        let problem =
            format!("{:?} is not supported, use {}", any.type_url, PublicKey::SECP256K1_TYPE_URL);
        return Err(TxError::PublicKey(problem));
    }
    let key: PubKey = decode_canonical("public key", &any.value)?;
    let refuse =
        || TxError::PublicKey("expected 33 bytes, a compressed point of secp256k1".to_owned());
    let bytes: [u8; 33] = key.key.try_into().map_err(|_| refuse())?;
    ecdsa::VerifyingKey::from_sec1_bytes(&bytes).map_err(|_| refuse())?;
    Ok(bytes)
}

/// Returns the [`Address`] of a key of [`read_key`].
pub(crate) fn address_of(key: &[u8; 33]) -> Option<Address> {
    let key = ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    Address::from_public_key(&PublicKey::from(key))
}

/// Returns the signer: the owner of the key or, without a key, the account for which the first message acts.
fn signer_of(body: &TxBody, key: Option<&[u8; 33]>) -> Result<Address, TxError> {
    if let Some(key) = key {
        return address_of(key).ok_or_else(|| TxError::PublicKey("it has no address".to_owned()));
    }
    match body.messages.first() {
        Some(first) => messages::actor(0, first),
        None => Err(TxError::MessageCount { count: 0, limit: 0 }),
    }
}

fn read_fee(fee: Option<&Fee>, signer: Address) -> Result<(Amount, u64), TxError> {
    let Some(fee) = fee else {
        return Ok((Amount(0), 0));
    };
    if !fee.granter.is_empty() {
        return Err(TxError::Unsupported("a fee granter"));
    }
    if !fee.payer.is_empty() && fee.payer != signer.to_string() {
        return Err(TxError::Unsupported("a fee payer other than the signer"));
    }
    let amount = match fee.amount.as_slice() {
        [] => Amount(0),
        [Coin { denom, amount }] if denom == DENOM => {
            amount.parse().map_err(|e| TxError::FeeDenom(format!("{e}")))?
        }
        [Coin { denom, .. }] => {
            return Err(TxError::FeeDenom(format!("{denom:?} is not accepted")));
        }
        coins => return Err(TxError::FeeDenom(format!("there are {} coins", coins.len()))),
    };
    Ok((amount, fee.gas_limit))
}

/// Size of a signature in an encoded transaction, in bytes.
const SIGNATURE_BYTES: usize = 64;
/// Size of a fee in an encoded transaction, in bytes: an amount of up to 20 digits, a gas limit, and the lengths.
const FEE_BYTES: usize = 48;
/// Number of `cosmos.tx.signing.v1beta1.SignMode.SIGN_MODE_DIRECT`.
const DIRECT: i32 = 1;
