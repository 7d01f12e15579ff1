//! Deviations that a scenario declares: places where this engine does otherwise than the recorded one.
//!
//! `deviations.json` in a scenario's folder is a list of `{name, why, at, swingset, capstan}`. `at` is a
//! JSON pointer into `expected.json`, `swingset` is what stands there, and `capstan` is what the real engine
//! does instead. Nothing else may differ, and a declared difference that does not show is a failure.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::compare;

/// The names that a scenario may give a deviation. `docs/design/swingset-deviations.md` explains each.
pub const NAMES: [&str; 2] = ["engine-error-text", "engine-holds"];

/// One declared deviation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// One of [`NAMES`].
    pub name: String,
    /// The reason, in a sentence.
    pub why: String,
    /// A JSON pointer into the recording.
    pub at: String,
    /// What the recording has there.
    pub swingset: Value,
    /// What Capstan's engine does instead. Without it, an element of a list is not there.
    pub capstan: Option<Value>,
}

/// The deviations that a scenario declares.
pub fn declared(folder: &Path) -> Result<Vec<Deviation>> {
    let path = folder.join("deviations.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let list: Vec<Deviation> =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    for deviation in &list {
        if !NAMES.contains(&deviation.name.as_str()) {
            bail!("deviations.json: {} is none of {}", deviation.name, NAMES.join(", "));
        }
    }
    Ok(list)
}

/// Puts what Capstan does in place of what was recorded. Returns the texts to be printed.
pub fn apply(expected: &mut Value, declared: &[Deviation]) -> Result<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    for deviation in declared {
        let Deviation { name, why, at, swingset, capstan } = deviation;
        let place = expected
            .pointer_mut(at)
            .with_context(|| format!("deviations.json: {at} is no place in expected.json"))?;
        if !compare::same(swingset, place) {
            bail!("deviations.json: {at} is {place} in expected.json, not {swingset}");
        }
        match capstan {
            Some(capstan) => *place = capstan.clone(),
            None => remove(expected, at)?,
        }
        let text = format!("{name}: {why}");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Ok(texts)
}

/// Takes an element out of a list.
fn remove(expected: &mut Value, at: &str) -> Result<()> {
    let (list, index) = at.rsplit_once('/').unwrap_or_default();
    let list = expected.pointer_mut(list).and_then(Value::as_array_mut);
    let list = list.with_context(|| format!("deviations.json: {at} is no element of a list"))?;
    list.remove(index.parse().with_context(|| format!("deviations.json: {at}"))?);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use serde_json::json;

    use super::*;

    fn deviation(at: &str, swingset: Value, capstan: Option<Value>) -> Deviation {
        let (name, why) = ("engine-holds".to_owned(), "a test".to_owned());
        Deviation { name, why, at: at.to_owned(), swingset, capstan }
    }

    #[test]
    fn what_is_declared_takes_the_place_of_what_was_recorded() {
        let mut expected = json!({"cranks": [{"n": 1}, {"n": 2}]});
        let declared = [
            deviation("/cranks/1", json!({"n": 2}), None),
            deviation("/cranks/0/n", json!(1), Some(json!(7))),
        ];
        assert_eq!(apply(&mut expected, &declared).unwrap(), ["engine-holds: a test"]);
        assert_eq!(expected, json!({"cranks": [{"n": 7}]}));
    }

    #[test]
    fn a_declaration_that_does_not_fit_the_recording_is_an_error() {
        let mut expected = json!({"cranks": [{"n": 1}]});
        for declared in [
            deviation("/cranks/0/n", json!(2), Some(json!(7))),
            deviation("/cranks/1", json!(1), None),
        ] {
            apply(&mut expected, &[declared]).unwrap_err();
        }
    }
}
