//! `capstan vat`: looking into the vats of a node that does not run.

mod replay;
mod show;

use clap::Subcommand;

use crate::Common;
use crate::output::Output;

/// Arguments of `capstan vat`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Example: capstan vat replay v3 --home ./chain")]
pub(crate) enum Vat {
    /// Do again what a vat's transcript says that it did, and name the first difference.
    Replay(replay::Replay),
}

impl Vat {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Replay(replay) => replay.run(common, output),
        }
    }
}
