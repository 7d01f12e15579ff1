//! The table of methods.

use super::params::{Arguments, Params};
use super::values::Kind;

/// Whether clients and proxies may keep answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    Never,
    Always,
    /// If the height is given, because the answer without one changes with each block.
    AtHeight,
}

/// A method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// Its arguments, in the order in which a list gives them.
    pub(crate) arguments: Arguments,
    cache: Cache,
}

const fn method(name: &'static str, arguments: Arguments, cache: Cache) -> Method {
    Method { name, arguments, cache }
}

const HEIGHT: (&str, Kind) = ("height", Kind::Int64);
const TX: Arguments = &[("tx", Kind::Tx)];
const QUERY: (&str, Kind) = ("query", Kind::Text);
const PAGE: (&str, Kind) = ("page", Kind::Int);
const PER_PAGE: (&str, Kind) = ("per_page", Kind::Int);
const PROVE: (&str, Kind) = ("prove", Kind::Flag);
const ORDER_BY: (&str, Kind) = ("order_by", Kind::Text);

/// Every method, in alphabetical order.
pub(crate) const METHODS: &[Method] = &[
    method("abci_info", &[], Cache::Always),
    method("abci_query", &[("path", Kind::Text), ("data", Kind::Hex), HEIGHT, PROVE], Cache::Never),
    method("block", &[HEIGHT], Cache::AtHeight),
    method("block_by_hash", &[("hash", Kind::Bytes)], Cache::Always),
    method("block_results", &[HEIGHT], Cache::AtHeight),
    method("block_search", &[QUERY, PAGE, PER_PAGE, ORDER_BY], Cache::Never),
    method("blockchain", &[("minHeight", Kind::Int64), ("maxHeight", Kind::Int64)], Cache::Always),
    method("broadcast_evidence", &[("evidence", Kind::Evidence)], Cache::Never),
    method("broadcast_tx_async", TX, Cache::Never),
    method("broadcast_tx_commit", TX, Cache::Never),
    method("broadcast_tx_sync", TX, Cache::Never),
    method("check_tx", TX, Cache::Never),
    method("commit", &[HEIGHT], Cache::AtHeight),
    method("consensus_params", &[HEIGHT], Cache::AtHeight),
    method("consensus_state", &[], Cache::Never),
    method("dump_consensus_state", &[], Cache::Never),
    method("genesis", &[], Cache::Always),
    method("genesis_chunked", &[("chunk", Kind::Uint)], Cache::Always),
    method("header", &[HEIGHT], Cache::AtHeight),
    method("header_by_hash", &[("hash", Kind::Hex)], Cache::Always),
    method("health", &[], Cache::Never),
    method("net_info", &[], Cache::Never),
    method("num_unconfirmed_txs", &[], Cache::Never),
    method("status", &[], Cache::Never),
    method("tx", &[("hash", Kind::Bytes), PROVE], Cache::Always),
    method("tx_search", &[QUERY, PROVE, PAGE, PER_PAGE, ORDER_BY], Cache::Never),
    method("unconfirmed_txs", &[("limit", Kind::Int)], Cache::Never),
    method("validators", &[HEIGHT, PAGE, PER_PAGE], Cache::AtHeight),
];

/// The methods that only a WebSocket has.
pub(crate) const WEBSOCKET_METHODS: &[Method] = &[
    method("subscribe", &[QUERY], Cache::Never),
    method("unsubscribe", &[QUERY], Cache::Never),
    method("unsubscribe_all", &[], Cache::Never),
];

impl Method {
    /// Returns the method of that name.
    pub(crate) fn find(methods: &'static [Self], name: &str) -> Option<&'static Self> {
        methods.iter().find(|method| method.name == name)
    }

    /// Returns whether the answer to a call may be kept.
    pub(crate) fn is_cacheable(&self, params: &Params) -> bool {
        match self.cache {
            Cache::Never => false,
            Cache::Always => true,
            Cache::AtHeight => params.integer("height").is_some(),
        }
    }
}
