//! Workflows in the description.

use component::hosted::WorkflowDescription;
use serde_json::{Map, Value as Json, json};

use super::general::{get, page, parameters, query, reference, refusals};
use super::schemas::Schemas;
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};

pub(super) fn paths(workflows: &[&WorkflowDescription], schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    if workflows.is_empty() {
        return;
    }
    schemas.add("WorkflowChange", &change());
    schemas.add("WorkflowTimeline", &timeline());
    paths.insert("/v1/workflows".to_owned(), json!({ "get": list(None) }));
    let content = json!({ "application/json": { "schema": status() } });
    let how = json!({ "description": "how many stand how", "content": content });
    paths.insert(
        "/v1/admin/workflows".to_owned(),
        json!({ "get": get("How workflows stand", "admin", "workflows.status", &[], &[400], how) }),
    );
    paths.insert("/v1/admin/workflows/histories".to_owned(), json!({ "get": histories(schemas) }));
    for workflow in workflows {
        of(workflow, schemas, paths);
    }
}

/// Whole records.
fn histories(schemas: &mut Schemas) -> Json {
    let text = || json!({ "type": "string" });
    let record = json!({ "type": "object", "required": ["name", "turn"], "properties": { "name": text(), "turn": { "type": "object" } } });
    let properties = json!({ "workflow": text(), "id": text(), "tenant": text(), "state": text(), "records": { "type": "array", "items": record },
            "unread": text() });
    schemas
        .add("WorkflowHistory", &json!({ "type": "object", "required": ["workflow", "id", "state", "records"], "properties": properties }));
    let lines = json!({ "description": "records, one a line; ask for those behind the last one until there is none",
        "content": { "application/x-ndjson": { "schema": reference("schemas", "WorkflowHistory") } } });
    let parameters = [
        query("workflow", text(), "only this workflow's"),
        query("prefix", text(), "only ids that begin so; with a workflow's name"),
        query("state", text(), "only those that stand so, such as `waiting`"),
        query("ended", json!({ "type": "boolean", "default": true }), "whether those that have ended are there too; not beside `state`"),
        query("after", text(), "only those behind this `name/id`"),
        query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 }), "as many, at most; fewer where they are large"),
        query("seen", text(), "a cursor that the list must have seen"),
    ];
    get("The records of workflows, for who checks other code with them", "admin", "workflows.histories", &parameters, &[400, 503], lines)
}

fn of(workflow: &WorkflowDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let name = workflow.name;
    let named = |part: &str| format!("workflow.{name}.{part}");
    schemas.add(&named("input"), &workflow.input);
    schemas.add(&named("output"), &workflow.output);
    schemas.add(&named("sight"), &sight(&named("output")));
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "description": "the workflow's id" });
    let one = |operations: Json| {
        let mut one = operations;
        one["parameters"] = json!([id]);
        one
    };
    paths.insert(format!("/v1/workflows/{name}"), json!({ "get": list(Some(name)) }));
    let shown = json!({ "description": "the workflow", "headers": { "ETag": reference("headers", "ETag") },
        "content": { "application/json": { "schema": reference("schemas", &named("sight")) } } });
    let mut show = get("A workflow, as it stands; with `Prefer: wait=N`, once it has ended", name, &named("show"), &[], &[400, 404], shown);
    show["parameters"] = json!([prefer()]);
    let path = format!("/v1/workflows/{name}/{{id}}");
    let start = act(
        name,
        "start",
        "Starts it; the same id with the same input is the same workflow",
        Some(reference("schemas", &named("input"))),
        true,
    );
    paths.insert(path.clone(), one(json!({ "get": show, "post": start })));
    let told = json!({ "description": "what it has done in its present run", "content": { "application/json": { "schema": reference("schemas", "WorkflowTimeline") } } });
    let timeline = get("What a workflow has done", name, &named("timeline"), &[], &[400, 404], told);
    paths.insert(format!("{path}/timeline"), one(json!({ "get": timeline })));
    for (signal, body) in &workflow.signals {
        let schema = named(&format!("signal.{signal}"));
        schemas.add(&schema, body);
        let post = act(name, &format!("signal.{signal}"), "Sends it a signal", Some(reference("schemas", &schema)), false);
        paths.insert(format!("{path}/signals/{signal}"), one(json!({ "post": post })));
    }
    let text = |description: &str| json!({ "type": "string", "description": description });
    let body = |properties: Json| json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let why = || body(json!({ "why": text("why, for whoever looks at it later") }));
    let from = json!({ "type": ["string", "integer"], "description": "the number, or the name, of the operation to run again from" });
    let skip = json!({ "type": "boolean", "description": "go on without the undo that has failed" });
    for (word, summary, schema) in [
        ("cancel", "Cancels it: what it has done is undone", why()),
        ("pause", "Pauses it: nothing more begins", why()),
        ("resume", "Lets it go on", body(json!({ "skip": skip }))),
        ("rerun", "Runs it again from an operation on", body(json!({ "from": from }))),
    ] {
        paths.insert(format!("{path}/{word}"), one(json!({ "post": act(name, word, summary, Some(schema), false) })));
    }
}

fn act(workflow: &str, word: &str, summary: &str, body: Option<Json>, starts: bool) -> Json {
    let mut responses = refusals(&[400, 404, 408, 409, 413, 415, 422]);
    responses.insert("504".to_owned(), reference("responses", "504"));
    let content = |schema: Json| json!({ "application/json": { "schema": schema } });
    let headers = json!({ "ETag": reference("headers", "ETag") });
    let taken = |description: &str| json!({ "description": description, "headers": headers, "content": content(reference("schemas", "WorkflowChange")) });
    let mut named = parameters(&["IdempotencyKey", "Traceparent", "CorrelationId", "TimeoutMs"]);
    if starts {
        named.push(prefer());
        responses.insert("202".to_owned(), taken("it is started, and durable"));
        let sight = reference("schemas", &format!("workflow.{workflow}.sight"));
        responses.insert("200".to_owned(), json!({ "description": "it has ended", "headers": headers, "content": content(sight) }));
    } else {
        responses.insert("200".to_owned(), taken("it is recorded"));
    }
    let mut operation = json!({ "tags": [workflow], "operationId": format!("workflow.{workflow}.{word}"), "summary": summary,
        "parameters": named, "responses": responses });
    if let Some(schema) = body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn prefer() -> Json {
    json!({ "name": "Prefer", "in": "header", "schema": { "type": "string" }, "example": "wait=10",
        "description": "`wait=N` (RFC 7240): answer once it has ended, or after so many seconds" })
}

fn list(workflow: Option<&str>) -> Json {
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let mut named = vec![
        query("after", text(), "those behind this `name/id`"),
        query("state", states(), "only these"),
        query("seen", reference("schemas", "Cursor"), "a place that the list must have seen"),
        query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX, "default": PAGE_ITEMS_DEFAULT }),
            "items of the page, at most",
        ),
    ];
    if workflow.is_some() {
        named.push(query("prefix", text(), "only ids that begin so"));
    }
    let item = json!({ "type": "object", "required": ["workflow", "id", "state", "started", "changed"], "properties": {
        "workflow": text(), "id": text(), "state": states(), "why": { "type": ["string", "null"] },
        "due": { "type": ["string", "null"], "format": "date-time" }, "started": time(), "changed": time(),
    } });
    let id = workflow.map_or_else(|| "workflows".to_owned(), |workflow| format!("workflow.{workflow}.list"));
    get("Workflows, by name and id", workflow.unwrap_or("workflows"), &id, &named, &[400, 404], page(item, "the workflows"))
}

fn states() -> Json {
    json!({ "enum": runtime::WorkflowState::ALL.map(runtime::WorkflowState::word) })
}

fn change() -> Json {
    let word = || json!({ "type": "boolean", "description": "whether the wish changed anything" });
    json!({ "type": "object", "required": ["state", "sequence"], "properties": {
        "state": states(), "sequence": reference("schemas", "Sequence"), "cursor": reference("schemas", "Cursor"),
        "started": word(), "signalled": word(), "cancelled": word(), "paused": word(), "resumed": word(), "rerun": word(),
    } })
}

fn sight(output: &str) -> Json {
    let time = || json!({ "type": "string", "format": "date-time" });
    json!({ "type": "object", "required": ["workflow", "id", "state", "started", "changed", "sequence"], "properties": {
        "workflow": { "type": "string" }, "id": { "type": "string" }, "state": states(), "started": time(), "changed": time(), "due": time(),
        "why": { "type": "string", "description": "what it waits for, or why it is paused" },
        "sequence": reference("schemas", "Sequence"), "output": reference("schemas", output), "failure": failure(),
    } })
}

fn failure() -> Json {
    json!({ "type": "object", "required": ["code", "message", "kind"], "properties": {
        "code": { "type": "string" }, "message": { "type": "string" }, "data": {},
        "kind": { "enum": ["failed", "rejected", "unfit", "reply-gone", "gave-up", "cancelled"] } } })
}

fn timeline() -> Json {
    let time = || json!({ "type": "string", "format": "date-time" });
    let failures = || {
        json!({ "type": "array", "description": "attempts that have failed",
            "items": { "type": "object", "properties": { "time": time(), "cause": { "type": "string" } } } })
    };
    let undo = json!({ "type": "object", "required": ["name", "state"], "properties": {
        "name": { "type": "string" }, "state": { "enum": ["ready", "working", "done", "parked", "left-out", "not-needed"] },
        "ended": time(), "failures": failures() } });
    json!({ "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "items": {
        "type": "object", "required": ["kind", "name", "state", "began"], "properties": {
            "number": { "type": "integer" }, "kind": { "type": "string" }, "name": { "type": "string" },
            "state": { "enum": ["working", "resting", "waiting", "done", "failed", "dropped"] }, "began": time(), "ended": time(),
            "failures": failures(), "result": {}, "undo": undo } } } } })
}

fn status() -> Json {
    json!({ "type": "object", "required": ["counts", "in_memory", "attempts", "trouble"], "properties": {
        "counts": { "type": "object", "additionalProperties": { "type": "integer" }, "description": "how many stand so, by state" },
        "in_memory": { "type": "integer" }, "attempts": { "type": "integer", "description": "attempts of steps and undos under way" },
        "trouble": { "type": ["string", "null"], "description": "why none is looked for now" } } })
}
