//! Somebody who has nothing to do with it all, and for whom everything must go on working.

use capstan_client::TxBuilder;
use capstan_client::proto::{CapData, MsgCreateVat, MsgSend};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Twins;
use super::twins::short;
use crate::{Account, actor, wasm_id};

/// A chain that leaves somebody waiting for so many blocks has stopped for them. The adversary's work of the blocks before
/// comes first.
const PATIENCE_BLOCKS: u32 = 5_000;

/// The account, and what it has.
#[derive(Debug)]
pub(super) struct Canary {
    account: Account,
    timer: String,
    rounds: u64,
}

impl Canary {
    /// Installs what it makes vats of, and finds the timer.
    pub(super) fn new(account: Account, twins: &mut Twins) -> Self {
        let mut canary = Self { account, timer: String::new(), rounds: 0 };
        let install = canary.account.install(actor());
        let tx = canary.account.tx(install);
        assert_eq!(twins.block(&[tx]).tx_results[0].code, 0);
        let found = canary.asks(twins, "factory", "lookup", "#[\"chain/timer\"]");
        canary.timer = slot(&found, 0);
        canary
    }

    /// Makes a vat, has it work, ends it, looks something up and waits for a wakeup.
    pub(super) fn sing(&mut self, twins: &mut Twins) {
        self.rounds += 1;
        let message = MsgCreateVat {
            owner: self.account.address(),
            bundle_id: wasm_id(actor()).to_string(),
            name: "canary".to_owned(),
            parameters: None,
            computrons: 100_000_000,
        };
        let vat = self.asked(twins, TxBuilder::new().message(&message), "createVat");
        let root = vat["created_vat"]["root"].as_str().expect("a vat has a root").to_owned();
        let counted = self.asks(twins, &root, "increment", "#[]");
        assert_eq!(counted["value"]["body"], "#\"+1\"", "the canary's vat answers");
        let name = format!("canary{}", self.rounds);
        let args = format!("#[\"{name}\",\"$0.Alleged: actor\"]");
        let full = self.asks_with(twins, "factory", "publish", &args, &[&root]);
        let full =
            full["value"]["body"].as_str().unwrap_or_default().trim_start_matches('#').to_owned();
        let found = self.asks(twins, "factory", "lookup", &format!("#[{full}]"));
        assert_eq!(slot(&found, 0), root, "the canary's name leads to its vat");
        self.asks(twins, "factory", "unpublish", &format!("#[\"{name}\"]"));
        let woken = self.asks(twins, &self.timer.clone(), "delay", "#[\"+3\"]");
        assert_eq!(woken["status"], "fulfilled", "{woken}");
        let admin =
            vat["created_vat"]["admin"].as_str().expect("a vat has an admin object").to_owned();
        let ended = self.asks(twins, &admin, "terminateWithFailure", "#[\"enough\"]");
        assert_eq!(ended["status"], "fulfilled", "{ended}");
    }

    fn asks(&mut self, twins: &mut Twins, target: &str, method: &str, args: &str) -> Value {
        self.asks_with(twins, target, method, args, &[])
    }

    fn asks_with(
        &mut self,
        twins: &mut Twins,
        target: &str,
        method: &str,
        args: &str,
        slots: &[&str],
    ) -> Value {
        let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
        let message = MsgSend {
            sender: self.account.address(),
            target: target.to_owned(),
            method: method.to_owned(),
            args: Some(CapData { body: args.to_owned(), slots }),
        };
        self.asked(twins, TxBuilder::new().message(&message), method)
    }

    /// Sends, and makes blocks until there is an answer.
    fn asked(&mut self, twins: &mut Twins, tx: TxBuilder, what: &str) -> Value {
        let mut refused = String::new();
        for _ in 0..PATIENCE_BLOCKS {
            let signed = self.account.sign(tx.clone()).bytes().to_vec();
            twins.time += 1;
            let result = twins.block(std::slice::from_ref(&signed)).tx_results.remove(0);
            if result.code != 0 {
                // The queues are full: whoever comes later has to try again.
                refused = result.log;
                self.account.sequence = twins.sequence(&self.account.address());
                continue;
            }
            self.account.sequence += 1;
            return answer(twins, &signed, what);
        }
        panic!("the canary's {what} is refused all the time: {refused}");
    }
}

fn answer(twins: &mut Twins, tx: &[u8], what: &str) -> Value {
    let path = format!("txs/{}/0", hex::encode_upper(Sha256::digest(tx)));
    for _ in 0..PATIENCE_BLOCKS {
        let answer = twins.json(&path).expect("the transaction's result is kept");
        match answer["status"].as_str() {
            Some("pending") => {}
            Some("fulfilled") => return answer,
            _ => panic!("the canary's {what} is rejected: {}", short(&answer.to_string())),
        }
        twins.time += 1;
        twins.block(&[]);
    }
    panic!("the canary's {what} is not answered within {PATIENCE_BLOCKS} blocks");
}

fn slot(answer: &Value, index: usize) -> String {
    answer["value"]["slots"][index]
        .as_str()
        .unwrap_or_else(|| panic!("no slot in {answer}"))
        .to_owned()
}
