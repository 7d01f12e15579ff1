/// Codespace of every [`ErrorCode`].
pub const CODESPACE: &str = "capstan";

/// Declares [`ErrorCode`] from one table of numbers and texts.
macro_rules! error_codes {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        /// A code with which the application refuses a transaction or a query, in codespace [`CODESPACE`].
        ///
        /// A code never changes its meaning. 1 says nothing about the transaction. Codes from 2 to 39 refuse a whole
        /// transaction, which then pays no fee. From 40 on a message failed: the fee is taken, the sequence moves on,
        /// and nothing else of the transaction happens. Codes from 101 on are those of queries.
        ///
        /// ```
        /// use capstan_proto::ErrorCode;
        /// assert_eq!(ErrorCode::from_number(12), Some(ErrorCode::Sequence));
        /// assert_eq!(ErrorCode::Sequence.number(), 12);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $name = $number,)*
        }

        impl ErrorCode {
            /// All codes, in ascending order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the meaning of the code, for people.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

error_codes! {
    Unavailable = 1, "The node cannot check the transaction now, or the chain has no block yet.";
    TooLarge = 2, "The transaction is longer than `max_tx_bytes`.";
    Undecodable = 3, "A part of the transaction is not protobuf of the right type.";
    NotCanonical = 4, "A part of the transaction has unknown fields, or is not in canonical protobuf form where it must be.";
    MessageCount = 5, "The transaction has no message, or more than `max_messages_per_tx`.";
    UnknownMessage = 6, "A message has a type that the chain does not know.";
    SignerCount = 7, "The transaction does not have exactly one signer and one signature.";
    SignMode = 8, "The sign mode is not one that the chain takes, or the signatures do not fit the account's multisig.";
    PublicKey = 9, "The public key is missing, of another type, or not the account's.";
    HighS = 10, "The signature is not in low-s form.";
    BadSignature = 11, "The signature does not verify.";
    Sequence = 12, "The sequence is not the account's next one.";
    ActorMismatch = 13, "A message acts for an account that did not sign.";
    FeeDenom = 14, "The fee is not one amount of the chain's coin.";
    FeeTooLow = 15, "The fee is less than the transaction costs.";
    NoAccount = 16, "The signer has no account.";
    CannotPayFee = 17, "The signer's balance is less than the fee.";
    Memo = 18, "The memo is longer than `max_memo_bytes`.";
    TimedOut = 19, "The transaction's timeout height has passed.";
    Unsupported = 20, "The transaction uses a feature of the Cosmos SDK that the chain does not have.";
    OutOfGas = 21, "The gas limit is less than the transaction's gas.";
    Field = 22, "A field of a message has an invalid value.";
    Skipped = 23, "The validators agreed not to execute the transaction.";
    InsufficientFunds = 40, "The account cannot pay what a message costs or sends.";
    BalanceOverflow = 41, "The receiver's balance would exceed 2^128 - 1.";
    Decompression = 42, "A bundle does not decompress to its declared size.";
    Bundle = 43, "A bundle is invalid, or does not have the declared id.";
    UnknownBundle = 44, "No bundle with this id is installed.";
    UnknownUpload = 45, "No upload with this id is under way.";
    UploadExists = 46, "The same upload is under way already.";
    UploadQuota = 47, "The account has too many or too large uploads under way.";
    Chunk = 48, "A chunk does not belong to its upload.";
    Reference = 49, "A reference is not in the account's c-list, or of the wrong kind.";
    QueueFull = 50, "The kernel's queues hold `max_queue_length` events.";
    OutboxFull = 51, "The account's outbox holds `max_outbox_length` entries, or too many bytes of settled promises.";
    NoFactory = 52, "The account has no factory object.";
    Channel = 53, "An io channel does not exist, is not the account's, or does not take what is written.";
    ChannelFull = 54, "The lines do not fit into the io channel besides those that nobody has read yet.";
    UnknownPath = 101, "No query has this path.";
    MalformedQuery = 102, "The request or an option of the query is invalid.";
    NotFound = 103, "What the query names does not exist.";
    Height = 104, "The state at the requested height is not available.";
    NoProof = 105, "The response is not about one record, so it cannot be proven.";
    Node = 106, "The node failed to answer the query.";
}

impl ErrorCode {
    /// Returns the number that a node sends.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the code with this number, or `None` if there is no such code.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_are_found_again() {
        assert!(ErrorCode::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
    }
}
