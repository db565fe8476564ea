//! The journal in the description: its scrub and its retention.

use serde_json::{Map, Value as Json, json};

use super::general::{get, reference};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Journal", &journal());
    let ok = || json!({ "description": "the journal and its scrub", "content": { "application/json": { "schema": reference("schemas", "Journal") } } });
    let status = get("How the journal is, and what lies damaged in it", "admin", "journal", &[], &[], ok());
    let mut scrub = get("Read everything sealed now, for damage", "admin", "journal.scrub", &[], &[], ok());
    scrub["parameters"] = json!([]);
    let mut compact = get("Run a pass of retention now", "admin", "journal.compact", &[], &[], ok());
    compact["parameters"] = json!([]);
    paths.insert("/v1/admin/journal/compact".to_owned(), json!({ "post": compact }));
    paths.insert("/v1/admin/journal".to_owned(), json!({ "get": status }));
    paths.insert("/v1/admin/journal/scrub".to_owned(), json!({ "post": scrub }));
}

fn journal() -> Json {
    let count = |description: &str| json!({ "type": "integer", "description": description });
    json!({ "type": "object", "required": ["lineage", "cursor", "scrub", "retention"], "properties": {
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
        "retention": retention(),
    } })
}

fn retention() -> Json {
    let count = |description: &str| json!({ "type": "integer", "description": description });
    let texts = |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let compacted = |description: &str, kind: Json| {
        json!({ "type": kind, "description": description, "properties": {
            "segments": count("that were looked at"), "rewritten": count("of them, those written anew"),
            "events": count("that are gone"), "bytes": count("that were given back"),
        } })
    };
    json!({ "type": ["object", "null"], "description": "null where no entity type has a policy", "properties": {
        "types": { "type": "array", "items": { "type": "object", "properties": {
            "type": { "type": "string" }, "keeps": { "type": "string", "description": "in words" } } } },
        "running": { "type": "boolean" }, "passes": count("whole ones, since the process began"),
        "failures": count("passes that ended early; each is tried again"), "entities": count("that were looked at, over all passes"),
        "baselines": count("that were written, over all passes"), "too_large": count("entities whose state fits no baseline: they keep all"),
        "unreadable": count("entities whose state this version cannot read"), "ended": { "type": ["string", "null"], "format": "date-time" },
        "unable": { "type": "boolean", "description": "the engine keeps everything" },
        "compacted": compacted("by the last pass", json!(["object", "null"])), "total": compacted("over all passes", json!("object")),
        "waits": { "type": ["object", "null"], "description": "who has not read yet what could go otherwise", "properties": {
            "who": { "type": "string" }, "cursor": reference("schemas", "Cursor"), "words": { "type": "string" } } },
        "lost": texts("entity types that have lost events"), "problem": { "type": ["string", "null"], "description": "why the last pass ended early" },
    } })
}
