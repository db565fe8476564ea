//! Subjects in the description: their erasure.

use serde_json::{Map, Value as Json, json};

use super::general::refusals;

pub(super) fn paths(paths: &mut Map<String, Json>) {
    let segment = |name: &str, words: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" }, "description": words });
    let parameters = [segment("type", "the subject's type, as fields name it"), segment("id", "the subject's id")];
    let said = json!({ "type": "object", "properties": { "reason": { "type": "string" } }, "additionalProperties": false });
    let erased = json!({ "type": "object", "required": ["subject", "keys", "views"], "properties": {
        "subject": { "type": "string" },
        "keys": { "type": "integer", "description": "keys that this call has destroyed; 0 when it was erased before" },
        "views": { "type": "array", "items": { "type": "string" }, "description": "views that are made again without its values" },
    } });
    let mut responses = refusals(&[400, 404, 413, 415, 503]);
    responses.insert("200".to_owned(), json!({ "description": "erased", "content": { "application/json": { "schema": erased } } }));
    let post = json!({ "tags": ["admin"], "operationId": "subject.erase",
        "summary": "Erases a subject: its personal data cannot be read by anybody any more", "parameters": parameters,
        "requestBody": { "required": false, "content": { "application/json": { "schema": said } } }, "responses": responses });
    paths.insert("/v1/admin/subjects/{type}/{id}/erase".to_owned(), json!({ "post": post }));
}
