//! Small chains on which one thing at a time is tried.

use capstan_client::proto::{CapData, MsgCreateVat, MsgInstallBundle, MsgSend};
use capstan_client::{Bundle, TxBuilder};
use capstan_client::{Key, Params};
use capstan_genesis::{Genesis, GenesisAccount, GenesisBundle};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Twins, wasm_vat};
use crate::{Account, Options, RAW_VATS, genesis_with_timer, raw_genesis, wasm_id};

/// A chain that does not come to rest within so many blocks never does.
const MOST_BLOCKS: u32 = 3_000;

/// Number of accounts of a chain here: development accounts 0 and on.
const ACCOUNTS: u32 = 6;

/// A chain, and accounts that try things on it.
#[derive(Debug)]
pub struct Yard {
    /// The nodes.
    pub twins: Twins,
    accounts: Vec<Account>,
}

impl Yard {
    /// A chain whose vats `a` to `d` are of `adversary.c`, with the usual budgets, and without JavaScript. The factory of account
    /// 0 is the root of `a`, and so on. Every vat knows the roots of the others, in this order.
    pub fn raw(change: impl FnOnce(&mut Genesis)) -> Self {
        let genesis = raw_genesis(|genesis| {
            let bundle = GenesisBundle::new(wasm_id(wasm_vat()), None, wasm_vat());
            for name in RAW_VATS {
                let vat = genesis.app_state.kernel.vats.get_mut(name).unwrap();
                vat.bundle = bundle.id.clone();
            }
            genesis.app_state.bundles.push(bundle);
            genesis.app_state.params.block_computrons = 100_000_000;
            genesis.app_state.params.crank_computrons = 200_000_000;
            change(genesis);
        });
        Self::of(Twins::start(&genesis, Options::raw()))
    }

    /// A chain with the system's vats and the usual parameters.
    pub fn whole() -> Self {
        Self::of(Twins::start(&whole_genesis(|_| {}), Options::usual()))
    }

    fn of(mut twins: Twins) -> Self {
        for _ in 0..4 {
            twins.block(&[]);
        }
        Self { twins, accounts: (0..4).map(Account::dev).collect() }
    }

    /// The next transaction of an account: a block with it, and those that its work takes. What became of its first message, as
    /// `txs/HASH/0` answers; if the transaction was refused, its code and log.
    pub fn tx(&mut self, account: usize, tx: TxBuilder) -> Value {
        let address = self.accounts[account].address();
        self.accounts[account].sequence = self.twins.sequence(&address);
        let bytes = self.accounts[account].tx(tx);
        let result = self.twins.block(std::slice::from_ref(&bytes)).tx_results.remove(0);
        self.rest();
        if result.code != 0 {
            return serde_json::json!({"status": "refused", "code": result.code, "log": result.log});
        }
        let path = format!("txs/{}/0", hex::encode_upper(Sha256::digest(&bytes)));
        self.twins.json(&path).unwrap_or_default()
    }

    /// A message of an account; its answer as of [`Yard::tx`].
    pub fn send(
        &mut self,
        account: usize,
        target: &str,
        method: &str,
        args: &str,
        slots: &[&str],
    ) -> Value {
        let message = MsgSend {
            sender: self.accounts[account].address(),
            target: target.to_owned(),
            method: method.to_owned(),
            args: Some(CapData {
                body: args.to_owned(),
                slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
            }),
        };
        self.tx(account, TxBuilder::new().message(&message))
    }

    /// Has a vat of `adversary.c` run a program.
    pub fn run(&mut self, account: usize, target: &str, program: &str, slots: &[&str]) -> Value {
        self.send(account, target, "run", &format!("#[\"x!{program}\"]"), slots)
    }

    /// Installs a bundle and makes a vat of it: its root and admin object.
    pub fn vat(&mut self, account: usize, bundle: &Bundle) -> (String, String) {
        let address = self.accounts[account].address();
        let install = MsgInstallBundle {
            submitter: address.clone(),
            bundle: bundle.bytes.clone(),
            bundle_id: bundle.id.to_string(),
            ..MsgInstallBundle::default()
        };
        self.tx(account, TxBuilder::new().message(&install));
        let create = MsgCreateVat {
            owner: address,
            bundle_id: bundle.id.to_string(),
            computrons: 1 << 42,
            ..MsgCreateVat::default()
        };
        let answer = self.tx(account, TxBuilder::new().message(&create));
        let part = |name: &str| answer["created_vat"][name].as_str().map(str::to_owned);
        let parts = part("root").zip(part("admin"));
        parts.unwrap_or_else(|| panic!("no vat was made: {answer}"))
    }

    /// An account's address.
    pub fn address(&self, account: usize) -> String {
        self.accounts[account].address()
    }

    /// Makes blocks until nothing is left to do.
    ///
    /// # Panics
    /// If that takes too many.
    pub fn rest(&mut self) {
        for _ in 0..MOST_BLOCKS {
            let stats = self.twins.json("kernel/stats").unwrap();
            let number = |name: &str| {
                let value = &stats[name];
                value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
            };
            let before = number("cranks");
            self.twins.block(&[]);
            let stats = self.twins.json("kernel/stats").unwrap();
            if stats["cranks"].as_u64().or_else(|| stats["cranks"].as_str()?.parse().ok())
                == Some(before)
            {
                return;
            }
        }
        panic!("the chain does not come to rest within {MOST_BLOCKS} blocks");
    }

    /// The answer to `vats/ID` of the vat with that name, alive or dead.
    pub fn named(&self, name: &str) -> Value {
        let vats = self.twins.json("vats").unwrap();
        let vats = vats["vats"].as_array().unwrap();
        vats.iter()
            .find(|vat| vat["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no vat {name}"))
    }

    /// Asserts that these vats run, that both nodes come back from their disks as they were, and that the chain goes on.
    pub fn assert_unharmed(&mut self, vats: &[&str]) {
        for name in vats {
            let vat = self.named(name);
            assert_eq!(vat["status"], "running", "{vat}");
        }
        self.twins.restart(0);
        self.twins.restart(1);
        self.twins.block(&[]);
        self.twins.block(&[]);
    }
}

/// A genesis document with the system's vats, a timer and [`ACCOUNTS`] accounts.
pub(super) fn whole_genesis(change: impl FnOnce(&mut Params)) -> Genesis {
    let mut genesis = genesis_with_timer(change);
    let accounts = &mut genesis.app_state.accounts;
    for index in accounts.len() as u32..ACCOUNTS {
        let address = Key::dev(index).address();
        accounts.push(GenesisAccount {
            address,
            balance: Genesis::DEV_BALANCE,
            name: String::new(),
        });
    }
    genesis
}
