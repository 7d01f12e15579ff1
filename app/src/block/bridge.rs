//! The application's end of the kernel's bridge: services of the chain for system vats.
//!
//! The first argument names a service, the second is a record with a `type`:
//!
//! | service | `type` | fields | answer |
//! |---|---|---|---|
//! | `computrons` | `buy` | `payer` (address), `computrons` (a natural) | `{amount}`: what was taken from the payer |
//! | `deposits` | `takeForName` | `payer` | `{amount}`: the deposit of a published name, taken from the payer |
//! | `deposits` | `giveBack` | `payer`, `amount` | `{amount}`: what was given back |
//! | `bank` | `balance` | `address` | `{amount}` |
//! | `validators` | `isGovernor` | `address` | `{isGovernor}`: may look up what rules the chain |
//!
//! Amounts and naturals are decimal strings. A refused request is answered by `{error}`, a text. The holder of the
//! bridge can spend every account's coins, so the bootstrap vat keeps it to itself.

use capstan_genesis::{Address, Amount, Params};
use capstan_kernel::{Application, BridgeAnswer, KernelPanic, Rest, ServiceAnswer, ServiceCall};
use capstan_kernel_ports::store::{Overlay, StoreFault};
use serde_json::{Value, json};

use crate::{
    block::{
        services::{self, Moment},
        validators,
    },
    fault::{Failure, NodeFault},
    records::{account, chain::Chain},
    tx::TxError,
};

/// Handler of calls through the bridge, and of calls to the application's services.
#[derive(Debug, Default)]
pub(crate) struct Bridge {
    /// The block in progress.
    pub(crate) moment: Moment,
}

impl Application for Bridge {
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<BridgeAnswer, KernelPanic> {
        match answer(over, args) {
            Ok(value) => Ok(BridgeAnswer::Returned(Some(value))),
            Err(Refusal::Asked(error)) => Ok(BridgeAnswer::Returned(Some(json!({"error": error})))),
            Err(Refusal::Node(fault)) => Err(panic_of(fault)),
        }
    }

    fn take_back(&mut self, over: &mut dyn Overlay, rest: &Rest<'_>) -> Result<bool, KernelPanic> {
        give_back(over, rest).map_err(panic_of)
    }

    fn service_methods(&self, service: &str) -> &'static [&'static str] {
        services::methods(service)
    }

    fn serve(
        &mut self,
        over: &mut dyn Overlay,
        call: &ServiceCall<'_>,
    ) -> Result<ServiceAnswer, KernelPanic> {
        services::serve(over, self.moment, call).map_err(panic_of)
    }
}

/// Credits a meter's owner with what the rest of the meter is worth. Returns false if the owner is no account.
fn give_back(over: &mut dyn Overlay, rest: &Rest<'_>) -> Result<bool, NodeFault> {
    let Ok(owner) = rest.owner.parse::<Address>() else { return Ok(false) };
    let worth = params(over)?.fees.computron_worth(rest.before, rest.computrons);
    if worth == Amount(0) {
        return Ok(true);
    }
    match account::credit(over, owner, worth) {
        Ok(_) => Ok(true),
        Err(Failure::Tx(_)) => Ok(false),
        Err(Failure::Node(fault)) => Err(fault),
    }
}

/// Failure of a call through the bridge.
enum Refusal {
    /// The request cannot be fulfilled. The vat is told why.
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

fn answer(over: &mut dyn Overlay, args: &[Value]) -> Result<Value, Refusal> {
    let [Value::String(service), request] = args else {
        return Err(Refusal::Asked("expected a service's name and a record".to_owned()));
    };
    let kind = request["type"].as_str().unwrap_or_default();
    match (service.as_str(), kind) {
        ("computrons", "buy") => {
            let (payer, computrons) = (address(request, "payer")?, natural(request, "computrons")?);
            let price = params(over)?.fees.computron_price(computrons);
            account::debit(over, payer, price)?;
            Ok(amount(price))
        }
        ("deposits", "takeForName") => {
            let deposit = params(over)?.publish_deposit;
            account::debit(over, address(request, "payer")?, deposit)?;
            Ok(amount(deposit))
        }
        ("deposits", "giveBack") => {
            let (payer, deposit) = (address(request, "payer")?, coins(request, "amount")?);
            account::credit(over, payer, deposit)?;
            Ok(amount(deposit))
        }
        ("bank", "balance") => {
            let account = account::get(over, address(request, "address")?)?;
            Ok(amount(account.map_or(Amount(0), |account| account.balance)))
        }
        ("validators", "isGovernor") => {
            let address = address(request, "address")?;
            Ok(json!({"isGovernor": validators::is_governor(&params(over)?, address)}))
        }
        _ => Err(Refusal::Asked(format!("there is no {service}.{kind}"))),
    }
}

fn amount(amount: Amount) -> Value {
    json!({"amount": amount.to_string()})
}

pub(super) fn params(over: &dyn Overlay) -> Result<Params, NodeFault> {
    match Chain::load(over)? {
        Some(chain) => Ok(chain.params),
        None => Err(NodeFault::Damaged("there is no chain".to_owned())),
    }
}

fn address(request: &Value, field: &str) -> Result<Address, Refusal> {
    let text = request[field].as_str().unwrap_or_default();
    text.parse().map_err(|e| Refusal::Asked(format!("{field}: {e}")))
}

fn natural(request: &Value, field: &str) -> Result<u64, Refusal> {
    let number = request[field].as_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Refusal::Asked(format!("{field}: expected a natural below 2^64")))
}

fn coins(request: &Value, field: &str) -> Result<Amount, Refusal> {
    let number = request[field].as_str().and_then(|text| text.parse().ok());
    let refuse = || Refusal::Asked(format!("{field}: expected an amount of coins"));
    number.map(Amount).ok_or_else(refuse)
}

fn panic_of(fault: NodeFault) -> KernelPanic {
    match fault {
        NodeFault::Kernel(panic) => panic,
        NodeFault::Store(fault) => KernelPanic::Store(fault),
        other => KernelPanic::Store(StoreFault::other(other.to_string())),
    }
}

/// Refuses a vat's computrons that the account cannot pay now. The coins are taken only when the meter is created.
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
