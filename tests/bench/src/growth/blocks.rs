//! Blocks: a solo chain of wasm vats whose blocks are nearly all empty. One in a hundred has a transaction.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use capstan_client::{Client, Deadline, Hash};
use capstan_consensus::solo::{self, BlockPolicy, Solo, SoloConfig};
use capstan_tests::{Account, Options, raw_genesis};

use super::{Point, cpu_us, median, median_us, progress};

/// Blocks between two transactions.
const APART: u64 = 100;
const ROUNDS: usize = 100;

pub(super) fn measure(sizes: &[u64]) -> Result<Vec<Point>> {
    let home = tempfile::tempdir()?;
    let mut account = Account::dev(0);
    let (mut points, mut first) = (Vec::new(), None);
    for size in sizes {
        let grown = grow(home.path(), *size, &mut account)?;
        let first = *first.get_or_insert(grown);
        let mut openings = Vec::new();
        for _ in 0..3 {
            let (us, solo) = cpu_us(|| start(home.path(), None))?;
            openings.push(us);
            solo.shutdown()?;
        }
        let solo = start(home.path(), None)?;
        let client = client(&solo)?;
        let path = format!("accounts/{}", account.address());
        let block = median_us(ROUNDS, |_| commit(&client, &mut account).map(drop))?;
        let transaction = median_us(ROUNDS, |_| {
            client.tx(first)?.context("the first transaction is gone").map(drop)
        })?;
        let query = median_us(ROUNDS, |_| {
            client.abci_query(&path, &[], 0, false).map(drop).map_err(Into::into)
        })?;
        solo.shutdown()?;
        points.push(Point {
            size: *size,
            costs: vec![
                ("block with a transaction, until its result", block),
                ("query of the first transaction", transaction),
                ("query of an account", query),
                ("opening, until JSON-RPC is served", median(&mut openings)),
            ],
            counts: Vec::new(),
        });
    }
    Ok(points)
}

/// Runs the chain until it has `size` blocks. Returns the first transaction that was sent.
fn grow(home: &Path, size: u64, account: &mut Account) -> Result<Hash> {
    // Empty blocks follow each other as fast as they can be made.
    let solo = start(home, Some(Duration::from_nanos(1)))?;
    let client = client(&solo)?;
    let mut first = None;
    let mut next = solo.height().unsigned_abs();
    loop {
        let height = solo.height().unsigned_abs();
        if height >= next {
            first.get_or_insert(commit(&client, account)?);
            next = height + APART;
            progress("blocks", height, size);
        }
        if height >= size {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    solo.shutdown()?;
    first.context("no transaction was sent")
}

fn start(home: &Path, empty_interval: Option<Duration>) -> Result<Solo> {
    let genesis = solo::GenesisDoc::from_json(raw_genesis(|_| {}).to_json()?.as_bytes())?;
    let mut config = SoloConfig::new(home, "127.0.0.1:0".parse()?, genesis);
    config.policy = BlockPolicy { empty_interval, ..BlockPolicy::default() };
    Ok(Solo::start(Options::raw().app_at(&home.join("state")), config)?)
}

fn client(solo: &Solo) -> Result<Client> {
    let client = Client::new(&format!("http://{}", solo.rpc_addr()))?;
    client.wait_ready(deadline())?;
    Ok(client)
}

/// Sends a message, and waits until its transaction is in a block. Returns its hash.
fn commit(client: &Client, account: &mut Account) -> Result<Hash> {
    let signed = account.sign(account.calls(&["increment"]));
    account.sequence += 1;
    let found = client.broadcast_commit(&signed)?;
    ensure!(found.code == 0, "a message failed with code {}", found.code);
    Ok(signed.hash())
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}
