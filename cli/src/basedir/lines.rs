//! The translation of typed lines into what the shell's vat can evaluate, by a JavaScript parser in Node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use crate::bundle::find_script;

/// The parser's process, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// The kind of a typed text.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// Statements: the same as an expression, and the [`Uses`] of names.
    Whole {
        source: String,
        #[serde(flatten)]
        uses: Uses,
    },
    /// The beginning of something: another line is needed.
    Incomplete {
        #[serde(rename = "incomplete")]
        _incomplete: bool,
    },
    /// The text is not JavaScript.
    Wrong {
        #[serde(rename = "error")]
        why: String,
    },
}

/// The names that statements use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Uses {
    /// Names that are declared.
    pub(crate) names: Vec<String>,
    /// Names that are used and declared elsewhere, if at all.
    pub(crate) free: Vec<String>,
    /// Names that `typeof` is asked of. They need not exist.
    pub(crate) probed: Vec<String>,
}

impl Lines {
    /// Starts the parser process.
    ///
    /// # Errors
    /// Node or the JavaScript tools are not there.
    pub(crate) fn start(tools: Option<&Path>) -> anyhow::Result<Self> {
        let script = find_script(tools, "shell-lines.mjs")?;
        let mut command = Command::new("node");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().context("cannot run node, which reads the shell's lines")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.context("node has no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Parses a typed text.
    ///
    /// # Errors
    /// The parser has ended.
    pub(crate) fn read(&mut self, text: &str) -> anyhow::Result<Line> {
        let input = self.input.as_mut().context("node has no standard input")?;
        writeln!(input, "{}", json!({"source": text})).context("node reads no more lines")?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer).context("node answers no more")? == 0 {
            bail!("node ended; is it Node 20 or newer?");
        }
        serde_json::from_str(&answer).with_context(|| format!("node answered {answer}"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Without input it ends by itself.
        self.input = None;
        let _ = self.child.wait();
    }
}
