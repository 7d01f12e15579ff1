//! The files of the keyring. Those with encrypted keys and those of test keys lie in directories of their own.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_client::{Address, DEV_MNEMONIC, DEV_NAMES, Key, PublicKey};
use capstan_files::write_atomic;

use super::passphrase;
use super::record::{Record, Secret};
use crate::failure::usage;
use crate::{Common, home, output};

/// Directory of encrypted keys in a home.
const FILE_DIR: &str = "keyring-file";

/// Environment variable that holds the backend of new keys.
const VARIABLE: &str = "CAPSTAN_KEYRING_BACKEND";

/// Upper bound of an entry's file. That of the largest multisig has 1 KiB.
const MAX_FILE_BYTES: u64 = 16_384;

/// Upper bound of the entries in a directory.
const MAX_ENTRIES: usize = 10_000;

/// Options of every command that uses keys.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct KeyringArgs {
    /// The store of keys: test (HOME/keys, not encrypted) or file (HOME/keyring-file, encrypted). Keys are looked up in
    /// both without it, and new ones go to the test store [default: $CAPSTAN_KEYRING_BACKEND].
    #[arg(long, global = true, value_enum, value_name = "BACKEND", hide_possible_values = true)]
    keyring_backend: Option<Backend>,
    /// File descriptor from which the passphrase of an encrypted key is read, one line. Without it:
    /// $CAPSTAN_KEYRING_PASSPHRASE, or a question at the terminal.
    #[arg(long, global = true, value_name = "N")]
    passphrase_fd: Option<u32>,
}

/// A store of keys.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// Files that are not encrypted.
    Test,
    /// Files that a passphrase encrypts.
    File,
}

/// The keys of a home, and the built-in development keys.
#[derive(Debug)]
pub(crate) struct Keyring {
    home: PathBuf,
    backend: Option<Backend>,
    passphrase_fd: Option<u32>,
}

impl Backend {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::File => "file",
        }
    }
}

impl Keyring {
    /// Opens the keyring of the home that the command line names. The home need not exist.
    ///
    /// # Errors
    /// There is no home, or the environment names an unknown backend.
    pub(crate) fn open(common: &Common, args: &KeyringArgs) -> anyhow::Result<Self> {
        let named = match std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(match name.as_str() {
                "test" => Backend::Test,
                "file" => Backend::File,
                _ => return Err(usage(format!("{VARIABLE} is {name:?}; expected test or file"))),
            }),
        };
        let backend = args.keyring_backend.or(named);
        Ok(Self { home: home::path(common)?, backend, passphrase_fd: args.passphrase_fd })
    }

    /// Returns the entry with this name, and the name of its backend.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub(crate) fn entry(&self, name: &str) -> anyhow::Result<(Record, &'static str)> {
        if let Some(key) = Key::dev_named(name) {
            return Ok((Record::local(name, key)?, DEVELOPMENT));
        }
        check_name(name)?;
        for backend in self.backends() {
            if let Some(record) = self.read(backend, name)? {
                return Ok((record, backend.name()));
            }
        }
        let dirs: Vec<String> =
            self.backends().map(|backend| self.dir(backend).display().to_string()).collect();
        bail!(
            "there is no key {name:?}: neither {} nor in {}; `capstan keys add {name}` makes one",
            DEV_NAMES.join(", "),
            dirs.join(" or ")
        )
    }

    /// Returns the entry with this name or address, and the name of its backend.
    ///
    /// # Errors
    /// No key has this name or address, or a file is damaged.
    pub(crate) fn entry_of(&self, text: &str) -> anyhow::Result<(Record, &'static str)> {
        let Some(address) = address(text)? else { return self.entry(text) };
        let found = self.entries()?.into_iter().find(|(record, _)| record.address == address);
        found.with_context(|| format!("no key of the keyring has the address {address}"))
    }

    /// Returns the [`Key`] with this name. Asks for its passphrase if it is encrypted.
    ///
    /// # Errors
    /// No key has this name, a file is damaged, the passphrase is wrong, or the secret is elsewhere.
    pub(crate) fn key(&self, name: &str) -> anyhow::Result<Key> {
        let (record, _) = self.entry_of(name)?;
        self.unlock(&record)
    }

    /// Returns the [`Key`] of an entry.
    pub(super) fn unlock(&self, record: &Record) -> anyhow::Result<Key> {
        let name = &record.name;
        match &record.secret {
            Secret::Plain(key) => Ok(key.clone()),
            Secret::Armor(text) => {
                let passphrase = passphrase::existing(name, self.passphrase_fd)?;
                let key = Key::from_armor(text, &passphrase)
                    .with_context(|| format!("cannot decrypt the key {name}"))?;
                if key.address() != record.address {
                    bail!("the file of the key {name} is damaged: its secret is another key's");
                }
                Ok(key)
            }
            Secret::Elsewhere => match record.public_key() {
                PublicKey::Multisig(_) => Err(usage(format!(
                    "{name} is a multisig, which has no secret of its own; write the transaction with --generate-only, sign it with its keys by `capstan tx sign --multisig {name}`, and join them by `capstan tx multisign`"
                ))),
                PublicKey::Secp256k1(_) => Err(usage(format!(
                    "only the public key of {name} is here; write the transaction with --generate-only, and sign it where the secret is"
                ))),
            },
        }
    }

    /// Lists all entries by their names, the development keys first.
    pub(super) fn entries(&self) -> anyhow::Result<Vec<(Record, &'static str)>> {
        let mut found = Vec::new();
        for backend in self.backends() {
            let names = names(&self.dir(backend))?;
            for name in names {
                // The directory may have changed since it was listed.
                if let Some(record) = self.read(backend, &name)? {
                    found.push((record, backend.name()));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let dev = DEV_NAMES.iter().map(|name| self.entry(name));
        let mut entries = dev.collect::<anyhow::Result<Vec<_>>>()?;
        entries.extend(found);
        Ok(entries)
    }

    /// Checks that a name is free, in both stores: a name names one key.
    pub(super) fn check_free(&self, name: &str) -> anyhow::Result<()> {
        check_name(name)?;
        if DEV_NAMES.contains(&name) {
            return Err(usage(format!(
                "{name} is a development key (of the mnemonic {DEV_MNEMONIC:?}); choose another name"
            )));
        }
        for backend in BACKENDS {
            let file = self.file(backend, name);
            if file.exists() {
                bail!(
                    "there is a key {name:?} already, in {}; choose another name",
                    file.display()
                );
            }
        }
        Ok(())
    }

    /// Stores a new entry, encrypted if the store is. Returns the backend's name.
    pub(super) fn add(&self, mut record: Record) -> anyhow::Result<&'static str> {
        self.check_free(&record.name)?;
        let backend = self.backend.unwrap_or(Backend::Test);
        if let (Backend::File, Secret::Plain(key)) = (backend, &record.secret) {
            let passphrase = passphrase::fresh(&record.name, self.passphrase_fd)?;
            record.secret = Secret::Armor(key.to_armor(&passphrase)?);
        }
        self.write(backend, &record)?;
        if let Secret::Plain(_) = record.secret {
            let file = self.file(backend, &record.name);
            output::warn(&format!(
                "warning: {} is not encrypted; use its key for tests only, or make it with --keyring-backend file",
                file.display()
            ));
        }
        Ok(backend.name())
    }

    /// Stores a key that comes as armored text, after its passphrase was checked. Returns it with the backend's name.
    pub(super) fn import(&self, name: &str, armor: &str) -> anyhow::Result<(Record, &'static str)> {
        self.check_free(name)?;
        let passphrase = passphrase::existing(name, self.passphrase_fd)?;
        let mut record = Record::local(name, Key::from_armor(armor, &passphrase)?)?;
        if self.backend == Some(Backend::File) {
            record.secret = Secret::Armor(armor.trim().to_owned());
        }
        Ok((record.clone(), self.add(record)?))
    }

    /// Returns the secret of an entry as armored text.
    pub(super) fn armor(&self, record: &Record) -> anyhow::Result<String> {
        match &record.secret {
            Secret::Armor(text) => Ok(text.clone()),
            _ => {
                let key = self.unlock(record)?;
                Ok(key.to_armor(&passphrase::fresh(&record.name, self.passphrase_fd)?)?)
            }
        }
    }

    /// Gives an entry another name.
    pub(super) fn rename(&self, old: &str, new: &str) -> anyhow::Result<(Record, &'static str)> {
        let (mut record, backend) = self.own_entry(old)?;
        self.check_free(new)?;
        new.clone_into(&mut record.name);
        self.write(backend, &record)?;
        self.delete(old)?;
        Ok((record, backend.name()))
    }

    /// Deletes an entry.
    pub(super) fn delete(&self, name: &str) -> anyhow::Result<()> {
        let (_, backend) = self.own_entry(name)?;
        let file = self.file(backend, name);
        fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))
    }

    /// Returns an entry that is a file, with its store.
    pub(super) fn own_entry(&self, name: &str) -> anyhow::Result<(Record, Backend)> {
        let (record, backend) = self.entry(name)?;
        match BACKENDS.into_iter().find(|known| known.name() == backend) {
            Some(backend) => Ok((record, backend)),
            None => Err(usage(format!("{name} is a development key, which is built in"))),
        }
    }

    fn write(&self, backend: Backend, record: &Record) -> anyhow::Result<()> {
        let file = self.file(backend, &record.name);
        let bytes = record.to_bytes()?;
        let write = || -> io::Result<()> {
            make_private_dir(&self.dir(backend))?;
            write_atomic(&file, &bytes, 0o600)
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads an entry, whose name is that of its file. Returns `None` if there is no file.
    fn read(&self, backend: Backend, name: &str) -> anyhow::Result<Option<Record>> {
        let path = self.file(backend, name);
        let mut bytes = Vec::new();
        let file = File::open(&path);
        match file.and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut record =
            Record::parse(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        name.clone_into(&mut record.name);
        if let Some(warning) = capstan_files::exposed(&path)
            && !matches!(record.secret, Secret::Elsewhere)
        {
            output::warn(&format!("warning: the key is not secret: {warning}"));
        }
        Ok(Some(record))
    }

    fn backends(&self) -> impl Iterator<Item = Backend> {
        BACKENDS.into_iter().filter(|backend| self.backend.is_none_or(|chosen| chosen == *backend))
    }

    fn dir(&self, backend: Backend) -> PathBuf {
        self.home.join(match backend {
            Backend::Test => capstan_node::home::KEYS,
            Backend::File => FILE_DIR,
        })
    }

    fn file(&self, backend: Backend, name: &str) -> PathBuf {
        self.dir(backend).join(format!("{name}.json"))
    }
}

/// Returns the [`Address`] in a text, or `None` if the text is a name.
pub(super) fn address(text: &str) -> anyhow::Result<Option<Address>> {
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(error) if text.starts_with("capstan1") => Err(usage(format!("{error}"))),
        Err(_) => Ok(None),
    }
}

/// Lists the names of the entries in a directory, which need not exist.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)?.take(MAX_ENTRIES) {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
        }
        Ok(names)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", dir.display())),
    }
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

/// The name of the backend of the built-in keys.
pub(super) const DEVELOPMENT: &str = "development";

const BACKENDS: [Backend; 2] = [Backend::Test, Backend::File];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn keyring(home: &Path) -> Keyring {
        Keyring { home: home.to_owned(), backend: None, passphrase_fd: None }
    }

    fn dave() -> Record {
        Record::local("dave", Key::from_mnemonic(DEV_MNEMONIC, 9).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_stored_for_their_owner_alone_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = keyring(&dir.path().join("home"));
        keyring.add(dave()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = keyring.file(Backend::Test, "dave");
        assert_eq!((mode(&keyring.dir(Backend::Test)), mode(&file)), (0o700, 0o600));
        assert_eq!(keyring.key("dave").unwrap().address(), dave().address);
        assert_eq!(keyring.key(&dave().address.to_string()).unwrap().address(), dave().address);
        let entries = keyring.entries().unwrap();
        let names: Vec<&str> = entries.iter().map(|(record, _)| record.name.as_str()).collect();
        assert_eq!(names, ["alice", "bob", "carol", "dave"]);
        assert!(keyring.add(dave()).unwrap_err().to_string().contains("already"));
        keyring.rename("dave", "erin").unwrap();
        assert!(keyring.entry("dave").is_err());
        assert_eq!(keyring.entry("erin").unwrap().0.address, dave().address);
        keyring.delete("erin").unwrap();
        assert_eq!(keyring.entries().unwrap().len(), 3);
    }

    #[test]
    fn bad_names_and_damaged_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = keyring(dir.path());
        let refused = |name: &str, part: &str| {
            let error = format!("{:#}", keyring.entry(name).unwrap_err());
            assert!(error.contains(part), "{name}: {error}");
        };
        for name in ["", "../x", "Dave", "a b", &"x".repeat(33)] {
            refused(name, "cannot be a key's name");
        }
        let error = keyring.check_free("alice").unwrap_err().to_string();
        assert!(error.contains("development key"), "{error}");
        refused("dave", "capstan keys add dave");
        keyring.add(dave()).unwrap();
        let file = keyring.file(Backend::Test, "dave");
        let whole = fs::read_to_string(&file).unwrap();
        let other = whole.replace(&dave().address.to_string(), &Key::dev(1).address().to_string());
        for text in [&whole[..whole.len() / 2], "", "{}", &other, &"x".repeat(20_000)] {
            fs::write(&file, text).unwrap();
            refused("dave", "is damaged");
        }
    }
}
