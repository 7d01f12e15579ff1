//! Messages on an ABCI connection: each a protobuf message after its length as a varint
//! (<https://docs.cometbft.com/v0.38/spec/abci/abci++_client_server>).

use std::io::{self, BufRead, Read, Write};

use prost::{Message, bytes::Bytes};

/// Maximum size of a message, in bytes. A block has at most 100 MiB (CometBFT's `MaxBlockSizeBytes`), and the rest of
/// its message is much smaller than the difference.
pub(crate) const MAX_FRAME_BYTES: u64 = 128 << 20;

/// Memory that is reserved for a message before its bytes have come.
const FIRST_CAPACITY_BYTES: u64 = 1 << 20;

/// Reason why a message cannot be read. The connection cannot be used afterwards.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the connection ended in the middle of a message")]
    Cut,
    #[error("a message's length is no varint of at most 64 bits")]
    Length,
    #[error("a message of {0} bytes; at most {MAX_FRAME_BYTES} are taken")]
    TooLong(u64),
    #[error("not the protobuf message that was expected: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// Reads the next message. Returns `None` at the end of the connection.
///
/// The byte fields of the message share the memory that was read, so the transactions of a block are not copied.
pub(crate) fn read<M: Message + Default>(
    input: &mut impl BufRead,
) -> Result<Option<M>, FrameError> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let length = read_varint(input)?;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    // Memory grows with what has come, not with what was announced.
    let mut bytes = Vec::with_capacity(length.min(FIRST_CAPACITY_BYTES) as usize);
    input.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(FrameError::Cut);
    }
    Ok(Some(M::decode(Bytes::from(bytes))?))
}

/// Writes a message, which may stay in the buffer of the writer.
pub(crate) fn write(output: &mut impl Write, message: &impl Message) -> io::Result<()> {
    output.write_all(&message.encode_length_delimited_to_vec())
}

fn read_varint(input: &mut impl Read) -> Result<u64, FrameError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match input.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(FrameError::Cut);
            }
            other => other?,
        }
        let bits = u64::from(byte[0] & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(FrameError::Length);
        }
        value |= bits << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(FrameError::Length)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use tendermint_proto::v0_38::abci::{Request, RequestEcho, request::Value};

    use super::*;

    fn echo(text: &str) -> Request {
        Request { value: Some(Value::Echo(RequestEcho { message: text.to_owned() })) }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let sent = [echo(""), echo("one"), echo(&"x".repeat(3_000_000))];
        let mut wire = Vec::new();
        sent.iter().for_each(|message| write(&mut wire, message).unwrap());
        let mut input = BufReader::with_capacity(7, wire.as_slice());
        for message in &sent {
            assert_eq!(read::<Request>(&mut input).unwrap().as_ref(), Some(message));
        }
        assert!(read::<Request>(&mut input).unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_reason() {
        for (wire, reason) in [
            (vec![0x80; 11], "varint"),
            (vec![0xff; 9].into_iter().chain([0x7f]).collect(), "varint"),
            (vec![0xff, 0xff, 0xff, 0xff, 0x7f], "at most"),
            (vec![0x85], "in the middle"),
            (vec![5, 1, 2], "in the middle"),
            (vec![2, 0xff, 0xff], "protobuf"),
        ] {
            let error = read::<Request>(&mut wire.as_slice()).unwrap_err().to_string();
            assert!(error.contains(reason), "{wire:?}: {error}");
        }
    }
}
