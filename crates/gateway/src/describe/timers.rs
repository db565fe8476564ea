//! Timers in the description.

use serde_json::{Map, Value as Json, json};

use super::general::{get, page, parameters, query, reference, refusals};
use super::schemas::Schemas;
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, TIMER_SPAN_MS_MAX, TIMERS_SET_MAX};

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Timer", &timer());
    let name = json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string" }, "description": "the timer's name" });
    paths.insert("/v1/timers".to_owned(), json!({ "get": list(), "post": set_many() }));
    let shown = json!({ "description": "the timer", "headers": { "ETag": reference("headers", "ETag") },
        "content": { "application/json": { "schema": reference("schemas", "Timer") } } });
    let show = get("A timer, also one that has fired or was cancelled", "timers", "timer", &[], &[400, 404], shown);
    let mut wish = when();
    wish["send"] = send();
    let one = |operations: Json| {
        let mut one = operations;
        one["parameters"] = json!([name]);
        one
    };
    let put =
        change("set", "Sets a timer: its command is sent when it is due", Some((wish, json!(["send"]))), &[400, 404, 408, 413, 415, 422]);
    let delete = change("cancelled", "Cancels a timer; the answer says whether it was in time", None, &[400, 404, 422]);
    paths.insert("/v1/timers/{name}".to_owned(), one(json!({ "get": show, "put": put, "delete": delete })));
    let moved = change("rescheduled", "Moves a timer to another time", Some((when(), json!([]))), &[400, 404, 408, 409, 413, 415, 422]);
    paths.insert("/v1/timers/{name}/reschedule".to_owned(), one(json!({ "post": moved })));
    let again = change("redriven", "Has a parked timer fired again, at once", None, &[400, 404, 409, 415, 422]);
    paths.insert("/v1/timers/{name}/redrive".to_owned(), one(json!({ "post": again })));
    let content = json!({ "application/json": { "schema": status() } });
    let how = json!({ "description": "how many wait, are parked and are being fired", "content": content });
    paths.insert("/v1/admin/timers".to_owned(), json!({ "get": get("How timers stand", "admin", "timers.status", &[], &[400], how) }));
}

fn when() -> Json {
    json!({
        "due": { "type": "string", "format": "date-time", "description": "when it is due; this, `after_ms`, `every_ms` or `cron`" },
        "after_ms": { "type": "integer", "minimum": 0, "maximum": TIMER_SPAN_MS_MAX },
        "every_ms": { "type": "integer", "minimum": 1_000, "maximum": TIMER_SPAN_MS_MAX, "description": "again and again" },
        "cron": { "type": "string", "description": "again and again, by the wall clock: five fields, or six with the second in front" },
        "zone": { "type": "string", "default": "UTC", "description": "the time zone of `cron`, of the IANA database" },
    })
}

fn set_many() -> Json {
    let mut one = when();
    one["name"] = json!({ "type": "string" });
    one["send"] = send();
    let one = json!({ "type": "object", "additionalProperties": false, "required": ["name", "send"], "properties": one });
    let many = json!({ "type": "object", "additionalProperties": false, "required": ["timers"], "properties": {
        "timers": { "type": "array", "maxItems": TIMERS_SET_MAX, "items": one } } });
    let count = |description: &str| json!({ "type": "integer", "description": description });
    let schema = json!({ "type": "object", "required": ["set", "unchanged"], "properties": {
        "set": count("set by this request"), "unchanged": count("they were so already"), "cursor": reference("schemas", "Cursor") } });
    let mut responses = refusals(&[400, 404, 408, 413, 415, 422, 504]);
    let ok = json!({ "description": "all of them are set", "content": { "application/json": { "schema": schema } } });
    responses.insert("200".to_owned(), ok);
    json!({ "tags": ["timers"], "operationId": "timers.set", "summary": "Sets many timers, each on its own; none when one of them does not fit",
        "parameters": parameters(&["IdempotencyKey", "Traceparent", "CorrelationId", "TimeoutMs"]), "responses": responses,
        "requestBody": { "required": true, "content": { "application/json": { "schema": many } } } })
}

fn list() -> Json {
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let parameters = [
        query("prefix", text(), "only names that begin so"),
        query("after", text(), "names behind this one"),
        query("from", time(), "only those that are due then or later"),
        query("until", time(), "only those that are due earlier"),
        query("type", text(), "only those that send to entities of this type"),
        query("id", text(), "only those that send to this id"),
        query("state", json!({ "enum": ["pending", "parked"] }), "only these"),
        query("seen", reference("schemas", "Cursor"), "a place that the list must have seen"),
        query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX, "default": PAGE_ITEMS_DEFAULT }),
            "items of the page, at most",
        ),
    ];
    let item = json!({ "type": "object", "required": ["name", "state", "due", "type", "id", "command"], "properties": {
        "name": text(), "state": { "enum": ["pending", "parked"] }, "due": time(), "type": text(), "id": text(), "command": text(),
        "cause": { "type": ["string", "null"], "description": "why it is parked" },
    } });
    get("Timers that wait or are parked, by name", "timers", "timers", &parameters, &[400, 404], page(item, "the timers"))
}

fn change(word: &str, summary: &str, body: Option<(Json, Json)>, refused: &[u16]) -> Json {
    let cursor = reference("schemas", "Cursor");
    let mut properties = json!({ "timer": reference("schemas", "Timer"), "cursor": cursor });
    properties[word] =
        json!({ "type": "boolean", "description": "whether this is why the timer is so; false when it was so, or it was too late" });
    let schema = json!({ "type": "object", "required": [word, "timer"], "properties": properties });
    let mut responses = refusals(refused);
    responses.insert("504".to_owned(), reference("responses", "504"));
    responses.insert(
        "200".to_owned(),
        json!({ "description": "the timer as it is now", "headers": { "ETag": reference("headers", "ETag") },
            "content": { "application/json": { "schema": schema } } }),
    );
    let mut operation = json!({ "tags": ["timers"], "operationId": format!("timer.{word}"), "summary": summary,
        "parameters": parameters(&["IdempotencyKey", "Traceparent", "CorrelationId", "TimeoutMs"]), "responses": responses });
    if let Some((properties, required)) = body {
        let schema = json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn send() -> Json {
    json!({ "type": "object", "additionalProperties": false, "required": ["type", "id", "command"],
        "description": "the command that is sent, to whom", "properties": {
            "type": { "type": "string" }, "id": { "type": "string" }, "command": { "type": "string" }, "body": {} } })
}

fn timer() -> Json {
    let time = || json!({ "type": "string", "format": "date-time" });
    json!({ "type": "object", "required": ["name", "state", "due", "set_at", "sequence", "send"], "properties": {
        "name": { "type": "string" }, "state": { "enum": ["pending", "parked", "fired", "cancelled"] }, "due": time(), "set_at": time(),
        "every_ms": { "type": "integer" }, "cron": { "type": "string" }, "zone": { "type": "string" },
        "sequence": reference("schemas", "Sequence"), "send": send(),
        "cause": { "type": "string", "description": "why it is parked" }, "attempts": { "type": "integer" },
        "last": { "type": "object", "description": "how it fired at last", "properties": {
            "due": time(), "outcome": { "enum": ["accepted", "rejected"] }, "rejection": { "type": ["string", "null"] } } },
    } })
}

fn status() -> Json {
    let count = |what: &str| json!({ "type": "integer", "description": what });
    json!({ "type": "object", "required": ["pending", "parked", "firing", "resting", "trouble"], "properties": {
        "pending": count("wait for their time"), "parked": count("wait for a person"), "firing": count("are being fired"),
        "resting": count("failed and are tried again"), "trouble": { "type": ["string", "null"], "description": "why none are fired now" } } })
}
