//! Queries at past heights over gRPC, REST and ABCI, under both kinds of consensus and after a restart.
#![allow(clippy::unwrap_used)] // tests

mod common;

use std::fs;

use capstan_client::{Amount, Client, Deadline, Key, Wallet};
use common::gateway::{Grpc, rest_at};
use common::{Dev, PATIENCE, Place, height_at_rest};
use cosmrs::proto::cosmos::bank::v1beta1::{QueryBalanceRequest, QueryBalanceResponse};
use serde_json::{Value, json};
use tonic::Code;

const BALANCE: &str = "/cosmos.bank.v1beta1.Query/Balance";
/// Number of heights before the last one that the node keeps.
const KEPT: u64 = 4;

#[test]
fn past_heights_under_solo_consensus() {
    check(&["init"], |place| place.dev());
}

#[test]
fn past_heights_under_cometbft() {
    check(&["init", "--validator"], |place| place.comet_at(&place.home()));
}

fn check(init: &[&str], start: impl Fn(&Place) -> Dev) {
    let place = Place::new();
    assert_eq!(place.run(init).code, 0);
    let config = format!("[queries]\nretain_heights = {KEPT}\n");
    fs::write(place.home().join("config.toml"), config).unwrap();
    let dev = start(&place);
    let balances: Vec<_> = (0..7).map(|_| pay(&dev)).collect();
    window(&dev, &balances);
    others(&dev);
    assert!(dev.stop("TERM").success());
    // The journal has these blocks, so that the window is as before.
    let dev = start(&place);
    window(&dev, &balances);
    assert!(dev.stop("TERM").success());
}

/// Pays bob one coin. Returns the height, and what he has then.
fn pay(dev: &Dev) -> (u64, u128) {
    let client = Client::new(dev.url()).unwrap();
    let wallet = Wallet::new(&client, Key::dev(0));
    let height = wallet.transfer(&Key::dev(1).address(), Amount(1)).unwrap().height;
    (height, balance(dev, "0").unwrap().0)
}

fn request() -> QueryBalanceRequest {
    QueryBalanceRequest { address: Key::dev(1).address().to_string(), denom: "ucap".into() }
}

/// What bob has at a height, and the height that the answer carries.
fn balance(dev: &Dev, height: &str) -> Result<(u128, String), Box<tonic::Status>> {
    let (answer, told): (QueryBalanceResponse, _) =
        Grpc::connect(dev).call_at(BALANCE, request(), height)?;
    Ok((answer.balance.unwrap().amount.parse().unwrap(), told))
}

fn path() -> String {
    format!("/cosmos/bank/v1beta1/balances/{}/by_denom?denom=ucap", Key::dev(1).address())
}

/// Every height that is kept has its own answer, and those before them have an error that names the first one.
fn window(dev: &Dev, balances: &[(u64, u128)]) {
    let client = Client::new(dev.url()).unwrap();
    let rest = || height_at_rest(&client);
    let last = Deadline::after(PATIENCE).poll("the last block", rest).unwrap();
    let first = last - KEPT;
    let (mut kept, mut gone) = (0, 0);
    for (height, amount) in balances {
        let text = height.to_string();
        let (status, told, body) = rest_at(dev, &path(), &text);
        match *height >= first {
            true => {
                kept += 1;
                assert_eq!(balance(dev, &text).unwrap(), (*amount, text.clone()));
                assert_eq!((status, told), (200, Some(text)), "{body}");
                assert_eq!(body["balance"]["amount"], amount.to_string());
            }
            false => {
                gone += 1;
                let refused = balance(dev, &text).unwrap_err();
                assert_eq!(refused.code(), Code::InvalidArgument);
                let range = format!("only {first} to {last}");
                assert!(refused.message().contains(&range), "{refused}: {range}");
                assert_eq!((status, told, &body["code"]), (400, None, &json!(3)), "{body}");
            }
        }
    }
    assert!(kept >= 2 && gone >= 1, "{balances:?} to {last}");
}

/// Heights that are none.
fn others(dev: &Dev) {
    let last: u64 = balance(dev, "0").unwrap().1.parse().unwrap();
    let future = (last + 1_000).to_string();
    for height in ["-1", "x", "1.5", "", "99999999999999999999", future.as_str()] {
        let refused = balance(dev, height).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{height}: {refused}");
        assert!(refused.message().contains(height), "{height}: {refused}");
        let (status, told, body) = rest_at(dev, &path(), height);
        assert_eq!((status, told, &body["code"]), (400, None, &json!(3)), "{height}: {body}");
    }
    // The Cosmos SDK's codes: what is to come has another one than what is gone.
    for (height, code) in [("-1", 18), ("1", 18), (future.as_str(), 26)] {
        let call = json!({"path": BALANCE, "data": "", "height": height, "prove": false});
        let answer = Client::new(dev.url()).unwrap().call_json("abci_query", call).unwrap();
        let response: &Value = &answer["response"];
        assert_eq!((&response["code"], &response["codespace"]), (&json!(code), &json!("sdk")));
    }
}
