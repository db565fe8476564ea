//! The registry of schemas in the description.

use runtime::limits::SCHEMA_SAMPLES_PER_SHAPE_MAX;
use serde_json::{Map, Value as Json, json};

use super::general::{get, page, query, reference};
use super::schemas::Schemas;
use crate::limits::SAMPLES_PER_SHAPE_DEFAULT;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Shape", &shape());
    schemas.add("Sample", &sample());
    let one = query("shape", json!({ "type": "string" }), "only this one, such as `cart/event/item-added`");
    let list = page(reference("schemas", "Shape"), "the shapes, ordered by their keys");
    let list =
        get("The shapes of commands, events and all else, with every one that was registered", "admin", "schemas", &[one], &[400], list);
    paths.insert("/v1/admin/schemas".to_owned(), json!({ "get": list }));
    let name = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let schema = json!({ "description": "JSON Schema 2020-12", "content": { "application/schema+json": { "schema": {} } } });
    let path = [name("type"), name("event"), name("version")];
    let schema = get("The schema of an event, where its `dataschema` leads", "service", "schema", &path, &[400, 404], schema);
    paths.insert("/v1/schemas/{type}/{event}/{version}".to_owned(), json!({ "get": schema }));
    let count = json!({ "type": "integer", "minimum": 1, "maximum": SCHEMA_SAMPLES_PER_SHAPE_MAX, "default": SAMPLES_PER_SHAPE_DEFAULT });
    let count = query("per_shape", count, "samples of each registered shape, at most");
    let lines = json!({ "description": "samples, one a line", "content": { "application/x-ndjson": { "schema": reference("schemas", "Sample") } } });
    let samples = get("Samples of what was written; personal values are null in them", "admin", "samples", &[count], &[400], lines);
    paths.insert("/v1/admin/schemas/samples".to_owned(), json!({ "get": samples }));
}

fn shape() -> Json {
    json!({ "type": "object", "required": ["shape", "version", "rule", "registered"], "properties": {
        "shape": { "type": "string", "description": "`cart/event/item-added`, `operation:transfer/input`" },
        "version": { "type": ["integer", "null"], "description": "of the running code; null when it has it no more" },
        "rule": { "type": ["string", "null"], "description": "which changes are taken without a new version, such as BACKWARD_TRANSITIVE" },
        "registered": { "type": "array", "description": "in order; the last one is the running code's", "items": {
            "type": "object", "required": ["version", "fingerprint", "registered", "schema"], "properties": {
                "version": { "type": "integer" }, "fingerprint": { "type": "string" },
                "registered": { "type": ["string", "null"], "format": "date-time" },
                "schema": { "description": "JSON Schema 2020-12" } } } },
    } })
}

fn sample() -> Json {
    json!({ "type": "object", "required": ["shape", "version", "data"], "properties": {
        "shape": { "type": "string" }, "version": { "type": "integer" }, "data": {} } })
}
