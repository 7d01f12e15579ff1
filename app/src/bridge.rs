//! The application's end of the kernel's bridge: what system vats can ask the chain for.
//!
//! The first argument names a service, the second is a record with a `type`:
//!
//! | service | `type` | fields | answer |
//! |---|---|---|---|
//! | `computrons` | `buy` | `payer` (address), `computrons` (a natural) | `{amount}`: what was taken from the payer |
//! | `computrons` | `refund` | `payer`, `computrons` | `{amount}`: what was given back, for whole millions |
//! | `bank` | `balance` | `address` | `{amount}` |
//!
//! Amounts and naturals are decimal strings. What cannot be done is answered by `{error}`, a text.
//! Whoever holds the bridge spends every account's coins, so the bootstrap vat keeps it to itself.

use capstan_genesis::{Address, Amount};
use capstan_kernel::{Application, KernelPanic};
use capstan_kernel_ports::store::{Overlay, StoreFault};
use serde_json::{Value, json};

use crate::{
    account,
    chain::Chain,
    fault::{Failure, NodeFault},
    tx::{TxError, computron_price},
};

/// Computrons are priced by the million.
const MEGA: u64 = 1_000_000;

/// Answers calls through the bridge.
#[derive(Debug)]
pub(crate) struct Bridge;

impl Application for Bridge {
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<Result<Option<Value>, String>, KernelPanic> {
        match answer(over, args) {
            Ok(amount) => Ok(Ok(Some(json!({"amount": amount.to_string()})))),
            Err(Refusal::Asked(error)) => Ok(Ok(Some(json!({"error": error})))),
            Err(Refusal::Node(fault)) => Err(panic_of(fault)),
        }
    }
}

/// Why there is no answer.
enum Refusal {
    /// What was asked for cannot be done.
    Asked(String),
    Node(NodeFault),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tx(error) => Self::Asked(error.to_string()),
            Failure::Node(fault) => Self::Node(fault),
        }
    }
}

impl From<NodeFault> for Refusal {
    fn from(fault: NodeFault) -> Self {
        Self::Node(fault)
    }
}

fn answer(over: &mut dyn Overlay, args: &[Value]) -> Result<Amount, Refusal> {
    let [Value::String(service), request] = args else {
        return Err(Refusal::Asked("expected a service's name and a record".to_owned()));
    };
    let kind = request["type"].as_str().unwrap_or_default();
    match (service.as_str(), kind) {
        ("computrons", "buy") => {
            let (payer, computrons) = (address(request, "payer")?, natural(request)?);
            let price = computron_price(&fees(over)?, computrons);
            account::debit(over, payer, price)?;
            Ok(price)
        }
        ("computrons", "refund") => {
            let (payer, computrons) = (address(request, "payer")?, natural(request)?);
            let price = computron_price(&fees(over)?, computrons / MEGA * MEGA);
            account::credit(over, payer, price)?;
            Ok(price)
        }
        ("bank", "balance") => {
            let account = account::get(over, address(request, "address")?)?;
            Ok(account.map_or(Amount(0), |account| account.balance))
        }
        _ => Err(Refusal::Asked(format!("there is no {service}.{kind}"))),
    }
}

fn fees(over: &dyn Overlay) -> Result<capstan_genesis::Fees, Refusal> {
    match Chain::load(over)? {
        Some(chain) => Ok(chain.params.fees),
        None => Err(Refusal::Node(NodeFault::Damaged("there is no chain".to_owned()))),
    }
}

fn address(request: &Value, field: &str) -> Result<Address, Refusal> {
    let text = request[field].as_str().unwrap_or_default();
    text.parse().map_err(|e| Refusal::Asked(format!("{field}: {e}")))
}

fn natural(request: &Value) -> Result<u64, Refusal> {
    let number = request["computrons"].as_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Refusal::Asked("computrons: expected a natural below 2^64".to_owned()))
}

fn panic_of(fault: NodeFault) -> KernelPanic {
    match fault {
        NodeFault::Kernel(panic) => panic,
        NodeFault::Store(fault) => KernelPanic::Store(fault),
        other => KernelPanic::Store(StoreFault(other.to_string())),
    }
}

/// Refuses what the account cannot pay now. Nothing is taken: that happens when the meter is made.
pub(crate) fn check_payable(
    over: &dyn Overlay,
    payer: Address,
    price: Amount,
) -> Result<(), Failure> {
    let account = account::get(over, payer)?.ok_or(TxError::NoAccount(payer))?;
    match account.balance.checked_sub(price) {
        Some(_) => Ok(()),
        None => {
            let (balance, needed) = (account.balance.0, price.0);
            Err(TxError::InsufficientFunds { account: payer, balance, needed }.into())
        }
    }
}
