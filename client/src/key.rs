//! Signing keys and their addresses.

use bip39::{Language, Mnemonic};
use capstan_proto::{Address, PublicKey as AccountKey};
use cosmrs::bip32::XPrv;
use cosmrs::crypto::PublicKey;
use cosmrs::crypto::secp256k1::{Signature, SigningKey};
use k256::ecdsa::VerifyingKey;
use k256::ecdsa::signature::{Error as SignatureError, Keypair, RandomizedSigner, Signer};
use rand_core::OsRng;

use crate::{ArmorError, COIN_TYPE, KeyPath};

/// Mnemonic of development chains. It is public, so never use its keys for anything of value.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Names of the first accounts of [`DEV_MNEMONIC`], in order.
pub const DEV_NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// Bytes of randomness in a new mnemonic, which gives 24 words.
const NEW_MNEMONIC_BYTES: usize = 32;

/// A secp256k1 signing key with its account's address.
#[derive(Clone)]
pub struct Key {
    secret: [u8; 32],
    public: PublicKey,
    address: Address,
}

/// Reason why a key cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The words are not a BIP-39 mnemonic.
    #[error("not a BIP-39 mnemonic of 12 to 24 English words: {0}")]
    Mnemonic(String),
    /// The text is not a secret key.
    #[error(
        "not a secret key: expected 64 hexadecimal digits of a number below the order of secp256k1"
    )]
    Hex,
    /// The text is not an armored secret key, or its passphrase is another one.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The BIP-39 passphrase has characters that are not ASCII.
    #[error("a BIP-39 passphrase has ASCII characters only")]
    Passphrase,
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// No key has this index (the odds are 1 to 2^127).
    #[error("there is no key at {0}")]
    Derivation(String),
}

impl Key {
    /// Derives key `index` of a mnemonic at the path `m/44'/118'/0'/0/INDEX` of Cosmos wallets, without passphrase.
    ///
    /// # Errors
    /// [`KeyError::Mnemonic`] if a word or the checksum is wrong.
    pub fn from_mnemonic(words: &str, index: u32) -> Result<Self, KeyError> {
        let path = KeyPath::bip44(COIN_TYPE, 0, index)
            .map_err(|error| KeyError::Derivation(error.to_string()))?;
        Self::from_mnemonic_at(words, &path)
    }

    /// Derives the key of a mnemonic at a path, without passphrase.
    ///
    /// # Errors
    /// [`KeyError::Mnemonic`] if a word or the checksum is wrong.
    pub fn from_mnemonic_at(words: &str, path: &KeyPath) -> Result<Self, KeyError> {
        Self::from_mnemonic_with(words, "", path)
    }

    /// Derives the key of a mnemonic with a BIP-39 passphrase at a path. Another passphrase gives another key.
    ///
    /// # Errors
    /// [`KeyError::Mnemonic`] if a word or the checksum is wrong, and [`KeyError::Passphrase`].
    pub fn from_mnemonic_with(
        words: &str,
        passphrase: &str,
        path: &KeyPath,
    ) -> Result<Self, KeyError> {
        // Wallets differ in what they make of other characters.
        if !passphrase.is_ascii() {
            return Err(KeyError::Passphrase);
        }
        let normal = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &normal)
            .map_err(|error| KeyError::Mnemonic(error.to_string()))?;
        let underivable = || KeyError::Derivation(path.to_string());
        let derived =
            XPrv::derive_from_path(mnemonic.to_seed_normalized(passphrase), path.derivation())
                .map_err(|_| underivable())?;
        Self::from_secret(derived.to_bytes()).ok_or_else(underivable)
    }

    /// Creates a mnemonic of 24 words from the operating system's randomness, and derives its key 0.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<(String, Self), KeyError> {
        let words = Self::new_mnemonic()?;
        let key = Self::from_mnemonic(&words, 0)?;
        Ok((words, key))
    }

    /// Creates a mnemonic of 24 words from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn new_mnemonic() -> Result<String, KeyError> {
        let mut entropy = [0; NEW_MNEMONIC_BYTES];
        getrandom::fill(&mut entropy).map_err(|error| KeyError::Randomness(error.to_string()))?;
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &entropy)
            .map_err(|error| KeyError::Mnemonic(error.to_string()))?;
        Ok(mnemonic.words().collect::<Vec<_>>().join(" "))
    }

    /// Reads a secret key in 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::Hex`].
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let mut secret = [0; 32];
        hex::decode_to_slice(digits.trim(), &mut secret).map_err(|_| KeyError::Hex)?;
        Self::from_secret(secret).ok_or(KeyError::Hex)
    }

    /// Returns key `index` of [`DEV_MNEMONIC`]: 0 is alice, 1 bob, 2 carol.
    ///
    /// # Panics If `index` is 2^31 or more. The mnemonic itself is a constant that a test derives from.
    #[allow(clippy::expect_used)] // the mnemonic is constant and valid, as a test shows
    pub fn dev(index: u32) -> Self {
        Self::from_mnemonic(DEV_MNEMONIC, index).expect("the development mnemonic is valid")
    }

    /// Returns the development key with this name, one of [`DEV_NAMES`].
    pub fn dev_named(name: &str) -> Option<Self> {
        (0_u32..)
            .zip(DEV_NAMES)
            .find(|(_, known)| *known == name)
            .map(|(index, _)| Self::dev(index))
    }

    /// Returns the [`Address`] of the account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Returns the public key as accounts have it.
    pub fn account_key(&self) -> Option<AccountKey> {
        self.public.to_bytes().try_into().ok().map(AccountKey::Secp256k1)
    }

    /// Returns the secret in 64 hexadecimal digits, for storage. It gives full control of the account.
    pub fn secret_hex(&self) -> String {
        hex::encode(self.secret)
    }

    pub(crate) fn secret_bytes(&self) -> [u8; 32] {
        self.secret
    }

    /// Returns the key as a [`SigningKey`] of `cosmrs`.
    pub(crate) fn signing_key(&self) -> Option<SigningKey> {
        SigningKey::from_slice(&self.secret).ok()
    }

    /// Returns the key as a [`SigningKey`] of `cosmrs` that gives a fresh signature each time.
    pub(crate) fn hedged_signing_key(&self) -> Option<SigningKey> {
        let key = k256::ecdsa::SigningKey::from_slice(&self.secret).ok()?;
        Some(SigningKey::new(Box::new(Hedged(key))))
    }

    /// Creates a key from its secret. Returns `None` if the number is not a secret key.
    pub(crate) fn from_secret(secret: [u8; 32]) -> Option<Self> {
        let public = SigningKey::from_slice(&secret).ok()?.public_key();
        Some(Self { secret, public, address: Address::from_public_key(&public)? })
    }
}

/// Signing key that adds randomness to each signature, by RFC 6979 section 3.6.
struct Hedged(k256::ecdsa::SigningKey);

impl Signer<Signature> for Hedged {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        self.0.try_sign_with_rng(&mut OsRng, message)
    }
}

impl Keypair for Hedged {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        *self.0.verifying_key()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use cosmrs::AccountId;

    use super::*;

    /// Address that other Cosmos wallets derive from the development mnemonic, with the prefix `cosmos`.
    const COSMOS_ALICE: &str = "cosmos15yk64u7zc9g9k2yr2wmzeva5qgwxps6yxj00e7";

    #[test]
    fn keys_are_derived_as_cosmos_wallets_do() {
        let alice = Key::dev(0);
        let theirs: AccountId = COSMOS_ALICE.parse().unwrap();
        assert_eq!(alice.address().0.to_vec(), theirs.to_bytes());
        assert!(alice.address().to_string().starts_with("capstan1"));
    }

    #[test]
    fn the_development_accounts_differ_and_have_names() {
        let keys: Vec<String> = (0..3).map(|index| Key::dev(index).secret_hex()).collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(Key::dev_named("bob").unwrap().secret_hex(), keys[1]);
        assert!(Key::dev_named("dave").is_none());
    }

    #[test]
    fn new_keys_differ_and_come_back_from_their_words() {
        let (words, key) = Key::generate().unwrap();
        let (others, other) = Key::generate().unwrap();
        assert_eq!(words.split(' ').count(), 24);
        assert!(words != others && key.secret_hex() != other.secret_hex());
        let spaced = format!("  {}\n", words.replace(' ', "  "));
        assert_eq!(Key::from_mnemonic(&spaced, 0).unwrap().secret_hex(), key.secret_hex());
        assert_eq!(Key::from_hex(&key.secret_hex()).unwrap().address(), key.address());
    }

    #[test]
    fn wrong_words_and_digits_are_refused() {
        for words in [
            "",
            "test",
            &DEV_MNEMONIC.replace("junk", "test"),
            &DEV_MNEMONIC.replace("junk", "capstan"),
        ] {
            assert!(matches!(Key::from_mnemonic(words, 0), Err(KeyError::Mnemonic(_))), "{words}");
        }
        let above_the_order = "f".repeat(64);
        for digits in ["", "zz", "00", &"0".repeat(64), &above_the_order] {
            assert_eq!(Key::from_hex(digits).unwrap_err(), KeyError::Hex, "{digits}");
        }
    }

    #[test]
    fn a_keys_debug_form_does_not_show_its_secret() {
        let key = Key::dev(0);
        assert!(!format!("{key:?}").contains(&key.secret_hex()));
    }
}
