//! What is accepted as a transaction, and what each refusal says. CheckTx and FinalizeBlock must
//! agree, and a refused transaction must leave no trace.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_app::proto;
use capstan_test_random::Random;
use common::{Chain, Client, Draft, GAS_LIMIT, alice, any, bob, capdata};
use cosmrs::{
    Any,
    proto::cosmos::{
        base::v1beta1::Coin,
        tx::v1beta1::{Fee, TxRaw},
    },
};
use prost::Message;

/// Alice pays bob, spoilt by `spoil`, with the signature made after that.
fn spoilt(spoil: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let alice = alice();
    let mut draft = alice.draft(vec![alice.pay(bob().address(), 5)]);
    spoil(&mut draft);
    alice.sign(&draft)
}

fn fee(amount: &str, denom: &str) -> Fee {
    let amount = vec![Coin { denom: denom.to_owned(), amount: amount.to_owned() }];
    Fee { amount, gas_limit: GAS_LIMIT, ..Fee::default() }
}

#[test]
fn each_fault_of_form_has_its_code() {
    let mut chain = Chain::new();
    let good = spoilt(|_| {});
    chain.refused(&vec![0; 5 << 20], 2, "max_tx_bytes");
    chain.refused(b"nonsense", 3, "TxRaw");
    // An empty transaction is protobuf, of nothing.
    chain.refused(&[], 5, "0 messages");
    chain.refused(&[good.as_slice(), &[0x50, 1]].concat(), 4, "TxRaw");
    let raw = TxRaw::decode(good.as_slice()).unwrap();
    let body = [raw.body_bytes.as_slice(), &[0x50, 1]].concat();
    chain.refused(
        &alice().sign_raw(body, raw.auth_info_bytes.clone()).encode_to_vec(),
        4,
        "TxBody",
    );
    let auth = [raw.auth_info_bytes.as_slice(), &[0x50, 1]].concat();
    chain.refused(&alice().sign_raw(raw.body_bytes, auth).encode_to_vec(), 4, "AuthInfo");
    chain.refused(&spoilt(|d| d.body.messages[0].value.extend([0x50, 1])), 4, "MsgSend");
    chain.refused(&spoilt(|d| d.body.messages.clear()), 5, "0 messages");
    chain.refused(
        &spoilt(|d| d.body.messages = vec![d.body.messages[0].clone(); 65]),
        5,
        "65 messages",
    );
    let url = "/cosmos.gov.v1.MsgVote";
    chain.refused(&spoilt(|d| d.body.messages[0].type_url = url.to_owned()), 6, url);
    chain.refused(&spoilt(|d| d.auth.signer_infos.clear()), 7, "0 signers");
    chain.refused(&spoilt(|d| d.auth.signer_infos[0].mode_info = None), 8, "SIGN_MODE_DIRECT");
    chain.refused(&spoilt(|d| d.body.memo = "x".repeat(257)), 18, "max_memo_bytes");
    chain.refused(&spoilt(|d| d.body.timeout_height = 1), 19, "until height 1");
    let option = Any { type_url: "/x".into(), value: vec![] };
    chain.refused(&spoilt(|d| d.body.extension_options.push(option)), 20, "extension option");
    chain.refused(&spoilt(|d| d.auth.fee.as_mut().unwrap().granter = "x".into()), 20, "granter");
    // The same, unspoilt, is good.
    assert_eq!(chain.check(&good).code, 0);
    chain.ok(good);
}

#[test]
fn each_fault_of_signature_has_its_code() {
    let mut chain = Chain::new();
    let key = |client: &Client| Some(client.public_key().to_any().unwrap());
    chain.refused(&spoilt(|d| d.auth.signer_infos[0].public_key = None), 9, "first transaction");
    chain.refused(&spoilt(|d| d.auth.signer_infos[0].public_key = key(&bob())), 13, "acts for");
    let ed25519 = Some(Any { type_url: "/cosmos.crypto.ed25519.PubKey".into(), value: vec![] });
    chain.refused(&spoilt(|d| d.auth.signer_infos[0].public_key = ed25519), 9, "not supported");
    let mut raw = TxRaw::decode(spoilt(|_| {}).as_slice()).unwrap();
    raw.signatures.push(raw.signatures[0].clone());
    chain.refused(&raw.encode_to_vec(), 7, "2 signatures");
    raw.signatures.truncate(1);
    let high = high_s(&raw.signatures[0]);
    let low = std::mem::replace(&mut raw.signatures[0], high);
    chain.refused(&raw.encode_to_vec(), 10, "low-s");
    raw.signatures[0] = low[..63].to_vec();
    chain.refused(&raw.encode_to_vec(), 11, "does not verify");
    raw.signatures[0] = low;
    raw.signatures[0][10] ^= 1;
    chain.refused(&raw.encode_to_vec(), 11, "chain id \"capstan-test-1\"");
    let other_chain = Client { chain_id: "capstan-test-2".into(), ..alice() };
    let draft = other_chain.draft(vec![other_chain.pay(bob().address(), 5)]);
    chain.refused(&other_chain.sign(&draft), 11, "capstan-test-1");
    let other_number = Client { account_number: 1, ..alice() };
    chain.refused(&other_number.sign(&draft), 11, "account number 0");
}

/// `(r, n - s)`: verifies wherever high s is not refused.
fn high_s(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u64; 4] = [
        0xBFD2_5E8C_D036_4141,
        0xBAAE_DCE6_AF48_A03B,
        0xFFFF_FFFF_FFFF_FFFE,
        0xFFFF_FFFF_FFFF_FFFF,
    ];
    let mut out = signature[..32].to_vec();
    let mut limbs = Vec::new();
    let mut borrow = false;
    for (i, order) in ORDER.iter().enumerate() {
        let end = 64 - 8 * i;
        let s = u64::from_be_bytes(signature[end - 8..end].try_into().unwrap());
        let (a, first) = order.overflowing_sub(s);
        let (b, second) = a.overflowing_sub(u64::from(borrow));
        borrow = first || second;
        limbs.push(b);
    }
    limbs.iter().rev().for_each(|limb| out.extend(limb.to_be_bytes()));
    out
}

#[test]
fn each_fault_of_fee_and_account_has_its_code() {
    let mut chain = Chain::new();
    chain.refused(&spoilt(|d| d.auth.fee = Some(fee("10000000", "uatom"))), 14, "uatom");
    chain.refused(&spoilt(|d| d.auth.fee = Some(fee("-1", "ucap"))), 14, "not an amount");
    chain.refused(&spoilt(|d| d.auth.fee = Some(fee("10", "ucap"))), 15, "costs at least");
    chain.refused(&spoilt(|d| d.auth.fee = None), 15, "0ucap");
    let poor = format!("{}", u128::MAX);
    chain.refused(&spoilt(|d| d.auth.fee = Some(fee(&poor, "ucap"))), 17, "cannot pay");
    let stranger = Client::new(9, 0);
    let draft = stranger.draft(vec![stranger.pay(bob().address(), 5)]);
    chain.refused(&stranger.sign(&draft), 16, "no account");
    // Messages that act for someone else than the signer.
    let message = bob().pay(alice().address(), 5);
    let tx = alice().sign(&alice().draft(vec![message]));
    chain.refused(&tx, 13, "acts for");
    let second = vec![alice().pay(bob().address(), 5), bob().pay(alice().address(), 5)];
    chain.refused(&alice().sign(&alice().draft(second)), 13, "message 1");
}

#[test]
fn the_fee_must_cover_what_is_stored() {
    let mut chain = Chain::new();
    let alice = alice();
    let mut draft = alice.draft(vec![any(&proto::MsgBeginUpload {
        submitter: alice.address().to_string(),
        bundle_id: common::wasm_id(b"x"),
        compression: proto::Compression::Gzip.into(),
        uncompressed_size: 10_000_000,
        chunks: vec![proto::ChunkInfo { sha256: vec![0; 32], size: 1 }],
    })]);
    draft.auth.fee = Some(fee("9999999", "ucap"));
    chain.refused(&alice.sign(&draft), 15, "costs at least 1000");
    draft.auth.fee = Some(fee("20000000", "ucap"));
    chain.ok(alice.sign(&draft));
}

#[test]
fn a_sequence_is_good_once() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let first = alice.tx(vec![alice.pay(bob().address(), 5)]);
    chain.ok(first.clone());
    chain.refused(&first, 12, "expected 1, got 0");
    alice.sequence = 5;
    let later = alice.tx(vec![alice.pay(bob().address(), 5)]);
    chain.refused(&later, 12, "expected 1, got 5");
    // Twice in one block: the second is refused.
    alice.sequence = 1;
    let tx = alice.tx(vec![alice.pay(bob().address(), 5)]);
    let results = chain.block(&[tx.clone(), tx]).tx_results;
    assert_eq!([results[0].code, results[1].code], [0, 12]);
}

#[test]
fn the_key_may_be_left_out_once_it_is_known() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let tx = alice.tx(vec![alice.pay(bob().address(), 5)]);
    chain.ok(tx);
    let mut draft = alice.draft(vec![alice.pay(bob().address(), 5)]);
    draft.auth.signer_infos[0].public_key = None;
    chain.ok(alice.sign(&draft));
}

#[test]
fn several_transactions_of_one_sender_wait_in_the_mempool() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let txs: Vec<_> = (0..3).map(|_| alice.tx(vec![alice.pay(bob().address(), 5)])).collect();
    for tx in &txs {
        assert_eq!(chain.check(tx).code, 0);
    }
    // The same one passes again, as after a check that kept nothing. In the mempool's eyes its sequence is used up.
    assert_eq!(chain.check(&txs[0]).code, 0);
    alice.sequence = 0;
    let replaced = alice.tx(vec![alice.pay(bob().address(), 6)]);
    assert_eq!(chain.check(&replaced).code, 12);
    chain.block(&txs[..1]);
    assert_eq!(chain.check(&txs[0]).code, 12);
    // After a block the engine checks what is left again.
    assert_eq!(chain.check(&txs[1]).code, 0);
    assert_eq!(chain.check(&txs[2]).code, 0);
    chain.block(&txs[1..]);
    assert_eq!(chain.json(&format!("accounts/{}", alice.address()))["sequence"], 3);
}

#[test]
fn a_check_that_keeps_nothing_leaves_no_trace() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let first = alice.tx(vec![alice.pay(bob().address(), 5)]);
    for _ in 0..2 {
        assert_eq!(chain.app.check_only(&first).code, 0);
    }
    alice.sequence = 0;
    let instead = alice.tx(vec![alice.pay(bob().address(), 6)]);
    assert_eq!(chain.check(&instead).code, 0, "the sequence is not used up");
    // It sees what waits, as CheckTx does.
    assert_eq!(chain.app.check_only(&first).code, 12);
    let second = alice.tx(vec![alice.pay(bob().address(), 5)]);
    assert_eq!(chain.app.check_only(&second).code, 0);
    chain.ok(instead);
}

#[test]
fn the_mempool_counts_what_fees_take() {
    let chain = Chain::new();
    let mut alice = alice();
    let half = format!("{}", 6_000_000_000_000_u64);
    let mut send = || {
        let mut draft = alice.draft(vec![alice.pay(bob().address(), 5)]);
        draft.auth.fee = Some(fee(&half, "ucap"));
        alice.sequence += 1;
        alice.sign(&draft)
    };
    let (first, second) = (send(), send());
    assert_eq!(chain.check(&first).code, 0);
    assert_eq!(chain.check(&second).code, 17);
}

#[test]
fn fields_of_messages_are_checked_before_they_enter_the_mempool() {
    let mut chain = Chain::new();
    let alice = alice();
    let me = alice.address().to_string();
    let send = |target: &str, method: &str, body: &str, slots: &[&str]| {
        alice.send(target, method, body, slots)
    };
    let install = |bundle: &[u8], id: &str, compression: i32, size: u64| {
        any(&proto::MsgInstallBundle {
            submitter: me.clone(),
            bundle: bundle.to_vec(),
            compression,
            uncompressed_size: size,
            bundle_id: id.to_owned(),
        })
    };
    let id = common::wasm_id(b"x");
    let cases = [
        (send("v7", "m", "[]", &[]), "target"),
        (send("ro-01", "m", "[]", &[]), "target"),
        (send("ro-1", "", "[]", &[]), "method"),
        (send("ro-1", "m", "{}", &[]), "array"),
        (send("ro-1", "m", "[", &[]), "args: at byte 1"),
        (send("ro-1", "m", "#[\"$0\"]", &[]), "names slot 0"),
        (send("ro-1", "m", "#[\"$0\"]", &["ko20"]), "not a reference"),
        (send("ro-1", "m", "[\"a\"]", &["ro-1"]), "plain JSON cannot mention slots"),
        (send("ro-1", "m", &format!("[\"{}\"]", "x".repeat(300_000)), &[]), "max_message_bytes"),
        (alice.pay(bob().address(), 0), "more than 0"),
        (install(b"x", "w1-00", 0, 0), "not a bundle id"),
        (install(b"x", &id, 0, 2), "has 1 bytes"),
        (install(b"x", &id, 7, 1), "compression"),
        (install(b"x", &id, 1, 17 << 20), "max_bundle_bytes"),
        (install(b"", &id, 0, 0), "uncompressed_size"),
        (alice.create_vat(&id, "a b"), "letters, digits"),
        (any(&proto::MsgDrop { sender: me.clone(), refs: vec!["ro+1".into()] }), "ro-N"),
        (any(&proto::MsgResolve { sender: me.clone(), resolutions: vec![] }), "resolutions"),
        (
            any(&proto::MsgTerminateVat {
                sender: me.clone(),
                admin: "ro-1".into(),
                reason: Some(capdata("nonsense", &[])),
            }),
            "reason",
        ),
    ];
    for (message, part) in cases {
        chain.refused(&alice.sign(&alice.draft(vec![message])), 22, part);
    }
    let upgrade = any(&proto::MsgUpgradeVat { sender: me.clone(), ..Default::default() });
    chain.refused(&alice.sign(&alice.draft(vec![upgrade])), 22, "admin");
    let fund = any(&proto::MsgFundMeter { sender: me.clone(), ..Default::default() });
    chain.refused(&alice.sign(&alice.draft(vec![fund])), 22, "meter");
}

#[test]
fn mutated_transactions_never_pass_or_panic() {
    let mut chain = Chain::new();
    let good = spoilt(|_| {});
    let mut random = Random::seeded(0x5eed);
    let seed = random.seed();
    let mut next = || random.number() as usize;
    for round in 0..3000 {
        let mut tx = good.clone();
        for _ in 0..=next() % 3 {
            let at = next() % tx.len();
            match next() % 4 {
                0 => tx[at] ^= 1 << (next() % 8),
                1 => drop(tx.remove(at)),
                2 => tx.insert(at, next() as u8),
                _ => tx.extend_from_slice(&good[at.min(good.len())..]),
            }
        }
        if tx != good {
            let checked = chain.check(&tx);
            assert_ne!(checked.code, 0, "seed {seed} round {round}: {tx:?}");
            if round % 100 == 0 {
                let result = chain.block(&[tx.clone()]).tx_results.remove(0);
                assert_eq!(result.code, checked.code, "seed {seed} round {round}: {tx:?}");
            }
        }
    }
    chain.ok(good);
}
