//! Just enough of the smallcaps encoding to read the answer of a factory.

use capstan_app::proto::CapData;
use serde_json::Value;

/// The fields of a record in smallcaps; `None` if the data is no record.
pub(crate) fn record(data: &CapData) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_str(data.body.strip_prefix('#')?).ok()? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// The reference that a field holds: `$N` or `$N.Interface`, N an index into the slots.
pub(crate) fn reference(value: &Value, slots: &[String]) -> Option<String> {
    let rest = value.as_str()?.strip_prefix('$')?;
    let digits = rest.split('.').next()?;
    slots.get(digits.parse::<usize>().ok()?).cloned()
}

/// The text that a field holds: `!` marks a text that would mean something else.
pub(crate) fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    match text.bytes().next() {
        Some(b'!') => Some(text[1..].to_owned()),
        Some(b'!'..=b'-') => None,
        _ => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_texts_are_read_and_other_values_are_not() {
        let body = r##"#{"root":"$1.Alleged: root","again":"$1","none":"$7","name":"v5","odd":"!$x","number":"+5","n":5}"##;
        let data = CapData { body: body.into(), slots: vec!["ro-1".into(), "ro-2".into()] };
        let fields = record(&data).unwrap();
        assert_eq!(reference(&fields["root"], &data.slots).as_deref(), Some("ro-2"));
        assert_eq!(reference(&fields["again"], &data.slots).as_deref(), Some("ro-2"));
        assert_eq!(reference(&fields["none"], &data.slots), None);
        assert_eq!(reference(&fields["name"], &data.slots), None);
        assert_eq!(text(&fields["name"]).as_deref(), Some("v5"));
        assert_eq!(text(&fields["odd"]).as_deref(), Some("$x"));
        for field in ["root", "number", "n"] {
            assert_eq!(text(&fields[field]), None);
        }
        assert!(record(&CapData { body: "#[]".into(), slots: vec![] }).is_none());
        assert!(record(&CapData { body: "{}".into(), slots: vec![] }).is_none());
    }
}
