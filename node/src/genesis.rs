use std::time::SystemTime;

use capstan_client::{Bundle, DEV_NAMES, Key};
use capstan_genesis::{Genesis, GenesisBundle, Params};
use tendermint::Time;

use crate::NewChainError;

/// Makes the genesis document of a chain that begins now, with the development accounts and the system's vats.
///
/// # Errors
/// [`NewChainError::Clock`] if the computer's clock is out of range.
pub fn dev_genesis(chain_id: &str) -> Result<Genesis, NewChainError> {
    dev_genesis_at(chain_id, &now()?, |_| {})
}

/// Makes the document of [`dev_genesis`] for a chain that begins at `genesis_time`, in RFC 3339. `change` may change its
/// parameters.
///
/// # Errors
/// [`NewChainError::SystemBundle`], which is a bug.
pub fn dev_genesis_at(
    chain_id: &str,
    genesis_time: &str,
    change: impl FnOnce(&mut Params),
) -> Result<Genesis, NewChainError> {
    let accounts: Vec<_> = DEV_NAMES
        .iter()
        .zip(0_u32..)
        .map(|(name, index)| (*name, Key::dev(index).address()))
        .collect();
    let mut genesis = Genesis::dev(chain_id, genesis_time, &accounts);
    // The parameters of the provisioner follow from those of the chain.
    change(&mut genesis.app_state.params);
    let vat_admin = system_bundle(capstan_vat_system::vat_admin_bundle())?;
    let provisioner = system_bundle(capstan_vat_system::provisioner_bundle())?;
    genesis.add_system_vats(vat_admin, provisioner);
    Ok(genesis)
}

/// Makes the document of [`dev_genesis`] for CometBFT, with alice as the governor of the validators.
///
/// # Errors
/// As [`dev_genesis`].
pub fn network_genesis(chain_id: &str) -> Result<Genesis, NewChainError> {
    let mut genesis = dev_genesis(chain_id)?;
    genesis.app_state.params.governors = vec![Key::dev(0).address()];
    Ok(genesis)
}

/// Gives the chain of a new genesis document the timer device and its vat.
///
/// # Errors
/// [`NewChainError::SystemBundle`], which is a bug.
pub fn add_timer(genesis: &mut Genesis) -> Result<(), NewChainError> {
    genesis.add_timer(system_bundle(capstan_vat_system::timer_bundle())?);
    Ok(())
}

fn system_bundle(json: &[u8]) -> Result<GenesisBundle, NewChainError> {
    let damaged = |error: &dyn std::error::Error| NewChainError::SystemBundle(error.to_string());
    let bundle = Bundle::from_endo_json(json).map_err(|error| damaged(&error))?;
    Ok(GenesisBundle::new(bundle.id, None, &bundle.bytes))
}

/// The time of day in RFC 3339.
fn now() -> Result<String, NewChainError> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| NewChainError::Clock)?;
    let seconds = i64::try_from(since.as_secs()).map_err(|_| NewChainError::Clock)?;
    let time = Time::from_unix_timestamp(seconds, since.subsec_nanos());
    Ok(time.map_err(|_| NewChainError::Clock)?.to_rfc3339())
}
