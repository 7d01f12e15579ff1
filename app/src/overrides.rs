//! Agreed overrides: what validators whose chain has stopped do differently in one block, all of them alike.
//!
//! A critical vat's end stops every node in the block that the engine has decided already: that block cannot be
//! replaced, but what it comes to can be agreed on anew. An override names the block's height and the app hash under
//! it, so it can mean no other state. So does a block that ends the process on every node. It is a JSON document:
//!
//! ```json
//! {"height": 17, "app_hash": "64 hex digits", "uncritical": ["v3"], "terminate": ["v7"],
//!  "skip_transactions": ["64 hex digits"], "drop_messages": ["kp40", "run-17"]}
//! ```
//!
//! The last four may be left out, but not all. What it says of vats is done before anything else in the block. Messages
//! are dropped when their turn comes, also those that are sent in the block itself: places on queues are those of the
//! block as it goes with this override. Its canonical form goes into the state (`a.override.HEIGHT`), so that
//! nodes with different overrides, or with none, have different app hashes and never one chain by mistake.

use std::collections::BTreeSet;

use capstan_kernel::queue::TakenOut;
use capstan_kernel_ports::{Hash, VatId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::tx::TxHash;

/// What is done differently in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The block's height.
    pub height: u64,
    /// The app hash after the block before it.
    pub app_hash: Hash,
    /// Vats whose end no longer stops the chain.
    pub uncritical: Vec<VatId>,
    /// Vats that end, critical or not, before anything else in the block.
    pub terminate: Vec<VatId>,
    /// Transactions of the block that are not executed. They cost their signers nothing.
    pub skip_transactions: Vec<TxHash>,
    /// Messages that are not delivered, by their results, which are rejected; and whatever comes off a queue at a place.
    pub drop_messages: Vec<TakenOut>,
}

/// A document that is no override. The text says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no override: {0}")]
pub struct OverrideError(String);

/// The document's form.
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
    /// Reads a document.
    ///
    /// # Errors
    /// [`OverrideError`]: the first thing that is wrong.
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

    /// The canonical document: the same override always gives the same bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            height: self.height,
            app_hash: self.app_hash.to_string(),
            uncritical: show_all(&self.uncritical),
            terminate: show_all(&self.terminate),
            skip_transactions: show_all(&self.skip_transactions),
            drop_messages: show_all(&self.drop_messages),
        };
        // Numbers and texts in a record always have a JSON form.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The options with which `capstan override` makes it.
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

    /// What validators compare before they use it: the SHA-256 of [`Self::to_json`], in hex.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.to_json()))
    }
}

/// In order, each once.
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
