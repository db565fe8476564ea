//! The parts of the description that every service shares: general routes, parameters, headers, problems.

use serde_json::{Map, Value as Json, json};

use crate::limits::{CREDIT_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::{CODES, Code, TYPE_BASE};

pub(super) fn reference(section: &str, name: &str) -> Json {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

pub(super) fn parameters(names: &[&str]) -> Vec<Json> {
    names.iter().map(|name| reference("parameters", name)).collect()
}

pub(super) fn problem_type(code: &Code) -> String {
    [TYPE_BASE, code.number].concat()
}

/// Refusals by status; some may happen to every request.
pub(super) fn refusals(statuses: &[u16]) -> Map<String, Json> {
    statuses.iter().chain(&[414, 431, 500, 503]).map(|status| (status.to_string(), reference("responses", &status.to_string()))).collect()
}

/// The body of an accepted command.
pub(super) fn outcome(reply: &Json) -> Json {
    json!({ "type": "object", "required": ["reply", "sequence", "cursor"], "properties": {
        "reply": reply, "sequence": reference("schemas", "Sequence"), "cursor": reference("schemas", "Cursor"),
        "durability": { "const": "memory", "description": "only there when the reply is not durable" },
    } })
}

/// An accepted command with its headers.
pub(super) fn accepted(schema: &Json, has_etag: bool) -> Json {
    let mut headers = json!({
        "Headwater-Cursor": reference("headers", "Cursor"), "Idempotency-Key": reference("headers", "IdempotencyKey"),
        "Idempotent-Replayed": reference("headers", "IdempotentReplayed"),
    });
    if has_etag {
        headers["ETag"] = reference("headers", "ETag");
    }
    json!({ "description": "accepted and durable", "headers": headers, "content": { "application/json": { "schema": schema } } })
}

/// A command that was taken and is decided later.
pub(super) fn taken() -> Json {
    let schema = json!({ "type": "object", "required": ["status", "key", "outcome"], "properties": {
        "status": { "const": "pending" }, "key": { "type": "string" },
        "outcome": { "type": "string", "format": "uri-reference", "description": "where the outcome is found" },
    } });
    let headers = json!({
        "Location": { "schema": { "type": "string" }, "description": "where the outcome is found" },
        "Preference-Applied": { "schema": { "const": "respond-async" } }, "Idempotency-Key": reference("headers", "IdempotencyKey"),
    });
    json!({ "description": "taken, durably; decided later", "headers": headers, "content": { "application/json": { "schema": schema } } })
}

pub(super) fn get(summary: &str, tag: &str, id: &str, parameters: &[Json], refused: &[u16], ok: Json) -> Json {
    let mut responses = refusals(refused);
    responses.insert("200".to_owned(), ok);
    json!({ "tags": [tag], "operationId": id, "summary": summary, "parameters": parameters, "responses": responses })
}

pub(super) fn query(name: &str, schema: Json, description: &str) -> Json {
    json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description })
}

fn limit() -> Json {
    query(
        "limit",
        json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX, "default": PAGE_ITEMS_DEFAULT }),
        "items of the page, at most",
    )
}

pub(super) fn page(item: Json, description: &str) -> Json {
    let schema = json!({ "type": "object", "required": ["items", "next", "cursor"], "properties": {
        "items": { "type": "array", "items": item }, "cursor": reference("schemas", "Cursor"),
        "next": { "type": ["string", "null"], "description": "address of the next page; the same as in `Link`" },
    } });
    let headers = json!({ "Link": reference("headers", "Link"), "Headwater-Cursor": reference("headers", "Cursor") });
    json!({ "description": description, "headers": headers, "content": { "application/json": { "schema": schema } } })
}

pub(super) fn state(entity: &str, schema: &Json) -> Json {
    let mut all = parameters(&["Id"]);
    all.push(json!({ "name": "If-None-Match", "in": "header", "required": false, "schema": { "type": "string" },
        "description": "304 when the entity is still at this sequence" }));
    all.push(query("sequence", json!({ "type": "integer", "minimum": 1 }), "the state after this event"));
    all.push(query("at", json!({ "type": "string", "format": "date-time" }), "the state at this time"));
    all.push(query("stale", json!({ "const": "ok" }), "waives the check that the state is still the latest"));
    let headers = json!({ "ETag": reference("headers", "ETag"), "Headwater-Cursor": reference("headers", "Cursor") });
    let ok = json!({ "description": "the state", "headers": headers, "content": { "application/json": { "schema": schema } } });
    let mut operation = get("The state, now or at a past moment", entity, &format!("{entity}.state"), &all, &[400, 404, 410], ok);
    operation["responses"]["304"] = json!({ "description": "not modified" });
    operation
}

pub(super) fn history(entity: &str) -> Json {
    let mut all = parameters(&["Id"]);
    all.push(query("after", json!({ "type": "integer", "minimum": 0 }), "events after this sequence"));
    all.push(limit());
    let ok = page(reference("schemas", &format!("{entity}.recorded")), "events in order, with who and why");
    get("The history", entity, &format!("{entity}.events"), &all, &[400, 404, 410], ok)
}

pub(super) fn ids(entity: &str) -> Json {
    let all = [query("after", json!({ "type": "string" }), "ids after this one"), limit()];
    get("The ids, in order", entity, &format!("{entity}.ids"), &all, &[400, 404], page(json!({ "type": "string" }), "ids"))
}

pub(super) fn past_outcome(entity: &str) -> Json {
    let mut all = parameters(&["Id"]);
    all.push(json!({ "name": "key", "in": "path", "required": true, "schema": { "type": "string" },
        "description": "the command's Idempotency-Key" }));
    let mut schema = outcome(&reference("schemas", &format!("{entity}.reply")));
    schema["properties"]["status"] = json!({ "const": "done" });
    schema["properties"]["command"] = json!({ "type": "string" });
    schema["properties"]["time"] = json!({ "type": "string", "format": "date-time" });
    let unsettled = json!({ "type": "object", "required": ["status", "command", "time"], "properties": {
        "status": { "enum": ["pending", "rejected"] }, "command": { "type": "string" }, "time": { "type": "string", "format": "date-time" },
        "problem": reference("schemas", "Problem"),
    } });
    let schema = json!({ "oneOf": [schema, unsettled] });
    let ok = json!({ "description": "it took effect; or it was taken to be decided later, and is pending or was rejected", "content": { "application/json": { "schema": schema } } });
    get("The outcome of a command by its key", entity, &format!("{entity}.outcome"), &all, &[400, 404, 410], ok)
}

pub(super) fn batch(entity: &str) -> Json {
    let line = json!({ "type": "object", "required": ["id", "command"], "additionalProperties": false, "properties": {
        "id": { "type": "string" }, "command": { "type": "string" }, "body": {}, "key": { "type": "string" },
        "if_match": reference("schemas", "Sequence"),
    } });
    let mut responses = refusals(&[400, 404, 415]);
    let result = json!({ "type": "object", "required": ["line", "status"], "properties": {
        "line": { "type": "integer" }, "status": { "type": "integer" },
    } });
    let ok = json!({ "description": "a result a line, in the order of the lines: an outcome or a problem",
        "content": { "application/x-ndjson": { "schema": result } } });
    responses.insert("200".to_owned(), ok);
    json!({
        "tags": [entity], "operationId": format!("{entity}.batch"), "summary": "Many commands, one a line; read while you send",
        "parameters": parameters(&["Traceparent", "CorrelationId"]),
        "requestBody": { "required": true, "content": { "application/x-ndjson": { "schema": line } } }, "responses": responses,
    })
}

/// The routes that belong to no component.
pub(super) fn paths(service: &str, paths: &mut Map<String, Json>) {
    paths.insert(format!("/v1/streams/{service}"), json!({ "get": stream() }));
    let text =
        |description: &str| json!({ "description": description, "content": { "application/json": { "schema": { "type": "object" } } } });
    let verbose = [query("verbose", json!({ "type": "boolean" }), "with figures")];
    for (path, summary, parameters, refused) in [
        ("/livez", "Alive: the process answers", &[][..], &[][..]),
        ("/readyz", "Ready: commands are taken", &verbose[..], &[400][..]),
        ("/openapi.json", "This document", &[][..], &[][..]),
        ("/asyncapi.json", "The stream and the topics, as AsyncAPI 3.0", &[][..], &[][..]),
    ] {
        paths.insert(path.to_owned(), json!({ "get": get(summary, "service", &path[1..], parameters, refused, text("yes")) }));
    }
}

/// What every stream takes.
pub(super) fn stream_parameters(types: Json) -> Vec<Json> {
    let text = || json!({ "type": "string" });
    let list = || json!({ "type": "array", "items": { "type": "string" } });
    vec![
        query("after", reference("schemas", "Cursor"), "events after this place, or from `now` on; all without it"),
        query("limit", json!({ "type": "integer", "minimum": 1 }), "ends after so many events"),
        query("live", json!({ "type": "boolean" }), "goes on with new events; the default of server-sent events and of a WebSocket"),
        query(
            "credit",
            json!({ "type": "integer", "minimum": 0, "maximum": CREDIT_MAX }),
            "for a WebSocket: so many events, and more when it asks",
        ),
        types,
        query("key", text(), "`cart/c1`"),
        query("tag", list(), "`name:value`; all of them"),
        json!({ "name": "Last-Event-ID", "in": "header", "required": false, "schema": text(),
            "description": "resumes server-sent events; wins over `after`" }),
    ]
}

/// A stream: its events, or the WebSocket that they come over.
pub(super) fn get_stream((summary, tag, id): (&str, &str, &str), parameters: &[Json], lines: &Json) -> Json {
    let content = json!({ "application/x-ndjson": { "schema": lines }, "text/event-stream": { "schema": { "type": "string" } } });
    let ok = json!({ "description": "CloudEvents in order, one a line or one a server-sent event", "content": content });
    let mut operation = get(summary, tag, id, parameters, &[400, 403, 404, 406, 409, 410, 426], ok);
    operation["responses"]["101"] =
        json!({ "description": "for `Upgrade: websocket`: CloudEvents in order, one a message; see /asyncapi.json" });
    operation
}

fn stream() -> Json {
    let types = query("type", json!({ "type": "array", "items": { "type": "string" } }), "`cart` or `cart/item-added`; any of them");
    let mut all = stream_parameters(types);
    let list = json!({ "type": "array", "items": { "type": "string" } });
    all.push(query("version", list, "`cart/item-added:1`: events of this type in that version; what means nothing in it is left out"));
    get_stream(("The service's events", "service", "stream"), &all, &reference("schemas", "CloudEvent"))
}

/// Everything that is referred to.
pub(super) fn components(mut schemas: Map<String, Json>) -> Json {
    schemas.insert("Problem".to_owned(), problem());
    schemas.insert("CloudEvent".to_owned(), cloud_event());
    super::pulls::schemas(&mut schemas);
    schemas.insert("Message".to_owned(), super::topics::message());
    schemas.insert("Cursor".to_owned(), cursor());
    schemas.insert(
        "Sequence".to_owned(),
        json!({ "type": "integer", "minimum": 0, "description": "the entity's version: the number of its last event" }),
    );
    json!({ "schemas": schemas, "parameters": header_parameters(), "headers": headers(), "responses": responses() })
}

pub(super) fn problem() -> Json {
    let numbers: Vec<&str> = CODES.iter().map(|code| code.number).collect();
    let titles: Vec<&str> = CODES.iter().map(|code| code.title).collect();
    json!({ "type": "object", "required": ["type", "title", "status", "detail", "code"], "properties": {
        "type": { "type": "string", "format": "uri" }, "title": { "enum": titles }, "status": { "type": "integer" },
        "detail": { "type": "string" }, "code": { "enum": numbers },
        "errors": { "type": "array", "items": { "type": "object", "required": ["pointer", "detail"], "properties": {
            "pointer": { "type": "string", "description": "RFC 6901" }, "detail": { "type": "string" } } } },
        "rejection": { "type": "object", "required": ["code", "data"], "properties": { "code": { "type": "string" }, "data": {} } },
    } })
}

pub(super) fn cursor() -> Json {
    json!({ "type": "string", "description": "a place in the service's events; opaque" })
}

/// An event as it leaves the service.
pub(super) fn cloud_event() -> Json {
    let text = || json!({ "type": "string" });
    let required = ["specversion", "id", "source", "type", "subject", "time", "entitytype", "sequence", "cursor"];
    json!({ "type": "object", "required": required, "properties": {
        "specversion": { "const": "1.0" }, "id": text(), "source": text(), "type": text(), "subject": text(),
        "time": { "type": "string", "format": "date-time" }, "datacontenttype": text(), "dataschema": text(), "entitytype": text(),
        "sequence": { "type": "string", "pattern": "^[1-9][0-9]*$" }, "cursor": reference("schemas", "Cursor"), "correlationid": text(),
        "causationid": text(), "traceparent": text(), "data": {}, "data_base64": { "type": "string", "contentEncoding": "base64" },
    } })
}

fn header_parameters() -> Json {
    let header = |name: &str, pattern: &str, description: &str| {
        let schema = json!({ "type": "string", "pattern": pattern });
        json!({ "name": name, "in": "header", "required": false, "schema": schema, "description": description })
    };
    json!({
        "Id": { "name": "id", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 256 },
            "description": "1 to 256 bytes without control characters; percent-encode `/` and `%`" },
        "IdempotencyKey": header("Idempotency-Key", "^[!#-~]([ -~]{0,254}[!-~])?$",
            "the command takes effect at most once under it, for ever; minted when absent"),
        "IfMatch": header("If-Match", "^\"[1-9][0-9]{0,18}\"$", "`\"7\"`: only when the entity is at sequence 7"),
        "IfNoneMatch": header("If-None-Match", "^\\*$", "`*`: only when the entity is new"),
        "Prefer": header("Prefer", "^[ -~]*$",
            "`respond-async`: 202 at once, decided later; `respond-async, wait=5`: the answer itself when it is there within 5 seconds"),
        "Traceparent": header("traceparent", "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "W3C trace context; kept with the events"),
        "TimeoutMs": header("Headwater-Timeout-Ms", "^[0-9]{1,18}$",
            "how long the caller waits, in milliseconds: beyond it nothing is begun, and the answer is 504"),
        "CorrelationId": header("Correlation-Id", "^[!-~]([ -~]{0,254}[!-~])?$", "kept with the events as `correlationid`"),
    })
}

fn headers() -> Json {
    let header = |description: &str| json!({ "schema": { "type": "string" }, "description": description });
    json!({
        "Cursor": header("a place that has seen what this answer tells"),
        "ETag": header("the entity's sequence, quoted"),
        "IdempotencyKey": header("the key the command ran under"),
        "IdempotentReplayed": header("`true` when this is the first reply, given again"),
        "Link": header("the next page, `rel=\"next\"`"),
    })
}

/// One shared response a status, which lists its codes.
fn responses() -> Json {
    let mut responses = Map::new();
    for code in CODES {
        let entry = responses.entry(code.status.to_string()).or_insert_with(
            || json!({ "description": "", "content": { "application/problem+json": { "schema": reference("schemas", "Problem") } } }),
        );
        let listed = entry["description"].as_str().unwrap_or_default();
        let separator = if listed.is_empty() { "" } else { ", " };
        entry["description"] = json!(format!("{listed}{separator}{} {}", code.number, code.title));
    }
    Json::Object(responses)
}
