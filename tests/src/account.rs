use capstan_bundle::wasm_id;
use capstan_client::proto::{CapData, MsgInstallBundle, MsgSend};
use capstan_client::{Amount, Key, SignedTx, SignerData, TxBuilder};

use crate::CHAIN_ID;

/// Enough for any transaction of a test.
const FEE: Amount = Amount(10_000_000);

/// An account of a test chain that signs without asking a node: it counts its sequence itself.
#[derive(Clone, Debug)]
pub struct Account {
    key: Key,
    number: u64,
    /// The sequence of its next transaction.
    pub sequence: u64,
}

impl Account {
    /// Development account `index`, whose number on the chain is `index` too.
    pub fn dev(index: u32) -> Self {
        Self { key: Key::dev(index), number: index.into(), sequence: 0 }
    }

    /// Its address.
    pub fn address(&self) -> String {
        self.key.address().to_string()
    }

    /// Signs with the next sequence, which stays.
    pub fn sign(&self, tx: TxBuilder) -> SignedTx {
        self.sign_for(CHAIN_ID, tx)
    }

    /// Signs for any chain, with the next sequence.
    pub fn sign_for(&self, chain_id: &str, tx: TxBuilder) -> SignedTx {
        let data = SignerData {
            chain_id: chain_id.to_owned(),
            account_number: self.number,
            sequence: self.sequence,
        };
        tx.fee(FEE).sign(&self.key, &data).unwrap()
    }

    /// Signs, and goes on to the next sequence.
    pub fn tx(&mut self, tx: TxBuilder) -> Vec<u8> {
        let signed = self.sign(tx);
        self.sequence += 1;
        signed.bytes().to_vec()
    }

    /// A message to an object that it holds; `factory` is the first one. `args` is a smallcaps array.
    pub fn message(&self, target: &str, method: &str, args: &str) -> MsgSend {
        MsgSend {
            sender: self.address(),
            target: target.to_owned(),
            method: method.to_owned(),
            args: Some(CapData { body: args.to_owned(), slots: vec![] }),
        }
    }

    /// A transaction with messages without arguments to the account's first object.
    pub fn calls(&self, methods: &[&str]) -> TxBuilder {
        methods
            .iter()
            .fold(TxBuilder::new(), |tx, method| tx.message(&self.message("factory", method, "[]")))
    }

    /// A transaction that installs a wasm module.
    pub fn install(&self, module: &[u8]) -> TxBuilder {
        TxBuilder::new().message(&MsgInstallBundle {
            submitter: self.address(),
            bundle: module.to_vec(),
            bundle_id: wasm_id(module).to_string(),
            ..Default::default()
        })
    }
}
