use capstan_proto::{Address, Amount, DENOM, Params, TxSize, amino};
use cosmrs::{
    Any,
    proto::cosmos::{
        base::v1beta1::Coin,
        tx::v1beta1::{AuthInfo, Fee, SignerInfo, TxBody, TxRaw},
    },
};

use super::{
    Action, PublicKey, Signature, TxError, TxHash,
    action::command,
    fields::Fields,
    known_fields::{AUTH_INFO, Known, TX_BODY, few_fields},
    messages,
    protobuf::{Encoding, decode_canonical},
    public_key,
};

/// A decoded transaction. It is in one of the forms that the chain takes and within its limits, and each of its
/// messages has been decoded.
#[derive(Clone, Debug)]
pub struct Tx {
    /// [`TxHash`] of the transaction.
    pub hash: TxHash,
    /// Size of the transaction, in bytes.
    pub size: usize,
    /// [`Address`] of the account for which all messages act. `admission::check` verifies that it signed.
    pub signer: Address,
    /// [`PublicKey`] of the signer, if the transaction carries one.
    pub public_key: Option<PublicKey>,
    /// Sequence of the transaction.
    pub sequence: u64,
    /// Fee that the transaction pays: an [`Amount`].
    pub fee: Amount,
    /// Gas limit: the transaction's gas must not exceed it. CometBFT bounds the sum of a block's gas limits.
    pub gas_limit: u64,
    /// Last block height at which the transaction is valid, or 0 without a limit.
    pub timeout_height: u64,
    /// Messages in the order of their execution, each an [`Action`].
    pub actions: Vec<Action>,
    /// [`Signature`], and the bytes that it covers.
    pub signature: Signature,
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

    /// Returns the parts of the transaction that its gas counts. [`Fees::gas`](capstan_proto::Fees::gas) adds them up.
    pub fn size(&self) -> TxSize {
        let declared = self.actions.iter().map(Action::declared_bytes);
        let for_system = self.actions.iter().filter(|action| action.is_for_system());
        TxSize {
            bytes: self.size as u64,
            declared_bytes: declared.fold(0, u64::saturating_add),
            messages: self.actions.len() as u64,
            system_messages: for_system.count() as u64,
            signatures: self.signature.count() as u64,
        }
    }

    /// Returns the computrons that the transaction counts towards its block, besides its cranks. Each reference counts as
    /// much as two written entries: that of its object, whose count changes, and looks at the account's two.
    pub(crate) fn computrons(&self, params: &Params) -> u64 {
        let references = self.actions.iter().map(Action::references).fold(0, u64::saturating_add);
        let looked_up = params.write_computrons.saturating_mul(2).saturating_mul(references);
        params.transaction_computrons(&self.size()).saturating_add(looked_up)
    }

    /// Returns the computrons that a transaction counts at least, whatever it says.
    pub(crate) fn least_computrons(bytes: &[u8], params: &Params) -> u64 {
        params.transaction_computrons(&TxSize { bytes: bytes.len() as u64, ..TxSize::default() })
    }

    /// Decodes a transaction, and checks all that needs no state. Returns a [`TxError`] for the first mistake.
    pub fn decode(bytes: &[u8], params: &Params) -> Result<Self, TxError> {
        Self::read(bytes, params, Signature::read)
    }

    /// Decodes a transaction that may have no fee and no signatures yet. Its size has room for them.
    pub(crate) fn decode_unsigned(bytes: &[u8], params: &Params) -> Result<Self, TxError> {
        let mut tx = Self::read(bytes, params, Signature::missing)?;
        tx.size += MISSING_BYTES + tx.signature.count() * MISSING_SIGNATURE_BYTES;
        Ok(tx)
    }

    fn read(
        bytes: &[u8],
        params: &Params,
        read_signature: fn(&SignerInfo, &[u8], &TxRaw) -> Result<Signature, TxError>,
    ) -> Result<Self, TxError> {
        if bytes.len() as u64 > params.max_tx_bytes {
            return Err(TxError::TooLarge { size: bytes.len(), limit: params.max_tx_bytes });
        }
        // A field takes many times its bytes when it is decoded.
        few_fields("TxRaw", bytes, MAX_RAW_FIELDS)?;
        let raw: TxRaw = decode_canonical("TxRaw", bytes)?;
        few_fields("TxBody", &raw.body_bytes, MAX_BODY_FIELDS)?;
        if raw.auth_info_bytes.len() > MAX_AUTH_INFO_BYTES {
            return Err(TxError::Undecodable {
                part: "AuthInfo".to_owned(),
                problem: format!("it has more than {MAX_AUTH_INFO_BYTES} bytes"),
            });
        }
        let known = |message| move || Some(Known::Cosmos(message));
        let body: TxBody =
            Encoding::FreeNonCritical.decode("TxBody", &raw.body_bytes, known(&TX_BODY))?;
        let auth: AuthInfo =
            Encoding::Free.decode("AuthInfo", &raw.auth_info_bytes, known(&AUTH_INFO))?;
        check_body(&body, params)?;
        let (signer_info, signature) = single_signer(&auth, &raw.signatures)?;
        let signature = read_signature(signer_info, signature, &raw)?;
        let encoding = match signature.has_amino() {
            true => Encoding::Canonical,
            false => Encoding::FreeNonCritical,
        };
        if encoding == Encoding::Canonical {
            check_amino(&raw, &auth, signer_info)?;
        }
        let public_key = signer_info.public_key.as_ref().map(public_key::decode).transpose()?;
        let signer = signer_of(&body, public_key.as_ref())?;
        let (fee, gas_limit) = read_fee(auth.fee.as_ref(), signer)?;
        let fields = |index| Fields { index, command: command::UNKNOWN, signer, params, encoding };
        let read = |(index, any): (usize, &Any)| messages::read(fields(index), any);
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
            signature,
        })
    }
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

/// Returns the only signer, and its signature.
fn single_signer<'a>(
    auth: &'a AuthInfo,
    signatures: &'a [Vec<u8>],
) -> Result<(&'a SignerInfo, &'a [u8]), TxError> {
    #[allow(deprecated)] // the field must be looked at to refuse it
    if auth.tip.is_some() {
        return Err(TxError::Unsupported("a tip"));
    }
    match (auth.signer_infos.as_slice(), signatures) {
        ([info], [signature]) => Ok((info, signature)),
        (infos, signatures) => {
            Err(TxError::SignerCount { signers: infos.len(), signatures: signatures.len() })
        }
    }
}

/// Checks what a transaction needs that is signed as a JSON document. The document does not cover the encoding, and
/// is the same whether the key and the fee are there or not. So both have to be there.
fn check_amino(raw: &TxRaw, auth: &AuthInfo, signer: &SignerInfo) -> Result<(), TxError> {
    let (size, limit) = (raw.body_bytes.len(), amino::MAX_BODY_BYTES);
    if size > limit {
        return Err(TxError::AminoTooLarge { size, limit });
    }
    decode_canonical::<TxBody>("TxBody", &raw.body_bytes)?;
    decode_canonical::<AuthInfo>("AuthInfo", &raw.auth_info_bytes)?;
    if signer.public_key.is_none() {
        let problem = "a transaction in SIGN_MODE_LEGACY_AMINO_JSON must carry it";
        return Err(TxError::PublicKey(problem.to_owned()));
    }
    match auth.fee {
        Some(_) => Ok(()),
        None => Err(TxError::FeeDenom(
            "a transaction in SIGN_MODE_LEGACY_AMINO_JSON must have a fee field".to_owned(),
        )),
    }
}

/// Returns the signer: the owner of the key or, without a key, the account for which the first message acts.
fn signer_of(body: &TxBody, key: Option<&PublicKey>) -> Result<Address, TxError> {
    if let Some(key) = key {
        return key.address().ok_or_else(|| TxError::PublicKey("it has no address".to_owned()));
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

/// Maximum number of fields of a `TxRaw`: body, `AuthInfo` and signatures, of which there may be one.
const MAX_RAW_FIELDS: usize = 100;

/// Maximum number of fields of a `TxBody`, most of them messages.
const MAX_BODY_FIELDS: usize = 10_000;

/// Maximum size of an `AuthInfo`: a multisig of 7 keys takes a tenth of it.
const MAX_AUTH_INFO_BYTES: usize = 8_192;

/// Bytes that a fee and a gas limit add at most, and mode infos.
const MISSING_BYTES: usize = 96;

/// Bytes that a signature adds at most.
const MISSING_SIGNATURE_BYTES: usize = 68;
