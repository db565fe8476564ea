//! Commands and operations: the path that must be lean. A request is checked, handed to the runtime, and its reply, which
//! is JSON already, is wrapped once.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, header};
use journal::EntityKey;
use runtime::{CommandRequest, OperationRequest, PastOutcome};

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::headers::{self, CommandHeaders};
use super::{query, refusal};
use crate::problem::{OUTCOME_NOT_FOUND, Problem, REPLY_GONE};
use crate::{calendar, json};

/// `POST /v1/entities/{type}/{id}/{command}`.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    kind: &str,
    id: &str,
    command: &str,
) -> Result<Response<Body>, Problem> {
    let entity = entity(gateway, kind, id)?;
    query::none(parts.uri.query())?;
    let CommandHeaders { id, echo, expect, context } = CommandHeaders::read(&parts.headers)?;
    let body = json_body(gateway, parts, body).await?;
    let request = CommandRequest { entity, command: command.to_owned(), body, id, expect, context };
    let outcome = gateway.runtime.command(request).await.map_err(|error| refusal::command(error, command))?;
    let mut response = answer::outcome(&outcome, echo);
    if outcome.sequence > 0 {
        answer::set_etag(response.headers_mut(), outcome.sequence);
    }
    Ok(response)
}

/// `POST /v1/operations/{name}`. No `ETag`: an operation has no version of its own.
pub(super) async fn operate(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, name: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    headers::refuse(&parts.headers, &conditions, "has no meaning for an operation, which decides over several entities; leave it out")?;
    let CommandHeaders { id, echo, context, .. } = CommandHeaders::read(&parts.headers)?;
    let body = json_body(gateway, parts, body).await?;
    let request = OperationRequest { tenant: String::new(), operation: name.to_owned(), body, id, context };
    let outcome = gateway.runtime.operation(request).await.map_err(|error| refusal::operation(error, name))?;
    Ok(answer::outcome(&outcome, echo))
}

/// `GET /v1/entities/{type}/{id}/commands/{key}`.
pub(super) async fn outcome(gateway: &Arc<Gateway>, parts: &Parts, kind: &str, id: &str, key: &str) -> Result<Response<Body>, Problem> {
    let entity = entity(gateway, kind, id)?;
    query::none(parts.uri.query())?;
    let found = gateway.runtime.outcome(&entity, key).await.map_err(|error| refusal::state(&gateway.runtime, error))?;
    let outcome = found.ok_or_else(|| Problem::new(OUTCOME_NOT_FOUND, "no command with this key took effect here; sending it is safe"))?;
    let Some(reply) = &outcome.reply else {
        return Err(Problem::new(REPLY_GONE, format!("command `{}` took effect; its reply is no longer kept", outcome.command))
            .member("command", &*outcome.command)
            .member("sequence", outcome.sequence));
    };
    let mut response = answer::json(past(&outcome, reply));
    answer::set_etag(response.headers_mut(), outcome.sequence);
    answer::set_cursor(response.headers_mut(), outcome.cursor);
    Ok(response)
}

fn past(outcome: &PastOutcome, reply: &Bytes) -> Vec<u8> {
    let mut body = Vec::with_capacity(reply.len() + 160);
    body.extend_from_slice(b"{\"command\":");
    json::string(&mut body, &outcome.command);
    body.extend_from_slice(b",\"reply\":");
    json::verbatim(&mut body, reply);
    body.extend_from_slice(b",\"sequence\":");
    json::number(&mut body, outcome.sequence);
    body.extend_from_slice(b",\"cursor\":");
    json::plain(&mut body, outcome.cursor);
    body.extend_from_slice(b",\"time\":");
    json::plain(&mut body, calendar::text(outcome.time));
    body.push(b'}');
    body
}

/// The key of an entity of a type that the service has.
pub(super) fn entity(gateway: &Gateway, kind: &str, id: &str) -> Result<EntityKey, Problem> {
    check_type(gateway, kind)?;
    EntityKey::new(kind, id).map_err(|error| refusal::key(&error))
}

/// That the service has an entity type.
pub(super) fn check_type(gateway: &Gateway, kind: &str) -> Result<(), Problem> {
    if gateway.runtime.has_entity(kind) { Ok(()) } else { Err(refusal::unknown_entity_type(kind, &gateway.entity_types())) }
}

async fn json_body(gateway: &Gateway, parts: &Parts, body: &mut RequestBody) -> Result<Bytes, Problem> {
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let options = &gateway.options;
    body.read(options.body_bytes_max, options.body_read_timeout).await
}
