//! Queries for the chain's state: accounts, parameters, and the service `capstan.v1.Query`.

use capstan_abi::CapData;
use capstan_passable::{Malformed, Passable};
use capstan_proto::{Address, Amount, Method, Params, Request, v1 as proto};
use prost::Message as _;
use tendermint::Hash;
use tendermint_rpc::endpoint::status;

use crate::{Client, ClientError, Deadline, SignerData};

/// The longest page that a node gives.
const MAX_PAGE: u32 = 1000;

/// Status of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Id of the chain.
    pub chain_id: String,
    /// Height of the last block, or 0 before the first.
    pub height: u64,
    /// Time of the last block, as in RFC 3339.
    pub time: String,
    /// App hash in the last block's header, in upper-case hexadecimal. It is that of the state before the block.
    pub app_hash: String,
    /// True while the node replays old blocks.
    pub catching_up: bool,
}

/// An account on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Address of the account.
    pub address: Address,
    /// Number of the account, which signatures cover.
    pub number: u64,
    /// Sequence of the account's next transaction.
    pub sequence: u64,
    /// Balance in [`DENOM`](crate::DENOM).
    pub balance: Amount,
    /// Endpoint of the account in the kernel, `rN`. Empty until the account's first transaction that does more than
    /// send coins.
    pub remote: String,
}

/// Outcome of a message to a vat.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageResult {
    /// Hash of the transaction.
    pub hash: Hash,
    /// Height of the transaction's block.
    pub height: u64,
    /// Height of the block that settled the promise, or 0 while it is pending.
    pub settled_height: u64,
    /// Result promise in the account's channel, `rp-N`.
    pub promise: String,
    /// State of the promise: `pending`, `fulfilled` or `rejected`.
    pub status: String,
    /// Value of the fulfilment, or reason of the rejection, in smallcaps with references of the account's channel.
    /// Empty while the promise is pending.
    pub value: proto::CapData,
    /// Object that the message was for, in the account's channel.
    pub target: String,
    /// Name of the method, cut to 64 bytes.
    pub method: String,
    /// Vat that a fulfilled [`MsgCreateVat`](proto::MsgCreateVat) created.
    pub created_vat: Option<proto::CreatedVat>,
}

impl MessageResult {
    /// Decodes [`MessageResult::value`]. Returns `None` while the message is pending.
    ///
    /// # Errors
    /// [`Malformed`] if the value is not smallcaps over its slots.
    pub fn passable(&self) -> Result<Option<Passable>, Malformed> {
        let proto::CapData { body, slots } = self.value.clone();
        if body.is_empty() {
            return Ok(None);
        }
        Passable::decode(&CapData { body, slots }).map(Some)
    }
}

impl Client {
    /// Returns the [`Status`] of the node.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn status(&self) -> Result<Status, ClientError> {
        let status::Response { node_info, sync_info, .. } = self.call(status::Request)?;
        Ok(Status {
            chain_id: node_info.network.to_string(),
            height: sync_info.latest_block_height.value(),
            time: sync_info.latest_block_time.to_rfc3339(),
            app_hash: sync_info.latest_app_hash.to_string(),
            catching_up: sync_info.catching_up,
        })
    }

    /// Waits until the node answers and has a block.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], or what the node answers with instead.
    pub fn wait_ready(&self, deadline: Deadline) -> Result<Status, ClientError> {
        deadline.poll(&format!("the first block of the node at {}", self.addr()), || {
            match self.status() {
                Ok(status) if status.height > 0 => Ok(Some(status)),
                Ok(_) | Err(ClientError::Unreachable { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Returns the [`Account`] of `address`.
    ///
    /// # Errors
    /// [`ClientError::Query`] if there is no account, or as [`Client::call`].
    pub fn account(&self, address: &Address) -> Result<Account, ClientError> {
        let request = proto::QueryAccountRequest { address: address.to_string() };
        let answer: proto::QueryAccountResponse = self.query(&request)?;
        let parsed = answer.address.parse().ok().zip(answer.balance.parse().ok());
        let (address, balance) = parsed.ok_or_else(|| {
            self.bad_answer(proto::QueryAccountRequest::METHOD, "address or balance")
        })?;
        let (number, sequence) = (answer.account_number, answer.sequence);
        Ok(Account { address, number, sequence, balance, remote: answer.remote })
    }

    /// Returns the data that the signature of the account's next transaction must cover.
    ///
    /// # Errors
    /// As [`Client::account`].
    pub fn signer_data(&self, address: &Address) -> Result<SignerData, ClientError> {
        let account = self.account(address)?;
        let chain_id = self.status()?.chain_id;
        Ok(SignerData { chain_id, account_number: account.number, sequence: account.sequence })
    }

    /// Returns the [`Params`] of the chain.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn params(&self) -> Result<Params, ClientError> {
        let answer: proto::QueryParamsResponse = self.query(&proto::QueryParamsRequest {})?;
        serde_json::from_str(&answer.params_json)
            .map_err(|error| self.bad_answer(proto::QueryParamsRequest::METHOD, error))
    }

    /// Returns the outcome of message `index` of the transaction `hash`.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn message_result(&self, hash: Hash, index: u32) -> Result<MessageResult, ClientError> {
        let request = proto::QueryMessageResultRequest { tx_hash: hash.to_string(), index };
        let answer: proto::QueryMessageResultResponse = self.query(&request)?;
        Ok(MessageResult {
            hash,
            height: answer.height,
            settled_height: answer.settled_height,
            promise: answer.promise,
            status: answer.status,
            value: answer.value.unwrap_or_default(),
            target: answer.target,
            method: answer.method,
            created_vat: answer.created_vat,
        })
    }

    /// Waits until message `index` of the transaction `hash` is answered.
    ///
    /// # Errors
    /// [`ClientError::Timeout`], or as [`Client::query`].
    pub fn wait_result(
        &self,
        hash: Hash,
        index: u32,
        deadline: Deadline,
    ) -> Result<MessageResult, ClientError> {
        deadline.poll(&format!("the answer to message {index} of transaction {hash}"), || {
            let result = self.message_result(hash, index)?;
            Ok((result.status != "pending").then_some(result))
        })
    }

    /// Returns an installed bundle.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn bundle(&self, bundle_id: &str) -> Result<proto::QueryBundleResponse, ClientError> {
        self.query(&proto::QueryBundleRequest { bundle_id: bundle_id.to_owned() })
    }

    /// Returns all installed bundles, in the order of their ids.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn bundles(&self) -> Result<Vec<proto::QueryBundleResponse>, ClientError> {
        let mut bundles = Vec::new();
        let mut after = String::new();
        loop {
            let answer: proto::QueryBundlesResponse =
                self.query(&proto::QueryBundlesRequest { after, limit: 0 })?;
            bundles.extend(answer.bundles);
            after = answer.next;
            if after.is_empty() {
                return Ok(bundles);
            }
        }
    }

    /// Returns all vats, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn vats(&self) -> Result<Vec<proto::QueryVatResponse>, ClientError> {
        let mut vats = Vec::new();
        let mut after = String::new();
        loop {
            let answer: proto::QueryVatsResponse =
                self.query(&proto::QueryVatsRequest { after, limit: 0 })?;
            vats.extend(answer.vats);
            after = answer.next;
            if after.is_empty() {
                return Ok(vats);
            }
        }
    }

    /// Returns a vat.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn vat(&self, vat_id: &str) -> Result<proto::QueryVatResponse, ClientError> {
        self.query(&proto::QueryVatRequest { vat_id: vat_id.to_owned() })
    }

    /// Returns all subclusters, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn subclusters(&self) -> Result<Vec<proto::QuerySubclusterResponse>, ClientError> {
        let mut subclusters = Vec::new();
        let mut after = String::new();
        loop {
            let answer: proto::QuerySubclustersResponse =
                self.query(&proto::QuerySubclustersRequest { after, limit: 0 })?;
            subclusters.extend(answer.subclusters);
            after = answer.next;
            if after.is_empty() {
                return Ok(subclusters);
            }
        }
    }

    /// Returns a subcluster.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn subcluster(
        &self,
        subcluster_id: &str,
    ) -> Result<proto::QuerySubclusterResponse, ClientError> {
        self.query(&proto::QuerySubclusterRequest { subcluster_id: subcluster_id.to_owned() })
    }

    /// Returns an io channel of a subcluster, and the lines that vats wrote to it with greater numbers than `after`.
    /// There are at most `limit` lines, where 0 stands for 100.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn channel(
        &self,
        subcluster_id: &str,
        channel: &str,
        after: u64,
        limit: u32,
    ) -> Result<proto::QueryChannelResponse, ClientError> {
        let (subcluster_id, channel) = (subcluster_id.to_owned(), channel.to_owned());
        self.query(&proto::QueryChannelRequest { subcluster_id, channel, after, limit })
    }

    /// Returns all kernel services, in the order of their names.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn services(&self) -> Result<Vec<proto::KernelService>, ClientError> {
        let mut services = Vec::new();
        let mut after = String::new();
        loop {
            let answer: proto::QueryServicesResponse =
                self.query(&proto::QueryServicesRequest { after, limit: 0 })?;
            services.extend(answer.services);
            after = answer.next;
            if after.is_empty() {
                return Ok(services);
            }
        }
    }

    /// Returns the holdings and costs of a vat.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn vat_stats(&self, vat_id: &str) -> Result<proto::QueryVatStatsResponse, ClientError> {
        self.query(&proto::QueryVatStatsRequest { vat_id: vat_id.to_owned() })
    }

    /// Returns the sizes of the kernel's tables and queues.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn kernel_stats(&self) -> Result<proto::QueryKernelStatsResponse, ClientError> {
        self.query(&proto::QueryKernelStatsRequest {})
    }

    /// Returns a kernel promise, `kpN`.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn promise(&self, kref: &str) -> Result<proto::QueryPromiseResponse, ClientError> {
        self.query(&proto::QueryPromiseRequest { kref: kref.to_owned() })
    }

    /// Returns the messages to a peer of the mailbox, and the number of the last message that was taken from it.
    /// Messages have greater numbers than `after`. There are at most `limit`, where 0 stands for 100.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn mailbox(
        &self,
        peer: &str,
        after: u64,
        limit: u32,
    ) -> Result<proto::QueryMailboxResponse, ClientError> {
        let peer = peer.to_owned();
        self.query(&proto::QueryMailboxRequest { peer, after, limit })
    }

    /// Returns the entry of an account's c-list for one of its references, such as `ro-51`. Returns `None` if the account
    /// does not hold it.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn held(
        &self,
        address: &Address,
        reference: &str,
    ) -> Result<Option<proto::CListEntry>, ClientError> {
        let (endpoint, limit, mut after) = (address.to_string(), MAX_PAGE, String::new());
        loop {
            let request = proto::QueryCListRequest { endpoint: endpoint.clone(), after, limit };
            let page = self.query(&request)?;
            if let Some(entry) = page.entries.into_iter().find(|entry| entry.eref == reference) {
                return Ok(Some(entry));
            }
            after = page.next;
            if after.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Returns entries of an account's outbox with greater numbers than `after`. There are at most `limit`, where 0
    /// stands for 100.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn outbox(
        &self,
        address: &Address,
        after: u64,
        limit: u32,
    ) -> Result<proto::QueryOutboxResponse, ClientError> {
        self.query(&proto::QueryOutboxRequest { address: address.to_string(), after, limit })
    }

    /// Sends any request of the service `capstan.v1.Query` to the last committed state.
    ///
    /// # Errors
    /// [`ClientError::Query`] if the application refuses, or as [`Client::call`].
    pub fn query<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let path = R::METHOD.full_path;
        let answer = self.abci_query(path, &request.encode_to_vec(), 0, false)?;
        R::Response::decode(answer.value.as_slice())
            .map_err(|error| self.bad_answer(R::METHOD, error))
    }

    fn bad_answer(&self, method: &Method, why: impl std::fmt::Display) -> ClientError {
        let (addr, method) = (self.addr().to_owned(), method.full_path.to_owned());
        ClientError::Malformed { addr, method, why: why.to_string() }
    }
}
