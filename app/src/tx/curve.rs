//! The verification of one signature on the curve secp256k1.
//!
//! libsecp256k1 does it, in two fifths of the time of `k256`. What it is given was read by `k256`, which decides what a
//! signature is. So a transaction is refused for the same reason as ever. Both agree on every signature in low-s form:
//! see ADR 18.

use cosmrs::crypto::secp256k1 as ecdsa;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use secp256k1::Message;

use super::{Secp256k1Key, signature::Unverified};

/// Verifies the `signature` of a key: the numbers `r` and `s`, 32 bytes each.
pub(super) fn verify(
    key: &Secp256k1Key,
    signature: &[u8],
    hash: &[u8; 32],
) -> Result<(), Unverified> {
    let read = |_| Unverified::Wrong;
    let Some(point) = compressed(key) else { return slowly(key, signature, hash) };
    let numbers = ecdsa::Signature::from_slice(signature).map_err(read)?;
    if numbers.normalize_s().is_some() {
        return Err(Unverified::HighS);
    }
    let signature =
        secp256k1::ecdsa::Signature::from_compact(signature).map_err(|_| Unverified::Wrong)?;
    secp256k1::ecdsa::verify(&signature, Message::from_digest(*hash), &point)
        .map_err(|_| Unverified::Wrong)
}

/// Returns the point of a compressed key. The other form of 33 bytes is `k256`'s own, and nobody uses it.
fn compressed(key: &Secp256k1Key) -> Option<secp256k1::PublicKey> {
    secp256k1::PublicKey::from_slice(key).ok()
}

/// Verifies a signature with `k256` alone.
fn slowly(key: &Secp256k1Key, signature: &[u8], hash: &[u8; 32]) -> Result<(), Unverified> {
    let key = ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| Unverified::Wrong)?;
    let signature = ecdsa::Signature::from_slice(signature).map_err(|_| Unverified::Wrong)?;
    if signature.normalize_s().is_some() {
        return Err(Unverified::HighS);
    }
    key.verify_prehash(hash, &signature).map_err(|_| Unverified::Wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use capstan_test_random::Random;
    use k256::ecdsa::{SigningKey, signature::hazmat::PrehashSigner};

    use super::*;

    /// The order of the curve's group, and half of it.
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    const HALF: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";

    fn name(verdict: &Result<(), Unverified>) -> &'static str {
        match verdict {
            Ok(()) => "good",
            Err(Unverified::HighS) => "high s",
            Err(Unverified::Wrong) => "wrong",
            Err(Unverified::Keys(_)) => "keys",
        }
    }

    fn bytes(random: &mut Random) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.fill_with(|| random.index(256) as u8);
        bytes
    }

    /// Numbers at which a reader may differ: zero, one, around the order and its half, all ones.
    fn edges() -> Vec<[u8; 32]> {
        let mut edges = vec![[0; 32], [0xff; 32]];
        for text in [ORDER, HALF] {
            let at: [u8; 32] = hex::decode(text).unwrap().try_into().unwrap();
            edges.push(at);
            for change in [u8::wrapping_add, u8::wrapping_sub] {
                let mut near = at;
                near[31] = change(near[31], 1);
                edges.push(near);
            }
        }
        edges.push(std::array::from_fn(|at| u8::from(at == 31)));
        edges
    }

    #[test]
    fn both_libraries_judge_every_signature_alike() {
        let mut random = Random::seeded(18);
        let edges = edges();
        let mut verdicts = std::collections::BTreeMap::<&str, usize>::new();
        for round in 0..400 {
            let Ok(signer) = SigningKey::from_slice(&bytes(&mut random)) else { continue };
            let mut key: Secp256k1Key =
                signer.verifying_key().to_encoded_point(true).as_bytes().try_into().unwrap();
            let mut hash = bytes(&mut random);
            let signed: k256::ecdsa::Signature = signer.sign_prehash(&hash).unwrap();
            let mut signature = signed.to_bytes().to_vec();
            let edge = edges[random.index(edges.len())];
            match round % 10 {
                0 => signature[random.index(64)] ^= 1 << random.index(8),
                1 => signature[..32].copy_from_slice(&edge),
                2 => signature[32..].copy_from_slice(&edge),
                3 => key[random.index(33)] ^= 1 << random.index(8),
                4 => hash[random.index(32)] ^= 1 << random.index(8),
                5 => key[0] = random.index(8) as u8,
                6 => signature.truncate(random.index(65)),
                7 => {
                    let negated = -*signed.s();
                    signature[32..].copy_from_slice(&negated.to_bytes());
                }
                _ => {}
            }
            let (fast, slow) = (verify(&key, &signature, &hash), slowly(&key, &signature, &hash));
            assert_eq!(
                name(&fast),
                name(&slow),
                "{} {}",
                hex::encode(key),
                hex::encode(&signature)
            );
            *verdicts.entry(name(&fast)).or_default() += 1;
        }
        assert!(
            verdicts["good"] > 50 && verdicts["wrong"] > 50 && verdicts["high s"] > 10,
            "{verdicts:?}"
        );
    }
}
