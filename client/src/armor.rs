//! Secret keys that a passphrase encrypts, in the text form of the Cosmos SDK's `keys export`.
//!
//! The text is ASCII armor of OpenPGP, RFC 4880 section 6: headers, base64 and a CRC-24. Argon2id makes a key of the
//! passphrase and a fresh salt, and ChaCha20-Poly1305 encrypts the secret in binary amino. The nonce is 0, since each
//! salt gives another key.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, aead::Aead as _};

use crate::{Key, KeyError};

const BEGIN: &str = "-----BEGIN TENDERMINT PRIVATE KEY-----";
const END: &str = "-----END TENDERMINT PRIVATE KEY-----";

/// Upper bound of the text. That of a key has about 300 bytes.
pub const MAX_ARMOR_BYTES: usize = 4_096;

/// Length of a line of base64.
const LINE: usize = 64;

const SALT_BYTES: usize = 16;

/// Memory of Argon2id in KiB, its passes and its lanes.
const ARGON2: (u32, u32, u32) = (64 * 1024, 1, 4);

/// Amino's prefix of `tendermint/PrivKeySecp256k1`, and the length of a secret.
const SECRET_PREFIX: [u8; 5] = [0xE1, 0xB0, 0xF7, 0x9B, 32];

/// Reason why a secret key cannot be read from armor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// The text is not armor, or damaged.
    #[error("not an armored secret key, as `keys export` writes it: {0}")]
    Damaged(&'static str),
    /// The key was encrypted in another way.
    #[error(
        "the key is encrypted with {0:?}, expected argon2 of Cosmos SDK 0.50 or later; export it again with such a version"
    )]
    Kdf(String),
    /// The key is of another type.
    #[error("the key is of type {0:?}, expected secp256k1")]
    Type(String),
    /// The passphrase is another one, or a byte was changed.
    #[error("the passphrase is wrong, or the encrypted key was changed")]
    Passphrase,
}

/// The parts of an armored text.
struct Parts {
    salt: Vec<u8>,
    sealed: Vec<u8>,
}

impl Key {
    /// Encrypts the secret with a passphrase, as armored text that [`Key::from_armor`] and the Cosmos SDK's
    /// `keys import` read.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn to_armor(&self, passphrase: &str) -> Result<String, KeyError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| KeyError::Randomness(error.to_string()))?;
        let plain = [&SECRET_PREFIX[..], &self.secret_bytes()].concat();
        let cipher = cipher(passphrase, &salt)?;
        let sealed = cipher.encrypt(&Nonce::default(), plain.as_slice());
        let sealed = sealed.map_err(|_| ArmorError::Damaged("the secret cannot be encrypted"))?;
        Ok(armored(&salt, &sealed))
    }

    /// Decrypts a secret key.
    ///
    /// # Errors
    /// [`KeyError::Armor`].
    pub fn from_armor(text: &str, passphrase: &str) -> Result<Self, KeyError> {
        let Parts { salt, sealed } = parts(text)?;
        let plain = cipher(passphrase, &salt)?.decrypt(&Nonce::default(), sealed.as_slice());
        let plain = plain.map_err(|_| ArmorError::Passphrase)?;
        let secret = plain.strip_prefix(&SECRET_PREFIX).and_then(|secret| secret.try_into().ok());
        let key = secret.and_then(Self::from_secret);
        Ok(key.ok_or(ArmorError::Damaged("there is no secp256k1 key in it"))?)
    }
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<ChaCha20Poly1305, ArmorError> {
    let (memory, passes, lanes) = ARGON2;
    let mut key = [0; 32];
    Params::new(memory, passes, lanes, Some(key.len()))
        .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
        .and_then(|argon2| argon2.hash_password_into(passphrase.as_bytes(), salt, &mut key))
        .map_err(|_| ArmorError::Damaged("the salt is too short"))?;
    Ok(ChaCha20Poly1305::new(&key.into()))
}

fn armored(salt: &[u8], sealed: &[u8]) -> String {
    let body = STANDARD.encode(sealed);
    let mut text =
        format!("{BEGIN}\nkdf: argon2\nsalt: {}\ntype: secp256k1\n\n", hex::encode_upper(salt));
    for line in body.as_bytes().chunks(LINE) {
        // Base64 is ASCII.
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    let sum = crc24(sealed).to_be_bytes();
    format!("{text}={}\n{END}", STANDARD.encode(&sum[1..]))
}

fn parts(text: &str) -> Result<Parts, ArmorError> {
    if text.len() > MAX_ARMOR_BYTES {
        return Err(ArmorError::Damaged("it is too long"));
    }
    let mut lines = text.trim().lines().map(str::trim);
    if lines.next() != Some(BEGIN) {
        return Err(ArmorError::Damaged("its first line is not that of one"));
    }
    let (mut salt, mut kdf, mut kind) = (None, String::new(), "secp256k1".to_owned());
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("salt", digits)) => salt = hex::decode(digits).ok(),
            Some(("kdf", name)) => name.clone_into(&mut kdf),
            Some(("type", name)) => name.clone_into(&mut kind),
            Some(_) => {}
            None => return Err(ArmorError::Damaged("a header is damaged")),
        }
    }
    let (mut body, mut sum, mut ended) = (String::new(), None, false);
    for line in lines {
        match line.strip_prefix('=') {
            Some(digits) => sum = STANDARD.decode(digits).ok(),
            None if line == END => ended = true,
            None => body.push_str(line),
        }
    }
    if !ended {
        return Err(ArmorError::Damaged("its end is missing"));
    }
    let sealed = STANDARD.decode(body).map_err(|_| ArmorError::Damaged("its base64 is damaged"))?;
    if sum.as_deref() != Some(&crc24(&sealed).to_be_bytes()[1..]) {
        return Err(ArmorError::Damaged("its checksum is wrong"));
    }
    if kdf != "argon2" {
        return Err(ArmorError::Kdf(kdf));
    }
    if kind != "secp256k1" {
        return Err(ArmorError::Type(kind));
    }
    Ok(Parts { salt: salt.ok_or(ArmorError::Damaged("its salt is damaged"))?, sealed })
}

/// Computes the CRC-24 of RFC 4880 section 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xB7_04CE, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 16), |sum, _| {
            let shifted = sum << 1;
            let reduced = if shifted & 0x100_0000 == 0 { shifted } else { shifted ^ 0x186_4CFB };
            reduced & 0xFF_FFFF
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_with_their_passphrase_alone() {
        let key = Key::dev(0);
        let armor = key.to_armor("correct horse").unwrap();
        assert_ne!(armor, key.to_armor("correct horse").unwrap());
        let read = |text: &str, passphrase| Key::from_armor(text, passphrase);
        assert_eq!(read(&armor, "correct horse").unwrap().secret_hex(), key.secret_hex());
        assert_eq!(read(&armor, "correct hors").unwrap_err(), ArmorError::Passphrase.into());
        // The salt is not part of the checksum, but of the key.
        let salt = armor.find("salt: ").unwrap() + 6;
        let other = if armor.as_bytes()[salt] == b'0' { "1" } else { "0" };
        let changed = format!("{}{other}{}", &armor[..salt], &armor[salt + 1..]);
        assert_eq!(read(&changed, "correct horse").unwrap_err(), ArmorError::Passphrase.into());
    }

    #[test]
    fn damaged_and_foreign_armor_is_named() {
        let armor = Key::dev(0).to_armor("correct horse").unwrap();
        let half = &armor[..armor.len() / 2];
        let body = armor.find("\n\n").unwrap() + 2;
        let other = if armor.as_bytes()[body] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &armor[..body], &armor[body + 1..]);
        let bcrypt = armor.replace("argon2", "bcrypt");
        let ed25519 = armor.replace("secp256k1", "ed25519");
        let long = armor.clone() + &" x".repeat(MAX_ARMOR_BYTES);
        for (text, part) in [
            ("", "first line"),
            (half, "end is missing"),
            (&changed, "checksum"),
            (&bcrypt, "bcrypt"),
            (&ed25519, "ed25519"),
            (&long, "too long"),
        ] {
            let error = Key::from_armor(text, "correct horse").unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    /// A key that Go's libraries for Argon2, ChaCha20-Poly1305 and OpenPGP armor encrypted as the Cosmos SDK does.
    const FROM_GO: &str = "-----BEGIN TENDERMINT PRIVATE KEY-----
kdf: argon2
type: secp256k1
salt: 30313233343536373839616263646566

rxy6OAu/0Y3tBIC1oDdOZx8wDUXN7H3L07XOXcPBIhlExvk4HLtxsRtqlMkCfrg/
MzLb56E=
=y+Me
-----END TENDERMINT PRIVATE KEY-----";

    #[test]
    fn keys_of_the_sdks_tools_are_read() {
        let key = Key::from_armor(FROM_GO, "goes the other way").unwrap();
        let secret = "f6cca36ff7e72a736a56c25b024423d2190895acec6bff4d8635e0f112f21648";
        assert_eq!(key.secret_hex(), secret);
    }

    #[test]
    fn the_checksum_is_that_of_openpgp() {
        assert_eq!(crc24(b"123456789"), 0x21_CF02);
    }
}
