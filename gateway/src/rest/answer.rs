//! Answers and errors as JSON, as the Cosmos SDK's gateway writes them.

use std::io;

use prost::Message as _;
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
/// Beginning of the type in an `Any` that the library takes.
const HOST: &str = "type.googleapis.com/";

/// Returns an encoded message as JSON of at most `most` bytes.
///
/// # Errors
/// The response cannot be shown, or is too large.
pub fn json(kind: MessageDescriptor, value: &[u8], most: usize) -> Result<Vec<u8>, Status> {
    let wrong = |error: &dyn std::fmt::Display| {
        Status::internal(format!(
            "the response of type {} cannot be shown: {error}",
            kind.full_name()
        ))
    };
    let mut message = DynamicMessage::decode(kind.clone(), value).map_err(|e| wrong(&e))?;
    if !qualify(&mut message, MAX_DEPTH) {
        return Err(wrong(&"its messages are too deep"));
    }
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let mut bytes = Bounded { bytes: Vec::new(), most };
    let mut json = serde_json::Serializer::new(&mut bytes);
    match message.serialize_with_options(&mut json, &options) {
        Ok(()) => without_hosts(bytes.bytes),
        Err(error) if error.is_io() => Err(too_large(most)),
        Err(error) => Err(wrong(&error)),
    }
}

/// Gives the types in `Any`s the host that the library wants. Returns false if messages are nested deeper than `most`: JSON
/// shows what an `Any` holds, which the decoder did not look at.
fn qualify(message: &mut DynamicMessage, most: usize) -> bool {
    let Some(most) = most.checked_sub(1) else { return false };
    if message.descriptor().full_name() == ANY {
        return qualify_any(message, most);
    }
    message.fields_mut().all(|(_, value)| match value {
        Value::Message(inner) => qualify(inner, most),
        Value::List(list) => {
            list.iter_mut().filter_map(Value::as_message_mut).all(|inner| qualify(inner, most))
        }
        Value::Map(map) => {
            map.values_mut().filter_map(Value::as_message_mut).all(|inner| qualify(inner, most))
        }
        _ => true,
    })
}

fn qualify_any(any: &mut DynamicMessage, most: usize) -> bool {
    let Some(mut held) = held(any) else { return true };
    let name = format!("{HOST}{}", held.descriptor().full_name());
    let is_shallow = qualify(&mut held, most);
    any.set_field_by_name("type_url", Value::String(name));
    any.set_field_by_name("value", Value::Bytes(held.encode_to_vec().into()));
    is_shallow
}

/// Returns the message in an `Any`, or `None` if its type is unknown or it cannot be decoded.
fn held(any: &DynamicMessage) -> Option<DynamicMessage> {
    let url = any.get_field_by_name("type_url")?;
    let name = url.as_str()?.rsplit('/').next()?.to_owned();
    let kind = any.descriptor().parent_pool().get_message_by_name(&name)?;
    let value = any.get_field_by_name("value")?;
    DynamicMessage::decode(kind, value.as_bytes()?.as_ref()).ok()
}

/// Removes the host from the types of `Any`s, which Cosmos clients do not expect. In JSON, quotes within a text are
/// escaped, so what is found is a field.
fn without_hosts(json: Vec<u8>) -> Result<Vec<u8>, Status> {
    let json = String::from_utf8(json).map_err(|error| Status::internal(error.to_string()))?;
    Ok(json.replace(&format!("\"@type\":\"{HOST}"), "\"@type\":\"/").into_bytes())
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

    use super::*;

    fn any(levels: usize) -> Vec<u8> {
        let (type_url, nothing) = ("/cosmos.bank.v1beta1.MsgSend".to_owned(), Vec::new());
        let mut value = Any { type_url, value: nothing }.encode_to_vec();
        for _ in 0..levels {
            value = Any { type_url: format!("/{ANY}"), value }.encode_to_vec();
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
        assert_eq!(text, r#"{"address":"","account_number":"0","sequence":"0"}"#);
        assert_eq!(json(kind, &[], 20).unwrap_err().code(), Code::ResourceExhausted);
    }
}
