//! The input of the shell: a line editor with history and completion, or standard input.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{Config, Helper};

use capstan_node::home::cache_dir;

use crate::output;

/// The file of past lines, in the home, or among what the user's runs share.
const HISTORY: &str = "shell-history";

/// Number of lines that the history keeps.
const HISTORY_LINES: usize = 1000;

/// The source of lines.
pub(crate) struct Editor {
    input: Input,
    line: u64,
}

enum Input {
    Terminal(Box<Terminal>),
    Script(io::Lines<io::StdinLock<'static>>),
}

/// A line editor.
struct Terminal {
    editor: rustyline::Editor<Names, MemHistory>,
    history: PathBuf,
    /// Lines that were pasted together and are not evaluated yet.
    pasted: VecDeque<String>,
}

/// The next thing that was typed.
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-C: what was typed before on lines of the same statement is dropped, too.
    Dropped,
    End,
}

impl Editor {
    /// Creates a source of lines: a line editor on a terminal, or plain standard input.
    pub(crate) fn new(interactive: bool, home: Option<&Path>) -> anyhow::Result<Self> {
        let input = match interactive {
            false => Input::Script(io::stdin().lock().lines()),
            true => {
                let config = Config::builder().max_history_size(HISTORY_LINES)?.build();
                let history = MemHistory::with_config(&config);
                let mut editor = rustyline::Editor::with_history(config, history)?;
                editor.set_helper(Some(Names::default()));
                let dir = home.map_or_else(|| cache_dir(&std::env::temp_dir()), Path::to_owned);
                let history = dir.join(HISTORY);
                // There is none at first.
                for line in fs::read_to_string(&history).unwrap_or_default().lines() {
                    editor.add_history_entry(line)?;
                }
                Input::Terminal(Box::new(Terminal { editor, history, pasted: VecDeque::new() }))
            }
        };
        Ok(Self { input, line: 0 })
    }

    /// Reads what is typed next. `names` can be completed.
    pub(crate) fn next(
        &mut self,
        continued: bool,
        names: &BTreeSet<String>,
    ) -> anyhow::Result<Typed> {
        self.line += 1;
        match &mut self.input {
            Input::Script(lines) => {
                let line = lines.next().transpose().context("cannot read standard input")?;
                Ok(line.map_or(Typed::End, Typed::Line))
            }
            Input::Terminal(terminal) => terminal.next(continued, names),
        }
    }

    /// Returns the number of the last line, from 1.
    pub(crate) fn line_number(&self) -> u64 {
        self.line
    }
}

impl Terminal {
    fn next(&mut self, continued: bool, names: &BTreeSet<String>) -> anyhow::Result<Typed> {
        let prompt = if continued { "...     " } else { "capstan> " };
        if let Some(line) = self.pasted.pop_front() {
            // The editor has shown it, but what comes between is another line's.
            output::say(&format!("{prompt}{line}"));
            return Ok(Typed::Line(line));
        }
        if let Some(helper) = self.editor.helper_mut() {
            helper.0.clone_from(names);
        }
        match self.editor.readline(prompt) {
            Ok(text) => {
                self.pasted.extend(split(&text));
                for line in &self.pasted {
                    self.editor.add_history_entry(line)?;
                }
                Ok(Typed::Line(self.pasted.pop_front().unwrap_or_default()))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }
}

/// Returns the lines of a text that was read at once. A terminal gives a paste as a whole.
fn split(text: &str) -> impl Iterator<Item = String> {
    text.split_terminator(['\n', '\r']).map(str::to_owned)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Err(error) = write_history(self.editor.history(), &self.history) {
            let path = self.history.display();
            output::warn(&format!("warning: cannot keep the history in {path}: {error}"));
        }
    }
}

fn write_history(lines: &MemHistory, file: &Path) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut out = fs::File::create(file)?;
    for index in 0..lines.len() {
        if let Ok(Some(found)) = lines.get(index, SearchDirection::Forward) {
            writeln!(out, "{}", found.entry)?;
        }
    }
    Ok(())
}

/// The names that Tab completes.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl Completer for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&self.0, line, position))
    }
}

/// Returns where the word before `position` begins, and the names that begin with it. Properties are not completed,
/// since only the vat that has the object knows them.
fn candidates(names: &BTreeSet<String>, line: &str, position: usize) -> (usize, Vec<String>) {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let before = line.get(..position).unwrap_or_default();
    let start = before
        .rfind(|c| !is_word(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
    let word = &before[start..];
    if word.is_empty() || before[..start].trim_end().ends_with('.') {
        return (start, Vec::new());
    }
    (start, names.iter().filter(|name| name.starts_with(word)).cloned().collect())
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_is_all_its_lines() {
        let lines = |text| split(text).collect::<Vec<_>>();
        assert_eq!(lines("a\nb\n"), ["a", "b"]);
        assert_eq!(lines("a\n\nb"), ["a", "", "b"]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn words_are_completed_and_properties_are_not() {
        let names = ["bot", "bootstrap", "user"].map(str::to_owned).into();
        assert_eq!(candidates(&names, "E(bo", 4), (2, vec!["bootstrap".into(), "bot".into()]));
        assert_eq!(candidates(&names, "é+u", 4), (3, vec!["user".into()]));
        assert_eq!(candidates(&names, "vats.bo", 7), (5, vec![]));
        assert_eq!(candidates(&names, "", 0), (0, vec![]));
    }
}
