//! `GET /v1/streams`: what streams there are, and the schemas of what leaves by them.

use std::sync::Arc;

use component::hosted::{StreamDescription, StreamTypeDescription};
use http::Response;
use http::request::Parts;
use serde_json::{Value as Json, json};

use super::source::{described, known_version};
use crate::inbound::answer;
use crate::inbound::body::Body;
use crate::inbound::entity::Page;
use crate::inbound::{Gateway, query, refusal};
use crate::json;
use crate::nearest;
use crate::problem::{Problem, UNKNOWN_STREAM};

/// `GET /v1/streams`: the service's own first.
pub(in crate::inbound) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let own = gateway.runtime.service();
    let mut page = Page::new();
    page.item(|out| json::value(out, &json!({ "stream": own, "summary": "All events of the service.", "types": [] })));
    for stream in gateway.runtime.stream_descriptions() {
        page.item(|out| json::value(out, &stream_json(gateway, stream)));
    }
    Ok(page.finish(None, head))
}

fn stream_json(gateway: &Gateway, stream: &StreamDescription) -> Json {
    let StreamDescription { name, version, summary, types, .. } = stream;
    let (service, versions) = (gateway.runtime.service(), gateway.runtime.stream_versions(stream));
    let types: Vec<Json> = types.iter().map(|public| type_json((service, name, *version), public)).collect();
    json!({ "stream": name, "version": version, "versions": versions, "summary": summary, "types": types })
}

fn type_json((service, stream, version): (&str, &str, u16), public: &StreamTypeDescription) -> Json {
    let StreamTypeDescription { name, shape, summary, schema, .. } = public;
    let address = schema.as_ref().map(|_| format!("/v1/streams/{stream}/schemas/{name}/{version}"));
    json!({ "type": format!("{service}.{stream}.{name}"), "name": name, "shape": shape.to_string(), "summary": summary, "dataschema": address })
}

/// `GET /v1/streams/{stream}/schemas/{name}/{version}`: the JSON Schema that a CloudEvent's `dataschema` names.
pub(in crate::inbound) fn schema(
    gateway: &Gateway,
    parts: &Parts,
    (stream, name, version): (&str, &str, &str),
) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let stream = described(gateway, stream)?;
    let version = known_version(gateway, stream, version)?;
    let with_schema = |public: &&StreamTypeDescription| public.schema.is_some();
    let known: Vec<&str> = stream.types.iter().filter(with_schema).map(|public| public.name).collect();
    let schema = gateway.runtime.public_schema(stream, name, version);
    let unknown =
        || Problem::new(UNKNOWN_STREAM, format!("the stream `{}` has no `{name}` with data; {}", stream.name, nearest::hint(name, &known)));
    Ok(answer::json(schema.ok_or_else(unknown)?.to_string()))
}
