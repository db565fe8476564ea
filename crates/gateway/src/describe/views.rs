//! Views in the description: a path a query, with its parameters and its row; how views are; a rebuild.

use component::hosted::{QueryDescription, ViewDescription};
use serde_json::{Map, Value as Json, json};

use super::consumers::stall;
use super::general::{get, page, query, reference, refusals};
use super::schemas::Schemas;

pub(super) fn paths(views: &[&ViewDescription], schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    if views.is_empty() {
        return;
    }
    for view in views {
        for query in &view.queries {
            query_path(view, query, schemas, paths);
        }
    }
    schemas.add("View", &status());
    let names: Vec<&str> = views.iter().map(|view| view.name).collect();
    let name = json!({ "name": "view", "in": "path", "required": true, "schema": { "enum": names } });
    let all = get("How the views are", "views", "views", &[], &[], page(reference("schemas", "View"), "the views"));
    let content = json!({ "application/json": { "schema": reference("schemas", "View") } });
    let one = json!({ "description": "the view", "content": content });
    let one = get("How a view is", "views", "view", std::slice::from_ref(&name), &[404], one);
    let mut responses = refusals(&[400, 404]);
    responses.insert("202".to_owned(), json!({ "description": "begun, or under way already" }));
    let rebuild = json!({ "tags": ["views"], "operationId": "view.rebuild", "parameters": [name], "responses": responses,
        "summary": "Makes a view's rows anew, beside those that serve" });
    paths.insert("/v1/views".to_owned(), json!({ "get": all }));
    paths.insert("/v1/views/{view}".to_owned(), json!({ "get": one }));
    paths.insert("/v1/admin/views/{view}/rebuild".to_owned(), json!({ "post": rebuild }));
}

fn query_path(view: &ViewDescription, described: &QueryDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let name = format!("view.{}.{}", view.name, described.name);
    let (input, row) = (format!("{name}.input"), format!("{name}.row"));
    schemas.add(&input, &described.input);
    schemas.add(&row, &described.row);
    let mut answered = page(reference("schemas", &row), "the rows, and the place that they have seen");
    let content = &mut answered["content"];
    content["application/x-ndjson"] = json!({ "schema": reference("schemas", &row) });
    content["text/csv"] = json!({ "schema": { "type": "string" } });
    content["text/event-stream"] = json!({ "schema": { "type": "string",
        "description": "live: events `snapshot`, `row`, `gone`, `caught-up`, `gap`, `reset`, `problem`; resumes on `Last-Event-ID`" } });
    let refused = [400, 404, 406, 409, 410, 422];
    let summary = if view.summary.is_empty() { format!("Rows of {}: {}", view.name, described.name) } else { view.summary.clone() };
    let mut parameters = texts(&input, described);
    parameters.extend(ours());
    let asked = get(&summary, "views", &name, &parameters, &refused, answered.clone());
    let mut responses = refusals(&[400, 404, 406, 408, 409, 410, 413, 415, 422]);
    responses.insert("200".to_owned(), answered);
    let posted = json!({
        "tags": ["views"], "operationId": format!("{name}.post"), "summary": summary, "parameters": ours(),
        "requestBody": { "required": false, "content": { "application/json": { "schema": reference("schemas", &input) } } },
        "responses": responses,
    });
    paths.insert(format!("/v1/views/{}/{}", view.name, described.name), json!({ "get": asked, "post": posted }));
}

/// The query's parameters as they stand in a query string.
fn texts(input: &str, described: &QueryDescription) -> Vec<Json> {
    let schema = described.input["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/"));
    let object = schema.map_or(&described.input, |name| &described.input["$defs"][name]);
    let component = schema.map_or_else(|| input.to_owned(), |name| format!("{input}.{name}"));
    let properties = object["properties"].as_object().into_iter().flatten();
    let is_required = |name: &str| object["required"].as_array().is_some_and(|required| required.iter().any(|field| field == name));
    properties
        .map(|(name, property)| {
            let schema = json!({ "$ref": format!("#/components/schemas/{component}/properties/{name}") });
            json!({ "name": name, "in": "query", "required": is_required(name), "schema": schema,
                "description": property["description"].as_str().unwrap_or("a parameter of the query") })
        })
        .collect()
}

fn ours() -> [Json; 2] {
    [
        query("seen", reference("schemas", "Cursor"), "waits until the rows have seen this place, such as that of one's own command"),
        query("stale", json!({ "const": "ok" }), "takes what there is of a view that has stopped, or has not caught up yet"),
    ]
}

fn status() -> Json {
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    json!({ "type": "object", "required": ["view", "state", "build", "cursor", "behind", "queries"], "properties": {
        "view": text(), "state": { "enum": ["idle", "opening", "filling", "live", "stopped", "failing"] }, "cause": maybe(), "build": text(),
        "cursor": reference("schemas", "Cursor"), "behind": { "type": "integer", "description": "events still to come, at most" },
        "stalled": stall(),
        "rebuild": { "type": ["object", "null"] }, "file": maybe(), "schema": maybe(), "queries": { "type": "array", "items": text() },
        "notes": { "type": "array", "items": text() },
        "gone": { "type": "array", "items": text(), "description": "entity types that it reads and that have lost events: a rebuild is made without those" },
    } })
}
