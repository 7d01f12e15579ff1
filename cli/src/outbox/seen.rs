//! The entries of an outbox that `capstan outbox` has shown, as a number in a file of the home.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use capstan_client::{Address, Client};
use capstan_files::write_atomic;
use serde_json::{Value, json};

use crate::{Common, home};

/// The last entry of an account's outbox that was shown.
pub(crate) struct Seen {
    file: PathBuf,
    chain: String,
    through: u64,
}

impl Seen {
    /// Reads what was shown of the outbox on the node's chain. Nothing was shown if there is no file, or the file is about
    /// another chain.
    pub(super) fn read(
        common: &Common,
        client: &Client,
        address: &Address,
    ) -> anyhow::Result<Self> {
        let chain = client.status()?.chain_id;
        let file = home::path(common)?.join("outbox").join(format!("{address}.json"));
        let record = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let record: Value = record.unwrap_or_default();
        let through = match record["chain_id"] == chain {
            true => record["through"].as_u64().unwrap_or_default(),
            false => 0,
        };
        Ok(Self { file, chain, through })
    }

    /// Returns whether an entry was shown.
    pub(super) fn has(&self, number: u64) -> bool {
        number <= self.through
    }

    /// Forgets everything if the outbox ends before what was shown: a chain of this name began anew.
    pub(super) fn compare(&mut self, last: u64) {
        if last < self.through {
            self.through = 0;
        }
    }

    /// Notes that an entry and all before it were shown.
    pub(super) fn note(&mut self, number: u64) -> anyhow::Result<()> {
        if number <= self.through {
            return Ok(());
        }
        self.through = number;
        let record = json!({"chain_id": self.chain, "through": number});
        let write = || {
            self.file.parent().map_or(Ok(()), fs::create_dir_all)?;
            write_atomic(&self.file, record.to_string().as_bytes(), 0o600)
        };
        write().with_context(|| format!("cannot write {}", self.file.display()))
    }
}
