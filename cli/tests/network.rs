//! A real network: CometBFT and Capstan in processes of their own, under load, broken on purpose.
//!
//! `CAPSTAN_TEST_SEED` repeats the choices of a run; `CAPSTAN_ROUNDS` says how often the network is broken.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use capstan_client::{Args, Bundle, Client, ClientError, CreateVat, Deadline, Key, Wallet};
use capstan_tests::sim::hostile_transaction;
use capstan_tests::{Account, Random, example, raw_genesis};
use common::{Done, Place, height_at_rest};
use serde_json::{Value, json};

/// How long a broken network may take to be whole again.
const RECOVERY: Duration = Duration::from_secs(120);
/// How long a message is waited for before it counts as not acknowledged.
const ANSWER: Duration = Duration::from_secs(8);

/// A network in a place of its own; removed in the end.
struct Network {
    place: Place,
    /// The RPC of each node.
    rpc: Vec<String>,
}

impl Network {
    fn up(validators: usize) -> Self {
        Self::up_with(validators, Place::new(), &[])
    }

    fn up_with(validators: usize, place: Place, more: &[&str]) -> Self {
        let mut network = Self { place, rpc: Vec::new() };
        let validators = validators.to_string();
        let up = ["up", "--validators", &validators, "--detach"];
        let status = network.run(&[&up[..], more].concat()).json();
        network.rpc = rpcs(&status);
        network
    }

    fn run(&self, args: &[&str]) -> Done {
        let dir = self.place.path().join("net");
        let mut all = vec!["localnet", "--json", "--home", dir.to_str().unwrap()];
        all.extend(args);
        self.place.run(&all)
    }

    fn client(&self, node: usize) -> Client {
        Client::with_timeout(&self.rpc[node], Duration::from_secs(10)).unwrap()
    }

    fn wallet(&self, node: usize, account: u32) -> Wallet {
        Wallet::new(&self.client(node), Key::dev(account)).with_timeout(ANSWER)
    }

    /// Waits until all nodes have the same height and nothing to do.
    fn settle(&self) -> u64 {
        let settled = || -> Result<_, ClientError> {
            let at_rest = |node| height_at_rest(&self.client(node)).ok().flatten();
            let heights: Option<Vec<u64>> = (0..self.rpc.len()).map(at_rest).collect();
            Ok(heights.filter(|all| all.iter().all(|height| *height == all[0])).map(|all| all[0]))
        };
        let settled = Deadline::after(RECOVERY).poll("the network at rest", settled);
        settled.unwrap_or_else(|error| panic!("{error}: {:?}", self.run(&["status"])))
    }

    /// That every node has executed every block with the same result.
    fn assert_same_hashes(&self, height: u64) {
        for h in 1..=height {
            let of = |node: usize| {
                let results =
                    self.client(node).call_json("block_results", json!({"height": h.to_string()}));
                results.unwrap()["app_hash"].as_str().unwrap().to_owned()
            };
            let first = of(0);
            for node in 1..self.rpc.len() {
                assert_eq!(of(node), first, "app hash of block {h} on node{node}");
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.run(&["status"]).stdout);
            println!("{}", self.run(&["logs", "-n", "15"]).stdout);
        }
        self.run(&["reset"]);
    }
}

fn rpcs(status: &Value) -> Vec<String> {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["rpc"].as_str().unwrap().to_owned()).collect()
}

/// Users who go on whatever happens, and note what they were promised.
struct Load {
    going: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
    promised: Arc<Mutex<BTreeMap<String, u64>>>,
    /// Increments that were asked for, and those that were answered.
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

impl Load {
    /// alice counts, bob makes vats and ends them, carol installs bundles.
    fn start(network: &Network, counter: &Bundle, root: String, seed: u64) -> Self {
        let going = Arc::new(AtomicBool::new(true));
        let mut load = Self {
            going,
            users: Vec::new(),
            promised: Arc::default(),
            asked: Arc::default(),
            answered: Arc::default(),
        };
        let (asked, answered) = (Arc::clone(&load.asked), Arc::clone(&load.answered));
        load.user(network, 0, seed, move |wallet, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            let result = wallet.send(&root, "increment", &Args::default())?;
            assert_eq!(result.status, "fulfilled", "{result:?}");
            answered.fetch_add(1, Ordering::SeqCst);
            Ok(Some((result.hash.to_string(), result.height)))
        });
        let id = counter.id.clone();
        load.user(network, 1, seed + 1, move |wallet, _| {
            let vat = wallet.create_vat(&CreateVat::new(&id))?;
            let ended = wallet.terminate_vat(&vat.admin, None)?;
            Ok(Some((ended.hash.to_string(), ended.height)))
        });
        load.user(network, 2, seed + 2, |wallet, random| {
            // Another bundle each time.
            let section = random.number().to_be_bytes();
            let bundle =
                Bundle::from_wasm(capstan_tests::with_section(capstan_tests::silent(), &section));
            let outcome = wallet.install_bundle(&bundle)?;
            Ok(Some((outcome.hash.to_string(), outcome.height)))
        });
        load
    }

    /// A user who does one thing after the other, each through some node.
    fn user(
        &mut self,
        network: &Network,
        account: u32,
        seed: u64,
        mut act: impl FnMut(&Wallet, &mut Random) -> Result<Option<(String, u64)>, ClientError>
        + Send
        + 'static,
    ) {
        let (going, promised) = (Arc::clone(&self.going), Arc::clone(&self.promised));
        let wallets: Vec<Wallet> =
            (0..network.rpc.len()).map(|node| network.wallet(node, account)).collect();
        self.users.push(std::thread::spawn(move || {
            let mut random = Random::from(seed);
            while going.load(Ordering::SeqCst) {
                let wallet = &wallets[random.below(wallets.len() as u64) as usize];
                match act(wallet, &mut random) {
                    Ok(Some((hash, height))) => drop(promised.lock().unwrap().insert(hash, height)),
                    Ok(None) => {}
                    // The node may be dead, paused or cut off.
                    Err(_) => sleep(Duration::from_millis(100)),
                }
            }
        }));
    }

    /// Ends the users; what they were promised, by transaction.
    fn stop(self) -> (BTreeMap<String, u64>, u64, u64) {
        self.going.store(false, Ordering::SeqCst);
        self.users.into_iter().for_each(|user| user.join().unwrap());
        let promised = self.promised.lock().unwrap().clone();
        (promised, self.answered.load(Ordering::SeqCst), self.asked.load(Ordering::SeqCst))
    }
}

/// A counter of alice's that the load counts on.
fn counter(network: &Network) -> (Bundle, String) {
    let bundle = example("counter");
    let alice = network.wallet(0, 0).with_timeout(RECOVERY);
    alice.install_bundle(&bundle).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&bundle.id)).unwrap();
    (bundle, vat.root)
}

/// That nothing that was promised is lost, on any node, and all nodes agree on everything.
fn assert_whole(network: &Network, root: &str, load: Load) {
    let (promised, answered, asked) = load.stop();
    let height = network.settle();
    println!(
        "{} transactions promised, {answered} of {asked} increments answered, height {height}",
        promised.len()
    );
    assert!(promised.len() > 5, "the load did not get through");
    for node in 0..network.rpc.len() {
        let client = network.client(node);
        for (hash, height) in &promised {
            let find = || client.tx(hash.parse().unwrap());
            let tx = Deadline::after(RECOVERY).poll("a promised transaction", find).unwrap();
            assert_eq!((tx.height, tx.code), (*height, 0), "{hash} on node{node}");
        }
    }
    network.assert_same_hashes(height);
    let alice = network.wallet(0, 0).with_timeout(RECOVERY);
    let value = alice.send(root, "read", &Args::default()).unwrap().value.body;
    let count: u64 = value.trim_start_matches('#').parse().unwrap();
    assert!((answered..=asked).contains(&count), "{count} is not in {answered}..={asked}");
}

/// alice, the governor, makes the newcomer a validator and takes the power of another; bob cannot.
fn assert_governed(network: &Network) {
    let alice = network.wallet(0, 0).with_timeout(RECOVERY);
    let lookup = Args::json(r#"["chain/validators"]"#);
    let bob = network.wallet(0, 1).with_timeout(RECOVERY);
    let refused = bob.send("factory", "lookup", &lookup).unwrap();
    assert_eq!(refused.status, "rejected");
    assert!(refused.value.body.contains("governors"), "{}", refused.value.body);
    let found = alice.send("factory", "lookup", &lookup).unwrap();
    let validators = found.value.slots[0].clone();
    let key = |node: usize| {
        let status = network.client(node).call_json("status", json!({})).unwrap();
        status["validator_info"]["pub_key"]["value"].as_str().unwrap().to_owned()
    };
    for (node, power) in [(4, 7), (3, 0)] {
        let args = Args::json(json!([key(node), power]).to_string());
        let set = alice.send(&validators, "setPower", &args).unwrap();
        assert_eq!(set.status, "fulfilled", "{}", set.value.body);
    }
    let powers = || -> Result<_, ClientError> {
        let answer = network.client(0).call_json("validators", json!({}))?;
        let of = |validator: &Value| validator["voting_power"].as_str().unwrap().to_owned();
        let mut powers: Vec<_> = answer["validators"].as_array().unwrap().iter().map(of).collect();
        powers.sort();
        // Changes count two blocks later: something has to happen until then.
        alice.send(&validators, "list", &Args::default())?;
        Ok((powers == ["10", "10", "10", "7"]).then_some(()))
    };
    Deadline::after(RECOVERY).poll("the new validators", powers).unwrap();
    let wrong = alice.send(&validators, "setPower", &Args::json(r#"["AAAA",1]"#)).unwrap();
    assert!(wrong.status == "rejected" && wrong.value.body.contains("32 bytes in base64"));
}

fn rounds(default: u64) -> u64 {
    std::env::var("CAPSTAN_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A command that breaks a network of four, and the one that mends it.
fn fault(random: &mut Random) -> (Vec<&'static str>, Vec<&'static str>) {
    let node = ["0", "1", "2", "3"][random.below(4) as usize];
    match random.below(4) {
        0 => (vec!["kill", node], vec!["restart", node]),
        1 => (vec!["pause", node], vec!["resume", node]),
        2 => (vec!["partition", node], vec!["heal"]),
        // Two against two: nobody can go on until they meet again.
        _ => (vec!["partition", "0", node], vec!["heal"]),
    }
}

#[test]
fn four_validators_lose_nothing_and_agree_while_they_are_broken() {
    let mut random = Random::seeded(0xC0FFEE);
    let mut network = Network::up(4);
    let (bundle, root) = counter(&network);
    let load = Load::start(&network, &bundle, root.clone(), random.number());
    for round in 0..rounds(6) {
        // Sometimes a second fault comes while the first lasts, and is mended after it.
        let mut mends = Vec::new();
        for _ in 0..=u64::from(random.one_in(3)) {
            let (wreck, mend) = fault(&mut random);
            println!("round {round}: {wreck:?}");
            network.run(&wreck).json();
            mends.push(mend);
            sleep(Duration::from_millis(500 + random.below(3000)));
        }
        for mend in mends {
            network.run(&mend).json();
            sleep(Duration::from_millis(500 + random.below(1500)));
        }
    }
    assert_whole(&network, &root, load);
    // A newcomer executes all blocks and comes to the same.
    let status = network.run(&["add-node"]).json();
    network.rpc = rpcs(&status);
    let height = network.settle();
    network.assert_same_hashes(height);
    assert_governed(&network);
}

#[test]
fn what_is_sent_through_a_node_that_is_behind_does_not_pass_for_what_was_done_before() {
    let network = Network::up(4);
    let (_, root) = counter(&network);
    let increment = |node: usize| {
        network.wallet(node, 0).with_timeout(RECOVERY).send(&root, "increment", &Args::default())
    };
    network.run(&["partition", "3"]).json();
    assert_eq!(increment(0).unwrap().value.body, "#1");
    // The same once more through node3, which has not heard of the first and takes the sequence for free.
    std::thread::scope(|scope| {
        let second = scope.spawn(|| increment(3));
        let waiting = || {
            let mempool = network.client(3).call_json("num_unconfirmed_txs", json!({}))?;
            Ok::<_, ClientError>((mempool["n_txs"] == "1").then_some(()))
        };
        Deadline::after(RECOVERY).poll("node3's mempool", waiting).unwrap();
        network.run(&["heal"]).json();
        let second = second.join().unwrap();
        assert!(matches!(second, Err(ClientError::Displaced { .. })), "{second:?}");
    });
    assert_eq!(increment(3).unwrap().value.body, "#2");
}

#[test]
fn a_node_that_is_killed_again_and_again_loses_nothing() {
    let mut random = Random::seeded(0xDEAD);
    let network = Network::up(1);
    let (bundle, root) = counter(&network);
    let load = Load::start(&network, &bundle, root.clone(), random.number());
    for round in 0..rounds(8) {
        // Long enough for some blocks, so that it is hit at any place of one.
        sleep(Duration::from_millis(1500 + random.below(1500)));
        println!("round {round}");
        network.run(&["kill", "0"]).json();
        network.run(&["restart", "0"]).json();
    }
    sleep(Duration::from_secs(4));
    assert_whole(&network, &root, load);
}

#[test]
fn a_flood_of_worthless_transactions_stops_nobody() {
    let network = Network::up(1);
    let (_, root) = counter(&network);
    let mut random = Random::seeded(0xF100D);
    let client = network.client(0);
    let good = Arc::new(AtomicBool::new(true));
    let flood: Vec<_> = (0..3)
        .map(|_| {
            let (client, good) = (client.clone(), Arc::clone(&good));
            let mut random = Random::from(random.number());
            std::thread::spawn(move || {
                let mut sent = 0;
                // bob's transactions, all of them spoiled: rubbish, signed by another, for another chain, too early.
                let bob = Account::dev(1);
                while good.load(Ordering::SeqCst) {
                    let (bytes, what) = hostile_transaction(&bob, "capstan-localnet", &mut random);
                    let tx = capstan_client::SignedTx::from_bytes(bytes);
                    assert!(client.broadcast_sync(&tx).is_err(), "{what} was taken");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let alice = network.wallet(0, 0).with_timeout(RECOVERY);
    for expected in 1..=5 {
        let answer = alice.send(&root, "increment", &Args::default()).unwrap();
        assert_eq!(answer.value.body, format!("#{expected}"));
    }
    good.store(false, Ordering::SeqCst);
    let sent: u64 = flood.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(sent > 20, "{sent}");
}

/// Waits until so many nodes have ended by themselves since a critical vat died; which.
fn await_halts(network: &Network, count: usize) -> Vec<usize> {
    let halted = || {
        let status = network.run(&["status"]).json();
        let state = |node: &usize| status["nodes"][node]["state"].as_str().unwrap().to_owned();
        let halted: Vec<_> =
            (0..network.rpc.len()).filter(|node| state(node).contains("exit code 70")).collect();
        Ok::<_, ClientError>((halted.len() >= count).then_some(halted))
    };
    Deadline::after(RECOVERY).poll("the end of the nodes", halted).unwrap()
}

#[test]
fn three_of_four_go_on_by_an_agreed_override_and_the_fourth_joins_them_with_it() {
    let place = Place::new();
    let genesis = raw_genesis(|genesis| {
        genesis.app_state.kernel.vats.get_mut("a").unwrap().critical = true;
    });
    let document = place.path().join("genesis.json");
    std::fs::write(&document, genesis.to_json().unwrap()).unwrap();
    let more = ["--genesis", document.to_str().unwrap()];
    let network = Network::up_with(4, place, &more);
    let home = |node: usize| network.place.path().join(format!("net/nodes/node{node}"));
    let account = |node, index| network.wallet(node, index).with_timeout(RECOVERY);
    let alive = account(0, 0).send("factory", "increment", &Args::default()).unwrap();
    assert_eq!(alive.status, "fulfilled");
    // alice's vat is critical. Nodes may not hear any more that others have decided the block and died of it.
    assert!(network.wallet(0, 0).send("factory", "die", &Args::default()).is_err());
    let halted = await_halts(&network, 1);
    // All say the same, but for the home in the commands that go on.
    let report = |node: usize| {
        let text = std::fs::read_to_string(home(node).join("fatal.txt")).unwrap();
        text.replace(home(node).to_str().unwrap(), "HOME")
    };
    let first = report(halted[0]);
    assert!(first.contains("v3 (a)") && halted.iter().all(|node| report(*node) == first));
    network.run(&["kill", "0", "1", "2", "3"]).json();
    // Three agree, of which two take the file from the first; the fourth has not heard of it.
    let agree = |node: usize| {
        let home = home(node);
        let args = ["override", "--home", home.to_str().unwrap(), "--uncritical", "v3", "--json"];
        network.place.run(&args).json()
    };
    let agreed = agree(halted[0]);
    let take = |node: usize| {
        let file = std::path::Path::new(agreed["file"].as_str().unwrap());
        let dir = home(node).join("overrides");
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(file, dir.join(file.file_name().unwrap())).unwrap();
    };
    let others: Vec<usize> = (0..4).filter(|node| *node != halted[0]).collect();
    let [second, third, fourth] = others.try_into().unwrap();
    take(second);
    take(third);
    if halted.contains(&fourth) {
        // Whoever says the same says it in the same words.
        assert_eq!(agree(fourth)["sha256"], agreed["sha256"]);
        std::fs::remove_dir_all(home(fourth).join("overrides")).unwrap();
    }
    network.run(&["restart", "0", "1", "2", "3"]).json();
    network.client(second).wait_ready(Deadline::after(RECOVERY)).unwrap();
    let bob = account(second, 1).send("factory", "increment", &Args::default()).unwrap();
    assert_eq!(bob.status, "fulfilled", "three go on");
    assert_ne!(network.client(third).vat("v3").unwrap().status, "running");
    assert_eq!(await_halts(&network, 1), [fourth]);
    assert_eq!(report(fourth), first, "without the override it stops as the others did");
    take(fourth);
    network.run(&["restart", &fourth.to_string()]).json();
    let height = network.settle();
    assert!(height > agreed["height"].as_u64().unwrap(), "{height}");
    network.assert_same_hashes(height);
}

#[test]
fn what_cannot_be_done_is_said() {
    let place = Place::new();
    let dir = place.path().join("net");
    let home = dir.to_str().unwrap();
    let run = |args: &[&str]| {
        let mut all = vec!["localnet", "--home", home];
        all.extend(args);
        place.run(&all)
    };
    run(&["status"]).assert_failed(1, "capstan localnet up");
    run(&["up", "--validators", "0"]).assert_failed(2, "1 to 32");
    run(&["up", "--consensus", "raft"]).assert_failed(2, "comet or solo");
    run(&["up", "--consensus", "solo", "--validators", "2"]).assert_failed(2, "one validator");
    // An alias of --consensus.
    run(&["up", "--engine", "solo", "--detach"]);
    run(&["up"]).assert_failed(1, "runs already");
    run(&["kill", "node7"]).assert_failed(1, "there are node0");
    run(&["add-node"]).assert_failed(1, "one node");
    run(&["wait", "--height", "99999", "--timeout", "1"]).assert_failed(4, "did not come");
    assert_eq!(run(&["down"]).code, 0);
    run(&["status"]).assert_failed(1, "does not run");
    assert_eq!(run(&["reset"]).code, 0);
    std::fs::write(dir.join("thesis.txt"), "precious").unwrap();
    run(&["up"]).assert_failed(1, "thesis.txt");
}
