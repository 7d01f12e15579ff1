//! Answers and errors as JSON, as the Cosmos SDK's gateway writes them.

use std::io;

use prost_reflect::{
    DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions, Value,
};
use serde_json::json;
use tonic::{Code, Status};

use crate::status::too_large;

/// Maximum depth of messages in messages, those that an `Any` holds included.
const MAX_DEPTH: usize = 64;
/// Name of the message that holds another one, with its type.
const ANY: &str = "google.protobuf.Any";

/// Returns an encoded response as JSON of at most `most` bytes.
///
/// # Errors
/// The response cannot be shown, or is too large.
pub(super) fn json(kind: MessageDescriptor, value: &[u8], most: usize) -> Result<Vec<u8>, Status> {
    let wrong = |error: &dyn std::fmt::Display| {
        Status::internal(format!(
            "the response of type {} cannot be shown: {error}",
            kind.full_name()
        ))
    };
    let message = DynamicMessage::decode(kind.clone(), value).map_err(|e| wrong(&e))?;
    if !is_shallow(&message, MAX_DEPTH) {
        return Err(wrong(&"its messages are too deep"));
    }
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let mut bytes = Bounded { bytes: Vec::new(), most };
    let mut json = serde_json::Serializer::new(&mut bytes);
    match message.serialize_with_options(&mut json, &options) {
        Ok(()) => Ok(bytes.bytes),
        Err(error) if error.is_io() => Err(too_large(most)),
        Err(error) => Err(wrong(&error)),
    }
}

/// Returns whether messages are nested no deeper than `most`. JSON shows what an `Any` holds, which the decoder did not
/// look at.
fn is_shallow(message: &DynamicMessage, most: usize) -> bool {
    let Some(most) = most.checked_sub(1) else { return false };
    let held = (message.descriptor().full_name() == ANY).then(|| held(message)).flatten();
    held.is_none_or(|held| is_shallow(&held, most))
        && message.fields().all(|(_, value)| match value {
            Value::Message(inner) => is_shallow(inner, most),
            Value::List(list) => {
                list.iter().filter_map(Value::as_message).all(|inner| is_shallow(inner, most))
            }
            Value::Map(map) => {
                map.values().filter_map(Value::as_message).all(|inner| is_shallow(inner, most))
            }
            _ => true,
        })
}

/// Returns the message in an `Any`, or `None` if its type is unknown or it cannot be decoded.
fn held(any: &DynamicMessage) -> Option<DynamicMessage> {
    let url = any.get_field_by_name("type_url")?;
    let name = url.as_str()?.rsplit('/').next()?.to_owned();
    let kind = any.descriptor().parent_pool().get_message_by_name(&name)?;
    let value = any.get_field_by_name("value")?;
    DynamicMessage::decode(kind, value.as_bytes()?.as_ref()).ok()
}

/// Returns the JSON of an error.
pub(super) fn error(status: &Status) -> Vec<u8> {
    let code = i32::from(status.code());
    json!({"code": code, "message": status.message(), "details": []}).to_string().into_bytes()
}

/// Returns the status of HTTP for one of gRPC.
pub(super) fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Cancelled => 408,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// Bytes that fail to grow over a limit.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for &mut Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cosmrs::Any;
    use prost::Message as _;

    use super::*;

    fn any(levels: usize) -> Vec<u8> {
        let (type_url, mut value) = (format!("/{ANY}"), Vec::new());
        for _ in 0..levels {
            value = Any { type_url: type_url.clone(), value }.encode_to_vec();
        }
        value
    }

    #[test]
    fn what_an_any_holds_is_shown_but_not_at_any_depth() {
        let pool = crate::descriptors::pool().unwrap();
        let kind = pool.get_message_by_name(ANY).unwrap();
        assert!(json(kind.clone(), &any(10), 1 << 20).is_ok());
        let deep = json(kind, &any(10_000), 1 << 20).unwrap_err();
        assert!(deep.message().contains("too deep"), "{deep}");
    }

    #[test]
    fn fields_keep_their_names_and_their_default_values() {
        let pool = crate::descriptors::pool().unwrap();
        let kind = pool.get_message_by_name("cosmos.auth.v1beta1.BaseAccount").unwrap();
        let text = String::from_utf8(json(kind.clone(), &[], 1 << 20).unwrap()).unwrap();
        assert_eq!(text, r#"{"address":"","pub_key":null,"account_number":"0","sequence":"0"}"#);
        assert_eq!(json(kind, &[], 20).unwrap_err().code(), Code::ResourceExhausted);
    }
}
