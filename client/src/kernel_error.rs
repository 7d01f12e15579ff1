//! Rejections that the kernel itself makes, told by their codes.

use capstan_passable::Passable;

/// A rejection of the kernel's own, read from its text: `[KERNEL:CODE] detail`.
///
/// The text is not signed: a vat can reject a message with the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// The [`KernelErrorCode`].
    pub code: KernelErrorCode,
    /// True if the text says that it ended the vat, as in `[KERNEL:VAT_FATAL:CODE]`.
    pub is_vat_fatal: bool,
    /// The text after the code.
    pub detail: String,
}

/// The code of a [`KernelError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelErrorCode {
    /// `OBJECT_REVOKED`: the target was revoked.
    ObjectRevoked,
    /// `OBJECT_DELETED`: the target has no owner any more.
    ObjectDeleted,
    /// `ENDPOINT_UNREACHABLE`: the vat that owned the target has ended.
    EndpointUnreachable,
    /// `BAD_PROMISE_RESOLUTION`: the target was a promise that was fulfilled with something that is no object.
    BadPromiseResolution,
    /// `VAT_TERMINATED`: the vat that was to settle the promise has ended. [`KernelError::detail`] says with what.
    VatTerminated,
    /// `DELIVERY_FAILED`: the message was not delivered, or the service that it was for failed.
    DeliveryFailed,
    /// A code that this version does not know.
    Other(String),
}

impl KernelError {
    /// Reads a rejection. Returns `None` if it is no error with such a text.
    pub fn of(reason: &Passable) -> Option<Self> {
        match reason {
            Passable::Error { message, .. } => Self::parse(message.as_str()?),
            _ => None,
        }
    }

    /// Reads the text of an error. Returns `None` if the kernel writes no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (code, detail) = text.strip_prefix("[KERNEL:")?.split_once(']')?;
        let (is_vat_fatal, code) = match code.strip_prefix("VAT_FATAL:") {
            Some(code) => (true, code),
            None => (false, code),
        };
        let is_code = |letter: u8| letter.is_ascii_uppercase() || letter == b'_';
        if code.is_empty() || !code.bytes().all(is_code) {
            return None;
        }
        let code = KernelErrorCode::of(code);
        Some(Self { code, is_vat_fatal, detail: detail.trim_start().to_owned() })
    }
}

impl KernelErrorCode {
    /// Returns the code of a name.
    fn of(name: &str) -> Self {
        match name {
            "OBJECT_REVOKED" => Self::ObjectRevoked,
            "OBJECT_DELETED" => Self::ObjectDeleted,
            "ENDPOINT_UNREACHABLE" => Self::EndpointUnreachable,
            "BAD_PROMISE_RESOLUTION" => Self::BadPromiseResolution,
            "VAT_TERMINATED" => Self::VatTerminated,
            "DELIVERY_FAILED" => Self::DeliveryFailed,
            other => Self::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_codes_that_the_documentation_lists_are_known() {
        let page = include_str!("../../docs/errors.md");
        let (kernel, _) = page.split_once("## State sync").unwrap();
        let rows = kernel.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let codes: Vec<&str> =
            rows.map(|(code, _)| code).filter(|code| !code.contains(':')).collect();
        assert_eq!(codes.len(), 6, "{codes:?}");
        for (at, code) in codes.iter().enumerate() {
            let known = KernelErrorCode::of(code);
            assert!(!matches!(known, KernelErrorCode::Other(_)), "{code}");
            assert!(codes[..at].iter().all(|other| KernelErrorCode::of(other) != known), "{code}");
        }
        let error = KernelError::parse("[KERNEL:VAT_TERMINATED] Vat termination: #1").unwrap();
        assert_eq!(error.code, KernelErrorCode::VatTerminated);
        assert_eq!(error.detail, "Vat termination: #1");
    }

    #[test]
    fn codes_and_details_are_told_apart() {
        let error =
            KernelError::parse("[KERNEL:OBJECT_REVOKED] Target object has been revoked").unwrap();
        assert_eq!(error.code, KernelErrorCode::ObjectRevoked);
        assert_eq!(error.detail, "Target object has been revoked");
        assert!(!error.is_vat_fatal);
        let error = KernelError::parse("[KERNEL:VAT_FATAL:ILLEGAL_SYSCALL] x").unwrap();
        assert!(error.is_vat_fatal);
        assert_eq!(error.code, KernelErrorCode::Other("ILLEGAL_SYSCALL".to_owned()));
    }

    #[test]
    fn other_texts_are_no_errors_of_the_kernel() {
        for text in
            ["", "vat terminated", "[KERNEL:", "[KERNEL:]", "[KERNEL:lower] x", " [KERNEL:A] x"]
        {
            assert_eq!(KernelError::parse(text), None, "{text}");
        }
        assert_eq!(KernelError::of(&Passable::from("[KERNEL:OBJECT_REVOKED] x")), None);
        let error = Passable::error("[KERNEL:OBJECT_REVOKED] x");
        assert!(KernelError::of(&error).is_some());
    }
}
