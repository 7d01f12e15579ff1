//! The values, references, amounts and bundles on the command line of a transaction.

use std::path::Path;

use anyhow::Context as _;
use capstan_abi::{BundleKind, CapData};
use capstan_client::{Amount, Args, DENOM};
use capstan_passable::notation::BadNotation;
use serde_json::{Value, json};

use crate::bundle::read_file;
use crate::failure::usage;
use crate::passable;

/// Returns the id of a bundle that is named by its id or by a file.
///
/// # Errors
/// The text is neither.
pub(crate) fn bundle_id(text: &str) -> anyhow::Result<String> {
    if BundleKind::from_id(text).is_some() {
        return Ok(text.to_owned());
    }
    match std::fs::metadata(text) {
        Ok(_) => Ok(read_file(Path::new(text))?.id.into()),
        Err(error) => Err(usage(format!(
            "{text:?} is neither a bundle's id (b1-…, w1-…) nor a file: {error}"
        ))),
    }
}

/// Encodes what a promise is settled to. A text that rejects becomes an error.
pub(super) fn settled_value(text: Option<&str>, reject: bool) -> Result<CapData, BadNotation> {
    let value = match text {
        None if reject => json!({"@error": "rejected", "name": "Error"}),
        None => json!({"@undefined": true}),
        Some(text) => match passable::argument(text)? {
            Value::String(message) if reject && !message.starts_with('@') => {
                json!({"@error": message, "name": "Error"})
            }
            value => value,
        },
    };
    passable::encode(&value)
}

/// Removes the `@` that a reference has inside arguments.
pub(super) fn reference(text: &str) -> &str {
    text.strip_prefix('@').unwrap_or(text)
}

pub(super) fn arguments(encoded: Result<CapData, BadNotation>) -> anyhow::Result<Args> {
    let CapData { body, slots } = encoded.map_err(|error| usage(not_in_notation(&error)))?;
    Ok(Args::smallcaps(body.strip_prefix('#').unwrap_or(&body), slots))
}

/// Says what is wrong with a value that was typed, and what to write instead.
pub(crate) fn not_in_notation(error: &BadNotation) -> String {
    let mistake = match error {
        BadNotation::Argument { error, .. } => error,
        other => other,
    };
    let hint = match mistake {
        BadNotation::Syntax { .. } => "; if a text is meant, write it in double quotes: '\"…\"'",
        _ => "",
    };
    format!("{error}{hint}")
}

pub(super) fn parameters(text: &str) -> anyhow::Result<Args> {
    let encoded = passable::from_text(text).and_then(|value| passable::encode(&value));
    arguments(encoded).context("--params is not a value")
}

pub(super) fn reason_of_end(text: &str) -> anyhow::Result<Args> {
    let encoded = passable::argument(text).and_then(|value| passable::encode(&value));
    arguments(encoded).context("--reason is not a value")
}

/// Parses an amount: `1000ucap` or `1000`.
pub(super) fn coins(text: &str) -> anyhow::Result<Amount> {
    let digits = text.strip_suffix(DENOM).unwrap_or(text);
    digits.parse().map_err(|error| usage(format!("{error}; write it as in 1000{DENOM}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_may_name_the_coin() {
        assert_eq!(coins("1000ucap").unwrap(), Amount(1000));
        assert_eq!(coins("7").unwrap(), Amount(7));
        for bad in ["", "ucap", "1.5ucap", "-1", "7uatom"] {
            assert!(coins(bad).unwrap_err().to_string().contains("1000ucap"), "{bad}");
        }
    }
}
