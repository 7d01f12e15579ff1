//! The errors of commands, their texts and their exit codes.

use std::process::ExitCode;

use anyhow::Error;
use capstan_client::ClientError;
use serde_json::json;

use crate::output;

/// Wrong usage that the command line's grammar could not see. Its text says what would be right.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The message was answered, by a rejection. The answer was printed already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the message was answered by a rejection")]
pub(crate) struct Rejected;

/// Creates an [`Error`] for wrong usage.
pub(crate) fn usage(text: impl Into<String>) -> Error {
    Usage(text.into()).into()
}

/// Formats a flag with its value, as the context of an error.
pub(crate) fn flag(name: &str, value: impl std::fmt::Debug) -> String {
    format!("{name} {value:?}")
}

/// Prints an [`Error`] to standard error, as JSON if `json` is set. Returns its [`ExitCode`].
pub(crate) fn report(error: &Error, json: bool) -> ExitCode {
    let code = exit_code(error);
    // The answer says it already.
    if !json && error.is::<Rejected>() && error.chain().count() == 1 {
        return ExitCode::from(code);
    }
    if json {
        let mut record = json!({"error": chain(error), "exit_code": code});
        if let Some((codespace, number)) = chain_code(error) {
            record["codespace"] = codespace.into();
            record["code"] = number.into();
        }
        output::warn_json(&record);
    } else {
        output::warn(&format!("error: {}", chain(error)));
    }
    ExitCode::from(code)
}

/// Returns the text of an [`Error`] and its causes. Leaves out a cause that its error's text contains already.
fn chain(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn exit_code(error: &Error) -> u8 {
    if error.downcast_ref::<Usage>().is_some() {
        return USAGE;
    }
    match client_error(error) {
        Some(
            ClientError::Query { .. } | ClientError::Refused { .. } | ClientError::Failed { .. },
        ) => REFUSED,
        Some(ClientError::BundleTooLarge { .. } | ClientError::Displaced { .. }) => REFUSED,
        Some(
            ClientError::Unreachable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Closed { .. },
        ) => UNREACHABLE,
        Some(ClientError::Url { .. }) => USAGE,
        _ => FAILED,
    }
}

fn chain_code(error: &Error) -> Option<(&str, u32)> {
    match client_error(error)? {
        ClientError::Query { codespace, code, .. }
        | ClientError::Refused { codespace, code, .. }
        | ClientError::Failed { codespace, code, .. } => Some((codespace, *code)),
        _ => None,
    }
}

fn client_error(error: &Error) -> Option<&ClientError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

const FAILED: u8 = 1;
/// Exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const UNREACHABLE: u8 = 4;

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let refused =
            ClientError::Refused { codespace: "capstan".into(), code: 12, log: "why".into() };
        let unreachable = ClientError::Unreachable { addr: "a".into(), why: "b".into() };
        for (error, expected) in [
            (anyhow::anyhow!("anything"), FAILED),
            (Rejected.into(), FAILED),
            (usage("so"), USAGE),
            (Error::from(refused).context("around"), REFUSED),
            (unreachable.into(), UNREACHABLE),
        ] {
            assert_eq!(exit_code(&error), expected, "{error}");
        }
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other("disk on fire");
        let error = Err::<(), _>(io).context("cannot write").unwrap_err();
        assert_eq!(chain(&error), "cannot write: disk on fire");
        assert_eq!(
            chain(&error.context("cannot write: disk on fire")),
            "cannot write: disk on fire"
        );
    }
}
