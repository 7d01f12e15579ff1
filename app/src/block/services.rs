//! The application's services: objects through which vats reach the chain.
//!
//! | service | method | answer |
//! |---|---|---|
//! | `chain` | `getChainId()` | the chain's id |
//! | | `getHeight()` | the height of the block in progress, a bigint |
//! | | `getBlockTime()` | its time in seconds since 1970, a bigint, or undefined if it has none |
//! | | `getParams()` | the chain's parameters as JSON |
//! | `validators` | `list()` | `[{pubKey, power}]`: Ed25519 keys in base64, powers as bigints |
//! | | `setPower(pubKey, power)` | undefined; 0 removes the validator |

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use capstan_kernel::{ServiceAnswer, ServiceCall, ids::KRef};
use capstan_kernel_ports::store::Overlay;
use capstan_passable::Passable;

use crate::{
    block::validators::{self, PowerChange},
    fault::NodeFault,
    records::chain::Chain,
};

/// Name of the service that tells of the chain.
pub(crate) const CHAIN: &str = "chain";
/// Name of the service that has the validators.
pub(crate) const VALIDATORS: &str = "validators";

/// The block in progress, as far as services tell of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Height of the block.
    pub(crate) height: u64,
    /// Time of the block, in seconds since 1970.
    pub(crate) time: Option<u64>,
}

/// Returns the names of a service's methods.
pub(crate) fn methods(service: &str) -> &'static [&'static str] {
    match service {
        CHAIN => &["getChainId", "getHeight", "getBlockTime", "getParams"],
        VALIDATORS => &["list", "setPower"],
        _ => &[],
    }
}

/// Answers a call.
///
/// # Errors
/// A [`NodeFault`] of this node.
pub(crate) fn serve(
    over: &mut dyn Overlay,
    moment: Moment,
    call: &ServiceCall<'_>,
) -> Result<ServiceAnswer, NodeFault> {
    match (call.service, call.method) {
        (CHAIN, method) => about_chain(over, moment, method).map(ServiceAnswer::Returned),
        (VALIDATORS, "list") => list(over).map(ServiceAnswer::Returned),
        (VALIDATORS, _) => set_power(over, call.args),
        (service, _) => {
            Ok(ServiceAnswer::Thrown(format!("the application has no service {service:?}")))
        }
    }
}

fn about_chain(
    over: &dyn Overlay,
    moment: Moment,
    method: &str,
) -> Result<Passable<KRef>, NodeFault> {
    Ok(match method {
        "getHeight" => Passable::bigint(moment.height),
        "getBlockTime" => moment.time.map_or(Passable::Undefined, Passable::bigint),
        _ => {
            let missing = || NodeFault::Damaged("there is no chain".to_owned());
            let chain = Chain::load(over)?.ok_or_else(missing)?;
            match method {
                "getChainId" => chain.id.into(),
                _ => serde_json::to_string(&chain.params)
                    .map_err(|e| NodeFault::Damaged(format!("parameters: {e}")))?
                    .into(),
            }
        }
    })
}

fn list(over: &dyn Overlay) -> Result<Passable<KRef>, NodeFault> {
    let one = |(key, power): (validators::Key, u64)| {
        let key = BASE64.encode(key).into();
        Passable::record([("power", Passable::bigint(power)), ("pubKey", key)])
    };
    let all = match validators::list(over) {
        Ok(all) => all.unwrap_or_default(),
        Err(fault) => return Err(fault),
    };
    Ok(Passable::Array(all.into_iter().map(one).collect()))
}

fn set_power(over: &mut dyn Overlay, args: &[Passable<KRef>]) -> Result<ServiceAnswer, NodeFault> {
    let thrown = |why: &str| Ok(ServiceAnswer::Thrown(why.to_owned()));
    let key = args.first().and_then(Passable::as_str).and_then(|text| BASE64.decode(text).ok());
    let Some(key) = key.and_then(|bytes| bytes.try_into().ok()) else {
        return thrown("setPower: a public key is an Ed25519 key, 32 bytes in base64");
    };
    let power = match args.get(1) {
        Some(Passable::BigInt(power)) => power.to_u64(),
        Some(Passable::Number(power)) => power.as_u64(),
        _ => None,
    };
    let Some(power) = power else { return thrown("setPower: a power is a natural below 2^64") };
    match validators::set(over, key, power) {
        Ok(PowerChange::Set) => Ok(ServiceAnswer::Returned(Passable::Undefined)),
        Ok(PowerChange::Refused(why)) => Ok(ServiceAnswer::Thrown(why.to_string())),
        Err(fault) => Err(fault),
    }
}
