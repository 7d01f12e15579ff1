//! `capstan-bench blocks`: what blocks cost an application: empty ones, and such full of small messages to a wasm vat, handed
//! to it straight and sent to a solo node over its JSON-RPC.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use capstan_client::{Client, Deadline, SignedTx, TxBuilder};
use capstan_consensus::solo::{self, Solo, SoloConfig};
use capstan_genesis::Genesis;
use capstan_tests::{Account, BareApp, Options, genesis, raw_genesis};
use serde_json::{Value, json};
use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::{RequestCheckTx, RequestFinalizeBlock, RequestQuery};

use crate::Clock;

/// Empty blocks that are measured.
const EMPTY: usize = 300;
/// Accounts that send.
const SENDERS: u32 = 4;
/// Messages of each, one a transaction.
const SENDS: usize = 2_500;
/// Transactions in a block that is made here.
const BLOCK_TXS: usize = 500;

/// A part of the benchmark.
type Part = (&'static str, fn() -> Result<Vec<Value>>);

const PARTS: [Part; 4] = [
    ("empty", || {
        let wasm = empty("wasm vats", &raw_genesis(|_| {}), &Options::raw());
        Ok(vec![wasm, empty("JavaScript vats", &genesis(|_| {}), &Options::usual())])
    }),
    ("straight", straight),
    ("rpc", || over_rpc("MsgSend to a wasm vat, over the JSON-RPC of a solo node", send_each)),
    ("batches", || {
        let name = "MsgSend to a wasm vat, over the JSON-RPC of a solo node, ten calls a request";
        over_rpc(name, send_all)
    }),
];

/// Measures all parts, or the one of this name.
pub(crate) fn run(as_json: bool, only: Option<&str>) -> Result<()> {
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if only.is_none_or(|only| only == name) {
            rows.extend(part()?);
        }
    }
    ensure!(!rows.is_empty(), "the parts are {}", PARTS.map(|(name, _)| name).join(", "));
    if as_json {
        println!("{}", Value::Array(rows));
        return Ok(());
    }
    for row in rows {
        let fields = row.as_object().context("a row is an object")?;
        println!("{}", fields["name"].as_str().unwrap_or_default());
        for (name, figure) in fields.iter().filter(|(name, _)| *name != "name") {
            println!("    {name:<44} {:>12.3}", figure.as_f64().unwrap_or_default());
        }
    }
    Ok(())
}

/// FinalizeBlock and Commit of blocks without transactions on an idle chain.
fn empty(what: &str, genesis: &Genesis, options: &Options) -> Value {
    let app = BareApp::start(genesis, options);
    // What the genesis left to do.
    (1..=20).for_each(|height| drop(app.block(height, &[])));
    let (mut finalize, mut commit) = (Vec::new(), Vec::new());
    for height in (21..).take(EMPTY) {
        let request = RequestFinalizeBlock { height, ..RequestFinalizeBlock::default() };
        let began = Instant::now();
        app.app().finalize_block(request);
        let middle = Instant::now();
        app.app().commit();
        finalize.push(middle - began);
        commit.push(middle.elapsed());
    }
    json!({
        "name": format!("an empty block, chain of {what}"),
        "finalize_ms_p50": percentile(&mut finalize, 50),
        "finalize_ms_p99": percentile(&mut finalize, 99),
        "commit_ms_p50": percentile(&mut commit, 50),
        "commit_ms_p99": percentile(&mut commit, 99),
    })
}

/// Messages handed straight to the application, as an engine hands them: CheckTx, blocks, queries of all results.
fn straight() -> Result<Vec<Value>> {
    let app = BareApp::start(&sends_genesis(), &Options::raw());
    (1..=5).for_each(|height| drop(app.block(height, &[])));
    let mut height = 5;
    let batches = signed(&mut accounts(), |tx| {
        // Each account meets its vat, one after the other.
        height += 1;
        app.block(height, &[tx.bytes().to_vec()]);
        height += 1;
        app.block(height, &[]);
        Ok(())
    })?;
    let txs = interleaved(batches);
    let clock = Clock::start();
    let (mut checks, mut finalize, mut commit) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for block in txs.chunks(BLOCK_TXS) {
        let began = Instant::now();
        for tx in block {
            let request =
                RequestCheckTx { tx: tx.bytes().to_vec().into(), ..RequestCheckTx::default() };
            let checked = app.app().check_tx(request);
            ensure!(checked.code == 0, "CheckTx refused a message: {}", checked.log);
        }
        let middle = Instant::now();
        height += 1;
        let request = RequestFinalizeBlock {
            height,
            txs: block.iter().map(|tx| tx.bytes().to_vec().into()).collect(),
            ..RequestFinalizeBlock::default()
        };
        let results = app.app().finalize_block(request);
        ensure!(results.tx_results.iter().all(|result| result.code == 0), "a message failed");
        let end = Instant::now();
        app.app().commit();
        checks += middle - began;
        finalize += end - middle;
        commit += end.elapsed();
    }
    let began = Instant::now();
    for tx in &txs {
        height = settled(&app, tx, height)?;
    }
    let queries = began.elapsed();
    let (cpu, wall) = clock.read();
    let count = txs.len() as f64;
    let each_us = |time: Duration| time.as_secs_f64() * 1e6 / count;
    Ok(vec![json!({
        "name": "MsgSend to a wasm vat, straight into the application",
        "count": count,
        "per_second": count / wall.as_secs_f64(),
        "cpu_us_each": each_us(cpu),
        "check_us_each": each_us(checks),
        "finalize_us_each": each_us(finalize),
        "commit_us_each": each_us(commit),
        "query_us_each": each_us(queries),
    })])
}

/// Asks for the result of a message, making blocks as long as it is pending. The height afterwards.
fn settled(app: &BareApp, tx: &SignedTx, mut height: i64) -> Result<i64> {
    loop {
        let path = format!("txs/{}/0", tx.hash());
        let answer = app.app().query(RequestQuery { path, ..RequestQuery::default() });
        ensure!(answer.code == 0, "no result: {}", answer.log);
        let result: Value = serde_json::from_slice(&answer.value)?;
        match result["status"].as_str() {
            Some("pending") => {
                height += 1;
                app.block(height, &[]);
            }
            status => {
                ensure!(status == Some("fulfilled"), "a message came to {result}");
                return Ok(height);
            }
        }
    }
}

/// The same over the JSON-RPC of a solo node, from several clients at once, to the last queried result.
fn over_rpc(name: &str, send: fn(&Client, &[SignedTx]) -> Result<()>) -> Result<Vec<Value>> {
    let home = tempfile::tempdir()?;
    let app = Options::raw().app_at(&home.path().join("state"));
    let genesis = solo::GenesisDoc::from_json(sends_genesis().to_json()?.as_bytes())?;
    let mut config = SoloConfig::new(home.path(), "127.0.0.1:0".parse()?, genesis);
    config.mempool.max_txs = SENDERS as usize * SENDS; // the senders do not wait for blocks
    let solo = Solo::start(app.clone(), config)?;
    let client = Client::new(&format!("http://{}", solo.rpc_addr()))?;
    client.wait_ready(deadline())?;
    let batches = signed(&mut accounts(), |tx| {
        client.broadcast_commit(tx).context("a first message")?;
        Ok(())
    })?;
    let clock = Clock::start();
    let finished = thread::scope(|scope| {
        let client = &client;
        let start = |batch| {
            let sender = thread::Builder::new().name("sender".to_owned());
            sender.spawn_scoped(scope, move || send(client, batch))
        };
        let threads: std::io::Result<Vec<_>> = batches.iter().map(|batch| start(batch)).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().map_err(|_| anyhow!("a sender panicked"))?
        };
        threads?.into_iter().try_for_each(ended)
    });
    finished?;
    let (cpu, wall) = clock.read();
    let count = (SENDERS as usize * SENDS) as f64;
    let metrics = app.metrics_text()?;
    let sum = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    let row = json!({
        "name": name,
        "count": count,
        "per_second": count / wall.as_secs_f64(),
        "cpu_us_each": cpu.as_secs_f64() * 1e6 / count,
        "finalize_us_each": sum("capstan_finalize_seconds_sum") * 1e6 / count,
        "commit_us_each": sum("capstan_commit_seconds_sum") * 1e6 / count,
    });
    solo.shutdown()?;
    Ok(vec![row])
}

/// Sends one transaction in each request, and asks for every result in one.
fn send_each(client: &Client, txs: &[SignedTx]) -> Result<()> {
    for tx in txs {
        client.broadcast_sync(tx)?;
    }
    for tx in txs {
        client.wait_tx(tx.hash(), deadline())?;
    }
    Ok(())
}

/// Sends transactions in batches, and asks for results in batches.
fn send_all(client: &Client, txs: &[SignedTx]) -> Result<()> {
    let hashes = client.broadcast_all(txs)?.into_iter().collect::<Result<Vec<_>, _>>()?;
    for found in client.wait_txs(&hashes, deadline())? {
        found.succeeded()?;
    }
    Ok(())
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn accounts() -> Vec<Account> {
    (0..SENDERS).map(Account::dev).collect()
}

/// All messages, signed, by account. `begin` is given the first one of each account, which is none of them.
fn signed(
    accounts: &mut [Account],
    mut begin: impl FnMut(&SignedTx) -> Result<()>,
) -> Result<Vec<Vec<SignedTx>>> {
    for account in accounts.iter_mut() {
        begin(&send(account))?;
    }
    Ok(accounts.iter_mut().map(|account| (0..SENDS).map(|_| send(account)).collect()).collect())
}

fn send(account: &mut Account) -> SignedTx {
    let message: TxBuilder = account.calls(&["increment"]);
    let signed = account.sign(message);
    account.sequence += 1;
    signed
}

/// One message of each account after the other.
fn interleaved(batches: Vec<Vec<SignedTx>>) -> Vec<SignedTx> {
    let mut batches: Vec<_> = batches.into_iter().map(Vec::into_iter).collect();
    let mut txs = Vec::new();
    while let Some(round) = batches.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
        txs.extend(round);
    }
    txs
}

/// A chain of wasm vats whose blocks have room.
fn sends_genesis() -> Genesis {
    raw_genesis(|genesis| {
        let params = &mut genesis.app_state.params;
        params.block_computrons = 65_000_000;
        params.snapshot_interval = 200;
        genesis.app_state.kernel.reap_interval = 1_000;
    })
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len() - 1);
    times[at].as_secs_f64() * 1e3
}
