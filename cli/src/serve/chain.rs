//! Transactions of `capstan serve`, one at a time, each in the journal before it is sent.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use capstan_client::{
    Args, ClientError, ErrorCode, Hash, Settlement, SignedTx, TxBuilder, TxInfo, Wallet, proto,
};

use super::journal::{Answer, Journal, Pending};
use super::planted;

/// Answers in one transaction.
const BATCH: usize = 16;
/// Pause between two looks at a transaction.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause after a node did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Interval in which a transaction is sent again that no block has.
const RESEND: Duration = Duration::from_secs(5);
/// Time for which nodes may index a transaction later than its block.
const INDEX_LAG: Duration = Duration::from_secs(5);

/// The fate of a transaction.
pub(super) enum Fate {
    /// A block contains the transaction, as a success or as a failure.
    Block(Box<TxInfo>),
    /// The chain refuses it.
    Refused(String),
    /// Another transaction of the account used its sequence.
    Displaced,
    /// The account cannot pay the fee.
    Poor(String),
}

/// A journaled transaction whose block has not been seen.
#[derive(Debug)]
pub(super) struct Flight {
    signed: SignedTx,
    hash: Hash,
    sequence: u64,
    /// The fee that counts as paid. 0 if an earlier run signed it.
    pub(super) fee: u64,
    /// The time of the next look.
    next: Instant,
    sent: Option<Instant>,
    /// Since when its sequence is known to be used.
    used: Option<Instant>,
}

pub(super) struct Chain {
    pub(super) wallet: Wallet,
    pub(super) max_fee: u64,
    /// Upper bound of an answer, in bytes.
    pub(super) max_answer: usize,
}

impl Chain {
    /// Checks that the journal belongs to the node's chain.
    pub(super) fn new(wallet: Wallet, max_fee: u64, journal: &mut Journal) -> anyhow::Result<Self> {
        let client = wallet.client();
        let signer = client.signer_data(&wallet.address())?;
        journal.insist_chain(&signer.chain_id, signer.sequence)?;
        let params = client.params()?;
        let most = u64::from(params.max_message_bytes).min(params.max_tx_bytes / 2);
        let max_answer = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(Self { wallet, max_fee, max_answer })
    }

    /// Builds, signs and journals a transaction. Returns `None` if the fees of this hour are used up.
    pub(super) fn sign(
        &self,
        journal: &mut Journal,
        tx: &TxBuilder,
        pending: &Pending,
    ) -> anyhow::Result<Option<Flight>> {
        let signer = self.wallet.client().signer_data(&self.wallet.address())?;
        let fee = u64::try_from(self.wallet.fee(tx, &signer)?.0).unwrap_or(u64::MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        if !journal.spend(fee, self.max_fee, now) {
            return Ok(None);
        }
        let signed = self.wallet.sign(tx, &signer)?;
        let bytes = hex::encode(signed.bytes());
        journal.record.sequence = signer.sequence;
        journal.record.pending =
            Some(Pending { bytes, sequence: signer.sequence, ..pending.clone() });
        journal.save()?;
        planted("signed");
        Ok(Some(Flight { fee, ..Flight::new(signed, signer.sequence) }))
    }

    /// Returns the transaction that an earlier run signed.
    pub(super) fn resume(journal: &Journal) -> anyhow::Result<Option<(Flight, Pending)>> {
        let Some(pending) = journal.record.pending.clone() else { return Ok(None) };
        let bytes = hex::decode(&pending.bytes).context("the journal is damaged")?;
        Ok(Some((Flight::new(SignedTx::from_bytes(bytes), pending.sequence), pending)))
    }

    /// Sends a transaction if it is time, and looks for it. Returns its fate if that is known.
    pub(super) fn look(&self, flight: &mut Flight) -> Result<Option<Fate>, ClientError> {
        if flight.next > Instant::now() {
            return Ok(None);
        }
        let fate = self.look_now(flight);
        flight.next = Instant::now() + if fate.is_err() { RETRY } else { PAUSE };
        match fate {
            Err(error) if error.is_transient() => Ok(None),
            fate => fate,
        }
    }

    fn look_now(&self, flight: &mut Flight) -> Result<Option<Fate>, ClientError> {
        let client = self.wallet.client();
        // Sending comes first: whatever a block has already is refused.
        if flight.sent.is_some()
            && let Some(info) = client.tx(flight.hash)?
        {
            return Ok(Some(Fate::Block(Box::new(info))));
        }
        if flight.used.is_some_and(|at| at.elapsed() > INDEX_LAG) {
            return Ok(Some(Fate::Displaced));
        }
        if flight.sent.is_some_and(|at| at.elapsed() < RESEND) {
            return Ok(None);
        }
        flight.sent = Some(Instant::now());
        let sent = client.broadcast_sync(&flight.signed);
        planted("sent");
        let Err(ClientError::Refused { codespace, code, log }) = sent else {
            // A node that has it already answers with an error.
            return Ok(None);
        };
        let is = |known: ErrorCode| known.number() == code;
        if is(ErrorCode::Sequence) {
            let account = client.account(&self.wallet.address())?;
            if account.sequence > flight.sequence {
                flight.used = Some(flight.used.unwrap_or_else(Instant::now));
            }
            return Ok(None);
        }
        if is(ErrorCode::CannotPayFee) || is(ErrorCode::NoAccount) {
            return Ok(Some(Fate::Poor(log)));
        }
        let refused = ClientError::Refused { codespace, code, log };
        if refused.is_transient() {
            return Err(refused);
        }
        Ok(Some(Fate::Refused(refused.to_string())))
    }

    /// Builds the transaction of the answers that are ready, and of an acknowledgement.
    pub(super) fn answers(&self, journal: &Journal, alone: bool) -> (TxBuilder, Pending) {
        let record = &journal.record;
        let ready = record.answers.iter().map(|(number, answer)| (Some(*number), answer));
        let own = record.own.iter().map(|answer| (None, answer));
        let (mut settlements, mut pending, mut bytes) = (Vec::new(), Pending::default(), 0);
        for (number, answer) in ready.chain(own).take(if alone { 1 } else { BATCH }) {
            // Of two answers each is at most half of a transaction.
            bytes += answer.bytes();
            if bytes > self.max_answer && !settlements.is_empty() {
                break;
            }
            settlements.push(settlement(answer));
            match number {
                Some(number) => pending.answers.push(number),
                None => pending.own += 1,
            }
        }
        let mut tx = TxBuilder::new();
        if !settlements.is_empty() {
            tx = tx.message(&self.wallet.settle_message(&settlements));
        }
        let through = journal.through(&pending.answers);
        if through > record.acknowledged {
            let sender = self.wallet.address().to_string();
            tx = tx.message(&proto::MsgAck { sender, through });
            pending.ack = Some(through);
        }
        (tx, pending)
    }
}

impl Flight {
    fn new(signed: SignedTx, sequence: u64) -> Self {
        let hash = signed.hash();
        Self { signed, hash, sequence, fee: 0, next: Instant::now(), sent: None, used: None }
    }
}

fn settlement(answer: &Answer) -> Settlement {
    let json = answer.body.strip_prefix('#').unwrap_or(&answer.body);
    let value = Args::smallcaps(json, answer.slots.clone());
    match answer.rejected {
        true => Settlement::reject(&answer.promise, &value),
        false => Settlement::fulfil(&answer.promise, &value),
    }
}
