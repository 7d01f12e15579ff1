//! The scales: each input runs on a fresh node with a copy of one chain's state.

use std::collections::BTreeMap;

use capstan_client::{Bundle, Params, TxBuilder};
use capstan_genesis::Genesis;

use super::bounds::{Verdict, judge};
use super::chain::{Chain, exported};
use super::run::{MOST_BLOCKS, Run};
use super::transactions::install;
use super::{Calibration, Cost, Input};
use crate::adversary::vats::{failing_starts, js_vat, wasm_vat};
use crate::adversary::yard::whole_genesis;
use crate::{Account, Options};

/// Vats in memory: few, so that few vats suffice to have some that are not.
const RESIDENT: u32 = 10;
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
    pub(super) bundles: BTreeMap<String, String>,
    pub(super) account: Account,
    pub(super) exported: u64,
}

/// Weighs inputs.
#[derive(Debug)]
pub struct Scales {
    template: Template,
    params: Params,
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
        run.wake_system();
        run.make_vats(&input.vats);
        for messages in &input.before {
            let tx = run.tx(messages);
            run.block(&[tx]);
            run.chain.rest(MOST_BLOCKS, &mut run.before);
        }
        let before = run.measure(&input.measured);
        run.finish(before, &self.params)
    }

    /// What a computron of ordinary work takes now.
    pub fn calibrate(&self) -> Calibration {
        Calibration(crate::Scales::default().nominal())
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

fn all_bundles() -> Vec<(&'static str, Bundle)> {
    let mut bundles = vec![("wasm", Bundle::from_wasm(wasm_vat().to_vec())), ("js", js_vat())];
    bundles.extend(failing_starts());
    bundles
}
