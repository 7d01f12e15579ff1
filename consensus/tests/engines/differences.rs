//! What differs between the engines, with the reasons. The documentation has them for users.

/// A difference in the answers to some requests.
pub(crate) struct Difference {
    /// The requests. `*` stands for any text.
    pub(crate) request: &'static str,
    /// The paths in the answers. `*` stands for any text.
    pub(crate) path: &'static str,
    /// The reason, for readers.
    _why: &'static str,
}

const fn differs(request: &'static str, path: &'static str, why: &'static str) -> Difference {
    Difference { request, path, _why: why }
}

/// All differences.
pub(crate) const DIFFERENCES: &[Difference] = &[
    differs("*blockchain*", "*/block_size", "times have as many bytes as their digits need"),
    differs("*commit*", "*/signatures/0/timestamp", "the validator votes at the time of the block"),
    differs(
        "EVENTS tm.event='Vote'",
        "*/timestamp",
        "the validator votes at the time of the block",
    ),
    differs("EVENTS tm.event='Vote'", "*/signature", "the time is signed"),
    differs("*consensus_state*", "*/start_time", "there is no round that begins"),
    differs("*dump_consensus_state*", "*/commit_time", "it is the time of the block"),
    differs(
        "*dump_consensus_state*",
        "*/last_commit/votes/0",
        "a hash, a signature and a time are in it",
    ),
    differs("*net_info*", "*/listeners", "there are no peers"),
    differs("*net_info*", "*/listening", "there are no peers"),
    differs("*status*", "*/node_info/channels", "there are no peers"),
    differs("*status*", "*/node_info/listen_addr", "there are no peers"),
    differs("*status*", "*/node_info/id", "each node has its own"),
    differs("*status*", "*/node_info/moniker", "each node has its own"),
    differs("*status*", "*/node_info/other/rpc_address", "each node has its own"),
    differs("*status*", "*/node_info/version", "the engine is another"),
    differs("GET /tx?hash=0*$HASH*", "*/error/data", "the hash of a block is its own"),
    differs("*\"method\":\"tx\"*$*", "*/error/data", "the hash of a block is its own"),
    differs("*abci_query*$HASH*", "*/response/key", "the hash of a block is its own"),
    differs("*{\"id\":[1],*", "*/error/data", "the text about an id that is none is shorter"),
    differs("*{\"id\":{\"a\":1},*", "*/error/data", "the text about an id that is none is shorter"),
    differs("*\\^`<>\"", "/body/error/data", "the text about a broken escape is another library's"),
    differs(
        "*tx_search*app.key='rich' AND*",
        "*/result/*",
        "the events of a transaction count together",
    ),
    differs("POST [*", "/headers/vary", "errors of whole requests are for web pages too"),
    differs("POST [*", "/headers/x-server-time", "errors of whole requests have the time too"),
    differs(
        "POST {\"id\":\"xxx*",
        "/headers/vary",
        "errors of whole requests are for web pages too",
    ),
    differs(
        "POST {\"id\":\"xxx*",
        "/headers/x-server-time",
        "errors of whole requests have the time too",
    ),
    differs(
        "POST *Z2FzPTIwMDAwMDA=*",
        "/body/error",
        "what no block can have is refused, not dropped in silence",
    ),
    differs(
        "POST *Z2FzPTIwMDAwMDA=*",
        "/body/result",
        "what no block can have is refused, not dropped in silence",
    ),
];

impl Difference {
    pub(crate) fn is_about(&self, request: &str, path: &str) -> bool {
        matches(self.request, request) && matches(self.path, path)
    }
}

/// Whether a text is what a pattern says.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut is_open = false;
    for piece in pieces {
        is_open = piece.is_empty();
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    is_open || rest.is_empty()
}
