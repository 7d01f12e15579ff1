//! The validators, on chains whose genesis document names governors (`params.governors`).
//!
//! A governor's account gets the kernel service `validators` as `chain/validators` from its factory's `lookup`. A holder of
//! the service sets powers. Changes in a block go to CometBFT with that block's results and take effect two blocks
//! later. A validator that signed two blocks of one height loses its power.
//!
//! Other chains keep no table: their validators are always those of the genesis document.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::{Address, Params};
use capstan_kernel_ports::store::{Overlay, Read};
use sha2::{Digest, Sha256};
use tendermint_proto::v0_38::{
    abci::{Event, Misbehavior, MisbehaviorType, ValidatorUpdate},
    crypto::{PublicKey, public_key::Sum},
};

use crate::{
    events::event,
    fault::NodeFault,
    records::{keys, record},
};

/// Upper bound of one validator's power. CometBFT bounds the sum by 2^60, which a thousand million validators would
/// reach.
pub(crate) const MAX_POWER: u64 = 1_000_000_000;

/// An Ed25519 public key.
pub(crate) type Key = [u8; 32];

/// All validators, and the changes of the current block.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Table {
    powers: BTreeMap<Key, u64>,
    /// Changes of power that are not yet reported to CometBFT. 0 removes a validator.
    changed: BTreeMap<Key, u64>,
}

/// Reason why a validator's power cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PowerRefusal {
    #[error("this chain has no governors: its validators stay as they are")]
    NoGovernors,
    #[error("a power is at most {MAX_POWER}")]
    TooLarge,
    #[error("there is no validator with this key")]
    UnknownKey,
    #[error("a chain cannot be without validators")]
    LastValidator,
}

/// The result of setting a power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerChange {
    /// The validator has the power.
    Set,
    /// The power is refused, and the table stays as it was.
    Refused(PowerRefusal),
}

/// Records the first validators if the chain has governors.
///
/// # Errors
/// [`NodeFault::Genesis`] if a validator has another type of key, or no valid power.
pub(crate) fn init(
    over: &mut dyn Overlay,
    params: &Params,
    validators: &[ValidatorUpdate],
) -> Result<(), NodeFault> {
    if params.governors.is_empty() {
        return Ok(());
    }
    let mut table = Table::default();
    for validator in validators {
        let key = match validator.pub_key.as_ref().and_then(|key| key.sum.as_ref()) {
            Some(Sum::Ed25519(bytes)) => Key::try_from(bytes.as_slice()).ok(),
            _ => None,
        };
        let (Some(key), Ok(power)) = (key, u64::try_from(validator.power)) else {
            let problem = "validators: only Ed25519 keys with a power are known";
            return Err(NodeFault::Genesis(problem.to_owned()));
        };
        table.powers.insert(key, power);
    }
    record::set(over, keys::VALIDATORS, &table)
}

/// Returns the validators' powers, or `None` if the chain has no governors.
pub(crate) fn list(state: &(impl Read + ?Sized)) -> Result<Option<BTreeMap<Key, u64>>, NodeFault> {
    Ok(record::get::<Table>(state, keys::VALIDATORS)?.map(|table| table.powers))
}

/// Returns whether an account may look up what rules the chain.
pub(crate) fn is_governor(params: &Params, address: Address) -> bool {
    params.governors.contains(&address)
}

/// Sets a validator's power, where 0 removes the validator. Returns a [`PowerChange`].
pub(crate) fn set(over: &mut dyn Overlay, key: Key, power: u64) -> Result<PowerChange, NodeFault> {
    let refused = |why| Ok(PowerChange::Refused(why));
    let Some(mut table) = record::get::<Table>(over, keys::VALIDATORS)? else {
        return refused(PowerRefusal::NoGovernors);
    };
    if power > MAX_POWER {
        return refused(PowerRefusal::TooLarge);
    }
    let known = table.powers.get(&key).copied();
    match power {
        0 if known.is_none() => return refused(PowerRefusal::UnknownKey),
        0 if table.powers.len() == 1 => return refused(PowerRefusal::LastValidator),
        0 => drop(table.powers.remove(&key)),
        _ => drop(table.powers.insert(key, power)),
    }
    if known != Some(power) {
        table.changed.insert(key, power);
        record::set(over, keys::VALIDATORS, &table)?;
    }
    Ok(PowerChange::Set)
}

/// Sets the power of validators that misbehaved to 0. The [`Event`]s name them, also those that are not in the table.
pub(crate) fn punish(
    over: &mut dyn Overlay,
    misbehavior: &[Misbehavior],
) -> Result<Vec<Event>, NodeFault> {
    let mut events = Vec::new();
    for fault in misbehavior {
        let address = fault.validator.as_ref().map(|v| v.address.to_vec()).unwrap_or_default();
        let known = list(over)?.unwrap_or_default();
        let key = known.into_keys().find(|key| address_of(key) == address);
        let removed = match key {
            Some(key) => set(over, key, 0)? == PowerChange::Set,
            None => false,
        };
        let kind = match fault.r#type() {
            MisbehaviorType::DuplicateVote => "duplicate-vote",
            MisbehaviorType::LightClientAttack => "light-client-attack",
            MisbehaviorType::Unknown => "unknown",
        };
        let attributes = [
            ("address", hex::encode_upper(&address)),
            ("kind", kind.to_owned()),
            ("height", fault.height.to_string()),
            ("removed", removed.to_string()),
        ];
        events.push(event("validator.misbehaved", &attributes));
    }
    Ok(events)
}

/// Takes the [`ValidatorUpdate`]s for CometBFT after this block, in the order of the keys.
pub(crate) fn take_updates(over: &mut dyn Overlay) -> Result<Vec<ValidatorUpdate>, NodeFault> {
    let Some(mut table) = record::get::<Table>(over, keys::VALIDATORS)? else {
        return Ok(Vec::new());
    };
    if table.changed.is_empty() {
        return Ok(Vec::new());
    }
    let changed = std::mem::take(&mut table.changed);
    record::set(over, keys::VALIDATORS, &table)?;
    let update = |(key, power): (Key, u64)| ValidatorUpdate {
        pub_key: Some(PublicKey { sum: Some(Sum::Ed25519(key.to_vec())) }),
        // The power is at most MAX_POWER.
        power: i64::try_from(power).unwrap_or(i64::MAX),
    };
    Ok(changed.into_iter().map(update).collect())
}

/// Returns a validator's address: the first 20 bytes of the SHA-256 of its key.
fn address_of(key: &Key) -> Vec<u8> {
    Sha256::digest(key)[..20].to_vec()
}

#[cfg(test)]
mod tests {
    use capstan_kernel_ports::memory::MemoryState;
    use tendermint_proto::v0_38::abci::Validator;

    use super::*;

    fn governed(count: u8) -> MemoryState {
        let params = Params { governors: vec![Address([1; 20])], ..Params::default() };
        let mut state = MemoryState::default();
        let validators: Vec<_> = (1..=count).map(|n| update([n; 32], 10)).collect();
        init(&mut state, &params, &validators).unwrap();
        state
    }

    fn update(key: Key, power: i64) -> ValidatorUpdate {
        let pub_key = Some(PublicKey { sum: Some(Sum::Ed25519(key.to_vec())) });
        ValidatorUpdate { pub_key, power }
    }

    fn misbehavior(key: &Key) -> Misbehavior {
        let validator = Some(Validator { address: address_of(key).into(), power: 10 });
        let r#type = MisbehaviorType::DuplicateVote.into();
        Misbehavior { r#type, validator, height: 7, ..Misbehavior::default() }
    }

    #[test]
    fn what_is_set_is_told_to_consensus_once() {
        let mut state = governed(2);
        assert_eq!(set(&mut state, [3; 32], 5).unwrap(), PowerChange::Set);
        assert_eq!(set(&mut state, [1; 32], 10).unwrap(), PowerChange::Set); // as it was
        assert_eq!(set(&mut state, [2; 32], 0).unwrap(), PowerChange::Set);
        let told = take_updates(&mut state).unwrap();
        assert_eq!(told, [update([2; 32], 0), update([3; 32], 5)]);
        assert!(take_updates(&mut state).unwrap().is_empty());
        let powers = list(&state).unwrap().unwrap();
        assert_eq!(powers, BTreeMap::from([([1; 32], 10), ([3; 32], 5)]));
    }

    #[test]
    fn what_would_stop_the_chain_is_refused() {
        let mut state = governed(1);
        for (key, power, why) in [
            ([1; 32], 0, PowerRefusal::LastValidator),
            ([9; 32], 0, PowerRefusal::UnknownKey),
            ([1; 32], MAX_POWER + 1, PowerRefusal::TooLarge),
        ] {
            assert_eq!(set(&mut state, key, power).unwrap(), PowerChange::Refused(why));
        }
        assert!(take_updates(&mut state).unwrap().is_empty());
        let mut plain = MemoryState::default();
        init(&mut plain, &Params::default(), &[update([1; 32], 10)]).unwrap();
        let refused = PowerChange::Refused(PowerRefusal::NoGovernors);
        assert_eq!(set(&mut plain, [1; 32], 5).unwrap(), refused);
        assert_eq!(list(&plain).unwrap(), None);
    }

    #[test]
    fn a_validator_that_misbehaves_loses_its_power_unless_it_is_the_last() {
        let mut state = governed(2);
        let events = punish(&mut state, &[misbehavior(&[2; 32]), misbehavior(&[8; 32])]).unwrap();
        let removed: Vec<_> =
            events.iter().map(|event| event.attributes[3].value.as_str()).collect();
        assert_eq!(removed, ["true", "false"]);
        assert_eq!(take_updates(&mut state).unwrap(), [update([2; 32], 0)]);
        let last = punish(&mut state, &[misbehavior(&[1; 32])]).unwrap();
        assert_eq!(last[0].attributes[3].value, "false");
        assert!(take_updates(&mut state).unwrap().is_empty());
    }
}
