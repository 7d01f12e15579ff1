//! `capstan keys add`.

use anyhow::Context as _;
use capstan_client::{COIN_TYPE, Key, KeyPath, Multisig, PublicKey};
use clap::Args;
use serde_json::Value;

use super::passphrase;
use super::record::{Record, Secret};
use super::store::Keyring;
use crate::failure::{flag, usage};

/// Arguments of `capstan keys add`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The key's name: lower-case letters, digits, '-' and '_'.
    name: String,
    /// Take over a mnemonic of 12 to 24 words, read from standard input.
    #[arg(long)]
    recover: bool,
    /// Ask for the BIP-39 passphrase of the mnemonic, too. Without a terminal, it is the second line of standard input.
    #[arg(long, short, requires = "recover")]
    interactive: bool,
    /// Do not print the mnemonic. Without a copy of it the key cannot be recovered.
    #[arg(long, conflicts_with = "recover")]
    no_backup: bool,
    /// Print the key without storing it.
    #[arg(long)]
    dry_run: bool,
    /// Account number in the path m/44'/118'/ACCOUNT'/0/0.
    #[arg(long, default_value_t = 0, value_name = "N")]
    account: u32,
    /// Number of the key in the path m/44'/118'/0'/0/INDEX.
    #[arg(long, default_value_t = 0, value_name = "N")]
    index: u32,
    /// Coin type of SLIP-44 in the path.
    #[arg(long, default_value_t = COIN_TYPE, value_name = "N")]
    coin_type: u32,
    /// The whole path, such as m/44'/118'/0'/0/0.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["account", "index", "coin_type"])]
    hd_path: Option<KeyPath>,
    /// Names or addresses of keys, with commas between them, that make a multisig.
    #[arg(long, value_name = "KEYS", value_delimiter = ',', conflicts_with_all = DERIVING)]
    multisig: Vec<String>,
    /// Number of keys that sign for the multisig.
    #[arg(long, value_name = "K", default_value_t = 1, requires = "multisig")]
    multisig_threshold: u32,
    /// Keep the keys of the multisig in the order in which they are given. Without it they are sorted by address.
    #[arg(long, requires = "multisig")]
    nosort: bool,
    /// Store a public key whose secret is elsewhere, as JSON: {"@type":"/cosmos.crypto.secp256k1.PubKey","key":"…"}.
    #[arg(long, value_name = "JSON", conflicts_with_all = DERIVING, conflicts_with = "multisig")]
    pubkey: Option<String>,
}

/// Options for a key that comes of a mnemonic.
const DERIVING: [&str; 7] =
    ["recover", "interactive", "no_backup", "account", "index", "coin_type", "hd_path"];

/// Examples for the help.
pub(super) const HELP: &str = "\
Examples:
  capstan keys add dave --keyring-backend file
  capstan keys add dave --recover --account 1 < mnemonic.txt
  capstan keys add treasury --multisig alice,bob,carol --multisig-threshold 2
  capstan keys add cold --pubkey '{\"@type\":\"/cosmos.crypto.secp256k1.PubKey\",\"key\":\"…\"}'";

impl Add {
    /// Makes the key and stores it. Returns what is printed.
    pub(super) fn run(self, keyring: &Keyring) -> anyhow::Result<Value> {
        keyring.check_free(&self.name)?;
        let (record, mnemonic) = self.make(keyring)?;
        let backend = match self.dry_run {
            true => "none",
            false => keyring.add(record.clone())?,
        };
        let mut shown = record.shown(backend);
        if let Some(words) = mnemonic.filter(|_| !self.no_backup) {
            shown["mnemonic"] = words.into();
        }
        Ok(shown)
    }

    /// Makes the key. A new mnemonic comes with it.
    fn make(&self, keyring: &Keyring) -> anyhow::Result<(Record, Option<String>)> {
        if !self.multisig.is_empty() {
            let key = PublicKey::Multisig(self.members(keyring)?);
            return Ok((Record::new(&self.name, key, Secret::Elsewhere)?, None));
        }
        if let Some(json) = &self.pubkey {
            let key = serde_json::from_str(json)
                .map_err(anyhow::Error::from)
                .and_then(|json| Ok(PublicKey::from_json(&json)?))
                .map_err(|error| usage(format!("--pubkey is no public key: {error}")))?;
            return Ok((Record::new(&self.name, key, Secret::Elsewhere)?, None));
        }
        let path = match &self.hd_path {
            Some(path) => path.clone(),
            None => KeyPath::bip44(self.coin_type, self.account, self.index)
                .map_err(|error| usage(error.to_string()))?,
        };
        if self.recover {
            let (words, secret) = passphrase::mnemonic(self.interactive)?;
            let key = Key::from_mnemonic_with(&words, &secret, &path)?;
            return Ok((Record::local(&self.name, key)?, None));
        }
        let words = Key::new_mnemonic()?;
        let record = Record::local(&self.name, Key::from_mnemonic_at(&words, &path)?)?;
        Ok((record, Some(words)))
    }

    fn members(&self, keyring: &Keyring) -> anyhow::Result<Multisig> {
        let named = || flag("--multisig", self.multisig.join(","));
        let mut keys = Vec::new();
        for name in &self.multisig {
            let (member, _) = keyring.entry_of(name).with_context(named)?;
            match member.public_key() {
                PublicKey::Secp256k1(key) => keys.push((member.address().0, *key)),
                PublicKey::Multisig(_) => {
                    return Err(usage(format!("{name} is a multisig, which cannot be in another")));
                }
            }
        }
        if !self.nosort {
            keys.sort_by_key(|(address, _)| *address);
        }
        let keys = keys.into_iter().map(|(_, key)| key).collect();
        Multisig::new(self.multisig_threshold, keys)
            .map_err(|error| usage(error.to_string()).context(named()))
    }
}
