use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns text that can be shown in a terminal, whoever wrote it. Lines and tabs stay.
///
/// Control characters (those that move the cursor, set colours or ring the bell) and marks that change the direction
/// of the text become escapes such as `\u{1b}`. What is left looks like what it is. The same text comes back if it
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

/// Returns whether a terminal or a reader of a log could be misled by a character.
fn is_harmful(letter: char) -> bool {
    // Besides the control characters these are the marks, embeddings, overrides and isolates of the bidirectional
    // algorithm, the two separators of lines and paragraphs, and the tags that nobody sees.
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
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
    fn what_attacks_terminals_becomes_escapes() {
        for (text, expected) in [
            ("plain, ünïcode 👩‍👩‍👧", "plain, ünïcode 👩‍👩‍👧"),
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
