//! The keyring: keys in files that only their owner can read, encrypted or not, and the built-in development keys.

mod add;
mod parse;
mod passphrase;
mod record;
mod store;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use capstan_client::{Address, Key, MAX_ARMOR_BYTES};
use clap::Subcommand;
use serde_json::{Value, json};

pub(crate) use parse::PREFIXES;
pub(crate) use passphrase::VARIABLE as PASSPHRASE_VARIABLE;
pub(crate) use record::Record;
pub(crate) use store::{Keyring, KeyringArgs};

use crate::Common;
use crate::failure::usage;
use crate::output::Output;

/// Arguments of `capstan keys`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan keys add dave --keyring-backend file\n\n\
    The keys alice, bob and carol are built in: they come from a mnemonic that everybody knows.\n\
    Files in HOME/keys are not encrypted, and are for development and tests. Those in HOME/keyring-file are encrypted with a\n\
    passphrase. A name names one key in both.")]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    keyring: KeyringArgs,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a new key and print its mnemonic once, or take over a mnemonic, or store a multisig or a public key.
    #[command(after_help = add::HELP)]
    Add(add::Add),
    /// List keys.
    #[command(after_help = "Example: capstan keys list --json")]
    List {
        /// Print names only.
        #[arg(long, short = 'n')]
        list_names: bool,
    },
    /// Print the address and the public key of one key.
    #[command(
        after_help = "Examples:\n  capstan keys show alice\n  capstan keys show alice --address\n  capstan keys show alice --pubkey"
    )]
    Show {
        /// Name or address of the key.
        name: String,
        /// Print the address only.
        #[arg(long, short)]
        address: bool,
        /// Print the public key only, as JSON.
        #[arg(long, short, conflicts_with = "address")]
        pubkey: bool,
    },
    /// Take over a key that `keys export` wrote, here or with the Cosmos SDK's tools. Its passphrase is asked for.
    #[command(after_help = "Example: capstan keys import dave dave.armor --keyring-backend file")]
    Import {
        /// The name that the key gets.
        name: String,
        /// File of the exported key [default: standard input].
        file: Option<PathBuf>,
    },
    /// Take over a secret key in hexadecimal, read from standard input.
    #[command(after_help = "Example: capstan keys import-hex dave < dave.secret")]
    ImportHex {
        /// The name that the key gets.
        name: String,
    },
    /// Print a secret key, encrypted with a passphrase. The Cosmos SDK's tools can import it.
    #[command(
        after_help = "Examples:\n  capstan keys export dave > dave.armor\n  capstan keys export dave --unarmored-hex --unsafe > dave.secret\n\n\
        An encrypted key keeps its passphrase. For any other key a new one is asked for."
    )]
    Export {
        /// Name of the key.
        name: String,
        /// Print the secret in hexadecimal, not encrypted. Whoever has it is the account.
        #[arg(long, requires = "unsafe_")]
        unarmored_hex: bool,
        /// Allow --unarmored-hex.
        #[arg(long = "unsafe", id = "unsafe_", requires = "unarmored_hex")]
        unsafe_: bool,
    },
    /// Delete keys. Without their mnemonics they are lost.
    #[command(after_help = "Example: capstan keys delete dave --yes")]
    Delete {
        /// Names of the keys.
        #[arg(required = true)]
        names: Vec<String>,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Give a key another name.
    #[command(after_help = "Example: capstan keys rename dave david")]
    Rename {
        /// The name of the key.
        old: String,
        /// The name that it gets.
        new: String,
    },
    /// Print a new mnemonic of 24 words. No key is stored.
    #[command(after_help = "Example: capstan keys mnemonic")]
    Mnemonic,
    /// Print an address in hexadecimal in all its bech32 forms, or the bytes of one in bech32.
    #[command(after_help = "Example: capstan keys parse 00112233445566778899aabbccddeeff00112233")]
    Parse {
        /// The address.
        address: String,
    },
}

impl Keys {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let keyring = Keyring::open(common, &self.keyring)?;
        let record = |(record, backend): (Record, &str)| output.record(&record.shown(backend));
        match self.action {
            Action::Add(add) => output.record(&add.run(&keyring)?),
            Action::List { list_names } => list(&keyring, list_names, output)?,
            Action::Show { name, address, pubkey } => {
                let (found, backend) = keyring.entry_of(&name)?;
                let shown = found.shown(backend);
                match (address, pubkey) {
                    (true, _) => output.either(&shown["address"], &found.address().to_string()),
                    (_, true) => {
                        let key = found.public_key().to_json();
                        output.either(&key, &key.to_string());
                    }
                    _ => output.record(&shown),
                }
            }
            Action::Import { name, file } => record(keyring.import(&name, &armor(file)?)?),
            Action::ImportHex { name } => {
                keyring.check_free(&name)?;
                let key =
                    Key::from_hex(&passphrase::secret_text("the secret key in hexadecimal")?)?;
                let made = Record::local(&name, key)?;
                record((made.clone(), keyring.add(made)?));
            }
            Action::Export { name, unarmored_hex, .. } => {
                export(&keyring, &name, unarmored_hex, output)?;
            }
            Action::Delete { names, yes } => delete(&keyring, &names, yes, output)?,
            Action::Rename { old, new } => record(keyring.rename(&old, &new)?),
            Action::Mnemonic => {
                let words = Key::new_mnemonic()?;
                output.either(&json!({"mnemonic": words}), &words);
            }
            Action::Parse { address } => output.record(&parse::parse(&address)?),
        }
        Ok(())
    }
}

/// Returns the [`Key`] with this name.
///
/// # Errors
/// There is none, its file is damaged, or its passphrase is wrong.
pub(crate) fn find(common: &Common, name: &str) -> anyhow::Result<Key> {
    Keyring::open(common, &KeyringArgs::default())?.key(name)
}

/// Returns the [`Address`] that a text names: an address, or the name of a key.
pub(crate) fn find_address(common: &Common, text: &str) -> anyhow::Result<Address> {
    match store::address(text)? {
        Some(address) => Ok(address),
        None => {
            let keyring = Keyring::open(common, &KeyringArgs::default())?;
            Ok(keyring.entry(text)?.0.address())
        }
    }
}

/// Returns the name of the key that has this address. Returns `None` if there is none.
///
/// # Errors
/// The keyring cannot be read.
pub(crate) fn name_of(common: &Common, address: &str) -> anyhow::Result<Option<String>> {
    let keyring = Keyring::open(common, &KeyringArgs::default())?;
    let entries = keyring.entries()?;
    let found = entries.iter().find(|(record, _)| record.address().to_string() == address);
    Ok(found.map(|(record, _)| record.name.clone()))
}

fn list(keyring: &Keyring, names_only: bool, output: Output) -> anyhow::Result<()> {
    let entries = keyring.entries()?;
    let rows: Vec<Value> = entries.iter().map(|(record, backend)| record.shown(backend)).collect();
    match names_only {
        true => {
            let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
            output.either(&json!({"names": names}), &names.join("\n"));
        }
        false => {
            let columns = ["name", "address", "type", "backend"];
            output.list(&json!({"keys": rows}), &rows, &columns);
        }
    }
    Ok(())
}

fn export(keyring: &Keyring, name: &str, hex: bool, output: Output) -> anyhow::Result<()> {
    let (found, backend) = keyring.entry_of(name)?;
    let mut shown = found.shown(backend);
    let (field, text) = match hex {
        true => ("secret", keyring.unlock(&found)?.secret_hex()),
        false => ("armor", keyring.armor(&found)?),
    };
    shown[field] = text.clone().into();
    output.either(&shown, &text);
    Ok(())
}

fn delete(keyring: &Keyring, names: &[String], yes: bool, output: Output) -> anyhow::Result<()> {
    for name in names {
        keyring.own_entry(name)?;
    }
    passphrase::confirm(&format!("Delete {}? This cannot be undone.", names.join(", ")), yes)?;
    for name in names {
        keyring.delete(name)?;
    }
    output.either(&json!({"deleted": names}), &format!("deleted {}", names.join(", ")));
    Ok(())
}

/// Reads an exported key from a file or standard input.
fn armor(file: Option<PathBuf>) -> anyhow::Result<String> {
    let mut text = String::new();
    let most = MAX_ARMOR_BYTES as u64 + 1;
    let read = match &file {
        Some(path) => File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)),
        None => io::stdin().take(most).read_to_string(&mut text),
    };
    let name = file.map_or("standard input".to_owned(), |path| path.display().to_string());
    read.with_context(|| format!("cannot read {name}"))?;
    match text.trim().is_empty() {
        true => Err(usage(format!("{name} is empty; expected what `capstan keys export` prints"))),
        false => Ok(text),
    }
}
