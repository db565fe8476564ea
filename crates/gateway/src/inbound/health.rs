//! Health and self-description: `/livez`, `/readyz`, `/openapi.json`, `/asyncapi.json`.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use journal::Timestamp;
use serde_json::{Value as Json, json};

use super::Gateway;
use super::answer;
use super::body::Body;
use super::query::{self, Parameters, once};
use crate::calendar;
use crate::describe;
use crate::problem::{BUSY, DISK_FULL, JOURNAL_STOPPED, Problem, STOPPING};

/// Alive: the process answers. It depends on nothing else.
pub(super) fn live(parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    Ok(answer::json("{\"status\":\"alive\"}"))
}

/// Ready: commands are taken.
pub(super) fn ready(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let parameters = Parameters::read(parts.uri.query(), &[once("verbose")])?;
    let verbose = parameters.flag("verbose")?.unwrap_or(false);
    let health = gateway.runtime.health();
    let stopping = health.stopping || gateway.is_stopping();
    let sight = json!({
        "service": gateway.runtime.service(), "accepting": health.accepting, "stopping": stopping, "poisoned": health.poisoned, "full": health.full,
        "degraded_since": health.degraded_since.map(calendar::text),
        "damage_at_rest": gateway.runtime.journal().scrub_status().map(|scrub| scrub.damage),
        "in_flight": health.in_flight, "cached_entities": health.cached_entities, "views": gateway.runtime.view_states(),
    });
    let (code, reason) = match &health.poisoned {
        Some(cause) => (JOURNAL_STOPPED, format!("the journal stopped after a disk error ({cause}); restart the service")),
        None if stopping => (STOPPING, "the service is stopping".to_owned()),
        None if health.full => (DISK_FULL, "the disk is full; free some room".to_owned()),
        None if !health.accepting => (BUSY, "the service takes no commands at this moment".to_owned()),
        None => return Ok(answer::json(taken(health.degraded_since, verbose.then_some(sight)).to_string())),
    };
    let problem = Problem::new(code, &reason).member("reasons", json!([reason]));
    Err(if verbose { problem.member("sight", sight) } else { problem })
}

/// Commands are taken; behind a disk that stalls their answers come late, or not within the caller's time.
fn taken(degraded_since: Option<Timestamp>, sight: Option<Json>) -> Json {
    let mut ready = json!({ "status": "ready" });
    if let Some(since) = degraded_since {
        ready["degraded"] = json!({ "since": calendar::text(since), "reason": "the disk takes long for a write" });
    }
    if let Some(sight) = sight {
        ready["detail"] = sight;
    }
    ready
}

/// The OpenAPI document, made once.
pub(super) fn description(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let runtime = &gateway.runtime;
    let document = gateway.description.get_or_init(|| {
        let (entities, operations) = (runtime.entity_descriptions(), runtime.operation_descriptions());
        let (topics, views, workflows) = (runtime.topic_descriptions(), runtime.view_descriptions(), runtime.workflow_descriptions());
        let streams = runtime.stream_descriptions();
        describe::openapi(runtime.service(), &entities, &operations, &topics, &streams, &views, &workflows).into()
    });
    Ok(answer::json(document.clone()))
}

/// The AsyncAPI document, made once.
pub(super) fn messages(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let runtime = &gateway.runtime;
    let document = gateway.messages.get_or_init(|| {
        let (streams, topics) = (runtime.stream_descriptions(), runtime.topic_descriptions());
        describe::asyncapi(runtime.service(), &runtime.entity_descriptions(), &streams, &topics).into()
    });
    Ok(answer::json(document.clone()))
}
