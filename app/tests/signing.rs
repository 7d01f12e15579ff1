//! The forms in which wallets sign and encode transactions: protobuf and amino JSON, single keys and multisigs.
//! Nobody but the signer can change a transaction so that it stays valid.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_app::{
    proto,
    tx::{Multisig, PublicKey},
};
use common::{Chain, Client, Draft, alice, any, bob};
use cosmrs::{
    Any,
    proto::cosmos::{
        bank::v1beta1::MsgSend as MsgBankSend,
        crypto::multisig::{
            LegacyAminoPubKey,
            v1beta1::{CompactBitArray, MultiSignature},
        },
        tx::v1beta1::{
            ModeInfo, SignDoc, TxRaw,
            mode_info::{Multi, Single, Sum},
        },
    },
};
use prost::Message;
use serde_json::{Value, json};

const DIRECT: i32 = 1;
const AMINO_JSON: i32 = 127;

fn single(mode: i32) -> ModeInfo {
    ModeInfo { sum: Some(Sum::Single(Single { mode })) }
}

/// The document that a Ledger signs, with these messages.
fn amino_document(signer: &Client, draft: &Draft, messages: Value) -> Value {
    let fee = draft.auth.fee.as_ref().unwrap();
    let mut document = json!({
        "account_number": signer.account_number.to_string(),
        "chain_id": signer.chain_id,
        "fee": {
            "amount": [{"amount": fee.amount[0].amount, "denom": "ucap"}],
            "gas": fee.gas_limit.to_string(),
        },
        "memo": draft.body.memo,
        "msgs": messages,
        "sequence": draft.auth.signer_infos[0].sequence.to_string(),
    });
    if draft.body.timeout_height != 0 {
        document["timeout_height"] = json!(draft.body.timeout_height.to_string());
    }
    document
}

/// Signs a document whose keys are in order already.
fn sign_document(signer: &Client, document: &Value) -> Vec<u8> {
    let text = document.to_string();
    let text = text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    signer.key.sign(text.as_bytes()).unwrap().to_vec()
}

fn raw(draft: &Draft, signature: Vec<u8>) -> TxRaw {
    TxRaw {
        body_bytes: draft.body.encode_to_vec(),
        auth_info_bytes: draft.auth.encode_to_vec(),
        signatures: vec![signature],
    }
}

/// Alice pays bob 5, signed as a Ledger does.
fn ledger_payment(spoil: impl FnOnce(&mut Draft)) -> TxRaw {
    let alice = alice();
    let mut draft = alice.draft(vec![alice.pay(bob().address(), 5)]);
    draft.auth.signer_infos[0].mode_info = Some(single(AMINO_JSON));
    spoil(&mut draft);
    let send = json!([{"type": "cosmos-sdk/MsgSend", "value": {
        "amount": [{"amount": "5", "denom": "ucap"}],
        "from_address": alice.address(), "to_address": bob().address(),
    }}]);
    let document = amino_document(&alice, &draft, send);
    raw(&draft, sign_document(&alice, &document))
}

#[test]
fn a_payment_signed_as_amino_json_is_made() {
    let mut chain = Chain::new();
    let tx = ledger_payment(|draft| {
        draft.body.memo = "<Tom & \"Jerry\"> \u{1}\n".to_owned();
        draft.body.timeout_height = 1_000;
    });
    chain.ok(tx.encode_to_vec());
}

#[test]
fn messages_of_the_chain_have_amino_names_and_leave_default_values_out() {
    let chain = Chain::new();
    let mut alice = alice();
    let send = alice.send("factory", "x", "[7]", &[]);
    let install = proto::MsgInstallBundle {
        submitter: alice.address().to_string(),
        bundle: vec![0, 97, 115, 109],
        compression: proto::Compression::None.into(),
        uncompressed_size: 4,
        bundle_id: common::wasm_id(&[0, 97, 115, 109]),
    };
    let ack = proto::MsgAck { sender: alice.address().to_string(), through: 0 };
    let documents = json!([
        {"type": "capstan/MsgSend", "value": {
            "args": {"body": "[7]"}, "method": "x", "sender": alice.address(), "target": "factory",
        }},
        {"type": "capstan/MsgInstallBundle", "value": {
            "bundle": "AGFzbQ==", "bundle_id": install.bundle_id, "submitter": alice.address(),
            "uncompressed_size": "4",
        }},
        {"type": "capstan/MsgAck", "value": {"sender": alice.address()}},
    ]);
    let mut draft = alice.draft(vec![send, any(&install), any(&ack)]);
    draft.auth.signer_infos[0].mode_info = Some(single(AMINO_JSON));
    let document = amino_document(&alice, &draft, documents);
    let tx = raw(&draft, sign_document(&alice, &document)).encode_to_vec();
    assert_eq!(chain.check(&tx).code, 0, "{}", chain.check(&tx).log);
    alice.sequence += 1;
}

#[test]
fn what_an_amino_document_does_not_cover_has_one_form() {
    let mut chain = Chain::new();
    let tx = ledger_payment(|_| {});
    let refused = |chain: &mut Chain, tx: TxRaw, code, part| {
        chain.refused(&tx.encode_to_vec(), code, part);
    };
    // Any encoding of the same document but the canonical one.
    let with_default = [tx.body_bytes.as_slice(), &[0x18, 0]].concat();
    refused(&mut chain, TxRaw { body_bytes: with_default, ..tx.clone() }, 4, "TxBody");
    let non_critical = [tx.body_bytes.as_slice(), &[0x80, 0x40, 1]].concat();
    refused(&mut chain, TxRaw { body_bytes: non_critical, ..tx.clone() }, 4, "TxBody");
    let with_default = [tx.auth_info_bytes.as_slice(), &[0x12, 0]].concat();
    refused(&mut chain, TxRaw { auth_info_bytes: with_default, ..tx.clone() }, 4, "AuthInfo");
    let mut twice = alice().pay(bob().address(), 5);
    // The receiver a second time, which decodes to the same message.
    let to = bob().address().to_string();
    twice.value.extend([0x12, to.len() as u8]);
    twice.value.extend(to.as_bytes());
    let tampered = ledger_payment(|draft| draft.body.messages = vec![twice]);
    refused(&mut chain, tampered, 4, "MsgSend");
    // Fields that the document leaves out.
    let keyless = ledger_payment(|draft| draft.auth.signer_infos[0].public_key = None);
    refused(&mut chain, keyless, 9, "must carry it");
    // A signature of the document is none of the protobuf, and the other way round.
    let mode = |mode| {
        move |draft: &mut Draft| {
            draft.auth.signer_infos[0].mode_info = Some(single(mode));
        }
    };
    refused(&mut chain, ledger_payment(mode(DIRECT)), 11, "does not verify");
    refused(&mut chain, ledger_payment(mode(2)), 8, "SIGN_MODE");
    let large = ledger_payment(|draft| {
        let message = alice().send("factory", "x", "[]", &[]);
        let mut send = proto::MsgSend::decode(message.value.as_slice()).unwrap();
        let text = "x".repeat(200_000);
        send.args.as_mut().unwrap().body = format!("[\"{text}\"]");
        draft.body.messages = vec![any(&send); 6];
    });
    refused(&mut chain, large, 2, "SIGN_MODE_DIRECT");
    chain.ok(tx.encode_to_vec());
}

#[test]
fn default_values_and_non_critical_fields_are_taken_if_the_signature_covers_them() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut signed = |body: &[u8], auth: &[u8], value: &[u8]| {
        let mut message = alice.pay(bob().address(), 5);
        message.value.extend(value);
        let draft = alice.draft(vec![message]);
        let body = [draft.body.encode_to_vec().as_slice(), body].concat();
        let auth = [draft.auth.encode_to_vec().as_slice(), auth].concat();
        let tx = alice.sign_raw(body, auth).encode_to_vec();
        alice.sequence += 1;
        tx
    };
    // An empty memo, and no timeout.
    chain.ok(signed(&[0x12, 0, 0x18, 0], &[], &[]));
    // A fee with an empty payer, merged with the fee that stands there.
    chain.ok(signed(&[], &[0x12, 2, 0x1a, 0], &[]));
    // Unknown fields with bit 11: 1024 in the body, 1025 in a message.
    chain.ok(signed(&[0x80, 0x40, 1], &[], &[0x88, 0x40, 7]));
    // They are critical in AuthInfo, and so is any other number.
    let mut refused = |body: &[u8], auth: &[u8], value: &[u8], part: &str| {
        let tx = signed(body, auth, value);
        chain.refused(&tx, 4, part);
    };
    refused(&[], &[0x80, 0x40, 1], &[], "AuthInfo has the unknown field 1024");
    refused(&[0x20, 1], &[], &[], "TxBody has the unknown field 4");
    refused(&[], &[], &[0x20, 1], "MsgSend has the unknown field 4");
    refused(&[], &[], &[0x1a, 2, 0x18, 1], "MsgSend has the unknown field 3");
}

#[test]
fn a_message_of_the_chain_may_have_default_values() {
    let mut chain = Chain::new();
    let alice = alice();
    let mut message = alice.send("factory", "x", "[]", &[]);
    // `args: {body: "[]", slots: []}` has none; an empty method would be another message. So `target` twice.
    message.value.extend([0x12, 7]);
    message.value.extend(b"factory");
    let tx = alice.sign(&alice.draft(vec![message]));
    assert_eq!(chain.check(&tx).code, 0);
    let mut unknown = alice.send("factory", "x", "[]", &[]);
    unknown.value.extend([0x22, 2, 0x50, 1]);
    chain.refused(&alice.sign(&alice.draft(vec![unknown])), 4, "MsgSend has the unknown field 10");
}

/// A multisig of three keys, two of which have to sign.
struct Shared {
    members: Vec<Client>,
    key: PublicKey,
    account_number: u64,
    sequence: u64,
}

impl Shared {
    /// Lets alice send it coins.
    fn funded(chain: &mut Chain, alice: &mut Client) -> Self {
        let members: Vec<_> = (20..23).map(|seed| Client::new(seed, 0)).collect();
        let keys = members.iter().map(|m| m.public_key().to_bytes().try_into().unwrap()).collect();
        let key = PublicKey::Multisig(Multisig { threshold: 2, keys });
        let shared = Self { members, key, account_number: 0, sequence: 0 };
        chain.ok(alice.tx(vec![alice.pay(shared.key.address().unwrap(), 100_000_000)]));
        let path = format!("accounts/{}", shared.key.address().unwrap());
        let account_number = chain.json(&path)["account_number"].as_u64().unwrap();
        Self { account_number, ..shared }
    }

    fn any_key(&self) -> Any {
        let public_keys = self.members.iter().map(|m| m.public_key().to_any().unwrap()).collect();
        let key = LegacyAminoPubKey { threshold: 2, public_keys };
        let type_url = "/cosmos.crypto.multisig.LegacyAminoPubKey".to_owned();
        Any { type_url, value: key.encode_to_vec() }
    }

    /// It pays bob 1, signed by these members in these modes.
    fn payment(&self, by: &[(usize, i32)], spoil: impl FnOnce(&mut Draft)) -> TxRaw {
        let address = self.key.address().unwrap().to_string();
        let amount = vec![cosmrs::proto::cosmos::base::v1beta1::Coin {
            denom: "ucap".to_owned(),
            amount: "1".to_owned(),
        }];
        let to_address = bob().address().to_string();
        let send =
            MsgBankSend { from_address: address.clone(), to_address: to_address.clone(), amount };
        let mut draft = alice().draft(vec![any(&send)]);
        let bits = by.iter().fold(0, |bits, (member, _)| bits | (0x80_u8 >> member));
        let info = &mut draft.auth.signer_infos[0];
        info.public_key = Some(self.any_key());
        info.sequence = self.sequence;
        info.mode_info = Some(ModeInfo {
            sum: Some(Sum::Multi(Multi {
                bitarray: Some(CompactBitArray { extra_bits_stored: 3, elems: vec![bits] }),
                mode_infos: by.iter().map(|(_, mode)| single(*mode)).collect(),
            })),
        });
        spoil(&mut draft);
        let (body_bytes, auth_info_bytes) =
            (draft.body.encode_to_vec(), draft.auth.encode_to_vec());
        let chain_id = self.members[0].chain_id.clone();
        let account_number = self.account_number;
        let direct = SignDoc { body_bytes, auth_info_bytes, chain_id, account_number };
        let value = json!([{"type": "cosmos-sdk/MsgSend", "value": {
            "amount": [{"amount": "1", "denom": "ucap"}], "from_address": address, "to_address": to_address,
        }}]);
        let mut signer = Client::new(20, self.account_number);
        signer.sequence = self.sequence;
        let document = amino_document(&signer, &draft, value);
        let sign = |(member, mode): &(usize, i32)| match *mode {
            DIRECT => self.members[*member].key.sign(&direct.encode_to_vec()).unwrap().to_vec(),
            _ => sign_document(&self.members[*member], &document),
        };
        let signatures = MultiSignature { signatures: by.iter().map(sign).collect() };
        raw(&draft, signatures.encode_to_vec())
    }
}

#[test]
fn a_multisig_pays_in_both_modes_and_in_a_mixture() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let mut shared = Shared::funded(&mut chain, &mut alice);
    for by in [
        [(0, AMINO_JSON), (2, AMINO_JSON)],
        [(0, DIRECT), (1, DIRECT)],
        [(1, DIRECT), (2, AMINO_JSON)],
    ] {
        chain.ok(shared.payment(&by, |_| {}).encode_to_vec());
        shared.sequence += 1;
    }
    let path = format!("accounts/{}", shared.key.address().unwrap());
    let account = chain.json(&path);
    assert_eq!(account["pubkey"], shared.key.to_string());
    assert!(
        shared.key.to_string().starts_with("2/02") || shared.key.to_string().starts_with("2/03")
    );
}

#[test]
fn a_multisig_takes_exactly_its_threshold_of_signatures() {
    let mut chain = Chain::new();
    let mut alice = alice();
    let shared = Shared::funded(&mut chain, &mut alice);
    let mut refused = |tx: TxRaw, code, part| chain.refused(&tx.encode_to_vec(), code, part);
    let two = [(0, AMINO_JSON), (1, AMINO_JSON)];
    refused(shared.payment(&two[..1], |_| {}), 8, "1 of 3 keys signed, expected 2 of 3");
    // Whoever relays it could leave one of three out.
    let three = [(0, AMINO_JSON), (1, AMINO_JSON), (2, AMINO_JSON)];
    refused(shared.payment(&three, |_| {}), 8, "3 of 3 keys signed, expected 2 of 3");
    // A signature of another member than the bit array names.
    let mut swapped = shared.payment(&two, |_| {});
    let mut signatures = MultiSignature::decode(swapped.signatures[0].as_slice()).unwrap();
    signatures.signatures.swap(0, 1);
    swapped.signatures = vec![signatures.encode_to_vec()];
    refused(swapped, 11, "does not verify");
    let mut trailing = shared.payment(&two, |_| {});
    trailing.signatures[0].extend([0x10, 0]);
    refused(trailing, 4, "MultiSignature");
    let bits = |bits: u32, elems: Vec<u8>| {
        move |draft: &mut Draft| {
            let Some(Sum::Multi(multi)) =
                &mut draft.auth.signer_infos[0].mode_info.as_mut().unwrap().sum
            else {
                panic!("no multisig")
            };
            multi.bitarray = Some(CompactBitArray { extra_bits_stored: bits, elems });
        }
    };
    refused(shared.payment(&two, bits(3, vec![0xc0 | 1])), 8, "keys that are not there");
    refused(shared.payment(&two, bits(3, vec![0xe0])), 8, "names 3 keys");
    refused(shared.payment(&two, bits(4, vec![0xc0])), 8, "2 of 4 keys signed");
    refused(shared.payment(&two, bits(0, vec![0xc0])), 8, "a bit array of 0 bits");
    refused(shared.payment(&two, bits(3, vec![0xc0; 9])), 8, "a bit array of 9 bytes");
    let nested = |draft: &mut Draft| {
        let info = draft.auth.signer_infos[0].mode_info.as_mut().unwrap();
        let inner = info.clone();
        let Some(Sum::Multi(multi)) = &mut info.sum else { panic!("no multisig") };
        multi.mode_infos[0] = inner;
    };
    refused(shared.payment(&two, nested), 8, "a multisig in a multisig");
    let as_single = |draft: &mut Draft| {
        draft.auth.signer_infos[0].mode_info = Some(single(AMINO_JSON));
    };
    refused(shared.payment(&two, as_single), 8, "the account is a multisig");
    let other_key = |threshold| {
        let key = LegacyAminoPubKey {
            threshold,
            ..LegacyAminoPubKey::decode(shared.any_key().value.as_slice()).unwrap()
        };
        move |draft: &mut Draft| {
            let any = draft.auth.signer_infos[0].public_key.as_mut().unwrap();
            any.value = key.encode_to_vec();
        }
    };
    let twice = |draft: &mut Draft| {
        let any = draft.auth.signer_infos[0].public_key.as_mut().unwrap();
        let mut key = LegacyAminoPubKey::decode(any.value.as_slice()).unwrap();
        key.public_keys[1] = key.public_keys[0].clone();
        any.value = key.encode_to_vec();
    };
    refused(shared.payment(&two, twice), 9, "the same key twice");
    refused(shared.payment(&two, other_key(0)), 9, "a threshold of 0");
    refused(shared.payment(&two, other_key(4)), 9, "a threshold of 4 of 3");
    refused(shared.payment(&two, other_key(1)), 13, "acts for");
}

#[test]
fn gas_limits_below_the_gas_are_refused_and_results_tell_the_gas() {
    let mut chain = Chain::new();
    let alice = alice();
    let mut draft = alice.draft(vec![alice.pay(bob().address(), 5)]);
    let limit = |draft: &mut Draft, limit| draft.auth.fee.as_mut().unwrap().gas_limit = limit;
    limit(&mut draft, 10);
    chain.refused(&alice.sign(&draft), 21, "out of gas: the gas limit is 10");
    limit(&mut draft, 5_000);
    let tx = alice.sign(&draft);
    // The default prices: of the transaction, its signature, its message, its bytes.
    let gas = 500 + 500 + 500 + tx.len() as i64;
    let checked = chain.check(&tx);
    assert_eq!((checked.gas_wanted, checked.gas_used), (5_000, gas));
    let result = chain.block(&[tx]).tx_results.remove(0);
    assert_eq!((result.code, result.gas_wanted, result.gas_used), (0, 5_000, gas));
}

#[test]
fn explorers_find_the_events_of_the_cosmos_sdk() {
    let mut chain = Chain::new();
    let alice = alice();
    let tx = alice.sign(&alice.draft(vec![alice.pay(bob().address(), 5)]));
    let signature = TxRaw::decode(tx.as_slice()).unwrap().signatures.remove(0);
    let result = chain.block(&[tx]).tx_results.remove(0);
    let text = |event: &tendermint_proto::v0_38::abci::Event| {
        let attributes = event.attributes.iter().map(|a| format!("{}={}", a.key, a.value));
        format!("{} {}", event.r#type, attributes.collect::<Vec<_>>().join(" "))
    };
    let (from, to) = (alice.address().to_string(), bob().address().to_string());
    let expected = [
        format!("coin_spent spender={from} amount=10000000ucap"),
        format!("burn burner={from} amount=10000000ucap"),
        format!("tx fee=10000000ucap fee_payer={from}"),
        format!("tx acc_seq={from}/0"),
        format!("tx signature={}", STANDARD.encode(signature)),
        format!("fee.paid payer={from} amount=10000000ucap"),
        format!(
            "message action=/cosmos.bank.v1beta1.MsgSend sender={from} module=bank msg_index=0"
        ),
        format!("coin_spent spender={from} amount=5ucap msg_index=0"),
        format!("coin_received receiver={to} amount=5ucap msg_index=0"),
        format!("transfer recipient={to} sender={from} amount=5ucap msg_index=0"),
    ];
    let events: Vec<String> = result.events.iter().map(text).collect();
    assert_eq!(events, expected);
}

#[test]
fn parts_that_would_take_many_times_their_bytes_are_refused_before_they_are_decoded() {
    let mut chain = Chain::new();
    let alice = alice();
    let tx =
        TxRaw::decode(alice.sign(&alice.draft(vec![alice.pay(bob().address(), 5)])).as_slice());
    let tx = tx.unwrap();
    // Empty messages, signers and signatures of two bytes each.
    let empty = |tag: u8, count: usize| [tag, 0].repeat(count);
    let body_bytes = empty(0x0a, 1_000_000);
    chain.refused(&TxRaw { body_bytes, ..tx.clone() }.encode_to_vec(), 3, "TxBody");
    let auth_info_bytes = empty(0x0a, 1_000_000);
    chain.refused(&TxRaw { auth_info_bytes, ..tx.clone() }.encode_to_vec(), 3, "8192 bytes");
    let signatures = vec![Vec::new(); 1_000_000];
    chain.refused(&TxRaw { signatures, ..tx.clone() }.encode_to_vec(), 3, "TxRaw");
    chain.ok(tx.encode_to_vec());
}
