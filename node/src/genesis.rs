//! Genesis documents of new chains.

use std::time::SystemTime;

use anyhow::Context as _;
use capstan_client::{Bundle, DEV_NAMES, Key};
use capstan_genesis::{Genesis, GenesisBundle};
use tendermint::Time;

/// A chain with the development accounts and the system's vats, beginning now.
pub fn dev_genesis(chain_id: &str) -> anyhow::Result<Genesis> {
    let now = now()?;
    let accounts: Vec<_> = DEV_NAMES
        .iter()
        .zip(0_u32..)
        .map(|(name, index)| (*name, Key::dev(index).address()))
        .collect();
    let mut genesis = Genesis::dev(chain_id, &now, &accounts);
    let vat_admin = system_bundle(capstan_vat_system::vat_admin_bundle())?;
    let provisioner = system_bundle(capstan_vat_system::provisioner_bundle())?;
    genesis.add_system_vats(vat_admin, provisioner);
    Ok(genesis)
}

/// The same for CometBFT, where alice governs the validators.
pub fn network_genesis(chain_id: &str) -> anyhow::Result<Genesis> {
    let mut genesis = dev_genesis(chain_id)?;
    genesis.app_state.params.governors = vec![Key::dev(0).address()];
    Ok(genesis)
}

/// The time of day, RFC 3339.
fn now() -> anyhow::Result<String> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let seconds = i64::try_from(since.as_secs()).context("the clock is out of range")?;
    Ok(Time::from_unix_timestamp(seconds, since.subsec_nanos())
        .context("the clock is out of range")?
        .to_rfc3339())
}

/// A bundle of the system for a genesis document.
pub fn system_bundle(json: &[u8]) -> anyhow::Result<GenesisBundle> {
    let bundle = Bundle::from_endo_json(json)?;
    Ok(GenesisBundle::new(bundle.id.parse()?, None, &bundle.bytes))
}
