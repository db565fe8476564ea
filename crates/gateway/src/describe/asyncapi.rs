//! The service's description for who reads and publishes: AsyncAPI 3.0 from the descriptions of its components.
//!
//! The service *sends* what it records on its stream, as CloudEvents over HTTP, one a line or one a server-sent event. It *receives* what is
//! published to its topics, structured or with the attributes as headers. Shapes are those of the OpenAPI document, under the same names;
//! each message has an example that fits its shape. Channels, operations and components come in a fixed order.
//!
//! Each declared stream is one more channel, with its public types. Streams are channels over WebSockets too, where a reader may speak.

mod sample;
mod websocket;

use component::hosted::{EntityDescription, ShapeDescription, StreamDescription, StreamTypeDescription, TopicDescription};
use serde_json::{Map, Value as Json, json};

use super::general;
use super::schemas::Schemas;
use super::topics;

const BINDING: &str = "0.3.0";
const ENVELOPE: &str = "application/cloudevents+json";

/// The parts of the document while it is made.
struct Draft {
    channels: Map<String, Json>,
    operations: Map<String, Json>,
    messages: Map<String, Json>,
    schemas: Schemas,
}

/// The AsyncAPI 3.0 document of a service, as JSON text.
#[must_use]
pub fn asyncapi(service: &str, entities: &[&EntityDescription], streams: &[&StreamDescription], declared: &[&TopicDescription]) -> String {
    let mut draft = Draft { channels: Map::new(), operations: Map::new(), messages: Map::new(), schemas: Schemas::new() };
    draft.stream(service, entities);
    for stream in streams {
        draft.declared(service, stream);
    }
    for topic in declared {
        draft.topic(topic);
    }
    let Draft { channels, operations, mut messages, schemas } = draft;
    websocket::messages(&mut messages);
    let mut schemas = schemas.into_map();
    schemas.insert("CloudEvent".to_owned(), general::cloud_event());
    schemas.insert("Cursor".to_owned(), general::cursor());
    schemas.insert("Message".to_owned(), topics::message());
    schemas.insert("Problem".to_owned(), general::problem());
    exemplify(&mut messages, &schemas);
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": service, "version": "1",
            "description": "What the service records, and what can be published to it. Commands and queries are in /openapi.json.",
        },
        "defaultContentType": ENVELOPE,
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    });
    document.to_string()
}

impl Draft {
    /// Everything that the service records, to whoever reads its stream.
    fn stream(&mut self, service: &str, entities: &[&EntityDescription]) {
        let mut names = Vec::new();
        for entity in entities {
            for event in &entity.events {
                names.push(self.event(service, entity.name, event));
            }
        }
        let about = "All events of the service in their order, from any place on, and live";
        let text = || json!({ "type": "string" });
        let types = json!({ "type": "array", "items": text(), "description": "`cart` or `cart/item-added`; any of them" });
        let version =
            json!({ "type": "array", "items": text(), "description": "`cart/item-added:1`: events of this type in that version" });
        self.readers(("stream", &format!("/v1/streams/{service}"), about), parameters(&types, &version), &names);
    }

    /// The channel of a stream, and what goes over it in both directions.
    fn readers(&mut self, (channel, address, about): (&str, &str, &str), parameters: Json, events: &[String]) {
        let words = [websocket::PROGRESS, websocket::PROBLEM, websocket::CREDIT].map(str::to_owned);
        let (told, heard) = words.split_at(2);
        let http = json!({ "method": "GET", "query": { "type": "object", "properties": parameters }, "bindingVersion": BINDING });
        self.channel(channel, address, about, &[events, &words].concat());
        self.channels[channel]["bindings"] = websocket::binding(parameters);
        let summary = "Gives events, one a line (`Accept: application/x-ndjson`), as server-sent events (`text/event-stream`), or one a message of a WebSocket";
        self.operation(&format!("{channel}.send"), ("send", channel), summary, Some(&http), &[events, told].concat());
        let summary = "Takes a reader's word on a WebSocket";
        self.operation(&format!("{channel}.credit"), ("receive", channel), summary, None, heard);
    }

    /// What leaves the service under public names.
    fn declared(&mut self, service: &str, stream: &StreamDescription) {
        let StreamDescription { name, version, oldest, summary, types, .. } = stream;
        let names: Vec<String> = types.iter().map(|public| self.public((service, name), public)).collect();
        let channel = format!("stream.{name}");
        let about = if summary.is_empty() { format!("What leaves the service as `{name}`, version {version}") } else { summary.clone() };
        let publics: Vec<&str> = types.iter().map(|public| public.name).collect();
        let of_types = json!({ "type": "array", "items": { "enum": publics }, "description": "any of them" });
        let versions = json!({ "type": "integer", "minimum": oldest, "maximum": version, "description": "the version of the types" });
        self.readers((&channel, &format!("/v1/streams/{name}"), &about), parameters(&of_types, &versions), &names);
    }

    fn public(&mut self, (service, stream): (&str, &str), public: &StreamTypeDescription) -> String {
        let StreamTypeDescription { name, summary, schema, .. } = public;
        let message = format!("stream.{stream}.{name}");
        let full = format!("{service}.{stream}.{name}");
        let mut fits = json!({ "type": "object", "properties": { "type": { "const": full } } });
        if let Some(schema) = schema {
            self.schemas.add(&message, schema);
            fits["properties"]["data"] = schema_reference(&message);
            fits["required"] = json!(["data"]);
        }
        let payload = json!({ "allOf": [schema_reference("CloudEvent"), fits] });
        let mut told = json!({ "name": full, "title": name, "contentType": ENVELOPE, "payload": payload });
        if !summary.is_empty() {
            told["summary"] = json!(summary);
        }
        self.messages.insert(message.clone(), told);
        message
    }

    /// What is published to a topic.
    fn topic(&mut self, topic: &TopicDescription) {
        let channel = format!("topic.{}", topic.name);
        let data = topic.schema.as_ref().map(|schema| {
            let component = format!("{channel}.data");
            self.schemas.add(&component, schema);
            schema_reference(&component)
        });
        let data = data.unwrap_or_else(|| json!({}));
        let structured = format!("{channel}.structured");
        let payload = json!({ "allOf": [schema_reference("Message"), { "type": "object", "properties": { "data": data.clone() } }] });
        self.messages.insert(
            structured.clone(),
            json!({ "name": structured, "title": topic.name, "summary": "A CloudEvent as one JSON object", "contentType": ENVELOPE, "payload": payload }),
        );
        let binary = format!("{channel}.binary");
        self.messages.insert(
            binary.clone(),
            json!({ "name": binary, "title": topic.name, "summary": "The data alone, with the attributes as headers",
                "contentType": "application/json", "headers": attributes(), "payload": data }),
        );
        let names = [structured, binary];
        self.channel(&channel, &format!("/v1/topics/{}", topic.name), "Messages of others, kept once for each `source` and `id`", &names);
        let http = json!({ "method": "POST", "bindingVersion": BINDING });
        self.operation(
            &format!("{channel}.receive"),
            ("receive", &channel),
            "Takes a message; it is durable when it was answered",
            Some(&http),
            &names,
        );
    }

    /// One kind of event: its name among the messages.
    fn event(&mut self, service: &str, entity: &str, event: &ShapeDescription) -> String {
        let name = format!("{entity}.{}", event.name);
        let schema = format!("{entity}.event.{}", event.name);
        self.schemas.add(&schema, &event.schema);
        let payload = json!({ "allOf": [schema_reference("CloudEvent"), { "type": "object", "required": ["data"], "properties": {
            "type": { "const": format!("{service}.{name}") }, "entitytype": { "const": entity }, "data": schema_reference(&schema),
        } }] });
        let mut message = json!({ "name": format!("{service}.{name}"), "title": name, "contentType": ENVELOPE, "payload": payload });
        if !event.summary.is_empty() {
            message["summary"] = json!(event.summary);
        }
        self.messages.insert(name.clone(), message);
        name
    }

    fn channel(&mut self, id: &str, address: &str, about: &str, messages: &[String]) {
        let messages: Map<String, Json> =
            messages.iter().map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }))).collect();
        self.channels.insert(id.to_owned(), json!({ "address": address, "description": about, "messages": messages }));
    }

    fn operation(&mut self, id: &str, (action, channel): (&str, &str), summary: &str, http: Option<&Json>, messages: &[String]) {
        let messages: Vec<Json> = messages.iter().map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") })).collect();
        let mut operation =
            json!({ "action": action, "channel": { "$ref": format!("#/channels/{channel}") }, "summary": summary, "messages": messages });
        if let Some(http) = http {
            operation["bindings"] = json!({ "http": http });
        }
        self.operations.insert(id.to_owned(), operation);
    }
}

/// What a reader may say of what it wants, over HTTP and over a WebSocket.
fn parameters(types: &Json, version: &Json) -> Json {
    json!({
        "after": { "type": "string", "description": "events after this place, or from `now` on; all without it" },
        "limit": { "type": "integer", "minimum": 1, "description": "ends after so many events" },
        "live": { "type": "boolean", "description": "goes on with new events; the default of server-sent events and of a WebSocket" },
        "type": types,
        "key": { "type": "string", "description": "`cart/c1`" },
        "tag": { "type": "array", "items": { "type": "string" }, "description": "`name:value`; all of them" },
        "version": version,
    })
}

fn schema_reference(name: &str) -> Json {
    general::reference("schemas", name)
}

/// The attributes of a CloudEvent in binary mode.
fn attributes() -> Json {
    let text = || json!({ "type": "string", "minLength": 1 });
    json!({ "type": "object", "required": ["ce-specversion", "ce-id", "ce-source", "ce-type"], "properties": {
        "ce-specversion": { "const": "1.0" }, "ce-id": text(), "ce-source": text(), "ce-type": text(), "ce-subject": text(),
        "ce-time": { "type": "string", "format": "date-time" },
        "ce-partitionkey": { "type": "string", "minLength": 1, "description": "messages of one key keep their order; `ce-subject` when it is absent" },
    } })
}

/// Gives each message an example that its shape makes.
fn exemplify(messages: &mut Map<String, Json>, schemas: &Map<String, Json>) {
    for message in messages.values_mut() {
        let mut example = json!({ "name": "example", "payload": sample::of(&message["payload"], schemas) });
        if let Some(headers) = message.get("headers") {
            example["headers"] = sample::of(headers, schemas);
        }
        message["examples"] = json!([example]);
    }
}
