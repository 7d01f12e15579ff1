//! Two nodes that come to different app hashes: the first crank at which they differ is found, with the keys.
#![allow(clippy::unwrap_used)] // tests

use std::path::Path;
use std::sync::{Arc, Mutex};

use capstan_abi::Delivery;
use capstan_app::trace::bisect::{Finding, Write, bisect};
use capstan_app::{App, AppOptions, FatalHandler, TraceOptions};
use capstan_store::Store;
use capstan_tests::{Account, HookedHost, Options, Wrong, WrongHost, host, raw_genesis};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInitChain};

/// True for a delivery that writes to the vat's store.
fn is_increment(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Message { message, .. }
        if message.methargs.body.starts_with("#[\"increment\""))
}

/// Runs the story on a node, whose traces are in `home`; gives its app hashes, and which deliveries were of `increment`.
fn run(home: &Path, wrong: Option<u64>, kind: Wrong) -> (Vec<Vec<u8>>, Vec<u64>) {
    let increments: Arc<Mutex<Vec<u64>>> = Arc::default();
    let host = WrongHost::new(host(&Options::raw()), kind, wrong);
    let (noted, mut deliveries) = (Arc::clone(&increments), 0);
    // Vats come back by replay through this host.
    let host = HookedHost::new(host, move |delivery| {
        if is_increment(delivery) {
            noted.lock().unwrap().push(deliveries);
        }
        deliveries += 1;
    })
    .without_heaps();
    let on_fatal = FatalHandler::call_back(|_| {});
    let trace = Some(TraceOptions { dir: home.to_owned(), keep_blocks: 100, max_bytes: 1 << 30 });
    let options = AppOptions { on_fatal, trace, ..AppOptions::default() };
    let app = App::new(Store::in_memory().unwrap(), host, options).unwrap();
    // Blocks of several deliveries, so that a wrong one may be anywhere in its block.
    let genesis = raw_genesis(|genesis| genesis.app_state.params.block_computrons = 600_000);
    app.init_chain(RequestInitChain {
        chain_id: genesis.chain_id.clone(),
        initial_height: 1,
        app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
        ..RequestInitChain::default()
    });
    let mut accounts: Vec<Account> = (0..3).map(Account::dev).collect();
    let mut block = |height: i64| {
        let txs = accounts.iter_mut().map(|account| {
            let tx = account.calls(&["increment", "forward"]);
            account.tx(tx).into()
        });
        let txs = if height > 1 { txs.collect() } else { vec![] };
        let request = RequestFinalizeBlock { height, txs, ..RequestFinalizeBlock::default() };
        let hash = app.finalize_block(request).app_hash.to_vec();
        app.commit();
        hash
    };
    let hashes = (1..=8).map(&mut block).collect();
    let increments = increments.lock().unwrap().clone();
    (hashes, increments)
}

#[test]
fn nodes_that_agree_have_no_difference() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(run(a.path(), None, Wrong::Syscall), run(b.path(), None, Wrong::Syscall));
    let found = bisect(a.path(), b.path()).unwrap();
    assert_eq!(found, Finding::Same { compared: Some((1, 8)) });
}

#[test]
fn the_first_crank_that_went_wrong_is_found_with_its_keys() {
    let good_home = tempfile::tempdir().unwrap();
    let (good, increments) = run(good_home.path(), None, Wrong::Syscall);
    assert!(increments.len() >= 6, "{increments:?}");
    for (kind, expected) in [(Wrong::Computrons, "k.w."), (Wrong::Syscall, "k.s.v")] {
        for &wrong in &increments {
            let bad_home = tempfile::tempdir().unwrap();
            let (bad, _) = run(bad_home.path(), Some(wrong), kind);
            let first = good.iter().zip(&bad).position(|(good, bad)| good != bad).unwrap();
            let finding = bisect(good_home.path(), bad_home.path()).unwrap();
            let Finding::Link { height, links, keys, .. } = finding else {
                panic!("delivery {wrong}: {finding:?}")
            };
            assert_eq!(height, first as u64 + 1, "delivery {wrong}");
            let [Some(left), Some(right)] = links.as_ref() else { panic!("{links:?}") };
            assert_eq!((left.crank, &left.about), (right.crank, &right.about));
            let name = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            let names: Vec<String> = keys.iter().map(|key| name(&key.key)).collect();
            assert!(names.iter().any(|name| name.starts_with(expected)), "{names:?}");
            assert!(keys.iter().all(|key| key.writes[0] != key.writes[1]));
            assert!(keys.iter().all(|key| key.writes[0] != Write::Untouched), "{keys:?}");
        }
    }
}
