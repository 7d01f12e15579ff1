use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns text that can be shown in a terminal, whoever wrote it. Lines and tabs stay.
///
/// Control characters (those that move the cursor, set colours or ring the bell), marks that change the direction of
/// the text, and characters that nobody sees become escapes such as `\u{1b}`. What is left looks like what it is. The same text comes back if it
/// needs no escape, or has them already.
///
/// ```
/// use capstan_files::printable;
/// assert_eq!(printable("two\nlines"), "two\nlines");
/// assert_eq!(printable("\u{1b}[2Jgone"), r"\u{1b}[2Jgone");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |letter| !matches!(letter, '\n' | '\t') && is_harmful(letter))
}

/// Returns text that stays on one line of a log, whoever wrote it. It is [`printable`], and the ends of its lines are
/// escapes too, so that nobody can write a line that looks like another one's.
///
/// ```
/// use capstan_files::one_line;
/// assert_eq!(one_line("ok\nERROR forged"), r"ok\nERROR forged");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |letter| letter != '\t' && is_harmful(letter))
}

/// Returns serialized JSON in which no character is harmful to a terminal. A reader of the JSON gets the same values.
///
/// JSON itself escapes the control characters below U+0020 only. The others, and the characters that nobody sees,
/// become `\uXXXX`.
///
/// ```
/// use capstan_files::printable_json;
/// assert_eq!(printable_json("[\"a\u{9b}b\u{e0041}\"]"), r#"["a\u009bb\udb40\udc41"]"#);
/// ```
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // Outside of texts, JSON has no such character but the ends of lines and tabs.
    let is_escaped = |letter: char| !matches!(letter, '\n' | '\t' | '\r') && is_harmful(letter);
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        match is_escaped(letter) {
            true => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a text cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }),
            false => escaped.push(letter),
        }
    }
    Cow::Owned(escaped)
}

/// Returns whether a terminal or a reader of a log could be misled by a character.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
        || is_ignorable(letter)
}

/// Returns whether a character has Unicode's property `Default_Ignorable_Code_Point`: nobody sees it. All marks,
/// embeddings, overrides and isolates of the bidirectional algorithm have it, and so have the tags and the characters of
/// width zero. The table is that of `DerivedCoreProperties.txt` of Unicode 16.0.
fn is_ignorable(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        // Writing to a text cannot fail.
        let _ = match letter {
            '\n' if is_escaped(letter) => escaped.write_str("\\n"),
            '\r' => escaped.write_str("\\r"),
            letter if is_escaped(letter) => write!(escaped, "\\u{{{:x}}}", u32::from(letter)),
            letter => escaped.write_char(letter),
        };
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_harmful_character_is_left_and_all_others_are() {
        let all: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
        for (shown, kept) in [(printable(&all), "\n\t"), (one_line(&all), "\t")] {
            let harmful = |letter: &char| is_harmful(*letter) && !kept.contains(*letter);
            assert_eq!(shown.chars().find(harmful), None);
            let harmless = all.chars().filter(|letter| !is_harmful(*letter)).count();
            assert!(shown.chars().filter(|letter| !is_harmful(*letter)).count() >= harmless);
            assert_eq!(printable(&shown), shown);
        }
    }

    #[test]
    fn json_keeps_its_values_and_shows_nothing_harmful() {
        let all: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
        let json = serde_json::json!({ &all: [&all, 1] });
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let shown = printable_json(&text);
            assert_eq!(shown.chars().find(|c| *c != '\n' && is_harmful(*c)), None);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
        }
    }

    #[test]
    fn what_attacks_terminals_becomes_escapes() {
        for (text, expected) in [
            ("plain, ünïcode 👩 ไทย हिन्दी", "plain, ünïcode 👩 ไทย हिन्दी"),
            ("pay\u{200b}pal", r"pay\u{200b}pal"),
            ("a\u{2060}b\u{feff}c\u{ad}d", r"a\u{2060}b\u{feff}c\u{ad}d"),
            ("tag\u{e0041}\u{e0100}", r"tag\u{e0041}\u{e0100}"),
            ("\u{3164}\u{115f}\u{fe0f}", r"\u{3164}\u{115f}\u{fe0f}"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("gnp.\u{202e}exe", r"gnp.\u{202e}exe"),
            ("over\rwritten", r"over\rwritten"),
            ("\u{8}\u{7f}\0", r"\u{8}\u{7f}\u{0}"),
        ] {
            assert_eq!(printable(text), expected);
            assert_eq!(one_line(text), expected);
        }
        assert_eq!(one_line("a\r\nb\u{2028}c"), r"a\r\nb\u{2028}c");
        assert_eq!(printable("a\nb\tc"), "a\nb\tc");
    }
}
