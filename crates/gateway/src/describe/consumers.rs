//! Consumers in the description: how they are, what they hold, and decisions about it.

use serde_json::{Map, Value as Json, json};

use super::general::{get, page, query, reference, refusals};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Consumer", &consumer());
    schemas.add("HeldKey", &held_key());
    let name = json!({ "name": "consumer", "in": "path", "required": true, "schema": { "type": "string" }, "description": "the name of an action or a processor" });
    let all = get("How the consumers are", "admin", "consumers", &[], &[], page(reference("schemas", "Consumer"), "the consumers"));
    let content = json!({ "application/json": { "schema": reference("schemas", "Consumer") } });
    let one = json!({ "description": "the consumer", "content": content });
    let one = get("How a consumer is", "admin", "consumer", std::slice::from_ref(&name), &[404], one);
    let parameters = [
        name.clone(),
        query("cause", json!({ "type": "string" }), "only keys whose last failure is of this group"),
        query("state", json!({ "enum": ["held", "parked"] }), "only these"),
        query("group", json!({ "const": "cause" }), "groups of causes with their counts instead"),
        query("after", json!({ "type": "string" }), "keys after this one, `type/id`"),
        query("limit", json!({ "type": "integer", "minimum": 1 }), "items of the page, at most"),
    ];
    let held = page(reference("schemas", "HeldKey"), "held and parked keys, by key; or groups");
    let held = get("What a consumer holds and has parked", "admin", "held", &parameters, &[400, 404], held);
    paths.insert("/v1/admin/consumers".to_owned(), json!({ "get": all }));
    paths.insert("/v1/admin/consumers/{consumer}".to_owned(), json!({ "get": one }));
    paths.insert("/v1/admin/consumers/{consumer}/held".to_owned(), json!({ "get": held }));
    let key = json!({ "name": "key", "in": "path", "required": true, "schema": { "type": "string" }, "description": "a processor's key" });
    let content = json!({ "application/json": { "schema": remembered() } });
    let remembered = json!({ "description": "state, wakes, and why it is parked", "content": content });
    let remembered = get("What a processor remembers of a key", "admin", "remembered", &[name.clone(), key], &[400, 404], remembered);
    paths.insert("/v1/admin/consumers/{consumer}/keys/{key}".to_owned(), json!({ "get": remembered }));
    for (act, summary, needed, fields) in ACTS {
        let properties: Map<String, Json> = fields.iter().map(|field| ((*field).to_owned(), field_schema(field))).collect();
        let schema = json!({ "type": "object", "required": needed, "properties": properties, "additionalProperties": false });
        let mut responses = refusals(if act == "place" { &[400, 404, 409, 410, 413, 415] } else { &[400, 404, 409, 413, 415] });
        responses.insert(
            "200".to_owned(),
            json!({ "description": "done", "content": { "application/json": { "schema": { "type": "object" } } } }),
        );
        let post = json!({ "tags": ["admin"], "operationId": format!("consumer.{act}"), "summary": summary, "parameters": [name],
            "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } }, "responses": responses });
        paths.insert(format!("/v1/admin/consumers/{{consumer}}/{act}"), json!({ "post": post }));
    }
}

type Act = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const ACTS: [Act; 6] = [
    ("redrive", "Runs held and parked keys again: one, those of a cause, or all", &[], &["type", "id", "cause", "per_second"]),
    ("dry-run", "What the next run of a held key would send", &["type", "id"], &["type", "id", "payload"]),
    ("discard", "Lets a key go on behind the event that holds it", &["type", "id", "event", "reason"], &["type", "id", "event", "reason"]),
    (
        "edit",
        "Runs the event that holds a key with another payload",
        &["type", "id", "event", "payload"],
        &["type", "id", "event", "payload", "reason"],
    ),
    ("forget", "Lets go of the place of a consumer that the service does not have any more", &[], &["reason"]),
    ("place", "Lets a consumer go on from another place", &["at"], &["at", "reason"]),
];

fn field_schema(field: &str) -> Json {
    match field {
        "payload" => json!({}),
        "per_second" => json!({ "type": "integer", "minimum": 1 }),
        "at" => json!({ "type": "string", "description": "`first`, `now`, a cursor, or a time" }),
        _ => json!({ "type": "string" }),
    }
}

fn consumer() -> Json {
    let time = |of: &str| {
        let words = format!("when the oldest event was recorded that {of}");
        json!({ "type": ["string", "null"], "format": "date-time", "description": words })
    };
    json!({ "type": "object", "required": ["consumer", "state", "under_way", "held", "parked"], "properties": {
        "consumer": { "type": "string" }, "state": { "enum": ["starting", "working", "waiting", "unplaced", "stopped"] },
        "cause": { "type": ["string", "null"] }, "cursor": { "type": ["string", "null"] }, "under_way": { "type": "integer" },
        "held": { "type": "integer" }, "parked": { "type": "integer" },
        "behind": { "type": ["integer", "null"], "description": "events of the service behind its cursor, at most" },
        "oldest_undelivered_at": time("it has not done and that waits behind no held key"),
        "oldest_held_at": time("holds a key or has parked it"), "stalled": stall(),
    } })
}

fn remembered() -> Json {
    json!({ "type": "object", "required": ["key", "state", "wakes", "parked"], "properties": {
        "key": { "type": "string" }, "state": {}, "wakes": { "type": "array", "items": { "type": "string", "format": "date-time" } },
        "parked": { "anyOf": [{ "type": "null" }, reference("schemas", "HeldKey")] },
    } })
}

/// What stands still although it has something to do.
pub(super) fn stall() -> Json {
    json!({ "type": ["object", "null"], "required": ["since", "cause"],
        "description": "it does not move although it has something to do", "properties": {
            "since": { "type": "string", "format": "date-time" }, "cause": { "type": "string" } } })
}

fn held_key() -> Json {
    let text = || json!({ "type": "string" });
    json!({ "type": "object", "required": ["type", "id", "state", "event", "event_type", "sequence", "attempts", "cause", "failures"],
        "properties": {
            "type": text(), "id": text(), "state": { "enum": ["held", "parked"] }, "event": text(), "event_type": text(),
            "sequence": { "type": "integer" }, "cursor": text(), "attempts": { "type": "integer" }, "deaths": { "type": "integer" },
            "edited": { "type": "boolean" }, "since": text(), "due": { "type": ["string", "null"] }, "cause": text(),
            "group": { "type": "string", "description": "the cause, with `#` for its numbers" },
            "failures": { "type": "array", "items": { "type": "object", "properties": {
                "time": text(), "attempt": { "type": "integer" }, "cause": text() } } },
    } })
}
