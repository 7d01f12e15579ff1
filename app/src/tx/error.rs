use capstan_proto::{Address, ErrorCode, amino::AminoError};

/// Reason why a transaction is refused, or why one of its messages fails.
///
/// Each has an [`ErrorCode`], whose ranges say whether the transaction pays its fee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// The transaction is longer than `max_tx_bytes`.
    #[error(
        "the transaction has {size} bytes, more than the {limit} that the chain allows (max_tx_bytes); `capstan tx install-bundle` sends a large bundle in pieces (MsgBeginUpload)"
    )]
    TooLarge {
        /// Size in bytes.
        size: usize,
        /// Limit of the chain.
        limit: u64,
    },
    /// A part of the transaction is not valid protobuf of its type.
    #[error("{part} cannot be decoded: {problem}")]
    Undecodable {
        /// Name of the part: `TxRaw`, `TxBody`, `AuthInfo` or a message's type.
        part: String,
        /// Error of the decoder.
        problem: String,
    },
    /// A part of the transaction is valid protobuf, but not in canonical form.
    #[error(
        "{0} is not in canonical protobuf form, which it must have here: fields are out of order or have their default values"
    )]
    NotCanonical(String),
    /// A part of the transaction has a field that the chain does not know.
    #[error("{part} has the unknown field {number}; encode it with the chain's own .proto files")]
    UnknownField {
        /// Name of the part: `TxBody`, `AuthInfo` or a message's type.
        part: String,
        /// Number of the field.
        number: u32,
    },
    /// The transaction is too large to be signed as a JSON document.
    #[error(
        "the body has {size} bytes, more than the {limit} that can be signed in SIGN_MODE_LEGACY_AMINO_JSON; sign in SIGN_MODE_DIRECT"
    )]
    AminoTooLarge {
        /// Size in bytes.
        size: usize,
        /// Limit of the chain.
        limit: usize,
    },
    /// The transaction has no message or too many.
    #[error("the transaction has {count} messages; it must have 1 to {limit}")]
    MessageCount {
        /// Number of messages.
        count: usize,
        /// Limit of the chain.
        limit: u32,
    },
    /// A message is of an unknown type.
    #[error(
        "unknown message type {0}; this chain knows capstan.v1.Msg… and cosmos.bank.v1beta1.MsgSend"
    )]
    UnknownMessage(String),
    /// The transaction does not have exactly one signer and one signature.
    #[error(
        "the transaction has {signers} signers and {signatures} signatures; it must have one of each"
    )]
    SignerCount {
        /// The number of signer infos.
        signers: usize,
        /// The number of signatures.
        signatures: usize,
    },
    /// The sign mode is not one that the chain takes.
    #[error("the sign mode is neither SIGN_MODE_DIRECT nor SIGN_MODE_LEGACY_AMINO_JSON")]
    SignMode,
    /// The signatures of a multisig do not fit its keys.
    #[error("multisig: {0}")]
    Multisig(String),
    /// The public key is missing, of another type, or not the account's.
    #[error("public key: {0}")]
    PublicKey(String),
    /// The signature's `s` lies in the upper half of the order. It would be a second form of a valid signature.
    #[error("the signature is not in low-s form; normalise s to the lower half of the group order")]
    HighS,
    /// The signature is invalid for this chain and account.
    #[error(
        "the signature does not verify; sign for chain id {chain_id:?} with account number {account_number} and sequence {sequence}"
    )]
    BadSignature {
        /// Id of the chain.
        chain_id: String,
        /// The signer's account number.
        account_number: u64,
        /// The signer's next sequence.
        sequence: u64,
    },
    /// The sequence is not the account's next: replayed, or sent out of order.
    #[error(
        "account sequence mismatch, expected {expected}, got {got}; ask for the account and sign again"
    )]
    Sequence {
        /// Next sequence of the account.
        expected: u64,
        /// Sequence of the transaction.
        got: u64,
    },
    /// A message acts for another account than the signer's.
    #[error("message {index} acts for {actor:?}, but the transaction is signed by {signer}")]
    ActorMismatch {
        /// Index of the message, from 0.
        index: usize,
        /// Account that the message names.
        actor: String,
        /// [`Address`] of the account that signed.
        signer: Address,
    },
    /// The fee is not one amount of the chain's coin.
    #[error("the fee must be one amount of ucap: {0}")]
    FeeDenom(String),
    /// The fee is below the lowest one that the chain accepts.
    #[error("the fee is {got}ucap, but this transaction costs at least {required}ucap")]
    FeeTooLow {
        /// Fee that the transaction pays.
        got: u128,
        /// Lowest fee that the chain accepts.
        required: u128,
    },
    /// The gas limit is below the transaction's gas.
    #[error(
        "out of gas: the gas limit is {limit}, but this transaction needs {needed}; simulate it, or set a gas limit of at least that"
    )]
    OutOfGas {
        /// Gas limit of the transaction.
        limit: u64,
        /// Gas of the transaction.
        needed: u64,
    },
    /// The signer's address has no account yet.
    #[error(
        "{0} has no account on this chain; it begins with its first coins: `capstan tx transfer {0} 1000000ucap`, from an account that has some"
    )]
    NoAccount(Address),
    /// The signer cannot pay the fee.
    #[error("{account} owns {balance}ucap and cannot pay the fee of {fee}ucap")]
    CannotPayFee {
        /// [`Address`] of the signer.
        account: Address,
        /// Coins that it owns.
        balance: u128,
        /// Fee of the transaction.
        fee: u128,
    },
    /// The memo exceeds `max_memo_bytes`.
    #[error(
        "the memo has {size} bytes, more than the {limit} that the chain allows (max_memo_bytes)"
    )]
    Memo {
        /// Size in bytes.
        size: usize,
        /// Limit of the chain.
        limit: u32,
    },
    /// The transaction's timeout height has passed.
    #[error(
        "the transaction was good until height {timeout}, and this is height {height}; sign it again"
    )]
    TimedOut {
        /// Timeout height of the transaction.
        timeout: u64,
        /// Height of the block.
        height: u64,
    },
    /// The transaction uses a feature of Cosmos transactions that the chain does not have.
    #[error("{0} is not supported by this chain; leave it empty")]
    Unsupported(&'static str),
    /// A field of a message has an invalid value.
    #[error("{command} (message {index}): {field}: {problem}")]
    Field {
        /// Index of the message, from 0.
        index: usize,
        /// Command of `capstan` that sends such a message, or `transaction` if its type is not known yet.
        command: &'static str,
        /// Name of the field.
        field: &'static str,
        /// Description of the mistake, and of what is expected.
        problem: String,
    },

    /// The validators agreed on an [`Override`](crate::Override) that skips the transaction.
    #[error(
        "the validators agreed not to execute this transaction; it has cost nothing and can be sent again"
    )]
    Skipped,

    /// The account cannot pay what a message costs or moves.
    #[error("{account} owns {balance}ucap, less than {needed}ucap")]
    InsufficientFunds {
        /// [`Address`] of the account that has to pay.
        account: Address,
        /// Its balance after the fee.
        balance: u128,
        /// Amount that it has to pay.
        needed: u128,
    },
    /// The receiver's balance would exceed 2^128 - 1.
    #[error("the balance of {0} would exceed 2^128")]
    BalanceOverflow(Address),
    /// The bundle's bytes do not decompress to the declared size.
    #[error("the compressed bundle is refused: {0}")]
    Decompression(String),
    /// The bundle is invalid, or has another id than declared.
    #[error("the bundle is refused: {0}")]
    Bundle(String),
    /// No bundle with this id is installed.
    #[error("no bundle {0} is installed; install it first: `capstan tx install-bundle FILE`")]
    UnknownBundle(String),
    /// No upload with this id is in progress.
    #[error("no upload {0} is under way; it is complete, expired or was never begun")]
    UnknownUpload(String),
    /// The same upload is in progress already.
    #[error("upload {0} is under way already; send its missing pieces")]
    UploadExists(String),
    /// The account's uploads in progress exceed its quota.
    #[error("upload quota: {0}")]
    UploadQuota(String),
    /// A chunk does not belong to the upload.
    #[error("piece {index} is refused: {problem}")]
    Chunk {
        /// Index of the chunk, from 0.
        index: u32,
        /// Description of the mistake.
        problem: String,
    },
    /// A reference is not in the account's c-list, or not of the right kind.
    #[error("{0}")]
    Reference(String),
    /// The kernel's queues are full.
    #[error(
        "the kernel's queues hold {length} events, the limit is {limit} (max_queue_length); try again later"
    )]
    QueueFull {
        /// Number of events.
        length: u64,
        /// Limit of the chain.
        limit: u64,
    },
    /// The account's outbox is full.
    #[error(
        "the outbox holds {length} entries, the limit is {limit} (max_outbox_length); acknowledge what was read: `capstan tx ack NUMBER`"
    )]
    OutboxFull {
        /// Number of entries.
        length: u64,
        /// Limit of the chain.
        limit: u64,
    },
    /// The account's outbox has too many bytes that are not acknowledged.
    #[error(
        "the outbox holds {bytes} bytes of settled promises, the limit is {limit}; acknowledge what was read: `capstan tx ack NUMBER`"
    )]
    OutboxTooLarge {
        /// Number of bytes.
        bytes: u64,
        /// Limit of the kernel.
        limit: u64,
    },
    /// The account has no factory object.
    #[error("the account has no factory object: {0}")]
    NoFactory(String),
    /// An io channel does not exist, is not the account's, or does not take what is written.
    #[error("{0}")]
    Channel(String),
    /// The lines do not fit into the io channel.
    #[error("{0}; try again when it has been read")]
    ChannelFull(String),
}

impl TxError {
    /// Returns the error for a transaction that has no amino JSON document.
    pub(super) fn no_document(error: AminoError) -> Self {
        match error {
            AminoError::Undecodable { part, problem } => Self::Undecodable { part, problem },
            AminoError::UnknownMessage(type_url) => Self::UnknownMessage(type_url),
            AminoError::Unsupported(what) => Self::Unsupported(what),
        }
    }

    /// Returns the [`ErrorCode`] of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Undecodable { .. } => ErrorCode::Undecodable,
            Self::NotCanonical(_) | Self::UnknownField { .. } => ErrorCode::NotCanonical,
            Self::AminoTooLarge { .. } => ErrorCode::TooLarge,
            Self::MessageCount { .. } => ErrorCode::MessageCount,
            Self::UnknownMessage(_) => ErrorCode::UnknownMessage,
            Self::SignerCount { .. } => ErrorCode::SignerCount,
            Self::SignMode | Self::Multisig(_) => ErrorCode::SignMode,
            Self::PublicKey(_) => ErrorCode::PublicKey,
            Self::HighS => ErrorCode::HighS,
            Self::BadSignature { .. } => ErrorCode::BadSignature,
            Self::Sequence { .. } => ErrorCode::Sequence,
            Self::ActorMismatch { .. } => ErrorCode::ActorMismatch,
            Self::FeeDenom(_) => ErrorCode::FeeDenom,
            Self::FeeTooLow { .. } => ErrorCode::FeeTooLow,
            Self::OutOfGas { .. } => ErrorCode::OutOfGas,
            Self::NoAccount(_) => ErrorCode::NoAccount,
            Self::CannotPayFee { .. } => ErrorCode::CannotPayFee,
            Self::Memo { .. } => ErrorCode::Memo,
            Self::TimedOut { .. } => ErrorCode::TimedOut,
            Self::Unsupported(_) => ErrorCode::Unsupported,
            Self::Field { .. } => ErrorCode::Field,
            Self::Skipped => ErrorCode::Skipped,
            Self::InsufficientFunds { .. } => ErrorCode::InsufficientFunds,
            Self::BalanceOverflow(_) => ErrorCode::BalanceOverflow,
            Self::Decompression(_) => ErrorCode::Decompression,
            Self::Bundle(_) => ErrorCode::Bundle,
            Self::UnknownBundle(_) => ErrorCode::UnknownBundle,
            Self::UnknownUpload(_) => ErrorCode::UnknownUpload,
            Self::UploadExists(_) => ErrorCode::UploadExists,
            Self::UploadQuota(_) => ErrorCode::UploadQuota,
            Self::Chunk { .. } => ErrorCode::Chunk,
            Self::Reference(_) => ErrorCode::Reference,
            Self::QueueFull { .. } => ErrorCode::QueueFull,
            Self::OutboxFull { .. } | Self::OutboxTooLarge { .. } => ErrorCode::OutboxFull,
            Self::NoFactory(_) => ErrorCode::NoFactory,
            Self::Channel(_) => ErrorCode::Channel,
            Self::ChannelFull(_) => ErrorCode::ChannelFull,
        }
    }
}
