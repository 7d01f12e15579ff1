//! Transactions of `capstan serve`, one at a time, each in the journal before it is sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use capstan_client::{Args, ClientError, Settlement, SignedTx, TxBuilder, TxInfo, Wallet, proto};

use super::journal::{Answer, Journal, Pending};

/// Answers in one transaction.
const BATCH: usize = 16;
/// Bytes of a transaction, and of an answer in it, besides the answers' own.
const OVERHEAD: usize = 1_024;
/// Entries that the chain acknowledges together at most.
const MAX_ACKNOWLEDGED: u64 = 10_000;
/// Pause between two looks at a transaction.
const PAUSE: Duration = Duration::from_millis(100);
/// Time for which nodes may index a transaction later than its block.
const INDEX_LAG: u32 = 50;

/// The fate of a transaction.
pub(super) enum Sent {
    /// A block contains the transaction, as a success or as a failure.
    Block(Box<TxInfo>),
    /// The chain refused it, or another one used its sequence.
    No(String),
}

pub(super) struct Chain {
    pub(super) wallet: Wallet,
    max_fee: u64,
    /// Bytes of answers that one transaction takes.
    room: usize,
    /// Bytes of one answer that the chain takes.
    most: usize,
}

impl Chain {
    pub(super) fn new(wallet: Wallet, max_fee: u64) -> anyhow::Result<Self> {
        let params = wallet.client().params()?;
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let room = bytes(params.max_tx_bytes).saturating_sub(2 * OVERHEAD);
        let most = bytes(params.max_message_bytes.into()).min(room);
        Ok(Self { wallet, max_fee, room, most })
    }

    /// Returns the reason why the chain takes no data of this size, or `None` if it does. Nodes refuse a transaction
    /// that is too large in ways that cannot be told from a node that is away.
    pub(super) fn excess(&self, body: &str, slots: &[String]) -> Option<String> {
        let (bytes, most) = (size(body, slots), self.most);
        (bytes > most).then(|| format!("it has {bytes} bytes, and the chain takes {most}"))
    }

    /// Builds, signs and journals a transaction, sends it and waits for its block. Returns `None` if the fees of
    /// this hour are used up.
    pub(super) fn send(
        &self,
        journal: &mut Journal,
        tx: &TxBuilder,
        pending: Pending,
    ) -> anyhow::Result<Option<Sent>> {
        let signer = self.wallet.client().signer_data(&self.wallet.address())?;
        let fee = u64::try_from(self.wallet.fee(tx, &signer)?.0).unwrap_or(u64::MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let fees = &mut journal.record.fees;
        fees.retain(|(at, _)| at + 3_600 > now);
        let spent: u64 = fees.iter().map(|(_, fee)| fee).sum();
        if spent.saturating_add(fee) > self.max_fee {
            return Ok(None);
        }
        fees.push((now, fee));
        let signed = self.wallet.sign(tx, &signer)?;
        let bytes = hex::encode(signed.bytes());
        let pending = Pending { bytes, sequence: signer.sequence, ..pending };
        journal.record.pending = Some(pending);
        journal.save()?;
        super::service::planted("signed");
        self.finish(journal).map(Some)
    }

    /// Sends the journaled transaction, as often as it takes, and waits until its fate is known.
    pub(super) fn finish(&self, journal: &mut Journal) -> anyhow::Result<Sent> {
        let pending = journal.record.pending.clone().context("no transaction is pending")?;
        let bytes = hex::decode(&pending.bytes).context("the journal is damaged")?;
        let signed = SignedTx::from_bytes(bytes);
        let hash = signed.hash();
        let client = self.wallet.client();
        let mut used = 0;
        let mut refusal = String::new();
        loop {
            match client.tx(hash) {
                Ok(Some(info)) => return Ok(Sent::Block(Box::new(info))),
                Err(error) if !is_transient(&error) => return Err(error.into()),
                _ => {}
            }
            if let Err(error) = client.broadcast_sync(&signed) {
                match error {
                    ClientError::Refused { log, .. } => refusal = log,
                    // It waits for a block, or the node is away.
                    ClientError::Rpc { .. } => {}
                    error if is_transient(&error) => {}
                    error => return Err(error.into()),
                }
            }
            super::service::planted("sent");
            if !refusal.is_empty() {
                used += 1;
                if used > INDEX_LAG {
                    return Ok(Sent::No(refusal));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Builds the transaction of the answers that are ready, and of an acknowledgement.
    pub(super) fn answers(&self, journal: &Journal, alone: bool) -> (TxBuilder, Pending) {
        let count = if alone { 1 } else { BATCH };
        let record = &journal.record;
        let mut room = self.room;
        let mut fits = |answer: &Answer| {
            let left = room.checked_sub(size(&answer.body, &answer.slots) + OVERHEAD);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let answers = record.answers.iter().take(count);
        let chosen: Vec<(&u64, &Answer)> = answers.take_while(|(_, one)| fits(one)).collect();
        let own = record.own.iter().take(count - chosen.len());
        let own: Vec<&Answer> = own.take_while(|one| fits(one)).collect();
        let settlements: Vec<Settlement> = chosen
            .iter()
            .map(|(_, answer)| *answer)
            .chain(own.iter().copied())
            .map(settlement)
            .collect();
        let answers: Vec<u64> = chosen.iter().map(|(number, _)| **number).collect();
        let mut tx = TxBuilder::new();
        if !settlements.is_empty() {
            tx = tx.message(&self.wallet.settle_message(&settlements));
        }
        let through = journal.through(&answers).min(record.acknowledged + MAX_ACKNOWLEDGED);
        let ack = (through > record.acknowledged).then_some(through);
        if let Some(through) = ack {
            let sender = self.wallet.address().to_string();
            tx = tx.message(&proto::MsgAck { sender, through });
        }
        let own = own.len();
        (tx, Pending { bytes: String::new(), sequence: 0, answers, own, ack })
    }

    /// Gives the account its endpoint, if it has none yet: its first message makes it.
    pub(super) fn provision(&self) -> anyhow::Result<()> {
        let account = self.wallet.client().account(&self.wallet.address())?;
        if account.remote.is_empty() {
            self.wallet.send("factory", "__getMethodNames__", &Args::default())?;
        }
        Ok(())
    }
}

/// Returns whether the same call may succeed later.
pub(super) fn is_transient(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. } | ClientError::Timeout { .. })
}

/// Returns the bytes that data takes in a transaction.
fn size(body: &str, slots: &[String]) -> usize {
    let slots = slots.iter().map(|slot| slot.len() + 8).sum::<usize>();
    body.len() + slots
}

fn settlement(answer: &Answer) -> Settlement {
    let json = answer.body.strip_prefix('#').unwrap_or(&answer.body);
    let value = Args::smallcaps(json, answer.slots.clone());
    match answer.rejected {
        true => Settlement::reject(&answer.promise, &value),
        false => Settlement::fulfil(&answer.promise, &value),
    }
}
