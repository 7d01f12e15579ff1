//! Proven records over the application: every verifier of ICS-23 takes their proofs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_app::query::{PROOF_RECORD, PROOF_STORE};
use capstan_proto::v1 as proto;
use common::{Chain, Client, alice, any, bob, wasm_id};
use ics23::{
    CommitmentProof, HostFunctionsManager, iavl_spec, tendermint_spec, verify_membership,
    verify_non_membership,
};
use prost::Message;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};

const MODULE: &[u8] = b"some module";

/// A chain on which something has happened, the client that did it, and the hash of its transaction.
fn chain() -> (Chain, Client, String) {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![
        alice.install(MODULE),
        alice.send("factory", "echo", "[1]", &[]),
        alice.send("factory", "never", "[]", &[]),
    ]);
    chain.ok(tx.clone());
    (chain, alice, hex::encode_upper(Sha256::digest(&tx)))
}

fn ask(chain: &Chain, path: &str, data: &str, height: u64, prove: bool) -> ResponseQuery {
    let (path, data) = (path.to_owned(), data.to_owned().into_bytes().into());
    chain.app.query(RequestQuery { path, data, height: height as i64, prove })
}

/// Verifies an answer as a client of the Cosmos SDK does. Returns the value, or `None` if it is proved absent.
fn verified(answer: &ResponseQuery, app_hash: &[u8]) -> Option<Value> {
    type Sha = HostFunctionsManager;
    assert_eq!(answer.code, 0, "{}", answer.log);
    let ops = &answer.proof_ops.as_ref().unwrap().ops;
    assert_eq!(ops.len(), 2);
    assert_eq!((ops[0].r#type.as_str(), ops[1].r#type.as_str()), (PROOF_RECORD, PROOF_STORE));
    assert_eq!((&ops[0].key[..], &ops[1].key[..]), (&answer.key[..], &b"capstan"[..]));
    let [record, store] = [0, 1].map(|at| CommitmentProof::decode(&*ops[at].data).unwrap());
    let Some(ics23::commitment_proof::Proof::Exist(exist)) = &store.proof else { panic!() };
    let (root, hash) = (exist.value.clone(), app_hash.to_vec());
    assert!(verify_membership::<Sha>(&store, &tendermint_spec(), &hash, b"capstan", &root));
    if answer.value.is_empty() {
        assert!(verify_non_membership::<Sha>(&record, &iavl_spec(), &root, &answer.key));
        return None;
    }
    assert!(verify_membership::<Sha>(&record, &iavl_spec(), &root, &answer.key, &answer.value));
    Some(serde_json::from_slice(&answer.value).unwrap())
}

/// Returns a record of the last state, verified, by its path and by its key.
fn proven(chain: &Chain, key: &str) -> Option<Value> {
    let by_path = ask(chain, key, "", chain.height as u64, true);
    let value = verified(&by_path, &chain.hash());
    let by_key = ask(chain, "/store/capstan/key", key, chain.height as u64, true);
    assert_eq!(by_key, by_path, "{key}");
    assert_eq!(ask(chain, "store/capstan/key", key, 0, false).value, by_path.value, "{key}");
    value
}

#[test]
fn records_are_proved_and_so_is_their_absence() {
    let (chain, alice, tx) = chain();
    let (address, nobody) = (alice.address(), Client::new(9, 0).address());
    for path in
        ["params".to_owned(), format!("accounts/{address}"), format!("bundles/{}", wasm_id(MODULE))]
    {
        let plain: Value = serde_json::from_slice(&chain.query(&path, &[]).value).unwrap();
        assert_eq!(proven(&chain, &path), Some(plain), "{path}");
    }
    let balance = chain.balance(address).to_string();
    let coin = json!({"denom": "ucap", "amount": balance});
    assert_eq!(proven(&chain, &format!("balances/{address}")), Some(coin));
    let result = proven(&chain, &format!("txs/{tx}/1")).unwrap();
    assert_eq!((&result["status"], &result["tx_hash"]), (&json!("fulfilled"), &json!(tx)));
    assert_eq!(proven(&chain, &format!("txs/{tx}/2")).unwrap()["status"], "pending");
    let entry = proven(&chain, &format!("outbox/{address}/1")).unwrap();
    let plain = chain.query(&format!("accounts/{address}/outbox"), &[]).value;
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    let delivery = plain["entries"][0]["delivery_json"].as_str().unwrap();
    let sha256 = hex::encode_upper(Sha256::digest(delivery));
    assert_eq!(entry, json!({"sha256": sha256, "bytes": delivery.len()}));
    assert_eq!(proven(&chain, "vats/v1/stats").unwrap()["status"], "running");
    for absent in [
        format!("accounts/{nobody}"),
        format!("balances/{nobody}"),
        format!("bundles/{}", wasm_id(b"another")),
        format!("outbox/{address}/99"),
        format!("txs/{tx}/9"),
        "vats/v99/stats".to_owned(),
    ] {
        assert_eq!(proven(&chain, &absent), None, "{absent}");
    }
}

#[test]
fn acknowledged_entries_are_proved_absent() {
    let (mut chain, mut alice, _) = chain();
    let key = format!("outbox/{}/1", alice.address());
    assert!(proven(&chain, &key).is_some());
    let ack = proto::MsgAck { sender: alice.address().to_string(), through: 1 };
    let ack = alice.tx(vec![any(&ack)]);
    chain.ok(ack);
    assert_eq!(proven(&chain, &key), None);
}

#[test]
fn a_past_height_is_proved_until_it_is_no_longer_kept() {
    let (mut chain, mut alice, _) = chain();
    let key = format!("balances/{}", bob().address());
    let mut past = Vec::new();
    for _ in 0..110 {
        let pay = alice.tx(vec![alice.pay(bob().address(), 1)]);
        chain.ok(pay);
        past.push((chain.height as u64, chain.hash(), chain.balance(bob().address()).to_string()));
    }
    let last = chain.height as u64;
    for (height, app_hash, balance) in &past {
        let answer = ask(&chain, &key, "", *height, true);
        if *height + 100 < last {
            assert_eq!(answer.code, 104, "{height}: {}", answer.log);
            assert!(
                answer.log.contains(&format!("only {} to {last}", last - 100)),
                "{}",
                answer.log
            );
            continue;
        }
        assert_eq!(answer.height as u64, *height);
        assert_eq!(verified(&answer, app_hash).unwrap()["amount"], **balance, "{height}");
    }
    // Without a height a proof is of the height whose app hash is in the last header.
    let answer = ask(&chain, &key, "", 0, true);
    assert_eq!(answer.height as u64, last - 1);
    verified(&answer, &past[past.len() - 2].1);
    assert_eq!(ask(&chain, &key, "", last + 1, true).code, 104);
}

#[test]
fn other_queries_say_which_have_proofs() {
    let (chain, ..) = chain();
    for path in ["vats", "kernel/stats", "store", "/capstan.v1.Query/VatStats"] {
        let answer = ask(&chain, path, "", 0, true);
        assert_eq!(answer.code, 105, "{path}: {}", answer.log);
        assert!(answer.log.contains("balances/ADDRESS"), "{}", answer.log);
    }
    for (path, part) in [
        ("accounts/cosmos1xyz", "not a Capstan address"),
        ("txs/00/0", "not a transaction hash"),
        ("outbox/x/1", "not a Capstan address"),
        ("vats/v07/stats", "not a vat id"),
    ] {
        let answer = ask(&chain, path, "", 0, true);
        assert_eq!(answer.code, 102, "{path}");
        assert!(answer.log.contains(part), "{path}: {}", answer.log);
    }
    let long = "x".repeat(257);
    assert_eq!(ask(&chain, "/store/capstan/key", &long, 0, true).code, 102);
}
