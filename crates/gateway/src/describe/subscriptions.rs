//! Subscriptions in the description: how they are, and where one goes on.

use serde_json::{Map, Value as Json, json};

use super::consumers::stall;
use super::general::{get, page, reference, refusals};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Subscription", &subscription());
    let all = page(reference("schemas", "Subscription"), "the subscriptions to streams of peers, in the order of their registration");
    let all = get("How the subscriptions to streams of peers are", "admin", "subscriptions", &[], &[], all);
    paths.insert("/v1/admin/subscriptions".to_owned(), json!({ "get": all }));
    let at = json!({ "type": "string", "description": "`first`, `now`, or a cursor of the peer's stream" });
    let body = json!({ "type": "object", "required": ["at"], "properties": { "at": at, "reason": { "type": "string" } },
        "additionalProperties": false });
    let placed = json!({ "type": "object", "required": ["place"], "properties": { "place": { "type": "string" } } });
    let mut responses = refusals(&[400, 404, 409, 413, 415]);
    responses
        .insert("200".to_owned(), json!({ "description": "it goes on there", "content": { "application/json": { "schema": placed } } }));
    let topic = json!({ "name": "topic", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "the topic that the subscription fills" });
    let post = json!({ "tags": ["admin"], "operationId": "subscription.place",
        "summary": "Lets a subscription go on from another place of its peer's stream", "parameters": [topic],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } }, "responses": responses });
    paths.insert("/v1/admin/subscriptions/{topic}/place".to_owned(), json!({ "post": post }));
}

fn subscription() -> Json {
    let (text, count) = (|| json!({ "type": "string" }), |of: &str| json!({ "type": "integer", "description": of }));
    let time = |of: &str| json!({ "type": ["string", "null"], "format": "date-time", "description": of });
    json!({ "type": "object", "required": ["topic", "peer", "stream", "state", "since", "taken", "unfit", "repeated"], "properties": {
        "topic": text(), "peer": text(), "stream": text(),
        "state": { "enum": ["starting", "reading", "waiting", "unplaced", "stopped"] },
        "since": { "type": "string", "format": "date-time" },
        "cause": { "type": ["string", "null"], "description": "why it does not read" },
        "place": { "type": ["string", "null"], "description": "`first`, `now`, or the peer's cursor behind what was taken" },
        "taken": count("messages since the process began"),
        "unfit": count("those of them that did not fit the topic"),
        "repeated": count("those of them that were there already"),
        "taken_at": time("when the last message was taken"),
        "delay_ms": { "type": ["integer", "null"], "description": "from the last message's event to its taking, as far as the clocks agree" },
        "stalled": stall(),
    } })
}
