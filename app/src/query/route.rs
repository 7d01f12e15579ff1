//! From paths and data to questions.

use std::{collections::BTreeMap, str::FromStr};

use capstan_genesis::{Address, BundleId};
use capstan_kernel::ids::{Endpoint, KRef, MeterId};
use capstan_kernel_ports::VatId;
use cosmrs::proto::cosmos::{auth::v1beta1 as auth, bank::v1beta1 as bank};
use prost::Message;
use serde_json::Value;

use super::{QueryError, page::Page};
use crate::{
    proto,
    tx::{TxHash, UploadId},
};

/// In which form the answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Params,
    Account(Address),
    Outbox { address: Address, page: Page },
    Upload(UploadId),
    MessageResult { tx: TxHash, index: u32 },
    Bundle(BundleId),
    Bundles(Page),
    Vats(Page),
    Vat(VatId),
    VatStats(VatId),
    KernelStats,
    RunQueue { limit: u32 },
    Promise(u64),
    Object(u64),
    CList { endpoint: Holder, page: Page },
    Meter(MeterId),
    Mailbox { peer: String, page: Page },
    CosmosAccount(Address),
    CosmosBalance { address: Address, denom: String },
    CosmosAllBalances(Address),
    Raw(Vec<u8>),
}

/// Whose c-list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Endpoint(Endpoint),
    Account(Address),
}

type Parsed = Result<Question, QueryError>;

/// Reads a path and its data.
pub(super) fn parse(path: &str, data: &[u8]) -> Result<(Form, Question), QueryError> {
    if let Some(method) = path.strip_prefix("/capstan.v1.Query/") {
        return Ok((Form::Protobuf, protobuf(path, method, data)?));
    }
    if path.starts_with("/cosmos.") {
        return Ok((Form::Protobuf, cosmos(path, data)?));
    }
    let trimmed = path.trim_start_matches('/');
    if trimmed == "store" {
        return Ok((Form::Json, Question::Raw(data.to_vec())));
    }
    let (words, mut options) = split(trimmed)?;
    options.read_json(data)?;
    let question = plain(path, &words, &mut options)?;
    options.insist_used()?;
    Ok((Form::Json, question))
}

fn protobuf(path: &str, method: &str, data: &[u8]) -> Parsed {
    Ok(match method {
        "Params" => decode::<proto::QueryParamsRequest>(data).map(|_| Question::Params)?,
        "Account" => Question::Account(read(&decode::<proto::QueryAccountRequest>(data)?.address)?),
        "Outbox" => {
            let request: proto::QueryOutboxRequest = decode(data)?;
            let page = Page { after: request.after.to_string(), limit: request.limit };
            Question::Outbox { address: read(&request.address)?, page }
        }
        "Upload" => Question::Upload(read(&decode::<proto::QueryUploadRequest>(data)?.upload_id)?),
        "MessageResult" => {
            let request: proto::QueryMessageResultRequest = decode(data)?;
            Question::MessageResult { tx: read(&request.tx_hash)?, index: request.index }
        }
        "Bundle" => Question::Bundle(read(&decode::<proto::QueryBundleRequest>(data)?.bundle_id)?),
        "Bundles" => {
            let request: proto::QueryBundlesRequest = decode(data)?;
            Question::Bundles(Page { after: request.after, limit: request.limit })
        }
        "Vats" => {
            let request: proto::QueryVatsRequest = decode(data)?;
            Question::Vats(Page { after: request.after, limit: request.limit })
        }
        "Vat" => Question::Vat(read(&decode::<proto::QueryVatRequest>(data)?.vat_id)?),
        "VatStats" => {
            Question::VatStats(read(&decode::<proto::QueryVatStatsRequest>(data)?.vat_id)?)
        }
        "KernelStats" => {
            decode::<proto::QueryKernelStatsRequest>(data).map(|_| Question::KernelStats)?
        }
        "RunQueue" => {
            Question::RunQueue { limit: decode::<proto::QueryRunQueueRequest>(data)?.limit }
        }
        "Promise" => promise(&decode::<proto::QueryPromiseRequest>(data)?.kref)?,
        "Object" => object(&decode::<proto::QueryObjectRequest>(data)?.kref)?,
        "CList" => {
            let request: proto::QueryCListRequest = decode(data)?;
            let page = Page { after: request.after, limit: request.limit };
            Question::CList { endpoint: holder(&request.endpoint)?, page }
        }
        "Mailbox" => {
            let proto::QueryMailboxRequest { peer, after, limit } = decode(data)?;
            Question::Mailbox { peer, page: Page { after: after.to_string(), limit } }
        }
        "Meter" => meter(&decode::<proto::QueryMeterRequest>(data)?.meter_id)?,
        _ => return Err(QueryError::UnknownPath(path.to_owned())),
    })
}

fn cosmos(path: &str, data: &[u8]) -> Parsed {
    Ok(match path {
        "/cosmos.auth.v1beta1.Query/Account" => {
            Question::CosmosAccount(read(&decode::<auth::QueryAccountRequest>(data)?.address)?)
        }
        "/cosmos.bank.v1beta1.Query/Balance" => {
            let request: bank::QueryBalanceRequest = decode(data)?;
            Question::CosmosBalance { address: read(&request.address)?, denom: request.denom }
        }
        "/cosmos.bank.v1beta1.Query/AllBalances" => Question::CosmosAllBalances(read(
            &decode::<bank::QueryAllBalancesRequest>(data)?.address,
        )?),
        _ => return Err(QueryError::UnknownPath(path.to_owned())),
    })
}

fn plain(path: &str, words: &[&str], options: &mut Options) -> Parsed {
    Ok(match words {
        ["params"] => Question::Params,
        ["accounts", address] => Question::Account(read(address)?),
        ["accounts", address, "outbox"] => {
            Question::Outbox { address: read(address)?, page: options.page()? }
        }
        ["uploads", id] => Question::Upload(read(id)?),
        ["txs", hash, index] => Question::MessageResult { tx: read(hash)?, index: number(index)? },
        ["bundles", id] => Question::Bundle(read(id)?),
        ["bundles"] => Question::Bundles(options.page()?),
        ["vats"] => Question::Vats(options.page()?),
        ["vats", vat] => Question::Vat(read(vat)?),
        ["vats", vat, "stats"] => Question::VatStats(read(vat)?),
        ["kernel", "stats"] => Question::KernelStats,
        ["kernel", "run-queue"] => Question::RunQueue { limit: options.page()?.limit },
        ["promises", kref] => promise(kref)?,
        ["objects", kref] => object(kref)?,
        ["clists", endpoint] => {
            Question::CList { endpoint: holder(endpoint)?, page: options.page()? }
        }
        ["meters", id] => meter(id)?,
        ["mailbox", peer] => Question::Mailbox { peer: (*peer).to_owned(), page: options.page()? },
        _ => return Err(QueryError::UnknownPath(path.to_owned())),
    })
}

fn promise(text: &str) -> Parsed {
    match KRef::parse(text) {
        Some(KRef::Promise(number)) => Ok(Question::Promise(number)),
        _ => Err(malformed(format!(
            "{text:?} is not a kernel promise: expected kp and a number, as in kp40"
        ))),
    }
}

fn object(text: &str) -> Parsed {
    match KRef::parse(text) {
        Some(KRef::Object(number)) => Ok(Question::Object(number)),
        _ => Err(malformed(format!(
            "{text:?} is not a kernel object: expected ko and a number, as in ko20"
        ))),
    }
}

fn meter(text: &str) -> Parsed {
    let refuse =
        || malformed(format!("{text:?} is not a meter: expected m and a number, as in m1"));
    MeterId::parse(text).map(Question::Meter).ok_or_else(refuse)
}

fn holder(text: &str) -> Result<Holder, QueryError> {
    if let Some(endpoint) = Endpoint::parse(text) {
        return Ok(Holder::Endpoint(endpoint));
    }
    let expected = "expected a vat (v7), device (d7), remote (r1) or an account's address";
    let refuse = |_| malformed(format!("{text:?} has no c-list: {expected}"));
    text.parse().map(Holder::Account).map_err(refuse)
}

fn decode<M: Message + Default>(data: &[u8]) -> Result<M, QueryError> {
    M::decode(data)
        .map_err(|e| malformed(format!("the request is not protobuf of the right type: {e}")))
}

fn read<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, QueryError> {
    text.parse().map_err(|e| malformed(format!("{e}")))
}

fn number(text: &str) -> Result<u32, QueryError> {
    text.parse().map_err(|_| malformed(format!("{text:?} is not a number from 0 to {}", u32::MAX)))
}

fn malformed(problem: String) -> QueryError {
    QueryError::Malformed(problem)
}

/// `words/of/the/path?with=options`.
fn split(path: &str) -> Result<(Vec<&str>, Options), QueryError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut options = Options::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            malformed(format!("option {pair:?} has no value: expected name=value"))
        })?;
        options.add(name, value.to_owned())?;
    }
    Ok((path.trim_end_matches('/').split('/').collect(), options))
}

/// Options by name, from the path or from JSON in the data.
#[derive(Default)]
struct Options(BTreeMap<String, String>);

impl Options {
    fn add(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        match self.0.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(malformed(format!("option {name:?} is given twice"))),
        }
    }

    fn read_json(&mut self, data: &[u8]) -> Result<(), QueryError> {
        if data.is_empty() {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data)
            .map_err(|e| malformed(format!("the data is not JSON: {e}")))?;
        let Value::Object(fields) = value else {
            return Err(malformed("the data must be a JSON object of options".to_owned()));
        };
        for (name, value) in fields {
            match value {
                Value::String(text) => self.add(&name, text)?,
                Value::Number(number) => self.add(&name, number.to_string())?,
                _ => {
                    return Err(malformed(format!("option {name:?} must be a string or a number")));
                }
            }
        }
        Ok(())
    }

    fn page(&mut self) -> Result<Page, QueryError> {
        let after = self.0.remove("after").unwrap_or_default();
        let limit = self.0.remove("limit").map_or(Ok(0), |text| number(&text))?;
        Ok(Page { after, limit })
    }

    fn insist_used(&self) -> Result<(), QueryError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(malformed(format!("this query has no option {name:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_ask_the_same() {
        let request = proto::QueryVatStatsRequest { vat_id: "v7".into() }.encode_to_vec();
        let by_protobuf = parse("/capstan.v1.Query/VatStats", &request).unwrap();
        let by_path = parse("vats/v7/stats", &[]).unwrap();
        assert_eq!(by_protobuf.1, by_path.1);
        assert_eq!((by_protobuf.0, by_path.0), (Form::Protobuf, Form::Json));
        assert_eq!(parse("/vats/v7/stats/", &[]).unwrap().1, by_path.1);
    }

    #[test]
    fn options_come_from_the_path_or_from_json() {
        let expected = Question::Vats(Page { after: "v3".into(), limit: 7 });
        assert_eq!(parse("vats?after=v3&limit=7", &[]).unwrap().1, expected);
        assert_eq!(parse("vats", br#"{"after":"v3","limit":7}"#).unwrap().1, expected);
        let bundles = parse("bundles?after=b1-00&limit=1", &[]).unwrap().1;
        assert_eq!(bundles, Question::Bundles(Page { after: "b1-00".into(), limit: 1 }));
    }

    #[test]
    fn malformed_questions_say_what_is_wrong() {
        for (path, data, part) in [
            ("nonsense", "", "unknown query path"),
            ("", "", "unknown query path"),
            ("/capstan.v1.Query/Nonsense", "", "unknown query path"),
            ("/cosmos.gov.v1.Query/Params", "", "unknown query path"),
            ("vats/7", "", "not a vat id"),
            ("vats/v07/stats", "", "not a vat id"),
            ("promises/ko20", "", "not a kernel promise"),
            ("objects/kp40", "", "not a kernel object"),
            ("meters/7", "", "not a meter"),
            ("clists/x1", "", "has no c-list"),
            ("accounts/cosmos1xyz", "", "not a Capstan address"),
            ("bundles/b1-00", "", "not a bundle id"),
            ("txs/00/0", "", "not a transaction hash"),
            (
                "txs/0000000000000000000000000000000000000000000000000000000000000000/x",
                "",
                "not a number",
            ),
            ("vats?limit", "", "has no value"),
            ("vats?limit=x", "", "not a number"),
            ("vats?limit=1&limit=2", "", "given twice"),
            ("vats?colour=red", "", "no option \"colour\""),
            ("vats", "{", "not JSON"),
            ("vats", "[1]", "JSON object"),
            ("vats", "{\"limit\":[1]}", "string or a number"),
            ("/capstan.v1.Query/VatStats", "\u{ff}", "not protobuf"),
        ] {
            let error = parse(path, data.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{path} {data}: {error}");
        }
    }
}
