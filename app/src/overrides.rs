//! Agreed overrides, by which all validators of a stopped chain execute one block differently.
//!
//! A critical vat's end stops every node in a block that consensus has decided. So does a block that ends every node's
//! process. Its transactions cannot change, but the validators can agree to execute it differently. An [`Override`]
//! names the block's height and the app hash before it, so it can mean no other state. It is a JSON document:
//!
//! ```json
//! {"height": 17, "app_hash": "64 hex digits", "uncritical": ["v3"], "terminate": ["v7"],
//!  "skip_transactions": ["64 hex digits"], "drop_messages": ["kp40", "run-17"]}
//! ```
//!
//! At least one of the last four fields must be present. Changes to vats come before anything else in the block.
//! Messages are dropped when their turn comes, also those that are sent in the block itself. Places on queues are
//! those of the block as it is executed with this override. The canonical document goes into the state
//! (`a.override.HEIGHT`). So nodes with different overrides have different app hashes, and cannot share a chain by
//! mistake.

use std::collections::BTreeSet;

use capstan_kernel::queue::TakenOut;
use capstan_kernel_ports::{Hash, VatId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::tx::TxHash;

/// Agreed changes to the execution of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Height of the block.
    pub height: u64,
    /// App hash after the block before it: a [`struct@Hash`] of the committed state.
    pub app_hash: Hash,
    /// [`VatId`]s of vats whose end no longer stops the chain.
    pub uncritical: Vec<VatId>,
    /// [`VatId`]s of vats that end, critical or not, before anything else in the block.
    pub terminate: Vec<VatId>,
    /// [`TxHash`]es of transactions in the block that are not executed. They cost their signers nothing.
    pub skip_transactions: Vec<TxHash>,
    /// Messages that are not delivered, named by their result or by their place on a queue: see [`TakenOut`]. Their
    /// results are rejected.
    pub drop_messages: Vec<TakenOut>,
}

/// Mistake in a document that should be an [`Override`]. The text says what to correct.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no override: {0}")]
pub struct OverrideError(String);

/// JSON form of an [`Override`].
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    height: u64,
    app_hash: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uncritical: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    terminate: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skip_transactions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drop_messages: Vec<String>,
}

impl Override {
    /// Parses the JSON document of an override.
    ///
    /// # Errors
    /// [`OverrideError`], which names the first mistake.
    pub fn from_json(json: &[u8]) -> Result<Self, OverrideError> {
        let wrong = |why: String| OverrideError(why);
        let document: Document = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
        let mut app_hash = [0; 32];
        hex::decode_to_slice(&document.app_hash, &mut app_hash)
            .map_err(|e| wrong(format!("app_hash: expected 64 hex digits: {e}")))?;
        let parsed = Self {
            height: document.height,
            app_hash: Hash(app_hash),
            uncritical: parse_all("uncritical", "as in v3", &document.uncritical, |text| {
                text.parse().ok()
            })?,
            terminate: parse_all("terminate", "as in v7", &document.terminate, |text| {
                text.parse().ok()
            })?,
            skip_transactions: parse_all(
                "skip_transactions",
                "64 hex digits",
                &document.skip_transactions,
                |text| text.parse().ok(),
            )?,
            drop_messages: parse_all(
                "drop_messages",
                "as in kp40, run-17 or accepted-17",
                &document.drop_messages,
                TakenOut::parse,
            )?,
        };
        if parsed.to_options().is_empty() {
            return Err(wrong("it changes nothing".to_owned()));
        }
        Ok(parsed)
    }

    /// Returns the canonical document. Equal overrides give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            height: self.height,
            app_hash: self.app_hash.to_string(),
            uncritical: show_all(&self.uncritical),
            terminate: show_all(&self.terminate),
            skip_transactions: show_all(&self.skip_transactions),
            drop_messages: show_all(&self.drop_messages),
        };
        // Numbers and texts in a record can always be encoded as JSON.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Returns the command-line options with which `capstan override` creates this override.
    pub fn to_options(&self) -> String {
        let option = |name: &str, values: Vec<String>| -> Vec<String> {
            values.into_iter().map(|value| format!("--{name} {value}")).collect()
        };
        let all = [
            option("uncritical", show_all(&self.uncritical)),
            option("terminate-vat", show_all(&self.terminate)),
            option("skip-tx", show_all(&self.skip_transactions)),
            option("drop-message", show_all(&self.drop_messages)),
        ];
        all.concat().join(" ")
    }

    /// Returns the SHA-256 of [`Self::to_json`] in hex, which validators compare before they use the override.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.to_json()))
    }
}

/// Returns the sorted texts of `items`, without duplicates.
fn show_all(items: &[impl ToString]) -> Vec<String> {
    let all: BTreeSet<String> = items.iter().map(ToString::to_string).collect();
    all.into_iter().collect()
}

fn parse_all<T>(
    field: &str,
    form: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, OverrideError> {
    let wrong = |text: &str| OverrideError(format!("{field}: {text:?}, expected {form}"));
    texts.iter().map(|text| parse(text).ok_or_else(|| wrong(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn one_override_has_one_form() {
        let one = format!(
            r#"{{"drop_messages":["run-4","kp9"],"uncritical":["v4","v3","v4"],"terminate":["v9"],"height":7,"app_hash":"{HASH}"}}"#
        );
        let other = format!(
            r#"{{"height":7, "app_hash":"{}", "terminate":["v9"], "uncritical":["v3","v4"], "drop_messages":["kp9","run-4"]}}"#,
            HASH.to_uppercase()
        );
        let (one, other) = (one.into_bytes(), other.into_bytes());
        let (one, other) =
            (Override::from_json(&one).unwrap(), Override::from_json(&other).unwrap());
        assert_eq!(one.to_json(), other.to_json());
        let options = "--uncritical v3 --uncritical v4 --terminate-vat v9 --drop-message kp9 --drop-message run-4";
        assert_eq!(one.to_options(), options);
        assert_eq!(Override::from_json(&one.to_json()).unwrap().sha256(), other.sha256());
    }

    #[test]
    fn what_is_no_override_is_refused_with_the_reason() {
        let skip = HASH;
        for (text, part) in [
            ("{".to_owned(), "EOF"),
            (format!(r#"{{"height":7,"app_hash":"{HASH}"}}"#), "changes nothing"),
            (r#"{"height":7,"app_hash":"00","uncritical":["v3"]}"#.to_owned(), "64 hex digits"),
            (format!(r#"{{"height":7,"app_hash":"{HASH}","uncritical":["3"]}}"#), "as in v3"),
            (format!(r#"{{"height":7,"app_hash":"{HASH}","skip":["{skip}"]}}"#), "unknown field"),
            (format!(r#"{{"height":7,"app_hash":"{HASH}","drop_messages":["x"]}}"#), "as in kp40"),
            (
                format!(r#"{{"height":7,"app_hash":"{HASH}","drop_messages":["ko4"]}}"#),
                "as in kp40",
            ),
            (format!(r#"{{"height":7,"app_hash":"{HASH}","drop_messages":["run-04"]}}"#), "run-17"),
            (format!(r#"{{"height":7,"app_hash":"{HASH}","terminate":["r1"]}}"#), "as in v7"),
        ] {
            let error = Override::from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
