//! Cosmos clients over gRPC and REST, against the real program under both kinds of consensus.
#![allow(clippy::unwrap_used)] // tests

mod common;

use capstan_client::{Amount, Client, ClientError, Deadline, Key, TxBuilder, Wallet};
use common::gateway::{Grpc, rest, rest_post, rest_status};
use common::{Dev, PATIENCE, Place};
use cosmrs::proto::cosmos::auth::v1beta1::{
    BaseAccount, QueryAccountInfoRequest, QueryAccountInfoResponse, QueryAccountRequest,
    QueryAccountResponse,
};
use cosmrs::proto::cosmos::bank::v1beta1::{MsgSend, QueryBalanceRequest, QueryBalanceResponse};
use cosmrs::proto::cosmos::base::tendermint::v1beta1::{
    GetBlockByHeightRequest, GetBlockByHeightResponse, GetLatestValidatorSetRequest,
    GetLatestValidatorSetResponse, GetNodeInfoRequest, GetNodeInfoResponse,
};
use cosmrs::proto::cosmos::base::v1beta1::Coin;
use cosmrs::proto::cosmos::tx::v1beta1::{
    BroadcastMode, BroadcastTxRequest, BroadcastTxResponse, GetTxRequest, GetTxResponse,
    GetTxsEventRequest, GetTxsEventResponse, SimulateRequest, SimulateResponse, Tx, TxRaw,
};
use prost::Message as _;
use serde_json::json;
use tonic::Code;

const AUTH: &str = "/cosmos.auth.v1beta1.Query/";
const BANK: &str = "/cosmos.bank.v1beta1.Query/";
const NODE: &str = "/cosmos.base.tendermint.v1beta1.Service/";
const TXS: &str = "/cosmos.tx.v1beta1.Service/";

#[test]
fn cosmos_clients_are_served_under_solo_consensus() {
    let place = Place::new();
    let dev = place.dev();
    served(&dev);
    assert!(allows_pages(&dev), "a chain for development");
    assert!(dev.stop("TERM").success());
}

#[test]
fn cosmos_clients_are_served_under_cometbft() {
    let place = Place::new();
    let init = ["init", "--validator", "--chain-id", "comet-1"];
    assert_eq!(place.run(&init).code, 0);
    let node = place.comet_at(&place.home());
    served(&node);
    assert!(!allows_pages(&node), "only if its operator says so");
    assert!(node.stop("TERM").success());
}

/// Whether a web page may call REST.
fn allows_pages(node: &Dev) -> bool {
    let url = format!("{}/openapi.json", node.ready["rest"].as_str().unwrap());
    let answer = ureq::get(url).header("origin", "https://wallet.example").call().unwrap();
    answer.headers().contains_key("access-control-allow-origin")
}

/// What a wallet and an explorer ask for.
fn served(node: &Dev) {
    let grpc = Grpc::connect(node);
    accounts(node, &grpc);
    let hash = transaction(node, &grpc);
    found(node, &grpc, &hash);
    blocks(node, &grpc);
    simulated(node, &grpc);
    refusals(node, &grpc);
    for service in ["capstan.v1.Query", "capstan.v1.Msg", "cosmos.tx.v1beta1.Service"] {
        assert!(grpc.services().iter().any(|known| known == service), "{service}");
    }
}

fn accounts(node: &Dev, grpc: &Grpc) {
    let address = Key::dev(0).address().to_string();
    let request = QueryAccountRequest { address: address.clone() };
    let answer: QueryAccountResponse = grpc.call(&format!("{AUTH}Account"), request).unwrap();
    let account = BaseAccount::decode(answer.account.unwrap().value.as_slice()).unwrap();
    assert_eq!(account.address, address);
    let request = QueryAccountInfoRequest { address: address.clone() };
    let info: QueryAccountInfoResponse = grpc.call(&format!("{AUTH}AccountInfo"), request).unwrap();
    assert_eq!(info.info.unwrap(), account);
    let shown = rest(node, &format!("/cosmos/auth/v1beta1/accounts/{address}"));
    assert_eq!(shown["account"]["@type"], "/cosmos.auth.v1beta1.BaseAccount");
    assert_eq!(shown["account"]["sequence"], account.sequence.to_string());

    let request = QueryBalanceRequest { address: address.clone(), denom: "ucap".into() };
    let answer: QueryBalanceResponse = grpc.call(&format!("{BANK}Balance"), request).unwrap();
    let balances = rest(node, &format!("/cosmos/bank/v1beta1/balances/{address}"));
    assert_eq!(balances["balances"][0]["amount"], answer.balance.unwrap().amount);
    let page =
        rest(node, "/cosmos/auth/v1beta1/accounts?pagination.limit=1&pagination.count_total=true");
    assert_eq!(page["accounts"].as_array().unwrap().len(), 1);
    let key = page["pagination"]["next_key"].as_str().unwrap().replace('+', "%2B");
    let next = rest(
        node,
        &format!("/cosmos/auth/v1beta1/accounts?pagination.limit=1&pagination.key={key}"),
    );
    assert_ne!(next["accounts"][0]["address"], page["accounts"][0]["address"]);
}

/// Signs a transaction and broadcasts it over gRPC. Returns its hash once it is in a block.
fn transaction(node: &Dev, grpc: &Grpc) -> String {
    let client = Client::new(node.url()).unwrap();
    let wallet = Wallet::new(&client, Key::dev(0));
    let to = Key::dev(1).address();
    let amount = vec![Coin { denom: "ucap".into(), amount: "7".into() }];
    let send =
        MsgSend { from_address: wallet.address().to_string(), to_address: to.to_string(), amount };
    let tx = TxBuilder::new().message(&send).fee(Amount(1_000_000));
    let signed = wallet.sign(&tx, &client.signer_data(&wallet.address()).unwrap()).unwrap();
    let (tx_bytes, mode) = (signed.bytes().to_vec(), BroadcastMode::Sync as i32);
    let request = BroadcastTxRequest { tx_bytes, mode };
    let answer: BroadcastTxResponse = grpc.call(&format!("{TXS}BroadcastTx"), request).unwrap();
    let sent = answer.tx_response.unwrap();
    assert_eq!((sent.code, sent.raw_log.as_str()), (0, ""));
    let found = || {
        let request = GetTxRequest { hash: sent.txhash.clone() };
        Ok::<_, ClientError>(grpc.call::<_, GetTxResponse>(&format!("{TXS}GetTx"), request).ok())
    };
    Deadline::after(PATIENCE).poll("the transaction's block", found).unwrap();
    sent.txhash
}

fn found(node: &Dev, grpc: &Grpc, hash: &str) {
    let request = GetTxRequest { hash: hash.to_owned() };
    let answer: GetTxResponse = grpc.call(&format!("{TXS}GetTx"), request).unwrap();
    let response = answer.tx_response.unwrap();
    assert_eq!((response.code, response.txhash.as_str()), (0, hash));
    assert!(response.height > 0 && !response.events.is_empty());
    let held = Tx::decode(response.tx.unwrap().value.as_slice()).unwrap();
    assert_eq!(held, answer.tx.unwrap());
    let shown = rest(node, &format!("/cosmos/tx/v1beta1/txs/{hash}"));
    let message = &shown["tx"]["body"]["messages"][0];
    assert_eq!(message["@type"], "/cosmos.bank.v1beta1.MsgSend");
    assert_eq!(message["amount"][0]["amount"], "7");
    assert_eq!(shown["tx_response"]["timestamp"], response.timestamp);

    let query = format!("tx.height={}", response.height);
    let request = GetTxsEventRequest { query: query.clone(), ..Default::default() };
    let list: GetTxsEventResponse = grpc.call(&format!("{TXS}GetTxsEvent"), request).unwrap();
    assert_eq!((list.total, list.tx_responses[0].txhash.as_str()), (1, hash));
    let shown = rest(node, &format!("/cosmos/tx/v1beta1/txs?query={query}&page=1&limit=5"));
    assert_eq!(shown["tx_responses"][0]["txhash"], hash);
    let block = rest(node, &format!("/cosmos/tx/v1beta1/txs/block/{}", response.height));
    assert_eq!(block["txs"][0]["body"]["messages"][0]["@type"], "/cosmos.bank.v1beta1.MsgSend");
}

fn blocks(node: &Dev, grpc: &Grpc) {
    let info: GetNodeInfoResponse =
        grpc.call(&format!("{NODE}GetNodeInfo"), GetNodeInfoRequest {}).unwrap();
    let chain_id = info.default_node_info.unwrap().network;
    assert_eq!(chain_id, node.ready["chain_id"].as_str().unwrap());
    let request = GetBlockByHeightRequest { height: 1 };
    let block: GetBlockByHeightResponse =
        grpc.call(&format!("{NODE}GetBlockByHeight"), request).unwrap();
    let header = block.sdk_block.unwrap().header.unwrap();
    assert_eq!((header.chain_id, header.height), (chain_id.clone(), 1));
    assert!(header.proposer_address.starts_with("capstanvalcons1"), "{}", header.proposer_address);
    let latest = rest(node, "/cosmos/base/tendermint/v1beta1/blocks/latest");
    assert_eq!(latest["block"]["header"]["chain_id"], chain_id);
    let validators: GetLatestValidatorSetResponse = grpc
        .call(&format!("{NODE}GetLatestValidatorSet"), GetLatestValidatorSetRequest::default())
        .unwrap();
    assert_eq!(validators.validators.len(), 1);
    assert!(validators.validators[0].voting_power > 0);
    assert_eq!(rest(node, "/cosmos/base/tendermint/v1beta1/syncing")["syncing"], false);
    let status = rest(node, "/cosmos/base/node/v1beta1/status");
    assert!(status["height"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    let document = rest(node, "/openapi.json");
    assert!(document["paths"]["/cosmos/bank/v1beta1/balances/{address}"]["get"].is_object());
}

/// A client that takes the gas of a simulation at the lowest price pays enough.
fn simulated(node: &Dev, grpc: &Grpc) {
    let client = Client::new(node.url()).unwrap();
    let wallet = Wallet::new(&client, Key::dev(2));
    let send = MsgSend {
        from_address: wallet.address().to_string(),
        to_address: Key::dev(1).address().to_string(),
        amount: vec![Coin { denom: "ucap".into(), amount: "7".into() }],
    };
    let signer = client.signer_data(&wallet.address()).unwrap();
    let free = TxBuilder::new().message(&send).fee(Amount(0));
    let unsigned = wallet.sign(&free, &signer).unwrap();
    let mut raw = TxRaw::decode(unsigned.bytes()).unwrap();
    raw.signatures = vec![Vec::new()];
    let request = SimulateRequest { tx_bytes: raw.encode_to_vec(), ..Default::default() };
    let answer: SimulateResponse = grpc.call(&format!("{TXS}Simulate"), request).unwrap();
    let gas = answer.gas_info.unwrap().gas_used;
    let config = rest(node, "/cosmos/base/node/v1beta1/config");
    assert_eq!(config["minimum_gas_price"], "1ucap");
    let paid = TxBuilder::new().message(&send).fee(Amount(gas.into())).gas_limit(gas);
    let outcome = wallet.submit(paid, 0).unwrap();
    let shown = rest(node, &format!("/cosmos/tx/v1beta1/txs/{}", outcome.hash));
    let used: u64 = shown["tx_response"]["gas_used"].as_str().unwrap().parse().unwrap();
    assert!(used > 0 && used <= gas && gas < used + 200, "{used} of {gas}");
    // The account has moved on.
    let request = SimulateRequest { tx_bytes: raw.encode_to_vec(), ..Default::default() };
    let refused = grpc.call::<_, SimulateResponse>(&format!("{TXS}Simulate"), request).unwrap_err();
    assert!(refused.message().contains("account sequence mismatch"), "{refused}");
}

/// What is not there has the codes that clients know.
fn refusals(node: &Dev, grpc: &Grpc) {
    let nobody = Key::dev(99).address().to_string();
    let request = QueryAccountRequest { address: nobody.clone() };
    let path = format!("{AUTH}Account");
    let refused = grpc.call::<_, QueryAccountResponse>(&path, request).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), format!("account {nobody} not found"));
    let (status, body) = rest_status(node, &format!("/cosmos/auth/v1beta1/accounts/{nobody}"));
    let message = format!("account {nobody} not found");
    assert_eq!((status, body), (404, json!({"code": 5, "message": message, "details": []})));
    for (path, status, code) in [
        ("/cosmos/auth/v1beta1/accounts/nonsense", 400, 3),
        ("/cosmos/staking/v1beta1/params", 501, 12),
        ("/no/such/path", 501, 12),
        ("/cosmos/tx/v1beta1/txs/00", 400, 3),
        ("/cosmos/tx/v1beta1/txs", 400, 3),
        ("/cosmos/base/tendermint/v1beta1/blocks/99999999", 400, 3),
        ("/cosmos/base/tendermint/v1beta1/blocks/x", 400, 3),
        ("/capstan/v1/vats/v9999", 404, 5),
    ] {
        let (given, body) = rest_status(node, path);
        assert_eq!((given, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    let absent = format!("/cosmos/tx/v1beta1/txs/{}", "0".repeat(64));
    assert_eq!(rest_status(node, &absent).0, 404);
    let bad = json!({"tx_bytes": "AAAA", "mode": "BROADCAST_MODE_SYNC"});
    let (_, answer) = rest_post(node, "/cosmos/tx/v1beta1/txs", &bad.to_string());
    assert_ne!(answer["tx_response"]["code"], 0, "{answer}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(rest_post(node, "/cosmos/tx/v1beta1/simulate", &deep).0, 400);
    for path in ["/capstan.v1.Msg/Send", "/cosmos.mint.v1beta1.Query/Params", "/x.Y/Z"] {
        let refused = grpc.call::<_, ()>(path, ()).unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{path}");
    }
}
