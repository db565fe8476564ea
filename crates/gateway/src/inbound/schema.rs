//! `/v1/admin/schemas`: which shapes are registered, and samples of what was written in them.

use std::sync::Arc;

use component::hosted::DeclaredShape;
use http::request::Parts;
use http::{Response, StatusCode};
use runtime::RegisteredShape;
use runtime::limits::SCHEMA_SAMPLES_PER_SHAPE_MAX;
use serde_json::{Value as Json, json};

use super::body::Body;
use super::entity::Page;
use super::query::{self, Parameters, once};
use super::{Gateway, answer, refusal};
use crate::calendar;
use crate::json;
use crate::limits::SAMPLES_PER_SHAPE_DEFAULT;
use crate::problem::{Problem, UNKNOWN_ROUTE};

/// `GET /v1/admin/schemas`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let parameters = Parameters::read(parts.uri.query(), &[once("shape")])?;
    let wanted = parameters.one("shape");
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut page = Page::new();
    let declared = gateway.runtime.declared_shapes();
    for (key, shapes) in gateway.runtime.registry().into_iter().flat_map(runtime::Registry::iter) {
        if wanted.is_none_or(|wanted| wanted == key) {
            let own = declared.iter().find(|shape| shape.key() == key);
            page.item(|out| json::value(out, &shape_json(gateway, (key, shapes), own)));
        }
    }
    Ok(page.finish(None, head))
}

/// `GET /v1/schemas/{type}/{event}/{version}`: where `dataschema` of an event leads.
pub(super) fn of_event(gateway: &Gateway, parts: &Parts, (kind, event, version): (&str, &str, &str)) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let shapes = gateway.runtime.registry().map_or(&[][..], |registry| registry.of(&format!("{kind}/event/{event}")));
    let found = shapes.iter().rev().find(|shape| shape.version.to_string() == version);
    let found = found.ok_or_else(|| Problem::new(UNKNOWN_ROUTE, format!("there is no event `{kind}/{event}` of version {version}")))?;
    let mut body = Vec::new();
    json::value(&mut body, &found.schema);
    Ok(answer::with(StatusCode::OK, "application/schema+json", Body::whole(body)))
}

/// `GET /v1/admin/schemas/samples`: lines of what was written, personal values `null`.
pub(super) async fn samples(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let parameters = Parameters::read(parts.uri.query(), &[once("per_shape")])?;
    let per_shape = parameters.bounded("per_shape", SCHEMA_SAMPLES_PER_SHAPE_MAX as u64)?;
    let per_shape = per_shape.and_then(|count| usize::try_from(count).ok()).unwrap_or(SAMPLES_PER_SHAPE_DEFAULT);
    let samples = gateway.runtime.samples(per_shape).await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut lines = Vec::new();
    for sample in samples {
        json::value(&mut lines, &json!({ "shape": sample.shape, "version": sample.version, "data": sample.data }));
        lines.push(b'\n');
    }
    Ok(answer::with(StatusCode::OK, answer::NDJSON, Body::whole(lines)))
}

fn shape_json(gateway: &Gateway, (key, shapes): (&str, &[RegisteredShape]), declared: Option<&DeclaredShape>) -> Json {
    json!({
        "shape": key,
        "version": declared.map(|shape| shape.version),
        "rule": declared.map(|shape| gateway.runtime.rule_of(shape).to_string()),
        "registered": shapes.iter().map(registered_json).collect::<Vec<_>>(),
    })
}

fn registered_json(shape: &RegisteredShape) -> Json {
    json!({
        "version": shape.version, "fingerprint": shape.fingerprint, "registered": shape.registered.map(calendar::text), "schema": shape.schema,
    })
}
