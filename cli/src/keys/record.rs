//! One entry of the keyring: a name, an address, a public key and perhaps a secret.

use anyhow::{Context as _, anyhow, bail};
use capstan_client::{Address, Key, Multisig, PublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An entry of the keyring.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(super) name: String,
    pub(super) public_key: PublicKey,
    pub(super) address: Address,
    pub(super) secret: Secret,
}

/// Form in which the secret of a key is at hand.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    /// The key itself.
    Plain(Key),
    /// Text that a passphrase decrypts.
    Armor(String),
    /// Another device or machine has it, or it is a multisig.
    Elsewhere,
}

/// The file of an entry. Either `secret` or `armor` is there, or neither.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pubkey: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    armor: Option<String>,
}

impl Record {
    /// Creates the entry of a key whose secret is at hand.
    pub(super) fn local(name: &str, key: Key) -> anyhow::Result<Self> {
        let public_key = key.account_key().ok_or_else(|| anyhow!("the key has no public key"))?;
        Self::new(name, public_key, Secret::Plain(key))
    }

    pub(super) fn new(name: &str, public_key: PublicKey, secret: Secret) -> anyhow::Result<Self> {
        let address =
            public_key.address().ok_or_else(|| anyhow!("the public key has no address"))?;
        Ok(Self { name: name.to_owned(), public_key, address, secret })
    }

    /// Reads the file of an entry.
    pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let file: File = serde_json::from_slice(bytes)?;
        let record = match (file.secret, file.armor, &file.pubkey) {
            (Some(secret), None, _) => Self::local(&file.name, Key::from_hex(&secret)?)?,
            (None, armor, Some(json)) => {
                let public_key = PublicKey::from_json(json).context("public key")?;
                let secret = armor.map_or(Secret::Elsewhere, Secret::Armor);
                Self::new(&file.name, public_key, secret)?
            }
            _ => bail!("it has no key"),
        };
        if record.address != file.address {
            bail!("the key is not that of {}", file.address);
        }
        Ok(record)
    }

    /// Writes the file of the entry.
    pub(super) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let (secret, armor) = match &self.secret {
            Secret::Plain(key) => (Some(key.secret_hex()), None),
            Secret::Armor(text) => (None, Some(text.clone())),
            Secret::Elsewhere => (None, None),
        };
        let (name, address) = (self.name.clone(), self.address);
        let file = File { name, address, pubkey: Some(self.public_key.to_json()), secret, armor };
        Ok(serde_json::to_vec(&file)?)
    }

    /// Returns the [`Address`] of the account.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Returns the public key of the account.
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the keys of a multisig.
    ///
    /// # Errors
    /// The key is not a multisig.
    pub(crate) fn multisig(&self) -> anyhow::Result<&Multisig> {
        match &self.public_key {
            PublicKey::Multisig(multisig) => Ok(multisig),
            PublicKey::Secp256k1(_) => bail!(
                "{} is no multisig; `capstan keys add NAME --multisig A,B,C --multisig-threshold 2` makes one",
                self.name
            ),
        }
    }

    /// Returns the entry's kind, by the names of the Cosmos SDK.
    pub(super) fn kind(&self) -> &'static str {
        match (&self.secret, &self.public_key) {
            (Secret::Plain(_) | Secret::Armor(_), _) => "local",
            (_, PublicKey::Multisig(_)) => "multi",
            _ => "offline",
        }
    }

    /// Returns what `keys show` prints. The public key is JSON in a text, as in the Cosmos SDK.
    pub(super) fn shown(&self, backend: &str) -> Value {
        json!({
            "name": self.name,
            "type": self.kind(),
            "address": self.address,
            "pubkey": self.public_key.to_json().to_string(),
            "backend": backend,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_from_their_files_and_so_do_those_without_a_public_key() {
        let key = Key::dev(0);
        let (address, secret) = (key.address(), key.secret_hex());
        let local = Record::local("dave", key).unwrap();
        let old = json!({"name": "dave", "address": address, "secret": secret}).to_string();
        let sealed = Secret::Armor("armored".to_owned());
        let sealed = Record::new("dave", local.public_key.clone(), sealed).unwrap();
        let offline = Record::new("dave", local.public_key.clone(), Secret::Elsewhere).unwrap();
        for (bytes, kind) in [
            (old.into_bytes(), "local"),
            (local.to_bytes().unwrap(), "local"),
            (sealed.to_bytes().unwrap(), "local"),
            (offline.to_bytes().unwrap(), "offline"),
        ] {
            let read = Record::parse(&bytes).unwrap();
            assert_eq!((read.kind(), read.address, read.name.as_str()), (kind, address, "dave"));
        }
    }

    #[test]
    fn a_file_with_two_secrets_or_none_is_refused() {
        let key = Key::dev(0);
        let file = |more: Value| {
            let mut file = json!({"name": "dave", "address": key.address()});
            for (name, value) in more.as_object().unwrap() {
                file[name] = value.clone();
            }
            Record::parse(file.to_string().as_bytes())
        };
        assert!(file(json!({"secret": key.secret_hex()})).is_ok());
        for more in [
            json!({}),
            json!({"secret": key.secret_hex(), "armor": "x"}),
            json!({"armor": "x"}),
            json!({"secret": key.secret_hex(), "surprise": 1}),
            json!({"secret": Key::dev(1).secret_hex()}),
        ] {
            assert!(file(more.clone()).is_err(), "{more}");
        }
    }
}
