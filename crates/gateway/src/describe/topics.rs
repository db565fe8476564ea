//! Topics in the description: a path for each, with the shape of its messages.

use component::hosted::TopicDescription;
use serde_json::{Map, Value as Json, json};

use super::general::{self, reference};
use super::schemas::Schemas;
use crate::limits::TOPIC_BATCH_MESSAGES_MAX;

pub(super) fn path(topic: &TopicDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let name = topic.name;
    let data = topic.schema.as_ref().map_or_else(
        || json!({}),
        |schema| {
            let component = format!("topic.{name}.data");
            schemas.add(&component, schema);
            reference("schemas", &component)
        },
    );
    let message = format!("topic.{name}.message");
    schemas.add(&message, &json!({ "allOf": [reference("schemas", "Message"), { "properties": { "data": data.clone() } }] }));
    paths.insert(format!("/v1/topics/{name}"), json!({ "post": publish(name, &reference("schemas", &message), &data) }));
}

fn publish(name: &str, message: &Json, data: &Json) -> Json {
    let mut responses = general::refusals(&[400, 404, 408, 413, 415, 422, 504]);
    let headers = json!({
        "Headwater-Cursor": reference("headers", "Cursor"), "Idempotent-Replayed": reference("headers", "IdempotentReplayed"),
    });
    let line = json!({ "type": "object", "required": ["line", "status"], "properties": {
        "line": { "type": "integer", "description": "the element of the batch, from 1" }, "status": { "type": "integer" },
    } });
    let ok = json!({ "description": "taken and durable; of a batch a result an element, in order: this or a problem", "headers": headers,
        "content": { "application/json": { "schema": taken() }, "application/x-ndjson": { "schema": line } } });
    responses.insert("200".to_owned(), ok);
    json!({
        "tags": ["topics"], "operationId": format!("topic.{name}"), "summary": "Publishes CloudEvents; binary mode has the attributes as `ce-` headers",
        "parameters": general::parameters(&["Traceparent", "CorrelationId"]),
        "requestBody": { "required": true, "content": {
            "application/cloudevents+json": { "schema": message },
            "application/cloudevents-batch+json": { "schema": { "type": "array", "maxItems": TOPIC_BATCH_MESSAGES_MAX, "items": message } },
            "application/json": { "schema": data }, "*/*": {},
        } },
        "responses": responses,
    })
}

fn taken() -> Json {
    json!({ "type": "object", "required": ["source", "id", "replayed", "cursor"], "properties": {
        "source": { "type": "string" }, "id": { "type": "string" },
        "replayed": { "type": "boolean", "description": "the message was there already" }, "cursor": reference("schemas", "Cursor"),
        "durability": { "const": "memory", "description": "only there when the message is not durable" },
    } })
}

/// A CloudEvent as a client sends it.
pub(super) fn message() -> Json {
    let text = || json!({ "type": "string", "minLength": 1 });
    json!({ "type": "object", "required": ["specversion", "id", "source", "type"], "properties": {
        "specversion": { "const": "1.0" }, "id": text(), "source": { "type": "string", "minLength": 1, "format": "uri-reference" },
        "type": text(), "subject": text(), "time": { "type": "string", "format": "date-time" }, "datacontenttype": text(),
        "dataschema": { "type": "string", "format": "uri" },
        "partitionkey": { "type": "string", "minLength": 1, "description": "messages of one key keep their order; `subject` when it is absent" },
        "data": {}, "data_base64": { "type": "string", "contentEncoding": "base64" },
    }, "additionalProperties": { "type": ["string", "integer", "boolean", "null"] } })
}
