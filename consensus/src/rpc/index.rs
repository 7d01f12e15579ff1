//! The page with all methods, and answers of plain text, as Go's HTTP library sends them.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::methods::{METHODS, WEBSOCKET_METHODS};

/// Longest name of a host, with its port, in bytes.
const MAX_HOST_BYTES: usize = 260;

/// Returns the page with a link to each method on the host that was asked.
pub(crate) fn page(host: &str) -> Response {
    // The header is the client's. Its text must not become markup, and stands in each link.
    let host = if host.len() > MAX_HOST_BYTES { "" } else { host };
    let host: String =
        host.chars().filter(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(*c)).collect();
    let mut methods: Vec<_> = METHODS.iter().chain(WEBSOCKET_METHODS).collect();
    methods.sort_by_key(|method| method.name);
    let mut page =
        "<html><body><br>Available endpoints:<br><br>Endpoints that require arguments:<br>"
            .to_owned();
    for method in methods {
        let arguments: Vec<String> =
            method.arguments.iter().map(|(name, _)| format!("{name}=_")).collect();
        let link = format!("//{host}/{}?{}", method.name, arguments.join("&"));
        page += &format!("<a href=\"{link}\">{link}</a></br>");
    }
    let kind = [(header::CONTENT_TYPE, "text/html")];
    (StatusCode::OK, kind, page + "</body></html>").into_response()
}

/// Returns a line of plain text.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use axum::body::HttpBody as _;

    use super::*;

    #[test]
    fn a_long_name_of_a_host_is_left_out() {
        let bytes = |host: &str| page(host).body().size_hint().exact().unwrap();
        let none = bytes("");
        assert!(bytes("127.0.0.1:26657") > none);
        assert_eq!(bytes(&"a".repeat(100_000)), none);
    }
}
