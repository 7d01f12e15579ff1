//! Capdata taken apart.

use std::collections::BTreeMap;

use capstan_abi::CapData;

use crate::{builder::Builder, json::Json, reference::Reference, text::slot_index};

/// [`CapData`] taken apart into a [`Json`] tree.
#[derive(Clone, Debug)]
pub struct Parsed<R> {
    /// The value as a tree.
    pub value: Json,
    pub(crate) slots: Vec<R>,
    /// The interface of each reference, without `Alleged: `.
    pub(crate) ifaces: BTreeMap<R, String>,
}

impl<R: Reference> Parsed<R> {
    /// Takes smallcaps apart. Returns `None` if the body is not smallcaps, nests too deep, or mentions a slot
    /// that is not there.
    pub fn new(data: &CapData<R>) -> Option<Self> {
        let value = Json::parse(data.body.strip_prefix('#')?)?;
        let mut parsed = Self { value, slots: data.slots.clone(), ifaces: BTreeMap::new() };
        let mut ifaces = BTreeMap::new();
        collect_ifaces(&parsed.value, &parsed.slots, &mut ifaces)?;
        parsed.ifaces = ifaces;
        Some(parsed)
    }

    /// The elements, if the value is an array.
    pub fn elements(&self) -> Option<&[Json]> {
        match &self.value {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The reference that `value` is, if it is one.
    pub fn reference(&self, value: &Json) -> Option<R> {
        match value {
            Json::Text(raw) if matches!(raw.as_bytes().first(), Some(b'$' | b'&')) => {
                self.slots.get(slot_index(raw)?).cloned()
            }
            _ => None,
        }
    }

    /// `value` as capdata of its own.
    pub fn reserialize(&self, value: &Json) -> Option<CapData<R>> {
        let mut builder = Builder::default();
        let spliced = builder.splice(value, self)?;
        Some(builder.finish(&spliced))
    }
}

/// Records the interface with which each reference is first mentioned. Returns `None` if a slot is missing.
fn collect_ifaces<R: Reference>(
    value: &Json,
    slots: &[R],
    ifaces: &mut BTreeMap<R, String>,
) -> Option<()> {
    match value {
        Json::Text(text) if matches!(text.as_bytes().first(), Some(b'$' | b'&')) => {
            let reference = slots.get(slot_index(text)?)?;
            if let Some((_, iface)) = text.split_once('.') {
                let iface = iface.strip_prefix("Alleged: ").unwrap_or(iface);
                ifaces.entry(reference.clone()).or_insert_with(|| iface.to_owned());
            }
        }
        Json::Text(_) | Json::Scalar(_) => {}
        Json::Array(items) => {
            items.iter().try_for_each(|item| collect_ifaces(item, slots, ifaces))?;
        }
        Json::Object(fields) => {
            fields.iter().try_for_each(|(_, item)| collect_ifaces(item, slots, ifaces))?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str, slots: &[&str]) -> CapData {
        CapData { body: body.to_owned(), slots: slots.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn a_part_keeps_its_text_and_gets_its_own_slots() {
        let whole = data(
            r##"#["$0.Alleged: a",{"vatParameters":{"n":1e21,"p":"&1","q":["$2.Alleged: b","$2","$0"],"s":"\ud800"}}]"##,
            &["ko20", "kp40", "ko21"],
        );
        let parsed = Parsed::new(&whole).unwrap();
        let part = parsed.elements().unwrap()[1].field("vatParameters").unwrap().clone();
        let own = parsed.reserialize(&part).unwrap();
        assert_eq!(
            own.body,
            r##"#{"n":1e21,"p":"&0","q":["$1.Alleged: b","$1","$2.Alleged: a"],"s":"\ud800"}"##
        );
        assert_eq!(own.slots, ["kp40", "ko21", "ko20"]);
    }

    #[test]
    fn errors_lose_their_ids() {
        let whole = data(
            r##"#{"#error":"enough","errorId":"error:liveSlots:v2#70001","name":"Error"}"##,
            &[],
        );
        let parsed = Parsed::new(&whole).unwrap();
        assert_eq!(
            parsed.reserialize(&parsed.value).unwrap().body,
            r##"#{"#error":"enough","name":"Error"}"##
        );
    }
}
