//! The devices of a new chain, as options of the commands that make one.

use std::path::Path;

use capstan_genesis::{Genesis, GenesisDevice};
use capstan_node::add_timer;

use crate::failure::usage;

/// Options for the devices of a new chain.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Devices {
    /// Give a new chain a timer. Vats look it up as `chain/timer`. Such a chain makes a block at least once a second.
    #[arg(long)]
    timer: bool,
    /// Give a new chain a mailbox. A governor looks it up as `chain/mailbox`, and the right to bring in messages from
    /// outside as `chain/mailbox-conveyor`.
    #[arg(long)]
    mailbox: bool,
}

impl Devices {
    /// Adds the devices to the [`Genesis`] document of a new chain.
    pub(crate) fn add_to(self, genesis: &mut Genesis) -> anyhow::Result<()> {
        if self.timer {
            add_timer(genesis)?;
        }
        if self.mailbox {
            genesis.add_mailbox();
        }
        Ok(())
    }

    /// Refuses a chain that was made before without these devices.
    pub(crate) fn insist(self, genesis: &Genesis, home: &Path) -> anyhow::Result<()> {
        let asked = [
            (self.timer, GenesisDevice::Timer, "timer"),
            (self.mailbox, GenesisDevice::Mailbox, "mailbox"),
        ];
        let has = |device| genesis.app_state.kernel.devices.contains(device);
        match asked.iter().find(|(asked, device, _)| *asked && !has(device)) {
            None => Ok(()),
            Some((_, _, name)) => Err(usage(format!(
                "--{name}: the chain in {} was made without a {name}, and a chain gets its devices when it is made; make another with --home DIR",
                home.display()
            ))),
        }
    }
}
