//! The input of the shell: a line editor with history and completion, or standard input.

use std::collections::BTreeSet;
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
    Terminal { editor: Box<rustyline::Editor<Names, MemHistory>>, history: PathBuf },
    Script(io::Lines<io::StdinLock<'static>>),
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
                Input::Terminal { editor: Box::new(editor), history }
            }
        };
        Ok(Self { input, line: 0 })
    }

    /// Reads the next line. Returns `None` at the end of the input. Ctrl-C drops the line that is being typed. `names`
    /// can be completed.
    pub(crate) fn next(
        &mut self,
        continued: bool,
        names: &BTreeSet<String>,
    ) -> anyhow::Result<Option<String>> {
        self.line += 1;
        match &mut self.input {
            Input::Script(lines) => lines.next().transpose().context("cannot read standard input"),
            Input::Terminal { editor, .. } => {
                if let Some(helper) = editor.helper_mut() {
                    helper.0.clone_from(names);
                }
                let prompt = if continued { "...     " } else { "capstan> " };
                loop {
                    match editor.readline(prompt) {
                        Ok(line) => {
                            editor.add_history_entry(&line)?;
                            return Ok(Some(line));
                        }
                        Err(ReadlineError::Interrupted) => {}
                        Err(ReadlineError::Eof) => return Ok(None),
                        Err(error) => return Err(error).context("cannot read from the terminal"),
                    }
                }
            }
        }
    }

    /// Returns the number of the last line, from 1.
    pub(crate) fn line_number(&self) -> u64 {
        self.line
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if let Input::Terminal { editor, history } = &self.input
            && let Err(error) = write_history(editor.history(), history)
        {
            let path = history.display();
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
    fn words_are_completed_and_properties_are_not() {
        let names = ["bot", "bootstrap", "user"].map(str::to_owned).into();
        assert_eq!(candidates(&names, "E(bo", 4), (2, vec!["bootstrap".into(), "bot".into()]));
        assert_eq!(candidates(&names, "é+u", 4), (3, vec!["user".into()]));
        assert_eq!(candidates(&names, "vats.bo", 7), (5, vec![]));
        assert_eq!(candidates(&names, "", 0), (0, vec![]));
    }
}
