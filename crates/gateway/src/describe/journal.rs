//! The journal in the description: its scrub.

use serde_json::{Map, Value as Json, json};

use super::general::{get, reference};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Journal", &journal());
    let ok = || json!({ "description": "the journal and its scrub", "content": { "application/json": { "schema": reference("schemas", "Journal") } } });
    let status = get("How the journal is, and what lies damaged in it", "admin", "journal", &[], &[], ok());
    let mut scrub = get("Read everything sealed now, for damage", "admin", "journal.scrub", &[], &[], ok());
    scrub["parameters"] = json!([]);
    paths.insert("/v1/admin/journal".to_owned(), json!({ "get": status }));
    paths.insert("/v1/admin/journal/scrub".to_owned(), json!({ "post": scrub }));
}

fn journal() -> Json {
    let count = |description: &str| json!({ "type": "integer", "description": description });
    json!({ "type": "object", "required": ["lineage", "cursor", "scrub"], "properties": {
        "lineage": { "type": "string", "description": "the identity of its history" }, "cursor": reference("schemas", "Cursor"),
        "scrub": { "type": ["object", "null"], "description": "null where the engine has none", "properties": {
            "running": { "type": "boolean" }, "passes": count("whole ones, since the process began"),
            "segments_done": count("of the pass under way or the last one"), "segments": count("that it has"),
            "segments_read": count("over all passes"), "bytes_read": count("over all passes"),
            "ended": { "type": ["string", "null"], "format": "date-time" },
            "roots": count("sealed segments whose root is kept"), "sealed": count("sealed segments"),
            "packed": count("sealed segments that are packed"), "packed_bytes_saved": count("what this spares on the disk"),
            "not_packed": { "type": ["string", "null"], "description": "why the last segment that was to be packed was not; it stays as it is" },
            "damage": { "type": "array", "items": { "type": "string" }, "description": "in words; what is whole is read all the same" },
        } },
    } })
}
