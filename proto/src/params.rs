use serde::{Deserialize, Serialize};

use crate::{Address, Amount, GasPrice, TxSize};

/// Parameters of the chain. They are set in the genesis document and the same on every node.
///
/// In JSON a parameter that is left out has its default. Sizes are in bytes, work in computrons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Computrons of cranks after which a block starts no further crank. A block exceeds the limit by at most one
    /// crank. A million computrons take some 10 ms.
    pub block_computrons: u64,
    /// Upper bound of the computrons that one crank may spend. A vat that needs more is terminated.
    pub crank_computrons: u64,
    /// Computrons that the creation of a vat counts towards the block, besides those of its start.
    pub vat_creation_computrons: u64,
    /// Computrons that every crank counts towards the block, besides those of its vat.
    pub crank_overhead_computrons: u64,
    /// Computrons that each signature of a transaction counts towards the block, for its account and its result as well. The transactions of a block count half of `block_computrons` at most, unless one alone counts more.
    pub tx_computrons: u64,
    /// Computrons that each byte of a transaction, and of the bundles that it announces or installs, uncompressed, counts
    /// towards the block.
    pub tx_byte_computrons: u64,
    /// Computrons that each written entry of the state counts towards the block. The first look of a block at an entry
    /// counts half of that, and each further one a thirty-second. Each reference in a transaction counts as two written entries.
    pub write_computrons: u64,
    /// Computrons that each byte of these entries counts towards the block, crank by crank.
    pub write_byte_computrons: u64,
    /// Computrons that a vat's meter deposits for each byte that the vat keeps in the state. They return to the meter when
    /// the byte is freed.
    pub deposit_byte_computrons: u64,
    /// Computrons that a heap snapshot counts towards the block, besides those of the `bringOutYourDead` delivery
    /// before it.
    pub snapshot_computrons: u64,
    /// Computrons that each page of 4 KiB of a heap counts when a snapshot is taken, and when the heap returns to memory. A
    /// page that the snapshot before did not have counts as five.
    pub page_computrons: u64,
    /// Number of vats, the most recently used ones, on which blocks count as being in memory. A delivery to another vat
    /// counts what it takes to bring that vat back. At most 10,000.
    pub resident_vats: u32,
    /// Bytes of memory of all these vats together. A vat counts as one more of [`resident_vats`](Self::resident_vats) for each
    /// equal share of these bytes that its memory takes. At least 64 MiB.
    pub resident_bytes: u64,
    /// Computrons in a new vat's meter by default.
    pub default_vat_computrons: u64,
    /// Upper bound of the computrons that can be bought into a new vat's meter.
    pub max_vat_computrons: u64,
    /// [`CleanupBudget`] of one crank. A block begins with one such crank, and has more if nothing else is left to do.
    pub cleanup: CleanupBudget,
    /// Number of transcript entries at which a vat's first snapshot is due.
    pub snapshot_initial: u64,
    /// Number of transcript entries between further snapshots.
    pub snapshot_interval: u64,
    /// Computrons of the deliveries since the last snapshot at which the next one is due, too. This bounds the
    /// duration of a replay.
    pub snapshot_debt: u64,
    /// Upper bound of a transaction's size, in bytes.
    pub max_tx_bytes: u64,
    /// Upper bound of the transactions in one block, in bytes. It must not exceed the consensus parameter
    /// `block.max_bytes`.
    pub max_block_bytes: u64,
    /// Upper bound of the messages in one transaction.
    pub max_messages_per_tx: u32,
    /// Upper bound of a transaction's memo, in bytes.
    pub max_memo_bytes: u32,
    /// Upper bound of a message's method, arguments and references together, in bytes.
    pub max_message_bytes: u32,
    /// Upper bound of the references in one message.
    pub max_slots: u32,
    /// Upper bound of a vat's name, in bytes. It is at most 199.
    pub max_name_bytes: u32,
    /// Upper bound of an uncompressed bundle, in bytes.
    pub max_bundle_bytes: u64,
    /// Upper bound of one chunk of an upload, in bytes.
    pub max_chunk_bytes: u64,
    /// Upper bound of the chunks of an upload.
    pub max_chunks: u32,
    /// Number of blocks after which an incomplete upload expires.
    pub upload_deadline_blocks: u64,
    /// Upper bound of an account's uploads in progress.
    pub max_uploads_per_account: u32,
    /// Upper bound of the compressed bytes that an account's uploads in progress announce together.
    pub max_upload_bytes_per_account: u64,
    /// Number of events on the kernel's queues from which on messages of transactions are refused.
    pub max_queue_length: u64,
    /// Number of entries in an account's outbox from which on its messages are refused until it acknowledges some.
    /// Calls to objects of the account do not count.
    pub max_outbox_length: u64,
    /// Number of blocks for which the result of a message can be queried.
    pub result_retention_blocks: u64,
    /// [`SystemParams`]: limits of messages to system vats, and prices of their work.
    pub system: SystemParams,
    /// [`Fees`]: gas and prices of transactions.
    pub fees: Fees,
    /// Deposit of an account for each name that it has published. It is refunded when the name is given up.
    pub publish_deposit: Amount,
    /// [`Address`]es of the accounts that can look up `chain/validators`, the object that sets the validators'
    /// powers. If empty, the validators of the genesis document stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub governors: Vec<Address>,
}

/// Lower bound of [`Params::resident_bytes`]. Less would have vats of JavaScript leave memory at each delivery.
const MIN_RESIDENT_BYTES: u64 = 64 * MIB;

/// Upper bound of [`Params::resident_vats`], whose names are one record of the state.
const MAX_RESIDENT_VATS: u32 = 10_000;

/// Invalid value of one of the [`Params`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("params.{name}: {problem}")]
pub struct InvalidParam {
    /// Name of the parameter, as in `cleanup.kv`.
    pub name: &'static str,
    /// Description of the mistake, and of what is expected.
    pub problem: String,
}

/// Upper bounds of what one crank cleans up after dead vats, by SwingSet's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanupBudget {
    /// Number of exports that are orphaned.
    pub exports: u64,
    /// Number of imports that are dropped.
    pub imports: u64,
    /// Number of promises that are released.
    pub promises: u64,
    /// Number of keys of the vat's own store that are deleted.
    pub kv: u64,
    /// Number of snapshots that are deleted.
    pub snapshots: u64,
    /// Number of transcript entries that are deleted.
    pub transcripts: u64,
}

/// Limits of deliveries to vats of the system, and prices of their work, which the meters of their callers pay.
/// Accounts pay by the fees of their transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemParams {
    /// Upper bound of a message's method and arguments, or of a settled promise, in bytes.
    pub max_bytes: u64,
    /// Upper bound of the nesting depth, where `[method, args]` are two levels.
    pub max_depth: u64,
    /// Upper bound of the values: strings, numbers, arrays, records and the names of their fields.
    pub max_nodes: u64,
    /// Upper bound of the references in a message.
    pub max_slots: u64,
    /// Computrons that the sender's meter pays for a message.
    pub message_computrons: u64,
    /// Computrons that the sender's meter pays for each byte of the message.
    pub byte_computrons: u64,
    /// Computrons that the sender's meter pays for each reference in the message.
    pub slot_computrons: u64,
    /// Computrons that a message of a vat of the system costs the meter of the vat that receives it,
    /// besides its delivery.
    pub wake_computrons: u64,
}

/// Gas of transactions, and prices in the chain's coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fees {
    /// Gas of each transaction.
    pub tx_gas: u64,
    /// Gas of each stored byte: of the transaction, and of its bundles, uncompressed.
    pub byte_gas: u64,
    /// Gas of each message.
    pub message_gas: u64,
    /// Gas of each message that vats of the system handle, or may, besides `message_gas`: of those to objects, and of
    /// those that create, upgrade or terminate a vat.
    pub system_message_gas: u64,
    /// Gas of each signature.
    pub signature_gas: u64,
    /// [`GasPrice`]: the lowest price of a unit of gas.
    pub gas_price: GasPrice,
    /// Price of each million computrons that are bought into a meter, rounded up.
    pub per_mega_computron: Amount,
    /// Price of an account's first transaction that does more than send coins, besides its fee. It pays for the
    /// records that the kernel and the provisioner then keep for the account.
    pub per_account: Amount,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            block_computrons: 100_000_000,
            crank_computrons: 200_000_000,
            vat_creation_computrons: 150_000,
            crank_overhead_computrons: 1_500,
            tx_computrons: 30_000,
            tx_byte_computrons: 5,
            write_computrons: 3_200,
            write_byte_computrons: 1,
            deposit_byte_computrons: 5_000,
            snapshot_computrons: 150_000,
            page_computrons: 800,
            resident_vats: 50,
            resident_bytes: 2048 * MIB,
            default_vat_computrons: 100_000_000_000,
            max_vat_computrons: 10_000_000_000_000,
            cleanup: CleanupBudget::default(),
            snapshot_initial: 3,
            snapshot_interval: 200,
            snapshot_debt: 10_000_000,
            max_tx_bytes: 4 * MIB,
            max_block_bytes: 20 * MIB,
            max_messages_per_tx: 64,
            max_memo_bytes: 256,
            max_message_bytes: 256 * 1024,
            max_slots: 1024,
            max_name_bytes: 128,
            max_bundle_bytes: 16 * MIB,
            max_chunk_bytes: 512 * 1024,
            max_chunks: 256,
            upload_deadline_blocks: 1000,
            max_uploads_per_account: 4,
            max_upload_bytes_per_account: 32 * MIB,
            max_queue_length: 10_000,
            max_outbox_length: 10_000,
            result_retention_blocks: 100_000,
            system: SystemParams::default(),
            fees: Fees::default(),
            publish_deposit: Amount(10_000),
            governors: Vec::new(),
        }
    }
}

impl Default for CleanupBudget {
    fn default() -> Self {
        Self { exports: 50, imports: 50, promises: 50, kv: 200, snapshots: 5, transcripts: 50 }
    }
}

impl Default for SystemParams {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024,
            max_depth: 32,
            max_nodes: 4_096,
            max_slots: 64,
            message_computrons: 4_000_000,
            byte_computrons: 400,
            slot_computrons: 200_000,
            wake_computrons: 600_000,
        }
    }
}

impl Default for Fees {
    fn default() -> Self {
        Self {
            tx_gas: 500,
            byte_gas: 1,
            message_gas: 500,
            system_message_gas: 500,
            signature_gas: 500,
            gas_price: GasPrice::ONE,
            per_mega_computron: Amount(10),
            per_account: Amount(5_000),
        }
    }
}

impl Params {
    /// Returns the computrons that a transaction counts towards its block, besides its cranks. Each signature counts as a
    /// transaction.
    pub fn transaction_computrons(&self, size: &TxSize) -> u64 {
        let bytes = size.bytes.saturating_add(size.declared_bytes);
        let signed = self.tx_computrons.saturating_mul(size.signatures.max(1));
        self.tx_byte_computrons.saturating_mul(bytes).saturating_add(signed)
    }

    /// Checks that a chain with these parameters can run. Returns the first [`InvalidParam`].
    pub fn validate(&self) -> Result<(), InvalidParam> {
        let positive: &[(&str, u64)] = &[
            ("block_computrons", self.block_computrons),
            ("crank_computrons", self.crank_computrons),
            ("crank_overhead_computrons", self.crank_overhead_computrons),
            ("default_vat_computrons", self.default_vat_computrons),
            ("resident_vats", self.resident_vats.into()),
            ("snapshot_initial", self.snapshot_initial),
            ("snapshot_interval", self.snapshot_interval),
            ("snapshot_debt", self.snapshot_debt),
            ("max_messages_per_tx", self.max_messages_per_tx.into()),
            ("max_message_bytes", self.max_message_bytes.into()),
            ("max_bundle_bytes", self.max_bundle_bytes),
            ("max_chunk_bytes", self.max_chunk_bytes),
            ("max_chunks", self.max_chunks.into()),
            ("upload_deadline_blocks", self.upload_deadline_blocks),
            ("max_queue_length", self.max_queue_length),
            ("max_outbox_length", self.max_outbox_length),
            ("result_retention_blocks", self.result_retention_blocks),
            ("cleanup.exports", self.cleanup.exports),
            ("cleanup.imports", self.cleanup.imports),
            ("cleanup.promises", self.cleanup.promises),
            ("cleanup.kv", self.cleanup.kv),
            ("cleanup.snapshots", self.cleanup.snapshots),
            ("cleanup.transcripts", self.cleanup.transcripts),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(invalid(name, "must be at least 1"));
        }
        if self.resident_vats > MAX_RESIDENT_VATS {
            return Err(invalid("resident_vats", format!("must be at most {MAX_RESIDENT_VATS}")));
        }
        if self.resident_bytes < MIN_RESIDENT_BYTES {
            return Err(invalid(
                "resident_bytes",
                format!("must be at least {MIN_RESIDENT_BYTES}"),
            ));
        }
        if !(self.default_vat_computrons..=MAX_SAFE_INTEGER).contains(&self.max_vat_computrons) {
            let problem = format!("must be from default_vat_computrons to {MAX_SAFE_INTEGER}");
            return Err(invalid("max_vat_computrons", problem));
        }
        self.validate_system()?;
        self.validate_sizes()
    }

    /// Checks that the kernel's own messages to vats of the system, such as endings of vats, pass their limits.
    fn validate_system(&self) -> Result<(), InvalidParam> {
        let least: &[(&str, u64, u64)] = &[
            ("system.max_bytes", self.system.max_bytes, 32 * 1024),
            ("system.max_depth", self.system.max_depth, 20),
            ("system.max_nodes", self.system.max_nodes, 1_100),
            ("system.max_slots", self.system.max_slots, 32),
        ];
        match least.iter().find(|(_, value, least)| value < least) {
            Some((name, _, least)) => Err(invalid(name, format!("must be at least {least}"))),
            None => Ok(()),
        }
    }

    fn validate_sizes(&self) -> Result<(), InvalidParam> {
        if self.max_tx_bytes < MIN_TX_BYTES || self.max_tx_bytes > self.max_block_bytes {
            let problem = format!(
                "must be from {MIN_TX_BYTES} to max_block_bytes ({})",
                self.max_block_bytes
            );
            return Err(invalid("max_tx_bytes", problem));
        }
        if self.max_block_bytes > MAX_BLOCK_BYTES {
            let problem = format!("must be at most {MAX_BLOCK_BYTES}, CometBFT's own limit");
            return Err(invalid("max_block_bytes", problem));
        }
        // A chunk must fit into a transaction, together with the bytes that surround it.
        if self.max_chunk_bytes + MIN_TX_BYTES > self.max_tx_bytes {
            let problem = format!(
                "must be at least {MIN_TX_BYTES} below max_tx_bytes ({})",
                self.max_tx_bytes
            );
            return Err(invalid("max_chunk_bytes", problem));
        }
        if self.max_bundle_bytes > MAX_BUNDLE_BYTES {
            let problem = format!("must be at most {MAX_BUNDLE_BYTES}");
            return Err(invalid("max_bundle_bytes", problem));
        }
        Ok(())
    }
}

fn invalid(name: &'static str, problem: impl Into<String>) -> InvalidParam {
    InvalidParam { name, problem: problem.into() }
}

/// Largest integer that JavaScript's numbers hold exactly. Vats get the limit as such a number.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

const MIB: u64 = 1024 * 1024;

/// Upper bound of the bytes that surround a message in a transaction.
const MIN_TX_BYTES: u64 = 2048;

/// CometBFT's limit of a block's size (`types.MaxBlockSizeBytes`).
const MAX_BLOCK_BYTES: u64 = 100 * MIB;

/// Upper bound of `max_bundle_bytes`. A bundle is one value of the store and is read as a whole.
const MAX_BUNDLE_BYTES: u64 = 256 * MIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        Params::default().validate().unwrap();
    }

    #[test]
    fn a_parameter_left_out_has_its_default_and_a_misspelt_one_is_refused() {
        let params: Params = serde_json::from_str(r#"{"block_computrons":7}"#).unwrap();
        assert_eq!(params, Params { block_computrons: 7, ..Params::default() });
        let error = serde_json::from_str::<Params>(r#"{"block_computron":7}"#).unwrap_err();
        assert!(error.to_string().contains("block_computron"), "{error}");
    }

    #[test]
    fn refusals_name_the_parameter() {
        let cases: &[(fn(&mut Params), &str)] = &[
            (|p| p.block_computrons = 0, "params.block_computrons"),
            (|p| p.max_vat_computrons = 1, "params.max_vat_computrons"),
            (|p| p.cleanup.kv = 0, "params.cleanup.kv"),
            (|p| p.system.max_bytes = 32_767, "params.system.max_bytes"),
            (|p| p.system.max_depth = 19, "params.system.max_depth"),
            (|p| p.system.max_nodes = 1_099, "params.system.max_nodes"),
            (|p| p.system.max_slots = 31, "params.system.max_slots"),
            (|p| p.max_tx_bytes = 10, "params.max_tx_bytes"),
            (|p| p.max_tx_bytes = p.max_block_bytes + 1, "params.max_tx_bytes"),
            (|p| p.max_block_bytes = 101 * MIB, "params.max_block_bytes"),
            (|p| p.max_chunk_bytes = p.max_tx_bytes, "params.max_chunk_bytes"),
            (|p| p.max_bundle_bytes = 1 << 40, "params.max_bundle_bytes"),
        ];
        for (spoil, name) in cases {
            let mut params = Params::default();
            spoil(&mut params);
            let error = params.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
