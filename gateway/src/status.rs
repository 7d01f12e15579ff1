//! Errors of the application as statuses of gRPC.

use capstan_consensus::listen::Unread;
use capstan_proto::{CODESPACE, ErrorCode};
use tendermint_proto::v0_38::abci::ResponseQuery;
use tonic::{Code, Status};

/// The codespace of errors that the Cosmos SDK names too.
const SDK: &str = "sdk";
/// Maximum size of an error's text, in bytes. It goes into a header.
const MAX_TEXT_BYTES: usize = 1024;

/// Returns the value of the application's answer to a query.
///
/// # Errors
/// The [`Status`] of an answer that is an error.
pub(crate) fn of_answer(answer: ResponseQuery) -> Result<Vec<u8>, Status> {
    match answer.code {
        0 => Ok(answer.value.into()),
        _ => Err(of_error(&answer)),
    }
}

fn of_error(answer: &ResponseQuery) -> Status {
    let code = match (answer.codespace.as_str(), answer.code) {
        (CODESPACE, number) => of_code(ErrorCode::from_number(number)),
        (SDK, 6) => Code::Unimplemented,
        (SDK, 18 | 26) => Code::InvalidArgument,
        (SDK, 22) => Code::NotFound,
        (SDK, 35) => Code::Internal,
        _ => Code::Unknown,
    };
    Status::new(code, shortened(plain(&answer.log)))
}

fn of_code(code: Option<ErrorCode>) -> Code {
    match code {
        Some(ErrorCode::UnknownPath) => Code::Unimplemented,
        Some(ErrorCode::MalformedQuery | ErrorCode::NoProof) => Code::InvalidArgument,
        Some(ErrorCode::NotFound) => Code::NotFound,
        Some(ErrorCode::Height) => Code::OutOfRange,
        Some(ErrorCode::Node) => Code::Internal,
        Some(ErrorCode::Unavailable) => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// Returns the text in `rpc error: code = NAME desc = TEXT: KIND`, as the application writes it for Cosmos clients.
fn plain(log: &str) -> &str {
    let Some((_, text)) = log.split_once(" desc = ").filter(|_| log.starts_with("rpc error: "))
    else {
        return log;
    };
    text.rsplit_once(": ").map_or(text, |(text, _)| text)
}

/// Returns a text that is short enough for a header.
pub(crate) fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Returns the status in place of an answer that is larger than `most` bytes.
pub(crate) fn too_large(most: usize) -> Status {
    Status::resource_exhausted(format!(
        "the answer has more than {most} bytes (max_answer_bytes): ask for less at a time"
    ))
}

/// Returns the status of a call for which there is no memory.
pub(crate) fn busy() -> Status {
    Status::resource_exhausted(
        "requests and answers in memory have max_pending_bytes, or those of your address have its share: take the answers, or try again later",
    )
}

/// Returns the status for a body that was not read to its end.
pub(crate) fn of_unread(unread: &Unread) -> Status {
    let code = match unread {
        Unread::TooLarge(_) | Unread::Busy => Code::ResourceExhausted,
        Unread::TooSlow => Code::DeadlineExceeded,
        Unread::Broken(_) => Code::Cancelled,
    };
    Status::new(code, shortened(&unread.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(codespace: &str, code: u32, log: &str) -> (Code, String) {
        let (codespace, log) = (codespace.to_owned(), log.to_owned());
        let status =
            of_answer(ResponseQuery { codespace, code, log, ..Default::default() }).unwrap_err();
        (status.code(), status.message().to_owned())
    }

    #[test]
    fn errors_have_the_codes_that_clients_know() {
        let log = "rpc error: code = NotFound desc = account x not found: key not found";
        assert_eq!(status("sdk", 22, log), (Code::NotFound, "account x not found".to_owned()));
        let number = ErrorCode::NotFound.number();
        assert_eq!(status(CODESPACE, number, "no vat"), (Code::NotFound, "no vat".to_owned()));
        assert_eq!(status(CODESPACE, 9999, "odd").0, Code::Unknown);
        assert_eq!(status("other", 22, "odd").0, Code::Unknown);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT_BYTES);
        assert_eq!(shortened(&long).len(), MAX_TEXT_BYTES);
        assert_eq!(shortened(&format!("a{long}")).len(), MAX_TEXT_BYTES - 1);
    }
}
