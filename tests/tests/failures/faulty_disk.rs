//! A node whose disk fails or fills up ends by itself, with nothing of the block committed; mended, it goes on.
#![allow(clippy::unwrap_used)] // tests

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use capstan_app::{App, AppOptions, FatalHandler, FatalReport};
use capstan_tests::sim::{Disk, store_on};
use capstan_tests::{Account, Options, Random, actor_with, host, raw_genesis};
use capstan_vat_host::WasmHost;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInfo, RequestInitChain};

const BLOCKS: i64 = 30;

/// Room that somebody makes at a time, in bytes.
const ROOM: usize = 400 << 10;

/// An application on `disk`, whose last report is kept.
fn open(disk: &Disk) -> (App<WasmHost>, Arc<Mutex<Option<FatalReport>>>) {
    let report = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&report);
    let on_fatal =
        FatalHandler::call_back(move |report| *kept.lock().unwrap() = Some(report.clone()));
    let store = store_on(disk).unwrap();
    let options = AppOptions { on_fatal, ..AppOptions::default() };
    let app = App::new(store, host(&Options::raw()), options).unwrap();
    if app.info(RequestInfo::default()).last_block_height == 0 {
        let genesis = raw_genesis(|_| {});
        app.init_chain(RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: 1,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        });
    }
    (app, report)
}

/// The transactions of each block: bundles of a size that fills a disk.
fn story() -> Vec<Vec<u8>> {
    let (mut alice, mut random) = (Account::dev(0), Random::from(5));
    let mut one = |_| {
        let section: Vec<u8> = (0..60_000).map(|_| random.number() as u8).collect();
        let tx = alice.install(&actor_with(&section));
        alice.tx(tx)
    };
    (0..BLOCKS).map(&mut one).collect()
}

/// Goes on until the end of the story: the last app hash.
fn go_on(app: &App<WasmHost>, story: &[Vec<u8>]) -> Vec<u8> {
    let mut height = app.info(RequestInfo::default()).last_block_height;
    let mut hash = Vec::new();
    while height < BLOCKS {
        let txs = vec![story[usize::try_from(height).unwrap()].clone().into()];
        height += 1;
        let request = RequestFinalizeBlock { height, txs, ..RequestFinalizeBlock::default() };
        let results = app.finalize_block(request);
        assert_eq!(results.tx_results[0].code, 0, "{}", results.tx_results[0].log);
        hash = results.app_hash.to_vec();
        app.commit();
    }
    hash
}

#[test]
fn a_full_disk_ends_this_node_alone_and_nothing_is_lost() {
    let story = story();
    let expected = go_on(&open(&Disk::default()).0, &story);
    let disk = Disk::default();
    let (app, report) = open(&disk);
    let mut capacity = disk.size_bytes() + ROOM;
    disk.set_capacity(Some(capacity));
    let mut stops = 0;
    let mut running = Some((app, report));
    loop {
        let (app, report) = running.take().unwrap_or_else(|| open(&disk));
        match catch_unwind(AssertUnwindSafe(|| go_on(&app, &story))) {
            Ok(hash) => {
                assert_eq!(hash, expected);
                break;
            }
            Err(_) => {
                let report = report.lock().unwrap().take().unwrap();
                assert!(!report.everywhere && report.exit_code() == 74, "{report}");
                assert!(report.to_string().contains("This node alone stops"), "{report}");
                stops += 1;
                drop(app);
                // Somebody makes room, less than is needed in the end.
                capacity += ROOM;
                disk.set_capacity(Some(capacity));
            }
        }
        assert!(stops < 100, "the node never comes to the end");
    }
    assert!(stops >= 2, "the disk was full {stops} times");
}
