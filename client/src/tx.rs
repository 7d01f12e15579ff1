//! Building and signing transactions.

use cosmrs::crypto::secp256k1::SigningKey;
use cosmrs::proto::cosmos::tx::v1beta1::{Fee as ProtoFee, TxBody};
use cosmrs::tx::{Body, Fee, SignDoc, SignerInfo};
use cosmrs::{Any, Coin, Denom};
use prost::{Message, Name};
use sha2::{Digest, Sha256};
use tendermint::Hash;

use crate::{Amount, ClientError, DENOM, Key};

/// Gas limit of a transaction that sets none: enough for all but the largest bundles.
pub const DEFAULT_GAS_LIMIT: u64 = 10_000_000;

/// Builder of transactions: messages, memo, fee, gas limit and timeout height.
#[derive(Clone, Debug, Default)]
pub struct TxBuilder {
    messages: Vec<Any>,
    memo: String,
    fee: Amount,
    gas_limit: Option<u64>,
    timeout_height: u32,
}

/// Data that a signature covers besides the transaction itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerData {
    /// Id of the chain.
    pub chain_id: String,
    /// Number of the account, as in [`Account::number`](crate::Account::number).
    pub account_number: u64,
    /// Sequence that the account's next transaction must have.
    pub sequence: u64,
}

/// A signed transaction, ready to be broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTx {
    bytes: Vec<u8>,
}

impl TxBuilder {
    /// Creates a transaction without messages and fee.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message to the transaction.
    #[must_use]
    pub fn message<M: Message + Name>(self, message: &M) -> Self {
        self.any(Any { type_url: format!("/{}", M::full_name()), value: message.encode_to_vec() })
    }

    /// Adds a message that is packed already.
    #[must_use]
    pub fn any(mut self, message: Any) -> Self {
        self.messages.push(message);
        self
    }

    /// Sets the transaction's memo.
    #[must_use]
    pub fn memo(mut self, memo: impl Into<String>) -> Self {
        self.memo = memo.into();
        self
    }

    /// Sets the fee, in [`DENOM`].
    #[must_use]
    pub fn fee(mut self, fee: Amount) -> Self {
        self.fee = fee;
        self
    }

    /// Sets the gas limit, which the transaction's gas must not exceed. Without it, the limit is
    /// [`DEFAULT_GAS_LIMIT`]. A [`Wallet`](crate::Wallet) that sets the fee sets the limit, too.
    #[must_use]
    pub fn gas_limit(mut self, gas_limit: u64) -> Self {
        self.gas_limit = Some(gas_limit);
        self
    }

    /// Sets the last height at which the transaction is valid. 0 sets no limit.
    #[must_use]
    pub fn timeout_height(mut self, height: u32) -> Self {
        self.timeout_height = height;
        self
    }

    /// Sets the memo of a transaction that has none.
    pub(crate) fn default_memo(mut self, memo: &str) -> Self {
        if self.memo.is_empty() {
            memo.clone_into(&mut self.memo);
        }
        self
    }

    /// Sets the last height of a transaction that has none.
    pub(crate) fn default_timeout_height(mut self, height: u32) -> Self {
        if self.timeout_height == 0 {
            self.timeout_height = height;
        }
        self
    }

    /// Returns the number of messages.
    pub fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// Returns the number of the messages that vats of the system handle, as [`TxSize`](capstan_proto::TxSize) counts
    /// them.
    pub fn system_message_count(&self) -> usize {
        self.messages.iter().filter(|message| is_for_system(message)).count()
    }

    /// Returns whether a fee was set.
    pub fn has_fee(&self) -> bool {
        self.fee != Amount(0)
    }

    /// Returns the gas limit, or `None` if none was set.
    pub fn gas(&self) -> Option<u64> {
        self.gas_limit
    }

    /// Returns the fee.
    pub fn fee_amount(&self) -> Amount {
        self.fee
    }

    /// Signs in `SIGN_MODE_DIRECT`. The same transaction, signed again, has the same bytes.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if the chain id is not valid.
    pub fn sign(&self, key: &Key, signer: &SignerData) -> Result<SignedTx, ClientError> {
        self.sign_with(key.signing_key(), key, signer)
    }

    /// Signs as [`TxBuilder::sign`], with a fresh signature and so a new hash each time: a resubmission is never
    /// mistaken for the earlier one.
    ///
    /// # Errors
    /// As [`TxBuilder::sign`].
    pub fn sign_anew(&self, key: &Key, signer: &SignerData) -> Result<SignedTx, ClientError> {
        self.sign_with(key.hedged_signing_key(), key, signer)
    }

    fn sign_with(
        &self,
        signing_key: Option<SigningKey>,
        key: &Key,
        signer: &SignerData,
    ) -> Result<SignedTx, ClientError> {
        let fault = |error: String| ClientError::Tx(error);
        let body = Body::new(self.messages.clone(), self.memo.clone(), self.timeout_height);
        let auth = SignerInfo::single_direct(Some(key.public_key()), signer.sequence)
            .auth_info(self.coins()?);
        let chain_id = signer
            .chain_id
            .parse()
            .map_err(|_| fault(format!("{:?} is no chain id", signer.chain_id)))?;
        let document = SignDoc::new(&body, &auth, &chain_id, signer.account_number)
            .map_err(|e| fault(e.to_string()))?;
        let signing_key = signing_key.ok_or_else(|| fault("the key cannot sign".to_owned()))?;
        let raw = document.sign(&signing_key).map_err(|error| fault(error.to_string()))?;
        raw.to_bytes().map(|bytes| SignedTx { bytes }).map_err(|error| fault(error.to_string()))
    }

    /// Returns the body and the fee.
    pub(crate) fn parts(&self) -> Result<(TxBody, ProtoFee), ClientError> {
        let body = Body::new(self.messages.clone(), self.memo.clone(), self.timeout_height);
        Ok((body.into(), self.coins()?.into()))
    }

    fn coins(&self) -> Result<Fee, ClientError> {
        let denom: Denom = DENOM
            .parse()
            .map_err(|error: cosmrs::ErrorReport| ClientError::Tx(error.to_string()))?;
        let gas_limit = self.gas_limit.unwrap_or(DEFAULT_GAS_LIMIT);
        let mut fee = Fee::from_amount_and_gas(Coin { denom, amount: self.fee.0 }, gas_limit);
        // The SDK encodes the absence of a fee as no coin, not as a coin of zero.
        if self.fee == Amount(0) {
            fee.amount.clear();
        }
        Ok(fee)
    }
}

/// Returns whether vats of the system handle a message, or may.
fn is_for_system(message: &Any) -> bool {
    let name = message.type_url.strip_prefix("/capstan.v1.");
    matches!(name, Some("MsgCreateVat" | "MsgUpgradeVat" | "MsgTerminateVat" | "MsgSend"))
}

impl SignedTx {
    /// Returns the encoded `TxRaw`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the transaction's hash: the SHA-256 of its bytes.
    pub fn hash(&self) -> Hash {
        Hash::Sha256(Sha256::digest(&self.bytes).into())
    }

    /// Wraps the bytes of a signed transaction without checking them.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

#[cfg(test)]
mod tests {
    use cosmrs::crypto::secp256k1::{Signature, VerifyingKey};
    use cosmrs::proto::cosmos::bank::v1beta1::MsgSend;
    use cosmrs::proto::cosmos::tx::v1beta1::{SignDoc as RawSignDoc, TxRaw};
    use cosmrs::tx::Tx;
    use k256::ecdsa::signature::Verifier as _;

    use super::*;

    fn signer() -> SignerData {
        SignerData { chain_id: "capstan-dev".into(), account_number: 3, sequence: 9 }
    }

    fn builder() -> TxBuilder {
        let message = MsgSend { from_address: "a".into(), to_address: "b".into(), amount: vec![] };
        TxBuilder::new()
            .message(&message)
            .memo("hello")
            .fee(Amount(1500))
            .gas_limit(7)
            .timeout_height(40)
    }

    #[test]
    fn what_was_built_is_what_is_read() {
        let tx = Tx::from_bytes(builder().sign(&Key::dev(0), &signer()).unwrap().bytes()).unwrap();
        assert_eq!(tx.body.messages[0].type_url, "/cosmos.bank.v1beta1.MsgSend");
        assert_eq!((tx.body.memo.as_str(), tx.body.timeout_height.value()), ("hello", 40));
        assert_eq!((tx.auth_info.fee.gas_limit, tx.auth_info.signer_infos[0].sequence), (7, 9));
        assert_eq!(tx.auth_info.fee.amount[0].to_string(), "1500ucap");
        let free = builder().fee(Amount(0)).sign(&Key::dev(0), &signer()).unwrap();
        assert!(Tx::from_bytes(free.bytes()).unwrap().auth_info.fee.amount.is_empty());
    }

    #[test]
    fn the_signature_is_low_s_and_covers_chain_account_and_sequence() {
        let key = Key::dev(0);
        let verifies = |bytes: &[u8], chain_id: &str, account_number| {
            let raw = TxRaw::decode(bytes).unwrap();
            let signature = Signature::from_slice(&raw.signatures[0]).unwrap();
            assert!(signature.normalize_s().is_none(), "low s");
            let document = RawSignDoc {
                body_bytes: raw.body_bytes,
                auth_info_bytes: raw.auth_info_bytes,
                chain_id: chain_id.to_owned(),
                account_number,
            };
            let public = VerifyingKey::from_sec1_bytes(&key.public_key().to_bytes()).unwrap();
            public.verify(&document.encode_to_vec(), &signature).is_ok()
        };
        let signed = builder().sign(&key, &signer()).unwrap();
        assert!(verifies(signed.bytes(), "capstan-dev", 3));
        assert!(!verifies(signed.bytes(), "capstan-dev", 4));
        assert!(!verifies(signed.bytes(), "other", 3));
        let next = SignerData { sequence: 10, ..signer() };
        assert_ne!(builder().sign(&key, &next).unwrap().hash(), signed.hash());
        // `sign` gives the same bytes again, `sign_anew` others that are valid too.
        assert_eq!(builder().sign(&key, &signer()).unwrap(), signed);
        let anew = builder().sign_anew(&key, &signer()).unwrap();
        assert!(verifies(anew.bytes(), "capstan-dev", 3));
        assert_ne!(anew.hash(), signed.hash());
    }

    #[test]
    fn a_bad_chain_id_is_named() {
        let bad = SignerData { chain_id: "no spaces".into(), ..signer() };
        assert!(builder().sign(&Key::dev(0), &bad).unwrap_err().to_string().contains("no spaces"));
    }
}
