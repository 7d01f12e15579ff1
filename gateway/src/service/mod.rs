//! The methods that are answered by the node: about its blocks, its transactions and itself.
//!
//! A method is added by a line of [`METHODS`] and a function. All other methods are the application's.

mod blocks;
mod node;
mod page;
mod txs;

use prost::Message;
use tonic::Status;

use crate::node::Node;
use crate::reply::Reply;

/// A function that answers an encoded request.
type Run = fn(&Node, &[u8]) -> Result<Reply, Status>;

/// The methods by their paths.
const METHODS: &[(&str, Run)] = &[
    ("/cosmos.tx.v1beta1.Service/GetTx", |n, r| run(n, r, txs::get)),
    (SEARCH, search),
    ("/cosmos.tx.v1beta1.Service/BroadcastTx", |n, r| run(n, r, txs::broadcast)),
    ("/cosmos.tx.v1beta1.Service/GetBlockWithTxs", |n, r| run(n, r, txs::of_block)),
    ("/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo", |n, r| run(n, r, node::info)),
    ("/cosmos.base.tendermint.v1beta1.Service/GetSyncing", |n, r| run(n, r, node::syncing)),
    ("/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock", |n, r| run(n, r, blocks::latest)),
    ("/cosmos.base.tendermint.v1beta1.Service/GetBlockByHeight", |n, r| run(n, r, blocks::at)),
    ("/cosmos.base.tendermint.v1beta1.Service/GetLatestValidatorSet", |n, r| {
        run(n, r, blocks::latest_validators)
    }),
    ("/cosmos.base.tendermint.v1beta1.Service/GetValidatorSetByHeight", |n, r| {
        run(n, r, blocks::validators_at)
    }),
    (ABCI_QUERY, |n, r| run(n, r, node::abci_query)),
    ("/cosmos.base.node.v1beta1.Service/Status", |n, r| run(n, r, node::status)),
];

/// Path of the method that searches for transactions.
const SEARCH: &str = "/cosmos.tx.v1beta1.Service/GetTxsEvent";

/// Returns whether a call searches for transactions, which can take long.
pub(crate) fn is_search(path: &str) -> bool {
    path == SEARCH
}

/// Beginning of the paths of methods whose requests carry a transaction.
const TRANSACTIONS: &str = "/cosmos.tx.v1beta1.Service/";
/// Path of the method that passes any query on, also one that carries a transaction.
const ABCI_QUERY: &str = "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery";

/// Returns whether the request of a call may carry a transaction.
pub(crate) fn carries_transaction(path: &str) -> bool {
    path.starts_with(TRANSACTIONS) || path == ABCI_QUERY
}

/// Answers a call if the method is one of [`METHODS`].
pub(crate) fn call(node: &Node, path: &str, request: &[u8]) -> Option<Result<Reply, Status>> {
    METHODS.iter().find(|(known, _)| *known == path).map(|(_, run)| run(node, request))
}

fn run<Q: Message + Default, A: Message>(
    node: &Node,
    request: &[u8],
    answer: fn(&Node, Q) -> Result<A, Status>,
) -> Result<Reply, Status> {
    Ok(Reply::of_node(answer(node, decoded(request)?)?.encode_to_vec()))
}

fn search(node: &Node, request: &[u8]) -> Result<Reply, Status> {
    let (answer, cut_at) = txs::search(node, decoded(request)?)?;
    Ok(Reply { cut_at, ..Reply::of_node(answer.encode_to_vec()) })
}

fn decoded<Q: Message + Default>(request: &[u8]) -> Result<Q, Status> {
    Q::decode(request).map_err(|error| {
        Status::invalid_argument(format!("the request is not protobuf of the right type: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::HeaderMap;
    use cosmrs::proto::cosmos::tx::v1beta1::{GetTxsEventRequest, GetTxsEventResponse};
    use serde_json::{Value, json};

    use super::*;
    use crate::shared::{CUT_AT, tell};

    /// Searches by gRPC on a node that answers so. Returns the headers of the answer.
    fn searched(answer: Value) -> HeaderMap {
        let node = Node {
            query: Arc::new(|_| panic!("the application is not asked")),
            rpc: Arc::new(move |method, params| {
                assert_eq!((method, &params["query"]), ("tx_search", &json!("tx.height > 3")));
                Ok(answer.clone())
            }),
        };
        let request =
            GetTxsEventRequest { query: "tx.height > 3".to_owned(), ..Default::default() };
        let reply = call(&node, SEARCH, &request.encode_to_vec()).unwrap().unwrap();
        GetTxsEventResponse::decode(reply.value.as_slice()).unwrap();
        let mut headers = HeaderMap::new();
        tell(&mut headers, &reply);
        headers
    }

    #[test]
    fn a_search_that_ended_early_says_at_which_height() {
        let cut = searched(json!({"txs": [], "total_count": "0", "cut_at_height": "17"}));
        assert_eq!(cut[CUT_AT], "17");
        let whole = searched(json!({"txs": [], "total_count": "0"}));
        assert!(whole.is_empty(), "{whole:?}");
    }

    #[test]
    fn every_method_is_one_of_a_descriptor() {
        let pool = crate::descriptors::pool().unwrap();
        for (path, _) in METHODS {
            let (service, method) = path.trim_start_matches('/').split_once('/').unwrap();
            let service = pool.get_service_by_name(service).unwrap();
            assert!(service.methods().any(|known| known.name() == method), "{path}");
        }
    }
}
