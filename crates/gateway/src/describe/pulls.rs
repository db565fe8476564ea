//! Consumers of clients in the description.

use serde_json::{Map, Value as Json, json};

use super::general::{self, reference};
use crate::limits::{
    ACK_SECONDS_DEFAULT, ACK_SECONDS_MAX, ATTEMPTS_DEFAULT, ATTEMPTS_MAX, DELIVERIES_MAX, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, PULL_DEFAULT,
    PULL_WAIT_SECONDS_MAX, RETRY_AFTER_SECONDS_MAX,
};

pub(super) fn paths(paths: &mut Map<String, Json>) {
    let shown = |description: &str| answer(description, &reference("schemas", "ClientConsumer"));
    let setup = json!({ "required": true, "content": { "application/json": { "schema": reference("schemas", "ConsumerSetup") } } });
    let mut put =
        operation("set-up", "Sets a consumer up, or otherwise", Some(setup), &[400, 404, 409, 410, 413, 415], shown("it is set up so"));
    put["responses"]["201"] = shown("it is new");
    let deleted = answer("it is no more, and its place is forgotten", &json!({ "type": "object" }));
    paths.insert("/v1/consumers/{name}".to_owned(), json!({
        "parameters": [json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string", "pattern": "^[a-z][a-z0-9-]{0,63}$" } })],
        "get": operation("show", "How it is set up, and how it is", None, &[400, 404], shown("the consumer")),
        "put": put,
        "delete": operation("remove", "Removes it, with its place", None, &[400, 404], deleted),
    }));
    for (name, summary, members, required, ok) in calls() {
        let schema = json!({ "type": "object", "additionalProperties": false, "required": required, "properties": members });
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        let post = operation(name, summary, Some(body), &[400, 404, 409, 410, 413, 415], ok);
        paths.insert(
            format!("/v1/consumers/{{name}}/{name}"),
            json!({
                "parameters": [json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } })], "post": post,
            }),
        );
    }
}

fn calls() -> [(&'static str, &'static str, Json, Json, Json); 4] {
    let ids = || json!({ "type": "array", "minItems": 1, "maxItems": DELIVERIES_MAX, "items": { "type": "string" } });
    let counted = || {
        answer(
            "all of them",
            &json!({ "type": "object", "required": ["deliveries"], "properties": { "deliveries": { "type": "integer" } } }),
        )
    };
    let delivery = json!({ "type": "object", "required": ["delivery", "attempt", "event"], "properties": {
        "delivery": { "type": "string", "description": "what you name it by; each attempt has its own" },
        "attempt": { "type": "integer", "minimum": 1 }, "event": { "type": "object", "description": "a CloudEvent" },
    } });
    let pulled =
        json!({ "type": "object", "required": ["deliveries"], "properties": { "deliveries": { "type": "array", "items": delivery } } });
    [
        (
            "pull",
            "Gives deliveries to this client, to be acknowledged",
            json!({
                "max": whole(1, DELIVERIES_MAX as u64, PULL_DEFAULT), "wait_seconds": whole(0, PULL_WAIT_SECONDS_MAX, 0),
            }),
            json!([]),
            answer("what there is, in order per key; none when nothing came in time", &pulled),
        ),
        ("ack", "These are done", json!({ "deliveries": ids() }), json!(["deliveries"]), counted()),
        (
            "nack",
            "These failed: they come again, and their keys are parked after the last attempt",
            json!({
                "deliveries": ids(), "cause": { "type": "string", "minLength": 1 },
                "retry_after_seconds": { "type": "integer", "minimum": 0, "maximum": RETRY_AFTER_SECONDS_MAX },
            }),
            json!(["deliveries", "cause"]),
            counted(),
        ),
        (
            "extend",
            "These need more time, from now on",
            json!({
                "deliveries": ids(), "seconds": { "type": "integer", "minimum": 1, "maximum": ACK_SECONDS_MAX },
            }),
            json!(["deliveries", "seconds"]),
            counted(),
        ),
    ]
}

fn operation(name: &str, summary: &str, body: Option<Json>, refused: &[u16], ok: Json) -> Json {
    let mut responses = general::refusals(refused);
    responses.insert("200".to_owned(), ok);
    let mut operation =
        json!({ "tags": ["consumers"], "operationId": format!("client-consumer.{name}"), "summary": summary, "responses": responses });
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    operation
}

fn answer(description: &str, schema: &Json) -> Json {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn whole(least: u64, most: u64, default: u64) -> Json {
    json!({ "type": "integer", "minimum": least, "maximum": most, "default": default })
}

/// How a consumer is set up, and how it is shown.
pub(super) fn schemas(schemas: &mut Map<String, Json>) {
    let text = || json!({ "type": "string" });
    let mut members = json!({
        "topic": { "type": "string", "description": "the messages of this topic; this or `types`" },
        "types": { "type": "array", "items": text(), "description": "events such as `cart/item-added` or `cart`" },
        "start": { "description": "where a new one begins", "default": "first", "oneOf": [
            { "enum": ["first", "now"] },
            { "type": "object", "required": ["cursor"], "properties": { "cursor": reference("schemas", "Cursor") } },
            { "type": "object", "required": ["time"], "properties": { "time": { "type": "string", "format": "date-time" } } },
        ] },
        "ack_seconds": whole(1, ACK_SECONDS_MAX.into(), ACK_SECONDS_DEFAULT.into()),
        "attempts_max": whole(1, ATTEMPTS_MAX.into(), ATTEMPTS_DEFAULT.into()),
        "in_flight_max": whole(1, IN_FLIGHT_MAX.into(), IN_FLIGHT_DEFAULT.into()),
    });
    let setup = json!({ "type": "object", "additionalProperties": false, "properties": members.clone() });
    schemas.insert("ConsumerSetup".to_owned(), setup);
    members["name"] = text();
    members["state"] = json!({ "enum": ["starting", "working", "waiting", "unplaced", "stopped"] });
    members["cause"] = text();
    members["cursor"] = json!({ "type": ["string", "null"], "description": "everything up to here has ended" });
    for (name, what) in
        [("waiting", "wait to be pulled"), ("in_flight", "are out"), ("held", "keys are tried again"), ("parked", "keys wait for a person")]
    {
        members[name] = json!({ "type": "integer", "description": what });
    }
    schemas.insert("ClientConsumer".to_owned(), json!({ "type": "object", "properties": members }));
}
