//! The service's description: OpenAPI 3.1 from the descriptions of its components.
//!
//! One path an entity type and command, with the schemas of body, reply, state, events and rejections; one an operation; one a
//! query; and the general routes. Paths, components and members come in a fixed order, so that a changed description is a readable diff.

mod asyncapi;
mod consumers;
mod destinations;
mod general;
mod journal;
mod pulls;
mod registry;
mod schemas;
mod streams;
mod subjects;
mod subscriptions;
mod timers;
mod topics;
mod views;
mod workflows;

use component::hosted::{
    EntityDescription, OperationDescription, ShapeDescription, StreamDescription, TopicDescription, ViewDescription, WorkflowDescription,
};
use serde_json::{Map, Value as Json, json};

use crate::problem::REJECTED;
pub use asyncapi::asyncapi;
use schemas::Schemas;

/// The OpenAPI 3.1 document of a service, as JSON text.
#[must_use]
pub fn openapi(
    service: &str,
    entities: &[&EntityDescription],
    operations: &[&OperationDescription],
    declared: &[&TopicDescription],
    streams: &[&StreamDescription],
    views: &[&ViewDescription],
    workflows: &[&WorkflowDescription],
) -> String {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for entity in entities {
        entity_paths(entity, &mut schemas, &mut paths);
    }
    for operation in operations {
        operation_path(operation, &mut schemas, &mut paths);
    }
    for topic in declared {
        topics::path(topic, &mut schemas, &mut paths);
    }
    streams::paths(service, streams, &mut schemas, &mut paths);
    views::paths(views, &mut schemas, &mut paths);
    consumers::paths(&mut schemas, &mut paths);
    subscriptions::paths(&mut schemas, &mut paths);
    destinations::paths(&mut schemas, &mut paths);
    journal::paths(&mut schemas, &mut paths);
    registry::paths(&mut schemas, &mut paths);
    subjects::paths(&mut paths);
    timers::paths(&mut schemas, &mut paths);
    workflows::paths(workflows, &mut schemas, &mut paths);
    pulls::paths(&mut paths);
    general::paths(service, &mut paths);
    let tags: Vec<Json> = entities.iter().map(|entity| json!({ "name": entity.name })).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": service, "version": "1",
            "description": "Commands in, events out. Errors are RFC 9457 problems with a stable code.",
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "tags": tags,
        "paths": paths,
        "components": general::components(schemas.into_map()),
    });
    document.to_string()
}

fn entity_paths(entity: &EntityDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let name = entity.name;
    schemas.add(&format!("{name}.state"), &entity.state);
    schemas.add(&format!("{name}.reply"), &entity.reply);
    add_events(entity, schemas);
    let rejections = add_rejections(name, &entity.rejections, schemas);
    for command in &entity.commands {
        let schema = format!("{name}.command.{}", command.name);
        schemas.add(&schema, &command.schema);
        let path = format!("/v1/entities/{name}/{{id}}/{}", command.name);
        paths.insert(path, json!({ "post": command_operation(name, command, &schema, &rejections) }));
    }
    let state = json!({ "type": "object", "required": ["type", "id", "sequence", "time", "state"], "properties": {
        "type": { "const": name }, "id": { "type": "string" }, "sequence": general::reference("schemas", "Sequence"),
        "time": { "type": "string", "format": "date-time" }, "state": general::reference("schemas", &format!("{name}.state")),
    } });
    paths.insert(format!("/v1/entities/{name}/{{id}}"), json!({ "get": general::state(name, &state) }));
    paths.insert(format!("/v1/entities/{name}/{{id}}/events"), json!({ "get": general::history(name) }));
    paths.insert(format!("/v1/entities/{name}/{{id}}/commands/{{key}}"), json!({ "get": general::past_outcome(name) }));
    paths.insert(format!("/v1/entities/{name}"), json!({ "get": general::ids(name) }));
    paths.insert(format!("/v1/entities/{name}:batch"), json!({ "post": general::batch(name) }));
}

fn command_operation(entity: &str, command: &ShapeDescription, schema: &str, rejections: &Rejections) -> Json {
    let reply = general::outcome(&general::reference("schemas", &format!("{entity}.reply")));
    let mut responses = general::refusals(&[400, 404, 408, 409, 410, 412, 413, 415, 504]);
    responses.insert("200".to_owned(), general::accepted(&reply, true));
    responses.insert("202".to_owned(), general::taken());
    responses.insert("422".to_owned(), rejections.response());
    json!({
        "tags": [entity], "operationId": format!("{entity}.{}", command.name), "summary": command.summary,
        "parameters": general::parameters(&["Id", "IdempotencyKey", "IfMatch", "IfNoneMatch", "Prefer", "Traceparent", "CorrelationId", "TimeoutMs"]),
        "requestBody": { "required": false, "description": "may be left out by a command without fields",
            "content": { "application/json": { "schema": general::reference("schemas", schema) } } },
        "responses": responses,
    })
}

fn operation_path(operation: &OperationDescription, schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    let name = operation.name;
    let (input, reply) = (format!("operation.{name}.input"), format!("operation.{name}.reply"));
    schemas.add(&input, &operation.input);
    schemas.add(&reply, &operation.reply);
    let rejections = add_rejections(&format!("operation.{name}"), &operation.rejections, schemas);
    let mut responses = general::refusals(&[400, 404, 408, 409, 410, 413, 415, 504]);
    responses.insert("200".to_owned(), general::accepted(&general::outcome(&general::reference("schemas", &reply)), false));
    responses.insert("422".to_owned(), rejections.response());
    let post = json!({
        "tags": ["operations"], "operationId": format!("operation.{name}"),
        "parameters": general::parameters(&["IdempotencyKey", "Traceparent", "CorrelationId", "TimeoutMs"]),
        "requestBody": { "required": true, "content": { "application/json": { "schema": general::reference("schemas", &input) } } },
        "responses": responses,
    });
    paths.insert(format!("/v1/operations/{name}"), json!({ "post": post }));
}

fn add_events(entity: &EntityDescription, schemas: &mut Schemas) {
    let mut alternatives = Vec::new();
    for event in &entity.events {
        let name = format!("{}.event.{}", entity.name, event.name);
        schemas.add(&name, &event.schema);
        alternatives.push(json!({
            "description": event.summary,
            "allOf": [general::reference("schemas", "CloudEvent"), { "properties": {
                "type": { "pattern": format!("\\.{}\\.{}$", entity.name, event.name) }, "data": general::reference("schemas", &name),
            } }],
        }));
    }
    if alternatives.is_empty() {
        alternatives.push(general::reference("schemas", "CloudEvent"));
    }
    schemas.add(&format!("{}.recorded", entity.name), &json!({ "oneOf": alternatives }));
}

/// The rejections of an entity type or an operation.
struct Rejections {
    schema: String,
    examples: Map<String, Json>,
}

impl Rejections {
    fn response(&self) -> Json {
        json!({
            "description": "rejected by the rule (HW0029), the same key with another body (HW0028), or more than a commit holds (HW0031)",
            "content": { "application/problem+json": { "schema": general::reference("schemas", &self.schema), "examples": self.examples } },
        })
    }
}

fn add_rejections(owner: &str, rejections: &[ShapeDescription], schemas: &mut Schemas) -> Rejections {
    let mut examples = Map::new();
    let mut alternatives = Vec::new();
    for rejection in rejections {
        let name = format!("{owner}.rejection.{}", rejection.name);
        schemas.add(&name, &rejection.schema);
        alternatives.push(json!({ "type": "object", "description": rejection.summary, "required": ["code", "data"], "properties": {
            "code": { "const": rejection.name }, "data": general::reference("schemas", &name),
        } }));
        // A rejection with fields has no honest example: its values are the rule's.
        if rejection.schema.get("required").is_none() {
            let example = json!({ "type": general::problem_type(&REJECTED), "title": REJECTED.title, "status": REJECTED.status,
                "detail": rejection.summary, "code": REJECTED.number, "rejection": { "code": rejection.name, "data": {} } });
            examples.insert(rejection.name.to_owned(), json!({ "summary": rejection.summary, "value": example }));
        }
    }
    let schema = format!("{owner}.refusal");
    let rejection = if alternatives.is_empty() { json!(false) } else { json!({ "oneOf": alternatives }) };
    schemas.add(&schema, &json!({ "allOf": [general::reference("schemas", "Problem"), { "properties": { "rejection": rejection } }] }));
    Rejections { schema, examples }
}
