//! A chain under attack: random blocks from one seed.

use capstan_client::proto::{CapData, MsgInstallBundle, MsgSend};
use capstan_client::{Bundle, TxBuilder};
use capstan_genesis::{Genesis, GenesisDevice};
use sha2::{Digest, Sha256};

use super::Twins;
use super::canary::Canary;
use super::program::Sizes;
use super::traffic::{Attack, Attacker, World};
use super::vats::{broken_vats, js_vat, wasm_vat};
use super::yard::whole_genesis;
use crate::{Account, Options, Random};

/// Number of accounts that attack.
const ATTACKERS: u32 = 4;
/// The account that does not.
const CANARY: u32 = 5;
/// The vats that a chain needs.
const SYSTEM: [&str; 3] = ["vatAdmin", "provisioner", "timer"];
/// Blocks from one look at the canary to the next, about.
const CANARY_EVERY: u64 = 40;
/// Blocks from one restart to the next, about.
const RESTART_EVERY: u64 = 30;

/// The parameters of an attacked chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Small budgets: many blocks a second, work stays over, snapshots and cleanup are due all the time.
    Small,
    /// The parameters of every chain that does not say otherwise, and sizes without limit.
    Usual,
}

/// A chain under attack.
#[derive(Debug)]
pub struct Siege {
    twins: Twins,
    random: Random,
    attackers: Vec<Attacker>,
    world: World,
    canary: Canary,
    /// Vats that are being made: whose, whether of wasm, and where the result is asked for.
    expected: Vec<(usize, bool, String)>,
}

impl Siege {
    /// A new chain on which the attackers have their first vats.
    pub fn begin(seed: u64, profile: Profile) -> Self {
        let genesis = genesis(profile);
        // The second node is serial.
        let threads = if seed.is_multiple_of(3) { 7 } else { 2 };
        let options = Options { threads, chaos: Some(seed), ..Options::usual() };
        let mut twins = Twins::start(&genesis, options);
        println!("the chain starts");
        for _ in 0..5 {
            twins.block(&[]);
        }
        let system = system(&twins);
        twins.need(system);
        // What the kernel pins is learnt before anybody else is there.
        twins.restart(0);
        let canary = Canary::new(Account::dev(CANARY), &mut twins);
        let sizes = match profile {
            Profile::Small => Sizes { usual: 70_000, any_one_in: 60 },
            Profile::Usual => Sizes { usual: 300_000, any_one_in: 12 },
        };
        let message_bytes = genesis.app_state.params.max_message_bytes.into();
        let world = World { bundles: vec![], sizes, message_bytes };
        let attackers = (0..ATTACKERS).map(|index| Attacker::new(Account::dev(index))).collect();
        let random = Random::from(seed);
        let mut siege = Self { twins, random, attackers, world, canary, expected: vec![] };
        siege.settle_in();
        siege
    }

    /// A random block, and all that must be true after it.
    pub fn block(&mut self) {
        self.twins.time += self.random.pick(&[0, 0, 1, 1, 1, 5, 60, 3_600]).unwrap_or(0);
        let attacks = self.attacks();
        // Told before it is done: whoever reads it may be all that is left.
        println!("block {}: {} transactions", self.twins.height() + 1, attacks.len());
        attacks.iter().for_each(|attack| println!("  {}", attack.about));
        let bundles: Vec<_> = attacks.iter().map(|attack| attack.bundle.clone()).collect();
        let txs: Vec<_> = attacks.into_iter().map(|attack| attack.tx).collect();
        self.twins.offer(&txs);
        let results = self.twins.block(&txs).tx_results;
        println!("  codes {:?}", results.iter().map(|result| result.code).collect::<Vec<_>>());
        let good = results.iter().zip(bundles).filter(|(result, _)| result.code == 0);
        self.world.bundles.extend(good.filter_map(|(_, bundle)| bundle));
        self.learn_roots();
        self.look_around();
    }

    /// Asks, restarts and listens to the canary now and then.
    fn look_around(&mut self) {
        if self.random.one_in(8) {
            self.ask();
        }
        if self.random.one_in(RESTART_EVERY) {
            let index = self.random.below(2) as usize;
            println!("restart of node {index}");
            self.twins.restart(index);
        }
        if self.random.one_in(CANARY_EVERY) {
            println!("canary");
            self.canary.sing(&mut self.twins);
        }
    }

    /// Ends the attack: everything still works.
    pub fn end(mut self) {
        println!("the end: canary and restarts");
        self.canary.sing(&mut self.twins);
        self.twins.restart(0);
        self.twins.restart(1);
        self.twins.block(&[]);
    }

    /// The transactions of the next block.
    fn attacks(&mut self) -> Vec<Attack> {
        for attacker in &mut self.attackers {
            let address = attacker.account.address();
            attacker.account.sequence = self.twins.sequence(&address);
            let rows = self.twins.json(&format!("clists/{address}?limit=1000")).unwrap_or_default();
            let rows = rows["entries"].as_array().into_iter().flatten();
            attacker.held =
                rows.filter_map(|row| row["eref"].as_str().map(str::to_owned)).collect();
        }
        let mut attacks = Vec::new();
        for _ in 0..self.random.below(4) {
            let index = self.random.below(ATTACKERS.into()) as usize;
            attacks.push(self.attackers[index].attack(&self.world, &mut self.random));
        }
        // Vats do not live long here.
        if self.random.one_in(4) {
            let index = self.random.below(ATTACKERS.into()) as usize;
            let wasm = self.random.one_in(2);
            let tx = self.attackers[index].new_vat(&self.world.bundles[usize::from(!wasm)]);
            self.expected.push((index, wasm, result_path(&tx)));
            attacks.push(Attack {
                tx,
                about: "a vat to be told what to do".to_owned(),
                bundle: None,
            });
        }
        attacks
    }

    /// The roots of vats that were made since.
    fn learn_roots(&mut self) {
        let expected = std::mem::take(&mut self.expected);
        for (index, wasm, path) in expected {
            let Some(answer) = self.twins.json(&path) else { continue };
            match (answer["status"].as_str(), answer["created_vat"]["root"].as_str()) {
                (Some("pending"), _) => self.expected.push((index, wasm, path)),
                (_, Some(root)) => self.attackers[index].has_vat(wasm, root),
                _ => {}
            }
        }
    }

    /// Asks a node what it must be able to answer whatever was done to it.
    fn ask(&mut self) {
        let address =
            self.attackers[self.random.below(ATTACKERS.into()) as usize].account.address();
        let number = self.random.below(400);
        for path in [
            format!("accounts/{address}/outbox?limit=1000"),
            format!("promises/kp{number}"),
            format!("objects/ko{number}"),
            format!("vats/v{number}/stats"),
            format!("clists/v{}?limit=1000", number % 30),
            "kernel/run-queue?limit=1000".to_owned(),
        ] {
            println!("  asks {path}");
            self.twins.json(&path);
        }
    }

    /// Installs the bundles and makes the first vats, without which nobody attacks.
    fn settle_in(&mut self) {
        let (wasm, js) = (Bundle::from_wasm(wasm_vat().to_vec()), js_vat());
        for bundle in [&wasm, &js].into_iter().chain(&broken_vats()) {
            let account = &mut self.attackers[0].account;
            let message = MsgInstallBundle {
                submitter: account.address(),
                bundle: bundle.bytes.clone(),
                bundle_id: bundle.id.to_string(),
                ..MsgInstallBundle::default()
            };
            let tx = account.tx(TxBuilder::new().message(&message));
            let result = self.twins.block(&[tx]).tx_results.remove(0);
            assert_eq!(result.code, 0, "{}: {}", bundle.id, result.log);
            self.world.bundles.push(bundle.id.to_string());
        }
        for (index, wasm) in
            (0..ATTACKERS as usize).flat_map(|index| [(index, true), (index, false)])
        {
            let tx = self.attackers[index].new_vat(&self.world.bundles[usize::from(!wasm)]);
            self.expected.push((index, wasm, result_path(&tx)));
            self.twins.block(&[tx]);
        }
        while !self.expected.is_empty() {
            self.twins.block(&[]);
            self.learn_roots();
        }
        // Everybody has the timer.
        let lookup = |attacker: &mut Attacker| {
            let message = MsgSend {
                sender: attacker.account.address(),
                target: "factory".to_owned(),
                method: "lookup".to_owned(),
                args: Some(CapData { body: "#[\"chain/timer\"]".to_owned(), slots: vec![] }),
            };
            attacker.account.tx(TxBuilder::new().message(&message))
        };
        let txs: Vec<_> = self.attackers.iter_mut().map(lookup).collect();
        self.twins.block(&txs);
        println!("the attackers are there");
    }
}

/// Returns the query path of the result of a transaction's first message.
fn result_path(tx: &[u8]) -> String {
    format!("txs/{}/0", hex::encode_upper(Sha256::digest(tx)))
}

fn genesis(profile: Profile) -> Genesis {
    let mut genesis = whole_genesis(|params| {
        if profile == Profile::Small {
            params.block_computrons = 5_000_000;
            params.crank_computrons = 60_000_000;
            params.snapshot_interval = 10;
            params.cleanup.kv = 10;
            params.cleanup.exports = 3;
            params.cleanup.imports = 3;
            params.cleanup.promises = 3;
            params.cleanup.transcripts = 10;
            params.max_queue_length = 500;
            params.max_outbox_length = 500;
            params.result_retention_blocks = 500;
            params.upload_deadline_blocks = 20;
        }
    });
    genesis.add_mailbox();
    let kernel = &mut genesis.app_state.kernel;
    kernel.devices.insert(GenesisDevice::Bundle);
    if profile == Profile::Small {
        kernel.reap_interval = 7;
        kernel.reap_gc_krefs = 20;
    }
    genesis
}

fn system(twins: &Twins) -> Vec<(String, String)> {
    let vats = twins.json("vats").unwrap();
    let named = |vat: &serde_json::Value| {
        (vat["vat_id"].as_str().unwrap().to_owned(), vat["name"].as_str().unwrap().to_owned())
    };
    let system: Vec<_> = vats["vats"].as_array().unwrap().iter().map(named).collect();
    let names: Vec<_> = system.iter().map(|(_, name)| name.as_str()).collect();
    assert!(SYSTEM.iter().all(|name| names.contains(name)), "{names:?}");
    system
}
