//! Passphrases of encrypted keys, and other questions to people.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};

use crate::failure::usage;
use crate::output;

/// Environment variable that holds the passphrase, for scripts.
pub(crate) const VARIABLE: &str = "CAPSTAN_KEYRING_PASSPHRASE";

/// Minimum length of a new passphrase, as in the Cosmos SDK.
const MIN_BYTES: usize = 8;

/// Maximum length of a passphrase, or of a mnemonic.
const MAX_BYTES: usize = 1_024;

/// Reads the passphrase of a key that is there: from a file descriptor, the environment or the terminal.
///
/// # Errors
/// There is none, or nobody to ask.
pub(super) fn existing(name: &str, descriptor: Option<u32>) -> anyhow::Result<String> {
    match given(descriptor)? {
        Some(passphrase) => Ok(passphrase),
        None => hidden(&format!("Passphrase of the key {name}: ")),
    }
}

/// Reads the passphrase for a key that is encrypted now. The terminal asks for it twice.
///
/// # Errors
/// The passphrase is too short, the two differ, or there is nowhere to read it from.
pub(super) fn fresh(name: &str, descriptor: Option<u32>) -> anyhow::Result<String> {
    let passphrase = match given(descriptor)? {
        Some(passphrase) => passphrase,
        None => {
            let first = hidden(&format!("New passphrase for the key {name}: "))?;
            if first.len() >= MIN_BYTES && hidden("The same again: ")? != first {
                bail!("the two passphrases differ; nothing was written");
            }
            first
        }
    };
    if passphrase.len() < MIN_BYTES {
        return Err(usage(format!("the passphrase is too short: at least {MIN_BYTES} bytes")));
    }
    Ok(passphrase)
}

/// Returns the passphrase that a script gives.
fn given(descriptor: Option<u32>) -> anyhow::Result<Option<String>> {
    if let Some(number) = descriptor {
        let path = format!("/dev/fd/{number}");
        let line = File::open(&path).and_then(first_line);
        let line = line.with_context(|| format!("cannot read --passphrase-fd {number}"))?;
        return bounded(line).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => bounded(text).map(Some),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(usage(format!("{VARIABLE}: {error}"))),
    }
}

fn first_line(file: File) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(file.take(MAX_BYTES as u64 + 3)).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn bounded(text: String) -> anyhow::Result<String> {
    match text.len() {
        0 => Err(usage("the passphrase is empty")),
        1..=MAX_BYTES => Ok(text),
        _ => Err(usage(format!("the passphrase is too long: at most {MAX_BYTES} bytes"))),
    }
}

/// Asks at the terminal, without showing what is typed.
fn hidden(prompt: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return Err(usage(format!(
            "a passphrase is needed, and there is no terminal to ask at; set {VARIABLE}, or give the number of a file descriptor with --passphrase-fd"
        )));
    }
    bounded(rpassword::prompt_password(prompt).context("cannot read the terminal")?)
}

/// Reads a mnemonic or a secret from standard input. A terminal does not show it.
///
/// # Errors
/// There is nothing, or too much.
pub(super) fn secret_text(what: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        return hidden(&format!("{what}: "));
    }
    let mut text = String::new();
    io::stdin()
        .take(MAX_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .context("cannot read standard input")?;
    match text.trim().len() {
        0 => Err(usage(format!("standard input is empty; expected there: {what}"))),
        1..=MAX_BYTES => Ok(text.trim().to_owned()),
        _ => Err(usage(format!("standard input is too long; expected there: {what}"))),
    }
}

/// Reads a mnemonic, and its BIP-39 passphrase if that is wanted, which may be empty.
///
/// # Errors
/// There is nothing, or too much.
pub(super) fn mnemonic(with_passphrase: bool) -> anyhow::Result<(String, String)> {
    let text = secret_text("the mnemonic")?;
    if io::stdin().is_terminal() {
        let prompt = "BIP-39 passphrase of the mnemonic, or nothing: ";
        let secret = match with_passphrase {
            true => rpassword::prompt_password(prompt).context("cannot read the terminal")?,
            false => String::new(),
        };
        return Ok((text, secret));
    }
    match text.split_once('\n') {
        None => Ok((text, String::new())),
        Some((words, secret)) if with_passphrase => {
            Ok((words.to_owned(), secret.trim_end_matches('\r').to_owned()))
        }
        // Words may stand on several lines.
        Some(_) => Ok((text, String::new())),
    }
}

/// Asks whether to go on, unless the answer was given by `--yes`.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub(super) fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(usage(format!(
            "{question} Confirm with --yes, since nobody can be asked here"
        )));
    }
    output::warn(&format!("{question} [y/N]"));
    io::stderr().flush()?;
    let mut answer = String::new();
    BufReader::new(io::stdin().take(16)).read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}
