//! The check of smallcaps bodies, and bodies made from plain JSON.
//!
//! The grammar is that of `@endo/marshal`'s smallcaps encoding: JSON in which a string whose first
//! character lies in `!` to `-` is an escape (`$0.Iface` and `&1` name slots, `+7` is a bigint, `#NaN` a
//! special, `%name` a symbol, `!…` a plain string). The text is scanned and never printed again. So a vat sees
//! byte for byte what the sender signed, and no JSON library's version matters.

use capstan_abi::CapData;

use crate::{
    reference::Reference,
    scan::{Dialect, Scanner},
    text::is_special,
};

/// The reason why a body is refused. The text names the byte offset and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct Malformed {
    /// The place, counted in bytes from the start of the body.
    pub offset: usize,
    /// The mistake, as text for the sender.
    pub problem: String,
}

/// Checks that capdata is smallcaps over its slots, nested at most [`MAX_DEPTH`](crate::limits::MAX_DEPTH) deep.
///
/// # Errors
/// Names the first mistake. A decoder of smallcaps would fail too.
pub fn check<R: Reference>(data: &CapData<R>) -> Result<(), Malformed> {
    let Some(json) = data.body.strip_prefix('#') else {
        return Err(Malformed {
            offset: 0,
            problem: "the body does not begin with #, as smallcaps does".to_owned(),
        });
    };
    let mut scanner = Scanner::new(json, Dialect::Smallcaps { slots: &data.slots });
    scanner.scan().map_err(|malformed| malformed.shifted(1))
}

/// Returns the JSON text, without `#`, of `body`. A body that begins with `#` is smallcaps over `slots` and stays
/// as it is. Any other is plain JSON, which has no references, and is escaped.
///
/// # Errors
/// Names the first mistake, or slots that plain JSON cannot mention.
pub fn to_smallcaps_json(body: &str, slots: &[String]) -> Result<String, Malformed> {
    match body.strip_prefix('#') {
        Some(json) => {
            let mut scanner = Scanner::new(json, Dialect::Smallcaps { slots });
            scanner.scan().map_err(|malformed| malformed.shifted(1))?;
            Ok(json.to_owned())
        }
        None if !slots.is_empty() => Err(Malformed {
            offset: 0,
            problem: "plain JSON cannot mention slots; write the body in smallcaps, as #[\"$0\"]"
                .into(),
        }),
        None => {
            let mut scanner = Scanner::<String>::new(body, Dialect::Plain);
            scanner.scan()?;
            Ok(scanner.escaped())
        }
    }
}

/// Returns `text` as a smallcaps string in JSON, quotes included.
///
/// Control characters become `\u000a` and the like, also where JSON has a shorter escape: bodies of messages that
/// chains have executed were written so.
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

/// Returns the body of a method call, from the method's name as plain text and the arguments as an array that
/// [`to_smallcaps_json`] returned.
pub fn call(method: &str, args_json: &str) -> String {
    format!("#[{},{args_json}]", string(method))
}

impl Malformed {
    fn shifted(self, by: usize) -> Self {
        Self { offset: self.offset + by, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_DEPTH;

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
