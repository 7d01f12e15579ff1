//! The blocks of solo consensus: their timing, their survival of restarts, and light clients that verify
//! it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::time::Duration;

use capstan_consensus::solo::{BlockPolicy, ManualClock, Solo, SoloConfig, SoloError};
use serde_json::{Value, json};
use support::app::TestApp;
use support::{Node, Rpc, base64, config, poll, text_i64, tx_hash};
use tendermint::block::signed_header::SignedHeader;
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{
    TrustThreshold, TrustedBlockState, UntrustedBlockState, ValidatorSet,
};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};
use tendermint_rpc::endpoint::{block, commit, validators};

#[test]
fn an_idle_chain_makes_no_blocks() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    assert_eq!(node.idle(), 1, "the first block is made at once, and no other");
    // Many requests later there is still one block: what could make another has had its time.
    for _ in 0..200 {
        assert_eq!(node.rpc.height(), 1);
    }
}

#[test]
fn a_transaction_makes_a_block_and_a_changed_app_hash_the_next() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.idle();
    assert_eq!(node.rpc.commit("a=1")["height"], "2");
    assert_eq!(node.idle(), 3, "one more block holds the new app hash");
    // A queue of three changes the hash in its own block and in the three after it; then comes the
    // proof.
    assert_eq!(node.rpc.commit("queue=3")["height"], "4");
    assert_eq!(node.idle(), 8);
    assert_eq!(
        node.rpc.call("block_results", json!({"height": "7"}))["finalize_block_events"][0]["attributes"]
            [0]["value"],
        "0"
    );
    // The same value again changes nothing: a block for the transaction, none after it.
    assert_eq!(node.rpc.commit("fail=x")["height"], "9");
    assert_eq!(node.idle(), 9);
}

#[test]
fn transactions_that_the_application_leaves_out_do_not_keep_the_chain_busy() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.idle();
    assert_eq!(node.rpc.call("broadcast_tx_sync", json!({"tx": base64("leave=1")}))["code"], 0);
    // It is in no block, so nothing else shows that the one for it was made.
    poll(|| (node.rpc.height() == 2).then_some(()));
    assert_eq!(node.idle(), 2);
    assert_eq!(
        node.rpc.call("broadcast_tx_sync", json!({"tx": base64("leave=1")}))["code"],
        0,
        "it may come again"
    );
    poll(|| (node.rpc.height() == 3).then_some(()));
    assert_eq!(node.idle(), 3);
}

#[test]
fn blocks_wait_for_the_least_interval_and_come_after_the_empty_interval() {
    let home = tempfile::tempdir().unwrap();
    let mut slow = config(home.path());
    slow.policy = BlockPolicy { min_interval: Duration::from_secs(3600), empty_interval: None };
    let node = Node::start_with(slow);
    node.idle();
    node.rpc.call("broadcast_tx_sync", json!({"tx": base64("a=1")}));
    for _ in 0..100 {
        assert_eq!(node.rpc.height(), 1);
    }
    node.solo.shutdown().unwrap();

    let mut busy = config(home.path());
    busy.policy.empty_interval = Some(Duration::from_millis(5));
    let node = Node::start_with(busy);
    poll(|| (node.rpc.height() >= 4).then_some(()));
}

#[test]
fn header_times_follow_the_clock() {
    let home = tempfile::tempdir().unwrap();
    let clock = ManualClock::new("2030-01-01T00:00:00Z".parse().unwrap());
    let mut config = config(home.path());
    config.clock = std::sync::Arc::new(clock.clone());
    let node = Node::start_with(config);
    node.idle();
    let time_of = |tx: &str| {
        let height = node.rpc.commit(tx)["height"].clone();
        let block = node.rpc.call("block", json!({"height": height}));
        block["block"]["header"]["time"].as_str().unwrap().to_owned()
    };
    assert_eq!(time_of("fail=1"), "2030-01-01T00:00:00Z");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(time_of("fail=2"), "2030-01-01T01:00:00Z");
    assert_eq!(
        time_of("fail=3"),
        "2030-01-01T01:00:00.001Z",
        "the clock stands, header times do not"
    );
}

/// What the RPC says of every block, and of a transaction.
fn history(rpc: Rpc, last: i64) -> Vec<Value> {
    let mut answers = Vec::new();
    for height in 1..=last {
        for method in ["block", "block_results", "validators", "header", "consensus_params"] {
            answers.push(rpc.call(method, json!({"height": height.to_string()})));
        }
        // The last commit becomes canonical only by the next block.
        if height < last {
            answers.push(rpc.call("commit", json!({"height": height.to_string()})));
        }
    }
    answers.push(rpc.call("tx", json!({"hash": tx_hash("a=1"), "prove": true})));
    answers.push(rpc.call("tx_search", json!({"query": "app.key EXISTS"})));
    answers
}

#[test]
fn a_restart_between_any_two_blocks_changes_no_hash_and_old_blocks_stay() {
    let story = ["a=1", "queue=2", "fail=x", "maxgas=100", "b=2"];
    let run = |restart: bool| {
        let home = tempfile::tempdir().unwrap();
        let mut node = Node::start(home.path());
        let mut hashes = Vec::new();
        for tx in story {
            node.idle();
            node.rpc.commit(tx);
            let last = node.idle();
            if restart {
                let before = history(node.rpc, last);
                node.solo.shutdown().unwrap();
                node = Node::start(home.path());
                assert_eq!(node.idle(), last);
                assert_eq!(history(node.rpc, last), before);
            }
        }
        for height in 1..=node.idle() {
            let results = node.rpc.call("block_results", json!({"height": height.to_string()}));
            hashes.push((height, results["app_hash"].clone(), results["txs_results"].clone()));
        }
        hashes
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_second_node_on_the_same_home_or_address_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let error = Solo::start(TestApp::open(home.path()), config(home.path())).err().unwrap();
    assert!(
        matches!(error, SoloError::Store(_)) && error.to_string().contains("in use"),
        "{error}"
    );
    let other = tempfile::tempdir().unwrap();
    let mut taken = config(other.path());
    taken.rpc_addr = node.solo.rpc_addr();
    let error = Solo::start(TestApp::open(other.path()), taken).err().unwrap();
    assert!(matches!(error, SoloError::Listen { .. }), "{error}");
    assert_eq!(node.idle(), 1, "the first node is unharmed");
}

#[test]
fn light_clients_can_verify_every_block() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    for tx in ["a=1", "queue=1", "maxgas=77"] {
        node.rpc.commit(tx);
    }
    let last = u32::try_from(node.idle()).unwrap();
    let set_at = |height: u32| {
        let request = validators::Request::new(
            Some(height.into()),
            Some(1_usize.into()),
            Some(100_u8.into()),
        );
        ValidatorSet::without_proposer(node.rpc.typed(request).validators)
    };
    let options = Options {
        trust_threshold: TrustThreshold::TWO_THIRDS,
        trusting_period: Duration::from_secs(100 * 365 * 86_400),
        clock_drift: Duration::from_secs(10),
    };
    let now = tendermint::Time::now();
    let verifier = ProdVerifier::default();
    let signed = |height: u32| node.rpc.typed(commit::Request::new(height.into())).signed_header;
    for height in 2..=last {
        let (trusted, untrusted) = (signed(height - 1), signed(height));
        let (set, next) = (set_at(height), set_at(height + 1));
        let verdict = |signed_header: &SignedHeader| {
            let trusted_state = TrustedBlockState {
                chain_id: &trusted.header.chain_id,
                header_time: trusted.header.time,
                height: trusted.header.height,
                next_validators: &set,
                next_validators_hash: trusted.header.next_validators_hash,
            };
            let next_validators = Some(&next);
            let untrusted_state =
                UntrustedBlockState { signed_header, validators: &set, next_validators };
            verifier.verify_update_header(untrusted_state, trusted_state, &options, now)
        };
        assert_eq!(verdict(&untrusted), Verdict::Success, "height {height}");

        // A header that was tampered with is refused: the check above can fail.
        let mut forged = untrusted.clone();
        forged.header.app_hash = vec![1; 32].try_into().unwrap();
        assert_ne!(verdict(&forged), Verdict::Success);
    }
}

#[test]
fn headers_link_and_hash_as_tendermint_says() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.rpc.commit("a=1");
    node.rpc.commit("b=1");
    let last = u32::try_from(node.idle()).unwrap();
    let blocks: Vec<block::Response> =
        (1..=last).map(|height| node.rpc.typed(block::Request::new(height.into()))).collect();
    for (before, after) in blocks.iter().zip(&blocks[1..]) {
        assert_eq!(before.block.header.hash(), before.block_id.hash);
        assert_eq!(after.block.header.last_block_id, Some(before.block_id));
        assert!(after.block.header.time > before.block.header.time);
        let results = node
            .rpc
            .call("block_results", json!({"height": before.block.header.height.to_string()}));
        assert_eq!(
            results["app_hash"],
            json!(base64_bytes(after.block.header.app_hash.as_bytes()))
        );
    }
    assert_eq!(blocks[0].block.header.time, "2025-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(blocks[0].block.header.version.app, 3, "the application's version from Info");
}

fn base64_bytes(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn reads_do_not_wait_for_a_running_block() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.rpc.commit("a=1");
    let height = node.idle();
    assert_eq!(node.rpc.call("broadcast_tx_sync", json!({"tx": base64("slow=1")}))["code"], 0);
    poll(|| node.app.is_slow().then_some(()));
    // The block is being run now and does not end before it is released.
    let query = json!({"path": "/key", "data": hex::encode("a")});
    assert_eq!(node.rpc.call("abci_query", query)["response"]["value"], base64("1"));
    assert_eq!(node.rpc.call("broadcast_tx_sync", json!({"tx": base64("b=1")}))["code"], 0);
    assert_eq!(node.rpc.height(), height);
    node.app.release();
    poll(|| (node.rpc.height() > height).then_some(()));
    poll(|| {
        (node.rpc.call("tx_search", json!({"query": "app.key = 'b'"}))["total_count"] == "1")
            .then_some(())
    });
}

#[test]
fn the_application_that_breaks_abci_ends_consensus_with_an_error() {
    #[derive(Clone)]
    struct Broken(TestApp);
    impl tendermint_abci::Application for Broken {
        fn info(
            &self,
            request: tendermint_proto::v0_38::abci::RequestInfo,
        ) -> tendermint_proto::v0_38::abci::ResponseInfo {
            self.0.info(request)
        }
        fn process_proposal(
            &self,
            _: tendermint_proto::v0_38::abci::RequestProcessProposal,
        ) -> tendermint_proto::v0_38::abci::ResponseProcessProposal {
            tendermint_proto::v0_38::abci::ResponseProcessProposal { status: 2 }
        }
    }
    let home = tempfile::tempdir().unwrap();
    let solo = Solo::start(Broken(TestApp::open(home.path())), config(home.path())).unwrap();
    let error = solo.wait().unwrap_err();
    assert!(matches!(error, SoloError::Abci { height: 1, .. }), "{error}");
    assert!(error.to_string().contains("ProcessProposal"), "{error}");
}

#[test]
fn a_stopper_ends_consensus_from_another_thread() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.idle();
    let stopper = node.solo.stopper();
    let thread = std::thread::spawn(move || stopper.stop());
    node.solo.wait().unwrap();
    thread.join().unwrap();
    // The home and the address are free again.
    let node = Node::start(home.path());
    assert_eq!(node.idle(), 1);
    assert_eq!(
        text_i64(&node.rpc.call("status", json!({}))["sync_info"]["earliest_block_height"]),
        1
    );
}

#[test]
fn a_change_of_the_validators_is_recorded_and_the_chain_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    node.idle();
    let block = node.rpc.commit("validator=7:9");
    let results = node.rpc.call("block_results", json!({"height": block["height"]}));
    assert_eq!(results["validator_updates"][0]["power"], "7");
    node.rpc.commit("validator=0:9");
    node.rpc.commit("a=1");
    let validators = node.rpc.call("validators", json!({}));
    assert_eq!(
        (&validators["total"], &validators["validators"][0]["voting_power"]),
        (&json!("1"), &json!("10"))
    );
    drop(node);
    // A restart runs nothing of it again, and a node that lost its application runs all of it.
    let node = Node::start(home.path());
    let height = node.idle();
    drop(node);
    std::fs::remove_file(TestApp::open(home.path()).path()).unwrap();
    let node = Node::start(home.path());
    assert_eq!(node.idle(), height);
    assert_eq!(node.rpc.commit("b=1")["tx_result"]["code"], 0);
    // An update that CometBFT refuses ends solo consensus, too.
    node.rpc.call("broadcast_tx_sync", json!({"tx": base64("validator=-1:9")}));
    let error = node.solo.wait().unwrap_err();
    assert!(error.to_string().contains("a power of -1"), "{error}");
}

#[test]
fn block_times_go_forward_whatever_the_clock_does() {
    let home = tempfile::tempdir().unwrap();
    let time = |text: &str| text.parse::<tendermint::Time>().unwrap();
    let clock = ManualClock::new(time("2025-01-01T00:00:05Z"));
    let start = || {
        let clock = std::sync::Arc::new(clock.clone());
        Node::start_with(SoloConfig { clock, ..config(home.path()) })
    };
    let mut node = start();
    let mut expected = vec![time("2025-01-01T00:00:00Z")];
    // Forward by a day and by eighty years, backward to before the chain, standing still, forward to the end of time.
    for (index, now) in [
        "2025-01-02T00:00:00Z",
        "2105-01-02T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2105-01-02T00:00:01Z",
        "9999-12-31T23:59:59Z",
        "2025-01-01T00:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        clock.set(time(now));
        let height = text_i64(&node.rpc.commit(&format!("key{index}=1"))["height"]);
        let block: block::Response =
            node.rpc.typed(block::Request::new(u32::try_from(height).unwrap().into()));
        let (found, last) = (block.block.header.time, *expected.last().unwrap());
        assert!(found > last, "{found} does not come after {last}");
        // The clock's time where it can be, the least later one where not.
        assert!(found == time(now) || time(now) <= last, "{found}, the clock shows {now}");
        expected.push(found);
        node.idle();
        if index % 2 == 1 {
            drop(node);
            node = start();
        }
    }
}
