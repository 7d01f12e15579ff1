//! JSON-RPC 2.0 requests, read as CometBFT reads them, and responses.

use serde_json::{Map, Value, json};

use super::call::{Answer, Rendered};
use super::error::RpcError;
use super::go_json::mismatch;

/// Maximum length of a request's id, which the answer and every event of a subscription repeat.
const MAX_ID_BYTES: usize = 256;

/// The Go type of a request, which its JSON library names in errors.
const GO_TYPE: &str = r#"struct { JSONRPC string "json:\"jsonrpc\""; ID interface {} "json:\"id,omitempty\""; Method string "json:\"method\""; Params json.RawMessage "json:\"params\"" }"#;

/// A parsed request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: Value,
    pub(crate) method: String,
    /// The arguments. `None` if the member is missing, which is not the same as `null`.
    pub(crate) params: Option<Value>,
}

impl Request {
    /// Reads a request object. Returns `None` for a notification: a request without an id, which is neither executed
    /// nor answered.
    ///
    /// # Errors
    /// A text that says why it is no request.
    pub(crate) fn parse(value: Value) -> Result<Option<Self>, String> {
        let mut object = match value {
            Value::Object(object) => object,
            Value::Null => return Ok(None),
            other => return Err(mismatch(&other, GO_TYPE)),
        };
        text_member(&mut object, "jsonrpc")?;
        let method = text_member(&mut object, "method")?;
        let id = match member(&mut object, "id") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(id)) if id.len() <= MAX_ID_BYTES => Value::String(id),
            Some(Value::String(_)) => {
                return Err(format!("the id has more than {MAX_ID_BYTES} bytes"));
            }
            Some(Value::Number(id)) => whole(&id),
            Some(other) => return Err(unknown_id(&other)),
        };
        Ok(Some(Self { id, method, params: member(&mut object, "params") }))
    }

    /// Reads a batch. Nothing of it is executed if one of its elements is no request.
    pub(crate) fn parse_all(batch: Vec<Value>) -> Result<Vec<Option<Self>>, String> {
        let requests: Result<Vec<_>, String> = batch.into_iter().map(Self::parse).collect();
        // Go reads what is no batch as a single request.
        requests.map_err(|_| mismatch(&Value::Array(Vec::new()), GO_TYPE))
    }
}

/// Takes a member of a request. Go does not look at the case of names.
fn member(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = object.remove(name) {
        return Some(value);
    }
    let similar = object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
    similar.and_then(|key| object.remove(&key))
}

fn text_member(object: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match member(object, name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            let fault = mismatch(&other, "string");
            Err(fault.replace("Go value", &format!("Go struct field .{name}")))
        }
    }
}

/// A number without its decimals.
#[allow(clippy::cast_possible_truncation)] // as CometBFT does
fn whole(id: &serde_json::Number) -> Value {
    match (id.as_i64(), id.as_f64()) {
        (Some(id), _) => id.into(),
        (None, Some(id)) => (id as i64).into(),
        (None, None) => Value::from(0),
    }
}

fn unknown_id(id: &Value) -> String {
    let (shown, kind) = match id {
        Value::Bool(flag) => (flag.to_string(), "bool"),
        Value::Array(_) => ("[...]".to_owned(), "[]interface {}"),
        _ => ("map[...]".to_owned(), "map[string]interface {}"),
    };
    format!("json-rpc ID ({shown}) is of unknown type ({kind})")
}

/// Makes a response object. Without an id it has none.
pub(crate) fn response(id: Option<&Value>, answer: Answer) -> Value {
    let mut object = Map::new();
    object.insert("jsonrpc".to_owned(), "2.0".into());
    if let Some(id) = id {
        object.insert("id".to_owned(), id.clone());
    }
    match answer {
        Ok(result) => object.insert("result".to_owned(), result),
        Err(RpcError { code, message, data }) if data.is_empty() => {
            object.insert("error".to_owned(), json!({"code": code, "message": message}))
        }
        Err(RpcError { code, message, data }) => object
            .insert("error".to_owned(), json!({"code": code, "message": message, "data": data})),
    };
    Value::Object(object)
}

/// Writes a response object.
pub(crate) fn response_text(id: &Value, answer: Result<Rendered, RpcError>) -> String {
    match answer {
        Ok(Rendered::Text(result)) => {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
        }
        Ok(Rendered::Tree(result)) => response(Some(id), Ok(result)).to_string(),
        Err(error) => response(Some(id), Err(error)).to_string(),
    }
}

/// The id of a response to what has none of its own.
pub(crate) fn no_id() -> Value {
    json!(-1)
}

/// Makes the response to what has no id of its own: a URI, or a failure of the whole request.
pub(crate) fn without_id(answer: Answer) -> Value {
    response(Some(&no_id()), answer)
}
