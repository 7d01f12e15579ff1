use prost::Message;
use tendermint::Hash;

use crate::ClientError;

/// Outcome of a transaction that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// Hash of the transaction.
    pub hash: Hash,
    /// Height of the transaction's block.
    pub height: u64,
    /// Encoded response to each message, in order.
    pub responses: Vec<Vec<u8>>,
}

impl TxOutcome {
    /// Decodes the response to message `index`.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if there is no response of this type.
    pub fn response<M: Message + Default>(&self, index: usize) -> Result<M, ClientError> {
        let fault = |why: String| {
            ClientError::Tx(format!("transaction {}: response {index}: {why}", self.hash))
        };
        let bytes = self.responses.get(index).ok_or_else(|| fault("there is none".to_owned()))?;
        M::decode(bytes.as_slice()).map_err(|error| fault(error.to_string()))
    }
}
