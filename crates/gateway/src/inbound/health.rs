//! Health and self-description: `/livez`, `/readyz`, `/openapi.json`.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use serde_json::json;

use super::Gateway;
use super::answer;
use super::body::Body;
use super::query::{self, Parameters, once};
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
        "damage_at_rest": gateway.runtime.journal().scrub_status().map(|scrub| scrub.damage), "in_flight": health.in_flight, "cached_entities": health.cached_entities, "views": gateway.runtime.view_states(),
    });
    let (code, reason) = match &health.poisoned {
        Some(cause) => (JOURNAL_STOPPED, format!("the journal stopped after a disk error ({cause}); restart the service")),
        None if stopping => (STOPPING, "the service is stopping".to_owned()),
        None if health.full => (DISK_FULL, "the disk is full; free some room".to_owned()),
        None if !health.accepting => (BUSY, "the service takes no commands at this moment".to_owned()),
        None if verbose => return Ok(answer::json(json!({ "status": "ready", "detail": sight }).to_string())),
        None => return Ok(answer::json("{\"status\":\"ready\"}")),
    };
    let problem = Problem::new(code, &reason).member("reasons", json!([reason]));
    Err(if verbose { problem.member("sight", sight) } else { problem })
}

/// The OpenAPI document, made once.
pub(super) fn description(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let runtime = &gateway.runtime;
    let document = gateway.description.get_or_init(|| {
        let (entities, operations) = (runtime.entity_descriptions(), runtime.operation_descriptions());
        describe::openapi(runtime.service(), &entities, &operations, &runtime.topic_descriptions(), &runtime.view_descriptions()).into()
    });
    Ok(answer::json(document.clone()))
}
