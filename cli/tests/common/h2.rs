//! Frames of HTTP/2, as a client that keeps to no rule sends them.

use std::io::Write as _;
use std::net::TcpStream;

use super::Dev;

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
/// Flag of a frame that ends a header.
pub const END_HEADERS: u8 = 4;
/// Flag of a frame that ends a request.
pub const END_STREAM: u8 = 1;
/// Flag of a frame that acknowledges another one.
pub const ACK: u8 = 1;
/// The setting that no byte of an answer may be sent until the client says so.
pub const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// Connects to gRPC with the given settings.
pub fn connect(dev: &Dev, settings: &[u8]) -> TcpStream {
    begin(TcpStream::connect(dev.ready["grpc"].as_str().unwrap()).unwrap(), settings)
}

/// Begins HTTP/2 on a connection.
pub fn begin(mut stream: TcpStream, settings: &[u8]) -> TcpStream {
    stream.write_all(PREFACE).unwrap();
    assert!(send(&mut stream, SETTINGS, 0, 0, settings));
    stream
}

/// Sends a frame. Returns whether the connection took it.
pub fn send(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> bool {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).is_ok()
}

/// Returns the header of a call whose body follows.
pub fn header(path: &str) -> Vec<u8> {
    // POST, http, then :path, :authority and content-type as literals.
    let mut header = vec![0x83, 0x86];
    for (name, value) in
        [(&[0x04][..], path), (&[0x01], "localhost"), (&[0x0f, 0x10], "application/grpc")]
    {
        header.extend(name);
        header.push(value.len() as u8);
        header.extend(value.as_bytes());
    }
    header
}

/// Sends a call with an empty request.
pub fn call(stream: &mut TcpStream, id: u32, path: &str) -> bool {
    send(stream, HEADERS, END_HEADERS, id, &header(path))
        && send(stream, DATA, END_STREAM, id, &[0; 5])
}
