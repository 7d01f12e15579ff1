//! Capdata put together from pieces.

use capstan_abi::{CapData, JsString};

use crate::{
    json::Json,
    parsed::Parsed,
    reference::Reference,
    text::{escape, slot_index},
};

/// Returns the encoding of `Error(message)`, without references.
pub fn error<R>(message: impl Into<JsString>) -> CapData<R> {
    CapData {
        body: format!("#{{\"#error\":{},\"name\":\"Error\"}}", escape(message.into()).to_json()),
        slots: vec![],
    }
}

/// Builds kernel-made capdata: pieces of body that share one list of slots.
#[derive(Clone, Debug)]
pub struct Builder<R> {
    slots: Vec<R>,
}

impl<R> Default for Builder<R> {
    fn default() -> Self {
        Self { slots: vec![] }
    }
}

impl<R: Reference> Builder<R> {
    /// Returns a string, escaped if it has to be.
    pub fn text(&mut self, text: impl Into<JsString>) -> Json {
        Json::string(text)
    }

    /// A reference, with its interface on first mention.
    pub fn slot(&mut self, reference: R, iface: &str) -> Json {
        let sigil = if reference.is_promise() { '&' } else { '$' };
        if let Some(index) = self.slots.iter().position(|slot| *slot == reference) {
            return Json::Text(format!("{sigil}{index}"));
        }
        let index = self.slots.len();
        let text = match reference.is_promise() {
            true => format!("{sigil}{index}"),
            false => format!("{sigil}{index}.Alleged: {iface}"),
        };
        self.slots.push(reference);
        Json::Text(text)
    }

    /// A value taken out of other capdata, its slots renumbered and error ids dropped, as
    /// kmarshal's unserialize and serialize would leave it.
    pub fn splice(&mut self, value: &Json, from: &Parsed<R>) -> Option<Json> {
        Some(match value {
            Json::Text(text) => match text.as_bytes().first() {
                Some(b'$' | b'&') => {
                    let reference = from.slots.get(slot_index(text)?)?;
                    let iface = from.ifaces.get(reference).map_or("undefined", String::as_str);
                    self.slot(reference.clone(), iface)
                }
                _ => value.clone(),
            },
            Json::Scalar(_) => value.clone(),
            Json::Array(items) => Json::Array(
                items.iter().map(|item| self.splice(item, from)).collect::<Option<_>>()?,
            ),
            Json::Object(fields) => {
                let is_error = fields.iter().any(|(key, _)| key == "#error");
                let kept =
                    fields.iter().filter(|(key, _)| !is_error || key == "#error" || key == "name");
                let splice_field =
                    |(key, value): &(String, Json)| Some((key.clone(), self.splice(value, from)?));
                Json::Object(kept.map(splice_field).collect::<Option<_>>()?)
            }
        })
    }

    /// Returns the finished [`CapData`].
    pub fn finish(self, value: &Json) -> CapData<R> {
        let mut body = String::from("#");
        value.write(&mut body);
        CapData { body, slots: self.slots }
    }
}

/// Returns the capdata `["method",[args…]]`, over the slots of `builder`.
pub fn methargs<R: Reference>(
    mut builder: Builder<R>,
    method: &str,
    args: Vec<Json>,
) -> CapData<R> {
    let method = builder.text(method);
    builder.finish(&Json::Array(vec![method, Json::Array(args)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_swingsets_form() {
        let body = |message: JsString| error::<String>(message).body;
        assert_eq!(
            body("vat terminated".into()),
            r##"#{"#error":"vat terminated","name":"Error"}"##
        );
        let lone = JsString::from_json(r#""!\ud800 \udfff""#).unwrap();
        assert_eq!(body(lone), r##"#{"#error":"!!\ud800 \udfff","name":"Error"}"##);
        assert_eq!(body("!x \"y\"\n".into()), r##"#{"#error":"!!x \"y\"\n","name":"Error"}"##);
    }
}
