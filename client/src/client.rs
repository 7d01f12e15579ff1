//! The calls of a node's JSON-RPC.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cosmrs::proto::cosmos::base::abci::v1beta1::TxMsgData;
use prost::Message as _;
use serde_json::Value;
use tendermint::Hash;
use tendermint::abci::Event as AbciEvent;
use tendermint::abci::types::ExecTxResult;
use tendermint::merkle::proof::ProofOps;
use tendermint_rpc::dialect::v0_38::Dialect;
use tendermint_rpc::endpoint::{abci_query, block, block_results, broadcast, tx, validators};
use tendermint_rpc::{Order, SimpleRequest, endpoint};

use crate::transport::{BATCH, Transport};
use crate::{ClientError, Deadline, SignedTx, Subscription, TxOutcome};

/// JSON-RPC's code for errors of a method, which also says that a transaction is not found.
const INTERNAL_ERROR: i64 = -32603;

/// Connection to a node. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
}

/// The application's answer to a query.
#[derive(Clone, Debug)]
pub struct AbciQuery {
    /// Key of the value, if the query is about one record.
    pub key: Vec<u8>,
    /// Value of the answer.
    pub value: Vec<u8>,
    /// [`ProofOps`] that the key has the value, if a proof was requested.
    pub proof: Option<ProofOps>,
    /// Height of the queried state.
    pub height: u64,
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct TxInfo {
    /// Hash of the transaction.
    pub hash: Hash,
    /// Height of the transaction's block.
    pub height: u64,
    /// Index of the transaction in its block, from 0.
    pub index: u32,
    /// The application's code: 0 if it succeeded.
    pub code: u32,
    /// Codespace that gives the code its meaning.
    pub codespace: String,
    /// Message of the application about a failure.
    pub log: String,
    /// Gas limit of the transaction.
    pub gas_wanted: i64,
    /// Gas of the transaction.
    pub gas_used: i64,
    /// Encoded `TxMsgData` with each message's response.
    pub data: Vec<u8>,
    /// Events of the application.
    pub events: Vec<AbciEvent>,
}

impl Client {
    /// Creates a client of the node at `url`: `http://HOST:PORT`, `tcp://HOST:PORT` or `HOST:PORT`. It connects at
    /// the first call.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn new(url: &str) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(url)? })
    }

    /// Creates a client whose calls take at most `limit`, for nodes that may not answer.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn with_timeout(url: &str, limit: Duration) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::with_timeout(url, limit)? })
    }

    /// Returns the node's address, `HOST:PORT`.
    pub fn addr(&self) -> &str {
        self.transport.addr()
    }

    /// Makes any call for which `tendermint-rpc` has a [`SimpleRequest`].
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Malformed`], [`ClientError::Rpc`] or
    /// [`ClientError::Timeout`], as for every method here.
    pub fn call<R: SimpleRequest<Dialect>>(&self, request: R) -> Result<R::Output, ClientError> {
        self.transport.call(request)
    }

    /// Makes any call, and returns its result as JSON.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_json(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.transport.call_json(method, params)
    }

    /// Sends a query to the application. `height` 0 stands for the last committed state.
    ///
    /// # Errors
    /// [`ClientError::Query`] if the application answers with a code other than 0, or as
    /// [`Client::call`].
    pub fn abci_query(
        &self,
        path: &str,
        data: &[u8],
        height: u32,
        prove: bool,
    ) -> Result<AbciQuery, ClientError> {
        let height = (height > 0).then(|| height.into());
        let request = abci_query::Request::new(Some(path.to_owned()), data, height, prove);
        let answer = self.call(request)?.response;
        if answer.code.is_err() {
            let code = answer.code.value();
            return Err(ClientError::Query {
                path: path.to_owned(),
                codespace: answer.codespace,
                code,
                log: answer.log,
            });
        }
        Ok(AbciQuery {
            key: answer.key,
            value: answer.value,
            proof: answer.proof,
            height: answer.height.value(),
        })
    }

    /// Broadcasts a [`SignedTx`] and waits for the application's check.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the check fails, or as [`Client::call`].
    pub fn broadcast_sync(&self, tx: &SignedTx) -> Result<Hash, ClientError> {
        self.call(broadcast::tx_sync::Request::new(tx.bytes())).and_then(admitted)
    }

    /// Broadcasts transactions one after the other, ten in each request, and waits for the application's checks. The
    /// answers are in their order. A refusal does not keep the later ones from being sent.
    ///
    /// # Errors
    /// As [`Client::call`]. What was sent before such an error may have been admitted.
    pub fn broadcast_all(
        &self,
        txs: &[SignedTx],
    ) -> Result<Vec<Result<Hash, ClientError>>, ClientError> {
        let requests = txs.iter().map(|tx| broadcast::tx_sync::Request::new(tx.bytes())).collect();
        let answers = self.transport.call_all(requests)?;
        Ok(answers.into_iter().map(|answer| answer.and_then(admitted)).collect())
    }

    /// Broadcasts a [`SignedTx`] and waits for its block, as long as the node waits. Prefer [`Client::wait_tx`] if
    /// blocks may take long.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the check fails, [`ClientError::Failed`] if the transaction
    /// does, or as [`Client::call`].
    pub fn broadcast_commit(&self, tx: &SignedTx) -> Result<TxInfo, ClientError> {
        let answer = self.call(broadcast::tx_commit::Request::new(tx.bytes()))?;
        let check = answer.check_tx;
        if check.code.is_err() {
            return Err(ClientError::Refused {
                codespace: check.codespace,
                code: check.code.value(),
                log: check.log,
            });
        }
        self.tx_info(answer.hash, answer.height.value(), 0, answer.tx_result)?.succeeded()
    }

    /// Returns the transaction with this hash, or `None` while it is in no block.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn tx(&self, hash: Hash) -> Result<Option<TxInfo>, ClientError> {
        self.found(self.call(tx::Request::new(hash, false)))
    }

    /// Returns the transactions with these hashes, each `None` while it is in no block. Ten are asked for in each request.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn txs(&self, hashes: &[Hash]) -> Result<Vec<Option<TxInfo>>, ClientError> {
        let requests = hashes.iter().map(|hash| tx::Request::new(*hash, false)).collect();
        let answers = self.transport.call_all(requests)?;
        answers.into_iter().map(|answer| self.found(answer)).collect()
    }

    /// Waits until the transaction is in a block.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if it failed there, [`ClientError::Timeout`], or as
    /// [`Client::call`].
    pub fn wait_tx(&self, hash: Hash, deadline: Deadline) -> Result<TxInfo, ClientError> {
        deadline.poll(&format!("the block of transaction {hash}"), || self.tx(hash))?.succeeded()
    }

    /// Waits until all these transactions are in blocks. Their order is that of the hashes. Some may have failed there.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], or as [`Client::call`].
    pub fn wait_txs(
        &self,
        hashes: &[Hash],
        deadline: Deadline,
    ) -> Result<Vec<TxInfo>, ClientError> {
        let mut found = Vec::with_capacity(hashes.len());
        let what = format!("the blocks of {} transactions", hashes.len());
        deadline.poll(&what, || {
            while found.len() < hashes.len() {
                let next: Vec<Hash> =
                    hashes.iter().skip(found.len()).take(BATCH).copied().collect();
                let before = found.len();
                // What comes after a missing one is asked for again.
                found.extend(self.txs(&next)?.into_iter().map_while(|tx| tx));
                if found.len() < before + next.len() {
                    return Ok::<_, ClientError>(None);
                }
            }
            Ok(Some(()))
        })?;
        Ok(found)
    }

    /// Returns the transactions whose events match `query`, in the chain's order. Pages count from 1 and hold
    /// `per_page` transactions, at most 100.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn tx_search(
        &self,
        query: &str,
        page: u32,
        per_page: u8,
    ) -> Result<Vec<TxInfo>, ClientError> {
        let found = self.call(endpoint::tx_search::Request::new(
            query,
            false,
            page,
            per_page,
            Order::Ascending,
        ))?;
        let info =
            |tx: tx::Response| self.tx_info(tx.hash, tx.height.value(), tx.index, tx.tx_result);
        found.txs.into_iter().map(info).collect()
    }

    /// Returns the block at `height`. 0 stands for the last one.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn block(&self, height: u32) -> Result<block::Response, ClientError> {
        self.call(block::Request { height: (height > 0).then(|| height.into()) })
    }

    /// Returns the results of the block at `height`. 0 stands for the last one.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn block_results(&self, height: u32) -> Result<block_results::Response, ClientError> {
        self.call(block_results::Request { height: (height > 0).then(|| height.into()) })
    }

    /// Returns the validators of the block at `height`. 0 stands for the last one.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn validators(&self, height: u32) -> Result<validators::Response, ClientError> {
        self.call(validators::Request::new((height > 0).then(|| height.into()), None, None))
    }

    /// Opens a connection of its own for the events that match `query`, such as `tm.event='NewBlock'`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], or [`ClientError::Rpc`] if the query is malformed.
    pub fn subscribe(&self, query: &str) -> Result<Subscription, ClientError> {
        Subscription::open(self.addr(), query)
    }

    fn found(
        &self,
        answer: Result<tx::Response, ClientError>,
    ) -> Result<Option<TxInfo>, ClientError> {
        match answer {
            Ok(answer) => self
                .tx_info(answer.hash, answer.height.value(), answer.index, answer.tx_result)
                .map(Some),
            Err(ClientError::Rpc { code: INTERNAL_ERROR, data, .. })
                if data.contains("not found") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn tx_info(
        &self,
        hash: Hash,
        height: u64,
        index: u32,
        result: ExecTxResult,
    ) -> Result<TxInfo, ClientError> {
        // tendermint-rpc 0.40 leaves the base64 of `data` undecoded.
        let data = BASE64.decode(&result.data).map_err(|error| ClientError::Malformed {
            addr: self.addr().to_owned(),
            method: "tx".to_owned(),
            why: format!("the result's data is not base64: {error}"),
        })?;
        Ok(TxInfo {
            hash,
            height,
            index,
            code: result.code.value(),
            codespace: result.codespace,
            log: result.log,
            gas_wanted: result.gas_wanted,
            gas_used: result.gas_used,
            data,
            events: result.events,
        })
    }
}

/// Returns the hash of a transaction that the application's check admitted.
fn admitted(answer: broadcast::tx_sync::Response) -> Result<Hash, ClientError> {
    let broadcast::tx_sync::Response { code, codespace, log, hash, .. } = answer;
    match code.is_err() {
        true => Err(ClientError::Refused { codespace, code: code.value(), log }),
        false => Ok(hash),
    }
}

impl TxInfo {
    /// Decodes the responses to the messages of a transaction that succeeded. `addr` names the node in an error.
    ///
    /// # Errors
    /// [`ClientError::Malformed`].
    pub fn outcome(self, addr: &str) -> Result<TxOutcome, ClientError> {
        let data =
            TxMsgData::decode(self.data.as_slice()).map_err(|error| ClientError::Malformed {
                addr: addr.to_owned(),
                method: "tx".to_owned(),
                why: format!("the result's data is no TxMsgData: {error}"),
            })?;
        let responses = data.msg_responses.into_iter().map(|response| response.value).collect();
        Ok(TxOutcome { hash: self.hash, height: self.height, responses })
    }

    /// Returns the transaction if it succeeded.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if it did not.
    pub fn succeeded(self) -> Result<Self, ClientError> {
        if self.code == 0 {
            return Ok(self);
        }
        let Self { hash, height, codespace, code, log, .. } = self;
        Err(ClientError::Failed { hash, height, codespace, code, log })
    }
}
