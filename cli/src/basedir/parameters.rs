//! Parameters of vats that run without a chain: `NAME=VALUE`, where `@NAME` in a value is the root of another vat.

use std::collections::BTreeMap;

use capstan_client::Bundle;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sources::{BOOTSTRAP, is_name};
use crate::failure::usage;
use crate::passable;

/// The parameters of a vat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// The value, as smallcaps.
    pub(crate) body: String,
    /// The vats whose roots the slots of the value are, in the order of the slots.
    pub(crate) roots: Vec<String>,
}

/// Reads the values of `--params`, by the names of the vats that they are for.
///
/// # Errors
/// A value is not in the notation, refers to what is no vat of the run, or is for none.
pub(super) fn read(
    given: &[String],
    vats: &BTreeMap<String, Bundle>,
) -> anyhow::Result<BTreeMap<String, Parameters>> {
    let mut all = BTreeMap::new();
    for text in given {
        let (name, value) = addressed(text, vats)?;
        if !vats.contains_key(name) {
            let names = names(vats);
            return Err(usage(format!("--params {name}: no vat has this name; there are {names}")));
        }
        let parameters =
            encode(name, value, vats).map_err(|why| usage(format!("--params {name}: {why}")))?;
        if all.insert(name.to_owned(), parameters).is_some() {
            return Err(usage(format!("--params {name}: given twice; write one record")));
        }
    }
    Ok(all)
}

/// Splits `NAME=VALUE`. A value alone is for the only vat besides bootstrap.
fn addressed<'a>(
    text: &'a str,
    vats: &'a BTreeMap<String, Bundle>,
) -> anyhow::Result<(&'a str, &'a str)> {
    if let Some((name, value)) = text.split_once('=')
        && is_name(name)
        && !value.is_empty()
    {
        return Ok((name, value));
    }
    let mut others = vats.keys().filter(|name| *name != BOOTSTRAP);
    match (others.next(), others.next()) {
        (Some(only), None) => Ok((only, text)),
        _ => Err(usage(format!(
            "--params {text}: say which vat it is for, as in --params NAME={text}; there are {}",
            names(vats)
        ))),
    }
}

fn names(vats: &BTreeMap<String, Bundle>) -> String {
    vats.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn encode(name: &str, text: &str, vats: &BTreeMap<String, Bundle>) -> Result<Parameters, String> {
    let mut value = passable::from_text(text).map_err(|error| error.to_string())?;
    let mut found: Vec<String> = Vec::new();
    number_roots(&mut value, &mut |root| {
        if root == name {
            return Err(format!("@{root}: a vat's own root is not there before it starts"));
        }
        if !vats.contains_key(root) {
            return Err(format!(
                "@{root} is no vat of this run; there are {}. References of accounts, such as @ro-51, are not there \
                 without a chain",
                names(vats)
            ));
        }
        let index = found.iter().position(|other| other == root);
        Ok(index.unwrap_or_else(|| {
            found.push(root.to_owned());
            found.len() - 1
        }))
    })?;
    let data = passable::encode(&value).map_err(|error| error.to_string())?;
    let number = |slot: &String| slot.strip_prefix("ro-").and_then(|digits| digits.parse().ok());
    let root = |slot| number(slot).and_then(|index: usize| found.get(index)).cloned();
    let roots: Option<Vec<String>> = data.slots.iter().map(root).collect();
    Ok(Parameters { body: data.body, roots: roots.ok_or("a reference cannot be encoded")? })
}

/// Replaces each `@NAME` by a reference with the number that `number` gives the vat. The parser has bounded the depth.
fn number_roots(
    value: &mut Value,
    number: &mut impl FnMut(&str) -> Result<usize, String>,
) -> Result<(), String> {
    match value {
        Value::String(text) => {
            // Two signs begin a text, and a sign with a quote one that UTF-8 does not have.
            let name = text.strip_prefix('@').filter(|name| !name.starts_with(['@', '"']));
            if let Some(name) = name {
                let index = number(name)?;
                *text = format!("@ro-{index}");
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| number_roots(item, number)),
        Value::Object(fields) => fields
            .iter_mut()
            // What stands for a value that JSON does not have holds texts.
            .filter(|(name, _)| !name.starts_with('@') || name.starts_with("@@"))
            .try_for_each(|(_, field)| number_roots(field, number)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vats(names: &[&str]) -> BTreeMap<String, Bundle> {
        let bundle = || Bundle::from_wasm(b"\0asm".to_vec());
        names.iter().map(|name| ((*name).to_owned(), bundle())).collect()
    }

    fn read_one(text: &str, names: &[&str]) -> Result<(String, Parameters), String> {
        let all = read(&[text.to_owned()], &vats(names)).map_err(|error| error.to_string())?;
        Ok(all.into_iter().next().unwrap())
    }

    #[test]
    fn names_of_vats_become_their_roots() {
        let text = r#"it={"a":@my_b,"c":[@c,@my_b],"text":"@@c","error":{"@error":"@c"}}"#;
        let (name, Parameters { body, roots }) =
            read_one(text, &["bootstrap", "c", "it", "my_b"]).unwrap();
        assert_eq!((name.as_str(), &roots[..]), ("it", &["my_b".to_owned(), "c".to_owned()][..]));
        assert!(body.contains("$0") && body.contains("$1") && body.contains("\"@c\""), "{body}");
    }

    #[test]
    fn a_value_alone_is_for_the_only_vat() {
        let (name, Parameters { body, .. }) = read_one("5n", &["bootstrap", "it"]).unwrap();
        assert_eq!((name.as_str(), body.as_str()), ("it", "#\"+5\""));
        let (name, _) = read_one(r#"{"a":"b=c"}"#, &["it"]).unwrap();
        assert_eq!(name, "it");
        for (text, problem) in [
            ("5n", "say which vat it is for, as in --params NAME=5n; there are a, b"),
            ("c=5n", "no vat has this name; there are a, b"),
            ("a=@c", "@c is no vat of this run; there are a, b"),
            ("a=@a", "a vat's own root"),
            ("a=@ro-5", "not there without a chain"),
        ] {
            let error = read_one(text, &["a", "b"]).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
