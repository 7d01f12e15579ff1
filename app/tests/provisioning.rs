//! Accounts that become endpoints of the kernel, and what that costs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_app::proto;
use common::{Chain, alice, alice_address, any, bob, provisioned};

#[test]
fn the_first_transaction_provisions_the_account() {
    let mut chain = Chain::new();
    let mut alice = alice();
    assert_eq!(chain.json(&format!("accounts/{}", alice.address()))["remote"], "");
    let factory = provisioned(&mut chain, &mut alice);
    assert!(factory.starts_with("ro-"), "{factory}");
    assert_eq!(chain.json(&format!("accounts/{}", alice.address()))["remote"], "r1");
    let clist = chain.json(&format!("clists/{}", alice.address()));
    assert_eq!(clist["entries"][0]["eref"].as_str(), Some(factory.as_str()));
    // A payment alone makes no endpoint.
    let mut bob = bob();
    let tx = bob.tx(vec![bob.pay(alice.address(), 1)]);
    chain.ok(tx);
    assert_eq!(chain.json(&format!("accounts/{}", bob.address()))["remote"], "");
}

#[test]
fn an_account_pays_once_for_what_is_kept_of_it() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut spent = |chain: &mut Chain, message: fn(&common::Client) -> cosmrs::Any| {
        let before = chain.balance(alice.address());
        let tx = alice.tx(vec![message(&alice)]);
        chain.ok(tx);
        before - chain.balance(alice.address())
    };
    // Coins alone need no endpoint.
    assert_eq!(spent(&mut chain, |alice| alice.pay(bob().address(), 1)), 10_000_001);
    assert_eq!(spent(&mut chain, |alice| alice.send("factory", "echo", "[]", &[])), 10_005_000);
    assert_eq!(spent(&mut chain, |alice| alice.send("factory", "echo", "[]", &[])), 10_000_000);
    assert_eq!(spent(&mut chain, |alice| alice.pay(bob().address(), 1)), 10_000_001);
}

#[test]
fn an_account_that_cannot_pay_for_what_is_kept_of_it_gets_nothing() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut dave = common::Client::new(9, 3);
    let fund = alice.tx(vec![alice.pay(dave.address(), 10_000_000 + 4_999)]);
    chain.ok(fund);
    let tx = dave.tx(vec![dave.send("factory", "echo", "[]", &[])]);
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!(result.code, 40, "{}", result.log);
    // The fee is paid and the sequence used; it is no endpoint.
    assert_eq!(chain.balance(dave.address()), 4_999);
    let nothing = chain.json(&format!("clists/{}", dave.address()));
    assert_eq!(nothing["entries"], serde_json::json!([]), "it holds nothing yet");
    let nothing = chain.json(&format!("accounts/{}/outbox", dave.address()));
    assert_eq!(nothing["entries"], serde_json::json!([]), "nor is anything for it");
    let fund = alice.tx(vec![alice.pay(dave.address(), 10_000_001)]);
    chain.ok(fund);
    let tx = dave.tx(vec![dave.send("factory", "echo", "[]", &[])]);
    chain.ok(tx);
    assert_eq!(chain.balance(dave.address()), 0);
    assert_eq!(chain.query(&format!("clists/{}", dave.address()), &[]).code, 0);
}

#[test]
fn an_account_that_let_go_of_its_factory_gets_it_again() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let factory = provisioned(&mut chain, &mut alice);
    let drop = any(&proto::MsgDrop { sender: alice_address(), refs: vec![factory] });
    let tx = alice.tx(vec![drop]);
    chain.ok(tx);
    let before = chain.balance(alice.address());
    let tx = alice.tx(vec![alice.send("factory", "echo", "[3]", &[])]);
    chain.ok(tx.clone());
    assert_eq!(chain.settled(&tx, 0)["value"]["body"], "#[3]");
    assert_eq!(before - chain.balance(alice.address()), 10_000_000, "it is no new account");
}
