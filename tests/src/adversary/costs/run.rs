//! An input on its chain.

use std::collections::BTreeMap;

use capstan_client::{Bundle, Params, TxBuilder};
use capstan_proto::TxSize;
use serde_json::{Value, json};

use super::chain::{Chain, exported, number};
use super::gauge::{forget_peak, peak_bytes, resident_bytes};
use super::scales::Template;
use super::{Cost, Message, Vat};
use crate::Account;

/// Blocks that an input's work may take.
pub(super) const MOST_BLOCKS: u64 = 120;
/// Computrons of the meters of an input's vats.
const METER: u64 = 1 << 42;
/// What all transactions here offer.
const FEE: u64 = 10_000_000;

/// An input on its chain.
pub(super) struct Run<'a> {
    pub(super) template: &'a Template,
    pub(super) chain: Chain,
    pub(super) account: Account,
    /// What aliases stand for.
    pub(super) names: BTreeMap<String, String>,
    vats: Vec<String>,
    pub(super) grown: Option<Bundle>,
    cost: Cost,
    /// What came before the measured blocks, for which somebody paid too.
    pub(super) before: Cost,
}

impl<'a> Run<'a> {
    pub(super) fn begin(template: &'a Template) -> Self {
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

    /// Lets the system's vats work once. A new node loads their bundles then, which other nodes did long ago and no block
    /// counts.
    pub(super) fn wake_system(&mut self) {
        let create = Message::Create { bundle: "wasm".to_owned(), computrons: 1_000_000, times: 1 };
        let call = |to: &str, method: &str, args| Message::Send {
            to: to.to_owned(),
            method: method.to_owned(),
            args,
            slots: vec![],
            times: 1,
        };
        let lookup = call("factory", "lookup", json!(["chain/timer"]));
        let time = call("timer", "getCurrentTimestamp", json!([]));
        let tx = self.tx(&[create, lookup, time]);
        self.block(&[tx]);
        self.chain.rest(MOST_BLOCKS, &mut self.before);
    }

    /// Makes the input's vats, each in a block of its own.
    pub(super) fn make_vats(&mut self, vats: &[Vat]) {
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
        self.vats.extend(last["vat_id"].as_str().map(str::to_owned));
    }

    pub(super) fn named(&self, alias: &str) -> String {
        self.names.get(alias).cloned().unwrap_or_else(|| alias.to_owned())
    }

    /// A block that is not measured.
    pub(super) fn block(&mut self, txs: &[Vec<u8>]) {
        self.account.sequence = self.sequence(txs.len());
        self.before.txs += txs.len() as u64;
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
    pub(super) fn measure(&mut self, measured: &[Vec<Message>]) -> (i128, i128) {
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

    pub(super) fn finish(mut self, (balance, metered): (i128, i128), params: &Params) -> Cost {
        let declared = self.grown.as_ref().map_or(0, |bundle| bundle.bytes.len() as u64);
        let Cost { txs, messages, tx_bytes, .. } = self.cost;
        let tx_bytes = tx_bytes - declared;
        // The first of these is paid by each transaction.
        let size = TxSize {
            bytes: tx_bytes,
            declared_bytes: declared,
            messages,
            signatures: txs,
            ..TxSize::default()
        };
        let mut fees = params.fees.required(&size).0 as i128;
        fees += params.fees.gas_price.fee(params.fees.tx_gas).0 as i128 * (i128::from(txs) - 1);
        let bought = balance - self.balance() - i128::from(FEE * txs);
        let spent =
            (metered - self.metered()) * params.fees.per_mega_computron.0 as i128 / 1_000_000;
        self.cost.ucap = u64::try_from((fees + bought + spent).max(1)).unwrap();
        let heap =
            |vat: &String| number(&self.chain.json(&format!("vats/{vat}/stats"))?["heap_bytes"]);
        self.cost.heaps = self.vats.iter().filter_map(heap).sum();
        let cranks = self.before.counted.saturating_sub(self.before.of_transactions(params));
        self.cost.paid_before = cranks + self.before.tx_bytes;
        let (dir, _) = self.chain.end();
        self.cost.grown = exported(&dir).saturating_sub(self.template.exported);
        self.cost
    }
}
