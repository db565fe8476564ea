//! What is said on a WebSocket beside events: how far its reader is, why there is no more, and how much more it takes. The words are those of every stream.

use serde_json::{Map, Value as Json, json};

use super::schema_reference;
use crate::limits::CREDIT_MAX;

const BINDING: &str = "0.1.0";
/// The messages by their names: from the service, and from the reader.
pub(super) const PROGRESS: &str = "reader.progress";
pub(super) const PROBLEM: &str = "reader.problem";
pub(super) const CREDIT: &str = "reader.credit";

/// The channel of a stream, as a WebSocket; it takes the stream's parameters, and one of its own.
pub(super) fn binding(parameters: Json) -> Json {
    let mut query = json!({ "type": "object", "properties": parameters });
    query["properties"]["credit"] =
        json!({ "type": "integer", "minimum": 0, "maximum": CREDIT_MAX, "description": "so many events, and more when the reader asks" });
    json!({ "ws": { "method": "GET", "query": query, "bindingVersion": BINDING } })
}

pub(super) fn messages(messages: &mut Map<String, Json>) {
    let place = json!({ "type": "object", "required": ["cursor"], "properties": { "cursor": schema_reference("Cursor") } });
    let credit = json!({ "type": "integer", "minimum": 1, "maximum": CREDIT_MAX });
    for (name, summary, member, schema) in [
        (PROGRESS, "Nothing went through the filter up to there", "progress", place),
        (PROBLEM, "Reading failed; the last message", "problem", schema_reference("Problem")),
        (CREDIT, "Lets so many more events pass; for readers that began with `credit`", "credit", credit),
    ] {
        let payload = json!({ "type": "object", "required": [member], "additionalProperties": false, "properties": { member: schema } });
        let message = json!({ "name": name, "title": member, "summary": summary, "contentType": "application/json", "payload": payload });
        messages.insert(name.to_owned(), message);
    }
}
