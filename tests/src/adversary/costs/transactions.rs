//! The transactions of an input.

use capstan_client::proto::{
    CapData, MsgCreateVat, MsgInstallBundle, MsgSend, MsgTerminateVat, MsgUpgradeVat,
};
use capstan_client::{Bundle, TxBuilder};
use serde_json::json;

use super::Message;
use super::run::Run;
use crate::{Account, with_section};

impl Run<'_> {
    /// A transaction with these messages.
    pub(super) fn tx(&mut self, messages: &[Message]) -> Vec<u8> {
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

pub(super) fn install(account: &Account, bundle: &Bundle) -> MsgInstallBundle {
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
