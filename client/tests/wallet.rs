//! The client against a real node: the solo engine and the application, with vats that do what
//! their messages say.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

#[path = "../../app/tests/common/host.rs"]
#[allow(dead_code, unreachable_pub)] // of the application's tests
mod host;

#[path = "../examples/counter.rs"]
#[allow(dead_code, unreachable_pub)] // the program around it
mod example;

use std::time::{Duration, Instant};

use capstan_app::{App, AppOptions};
use capstan_client::{
    Address, Amount, Args, Bundle, Client, ClientError, CreateVat, DEV_NAMES, Deadline, EventKind,
    Key, Params, TxBuilder, Wallet,
};
use capstan_consensus::solo::{self, Solo, SoloConfig};
use capstan_genesis::{Genesis, GenesisBundle};
use capstan_store::Store;
use capstan_test_random::Random;
use host::FakeHost;

const CHAIN_ID: &str = "capstan-test-1";

/// A node with its home.
struct Node {
    _home: tempfile::TempDir,
    solo: Solo,
    client: Client,
}

impl Node {
    fn start() -> Self {
        Self::with_params(|_| {})
    }

    fn with_params(change: impl FnOnce(&mut Params)) -> Self {
        let keys: Vec<_> = (0_u32..)
            .zip(DEV_NAMES)
            .map(|(index, name)| (name, Key::dev(index).address()))
            .collect();
        let mut genesis = Genesis::dev(CHAIN_ID, "2026-01-01T00:00:00Z", &keys);
        change(&mut genesis.app_state.params);
        let system = |bytes: &[u8]| {
            let id = Bundle::from_wasm(bytes.to_vec()).id;
            GenesisBundle::new(id.parse().unwrap(), None, bytes)
        };
        genesis.add_system_vats(system(b"admin"), system(b"provisioner"));
        let app = App::new(Store::in_memory().unwrap(), FakeHost::default(), AppOptions::default())
            .unwrap();
        let home = tempfile::tempdir().unwrap();
        let genesis = solo::GenesisDoc::from_json(genesis.to_json().unwrap().as_bytes()).unwrap();
        let config = SoloConfig::new(home.path(), "127.0.0.1:0".parse().unwrap(), genesis);
        let solo = Solo::start(app, config).unwrap();
        let client = Client::new(&format!("http://{}", solo.rpc_addr())).unwrap();
        client.wait_ready(soon()).unwrap();
        Self { _home: home, solo, client }
    }

    fn wallet(&self, index: u32) -> Wallet {
        Wallet::new(&self.client, Key::dev(index))
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn payment(from: &Address, to: &Address) -> cosmrs::proto::cosmos::bank::v1beta1::MsgSend {
    cosmrs::proto::cosmos::bank::v1beta1::MsgSend {
        from_address: from.to_string(),
        to_address: to.to_string(),
        amount: vec![cosmrs::proto::cosmos::base::v1beta1::Coin {
            denom: "ucap".into(),
            amount: "5".into(),
        }],
    }
}

fn module() -> Bundle {
    Bundle::from_wasm(b"a module that the host of these tests takes".repeat(10))
}

#[test]
fn a_bundle_is_installed_a_vat_created_and_asked() {
    let node = Node::start();
    let alice = node.wallet(0);
    let bundle = module();
    let installed = alice.install_bundle(&bundle).unwrap();
    let answer: capstan_client::proto::MsgInstallBundleResponse = installed.response(0).unwrap();
    assert_eq!(answer.bundle_id, bundle.id);
    assert_eq!(node.client.bundle(&bundle.id).unwrap().size, bundle.bytes.len() as u64);

    let parameters = Some(Args::json(r#"{"start":5}"#));
    let vat = alice
        .create_vat(&CreateVat { name: "v".into(), parameters, ..CreateVat::new(&bundle.id) })
        .unwrap();
    assert!(
        vat.vat_id.starts_with('v') && vat.root.starts_with("ro-") && vat.admin.starts_with("ro-"),
        "{vat:?}"
    );

    let echo = alice.send(&vat.root, "echo", &Args::json("[1,\"two\"]")).unwrap();
    assert_eq!((echo.status.as_str(), echo.value.body.as_str()), ("fulfilled", "#[1,\"two\"]"));
    assert!(echo.settled_height >= echo.height);
    let none = alice.send(&vat.root, "echo", &Args::default()).unwrap();
    assert_eq!(none.value.body, "#[]");
    let object = alice
        .send(&vat.root, "echo", &Args::smallcaps("[\"$0\"]", vec![vat.root.clone()]))
        .unwrap();
    assert_eq!(object.value.slots, std::slice::from_ref(&vat.root));
    let failed = alice.send(&vat.root, "fail", &Args::default()).unwrap();
    assert_eq!(failed.status, "rejected");
    assert!(failed.value.body.contains("#error"));

    let stats = node.client.vat_stats(&vat.vat_id).unwrap();
    assert!(stats.deliveries >= 4 && stats.computrons_total > 0, "{stats:?}");
    assert!(node.client.vats().unwrap().iter().any(|listed| listed.vat_id == vat.vat_id));
    assert!(node.client.kernel_stats().unwrap().cranks > 0);
    let outbox = node.client.outbox(&alice.address(), 0, 0).unwrap();
    let last = outbox.entries.last().unwrap().number;
    alice.acknowledge(last).unwrap();
    assert!(node.client.outbox(&alice.address(), 0, 0).unwrap().entries.is_empty());
}

#[test]
fn coins_move_and_fees_are_the_least_that_the_chain_takes() {
    let node = Node::start();
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let before = node.client.account(&bob.address()).unwrap();
    let own = node.client.account(&alice.address()).unwrap();
    alice.transfer(&bob.address(), Amount(1234)).unwrap();
    let after = node.client.account(&bob.address()).unwrap();
    assert_eq!(after.balance.0 - before.balance.0, 1234);
    let paid = own.balance.0 - 1234 - node.client.account(&alice.address()).unwrap().balance.0;
    let fees = node.client.params().unwrap().fees;
    assert!(
        paid > (fees.tx_gas + fees.message_gas).into()
            && paid < (fees.tx_gas + fees.message_gas + 2000).into(),
        "{paid}"
    );
    assert_eq!(node.client.account(&alice.address()).unwrap().sequence, own.sequence + 1);
    // A stranger has no account until somebody pays them.
    let (_, stranger) = Key::generate().unwrap();
    let error = node.client.account(&stranger.address()).unwrap_err();
    assert!(
        matches!(&error, ClientError::Query { .. }) && error.to_string().contains("account"),
        "{error}"
    );
    alice.transfer(&stranger.address(), Amount(10_000_000)).unwrap();
    Wallet::new(&node.client, stranger).transfer(&alice.address(), Amount(1)).unwrap();
}

#[test]
fn a_large_bundle_travels_in_pieces() {
    let node = Node::with_params(|params| {
        params.max_tx_bytes = 8_192;
        params.max_chunk_bytes = 3_000;
    });
    // Bytes that do not compress, from a fixed seed.
    let bundle = Bundle::from_wasm(Random::from(7).bytes(20_000));
    let last = node.wallet(0).install_bundle(&bundle).unwrap();
    let answer: capstan_client::proto::MsgUploadChunkResponse = last.response(0).unwrap();
    assert_eq!((answer.missing, answer.bundle_id), (0, bundle.id.to_string()));
    assert_eq!(node.client.bundle(&bundle.id).unwrap().size, 20_000);
    let chunks = node.client.tx_search("upload.chunk.index EXISTS", 1, 100).unwrap();
    assert!(chunks.len() >= 7, "{}", chunks.len());
    let huge = Bundle::from_wasm(vec![0; 17 << 20]);
    let error = node.wallet(0).install_bundle(&huge).unwrap_err();
    assert!(matches!(error, ClientError::BundleTooLarge { .. }), "{error}");
}

#[test]
fn what_the_chain_refuses_is_said_as_the_chain_says_it() {
    let node = Node::start();
    let alice = node.wallet(0);
    let unknown = format!("w1-{}", "0".repeat(64));
    let error = alice.create_vat(&CreateVat::new(&unknown)).unwrap_err();
    assert!(
        matches!(&error, ClientError::Failed { .. })
            && error.to_string().contains("install it first"),
        "{error}"
    );
    let error = alice.send("ro-77", "x", &Args::default()).unwrap_err();
    assert!(matches!(&error, ClientError::Failed { .. }), "{error}");
    let error = alice.send("nonsense", "x", &Args::default()).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { .. }) && error.to_string().contains("target"),
        "{error}"
    );
    let forged = Bundle { id: unknown.parse().unwrap(), ..module() };
    let error = alice.install_bundle(&forged).unwrap_err();
    assert!(error.to_string().contains("does not match"), "{error}");
    let error = node.client.vat_stats("v999").unwrap_err();
    assert!(
        matches!(&error, ClientError::Query { path, .. } if path.ends_with("VatStats")),
        "{error}"
    );
    let error = node.client.abci_query("no/such/path", b"", 0, false).unwrap_err();
    assert!(matches!(&error, ClientError::Query { code, .. } if *code != 0), "{error}");
    // After all of this the wallet still knows its sequence.
    alice.install_bundle(&module()).unwrap();
}

#[test]
fn a_sequence_used_elsewhere_is_asked_for_again() {
    let node = Node::start();
    let (one, other) = (node.wallet(0), node.wallet(0));
    let bob = node.wallet(1).address();
    for _ in 0..3 {
        one.transfer(&bob, Amount(1)).unwrap();
        other.transfer(&bob, Amount(1)).unwrap();
    }
    assert_eq!(node.client.account(&one.address()).unwrap().sequence, 6);
}

#[test]
fn wallets_of_one_account_send_at_the_same_time() {
    let node = Node::start();
    let bob = node.wallet(1).address();
    let before = node.client.account(&bob).unwrap().balance;
    let wallets: Vec<Wallet> = (0..6).map(|_| node.wallet(0)).collect();
    std::thread::scope(|scope| {
        for wallet in &wallets {
            scope.spawn(|| (0..5).for_each(|_| drop(wallet.transfer(&bob, Amount(1)).unwrap())));
        }
    });
    // Each transfer has happened once.
    assert_eq!(node.client.account(&wallets[0].address()).unwrap().sequence, 30);
    assert_eq!(node.client.account(&bob).unwrap().balance.0, before.0 + 30);
    assert!(wallets.iter().all(|wallet| wallet.last_sent().is_some()));
}

#[test]
fn threads_can_share_a_wallet() {
    let node = Node::start();
    let alice = node.wallet(0);
    let bob = node.wallet(1).address();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| drop(alice.transfer(&bob, Amount(1)).unwrap())));
        }
    });
    assert_eq!(node.client.account(&alice.address()).unwrap().sequence, 20);
}

#[test]
fn replays_and_other_chains_are_refused() {
    let node = Node::start();
    let alice = node.wallet(0);
    let data = node.client.signer_data(&alice.address()).unwrap();
    let message = payment(&alice.address(), &node.wallet(1).address());
    let builder = TxBuilder::new().message(&message).fee(Amount(10_000));
    let signed = builder.sign(&Key::dev(0), &data).unwrap();
    let info = node.client.broadcast_commit(&signed).unwrap();
    assert_eq!((info.hash, info.code), (signed.hash(), 0));
    assert_eq!(node.client.tx(signed.hash()).unwrap().unwrap().height, info.height);
    assert!(node.client.tx(capstan_client::Hash::Sha256([3; 32])).unwrap().is_none());
    let again = node.client.broadcast_sync(&signed).unwrap_err();
    assert!(
        matches!(&again, ClientError::Rpc { data, .. } if data == "tx already exists in cache"),
        "{again}"
    );
    let replay = builder.clone().memo("again").sign(&Key::dev(0), &data).unwrap();
    let error = node.client.broadcast_sync(&replay).unwrap_err();
    assert!(matches!(&error, ClientError::Refused { code: 12, .. }), "{error}");
    let elsewhere = capstan_client::SignerData {
        chain_id: "other-1".into(),
        sequence: data.sequence + 1,
        ..data
    };
    let error =
        node.client.broadcast_commit(&builder.sign(&Key::dev(0), &elsewhere).unwrap()).unwrap_err();
    assert!(matches!(&error, ClientError::Refused { code: 11, .. }), "{error}");
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let node = Node::start();
    let alice = node.wallet(0);
    alice.install_bundle(&module()).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&module().id)).unwrap();
    let start = Instant::now();
    let impatient = node.wallet(0).with_timeout(Duration::from_millis(300));
    let error = impatient.send(&vat.root, "never", &Args::default()).unwrap_err();
    assert!(
        matches!(&error, ClientError::Timeout { .. }) && error.to_string().contains("300ms"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    let sent = impatient.send_only(&vat.root, "never", &Args::default()).unwrap();
    assert_eq!(node.client.message_result(sent.hash, 0).unwrap().status, "pending");
}

#[test]
fn events_come_over_a_subscription() {
    let node = Node::start();
    let alice = node.wallet(0);
    let mut txs =
        node.client.subscribe("tm.event='Tx' AND bundle.installed.bundle_id EXISTS").unwrap();
    let mut blocks = node.client.subscribe("tm.event='NewBlock'").unwrap();
    alice.transfer(&node.wallet(1).address(), Amount(1)).unwrap();
    let installed = alice.install_bundle(&module()).unwrap();
    let event = txs.next(soon()).unwrap();
    assert_eq!(event.kind, EventKind::Tx);
    assert_eq!(event.attributes["tx.hash"], [installed.hash.to_string()]);
    assert_eq!(event.attributes["bundle.installed.bundle_id"], [module().id]);
    assert_eq!(blocks.next(soon()).unwrap().kind, EventKind::NewBlock);
    let quiet = txs.next(Deadline::after(Duration::from_millis(50))).unwrap_err();
    assert!(matches!(quiet, ClientError::Timeout { .. }), "{quiet}");
    let error = node.client.subscribe("malformed query").unwrap_err();
    assert!(
        matches!(&error, ClientError::Rpc { .. }) && error.to_string().contains("offset 10"),
        "{error}"
    );
    // A node that goes away ends its subscriptions, and then is not there.
    let client = node.client.clone();
    node.solo.shutdown().unwrap();
    let gone = std::iter::from_fn(|| Some(blocks.next(soon()))).find_map(Result::err).unwrap();
    assert!(matches!(gone, ClientError::Closed { .. }), "{gone}");
    assert!(matches!(client.status().unwrap_err(), ClientError::Unreachable { .. }));
    assert!(matches!(
        client.subscribe("tm.event='Tx'").unwrap_err(),
        ClientError::Unreachable { .. }
    ));
}

#[test]
fn the_typed_calls_of_the_rpc_work() {
    let node = Node::start();
    let done = node.wallet(0).transfer(&node.wallet(1).address(), Amount(1)).unwrap();
    let height = u32::try_from(done.height).unwrap();
    let status = node.client.status().unwrap();
    assert_eq!((status.chain_id.as_str(), status.catching_up), (CHAIN_ID, false));
    assert!(status.height >= done.height && status.time.ends_with('Z'));
    let block = node.client.block(height).unwrap();
    assert_eq!((block.block.header.height.value(), block.block.data.len()), (done.height, 1));
    assert!(node.client.block(0).unwrap().block.header.height.value() >= done.height);
    assert_eq!(node.client.block_results(height).unwrap().txs_results.unwrap().len(), 1);
    assert_eq!(node.client.validators(height).unwrap().validators.len(), 1);
    let found = node.client.tx_search(&format!("tx.height={height}"), 1, 10).unwrap();
    assert_eq!(found[0].hash, done.hash);
    let query = node.client.abci_query("params", b"", 0, false).unwrap();
    assert!(query.value.starts_with(b"{") && query.height >= done.height);
    let error = node.client.block(9_999).unwrap_err();
    assert!(matches!(&error, ClientError::Rpc { code: -32603, .. }), "{error}");
}

#[test]
fn the_example_runs_against_a_node() {
    let node = Node::start();
    let url = format!("http://{}", node.client.addr());
    let report =
        example::run(&url, b"\0asm and what the host of these tests takes", "echo").unwrap();
    assert!(
        report.starts_with("echo was fulfilled with Some(Array([Number(Number(5))]))"),
        "{report}"
    );
    assert!(report.contains(" deliveries and spent "), "{report}");
}

#[test]
fn transactions_are_sent_and_found_in_batches() {
    let node = Node::start();
    let (alice, bob) = (Key::dev(0), Key::dev(1).address());
    let mut signer = node.client.signer_data(&alice.address()).unwrap();
    let mut sign = |sequence| {
        signer.sequence = sequence;
        let message = payment(&alice.address(), &bob);
        TxBuilder::new().message(&message).fee(Amount(10_000)).sign(&alice, &signer).unwrap()
    };
    let mut txs: Vec<_> = (0..23).map(&mut sign).collect();
    // One that is refused keeps none of the others back.
    txs.insert(12, sign(400));
    let mut answers = node.client.broadcast_all(&txs).unwrap();
    let error = answers.remove(12).unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    txs.remove(12);
    let hashes: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let sent: Vec<_> = txs.iter().map(capstan_client::SignedTx::hash).collect();
    assert_eq!(hashes, sent);
    let found = node.client.wait_txs(&hashes, soon()).unwrap();
    assert_eq!(found.iter().map(|tx| tx.hash).collect::<Vec<_>>(), hashes);
    assert!(found.iter().all(|tx| tx.code == 0), "{found:?}");
    let unknown = sign(401).hash();
    let asked = node.client.txs(&[hashes[3], unknown, hashes[5]]).unwrap();
    let heights: Vec<_> = asked.iter().map(|tx| tx.as_ref().map(|tx| tx.height)).collect();
    assert_eq!(heights, [Some(found[3].height), None, Some(found[5].height)]);
    let error = node
        .client
        .wait_txs(&[hashes[0], unknown], Deadline::after(Duration::from_millis(50)))
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert!(node.client.broadcast_all(&[]).unwrap().is_empty());
}
