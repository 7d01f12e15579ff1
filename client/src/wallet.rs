//! Transactions of one account: signed, paid, broadcast and awaited.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_proto::{Address, Amount, CHANNEL_LINE_BYTES, ErrorCode, Params, TxSize, v1 as proto};
use prost::{Message, Name};
use sha2::{Digest, Sha256};
use tendermint::Hash;

use crate::{
    Args, Bundle, Client, ClientError, CreateVat, Deadline, FundedMeter, Key, MessageResult,
    Messages, Settlement, SignedTx, SignerData, Terms, TxBuilder, TxInfo, TxOutcome, UpgradeVat,
    bundle::Compressed,
};

/// Default time limit of waiting for blocks and answers.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for which a transaction may be missing although its sequence is used, since nodes index transactions after
/// the block.
const INDEX_LAG: Duration = Duration::from_secs(5);

/// Interval at which the account's sequence is polled while a transaction is in no block.
const SEQUENCE_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a transaction is signed again because its sequence was taken.
const STALE_PAUSE: Duration = Duration::from_millis(20);

/// Upper bound of a transaction's bytes besides a bundle: body, signer, fee, signature, ids.
const TX_OVERHEAD_BYTES: u64 = 4_096;

/// A [`Client`] and the [`Key`] of an account, which signs and pays.
///
/// A wallet counts the account's sequences itself, so that several transactions can wait for one block. Other wallets and
/// processes may use the account at the same time: a transaction whose sequence was taken by another is signed again with
/// the next one, until the time limit.
#[derive(Debug)]
pub struct Wallet {
    client: Client,
    key: Key,
    messages: Messages,
    terms: Terms,
    timeout: Duration,
    signer: Mutex<Option<SignerData>>,
    last_sent: Mutex<Option<Hash>>,
}

impl Wallet {
    /// Creates a wallet for `key`.
    pub fn new(client: &Client, key: Key) -> Self {
        Self {
            client: client.clone(),
            messages: Messages::new(&key.address()),
            terms: Terms::default(),
            key,
            timeout: DEFAULT_TIMEOUT,
            signer: Mutex::new(None),
            last_sent: Mutex::new(None),
        }
    }

    /// Sets the time limit of waiting for blocks and answers.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the [`Terms`] of transactions that set no fee themselves.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// Returns the address of the account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Returns the [`Client`] of the wallet.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the hash of the last transaction that the node took. It may still come into a block when the wallet does not
    /// wait for it any more. [`Client::tx`] and [`Client::wait_result`] tell.
    pub fn last_sent(&self) -> Option<Hash> {
        *self.last_sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Installs a [`Bundle`] in one transaction if it fits, in chunks otherwise. Compresses it if that helps.
    ///
    /// # Errors
    /// [`ClientError::BundleTooLarge`], or as [`Wallet::submit`].
    pub fn install_bundle(&self, bundle: &Bundle) -> Result<TxOutcome, ClientError> {
        let params = self.client.params()?;
        let size = bundle.bytes.len() as u64;
        if size > params.max_bundle_bytes {
            return Err(ClientError::BundleTooLarge { size, limit: params.max_bundle_bytes });
        }
        let packed = Compressed::new(&bundle.bytes);
        if packed.bytes.len() as u64 + TX_OVERHEAD_BYTES > params.max_tx_bytes {
            return self.upload(bundle, &packed, &params);
        }
        let message = self.messages.install_packed(bundle, packed);
        self.submit(TxBuilder::new().message(&message), size)
    }

    /// Creates a vat, waits until it runs, and returns it as [`CreatedVat`](proto::CreatedVat).
    ///
    /// # Errors
    /// [`ClientError::NotCreated`] if the factory refuses or the vat fails, or as
    /// [`Wallet::submit`].
    pub fn create_vat(&self, vat: &CreateVat) -> Result<proto::CreatedVat, ClientError> {
        self.create_vat_told(vat).map(|(created, _)| created)
    }

    /// Creates a vat as [`Wallet::create_vat`]. Returns the whole answer, too.
    ///
    /// # Errors
    /// As [`Wallet::create_vat`].
    pub fn create_vat_told(
        &self,
        vat: &CreateVat,
    ) -> Result<(proto::CreatedVat, MessageResult), ClientError> {
        let mut result = self.submit_and_wait(&self.messages.create_vat(vat))?;
        match result.created_vat.take() {
            Some(created) => Ok((created, result)),
            None => {
                let MessageResult { status, value, .. } = result;
                Err(ClientError::NotCreated { status, value: value.body })
            }
        }
    }

    /// Sends `method(args)` to `target`, an object or promise of the account's channel, and waits for the answer. A
    /// rejection as the answer is no error here.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] if there is no answer in time, or as [`Wallet::submit`].
    pub fn send(
        &self,
        target: &str,
        method: &str,
        args: &Args,
    ) -> Result<MessageResult, ClientError> {
        self.submit_and_wait(&self.send_message(target, method, args))
    }

    /// Sends `method(args)` to `target` without waiting for the answer. [`Client::wait_result`] waits for it.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn send_only(
        &self,
        target: &str,
        method: &str,
        args: &Args,
    ) -> Result<TxOutcome, ClientError> {
        self.submit(TxBuilder::new().message(&self.send_message(target, method, args)), 0)
    }

    /// Terminates a vat by its admin object. The reason is one value, as [`Args::value`] encodes it.
    ///
    /// # Errors
    /// As [`Wallet::send`].
    pub fn terminate_vat(
        &self,
        admin: &str,
        reason: Option<&Args>,
    ) -> Result<MessageResult, ClientError> {
        self.submit_and_wait(&self.messages.terminate_vat(admin, reason))
    }

    /// Upgrades a vat by its admin object. The answer, if it is fulfilled, is `{incarnationNumber}`.
    ///
    /// # Errors
    /// As [`Wallet::send`].
    pub fn upgrade_vat(&self, upgrade: &UpgradeVat) -> Result<MessageResult, ClientError> {
        self.submit_and_wait(&self.messages.upgrade_vat(upgrade))
    }

    /// Buys computrons into a meter, `mN`.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn fund_meter(&self, meter: &str, computrons: u64) -> Result<FundedMeter, ClientError> {
        let message = self.messages.fund_meter(meter, computrons);
        let outcome = self.submit(TxBuilder::new().message(&message), 0)?;
        let remaining = outcome.response::<proto::MsgFundMeterResponse>(0)?.remaining;
        Ok(FundedMeter { remaining, outcome })
    }

    /// Fulfils a promise that the account decides: the result of a call (`rp-N`), or one of its own (`rp+N`). The
    /// value is one value, as [`Args::value`] encodes it.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn resolve(&self, promise: &str, value: &Args) -> Result<TxOutcome, ClientError> {
        self.settle(&[Settlement::fulfil(promise, value)])
    }

    /// Rejects a promise that the account decides, with one value as the reason.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn reject(&self, promise: &str, reason: &Args) -> Result<TxOutcome, ClientError> {
        self.settle(&[Settlement::reject(promise, reason)])
    }

    /// Settles several promises in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn settle(&self, settlements: &[Settlement]) -> Result<TxOutcome, ClientError> {
        let message = self.settle_message(settlements);
        self.submit(TxBuilder::new().message(&message), 0)
    }

    /// Returns the message that settles promises, for a transaction that the program builds itself.
    pub fn settle_message(&self, settlements: &[Settlement]) -> proto::MsgResolve {
        self.messages.settle(settlements)
    }

    /// Signs a transaction with the lowest fee and the account's next sequence, without sending it. A program that
    /// keeps the bytes can send the very same transaction again after a crash.
    ///
    /// # Errors
    /// As [`Client::query`] and [`TxBuilder::sign`].
    pub fn sign(&self, tx: &TxBuilder, signer: &SignerData) -> Result<SignedTx, ClientError> {
        self.with_fee(tx, 0, signer)?.sign_anew(&self.key, signer)
    }

    /// Returns the lowest fee that the chain takes for a transaction without bundles.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn fee(&self, tx: &TxBuilder, signer: &SignerData) -> Result<Amount, ClientError> {
        Ok(self.with_fee(tx, 0, signer)?.fee_amount())
    }

    /// Drops references to imported objects.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn drop_refs(&self, refs: &[String]) -> Result<TxOutcome, ClientError> {
        let message = self.messages.drop_refs(refs);
        self.submit(TxBuilder::new().message(&message), 0)
    }

    /// Acknowledges the entries of the account's outbox up to and including `through`.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn acknowledge(&self, through: u64) -> Result<TxOutcome, ClientError> {
        let message = self.messages.acknowledge(through);
        self.submit(TxBuilder::new().message(&message), 0)
    }

    /// Writes lines to an io channel of a subcluster, and the end of the input if `close` is true. Returns the response,
    /// which says how many lines wait for the vats.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the channel does not take all of them, or as [`Wallet::submit`].
    pub fn write_channel(
        &self,
        subcluster_id: &str,
        channel: &str,
        lines: &[String],
        close: bool,
    ) -> Result<proto::MsgWriteChannelResponse, ClientError> {
        let message = proto::MsgWriteChannel {
            sender: self.address().to_string(),
            subcluster_id: subcluster_id.to_owned(),
            channel: channel.to_owned(),
            lines: lines.to_vec(),
            close,
        };
        let declared = CHANNEL_LINE_BYTES.saturating_mul(lines.len() as u64);
        self.submit(TxBuilder::new().message(&message), declared)?.response(0)
    }

    /// Acknowledges what vats wrote to an io channel, up to and including line `through`. Those lines are removed.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn acknowledge_channel(
        &self,
        subcluster_id: &str,
        channel: &str,
        through: u64,
    ) -> Result<proto::MsgAckChannelResponse, ClientError> {
        let message = proto::MsgAckChannel {
            sender: self.address().to_string(),
            subcluster_id: subcluster_id.to_owned(),
            channel: channel.to_owned(),
            through,
        };
        self.submit(TxBuilder::new().message(&message), 0)?.response(0)
    }

    /// Sends coins to another account.
    ///
    /// # Errors
    /// As [`Wallet::submit`].
    pub fn transfer(&self, to: &Address, amount: Amount) -> Result<TxOutcome, ClientError> {
        let message = self.messages.transfer(to, amount);
        self.submit(TxBuilder::new().message(&message), 0)
    }

    /// Signs the transaction with the next sequence and the lowest fee, sends it, and waits for its block.
    ///
    /// `declared_bytes` is the uncompressed size of its bundles, for which the fee pays too. A fee that is already
    /// set is kept.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Failed`], [`ClientError::Displaced`], [`ClientError::Timeout`],
    /// [`ClientError::Tx`], or as [`Client::call`].
    pub fn submit(&self, tx: TxBuilder, declared_bytes: u64) -> Result<TxOutcome, ClientError> {
        let begun = Instant::now();
        loop {
            let sent = self.broadcast(&tx, declared_bytes);
            let info = sent.and_then(|(hash, sequence)| self.wait_tx(hash, sequence));
            match info {
                // Somebody else has used the sequence, so this transaction has done nothing and never will.
                Err(error) if is_stale(&error) && begun.elapsed() < self.timeout => {
                    std::thread::sleep(STALE_PAUSE);
                }
                other => return other?.outcome(self.client.addr()),
            }
        }
    }

    /// Waits for the transaction's block while it can still come.
    fn wait_tx(&self, hash: Hash, sequence: u64) -> Result<TxInfo, ClientError> {
        let mut asked = Instant::now();
        let mut used = None::<Instant>;
        let what = format!("the block of transaction {hash}");
        let found = Deadline::after(self.timeout).poll(&what, || {
            if let Some(info) = self.client.tx(hash)? {
                return Ok(Some(info));
            }
            match used {
                Some(since) if since.elapsed() > INDEX_LAG => {
                    return Err(ClientError::Displaced { hash, sequence });
                }
                None if asked.elapsed() > SEQUENCE_PAUSE => {
                    asked = Instant::now();
                    let next = self.client.account(&self.address())?.sequence;
                    used = (next > sequence).then_some(asked);
                }
                _ => {}
            }
            Ok(None)
        });
        found?.succeeded()
    }

    /// Returns the message that sends `method(args)` to `target`.
    pub fn send_message(&self, target: &str, method: &str, args: &Args) -> proto::MsgSend {
        self.messages.send(target, method, args)
    }

    fn submit_and_wait<M: Message + Name>(
        &self,
        message: &M,
    ) -> Result<MessageResult, ClientError> {
        let outcome = self.submit(TxBuilder::new().message(message), 0)?;
        self.client.wait_result(outcome.hash, 0, Deadline::after(self.timeout))
    }

    fn upload(
        &self,
        bundle: &Bundle,
        packed: &Compressed,
        params: &Params,
    ) -> Result<TxOutcome, ClientError> {
        let room = params.max_tx_bytes.saturating_sub(TX_OVERHEAD_BYTES).max(1);
        let chunk_bytes =
            usize::try_from(params.max_chunk_bytes.min(room)).unwrap_or(usize::MAX).max(1);
        let pieces: Vec<&[u8]> = packed.bytes.chunks(chunk_bytes).collect();
        let info = |piece: &&[u8]| proto::ChunkInfo {
            sha256: Sha256::digest(piece).to_vec(),
            size: piece.len() as u64,
        };
        let submitter = self.address().to_string();
        let begin = proto::MsgBeginUpload {
            submitter: submitter.clone(),
            bundle_id: bundle.id.to_string(),
            compression: packed.compression.into(),
            uncompressed_size: bundle.bytes.len() as u64,
            chunks: pieces.iter().map(info).collect(),
        };
        let mut outcome =
            self.submit(TxBuilder::new().message(&begin), bundle.bytes.len() as u64)?;
        let upload_id = outcome.response::<proto::MsgBeginUploadResponse>(0)?.upload_id;
        for (index, piece) in (0_u32..).zip(pieces) {
            let data = piece.to_vec();
            let chunk = proto::MsgUploadChunk {
                submitter: submitter.clone(),
                upload_id: upload_id.clone(),
                index,
                data,
            };
            outcome = self.submit(TxBuilder::new().message(&chunk), 0)?;
        }
        Ok(outcome)
    }

    /// Signs and broadcasts. Holds the lock meanwhile, so that transactions arrive in the order of their sequences.
    fn broadcast(&self, tx: &TxBuilder, declared_bytes: u64) -> Result<(Hash, u64), ClientError> {
        let mut signer = self.signer();
        let current = match signer.take() {
            Some(known) => known,
            None => self.client.signer_data(&self.address())?,
        };
        // A lagging node may expect a sequence that is used already. With the same bytes, the transaction would be
        // mistaken for the earlier one.
        let signed = self.with_fee(tx, declared_bytes, &current)?.sign_anew(&self.key, &current)?;
        let sent = self.client.broadcast_sync(&signed).map(|hash| (hash, current.sequence));
        let sequence = match &sent {
            Ok((hash, _)) => {
                *self.last_sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(*hash);
                current.sequence + 1
            }
            // The node says which sequence it expects after the transactions that wait in its mempool.
            Err(ClientError::Refused { log, .. }) if sent.as_ref().is_err_and(is_stale) => {
                match expected_sequence(log) {
                    Some(expected) => expected,
                    None => return sent,
                }
            }
            Err(ClientError::Refused { .. }) => current.sequence,
            // It is unknown whether the sequence was used, so it is queried next time.
            Err(_) => return sent,
        };
        *signer = Some(SignerData { sequence, ..current });
        sent
    }

    /// Returns the transaction on the terms of the wallet, unless it has a fee already.
    fn with_fee(
        &self,
        tx: &TxBuilder,
        declared_bytes: u64,
        signer: &SignerData,
    ) -> Result<TxBuilder, ClientError> {
        if tx.has_fee() {
            return Ok(tx.clone());
        }
        let fees = self.client.params()?.fees;
        self.terms.price(self.terms.note(tx), Some(&fees), |largest| {
            Ok(TxSize {
                bytes: largest.sign(&self.key, signer)?.bytes().len() as u64,
                declared_bytes,
                messages: tx.message_count() as u64,
                system_messages: tx.system_message_count() as u64,
                signatures: 1,
            })
        })
    }

    fn signer(&self) -> std::sync::MutexGuard<'_, Option<SignerData>> {
        // A panic while the lock was held leaves at worst no sequence, which is then queried.
        self.signer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether the error says that the sequence is not the account's next.
fn is_stale(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { code, .. } | ClientError::Failed { code, .. } => {
            *code == ErrorCode::Sequence.number()
        }
        _ => false,
    }
}

/// Reads the expected sequence in the message of the application about a wrong one.
fn expected_sequence(log: &str) -> Option<u64> {
    let (_, after) = log.split_once("expected ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
