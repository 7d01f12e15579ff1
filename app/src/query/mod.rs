//! Queries: `abci_query` by path, answered from the last committed state.
//!
//! Two forms of the same questions:
//!
//! * `/capstan.v1.Query/VatStats` with a protobuf request as data gives a protobuf answer
//!   (`proto/capstan/v1/query.proto`). `/cosmos.auth.v1beta1.Query/Account` and
//!   `/cosmos.bank.v1beta1.Query/{Balance,AllBalances}` answer Cosmos clients.
//! * `vats/v7/stats` gives JSON: the same fields in camel case. Options such as `after` and `limit`
//!   follow as in `vats?after=v7&limit=10`, or as a JSON object in data.
//!
//! | path | protobuf method |
//! |---|---|
//! | `params` | `Params` |
//! | `accounts/ADDRESS` | `Account` |
//! | `accounts/ADDRESS/outbox` (`after`, `limit`) | `Outbox` |
//! | `uploads/UPLOAD_ID` | `Upload` |
//! | `txs/TX_HASH/INDEX` | `MessageResult` |
//! | `bundles/BUNDLE_ID` | `Bundle` |
//! | `bundles` (`after`, `limit`) | `Bundles` |
//! | `vats` (`after`, `limit`) | `Vats` |
//! | `vats/VAT` | `Vat` |
//! | `vats/VAT/stats` | `VatStats` |
//! | `kernel/stats` | `KernelStats` |
//! | `kernel/run-queue` (`limit`) | `RunQueue` |
//! | `promises/KPID` | `Promise` |
//! | `objects/KOID` | `Object` |
//! | `clists/ENDPOINT` (`after`, `limit`) | `CList` |
//! | `meters/METER` | `Meter` |
//! | `mailbox/PEER` (`after`, `limit`) | `Mailbox` |
//! | `store` with a key as data | none: the raw value at that key |
//!
//! With `prove`, a query that is about one key answers with that key, its raw value and a proof of it
//! under the app hash, as two proof operations: see [`PROOF_VALUE`] and [`PROOF_PATH`].

mod accounts;
mod cosmos;
mod error;
mod kernel;
mod page;
mod proof;
mod route;
mod vats;

use capstan_store::StateView;
use prost::Message;
use serde::Serialize;
use tendermint_proto::v0_38::{abci::RequestQuery, abci::ResponseQuery};

pub use error::QueryError;
pub use proof::{PROOF_PATH, PROOF_VALUE};
use route::{Form, Question};

/// Answers a query.
pub(crate) fn answer(state: &StateView, request: &RequestQuery) -> ResponseQuery {
    let height = i64::try_from(state.height()).unwrap_or(i64::MAX);
    match try_answer(state, height, request) {
        Ok(response) => ResponseQuery { height, ..response },
        Err(error) => ResponseQuery {
            code: error.code(),
            log: error.to_string(),
            codespace: crate::tx::CODESPACE.to_owned(),
            height,
            ..ResponseQuery::default()
        },
    }
}

fn try_answer(
    state: &StateView,
    height: i64,
    request: &RequestQuery,
) -> Result<ResponseQuery, QueryError> {
    if request.height != 0 && request.height != height {
        return Err(QueryError::Height { asked: request.height, height });
    }
    let (form, question) = route::parse(&request.path, &request.data)?;
    let reply = ask(state, &question, form)?;
    let proof_ops = match (request.prove, &reply.key) {
        (false, _) => None,
        (true, Some(key)) => Some(proof::of(state, key)?),
        (true, None) => return Err(QueryError::NoProof),
    };
    let key = reply.key.unwrap_or_default();
    let value = reply.value.into();
    Ok(ResponseQuery { value, key: key.into(), proof_ops, ..ResponseQuery::default() })
}

fn ask(state: &StateView, question: &Question, form: Form) -> Result<Reply, QueryError> {
    match question {
        Question::Params => accounts::params(state, form),
        Question::Account(address) => accounts::account(state, form, *address),
        Question::Outbox { address, page } => accounts::outbox(state, form, *address, page),
        Question::Upload(id) => accounts::upload(state, form, id),
        Question::MessageResult { tx, index } => accounts::message_result(state, form, tx, *index),
        Question::Bundle(id) => kernel::bundle(state, form, id),
        Question::Bundles(page) => kernel::bundles(state, form, page),
        Question::Vats(page) => vats::list(state, form, page),
        Question::Vat(vat) => vats::vat(state, form, *vat),
        Question::VatStats(vat) => vats::stats(state, form, *vat),
        Question::KernelStats => kernel::stats(state, form),
        Question::RunQueue { limit } => kernel::run_queue(state, form, *limit),
        Question::Promise(number) => kernel::promise(state, form, *number),
        Question::Object(number) => kernel::object(state, form, *number),
        Question::CList { endpoint, page } => kernel::clist(state, form, endpoint, page),
        Question::Meter(id) => kernel::meter(state, form, *id),
        Question::Mailbox { peer, page } => kernel::mailbox(state, form, peer, page),
        Question::CosmosAccount(address) => cosmos::account(state, *address),
        Question::CosmosBalance { address, denom } => cosmos::balance(state, *address, denom),
        Question::CosmosAllBalances(address) => cosmos::all_balances(state, *address),
        Question::Raw(key) => Reply::raw(state, key),
    }
}

/// An answer in the form that was asked for.
struct Reply {
    value: Vec<u8>,
    /// The one key that the answer is about, if it is one.
    key: Option<Vec<u8>>,
}

impl Reply {
    fn new<M: Message + Serialize>(form: Form, message: &M) -> Result<Self, QueryError> {
        let value = match form {
            Form::Protobuf => message.encode_to_vec(),
            Form::Json => {
                serde_json::to_vec(message).map_err(|e| QueryError::Node(format!("JSON: {e}")))?
            }
        };
        Ok(Self { value, key: None })
    }

    fn about(self, key: Vec<u8>) -> Self {
        Self { key: Some(key), ..self }
    }

    fn raw(state: &StateView, key: &[u8]) -> Result<Self, QueryError> {
        use capstan_kernel_ports::store::Read;
        let value = state
            .get(key)?
            .ok_or_else(|| QueryError::not_found("key", capstan_abi::legible(key)))?;
        Ok(Self { value, key: Some(key.to_vec()) })
    }
}
