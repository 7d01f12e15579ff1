//! Parsers of the texts in requests.

use std::str::FromStr;

use capstan_kernel::ids::{Endpoint, KRef, MeterId};
use capstan_proto::Address;

use super::QueryError;

/// Owner of a c-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Endpoint(Endpoint),
    Account(Address),
}

/// Parses a text by its type's [`FromStr`], whose error describes the mistake.
pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, QueryError> {
    text.parse().map_err(|error| malformed(format!("{error}")))
}

/// Parses the kref of a promise.
pub(super) fn promise(text: &str) -> Result<u64, QueryError> {
    match KRef::parse(text) {
        Some(KRef::Promise(number)) => Ok(number),
        _ => Err(malformed(format!(
            "{text:?} is not a kernel promise: expected kp and a number, as in kp40"
        ))),
    }
}

/// Parses the kref of an object.
pub(super) fn object(text: &str) -> Result<u64, QueryError> {
    match KRef::parse(text) {
        Some(KRef::Object(number)) => Ok(number),
        _ => Err(malformed(format!(
            "{text:?} is not a kernel object: expected ko and a number, as in ko20"
        ))),
    }
}

/// Parses a [`MeterId`].
pub(super) fn meter(text: &str) -> Result<MeterId, QueryError> {
    let refuse =
        || malformed(format!("{text:?} is not a meter: expected m and a number, as in m1"));
    MeterId::parse(text).ok_or_else(refuse)
}

/// Parses the owner of a c-list: an endpoint or the address of an account.
pub(super) fn holder(text: &str) -> Result<Holder, QueryError> {
    if let Some(endpoint) = Endpoint::parse(text) {
        return Ok(Holder::Endpoint(endpoint));
    }
    let expected = "expected a vat (v7), device (d7), remote (r1) or an account's address";
    let refuse = |_| malformed(format!("{text:?} has no c-list: {expected}"));
    text.parse().map(Holder::Account).map_err(refuse)
}

pub(super) fn malformed(problem: String) -> QueryError {
    QueryError::Malformed(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_expected() {
        let text = |error: QueryError| error.to_string();
        assert!(text(promise("ko20").unwrap_err()).contains("not a kernel promise"));
        assert!(text(object("kp40").unwrap_err()).contains("not a kernel object"));
        assert!(text(meter("7").unwrap_err()).contains("not a meter"));
        assert!(text(holder("x1").unwrap_err()).contains("has no c-list"));
        let address = parse::<Address>("cosmos1xyz").unwrap_err();
        assert!(text(address).contains("not a Capstan address"));
        assert_eq!(holder("r1").unwrap(), Holder::Endpoint(Endpoint::parse("r1").unwrap()));
    }
}
