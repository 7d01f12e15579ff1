//! Remedies for a block that stops the chain or ends its processes: commands that are ready to run.

use std::{fmt, path::Path};

use capstan_kernel_ports::VatId;

use crate::{observe::progress::Step, overrides::Override, tx::TxHash};

/// Command with which the chain continues if the validators agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Command line for a shell.
    pub command: String,
    /// Effect of the command.
    pub does: String,
}

/// Facts about a block that stopped the node, from which remedies follow.
#[derive(Debug)]
pub(crate) struct Incident<'a> {
    /// Home directory of the node.
    pub(crate) home: &'a Path,
    /// [`Override`] with which the block is executed already, or `None`.
    pub(crate) in_force: Option<&'a Override>,
    /// [`Step`] that the node was executing.
    pub(crate) step: &'a Step,
    /// [`TxHash`]es of the block's transactions.
    pub(crate) txs: &'a [TxHash],
    /// [`VatId`] of the critical vat whose end stops the chain, or `None`.
    pub(crate) critical: Option<VatId>,
    /// [`VatId`] of the vat that ran, or `None` if it is not alive in the committed state.
    pub(crate) vat: Option<VatId>,
}

impl Incident<'_> {
    /// Returns the [`Remedy`]s, the one with the least effect first.
    pub(crate) fn remedies(&self) -> Vec<Remedy> {
        let mut ways = Vec::new();
        let mut add = |options: String, does: String| {
            ways.push(Remedy { command: self.command(&options), does });
        };
        match self.step {
            Step::Transaction(index) => {
                if let Some(tx) = self.txs.get(*index as usize) {
                    add(format!("--skip-tx {tx}"), SKIPS.to_owned());
                }
            }
            Step::Crank(crank) => {
                let tx = crank.cause.as_ref().and_then(|cause| cause.tx());
                if let Some(tx) = tx.filter(|tx| self.txs.contains(tx)) {
                    add(format!("--skip-tx {tx}"), SKIPS.to_owned());
                }
                if let Some(place) = crank.place {
                    add(format!("--drop-message {place}"), DROPS.to_owned());
                }
            }
            Step::Started | Step::Root | Step::Executed | Step::Committing => {
                if (1..=MAX_SKIPPED).contains(&self.txs.len()) {
                    let all: Vec<_> = self.txs.iter().map(|tx| format!("--skip-tx {tx}")).collect();
                    add(all.join(" "), SKIPS_ALL.to_owned());
                }
            }
        }
        if let Some(vat) = self.critical {
            let does =
                format!("lets {vat} end as any other vat does; what needs it fails from then on");
            add(format!("--uncritical {vat}"), does);
        } else if let Some(vat) = self.vat {
            let does =
                format!("ends {vat} before anything else in the block; what it keeps is lost");
            add(format!("--terminate-vat {vat}"), does);
        }
        ways
    }

    fn command(&self, options: &str) -> String {
        let home = quoted(&self.home.display().to_string());
        let before = match self.in_force {
            Some(agreed) => format!("--replace {} ", agreed.to_options()),
            None => String::new(),
        };
        format!("capstan override --home {home} {before}{options}")
    }
}

/// Writes the [`Remedy`]s below a report.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, ways: &[Remedy]) -> fmt::Result {
    if ways.is_empty() {
        return Ok(());
    }
    write!(f, "\nOne of these goes on, the same on every node, which is then started again:")?;
    for Remedy { command, does } in ways {
        write!(f, "\n  {command}\n      {does}")?;
    }
    Ok(())
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

const SKIPS: &str = "does not execute that transaction; its signer can send it again";
const SKIPS_ALL: &str =
    "executes none of the block's transactions: no single one is known to be the cause";
const DROPS: &str =
    "does not deliver what lies there: a message is rejected, a vat is not started or upgraded";

/// Upper bound of the transactions in a printed command. A command for more is not printed.
const MAX_SKIPPED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{cause::Cause, watch::LastCrank};
    use capstan_kernel::queue::Place;

    #[test]
    fn a_way_on_names_what_the_block_has_and_nothing_else() {
        let (tx, other) = (TxHash([1; 32]), TxHash([2; 32]));
        let cause =
            |tx| Cause::Message { tx, signer: "a".to_owned(), index: 0, kind: "/k".to_owned() };
        let crank = |cause| {
            let (place, cause) = (Some(Place::Run(7)), Some(cause));
            Step::Crank(Box::new(LastCrank { place, cause, ..LastCrank::default() }))
        };
        let ways = |step: &Step, critical, vat| {
            let (home, txs) = (Path::new("/a b"), &[tx][..]);
            let trouble = Incident { home, in_force: None, step, txs, critical, vat };
            let ways = trouble.remedies().into_iter().map(|way| way.command);
            ways.map(|way| way.replace("capstan override --home '/a b' ", "")).collect::<Vec<_>>()
        };
        let (skip, vat) = (format!("--skip-tx {tx}"), Some(VatId(7)));
        let drop = "--drop-message run-7".to_owned();
        let terminate = "--terminate-vat v7".to_owned();
        assert_eq!(ways(&crank(cause(tx)), None, vat), [skip.clone(), drop.clone(), terminate]);
        let uncritical = "--uncritical v7".to_owned();
        assert_eq!(ways(&crank(cause(other)), vat, vat), [drop, uncritical]);
        assert_eq!(ways(&Step::Crank(Box::default()), None, None), [""; 0]);
        assert_eq!(ways(&Step::Transaction(0), None, None), std::slice::from_ref(&skip));
        assert_eq!(ways(&Step::Transaction(1), None, None), [""; 0]);
        assert_eq!(ways(&Step::Root, None, None), [skip]);
    }

    #[test]
    fn a_home_is_quoted_as_a_shell_needs_it() {
        for (word, expected) in
            [("/srv/node-0", "/srv/node-0"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")]
        {
            assert_eq!(quoted(word), expected);
        }
    }
}
