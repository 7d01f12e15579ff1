//! The OpenAPI document, made of the descriptors.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::request::SEARCH;
use super::rules::Rule;

/// Returns the document for `rules`.
pub(super) fn document(rules: &[Rule]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for rule in rules {
        let operation = operation(rule, &mut schemas);
        paths.entry(&rule.template).or_default().insert(rule.verb.to_lowercase(), operation);
    }
    schemas.complete();
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Capstan",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Queries and transactions of a Capstan node. Numbers of 64 bits are texts.",
        },
        "paths": paths,
        "components": {"schemas": schemas.done},
    })
}

fn operation(rule: &Rule, schemas: &mut Schemas) -> Value {
    let input = rule.method.input();
    let in_path: BTreeSet<&str> = rule.fields().collect();
    let mut parameters: Vec<Value> = in_path
        .iter()
        .filter_map(|name| {
            let schema = schemas.of(&input.get_field_by_name(name)?);
            Some(json!({"name": name, "in": "path", "required": true, "schema": schema}))
        })
        .collect();
    let mut operation = json!({
        "operationId": rule.path().trim_start_matches('/').replace(['.', '/'], "_"),
        "tags": [rule.method.parent_service().full_name()],
        "responses": {
            "200": {"description": "The response.", "content": content(schemas.named(&rule.method.output()))},
            "default": {"description": "An error.", "content": content(error())},
        },
    });
    if rule.has_body {
        let body = json!({"required": true, "content": content(schemas.named(&input))});
        operation["requestBody"] = body;
    } else {
        let free: Vec<_> = input.fields().filter(|f| !in_path.contains(f.name())).collect();
        parameters.extend(free.iter().flat_map(|field| query(field, schemas)));
        // The field is newer than the descriptors.
        if input.full_name() == SEARCH && input.get_field_by_name("query").is_none() {
            parameters.push(json!({"name": "query", "in": "query", "schema": {"type": "string"}}));
        }
    }
    operation["parameters"] = parameters.into();
    operation
}

/// Returns the parameters of a query string for a field: one, or one for each field of a message.
fn query(field: &FieldDescriptor, schemas: &mut Schemas) -> Vec<Value> {
    let parameter =
        |name: String, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() => message
            .fields()
            .filter(|inner| !matches!(inner.kind(), Kind::Message(_)))
            .map(|inner| {
                parameter(format!("{}.{}", field.name(), inner.name()), schemas.of(&inner))
            })
            .collect(),
        Kind::Message(_) => Vec::new(),
        _ => vec![parameter(field.name().to_owned(), schemas.of(field))],
    }
}

fn content(schema: Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "code": {"type": "integer"},
            "message": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}},
        },
    })
}

/// The schemas of messages, by the messages' names.
#[derive(Default)]
struct Schemas {
    done: BTreeMap<String, Value>,
    waiting: Vec<MessageDescriptor>,
}

impl Schemas {
    /// Returns a reference to the schema of a message.
    fn named(&mut self, message: &MessageDescriptor) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            "google.protobuf.Duration" => json!({"type": "string"}),
            "google.protobuf.Any" => json!({
                "type": "object", "properties": {"@type": {"type": "string"}}, "additionalProperties": true,
            }),
            name => {
                if !self.done.contains_key(name) {
                    self.done.insert(name.to_owned(), Value::Null);
                    self.waiting.push(message.clone());
                }
                json!({"$ref": format!("#/components/schemas/{name}")})
            }
        }
    }

    /// Makes the schemas of all messages that were named.
    fn complete(&mut self) {
        while let Some(message) = self.waiting.pop() {
            let properties: Map<String, Value> =
                message.fields().map(|field| (field.name().to_owned(), self.of(&field))).collect();
            let schema = json!({"type": "object", "properties": properties});
            self.done.insert(message.full_name().to_owned(), schema);
        }
    }

    fn of(&mut self, field: &FieldDescriptor) -> Value {
        let one = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.of(&entry.map_entry_value_field());
                return json!({"type": "object", "additionalProperties": values});
            }
            Kind::Message(message) => self.named(&message),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Float | Kind::Double => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "int64"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "format": "byte"}),
            Kind::Enum(kind) => {
                let names: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
                json!({"type": "string", "enum": names})
            }
        };
        match field.cardinality() {
            Cardinality::Repeated => json!({"type": "array", "items": one}),
            _ => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let pool = crate::descriptors::pool().unwrap();
        let document = document(&crate::rest::rules::all(&pool));
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut seen = 0;
        for part in text.split("#/components/schemas/").skip(1) {
            let name = &part[..part.find('"').unwrap()];
            assert!(schemas.get(name).is_some_and(|schema| !schema.is_null()), "{name}");
            seen += 1;
        }
        assert!(seen > 100, "{seen} references");
        let vat = &document["paths"]["/capstan/v1/vats/{vat_id}"]["get"];
        assert_eq!(vat["parameters"][0]["name"], "vat_id");
        let txs = &document["paths"]["/cosmos/tx/v1beta1/txs"];
        assert!(txs["get"].is_object() && txs["post"]["requestBody"].is_object());
        let names = |of: &Value| -> Vec<String> {
            let all = of["parameters"].as_array().unwrap().iter();
            all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        for name in ["query", "events", "page", "limit", "order_by"] {
            assert!(names(&txs["get"]).iter().any(|one| one == name), "{name}");
        }
        let other = &document["paths"]["/cosmos/tx/v1beta1/txs/{hash}"]["get"];
        assert_eq!(names(other), ["hash"]);
    }
}
