//! Queries: ABCI's `Query` by path, answered from the last committed state.
//!
//! Each method of the service `capstan.v1.Query` has two forms, both taken from [`QUERY_METHODS`]:
//!
//! * `/capstan.v1.Query/VatStats` with a protobuf request as data gives a protobuf response.
//! * `vats/v7/stats` gives JSON: the same fields in camel case. Options such as `after` and `limit` follow as in
//!   `vats?after=v7&limit=10`, or as a JSON object in the data.
//!
//! Besides them, queries of the Cosmos SDK such as `/cosmos.auth.v1beta1.Query/Account` answer Cosmos clients, with the
//! Cosmos SDK's error codes. The path `store` with a key as data returns the raw value at that key.
//!
//! A query is added by a method in `capstan/v1/query.proto` and an implementation of [`capstan_proto::Handler`] for
//! its request by `QueryServer`. Without the latter the application does not compile.
//!
//! With `prove`, the paths of proven records return their values with two proof operations, as a store of the Cosmos
//! SDK does: see [`PROOF_RECORD`] and [`PROOF_STORE`]. So does `/store/capstan/key` with the key as data.

mod accounts;
mod args;
mod call;
mod cosmos;
mod error;
mod kernel;
mod page;
mod proof;
mod services;
mod subclusters;
mod vats;

use capstan_kernel_ports::store::Read as _;
use capstan_proto::{
    Answer, CODESPACE, Request, Server,
    v1::{QUERY_METHODS, dispatch_query},
};
use capstan_store::{Past, StateView};
use tendermint_proto::v0_38::{abci::RequestQuery, abci::ResponseQuery};

use call::{JsonCall, ProtobufCall};
pub use error::QueryError;
pub use page::QueryLimits;
pub use proof::{PROOF_RECORD, PROOF_STORE};

/// Path of the query for the raw value at a key, which is the query's data.
const STORE: &str = "store";
/// Beginning of the paths of the Cosmos SDK's queries.
const COSMOS: &str = "/cosmos.";
/// Codespace of their errors.
const COSMOS_CODESPACE: &str = "sdk";

/// Server of queries over one committed [`StateView`].
struct QueryServer<'a> {
    state: &'a StateView,
    limits: QueryLimits,
}

impl Server for QueryServer<'_> {
    type Error = QueryError;
}

/// Result of handling a request `R`.
type Answered<R> = Result<Answer<<R as Request>::Response>, QueryError>;

/// An encoded response, and the key of its record.
#[derive(Debug)]
struct Reply {
    value: Vec<u8>,
    /// Key of the one record in the response, or `None` if it is not about one.
    key: Option<Vec<u8>>,
}

/// Answers a [`RequestQuery`] from the last committed state, or from an earlier one.
pub(crate) fn answer(
    state: &StateView,
    past: &Past,
    limits: QueryLimits,
    request: &RequestQuery,
) -> ResponseQuery {
    let height = signed(state.height());
    match try_answer(QueryServer { state, limits }, past, request) {
        Ok(response) => response,
        Err(error) if request.path.starts_with(COSMOS) => {
            let (code, log) = error.for_cosmos();
            let codespace = COSMOS_CODESPACE.to_owned();
            ResponseQuery { code, log, codespace, height, ..ResponseQuery::default() }
        }
        Err(error) => ResponseQuery {
            code: error.code().number(),
            log: error.to_string(),
            codespace: CODESPACE.to_owned(),
            height,
            ..ResponseQuery::default()
        },
    }
}

fn try_answer(
    server: QueryServer<'_>,
    past: &Past,
    request: &RequestQuery,
) -> Result<ResponseQuery, QueryError> {
    if let Some(key) = proof::key(&request.path, &request.data, request.prove)? {
        return proof::answer(&server, key, request);
    }
    let earlier = earlier(server.state, past, request.height)?;
    let server = QueryServer { state: earlier.as_ref().unwrap_or(server.state), ..server };
    let height = signed(server.state.height());
    let reply = server.reply(&request.path, &request.data)?;
    let (key, value) = (reply.key.unwrap_or_default().into(), reply.value.into());
    Ok(ResponseQuery { value, key, height, ..ResponseQuery::default() })
}

/// Returns the state at the height that a query asks for, or `None` if it asks for the last one.
fn earlier(last: &StateView, past: &Past, asked: i64) -> Result<Option<StateView>, QueryError> {
    let height = signed(last.height());
    if asked == 0 || asked == height {
        return Ok(None);
    }
    let found = u64::try_from(asked).ok().and_then(|asked| past.at(asked));
    let first = past.first_height().map_or(height, signed);
    found.map(Some).ok_or(QueryError::Height { asked, first, height })
}

fn signed(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

impl QueryServer<'_> {
    fn reply(&self, path: &str, data: &[u8]) -> Result<Reply, QueryError> {
        let unknown = || QueryError::UnknownPath(path.to_owned());
        if path.starts_with(COSMOS) {
            return cosmos::reply(self, path, data)?.ok_or_else(unknown);
        }
        if path.starts_with("/capstan.") {
            let method = QUERY_METHODS.iter().find(|method| method.full_path == path);
            let method = method.ok_or_else(unknown)?;
            return dispatch_query(method, &ProtobufCall(data), self)?.ok_or_else(unknown);
        }
        if path.trim_start_matches('/') == STORE {
            return self.raw(data);
        }
        let call = JsonCall::parse(path, data)?;
        dispatch_query(call.method, &call, self)?.ok_or_else(unknown)
    }

    fn raw(&self, key: &[u8]) -> Result<Reply, QueryError> {
        let none = || QueryError::not_found("key", capstan_abi::legible(key));
        let value = self.state.get(key)?.ok_or_else(none)?;
        Ok(Reply { value, key: Some(key.to_vec()) })
    }
}
