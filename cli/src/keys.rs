//! The keyring: secret keys in files that only their owner can read, and the built-in development keys.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_client::{Address, DEV_MNEMONIC, DEV_NAMES, Key};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Common;
use crate::failure::usage;
use crate::home::keys_dir;
use crate::output::{self, Output};
use capstan_files::write_atomic;

/// Arguments of `capstan keys`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Example: capstan keys add dave\n\n\
    The keys alice, bob and carol are built in: they come from a mnemonic that everybody knows.\n\
    Files in HOME/keys are not encrypted. This keyring is for development and tests.")]
pub(crate) enum Keys {
    /// Make a new key and print its mnemonic, once.
    #[command(after_help = "Example: capstan keys add dave")]
    Add {
        /// The key's name: lower-case letters, digits, '-' and '_'.
        name: String,
    },
    /// List names and addresses.
    #[command(after_help = "Example: capstan keys list --json")]
    List,
    /// Print the address of one key.
    #[command(after_help = "Example: capstan keys show alice")]
    Show {
        /// Name of the key.
        name: String,
    },
    /// Take over a key: its mnemonic or its secret in hexadecimal, read from standard input.
    #[command(after_help = "Example: capstan keys import dave < mnemonic.txt")]
    Import {
        /// The name that the key gets.
        name: String,
        /// Index of the key in the mnemonic: N in m/44'/118'/0'/0/N.
        #[arg(long, default_value_t = 0, value_name = "N")]
        index: u32,
    },
    /// Print a key's secret in hexadecimal. Whoever has it is the account.
    #[command(after_help = "Example: capstan keys export dave > dave.secret")]
    Export {
        /// Name of the key.
        name: String,
    },
}

#[derive(Deserialize, Serialize)]
struct KeyFile {
    name: String,
    address: Address,
    secret: String,
}

impl Keys {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let dir = keys_dir(common)?;
        match self {
            Self::Add { name } => {
                let file = free_file(&dir, &name)?;
                let (mnemonic, key) = Key::generate()?;
                store(&file, &name, &key)?;
                let mut record = shown(&name, &key.address(), "file");
                record["mnemonic"] = mnemonic.into();
                output.record(&record);
            }
            Self::List => {
                let rows = list(&dir)?;
                output.list(&json!({"keys": rows}), &rows, &["name", "address", "kind"]);
            }
            Self::Show { name } => {
                output.record(&shown(&name, &load(&dir, &name)?.address(), kind(&name)))
            }
            Self::Import { name, index } => {
                let file = free_file(&dir, &name)?;
                let key = read_secret(index)?;
                store(&file, &name, &key)?;
                output.record(&shown(&name, &key.address(), "file"));
            }
            Self::Export { name } => {
                let key = load(&dir, &name)?;
                let mut record = shown(&name, &key.address(), kind(&name));
                record["secret"] = key.secret_hex().into();
                output.either(&record, &key.secret_hex());
            }
        }
        Ok(())
    }
}

/// Returns the [`Key`] with this name.
///
/// # Errors
/// There is none, or its file is damaged.
pub(crate) fn find(common: &Common, name: &str) -> anyhow::Result<Key> {
    load(&keys_dir(common)?, name)
}

/// Returns the [`Address`] that a text names: an address, or the name of a key.
pub(crate) fn find_address(common: &Common, text: &str) -> anyhow::Result<Address> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(error) if text.starts_with("capstan1") => Err(usage(format!("{error}"))),
        Err(_) => Ok(find(common, text)?.address()),
    }
}

/// Returns the name of the key that has this address. Returns `None` if there is none.
///
/// # Errors
/// The directory of keys cannot be read.
pub(crate) fn name_of(common: &Common, address: &str) -> anyhow::Result<Option<String>> {
    let rows = list(&keys_dir(common)?)?;
    let row = rows.iter().find(|row| row["address"] == address);
    Ok(row.and_then(|row| row["name"].as_str()).map(str::to_owned))
}

fn load(dir: &Path, name: &str) -> anyhow::Result<Key> {
    if let Some(key) = Key::dev_named(name) {
        return Ok(key);
    }
    check_name(name)?;
    let file = file_of(dir, name);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no key {name:?}: neither {} nor in {}; `capstan keys add {name}` makes one",
            DEV_NAMES.join(", "),
            dir.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    if let Some(warning) = capstan_files::exposed(&file) {
        output::warn(&format!("warning: the key is not secret: {warning}"));
    }
    let read = || -> anyhow::Result<Key> {
        let file: KeyFile = serde_json::from_slice(&bytes)?;
        let key = Key::from_hex(&file.secret)?;
        if key.address() != file.address {
            bail!("the secret is not that of {}", file.address);
        }
        Ok(key)
    };
    read().with_context(|| format!("{} is damaged", file.display()))
}

fn store(file: &Path, name: &str, key: &Key) -> anyhow::Result<()> {
    let record =
        KeyFile { name: name.to_owned(), address: key.address(), secret: key.secret_hex() };
    let write = || -> io::Result<()> {
        if let Some(dir) = file.parent() {
            make_private_dir(dir)?;
        }
        write_atomic(file, &serde_json::to_vec(&record)?, 0o600)
    };
    write().with_context(|| format!("cannot write {}", file.display()))?;
    let path = file.display();
    output::warn(&format!("warning: {path} is not encrypted; use its key for tests only"));
    Ok(())
}

fn list(dir: &Path) -> anyhow::Result<Vec<Value>> {
    let mut names: Vec<String> = DEV_NAMES.map(str::to_owned).to_vec();
    let mut own = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    own.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    }
    own.sort();
    names.extend(own);
    names.iter().map(|name| Ok(shown(name, &load(dir, name)?.address(), kind(name)))).collect()
}

/// Reads a mnemonic or a secret from standard input.
fn read_secret(index: u32) -> anyhow::Result<Key> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    let text = text.trim();
    let key = match text.split_whitespace().count() {
        0 => {
            return Err(usage(
                "standard input is empty; give a mnemonic or a secret, as in: … import dave < FILE",
            ));
        }
        1 => Key::from_hex(text)?,
        _ => Key::from_mnemonic(text, index)?,
    };
    Ok(key)
}

/// Returns the file for a new key, which must not exist.
fn free_file(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    check_name(name)?;
    if DEV_NAMES.contains(&name) {
        return Err(usage(format!(
            "{name} is a development key (of the mnemonic {DEV_MNEMONIC:?}); choose another name"
        )));
    }
    let file = file_of(dir, name);
    if file.exists() {
        bail!("there is a key {name:?} already, in {}; choose another name", file.display());
    }
    Ok(file)
}

/// Checks the name of a key, which is part of a file's name.
fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if (1..=32).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(usage(format!(
        "{name:?} cannot be a key's name: 1 to 32 lower-case letters, digits, '-' and '_'"
    )))
}

fn file_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.json"))
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(home) = dir.parent() {
        fs::create_dir_all(home)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn kind(name: &str) -> &'static str {
    if DEV_NAMES.contains(&name) { "development" } else { "file" }
}

fn shown(name: &str, address: &Address, kind: &str) -> Value {
    json!({"name": name, "address": address, "kind": kind})
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_stored_for_their_owner_alone_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("home/keys");
        let (_, key) = Key::generate().unwrap();
        store(&free_file(&keys, "dave").unwrap(), "dave", &key).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&keys), mode(&file_of(&keys, "dave"))), (0o700, 0o600));
        assert_eq!(load(&keys, "dave").unwrap().secret_hex(), key.secret_hex());
        let names: Vec<Value> =
            list(&keys).unwrap().iter().map(|row| row["name"].clone()).collect();
        assert_eq!(names, ["alice", "bob", "carol", "dave"]);
        assert!(free_file(&keys, "dave").is_err());
    }

    #[test]
    fn bad_names_and_damaged_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "../x", "Dave", "a b", &"x".repeat(33)] {
            let error = load(dir.path(), name).unwrap_err().to_string();
            assert!(error.contains("cannot be a key's name"), "{error}");
        }
        assert!(
            free_file(dir.path(), "alice").unwrap_err().to_string().contains("development key")
        );
        assert!(
            load(dir.path(), "dave").unwrap_err().to_string().contains("capstan keys add dave")
        );
        let other = Key::dev(1).address();
        let swapped = json!({"name": "dave", "address": other, "secret": Key::dev(0).secret_hex()});
        fs::write(file_of(dir.path(), "dave"), swapped.to_string()).unwrap();
        assert!(format!("{:#}", load(dir.path(), "dave").unwrap_err()).contains("is damaged"));
    }
}
