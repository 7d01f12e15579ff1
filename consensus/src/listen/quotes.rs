//! Quotes and other characters in the URIs of GET requests.
//!
//! CometBFT's RPC accepts `/tx_search?query="tx.height>5"`, which people type for curl. The grammar of HTTP, and so the
//! HTTP library, wants `%22` and `%3E`. This module replaces such characters before the library reads them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum size of a line that is waited for, in bytes. A longer one is passed on unchanged.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A connection whose request lines are encoded as they are read.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    inner: S,
    mender: QuoteEncoder,
    /// Encoded bytes. Those from `given` on are still to be handed out.
    ready: Vec<u8>,
    given: usize,
}

impl<S> Stream<S> {
    /// Encodes what is read from `inner`.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, mender: QuoteEncoder::default(), ready: Vec::new(), given: 0 }
    }

    /// Passes everything on unchanged.
    pub(crate) fn unchanged(inner: S) -> Self {
        let mender = QuoteEncoder { part: Part::Rest, line: Vec::new() };
        Self { inner, mender, ready: Vec::new(), given: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.given < this.ready.len() {
                let count = out.remaining().min(this.ready.len() - this.given);
                out.put_slice(&this.ready[this.given..this.given + count]);
                this.given += count;
                return Poll::Ready(Ok(()));
            }
            if this.mender.part == Part::Rest {
                return Pin::new(&mut this.inner).poll_read(context, out);
            }
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut chunk))?;
            (this.ready, this.given) = (Vec::new(), 0);
            match chunk.filled() {
                [] => {
                    this.ready = this.mender.give_up();
                    if this.ready.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                }
                bytes => this.mender.take(bytes, &mut this.ready),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// The part of a request that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    RequestLine,
    /// The header of a GET, which has no body: another request follows.
    Header,
    /// Everything else, which is passed on unchanged.
    Rest,
}

/// Replaces the quotes of request lines in a stream of bytes.
#[derive(Debug, Default)]
struct QuoteEncoder {
    part: Part,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

impl QuoteEncoder {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for (at, byte) in bytes.iter().enumerate() {
            self.line.push(*byte);
            if *byte == b'\n' || self.line.len() > MAX_LINE_BYTES {
                self.end_line(out);
            }
            if self.part == Part::Rest {
                out.append(&mut self.line);
                out.extend_from_slice(&bytes[at + 1..]);
                return;
            }
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let whole = line.ends_with(b"\n");
        self.part = match self.part {
            Part::RequestLine if whole && line.starts_with(b"GET ") => {
                line.iter().for_each(|byte| match byte {
                    b'"' | b'<' | b'>' | b'`' | b'{' | b'|' | b'}' | b'\\' | b'^' | 0x80.. => {
                        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                    other => out.push(*other),
                });
                self.part = Part::Header;
                return;
            }
            // Before a request line, an empty line means nothing.
            Part::RequestLine if is_empty(&line) => Part::RequestLine,
            Part::Header if is_empty(&line) => Part::RequestLine,
            Part::Header if whole && !changes_what_follows(&line) => Part::Header,
            _ => Part::Rest,
        };
        out.extend_from_slice(&line);
    }

    /// The connection ended in the middle of a line.
    fn give_up(&mut self) -> Vec<u8> {
        self.part = Part::Rest;
        std::mem::take(&mut self.line)
    }
}

fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// Returns whether a header announces something other than a request after it: a WebSocket or a body.
fn changes_what_follows(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    ["upgrade", "content-length", "transfer-encoding"]
        .iter()
        .any(|header| name.eq_ignore_ascii_case(header.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the encoded text if it comes in pieces of `size` bytes.
    fn encoded(text: &str, size: usize) -> String {
        let (mut mender, mut out) = (QuoteEncoder::default(), Vec::new());
        text.as_bytes().chunks(size).for_each(|piece| mender.take(piece, &mut out));
        out.extend(mender.give_up());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_of_request_lines_are_encoded_and_nothing_else_is_touched() {
        let get = "GET /abci_query?path=\"v>é\" HTTP/1.1\r\nHost: \"x\"\r\n\r\n";
        let good = "GET /abci_query?path=%22v%3E%C3%A9%22 HTTP/1.1\r\nHost: \"x\"\r\n\r\n";
        let post = "POST /\"a\" HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\":\"\n\"}";
        let upgrade = "GET /\"w\" HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET \"\n";
        let upgraded = "GET /%22w%22 HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET \"\n";
        let long = format!("GET /{}\"", "x".repeat(MAX_LINE_BYTES));
        for (text, expected) in [
            (get.to_owned(), good.to_owned()),
            (format!("{get}\r\n{get}{post}{get}"), format!("{good}\r\n{good}{post}{get}")),
            (post.to_owned(), post.to_owned()),
            (format!("{upgrade}{get}"), format!("{upgraded}{get}")),
            (long.clone(), long),
            ("GET /\"half".to_owned(), "GET /\"half".to_owned()),
        ] {
            for size in [1, 2, 7, 4096, 1 << 20] {
                assert_eq!(encoded(&text, size), expected, "in pieces of {size}");
            }
        }
    }
}
