//! The output of commands: JSON for programs, tables for people.
//!
//! Everything that a command prints goes through here. Text for people is made harmless in this one place, since much
//! of it was written by vats and by strangers. JSON stays exact.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use capstan_abi::BundleKind;
use capstan_files::{one_line, printable, printable_json};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use serde_json::{Map, Value, json};

use crate::passable;

/// True if what goes to standard error is JSON too.
static WARNS_IN_JSON: AtomicBool = AtomicBool::new(false);

/// The output of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// Creates an output of JSON, or of text for people.
    pub(crate) fn new(json: bool) -> Self {
        WARNS_IN_JSON.store(json, Ordering::Relaxed);
        Self { json }
    }

    /// Returns whether JSON is printed.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a record: the JSON [`Value`] itself, or a table of its fields with shortened bundle ids.
    pub(crate) fn record(self, value: &Value) {
        self.fields(value, short);
    }

    /// Prints a record as [`Output::record`], with full bundle ids.
    pub(crate) fn whole_record(self, value: &Value) {
        self.fields(value, str::to_owned);
    }

    /// Prints a list of records: the JSON [`Value`] itself, or a table with these columns.
    pub(crate) fn list(self, value: &Value, rows: &[Value], columns: &[&str]) {
        if self.json {
            return self.json_line(value);
        }
        if rows.is_empty() {
            return say("(none)");
        }
        let mut table = new_table();
        table.set_header(columns.iter().map(|name| words(name)));
        for row in rows {
            table.add_row(columns.iter().map(|name| cut(&short(&cell(name, &row[*name])))));
        }
        say(&table.to_string());
    }

    /// Prints a JSON [`Value`], or `text` for people.
    pub(crate) fn either(self, value: &Value, text: &str) {
        if self.json { self.json_line(value) } else { say(text) }
    }

    /// Prints one of many lines: a JSON [`Value`], or a text for people.
    ///
    /// # Errors
    /// The line cannot be written, as when its reader has gone away.
    pub(crate) fn stream(self, value: &Value, text: impl FnOnce() -> String) -> io::Result<()> {
        let line = match self.json {
            true => printable_json(&value.to_string()).into_owned(),
            false => printable(&text()).into_owned(),
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }

    /// Prints to standard error what happens while a command goes on: a JSON line with `event` and `text`, or the text.
    pub(crate) fn note(self, event: &str, text: &str) {
        tell(event, text);
    }

    fn fields(self, value: &Value, shape: fn(&str) -> String) {
        match value {
            Value::Object(fields) if !self.json => say(&fields_table(fields, shape).to_string()),
            _ => self.json_line(value),
        }
    }

    fn json_line(self, value: &Value) {
        match self.json {
            true => exact(&printable_json(&value.to_string())),
            false => say(&value.to_string()),
        }
    }
}

/// Prints lines of text for people, in which nothing that a stranger wrote moves the cursor or hides something. A
/// reader that has gone away is no failure of the command.
pub(crate) fn say(lines: &str) {
    exact(&printable(lines));
}

/// Prints lines as [`say`] does, to standard error. If the command prints JSON, they are in a line of JSON too.
pub(crate) fn warn(lines: &str) {
    tell("note", lines);
}

/// Prints to standard error what happens while a command goes on, as [`Output::note`] does.
pub(crate) fn tell(event: &str, text: &str) {
    match WARNS_IN_JSON.load(Ordering::Relaxed) {
        true => warn_json(&json!({"event": event, "text": text})),
        false => {
            let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
        }
    }
}

/// Prints one line of another program's log, which its writer cannot make look like several.
pub(crate) fn say_log(label: &str, line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{label} | {}", one_line(line))
}

/// Prints a text as it is.
fn exact(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints JSON to standard error.
pub(crate) fn warn_json(record: &Value) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable_json(&record.to_string()));
}

/// Clears the terminal and begins at its upper left corner.
pub(crate) fn clear() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\x1b[2J\x1b[H")?;
    out.flush()
}

/// Creates an empty table that is no wider than the terminal, if there is one: long texts are folded in their cells.
fn new_table() -> Table {
    static WIDTH: OnceLock<Option<u16>> = OnceLock::new();
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    if let Some(width) = *WIDTH.get_or_init(terminal_width) {
        fit(&mut table, width);
    }
    table
}

/// Returns the width of the terminal to which this process prints. Returns `None` if it prints to a file or a pipe, whose
/// readers want each row on one line.
fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (config, history) = (Config::default(), MemHistory::new());
    let mut editor = Editor::<(), MemHistory>::with_history(config, history).ok()?;
    editor.dimensions().map(|(width, _)| width)
}

fn fit(table: &mut Table, width: u16) {
    // Narrower columns than a few letters help nobody.
    table.set_width(width.max(MIN_WIDTH)).set_content_arrangement(ContentArrangement::Dynamic);
}

/// Least width of a table, in characters.
const MIN_WIDTH: u16 = 40;

fn fields_table(fields: &Map<String, Value>, shape: fn(&str) -> String) -> Table {
    let mut table = new_table();
    for (name, value) in fields {
        // An empty text says that there is none.
        if value.as_str() != Some("") {
            table.add_row([words(name), shape(&text(name, value))]);
        }
    }
    table
}

/// `computrons_last_block` as words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A value in a list, on one line if it is a text.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::String(_) => one_line(&text(name, value)).into_owned(),
        other => text(name, other),
    }
}

/// A value for people: data of vats in the form of [`passable`], large numbers in groups of three digits.
fn text(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if is_count(name) => grouped(text),
        // Here too, so that a table is as wide as what it shows.
        Value::String(text) => printable(text).into_owned(),
        Value::Number(number) => grouped(&number.to_string()),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Object(fields) if fields.contains_key("body") && fields.contains_key("slots") => {
            let slots = fields["slots"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let body = fields["body"].as_str().unwrap_or_default();
            passable::text(body, &slots.collect::<Vec<_>>())
        }
        Value::Array(items) => {
            items.iter().map(|item| text(name, item)).collect::<Vec<_>>().join("\n")
        }
        Value::Object(fields) => {
            let line = |(name, value): (&String, &Value)| {
                format!("{}: {}", words(name), text(name, value))
            };
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Returns whether a text in this field may be a number that is too large for a JSON number.
fn is_count(name: &str) -> bool {
    matches!(
        name,
        "meter_remaining" | "remaining" | "threshold" | "balance" | "deposit" | "given_back"
    )
}

/// Groups the digits of a whole number: `1,234,567`. Other texts stay as they are.
pub(crate) fn grouped(digits: &str) -> String {
    let (sign, plain) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    if plain.len() < 5 || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut grouped = sign.to_owned();
    for (index, digit) in plain.char_indices() {
        if index > 0 && (plain.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A bundle's id in a list, cut short: the whole one is 131 characters.
fn short(text: &str) -> String {
    match text.split_at_checked(15) {
        Some((head, rest)) if rest.len() > 40 && BundleKind::from_id(head).is_some() => {
            format!("{head}…")
        }
        _ => text.to_owned(),
    }
}

/// A cell of a list, cut to what a terminal shows.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Maximum number of characters in a cell of a list.
const CELL_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_words_and_numbers_are_grouped() {
        assert_eq!(words("computrons_last_block"), "computrons last block");
        assert_eq!(words("vat_id"), "vat id");
        assert_eq!(grouped("1234567"), "1,234,567");
        assert_eq!(grouped("-123456"), "-123,456");
        assert_eq!(
            (grouped("1234").as_str(), grouped("unlimited").as_str()),
            ("1234", "unlimited")
        );
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal_and_loses_nothing() {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_header(["kref", "interface", "came"]);
        let came = "entry 12: answer of rp+3 ".repeat(8);
        table.add_row(["ko23", "Alleged: counter", &came]);
        fit(&mut table, 60);
        let shown = table.to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        assert_eq!(shown.matches("answer").count(), 8, "{shown}");
        // A terminal of a few columns has no room for any table.
        fit(&mut table, 3);
        assert!(table.to_string().lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn data_of_vats_is_shown_decoded() {
        let value = json!({"body": "#[\"$0.Alleged: counter\",\"+7\"]", "slots": ["ko20"]});
        assert_eq!(text("data", &value), "[@ko20,7n]");
        assert_eq!(text("data", &Value::Null), "-");
    }

    /// Texts as a stranger would choose them: of a vat's name, its last words, a message, a bundle's id.
    const HOSTILE: &[&str] = &[
        "\u{1b}[2J\u{1b}[Hgone",
        "\u{1b}]0;title\u{7}",
        "\u{9b}31mred",
        "gnp.\u{202e}exe",
        "\u{2066}isolated\u{2069}",
        "over\rwritten\u{8}\u{8}",
    ];

    fn is_harmless(text: &str) -> bool {
        printable(text) == text
    }

    #[test]
    fn tables_and_records_show_what_strangers_wrote_as_escapes() {
        for hostile in HOSTILE {
            let data = json!({"body": json!([hostile]).to_string(), "slots": [hostile]});
            let record = json!({
                "name": hostile, "list": [hostile, {"inner": hostile}], "value": data,
                "ending": {"reason": hostile, "info": hostile}, *hostile: hostile,
            });
            let Value::Object(fields) = &record else { panic!() };
            let table = fields_table(fields, str::to_owned).to_string();
            assert!(is_harmless(&printable(&table)));
            for field in ["name", "list", "ending"] {
                assert!(is_harmless(&text(field, &record[field])), "{field}: {hostile:?}");
            }
            // A table's lines are as long as each other, since nothing is escaped after it was made.
            let named = json!({"name": hostile});
            let Value::Object(fields) = &named else { panic!() };
            let table = fields_table(fields, str::to_owned).to_string();
            assert_eq!(printable(&table), table);
            assert!(!cell("name", &json!(format!("{hostile}\n"))).contains('\n'));
            // Programs get every byte, and JSON in a terminal does it no harm.
            let json = record.to_string();
            let shown = printable_json(&json);
            assert!(is_harmless(&shown));
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), record);
        }
    }

    /// Returns the sources of the command line, with their paths.
    fn sources(dir: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found
                    .push((path.display().to_string(), std::fs::read_to_string(&path).unwrap())),
            }
        }
    }

    #[test]
    fn every_command_prints_through_this_file() {
        let mut found = Vec::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 20);
        let ways = ["println!", "print!", "stdout().lock()", "stderr().lock()", "dbg!"];
        for (path, text) in found.iter().filter(|(path, _)| !path.ends_with("src/output.rs")) {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap();
                let other = ways.iter().find(|way| code.contains(*way));
                assert_eq!(other, None, "{path}:{}: use crate::output", number + 1);
            }
        }
    }

    #[test]
    fn long_ids_are_cut_in_lists_only() {
        let id = format!("b1-{}", "0123456789abcdef".repeat(8));
        assert_eq!(short(&id), "b1-0123456789ab…");
        assert_eq!(text("bundle_id", &Value::String(id.clone())), id);
        assert_eq!(short("b1-short"), "b1-short");
    }
}
