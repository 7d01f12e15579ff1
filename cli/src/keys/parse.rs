//! `capstan keys parse`: an address in all its forms.

use capstan_client::ADDRESS_PREFIX;
use cosmrs::AccountId;
use serde_json::{Value, json};

use crate::failure::usage;

/// The six address prefixes of Cosmos wallets: each field of Keplr's `bech32Config`, and the suffix that it adds to the
/// chain's prefix.
pub(crate) const PREFIXES: [(&str, &str); 6] = [
    ("bech32PrefixAccAddr", ""),
    ("bech32PrefixAccPub", "pub"),
    ("bech32PrefixValAddr", "valoper"),
    ("bech32PrefixValPub", "valoperpub"),
    ("bech32PrefixConsAddr", "valcons"),
    ("bech32PrefixConsPub", "valconspub"),
];

/// Maximum number of bytes in an address.
const MAX_BYTES: usize = 64;

/// Returns the forms of an address in hexadecimal, or the bytes of one in bech32.
///
/// # Errors
/// The text is neither.
pub(super) fn parse(text: &str) -> anyhow::Result<Value> {
    if let Ok(bytes) = hex::decode(text)
        && (1..=MAX_BYTES).contains(&bytes.len())
    {
        let form = |(_, suffix): (&str, &str)| {
            AccountId::new(&format!("{ADDRESS_PREFIX}{suffix}"), &bytes)
                .map(|id| id.to_string())
                .map_err(|error| usage(format!("{text:?} has no bech32 form: {error}")))
        };
        let formats = PREFIXES.into_iter().map(form).collect::<Result<Vec<_>, _>>()?;
        return Ok(json!({"formats": formats}));
    }
    let id: AccountId = text.parse().map_err(|_| {
        usage(format!(
            "{text:?} is neither an address in bech32 nor 1 to {MAX_BYTES} bytes in hexadecimal"
        ))
    })?;
    Ok(json!({"human": id.prefix(), "bytes": hex::encode_upper(id.to_bytes())}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_in_all_forms_and_back() {
        let bytes = "00112233445566778899AABBCCDDEEFF00112233";
        let formats = parse(bytes).unwrap()["formats"].as_array().unwrap().clone();
        assert_eq!(formats.len(), 6);
        for (form, (_, suffix)) in formats.iter().zip(PREFIXES) {
            let back = parse(form.as_str().unwrap()).unwrap();
            assert_eq!(back, json!({"human": format!("capstan{suffix}"), "bytes": bytes}));
        }
        for bad in ["", "xyz", "capstan1", &"00".repeat(65)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
