//! From [`Passable`] to smallcaps.

use capstan_abi::{CapData, JsString};

use crate::{
    bigint::BigInt,
    check::{Malformed, check},
    limits::MAX_DEPTH,
    reference::Reference,
    text::{escape, with_sigil},
    value::Passable,
};

impl<R: Reference> Passable<R> {
    /// Encodes the value. Each reference gets one slot, however often it occurs.
    ///
    /// # Errors
    /// Returns why a vat would not take it: it nests deeper than [`MAX_DEPTH`], a record has a name twice or a
    /// field `__proto__`, or a symbol has no name.
    pub fn encode(&self) -> Result<CapData<R>, Malformed> {
        // The check refuses what is nested one level too deep, whatever that holds.
        let data = self.write(MAX_DEPTH + 1);
        check(&data)?;
        Ok(data)
    }

    /// Encodes the value without a check. Arrays, records and tagged values from level `max_depth` on become `[]`.
    pub(crate) fn write(&self, max_depth: usize) -> CapData<R> {
        let mut writer = Writer { body: "#".to_owned(), slots: vec![], max_depth };
        writer.value(self, 0);
        CapData { body: writer.body, slots: writer.slots }
    }
}

struct Writer<R> {
    body: String,
    slots: Vec<R>,
    max_depth: usize,
}

impl<R: Reference> Writer<R> {
    fn value(&mut self, value: &Passable<R>, depth: usize) {
        match value {
            Passable::Undefined => self.body.push_str("\"#undefined\""),
            Passable::Null => self.body.push_str("null"),
            Passable::Bool(value) => self.body.push_str(if *value { "true" } else { "false" }),
            Passable::Number(number) => self.body.push_str(&number.to_string()),
            Passable::NaN => self.body.push_str("\"#NaN\""),
            Passable::Infinity => self.body.push_str("\"#Infinity\""),
            Passable::NegativeInfinity => self.body.push_str("\"#-Infinity\""),
            Passable::BigInt(number) => self.bigint(number),
            Passable::String(text) => self.string(text),
            Passable::Symbol(name) => self.body.push_str(&with_sigil('%', name).to_json()),
            Passable::Array(_) | Passable::Record(_) | Passable::Tagged { .. }
                if depth >= self.max_depth =>
            {
                self.body.push_str("[]");
            }
            Passable::Array(items) => self.array(items, depth),
            Passable::Record(fields) => self.record(fields, depth),
            Passable::Tagged { tag, payload } => {
                self.body.push_str("{\"#tag\":");
                self.string(tag);
                self.body.push_str(",\"payload\":");
                self.value(payload, depth + 1);
                self.body.push('}');
            }
            Passable::Error { name, message } => {
                self.body.push_str("{\"#error\":");
                self.string(message);
                self.body.push_str(",\"name\":");
                self.string(name);
                self.body.push('}');
            }
            Passable::Reference(reference) => self.reference(reference),
        }
    }

    fn bigint(&mut self, number: &BigInt) {
        self.body.push('"');
        self.body.push_str(&number.encoded());
        self.body.push('"');
    }

    fn string(&mut self, text: &JsString) {
        self.body.push_str(&escape(text.clone()).to_json());
    }

    fn array(&mut self, items: &[Passable<R>], depth: usize) {
        self.body.push('[');
        for (index, item) in items.iter().enumerate() {
            self.body.push_str(if index > 0 { "," } else { "" });
            self.value(item, depth + 1);
        }
        self.body.push(']');
    }

    fn record(&mut self, fields: &[(JsString, Passable<R>)], depth: usize) {
        self.body.push('{');
        for (index, (name, value)) in fields.iter().enumerate() {
            self.body.push_str(if index > 0 { "," } else { "" });
            self.string(name);
            self.body.push(':');
            self.value(value, depth + 1);
        }
        self.body.push('}');
    }

    fn reference(&mut self, reference: &R) {
        let known = self.slots.iter().position(|slot| slot == reference);
        let index = known.unwrap_or_else(|| {
            self.slots.push(reference.clone());
            self.slots.len() - 1
        });
        let sigil = if reference.is_promise() { '&' } else { '$' };
        self.body.push_str(&format!("\"{sigil}{index}\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_encoded_and_comes_back() {
        let value: Passable = vec![
            Passable::Undefined,
            Passable::Null,
            true.into(),
            5_u32.into(),
            Passable::from(-2.5),
            f64::NAN.into(),
            f64::INFINITY.into(),
            f64::NEG_INFINITY.into(),
            Passable::bigint(-7),
            "$plain".into(),
            Passable::Symbol("asyncIterator".into()),
            Passable::tagged("copySet", vec![1, 2].into()),
            Passable::error("!"),
            Passable::record([("#a", Passable::Reference("rp+2".to_owned()))]),
        ]
        .into();
        let data = value.encode().unwrap();
        let body = r##"#["#undefined",null,true,5,-2.5,"#NaN","#Infinity","#-Infinity","-7","!$plain","%asyncIterator",{"#tag":"copySet","payload":[1,2]},{"#error":"!!","name":"Error"},{"!#a":"&0"}]"##;
        assert_eq!(data.body, body);
        assert_eq!(data.slots, ["rp+2"]);
        assert_eq!(Passable::decode(&data).unwrap(), value);
    }

    #[test]
    fn what_no_vat_takes_is_refused() {
        let nested =
            |depth: usize| (0..depth).fold(Passable::<String>::Null, |v, _| vec![v].into());
        assert!(nested(MAX_DEPTH).encode().is_ok());
        assert!(nested(MAX_DEPTH + 1).encode().unwrap_err().problem.contains("nested"));
        assert!(nested(MAX_DEPTH * 3).encode().unwrap_err().problem.contains("nested"));
        for bad in [
            Passable::<String>::record([("a", 1.into()), ("a", 2.into())]),
            Passable::record([("__proto__", 1.into())]),
            Passable::Symbol("".into()),
        ] {
            assert!(bad.encode().is_err(), "{bad:?}");
        }
    }
}
