//! `capstan query clist`: references, with what the account's outbox and the exporters say about them.

use std::collections::BTreeMap;

use capstan_abi::json::delivery_from_json;
use capstan_client::{Address, CapData, Delivery, Resolution};
use serde_json::Value;

use super::{Asker, MAX_PAGE, Page};
use crate::{Common, keys};

const COLUMNS: [&str; 3] = ["kref", "eref", "reachable"];
const OBJECT_COLUMNS: [&str; 4] = ["kref", "eref", "reachable", "exporter"];
const ACCOUNT_COLUMNS: [&str; 6] = ["kref", "eref", "reachable", "exporter", "interface", "came"];

/// The kernel's label for objects whose interface it does not know.
const NO_NAME: &str = "Alleged: undefined";

/// The beginning of what liveslots calls an object of another vat whose interface it was not told: `presence o-69`.
const PRESENCE: &str = "Alleged: presence o";

/// A reference as an entry of the outbox mentions it.
struct Mention {
    /// The interface's name, such as `Alleged: counter`. Empty for promises, and for objects without a name.
    interface: String,
    /// The entry, for people.
    came: String,
    /// The root of the vat that the reference administers, if an answer said so.
    root: Option<String>,
}

impl Asker {
    /// Prints a page of a c-list. For an account, the outbox tells the interface names and how a reference came. It has
    /// what was not acknowledged.
    pub(super) fn clist(
        &self,
        common: &Common,
        endpoint: &str,
        account: Option<&Address>,
        page: &Page,
    ) -> anyhow::Result<()> {
        let holder = account.map_or_else(|| endpoint.to_owned(), Address::to_string);
        let mut answer = self.ask(&page.path(&format!("clists/{holder}")))?;
        let mentions = account.map(|account| self.mentions(account)).transpose()?;
        let mut names = BTreeMap::new();
        let exporters = exporters(&answer);
        for entry in answer["entries"].as_array_mut().into_iter().flatten() {
            let named = self.exporter(common, entry, &mut names)?;
            let eref = entry["eref"].as_str().unwrap_or_default();
            if let Some(mentions) = &mentions {
                let found = mentions.get(eref);
                let own =
                    if eref.starts_with("ro+") || eref.starts_with("rp+") { "own" } else { "" };
                let came = found.map_or(own, |mention| &mention.came);
                let interface = found.map_or("", |mention| &mention.interface);
                (entry["came"], entry["interface"]) = (came.into(), interface.into());
                let root = found.and_then(|mention| mention.root.as_ref());
                if let Some(exporter) = root.and_then(|root| exporters.get(root)) {
                    let vat = self.exporter(common, exporter, &mut names)?;
                    entry["administers"] = exporter["exporter"].clone();
                    if !self.output.is_json() {
                        entry["came"] = format!("{came}; administers {vat}").into();
                    }
                }
            }
            if !self.output.is_json() {
                entry["exporter"] = named.into();
            }
        }
        let columns: &[&str] = match (account, endpoint.starts_with('d')) {
            (Some(_), _) => &ACCOUNT_COLUMNS,
            (None, true) => &COLUMNS,
            (None, false) => &OBJECT_COLUMNS,
        };
        self.print_list(&answer, "entries", columns)
    }

    /// Returns the exporter of an entry for people: `v7 counter`, `v7 counter (ended)`, or `r2 bob`.
    fn exporter(
        &self,
        common: &Common,
        entry: &Value,
        names: &mut BTreeMap<String, String>,
    ) -> anyhow::Result<String> {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let endpoint = match text("exporter") {
            "" => text("former_exporter"),
            exporter => exporter,
        };
        if self.output.is_json() || endpoint.is_empty() {
            return Ok(endpoint.to_owned());
        }
        if let Some(known) = names.get(endpoint) {
            return Ok(known.clone());
        }
        let name = match text("exporter_account") {
            "" if endpoint.starts_with('v') => {
                let vat = self.client.vat(endpoint)?;
                let ended = if vat.ending.is_some() { " (ended)" } else { "" };
                format!("{}{ended}", vat.name)
            }
            address => keys::name_of(common, address)?.unwrap_or_else(|| address.to_owned()),
        };
        let named = format!("{endpoint} {}", name.trim()).trim_end().to_owned();
        names.insert(endpoint.to_owned(), named.clone());
        Ok(named)
    }

    /// Returns the first mention of each reference in the account's outbox.
    fn mentions(&self, account: &Address) -> anyhow::Result<BTreeMap<String, Mention>> {
        let (mut mentions, mut after) = (BTreeMap::new(), 0);
        loop {
            let page = self.client.outbox(account, after, MAX_PAGE)?;
            for entry in &page.entries {
                let delivery = delivery_from_json(entry.delivery_json.as_bytes())?;
                mention(entry.number, &delivery, &mut mentions);
            }
            after = page.next;
            if after == 0 {
                return Ok(mentions);
            }
        }
    }
}

/// Notes the references that an entry of the outbox mentions.
fn mention(number: u64, delivery: &Delivery, mentions: &mut BTreeMap<String, Mention>) {
    match delivery {
        Delivery::Message { target, message } => {
            let method = leading_method(&message.methargs.body);
            let came = format!("entry {number}: call of {target}{method}");
            note(&message.methargs, &came, mentions);
            if let Some(result) = &message.result {
                let came = format!("entry {number}: result of a call of {target}{method}");
                let mention = Mention { interface: String::new(), came, root: None };
                mentions.entry(result.clone()).or_insert(mention);
            }
        }
        Delivery::Notify { resolutions } => {
            for Resolution { promise, rejected, data } in resolutions {
                let how = if *rejected { "rejection" } else { "answer" };
                note(data, &format!("entry {number}: {how} of {promise}"), mentions);
            }
        }
        _ => {}
    }
}

fn note(data: &CapData, came: &str, mentions: &mut BTreeMap<String, Mention>) {
    let (mut interfaces, mut created) = (BTreeMap::new(), None);
    if let Some(Ok(value)) = data.body.strip_prefix('#').map(serde_json::from_str::<Value>) {
        collect(&value, &mut interfaces);
        created = slot(&value["adminNode"]).zip(slot(&value["root"]));
    }
    for (index, slot) in data.slots.iter().enumerate() {
        let interface = interfaces.remove(&index).unwrap_or_default();
        let mention = mentions.entry(slot.clone()).or_insert_with(|| Mention {
            interface: String::new(),
            came: came.to_owned(),
            root: None,
        });
        if mention.interface.is_empty() {
            mention.interface = interface;
        }
        if let Some((admin, root)) = created
            && admin == index
            && mention.root.is_none()
        {
            mention.root = data.slots.get(root).cloned();
        }
    }
}

/// Returns the index of a slot that a value is.
fn slot(value: &Value) -> Option<usize> {
    value.as_str()?.strip_prefix('$')?.split('.').next()?.parse().ok()
}

/// Returns who exports the vats' objects of a page, by the account's names of the objects.
fn exporters(page: &Value) -> BTreeMap<String, Value> {
    let entries = page["entries"].as_array().into_iter().flatten();
    let of_vats = entries.filter(|entry| {
        entry["exporter"].as_str().is_some_and(|exporter| exporter.starts_with('v'))
    });
    of_vats
        .filter_map(|entry| {
            let exporter = serde_json::json!({"exporter": entry["exporter"]});
            Some((entry["eref"].as_str()?.to_owned(), exporter))
        })
        .collect()
}

/// Collects the interface names of slots. The parser bounds the depth of the value.
fn collect(value: &Value, interfaces: &mut BTreeMap<usize, String>) {
    match value {
        Value::String(text) => {
            let slot = text.strip_prefix('$').and_then(|rest| rest.split_once('.'));
            if let Some((index, interface)) = slot
                && interface != NO_NAME
                && !interface.starts_with(PRESENCE)
                && let Ok(index) = index.parse()
            {
                interfaces.entry(index).or_insert_with(|| interface.to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, interfaces)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, interfaces)),
        _ => {}
    }
}

/// Returns `.method` of a call, or nothing if the method is no plain name.
fn leading_method(body: &str) -> String {
    let call = body.strip_prefix('#').and_then(|json| serde_json::from_str::<Value>(json).ok());
    let method = call.as_ref().and_then(|call| call[0].as_str()).unwrap_or_default();
    let plain =
        !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { format!(".{method}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_with_their_interfaces_and_the_entries_that_brought_them() {
        let mut mentions = BTreeMap::new();
        for (number, json) in [
            (
                3,
                r##"["message","ro+1",{"methargs":{"body":"#[\"hello\",[\"$0.Alleged: counter\",\"$0\",{\"a\":\"&1\"},\"!$1\"]]","slots":["ro-51","rp-7"]},"result":"rp-60"}]"##,
            ),
            (
                4,
                r##"["notify",[["rp+3",false,{"body":"#[\"$0.Alleged: other\",\"$1\"]","slots":["ro-51","ro-52"]}]]]"##,
            ),
            (
                5,
                r##"["message","ro+1",{"methargs":{"body":"no json","slots":["ro-53"]},"result":null}]"##,
            ),
            (
                6,
                r##"["message","ro+1",{"methargs":{"body":"#[\"hi\",[\"$0.Alleged: presence o-69\"]]","slots":["ro-54"]},"result":null}]"##,
            ),
            (
                7,
                r##"["notify",[["rp+4",false,{"body":"#{\"adminNode\":\"$1.Alleged: adminNode\",\"root\":\"$0.Alleged: counter\"}","slots":["ro-60","ro-61"]}]]]"##,
            ),
        ] {
            mention(number, &delivery_from_json(json.as_bytes()).unwrap(), &mut mentions);
        }
        assert_eq!(mentions["ro-61"].root.as_deref(), Some("ro-60"));
        assert!(mentions.iter().all(|(eref, found)| eref == "ro-61" || found.root.is_none()));
        let found: Vec<(&str, &str, &str)> = mentions
            .iter()
            .map(|(eref, m)| (eref.as_str(), m.interface.as_str(), m.came.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("ro-51", "Alleged: counter", "entry 3: call of ro+1.hello"),
                ("ro-52", "", "entry 4: answer of rp+3"),
                ("ro-53", "", "entry 5: call of ro+1"),
                ("ro-54", "", "entry 6: call of ro+1.hi"),
                ("ro-60", "Alleged: counter", "entry 7: answer of rp+4"),
                ("ro-61", "Alleged: adminNode", "entry 7: answer of rp+4"),
                ("rp-60", "", "entry 3: result of a call of ro+1.hello"),
                ("rp-7", "", "entry 3: call of ro+1.hello"),
            ]
        );
    }
}
