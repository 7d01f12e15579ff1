//! Queries over the application: both forms, proofs, Cosmos clients, and what is wrong with bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_proto::{ErrorCode, v1 as proto};
use common::{Chain, Client, alice, bob, wasm_id};
use cosmrs::proto::cosmos::{
    auth::v1beta1::{
        BaseAccount, QueryAccountRequest, QueryAccountResponse, QueryAccountsRequest,
        QueryAccountsResponse,
    },
    bank::v1beta1::{
        QueryAllBalancesRequest, QueryAllBalancesResponse, QueryBalanceRequest,
        QueryBalanceResponse, QueryDenomOwnersRequest, QueryDenomOwnersResponse,
        QuerySupplyOfRequest, QuerySupplyOfResponse, QueryTotalSupplyResponse,
    },
    base::{query::v1beta1::PageRequest, v1beta1::Coin},
};
use prost::Message;
use prost_types::FileDescriptorSet;
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::RequestQuery;

const MODULE: &[u8] = b"some module";

/// A chain on which something has happened.
fn chain() -> (Chain, Client, Vec<u8>) {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![
        alice.install(MODULE),
        alice.send("factory", "echo", "[1]", &[]),
        alice.send("factory", "never", "[]", &[]),
    ]);
    chain.ok(tx.clone());
    chain.block(&[]);
    (chain, alice, tx)
}

fn protobuf<M: Message + Default>(chain: &Chain, method: &str, request: &impl Message) -> M {
    let response = chain.query(&format!("/capstan.v1.Query/{method}"), &request.encode_to_vec());
    assert_eq!(response.code, 0, "{method}: {}", response.log);
    M::decode(response.value.as_ref()).unwrap()
}

#[test]
fn both_forms_say_the_same() {
    let (chain, alice, _) = chain();
    let address = alice.address().to_string();
    let request = proto::QueryAccountRequest { address: address.clone() };
    let account: proto::QueryAccountResponse = protobuf(&chain, "Account", &request);
    let json = chain.json(&format!("accounts/{address}"));
    assert_eq!(serde_json::to_value(&account).unwrap(), json);
    assert_eq!((account.sequence, account.remote.as_str()), (1, "r1"));
    assert_eq!(account.pubkey, hex::encode(alice.public_key().to_bytes()));

    let request = proto::QueryVatStatsRequest { vat_id: "v1".into() };
    let stats: proto::QueryVatStatsResponse = protobuf(&chain, "VatStats", &request);
    assert_eq!(serde_json::to_value(&stats).unwrap(), chain.json("vats/v1/stats"));
    let params: proto::QueryParamsResponse =
        protobuf(&chain, "Params", &proto::QueryParamsRequest::default());
    let params: serde_json::Value = serde_json::from_str(&params.params_json).unwrap();
    assert_eq!(params, chain.json("params"));
    assert_eq!(params["snapshot_interval"], 200);
}

#[test]
fn vats_are_listed_in_pages() {
    let (chain, ..) = chain();
    let all = chain.json("vats");
    let ids: Vec<_> =
        all["vats"].as_array().unwrap().iter().map(|vat| vat["vat_id"].clone()).collect();
    assert_eq!(ids, ["v1", "v2"]);
    assert_eq!(all["next"], "");
    let first = chain.json("vats?limit=1");
    assert_eq!((&first["vats"][0]["name"], &first["next"]), (&"provisioner".into(), &"v1".into()));
    let second = chain.json("vats?limit=1&after=v1");
    assert_eq!((&second["vats"][0]["name"], &second["next"]), (&"vatAdmin".into(), &"".into()));
    assert_eq!(second["vats"][0]["critical"], true);
    assert_eq!(chain.json("vats/v2")["bundle_id"], wasm_id(b"admin"));
}

#[test]
fn the_kernels_tables_are_shown() {
    let (chain, alice, tx) = chain();
    let stats = chain.json("kernel/stats");
    assert_eq!(stats["vats"], 2);
    assert!(stats["cranks"].as_u64().unwrap() > 0);
    let address = alice.address();
    let clist = chain.json(&format!("clists/{address}?limit=1"));
    assert_eq!(clist["entries"].as_array().unwrap().len(), 1);
    let next = clist["next"].as_str().unwrap();
    let rest = chain.json(&format!("clists/r1?after={next}"));
    let entries = [&clist["entries"], &rest["entries"]];
    let entries: Vec<_> = entries.iter().flat_map(|e| e.as_array().unwrap()).collect();
    let object = entries.iter().find(|e| e["kref"].as_str().unwrap().starts_with("ko")).unwrap();
    let promise = entries.iter().find(|e| e["kref"].as_str().unwrap().starts_with("kp")).unwrap();
    let shown = chain.json(&format!("objects/{}", object["kref"].as_str().unwrap()));
    assert_eq!(shown["owner"], "v1");
    // The result of `never`: its decider is the vat, and the account waits for it.
    let shown = chain.json(&format!("promises/{}", promise["kref"].as_str().unwrap()));
    assert_eq!((&shown["state"], &shown["decider"]), (&"unresolved".into(), &"v1".into()));
    assert_eq!(shown["subscribers"], serde_json::json!(["r1"]));
    let hash = hex::encode_upper(Sha256::digest(&tx));
    assert_eq!(chain.json(&format!("txs/{hash}/2"))["promise"], promise["eref"]);
    assert_eq!(chain.json("kernel/run-queue")["run_queue"], serde_json::json!([]));
}

#[test]
fn outboxes_come_in_pages() {
    let (chain, alice, _) = chain();
    let path = format!("accounts/{}/outbox", alice.address());
    let all = chain.json(&path);
    let numbers: Vec<_> =
        all["entries"].as_array().unwrap().iter().map(|e| e["number"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
    let first = chain.json(&format!("{path}?limit=1"));
    assert_eq!((&first["entries"][0]["number"], &first["next"]), (&1.into(), &1.into()));
    let second = chain.json(&format!("{path}?limit=1&after=1"));
    assert_eq!((&second["entries"][0]["number"], &second["next"]), (&2.into(), &0.into()));
}

#[test]
fn errors_of_cosmos_queries_are_those_of_the_cosmos_sdk() {
    let (chain, _, _) = chain();
    let nobody = Client::new(9, 0).address().to_string();
    let absent = QueryAccountRequest { address: nobody.clone() }.encode_to_vec();
    for (path, request, code, text) in [
        (
            "/cosmos.auth.v1beta1.Query/Account",
            absent,
            22,
            format!("rpc error: code = NotFound desc = account {nobody} not found: key not found"),
        ),
        (
            "/cosmos.auth.v1beta1.Query/Account",
            vec![0xff],
            18,
            "rpc error: code = InvalidArgument desc = malformed query".to_owned(),
        ),
        (
            "/cosmos.mint.v1beta1.Query/Params",
            Vec::new(),
            6,
            "rpc error: code = Unimplemented desc = unknown query path".to_owned(),
        ),
    ] {
        let answer = chain.query(path, &request);
        assert_eq!((answer.codespace.as_str(), answer.code), ("sdk", code), "{}", answer.log);
        assert!(answer.log.starts_with(&text), "{}", answer.log);
    }
}

#[test]
fn accounts_come_in_pages_of_any_size() {
    let (chain, _, _) = chain();
    let ask = |pagination: PageRequest| {
        let request = QueryAccountsRequest { pagination: Some(pagination) }.encode_to_vec();
        let answer = chain.query("/cosmos.auth.v1beta1.Query/Accounts", &request);
        assert_eq!(answer.code, 0, "{}", answer.log);
        QueryAccountsResponse::decode(answer.value.as_ref()).unwrap()
    };
    let all = ask(PageRequest { limit: u64::MAX, count_total: true, ..Default::default() });
    let page = all.pagination.unwrap();
    assert!(all.accounts.len() > 1 && page.next_key.is_empty());
    assert_eq!(page.total, all.accounts.len() as u64);
    let (mut found, mut key) = (Vec::new(), Vec::new());
    loop {
        let one = ask(PageRequest { limit: 1, key, ..Default::default() });
        assert_eq!(one.accounts.len(), 1);
        found.extend(one.accounts);
        key = one.pagination.unwrap().next_key;
        if key.is_empty() {
            break;
        }
    }
    assert_eq!(found, all.accounts);
    let request =
        QueryAccountsRequest { pagination: Some(PageRequest { offset: 1, ..Default::default() }) };
    let answer = chain.query("/cosmos.auth.v1beta1.Query/Accounts", &request.encode_to_vec());
    assert_eq!(answer.code, 18, "an offset is refused, not passed over");
}

#[test]
fn the_supply_is_the_sum_of_all_balances() {
    let (chain, _, _) = chain();
    let ask = |path: &str, request: Vec<u8>| {
        let answer = chain.query(&format!("/cosmos.bank.v1beta1.Query/{path}"), &request);
        assert_eq!(answer.code, 0, "{}", answer.log);
        answer.value
    };
    let request = QueryDenomOwnersRequest { denom: "ucap".into(), ..Default::default() };
    let owners = ask("DenomOwners", request.encode_to_vec());
    let owners = QueryDenomOwnersResponse::decode(owners.as_ref()).unwrap().denom_owners;
    let amount = |coin: &Coin| coin.amount.parse::<u128>().unwrap();
    let sum: u128 = owners.iter().map(|owner| amount(owner.balance.as_ref().unwrap())).sum();
    let request = QuerySupplyOfRequest { denom: "ucap".into() }.encode_to_vec();
    let supply = QuerySupplyOfResponse::decode(ask("SupplyOf", request).as_ref()).unwrap();
    assert_eq!(amount(&supply.amount.unwrap()), sum);
    let total = QueryTotalSupplyResponse::decode(ask("TotalSupply", Vec::new()).as_ref()).unwrap();
    assert_eq!(amount(&total.supply[0]), sum);
    let request = QuerySupplyOfRequest { denom: "other".into() }.encode_to_vec();
    let other = QuerySupplyOfResponse::decode(ask("SupplyOf", request).as_ref()).unwrap();
    assert_eq!(amount(&other.amount.unwrap()), 0);
}

#[test]
fn cosmos_clients_find_their_accounts() {
    let (chain, alice, _) = chain();
    let address = alice.address().to_string();
    let ask = |path: &str, request: Vec<u8>| {
        let response = chain.query(path, &request);
        assert_eq!(response.code, 0, "{}", response.log);
        response.value
    };
    let request = QueryAccountRequest { address: address.clone() }.encode_to_vec();
    let answer = ask("/cosmos.auth.v1beta1.Query/Account", request);
    let account = QueryAccountResponse::decode(answer.as_ref()).unwrap().account.unwrap();
    assert_eq!(account.type_url, "/cosmos.auth.v1beta1.BaseAccount");
    let account = BaseAccount::decode(account.value.as_slice()).unwrap();
    assert_eq!((account.address.as_str(), account.sequence), (address.as_str(), 1));
    assert_eq!(account.pub_key.unwrap(), alice.public_key().to_any().unwrap());
    let request = QueryBalanceRequest { address: address.clone(), denom: "ucap".into() };
    let answer = ask("/cosmos.bank.v1beta1.Query/Balance", request.encode_to_vec());
    let coin = QueryBalanceResponse::decode(answer.as_ref()).unwrap().balance.unwrap();
    assert_eq!(coin.amount, chain.balance(alice.address()).to_string());
    let request = QueryAllBalancesRequest { address, ..Default::default() };
    let answer = ask("/cosmos.bank.v1beta1.Query/AllBalances", request.encode_to_vec());
    assert_eq!(QueryAllBalancesResponse::decode(answer.as_ref()).unwrap().balances, [coin]);
    // Nobody owns nothing, which is no error.
    let request = QueryAllBalancesRequest {
        address: Client::new(9, 0).address().to_string(),
        ..Default::default()
    };
    let answer = ask("/cosmos.bank.v1beta1.Query/AllBalances", request.encode_to_vec());
    assert!(QueryAllBalancesResponse::decode(answer.as_ref()).unwrap().balances.is_empty());
}

#[test]
fn questions_without_an_answer_say_why() {
    let (chain, ..) = chain();
    for (path, code, part) in [
        ("vats/v99", 103, "no vat v99"),
        ("vats/v99/stats", 103, "no vat v99"),
        ("promises/kp9999", 103, "no promise kp9999"),
        ("objects/ko9999", 103, "no object ko9999"),
        ("meters/m9", 103, "no meter m9"),
        ("vats/nonsense", 102, "not a vat id"),
        ("vats/v07/stats", 102, "not a vat id"),
        ("promises/ko20", 102, "not a kernel promise"),
        ("objects/kp40", 102, "not a kernel object"),
        ("meters/7", 102, "not a meter"),
        ("clists/x1", 102, "has no c-list"),
        ("accounts/cosmos1xyz", 102, "not a Capstan address"),
        ("bundles/b1-00", 102, "not a bundle id"),
        ("txs/00/0", 102, "not a transaction hash"),
        ("/capstan.v1.Query/Nonsense", 101, "unknown query path"),
        ("/capstan.v2.Query/Vat", 101, "unknown query path"),
        ("nonsense", 101, "unknown query path"),
        ("store", 103, "no key"),
    ] {
        let response = chain.query(path, &[]);
        assert_eq!((response.code, response.codespace.as_str()), (code, "capstan"), "{path}");
        assert!(response.log.contains(part), "{path}: {}", response.log);
        assert_eq!(response.height, chain.height);
    }
    // Cosmos clients know the SDK's codes.
    let response = chain.query("/cosmos.gov.v1.Query/Params", &[]);
    assert_eq!((response.code, response.codespace.as_str()), (6, "sdk"), "{}", response.log);
    let path = format!("accounts/{}/outbox", bob().address());
    assert_eq!(chain.query(&path, &[]).code, 0, "a fresh account has an empty outbox");
    for height in [-1, chain.height + 1] {
        let response = chain.app.query(at(height, "params"));
        assert_eq!(response.code, 104, "{}", response.log);
        assert!(response.log.contains(&format!("to {}", chain.height)), "{}", response.log);
    }
    assert_eq!(chain.app.query(at(chain.height, "params")).code, 0);
}

fn at(height: i64, path: &str) -> RequestQuery {
    RequestQuery { path: path.into(), height, ..Default::default() }
}

#[test]
fn past_heights_are_answered_from_their_states() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let path = format!("accounts/{}", alice.address());
    let mut past = Vec::new();
    for _ in 0..110 {
        let pay = alice.tx(vec![alice.pay(bob().address(), 1)]);
        chain.ok(pay);
        past.push((chain.height, chain.query(&path, &[]).value));
    }
    for (height, value) in past {
        let answer = chain.app.query(at(height, &path));
        if height < chain.height - 100 {
            assert_eq!(answer.code, 104, "{height}: {}", answer.log);
            continue;
        }
        assert_eq!((answer.height, answer.value), (height, value), "{}", answer.log);
    }
    let request =
        QueryBalanceRequest { address: bob().address().to_string(), denom: "ucap".into() };
    let data = request.encode_to_vec().into();
    let path = "/cosmos.bank.v1beta1.Query/Balance".to_owned();
    let old = chain.app.query(RequestQuery { path, data, height: chain.height - 7, prove: false });
    let coin = QueryBalanceResponse::decode(old.value).unwrap().balance.unwrap();
    assert_eq!(coin.amount, (chain.balance(bob().address()) - 7).to_string());
}

/// Returns a value for a variable or option of a path, of the form that its handler expects.
fn sample(name: &str, address: &str, tx_hash: &str) -> String {
    match name {
        "address" | "endpoint" => address.to_owned(),
        "upload_id" => "00".repeat(32),
        "tx_hash" => tx_hash.to_owned(),
        "index" | "limit" => "1".to_owned(),
        "bundle_id" => wasm_id(MODULE),
        "vat_id" => "v1".to_owned(),
        "meter_id" => "m1".to_owned(),
        "subcluster_id" => "s1".to_owned(),
        "channel" => "console".to_owned(),
        "peer" => "peer".to_owned(),
        other => panic!("this test has no sample for the field {other}; add one"),
    }
}

#[test]
fn every_method_of_the_descriptors_is_answered_in_both_forms() {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let declared: Vec<_> = services
        .filter(|service| service.name() == "Query")
        .flat_map(|service| service.method.iter().map(|method| method.name().to_owned()))
        .collect();
    let names: Vec<_> = proto::QUERY_METHODS.iter().map(|method| method.name).collect();
    assert_eq!(names, declared);
    let (chain, alice, tx) = chain();
    let (address, hash) = (alice.address().to_string(), hex::encode_upper(Sha256::digest(&tx)));
    // Both forms may say that what the samples name does not exist: that too is an answer.
    let answered = |path: &str| {
        let response = chain.query(path, &[]);
        let code = ErrorCode::from_number(response.code);
        assert_ne!(code, Some(ErrorCode::UnknownPath), "{path}: {}", response.log);
        assert_ne!(code, Some(ErrorCode::Node), "{path}: {}", response.log);
        response
    };
    for method in proto::QUERY_METHODS {
        assert!(method.about.ends_with('.'), "{}: its method needs a comment", method.name);
        answered(method.full_path);
        let fill = |segment: &str| match segment.strip_prefix('{') {
            Some(_) if method.name == "Promise" => "kp40".to_owned(),
            Some(_) if method.name == "Object" => "ko20".to_owned(),
            Some(name) => sample(name.trim_end_matches('}'), &address, &hash),
            None => segment.to_owned(),
        };
        let path: Vec<_> = method.path.split('/').map(fill).collect();
        let response = answered(&path.join("/"));
        let found = response.code == 0 || response.code == ErrorCode::NotFound.number();
        assert!(found, "{}: {}", method.path, response.log);
        // The error about an unknown path lists this one.
        let listed = method.path.replace(['{', '}'], "").to_uppercase();
        let log = chain.query("nonsense", &[]).log.to_uppercase();
        assert!(log.contains(&listed), "{listed}: {log}");
    }
}

#[test]
fn no_two_methods_answer_one_path() {
    for method in proto::QUERY_METHODS {
        let path = method.path.replace(['{', '}'], "");
        let segments: Vec<_> = path.split('/').collect();
        let matching = proto::QUERY_METHODS.iter().filter(|m| m.match_path(&segments).is_some());
        assert_eq!(matching.count(), 1, "{path}");
    }
}
