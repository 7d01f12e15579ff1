//! The scales: each input runs on a fresh node with a copy of one chain's state.

use std::collections::BTreeMap;

use capstan_client::proto::{
    CapData, MsgCreateVat, MsgInstallBundle, MsgSend, MsgTerminateVat, MsgUpgradeVat,
};
use capstan_client::{Bundle, Params, TxBuilder};
use capstan_genesis::Genesis;
use serde_json::{Value, json};

use super::bounds::{Verdict, judge};
use super::chain::{Chain, exported, number};
use super::gauge::{forget_peak, peak_bytes, resident_bytes};
use super::{Calibration, Cost, Input, Message, Vat};
use crate::adversary::vats::{failing_starts, js_vat, wasm_vat};
use crate::adversary::yard::whole_genesis;
use crate::{Account, Options, with_section};

/// Vats in memory: few, so that few vats suffice to have some that are not.
const RESIDENT: u32 = 10;
/// Blocks that an input's work may take.
const MOST_BLOCKS: u64 = 120;
/// Computrons of the meters of an input's vats.
const METER: u64 = 1 << 42;
/// What all transactions here offer.
const FEE: u64 = 10_000_000;
/// Replays of an input that exceeds a bound.
const REPLAYS: usize = 3;

/// A chain with the system's vats on which nobody has done anything yet, to be copied.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) dir: tempfile::TempDir,
    pub(super) genesis: Genesis,
    pub(super) options: Options,
    pub(super) height: i64,
    /// Ids of bundles, and references of the account, by name.
    bundles: BTreeMap<String, String>,
    account: Account,
    exported: u64,
}

/// Weighs inputs.
#[derive(Debug)]
pub struct Scales {
    template: Template,
    params: Params,
}

/// An input on its chain.
struct Run<'a> {
    template: &'a Template,
    chain: Chain,
    account: Account,
    /// What aliases stand for.
    names: BTreeMap<String, String>,
    vats: Vec<String>,
    grown: Option<Bundle>,
    cost: Cost,
    /// What came before the measured blocks, for which somebody paid too.
    before: Cost,
}

impl Scales {
    /// Scales for the chain with the usual parameters.
    pub fn new() -> Self {
        Self::with(|_| {}, all_bundles())
    }

    /// Scales for a chain with other parameters, and with the bundle `wasm` alone.
    pub fn without_javascript(change: impl FnOnce(&mut Params)) -> Self {
        Self::with(change, vec![("wasm", Bundle::from_wasm(wasm_vat().to_vec()))])
    }

    fn with(change: impl FnOnce(&mut Params), bundles: Vec<(&str, Bundle)>) -> Self {
        let genesis = whole_genesis(|params| {
            params.resident_vats = RESIDENT;
            change(params);
        });
        let params = genesis.app_state.params.clone();
        let options = Options { max_vats_online: Some(RESIDENT as usize), ..Options::usual() };
        let mut template = Template {
            dir: tempfile::tempdir().unwrap(),
            genesis,
            options,
            height: 0,
            bundles: BTreeMap::new(),
            account: Account::dev(0),
            exported: 0,
        };
        template.settle(bundles);
        Self { template, params }
    }

    /// Runs an input.
    pub fn weigh(&self, input: &Input) -> Cost {
        let mut run = Run::begin(&self.template);
        run.make_vats(&input.vats);
        for messages in &input.before {
            let tx = run.tx(messages);
            run.block(&[tx]);
            run.chain.rest(MOST_BLOCKS, &mut run.before);
        }
        let before = run.measure(&input.measured);
        run.finish(before, &self.params)
    }

    /// What a computron of a loop takes now: the least of some blocks.
    pub fn calibrate(&self) -> Calibration {
        let mut run = Run::begin(&self.template);
        run.make_vats(&[Vat { bundle: "wasm".to_owned(), options: BTreeMap::new() }]);
        let turns =
            Message::Program { vat: 0, program: "l20000000".to_owned(), slots: vec![], times: 1 };
        let each = |_| {
            let tx = run.tx(std::slice::from_ref(&turns));
            let mut cost = Cost::default();
            let codes = run.chain.block(&[tx], &mut cost);
            assert!(cost.counted > 500_000, "a loop counts {}: {codes:?}", cost.counted);
            cost.cpu.as_nanos() as f64 / cost.counted as f64
        };
        Calibration((0..6).map(each).fold(f64::MAX, f64::min))
    }

    /// Whether an input exceeds bounds again and again: the excesses that every replay shows, at their least.
    pub fn confirm(&self, input: &Input) -> Verdict {
        let mut least: Option<Verdict> = None;
        for _ in 0..REPLAYS {
            let calibration = self.calibrate();
            let found = judge(&self.weigh(input), calibration, &self.params);
            let both = |(what, ratio): (_, f64)| {
                let again = found.iter().find(|(other, _)| *other == what)?;
                Some((what, ratio.min(again.1)))
            };
            least = Some(match least {
                None => found,
                Some(least) => least.into_iter().filter_map(both).collect(),
            });
            if least.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        least.unwrap_or_default()
    }

    /// The parameters of the chain.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

impl Default for Scales {
    fn default() -> Self {
        Self::new()
    }
}

impl Template {
    /// Installs the bundles, and gives the account all that it can have.
    fn settle(&mut self, bundles: Vec<(&str, Bundle)>) {
        let mut chain = Chain::begin(self);
        let mut cost = Cost::default();
        chain.block(&[], &mut cost);
        chain.rest(MOST_BLOCKS, &mut cost);
        for (name, bundle) in bundles {
            let tx = self.account.tx(TxBuilder::new().message(&install(&self.account, &bundle)));
            let codes = chain.block(&[tx], &mut cost);
            assert_eq!(codes[0].0, 0, "{name}: {}", codes[0].1);
            self.bundles.insert(name.to_owned(), bundle.id.to_string());
        }
        let lookup = self.account.message("factory", "lookup", "#[\"chain/timer\"]");
        let tx = self.account.tx(TxBuilder::new().message(&lookup));
        chain.block(std::slice::from_ref(&tx), &mut cost);
        assert!(chain.rest(MOST_BLOCKS, &mut cost), "the chain comes to rest");
        let timer = chain.result(&tx, 0).unwrap();
        self.bundles
            .insert("timer".to_owned(), timer["value"]["slots"][0].as_str().unwrap().to_owned());
        let rows = chain.json(&format!("clists/{}", self.account.address())).unwrap();
        let factory = rows["entries"][0]["eref"].as_str().unwrap().to_owned();
        self.bundles.insert("factory".to_owned(), factory);
        (self.dir, self.height) = chain.end();
        self.exported = exported(&self.dir);
    }
}

impl<'a> Run<'a> {
    fn begin(template: &'a Template) -> Self {
        let names = template.bundles.clone();
        Self {
            chain: Chain::copy(template),
            account: template.account.clone(),
            template,
            names,
            vats: vec![],
            grown: None,
            cost: Cost::default(),
            before: Cost::default(),
        }
    }

    /// Makes the input's vats, each in a block of its own.
    fn make_vats(&mut self, vats: &[Vat]) {
        for (index, vat) in vats.iter().enumerate() {
            let mut options = vat.options.clone();
            options.entry("computrons".to_owned()).or_insert(json!(format!("+{METER}")));
            let bundle = self.named(&vat.bundle);
            let args = json!([bundle, options]);
            let message = self.account.message("factory", "createVat", &format!("#{args}"));
            let tx = self.account.tx(TxBuilder::new().message(&message));
            self.block(std::slice::from_ref(&tx));
            self.chain.rest(MOST_BLOCKS, &mut self.before);
            let answer = self.chain.result(&tx, 0).unwrap_or_default();
            self.learn(index, &answer);
            assert!(self.names.contains_key(&format!("vat{index}")), "no vat is made: {answer}");
        }
    }

    /// The root and the admin object of a vat, of `{root, adminNode}`. A vat whose start fails has none.
    fn learn(&mut self, index: usize, answer: &Value) {
        let body = answer["value"]["body"].as_str().unwrap_or_default();
        let Ok(fields) = serde_json::from_str::<Value>(body.trim_start_matches('#')) else {
            return;
        };
        for (field, alias) in [("root", "vat"), ("adminNode", "admin")] {
            let text = fields[field].as_str().unwrap_or_default().trim_start_matches('$');
            let slot = text.split('.').next().and_then(|slot| slot.parse::<usize>().ok());
            let name = slot.and_then(|slot| answer["value"]["slots"][slot].as_str());
            if let Some(name) = name {
                self.names.insert(format!("{alias}{index}"), name.to_owned());
            }
        }
        let vats = self.chain.json("vats?limit=1000").unwrap_or_default();
        let last =
            vats["vats"].as_array().and_then(|vats| vats.last().cloned()).unwrap_or_default();
        self.vats.extend(last["vatId"].as_str().map(str::to_owned));
    }

    fn named(&self, alias: &str) -> String {
        self.names.get(alias).cloned().unwrap_or_else(|| alias.to_owned())
    }

    /// A block that is not measured.
    fn block(&mut self, txs: &[Vec<u8>]) {
        self.account.sequence = self.sequence(txs.len());
        self.before.tx_bytes += txs.iter().map(|tx| tx.len() as u64).sum::<u64>();
        self.chain.block(txs, &mut self.before);
        self.account.sequence = self.sequence(0);
    }

    /// The account's sequence on the chain, and what follows it.
    fn sequence(&self, more: usize) -> u64 {
        number(&self.own()["sequence"]).unwrap() + more as u64
    }

    fn own(&self) -> Value {
        self.chain.json(&format!("accounts/{}", self.account.address())).unwrap()
    }

    fn balance(&self) -> i128 {
        self.own()["balance"].as_str().and_then(|text| text.parse().ok()).unwrap()
    }

    fn metered(&self) -> i128 {
        i128::try_from(self.chain.metered()).unwrap()
    }

    /// Runs the measured transactions. Balance and meters before.
    fn measure(&mut self, measured: &[Vec<Message>]) -> (i128, i128) {
        let txs: Vec<_> = measured.iter().map(|messages| self.tx(messages)).collect();
        self.cost.txs = txs.len() as u64;
        self.cost.messages =
            measured.iter().flatten().map(|message| u64::from(message.times())).sum();
        self.cost.tx_bytes = txs.iter().map(|tx| tx.len() as u64).sum();
        if let Some(grown) = &self.grown {
            self.cost.tx_bytes += grown.bytes.len() as u64;
        }
        let before = (self.balance(), self.metered());
        let sequence = self.sequence(0);
        forget_peak();
        let resident = resident_bytes();
        let codes = self.chain.block(&txs, &mut self.cost);
        self.chain.rest(MOST_BLOCKS, &mut self.cost);
        self.cost.peak = peak_bytes().saturating_sub(resident);
        // Who is refused pays nothing, and no honest proposer has it in a block.
        let paid = self.sequence(0) - sequence;
        self.cost.refused =
            codes.into_iter().map(|(_, log)| log).filter(|log| !log.is_empty()).collect();
        self.cost.refused.truncate((txs.len() as u64 - paid) as usize);
        before
    }

    fn finish(mut self, (balance, metered): (i128, i128), params: &Params) -> Cost {
        let declared = self.grown.as_ref().map_or(0, |bundle| bundle.bytes.len() as u128);
        let Cost { txs, messages, tx_bytes, .. } = self.cost;
        let tx_bytes = tx_bytes - declared as u64;
        // The first of these is paid by each transaction.
        let mut fees = params.fees.required(tx_bytes, declared, messages).0 as i128;
        fees += params.fees.per_tx.0 as i128 * (i128::from(txs) - 1);
        let bought = balance - self.balance() - i128::from(FEE * txs);
        let spent =
            (metered - self.metered()) * params.fees.per_mega_computron.0 as i128 / 1_000_000;
        self.cost.ucap = u64::try_from((fees + bought + spent).max(1)).unwrap();
        let heap =
            |vat: &String| number(&self.chain.json(&format!("vats/{vat}/stats"))?["heapBytes"]);
        self.cost.heaps = self.vats.iter().filter_map(heap).sum();
        self.cost.paid_before = self.before.counted + self.before.tx_bytes;
        let (dir, _) = self.chain.end();
        self.cost.grown = exported(&dir).saturating_sub(self.template.exported);
        self.cost
    }

    /// A transaction with these messages.
    fn tx(&mut self, messages: &[Message]) -> Vec<u8> {
        let mut tx = TxBuilder::new();
        for message in messages {
            for _ in 0..message.times() {
                tx = self.add(tx, message);
            }
        }
        self.account.tx(tx)
    }

    fn add(&mut self, tx: TxBuilder, message: &Message) -> TxBuilder {
        let (owner, bundle) = (self.account.address(), |name: &str| self.named(name));
        match message {
            Message::Program { vat, program, slots, .. } => {
                self.send(tx, &format!("vat{vat}"), "run", &format!("[\"x!{program}\"]"), slots)
            }
            Message::Steps { vat, steps, slots, .. } => {
                self.send(tx, &format!("vat{vat}"), "run", &json!(steps).to_string(), slots)
            }
            Message::Send { to, method, args, slots, .. } => {
                self.send(tx, to, method, &args.to_string(), slots)
            }
            Message::Create { bundle: name, computrons, .. } => tx.message(&MsgCreateVat {
                owner,
                bundle_id: bundle(name),
                computrons: *computrons,
                ..MsgCreateVat::default()
            }),
            Message::Upgrade { vat, bundle: name, .. } => tx.message(&MsgUpgradeVat {
                sender: owner,
                admin: self.named(&format!("admin{vat}")),
                bundle_id: bundle(name),
                ..MsgUpgradeVat::default()
            }),
            Message::Terminate { vat } => tx.message(&MsgTerminateVat {
                sender: owner,
                admin: self.named(&format!("admin{vat}")),
                reason: Some(CapData { body: "#\"enough\"".to_owned(), slots: vec![] }),
            }),
            Message::Install { functions, instructions } => {
                let grown = grown(*functions, *instructions);
                let message = install(&self.account, &grown);
                self.names.insert("grown".to_owned(), grown.id.to_string());
                self.grown = Some(grown);
                tx.message(&message)
            }
        }
    }

    fn send(
        &self,
        tx: TxBuilder,
        to: &str,
        method: &str,
        args: &str,
        slots: &[String],
    ) -> TxBuilder {
        let mut body = format!("#{args}");
        for (name, id) in &self.template.bundles {
            body = body.replace(&format!("@{name}@"), id);
        }
        let body = filled(&body);
        let slots = slots.iter().flat_map(|slot| expanded(slot)).map(|slot| self.named(&slot));
        tx.message(&MsgSend {
            sender: self.account.address(),
            target: self.named(to),
            method: method.to_owned(),
            args: Some(CapData { body, slots: slots.collect() }),
        })
    }
}

fn all_bundles() -> Vec<(&'static str, Bundle)> {
    let mut bundles = vec![("wasm", Bundle::from_wasm(wasm_vat().to_vec())), ("js", js_vat())];
    bundles.extend(failing_starts());
    bundles
}

fn install(account: &Account, bundle: &Bundle) -> MsgInstallBundle {
    MsgInstallBundle {
        submitter: account.address(),
        bundle: bundle.bytes.clone(),
        bundle_id: bundle.id.to_string(),
        ..MsgInstallBundle::default()
    }
}

/// The text with so many `x` for each number between two `@`.
fn filled(text: &str) -> String {
    let part = |(index, part): (usize, &str)| match part.parse::<usize>() {
        Ok(count) if index % 2 == 1 => "x".repeat(count.min(1 << 20)),
        _ if index % 2 == 1 => format!("@{part}@"),
        _ => part.to_owned(),
    };
    text.split('@').enumerate().map(part).collect()
}

/// The references of which `ro+1..9` is short.
fn expanded(slot: &str) -> Vec<String> {
    let range = slot.split_once('+').and_then(|(kind, range)| {
        let (first, last) = range.split_once("..")?;
        Some((kind, first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?))
    });
    match range {
        Some((kind, range)) => range.map(|number| format!("{kind}+{number}")).collect(),
        None => vec![slot.to_owned()],
    }
}

/// A module that works, with functions that nobody calls.
fn grown(functions: u32, instructions: u32) -> Bundle {
    let code = "(drop (i64.add (i64.const 1) (i64.const 2)))".repeat(instructions as usize);
    let functions = format!("(func {code})").repeat(functions as usize);
    let text = include_str!("../../../vats/actor.wat").trim_end();
    let text = text.strip_suffix(')').unwrap();
    let module = wat::parse_str(format!("{text}{functions})")).unwrap();
    Bundle::from_wasm(with_section(&module, b"grown"))
}
