//! Streams in the description: what there is, and a path for each that is declared, with the shapes of what leaves.

use component::hosted::{StreamDescription, StreamTypeDescription};
use serde_json::{Map, Value as Json, json};

use super::general::{self, query, reference};
use super::schemas::Schemas;

pub(super) fn paths(service: &str, streams: &[&StreamDescription], schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let types = json!({ "type": "array", "items": { "type": "object", "required": ["type", "name", "shape"], "properties": {
        "type": { "type": "string" }, "name": { "type": "string" }, "shape": { "enum": ["notification", "event", "document"] },
        "summary": { "type": "string" }, "dataschema": { "type": ["string", "null"] },
    } } });
    schemas.add(
        "Stream",
        &json!({ "type": "object", "required": ["stream", "types"], "properties": {
        "stream": { "type": "string" }, "version": { "type": "integer" }, "versions": { "type": "array", "items": { "type": "integer" } }, "summary": { "type": "string" }, "types": types } }),
    );
    let list = json!({ "type": "object", "required": ["items", "next", "cursor"], "properties": {
        "items": { "type": "array", "items": reference("schemas", "Stream") }, "next": { "type": "null" }, "cursor": reference("schemas", "Cursor"),
    } });
    let ok = json!({ "description": "the streams", "content": { "application/json": { "schema": list } } });
    paths.insert(
        "/v1/streams".to_owned(),
        json!({ "get": general::get("The streams of the service", "service", "streams", &[], &[400], ok) }),
    );
    for stream in streams {
        declared(service, stream, schemas, paths);
    }
}

fn declared(service: &str, stream: &StreamDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let StreamDescription { name, version, oldest, summary, types, .. } = stream;
    let alternatives: Vec<Json> = types.iter().map(|public| event((service, name), public, schemas)).collect();
    let component = format!("stream.{name}.event");
    schemas.add(&component, &json!({ "oneOf": alternatives }));
    let names: Vec<&str> = types.iter().map(|public| public.name).collect();
    let list = json!({ "type": "array", "items": { "enum": names } });
    let versions = json!({ "type": "integer", "minimum": oldest, "maximum": version });
    let mut parameters = general::stream_parameters(query("type", list, "any of them"));
    parameters.push(query("version", versions, "the version of the types; the problem names those that there are"));
    let summary = if summary.is_empty() { format!("The stream {name}") } else { summary.clone() };
    let get = general::get_stream((&summary, "streams", &format!("stream.{name}")), &parameters, &reference("schemas", &component));
    paths.insert(format!("/v1/streams/{name}"), json!({ "get": get }));
}

fn event((service, stream): (&str, &str), public: &StreamTypeDescription, schemas: &mut Schemas) -> Json {
    let StreamTypeDescription { name, summary, schema, .. } = public;
    let mut properties = json!({ "type": { "const": format!("{service}.{stream}.{name}") } });
    if let Some(schema) = schema {
        let component = format!("stream.{stream}.{name}");
        schemas.add(&component, schema);
        properties["data"] = reference("schemas", &component);
    }
    json!({ "description": summary, "allOf": [reference("schemas", "CloudEvent"), { "properties": properties }] })
}
