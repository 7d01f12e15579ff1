//! Smallcaps bodies as transactions bring them: checked here, so that nothing malformed ever reaches
//! a vat, or made from plain JSON.
//!
//! The grammar is that of `@endo/marshal`'s smallcaps encoding: JSON in which a string whose first
//! character lies in `!` to `-` is an escape (`$0.Iface` and `&1` name slots, `+7` is a bigint, `#NaN` a
//! special, `%name` a symbol, `!…` a plain string). The text is scanned, never re-printed: what the vat
//! sees is, byte for byte, what the sender signed, and no JSON library's version matters.

mod scan;

use scan::{Dialect, Scanner};

/// The deepest nesting of a body. Decoders in vats recurse; this keeps them far from their limits.
pub const MAX_DEPTH: usize = 100;

/// Why a body is refused. The text names the place (byte offset) and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct Malformed {
    /// Where, counted in bytes from the start of the body.
    pub offset: usize,
    /// What is wrong.
    pub problem: String,
}

/// The JSON text (without `#`) of `body`, which is smallcaps if it starts with `#` and plain JSON
/// otherwise. Checks it against `slots`; plain JSON has no references, so it must have no slots.
pub fn to_smallcaps_json(body: &str, slots: &[String]) -> Result<String, Malformed> {
    match body.strip_prefix('#') {
        Some(json) => {
            Scanner::new(json, Dialect::Smallcaps { slots }).run().map_err(|e| e.shifted(1))?;
            Ok(json.to_owned())
        }
        None if !slots.is_empty() => Err(Malformed {
            offset: 0,
            problem: "plain JSON cannot mention slots; write the body in smallcaps, as #[\"$0\"]"
                .into(),
        }),
        None => Scanner::new(body, Dialect::Plain).run(),
    }
}

/// `text` as a smallcaps string in JSON, quotes included.
pub fn string(text: &str) -> String {
    let escape = text.bytes().next().is_some_and(is_special);
    let mut out = String::with_capacity(text.len() + 3);
    out.push('"');
    if escape {
        out.push('!');
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The body of a method call: `method` as plain text, `args_json` an array as
/// [`to_smallcaps_json`] returned it.
pub fn call(method: &str, args_json: &str) -> String {
    format!("#[{},{args_json}]", string(method))
}

/// Whether a string that starts with `byte` is an escape in smallcaps.
fn is_special(byte: u8) -> bool {
    (b'!'..=b'-').contains(&byte)
}

impl Malformed {
    fn shifted(self, by: usize) -> Self {
        Self { offset: self.offset + by, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn good_bodies_pass_unchanged() {
        let two = slots(&["ro-1", "rp+2"]);
        for good in [
            "#[]",
            "#null",
            "# [ 1 , -0.5e+3 , true ] ",
            "#\"plain\"",
            "#\"!$5\"",
            "#\"+0\"",
            "#\"-5\"",
            "#\"#undefined\"",
            "#\"#-Infinity\"",
            "#\"%@@asyncIterator\"",
            "#\"%foo\"",
            "#[\"$0.Alleged: a\",\"$0\"]",
            "#\"&1\"",
            "#{\"a\":{\"b\":[]},\"!#x\":1}",
            "#{\"#tag\":\"copySet\",\"payload\":[\"$0\"]}",
            "#{\"#error\":\"no\",\"name\":\"Error\"}",
            "#{\"#error\":\"no\",\"errorId\":\"e#1\",\"name\":\"Error\"}",
            "#\"\\ud83d\\ude00 \u{1F600}\"",
            "#\"\\u0021$\"",
            "#\"\\ud83d\"",
            "#\"\\uDE00\\uD83D\"",
            "#\"!\\ud800\"",
            "#\"%\\ud800\"",
            "#\"$0.Alleged: \\ud800\"",
            "#{\"\\ud83d\":1,\"\\ude00\":2,\"\\ud83d\\ude00\":3}",
            "#{\"#error\":\"\\ud800\",\"name\":\"\\udfff\"}",
            "#{\"#tag\":\"\\ud800\",\"payload\":1}",
        ] {
            assert_eq!(to_smallcaps_json(good, &two).as_deref(), Ok(&good[1..]), "{good}");
        }
    }

    #[test]
    fn bad_bodies_are_refused() {
        let two = slots(&["ro-1", "rp+2"]);
        for bad in [
            "#",
            "#[",
            "#[1,]",
            "#{\"a\":1,}",
            "#{\"a\" 1}",
            "#01",
            "#+1",
            "#.5",
            "#1.",
            "#1e",
            "#nul",
            "#[] []",
            "#\"\\x\"",
            "#\"\t\"",
            "#\"open",
            "#\"$2\"",
            "#\"$\"",
            "#\"$00\"",
            "#\"$1\"",
            "#\"&0\"",
            "#\"&1x\"",
            "#\"+\"",
            "#\"+-1\"",
            "#\"-\"",
            "#\"+1.5\"",
            "#\"#foo\"",
            "#\"%\"",
            "#\"%@@match\"",
            "#\"'x\"",
            "#\"(\"",
            "#{\"#x\":1}",
            "#{\"$0\":1}",
            "#{\"#tag\":\"a\"}",
            "#{\"#tag\":1,\"payload\":1}",
            "#{\"#tag\":\"a\",\"payload\":1,\"b\":2}",
            "#{\"#error\":1,\"name\":\"E\"}",
            "#{\"#error\":\"m\"}",
            "#{\"a\":1,\"a\":2}",
            "#{\"__proto__\":1}",
            "#\"\\u0024\\u0037\"",
            "#\"\\ud8\"",
            "#\"\\ud800",
            "#\"$0\\ud800\"",
            "#\"+1\\ud800\"",
            "#\"#NaN\\ud800\"",
            "#{\"\\ud800\":1,\"\\uD800\":2}",
            "#{\"\\ud83d\\ude00\":1,\"\u{1F600}\":2}",
            "#{\"-\\ud800\":1}",
            "",
        ] {
            assert!(to_smallcaps_json(bad, &two).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_where_and_what() {
        let error = to_smallcaps_json("#[\"$3\"]", &slots(&["ro-1"])).unwrap_err();
        assert_eq!(error.to_string(), "at byte 2: \"$3\" names slot 3, but there are 1");
        let error = to_smallcaps_json("#\"&0\"", &slots(&["ro-1"])).unwrap_err();
        assert!(error.problem.contains("promise"), "{error}");
    }

    #[test]
    fn plain_json_becomes_smallcaps() {
        for (plain, expected) in [
            ("[1, \"a\"]", "[1, \"a\"]"),
            ("\"$0\"", "\"!$0\""),
            ("\"\\u0024\"", "\"!\\u0024\""),
            ("{\"#tag\":\"-\"}", "{\"!#tag\":\"!-\"}"),
            (" 1.50 ", " 1.50 "),
            ("\"$\\ud800\"", "\"!$\\ud800\""),
            ("{\"#\\udfff\":\"\\ud800\"}", "{\"!#\\udfff\":\"\\ud800\"}"),
        ] {
            assert_eq!(to_smallcaps_json(plain, &[]).as_deref(), Ok(expected));
        }
        assert!(to_smallcaps_json("[]", &slots(&["ro-1"])).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("#{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(to_smallcaps_json(&nested(MAX_DEPTH), &[]).is_ok());
        let error = to_smallcaps_json(&nested(MAX_DEPTH + 1), &[]).unwrap_err();
        assert!(error.problem.contains("nested"), "{error}");
    }

    #[test]
    fn calls_escape_the_method() {
        assert_eq!(call("increment", "[]"), "#[\"increment\",[]]");
        assert_eq!(call("+1\"\n", "[]"), "#[\"!+1\\\"\\u000a\",[]]");
    }
}
