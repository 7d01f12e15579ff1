//! Transactions that buy computrons into meters.

use capstan_genesis::{Address, DENOM};
use capstan_kernel::{ids::MeterId, view};
use capstan_kernel_ports::host::VatHost;
use cosmrs::Any;
use tendermint_proto::v0_38::abci::Event;

use crate::{
    block::execute::{Executor, any},
    events::event,
    fault::{Failure, NodeFault},
    proto,
    records::account,
    tx::{TxError, command::FUND_METER},
};

/// Computrons that are bought into a meter.
#[derive(Clone, Copy)]
pub(super) struct Purchase {
    pub(super) meter: MeterId,
    pub(super) computrons: u64,
}

/// Buys computrons into a meter that pays for a vat. `index` is the message's in its transaction.
pub(super) fn fund<H: VatHost>(
    run: &mut Executor<'_, H>,
    payer: Address,
    index: usize,
    purchase: Purchase,
) -> Result<(Any, Event), Failure> {
    let Purchase { meter, computrons } = purchase;
    check(run, index, meter)?;
    let price = run.chain.params.fees.computron_price(computrons);
    account::debit(run.over, payer, price)?;
    let Executor { kernel, over, .. } = run;
    let remaining = kernel.fund_meter(*over, meter, computrons.into()).map_err(NodeFault::from)?;
    let remaining = remaining.unwrap_or_default();
    let funded = event(
        "meter.funded",
        &[
            ("meter_id", meter.to_string()),
            ("payer", payer.to_string()),
            ("computrons", computrons.to_string()),
            ("amount", format!("{price}{DENOM}")),
            ("remaining", remaining.to_string()),
        ],
    );
    let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
    Ok((any(&proto::MsgFundMeterResponse { remaining }), funded))
}

/// Refuses a meter that does not exist, needs no computrons, or pays for no vat.
fn check<H: VatHost>(run: &Executor<'_, H>, index: usize, meter: MeterId) -> Result<(), Failure> {
    let refuse = |problem| {
        Err(TxError::Field { index, command: FUND_METER, field: "meter", problem }.into())
    };
    let Some(record) = view::meter(&*run.over, meter).map_err(NodeFault::from)? else {
        return refuse(format!("there is no meter {meter}"));
    };
    if record.remaining.is_none() {
        return refuse(format!("{meter} is unlimited: it needs no computrons"));
    }
    match view::meter_use(&*run.over, meter).map_err(NodeFault::from)?.vats {
        0 => refuse(format!(
            "{meter} pays for no vat: its vat has ended, and what was left goes back to who made the vat"
        )),
        _ => Ok(()),
    }
}
