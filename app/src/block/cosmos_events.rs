//! Events of the Cosmos SDK for transactions, which explorers and indexers look for. Capstan's own events come besides.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_genesis::{Address, Amount, DENOM};
use tendermint_proto::v0_38::abci::Event;

use crate::{
    events::event,
    tx::{Action, Tx},
};

/// Returns the events of a transaction that has paid its fee, which is burnt.
pub(super) fn of_transaction(tx: &Tx) -> Vec<Event> {
    let (payer, fee) = (tx.signer.to_string(), coins(tx.fee));
    let mut events = vec![
        event("coin_spent", &[("spender", payer.clone()), ("amount", fee.clone())]),
        event("burn", &[("burner", payer.clone()), ("amount", fee.clone())]),
        event("tx", &[("fee", fee), ("fee_payer", payer.clone())]),
        event("tx", &[("acc_seq", format!("{payer}/{}", tx.sequence))]),
    ];
    let signatures = tx.signature.numbers();
    events.extend(signatures.map(|bytes| event("tx", &[("signature", STANDARD.encode(bytes))])));
    events
}

/// Returns the event of a message, which precedes those that its execution emits.
pub(super) fn of_message(tx: &Tx, index: u32, action: &Action) -> Event {
    let module = match action {
        Action::BankSend { .. } => "bank",
        _ => "capstan",
    };
    let attributes = [
        ("action", action.type_url()),
        ("sender", tx.signer.to_string()),
        ("module", module.to_owned()),
        index_of(index),
    ];
    event("message", &attributes)
}

/// Returns the events of a payment, the message at `index`.
pub(super) fn of_payment(from: Address, to: Address, amount: Amount, index: u32) -> [Event; 3] {
    let (sender, receiver, amount) = (from.to_string(), to.to_string(), coins(amount));
    let amount = || ("amount", amount.clone());
    let spent = [("spender", sender.clone()), amount(), index_of(index)];
    let received = [("receiver", receiver.clone()), amount(), index_of(index)];
    let transfer = [("recipient", receiver), ("sender", sender), amount(), index_of(index)];
    [event("coin_spent", &spent), event("coin_received", &received), event("transfer", &transfer)]
}

fn index_of(message: u32) -> (&'static str, String) {
    ("msg_index", message.to_string())
}

fn coins(amount: Amount) -> String {
    format!("{amount}{DENOM}")
}
