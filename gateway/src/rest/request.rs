//! Requests from paths, query strings and JSON bodies.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};
use tonic::Status;

use super::rules::{Rule, Variable};

/// Name of the request that searches for transactions.
pub(super) const SEARCH: &str = "cosmos.tx.v1beta1.GetTxsEventRequest";
/// Maximum number of parameters in a query string.
const MAX_PARAMETERS: usize = 100;
/// Maximum number of values in a JSON body. Each takes many times its bytes when it is read.
const MAX_VALUES: usize = 20_000;
/// Maximum number of names in a parameter's path, as in `pagination.limit`.
const MAX_DEPTH: usize = 4;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Base64 of both alphabets, with and without padding.
const BASE64: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT),
];

/// Returns the request that a call by `rule` makes.
///
/// # Errors
/// [`Status::invalid_argument`], with what is wrong.
pub(super) fn build(
    rule: &Rule,
    variables: Vec<Variable>,
    parameters: &[(String, String)],
    body: &[u8],
) -> Result<DynamicMessage, Status> {
    let input = rule.method.input();
    let mut request = match rule.has_body && !body.is_empty() {
        true => from_json(&input, body)?,
        false => DynamicMessage::new(input),
    };
    for (field, text) in variables {
        if !set(&mut request, &field, &text)? {
            return Err(Status::internal(format!("the request has no field {field}")));
        }
    }
    if !rule.has_body {
        from_query(&mut request, parameters)?;
    }
    Ok(request)
}

fn from_json(input: &MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Status> {
    // Those in texts count, too, which base64 does not have.
    let values = body.iter().filter(|byte| matches!(**byte, b',' | b'[' | b'{')).count();
    if values > MAX_VALUES {
        return Err(Status::invalid_argument(format!(
            "a body has at most {MAX_VALUES} values: send the transaction as tx_bytes"
        )));
    }
    // It reads no deeper than 128 levels.
    let mut json = serde_json::Deserializer::from_slice(body);
    let wrong = |error: serde_json::Error| Status::invalid_argument(error.to_string());
    let request = DynamicMessage::deserialize(input.clone(), &mut json).map_err(wrong)?;
    json.end().map_err(wrong)?;
    Ok(request)
}

/// Sets fields by the parameters of a query string. Parameters that are no fields are passed over, as gateways do.
fn from_query(request: &mut DynamicMessage, parameters: &[(String, String)]) -> Result<(), Status> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(Status::invalid_argument(format!(
            "a request has at most {MAX_PARAMETERS} parameters"
        )));
    }
    for (name, text) in parameters {
        // The field `query` of a search is newer than the descriptors. It is what all conditions together are.
        let is_search = request.descriptor().full_name() == SEARCH && name == "query";
        set(request, if is_search { "events" } else { name }, text)?;
    }
    Ok(())
}

/// Sets the field at a path such as `pagination.limit`. Returns false if there is none.
fn set(request: &mut DynamicMessage, path: &str, text: &str) -> Result<bool, Status> {
    let names: Vec<&str> = path.split('.').take(MAX_DEPTH + 1).collect();
    let Some((last, parents)) = names.split_last().filter(|_| names.len() <= MAX_DEPTH) else {
        return Ok(false);
    };
    let mut message = request;
    for name in parents {
        let Some(field) = field(&message.descriptor(), name) else { return Ok(false) };
        if field.is_list() || field.is_map() {
            return Ok(false);
        }
        let Some(inner) = message.get_field_mut(&field).as_message_mut() else { return Ok(false) };
        message = inner;
    }
    let Some(field) = field(&message.descriptor(), last) else { return Ok(false) };
    if field.is_map() {
        return Ok(false);
    }
    let Some(value) = value(&field, text)? else { return Ok(false) };
    match message.get_field_mut(&field) {
        Value::List(list) => list.push(value),
        one => *one = value,
    }
    Ok(true)
}

fn field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// Parses the value of a field. Returns `None` if the field is a message, which no text is.
fn value(field: &FieldDescriptor, text: &str) -> Result<Option<Value>, Status> {
    let wrong = || {
        let what = format!("{text:?} is no value of {}", field.name());
        Status::invalid_argument(crate::status::shortened(&what))
    };
    let value = match field.kind() {
        Kind::Message(_) | Kind::Float | Kind::Double => return Ok(None),
        Kind::Bool => Value::Bool(text.parse().map_err(|_| wrong())?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(text.parse().map_err(|_| wrong())?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(text.parse().map_err(|_| wrong())?)
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().map_err(|_| wrong())?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().map_err(|_| wrong())?),
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => {
            // A plus sign in a query string is a blank.
            let text = text.replace(' ', "+");
            let bytes = BASE64.iter().find_map(|base64| base64.decode(&text).ok());
            Value::Bytes(bytes.ok_or_else(wrong)?.into())
        }
        Kind::Enum(kind) => {
            let named = kind.get_value_by_name(text).map(|value| value.number());
            Value::EnumNumber(named.or_else(|| text.parse().ok()).ok_or_else(wrong)?)
        }
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_body_are_counted_before_it_is_read() {
        let pool = crate::descriptors::pool().unwrap();
        let kind = pool.get_message_by_name("cosmos.tx.v1beta1.SimulateRequest").unwrap();
        let infos = |count| vec!["{}"; count].join(",");
        let body =
            |count| format!(r#"{{"tx":{{"auth_info":{{"signer_infos":[{}]}}}}}}"#, infos(count));
        assert!(from_json(&kind, body(1_000).as_bytes()).is_ok());
        let refused = from_json(&kind, body(1_000_000).as_bytes()).unwrap_err();
        assert!(refused.message().contains("at most 20000 values"), "{refused}");
    }
}
