//! Transactions that write to io channels of subclusters, and acknowledge what vats wrote to them.
//!
//! The account that launched a subcluster has the outer ends of its channels. Those of subclusters of the chain are the
//! governors'.

use capstan_genesis::Address;
use capstan_kernel::{
    subcluster::{IoError, IoName, Owner},
    view,
};
use capstan_kernel_ports::host::VatHost;
use cosmrs::Any;
use tendermint_proto::v0_38::abci::Event;

use crate::{
    block::{
        execute::{Executor, any},
        validators,
    },
    events::event,
    fault::{Failure, NodeFault},
    proto,
    tx::{Action, TxError},
};

/// Executes a message about an io channel.
pub(super) fn execute<H: VatHost>(
    run: &mut Executor<'_, H>,
    signer: Address,
    action: &Action,
) -> Result<(Any, Event), Failure> {
    match action {
        Action::WriteChannel { channel, lines, close } => {
            let (answer, event) = write(run, signer, channel, lines, *close)?;
            Ok((any(&answer), event))
        }
        Action::AckChannel { channel, through } => {
            let (answer, event) = acknowledge(run, signer, channel, *through)?;
            Ok((any(&answer), event))
        }
        other => {
            let problem = format!("{} is about no io channel", other.type_url());
            Err(NodeFault::Damaged(problem).into())
        }
    }
}

/// Writes lines for vats to read.
fn write<H: VatHost>(
    run: &mut Executor<'_, H>,
    signer: Address,
    name: &IoName,
    lines: &[String],
    close: bool,
) -> Result<(proto::MsgWriteChannelResponse, Event), Failure> {
    insist_allowed(run, signer, name)?;
    check_room(run)?;
    let count = lines.len();
    let written = run.kernel.write_io(run.over, name, lines.to_vec(), close);
    let state = written.map_err(failure)?;
    let attributes = [
        ("subcluster_id", name.subcluster.to_string()),
        ("channel", name.channel.clone()),
        ("sender", signer.to_string()),
        ("lines", count.to_string()),
        ("closed", close.to_string()),
    ];
    let waiting = state.input.len();
    Ok((proto::MsgWriteChannelResponse { waiting }, event("channel.written", &attributes)))
}

/// Removes lines that were read outside.
fn acknowledge<H: VatHost>(
    run: &mut Executor<'_, H>,
    signer: Address,
    name: &IoName,
    through: u64,
) -> Result<(proto::MsgAckChannelResponse, Event), Failure> {
    insist_allowed(run, signer, name)?;
    let state = run.kernel.acknowledge_io(run.over, name, through).map_err(failure)?;
    let attributes = [
        ("subcluster_id", name.subcluster.to_string()),
        ("channel", name.channel.clone()),
        ("sender", signer.to_string()),
        ("through", through.to_string()),
    ];
    let waiting = state.output.len();
    Ok((proto::MsgAckChannelResponse { waiting }, event("channel.acknowledged", &attributes)))
}

fn insist_allowed<H>(run: &Executor<'_, H>, signer: Address, name: &IoName) -> Result<(), Failure> {
    let record = view::subcluster(run.over, name.subcluster).map_err(NodeFault::from)?;
    let Some(record) = record.filter(|record| record.io.contains_key(&name.channel)) else {
        return Err(failure(IoError::Unknown(name.clone())));
    };
    let refused = match &record.owner {
        Owner::Account(address) if *address == signer.to_string() => return Ok(()),
        Owner::Account(address) => format!("{address} launched {}", record.id),
        Owner::System | Owner::Host => {
            if validators::is_governor(&run.chain.params, signer) {
                return Ok(());
            }
            format!("{} is a subcluster of the chain, whose governors may", record.id)
        }
    };
    Err(TxError::Channel(format!("{signer} may not use {name}: {refused}")).into())
}

/// Refuses lines while the kernel's queues are full, since each may be told to a vat.
fn check_room<H>(run: &Executor<'_, H>) -> Result<(), Failure> {
    let status = view::kernel_status(run.over).map_err(NodeFault::from)?;
    let length = status.acceptance_queue + status.run_queue;
    let limit = run.chain.params.max_queue_length;
    match length < limit {
        true => Ok(()),
        false => Err(TxError::QueueFull { length, limit }.into()),
    }
}

fn failure(error: IoError) -> Failure {
    match error {
        IoError::Panic(panic) => NodeFault::from(panic).into(),
        IoError::Full(_) => TxError::ChannelFull(error.to_string()).into(),
        refusal => TxError::Channel(refusal.to_string()).into(),
    }
}
