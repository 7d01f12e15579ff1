//! Every method with good and bad values of each argument, in all forms.

use serde_json::Value;

use crate::send::Request;

/// The types of arguments, by how they are written.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Text,
    Query,
    Order,
    Bytes,
    Hex,
    Flag,
    Tx,
    Evidence,
}

/// The methods with their arguments.
const METHODS: &[(&str, &[(&str, Kind)])] = &[
    ("abci_info", &[]),
    (
        "abci_query",
        &[
            ("path", Kind::Text),
            ("data", Kind::Hex),
            ("height", Kind::Integer),
            ("prove", Kind::Flag),
        ],
    ),
    ("block", &[("height", Kind::Integer)]),
    ("block_by_hash", &[("hash", Kind::Bytes)]),
    ("block_results", &[("height", Kind::Integer)]),
    (
        "block_search",
        &[
            ("query", Kind::Query),
            ("page", Kind::Integer),
            ("per_page", Kind::Integer),
            ("order_by", Kind::Order),
        ],
    ),
    ("blockchain", &[("minHeight", Kind::Integer), ("maxHeight", Kind::Integer)]),
    ("broadcast_evidence", &[("evidence", Kind::Evidence)]),
    ("broadcast_tx_async", &[("tx", Kind::Tx)]),
    ("broadcast_tx_commit", &[("tx", Kind::Tx)]),
    ("broadcast_tx_sync", &[("tx", Kind::Tx)]),
    ("check_tx", &[("tx", Kind::Tx)]),
    ("commit", &[("height", Kind::Integer)]),
    ("consensus_params", &[("height", Kind::Integer)]),
    ("consensus_state", &[]),
    ("dump_consensus_state", &[]),
    ("genesis", &[]),
    ("genesis_chunked", &[("chunk", Kind::Integer)]),
    ("header", &[("height", Kind::Integer)]),
    ("header_by_hash", &[("hash", Kind::Hex)]),
    ("health", &[]),
    ("net_info", &[]),
    ("num_unconfirmed_txs", &[]),
    ("status", &[]),
    ("subscribe", &[("query", Kind::Query)]),
    ("tx", &[("hash", Kind::Bytes), ("prove", Kind::Flag)]),
    (
        "tx_search",
        &[
            ("query", Kind::Query),
            ("prove", Kind::Flag),
            ("page", Kind::Integer),
            ("per_page", Kind::Integer),
            ("order_by", Kind::Order),
        ],
    ),
    ("unconfirmed_txs", &[("limit", Kind::Integer)]),
    ("unsubscribe", &[("query", Kind::Query)]),
    ("unsubscribe_all", &[]),
    (
        "validators",
        &[("height", Kind::Integer), ("page", Kind::Integer), ("per_page", Kind::Integer)],
    ),
];

/// All calls.
pub(crate) fn all() -> Vec<Request> {
    METHODS.iter().flat_map(|(method, arguments)| calls(method, arguments)).collect()
}

fn calls(method: &str, arguments: &[(&str, Kind)]) -> Vec<Request> {
    let mut requests = vec![Request::get(&format!("/{method}"))];
    let mut json = |params: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
        requests.extend([Request::post(&body), Request::socket(&body)]);
    };
    if arguments.is_empty() {
        ["", r#","params":{}"#, r#","params":[]"#, r#","params":[1]"#, r#","params":{"x":1}"#]
            .iter()
            .for_each(|params| json(params));
        return requests;
    }
    // Without `params`, or with `null`, a transaction would be empty.
    let is_tx = arguments.iter().any(|(_, kind)| matches!(kind, Kind::Tx));
    for params in ["", r#","params":"x""#, r#","params":5"#, r#","params":[]"#] {
        json(params);
    }
    if !is_tx {
        [r#","params":{}"#, r#","params":null"#, r#","params":{"x":1}"#]
            .iter()
            .for_each(|params| json(params));
    }
    for (at, (name, kind)) in arguments.iter().enumerate() {
        for value in kind.json() {
            json(&format!(r#","params":{}"#, with(arguments, at, name, value)));
        }
    }
    let list: Vec<&str> = arguments.iter().map(|(_, kind)| kind.good()).collect();
    json(&format!(r#","params":[{}]"#, list.join(",")));
    json(&format!(r#","params":[{},1]"#, list.join(",")));
    for (at, (name, kind)) in arguments.iter().enumerate() {
        for value in kind.uri() {
            let others =
                needed(arguments, at).map(|(name, kind)| format!("{name}={}&", kind.good_uri()));
            let target = format!("/{method}?{}{name}={value}", others.collect::<String>());
            requests.push(Request::get(&target));
        }
    }
    if is_tx {
        requests.remove(0);
    }
    requests
}

/// An object with one argument of a given value, and those that the others need.
fn with(arguments: &[(&str, Kind)], at: usize, name: &str, value: &str) -> String {
    let others = needed(arguments, at).map(|(name, kind)| format!(r#""{name}":{},"#, kind.good()));
    format!(r#"{{{}"{name}":{value}}}"#, others.collect::<String>())
}

/// The other arguments without which a call has no meaning.
fn needed<'a>(
    arguments: &'a [(&'a str, Kind)],
    at: usize,
) -> impl Iterator<Item = (&'a str, Kind)> {
    let others = arguments.iter().enumerate().filter(move |(index, _)| *index != at);
    others
        .map(|(_, argument)| *argument)
        .filter(|(_, kind)| matches!(kind, Kind::Query | Kind::Bytes | Kind::Text))
}

impl Kind {
    /// A good value in JSON.
    fn good(self) -> &'static str {
        match self {
            Self::Integer => r#""1""#,
            Self::Text => r#""/key""#,
            Self::Query => r#""tm.event='Tx' AND app.key='a'""#,
            Self::Order => r#""asc""#,
            Self::Bytes => r#""yo8XgWFTzL8+L3hxFTGlQq1ckN8Ew4s5EDCHgMYVhs8=""#,
            Self::Hex => r#""61""#,
            Self::Flag => "true",
            Self::Tx => r#""YmFkPTM=""#,
            Self::Evidence => "null",
        }
    }

    /// The same in a URI.
    fn good_uri(self) -> String {
        match self {
            Self::Bytes => "0x$HASH".to_owned(),
            Self::Hex => "0x61".to_owned(),
            _ => serde_json::from_str::<Value>(self.good()).map_or_else(
                |_| String::new(),
                |_| self.good().replace('=', "%3D").replace('\'', "%27").replace(' ', "%20"),
            ),
        }
    }

    fn json(self) -> &'static [&'static str] {
        match self {
            Self::Integer => &[
                r#""3""#,
                "3",
                r#""0""#,
                r#""-1""#,
                r#""2000""#,
                r#""x""#,
                r#""""#,
                "null",
                "true",
                "3.5",
                r#""3.5""#,
                "[]",
                "{}",
                r#""99999999999999999999""#,
                r#"" 3 ""#,
                r#""007""#,
                r#""+3""#,
                r#""1e1""#,
                r#""null""#,
                r#""true""#,
                r#""101""#,
                r#""-0""#,
            ],
            Self::Text => &[
                r#""/key""#,
                r#""/none""#,
                r#""""#,
                "5",
                "true",
                "null",
                "[]",
                "{}",
                r#""\u00e9<&>""#,
            ],
            Self::Query => QUERIES,
            Self::Order => &[r#""asc""#, r#""desc""#, r#""""#, r#""up""#, "5", "null"],
            Self::Bytes => &[
                r#""$B64""#,
                r#""$HASH""#,
                r#""AAAA""#,
                r#""""#,
                r#""!""#,
                r#""A""#,
                r#""AA=""#,
                r#""AA\nAA""#,
                r#""AB==""#,
                r#""0xAA""#,
                "5",
                "true",
                "null",
                "[]",
                "[1,2]",
                "[300]",
                "[-1]",
                r#"["x"]"#,
                "{}",
                r#""yo8XgWFTzL8+L3hxFTGlQq1ckN8Ew4s5EDCHgMYVhs8=""#,
            ],
            Self::Hex => &[
                r#""$HASH""#,
                r#""61""#,
                r#""""#,
                r#""6""#,
                r#""zz""#,
                r#""0x61""#,
                r#""6A""#,
                "5",
                "true",
                "null",
                "[]",
                "{}",
            ],
            Self::Flag => &["true", "false", "null", r#""true""#, "1", "[]"],
            Self::Tx => &[
                r#""YmFkPTQ=""#,
                r#""!""#,
                "5",
                "true",
                r#""YmFk\nPTE=""#,
                r#"["x"]"#,
                "{}",
                "[98,97,100]",
            ],
            Self::Evidence => &[
                "null",
                "{}",
                "5",
                r#""x""#,
                "[]",
                r#"{"type":"x","value":{}}"#,
                r#"{"type":"","value":{}}"#,
                r#"{"type":"tendermint/DuplicateVoteEvidence"}"#,
                r#"{"type":"tendermint/DuplicateVoteEvidence","value":{}}"#,
                r#"{"type":"tendermint/DuplicateVoteEvidence","value":null}"#,
                r#"{"type":"tendermint/LightClientAttackEvidence","value":{}}"#,
                r#"{"type":"tendermint/PubKeyEd25519","value":"AAAA"}"#,
            ],
        }
    }

    fn uri(self) -> &'static [&'static str] {
        match self {
            Self::Integer => &[
                "3",
                "%223%22",
                "\"3\"",
                "0",
                "-1",
                "2000",
                "x",
                "3.5",
                "0x3",
                "99999999999999999999",
                "007",
                "null",
                "%22x%22",
                "true",
                "",
                "+3",
                "101",
                "%223",
                "[]",
            ],
            Self::Text => &[
                "%22/key%22",
                "\"/key\"",
                "/key",
                "0x2f6b6579",
                "5",
                "null",
                "%22",
                "%22%ff%22",
                "",
            ],
            Self::Query => &[
                "%22tx.height%3D3%22",
                "\"tx.height=3\"",
                "\"tx.height>3\"",
                "\"tx.height<3\"",
                "tx.height=3",
                "5",
                "%22app.key%20EXISTS%22",
                "%22app.key+EXISTS%22",
                "%22a;b%22",
                "%zz",
                "null",
                "",
            ],
            Self::Order => &["%22asc%22", "%22desc%22", "%22up%22", "asc", ""],
            Self::Bytes => &[
                "0x$HASH",
                "0X$HASH",
                "0x",
                "0x0",
                "0xzz",
                "%22%22",
                "5",
                "true",
                "null",
                "[1,2]",
                "0xca8f17816153ccbf3e2f78711531a542ad5c90df04c38b3910308780c61586cf",
                "",
            ],
            Self::Hex => &["0x$HASH", "%22a%22", "0x61", "61", "a", "0xzz", "null", "%2261%22", ""],
            Self::Flag => &["true", "false", "%22true%22", "1", "yes", "null", "0x1", ""],
            Self::Tx => &["%22bad=1%22", "0x6261643d32", "bad", "5", "0xzz", "%22bad"],
            Self::Evidence => &["null", "5", "x", "{}", "%22x%22", "0x00", ""],
        }
    }
}

/// Queries, some of which are none.
const QUERIES: &[&str] = &[
    r#""tx.height=3""#,
    r#""tx.height = 3""#,
    r#""tx.height > 3""#,
    r#""tx.height>=3 AND tx.height<6""#,
    r#""tx.height<=4""#,
    r#""tx.height < 0""#,
    r#""tx.height EXISTS""#,
    r#""tx.height = '3'""#,
    r#""tm.event='Tx'""#,
    r#""tm.event='NewBlock'""#,
    r#""tm.event EXISTS""#,
    r#""app.key='a'""#,
    r#""app.key = 'none'""#,
    r#""app.key EXISTS""#,
    r#""app.key CONTAINS 'on'""#,
    r#""app.hidden='no'""#,
    r#""app.value=1""#,
    r#""app.value>1""#,
    r#""app.value>=2 AND app.value<3""#,
    r#""app.value='1'""#,
    r#""app.value = 3""#,
    r#""app.value > 2 AND app.key='long'""#,
    r#""app.key='a' AND app.key='b'""#,
    r#""app.key='rich' AND rich.number=12""#,
    r#""app.key='a' AND tx.height=3""#,
    r#""app.key='a' AND tx.height>100""#,
    r#""rich.number=12""#,
    r#""rich.number>11.5""#,
    r#""rich.number = 12.0""#,
    r#""rich.decimal = 1.5""#,
    r#""rich.decimal > 1""#,
    r#""rich.decimal<1.6""#,
    r#""rich.negative < 0""#,
    r#""rich.negative = -5""#,
    r#""rich.empty = ''""#,
    r#""rich.empty EXISTS""#,
    r#""rich.date > DATE 2025-01-01""#,
    r#""rich.date = DATE 2025-05-01""#,
    r#""rich.time > TIME 2025-05-01T00:00:00Z""#,
    r#""rich.time = TIME 2025-05-01T10:00:00Z""#,
    r#""rich.time < TIME 2020-01-01T00:00:00Z""#,
    r#""rich.number CONTAINS '2'""#,
    r#""rich.huge > 1""#,
    r#""rich.twice='x' AND rich.twice='y'""#,
    r#""block.height=3""#,
    r#""block.height>3""#,
    r#""block.height>=3 AND block.height<=5""#,
    r#""block.height < 4""#,
    r#""block.height EXISTS""#,
    r#""block.height = '3'""#,
    r#""block.height>3 AND queue.left=0""#,
    r#""block.height=3 AND queue.left=1""#,
    r#""queue.left=0""#,
    r#""queue.left>0""#,
    r#""queue.left='1'""#,
    r#""queue.left EXISTS""#,
    r#""queue.left CONTAINS '1'""#,
    r#""queue.none EXISTS""#,
    r#""queue.hidden EXISTS""#,
    r#""block.height > 99""#,
    r#""block.height=0""#,
    r#""tx.hash='CA8F17816153CCBF3E2F78711531A542AD5C90DF04C38B3910308780C61586CF'""#,
    r#""tx.hash='2E99758548972A8E8822AD47FA1017FF72F06F3FF6A016851F45C398732BC50C'""#,
    r#""tx.hash='zz'""#,
    r#""tx.hash='00'""#,
    r#""tx.hash EXISTS""#,
    r#""""#,
    r#""nonsense""#,
    r#""a=""#,
    r#""a='b""#,
    r#""a=b""#,
    r#""=1""#,
    r#""a=1 OR b=2""#,
    r#""a=1 AND""#,
    r#""a==1""#,
    r#""a <> 1""#,
    r#""a < 'x'""#,
    r#""a CONTAINS 5""#,
    r#""a = TIME now""#,
    r#""a = DATE 2025-13-01""#,
    r#""a exists""#,
    r#""a=1 and b=2""#,
    r#""a = 'é'""#,
    r#""é=1""#,
    r#""a/b=1""#,
    r#""a.b-c=1""#,
    r#""a=1.""#,
    r#""a=.5""#,
    r#""a=-1""#,
    r#""a=1e5""#,
    r#""NOT a=1""#,
    r#""a = true""#,
    "5",
    "null",
    "true",
    "[]",
];
