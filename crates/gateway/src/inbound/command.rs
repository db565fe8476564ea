//! Commands and operations: the path that must be lean. A request is checked, handed to the runtime, and its reply, which
//! is JSON already, is wrapped once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, header};
use journal::{EntityKey, Timestamp};
use runtime::{CommandRequest, OperationRequest, Outcome, PastOutcome};

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::deadline::Deadline;
use super::headers::{self, CommandHeaders};
use super::path::encode;
use super::{prefer, query, refusal};
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
    let deadline = Deadline::read(&parts.headers)?;
    let CommandHeaders { id, echo, expect, context } = CommandHeaders::read(&parts.headers)?;
    let body = json_body(gateway, parts, body).await?;
    let request = CommandRequest { entity, command: command.to_owned(), body, id, expect, context };
    if let Some(wait) = prefer::respond_async(&parts.headers)? {
        return Box::pin(accept(gateway, request, echo, wait)).await;
    }
    let key = request.id.clone();
    let running = async { gateway.runtime.command(request).await.map_err(|error| refusal::command(error, command)) };
    let outcome = deadline.hold(key.as_deref(), running).await?;
    let mut response = answer::outcome(&outcome, echo);
    if outcome.sequence > 0 {
        answer::set_etag(response.headers_mut(), outcome.sequence);
    }
    Ok(response)
}

/// The same, taken now and decided later; answered as if it were not when it is decided within `wait`.
async fn accept(
    gateway: &Arc<Gateway>,
    request: CommandRequest,
    echo: Option<HeaderValue>,
    wait: Duration,
) -> Result<Response<Body>, Problem> {
    let (entity, command) = (request.entity.clone(), request.command.clone());
    let id = gateway.runtime.accept(request).await.map_err(|error| refusal::command(error, &command))?;
    // Without a wait the answer is the same however fast the decision is.
    let settled = if wait.is_zero() { Ok(None) } else { gateway.runtime.settled(&entity, &id, wait).await };
    let mut response = match settled.map_err(|error| refusal::state(&gateway.runtime, error))? {
        Some(Outcome::Done(PastOutcome { reply: Some(reply), sequence, cursor, .. })) => {
            let mut response = answer::json(answer::reply(&reply, sequence, cursor));
            answer::set_cursor(response.headers_mut(), cursor);
            if sequence > 0 {
                answer::set_etag(response.headers_mut(), sequence);
            }
            response
        }
        Some(Outcome::Refused { error, .. }) => return Err(refusal::command(error, &command)),
        Some(Outcome::Done(_) | Outcome::Pending { .. }) | None => answer::pending(&outcome_path(&entity, &id), &id),
    };
    answer::set_key(response.headers_mut(), echo, &id);
    Ok(response)
}

fn outcome_path(entity: &EntityKey, id: &str) -> String {
    format!("/v1/entities/{}/{}/commands/{}", entity.kind(), encode(entity.id()), encode(id))
}

/// `POST /v1/operations/{name}`. No `ETag`: an operation has no version of its own.
pub(super) async fn operate(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, name: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    headers::refuse(&parts.headers, &conditions, "has no meaning for an operation, which decides over several entities; leave it out")?;
    let deadline = Deadline::read(&parts.headers)?;
    let CommandHeaders { id, echo, context, .. } = CommandHeaders::read(&parts.headers)?;
    let body = json_body(gateway, parts, body).await?;
    let request = OperationRequest { tenant: String::new(), operation: name.to_owned(), body, id, context };
    let key = request.id.clone();
    let running = async { gateway.runtime.operation(request).await.map_err(|error| refusal::operation(error, name)) };
    let outcome = deadline.hold(key.as_deref(), running).await?;
    Ok(answer::outcome(&outcome, echo))
}

/// `GET /v1/entities/{type}/{id}/commands/{key}`.
pub(super) async fn outcome(gateway: &Arc<Gateway>, parts: &Parts, kind: &str, id: &str, key: &str) -> Result<Response<Body>, Problem> {
    let entity = entity(gateway, kind, id)?;
    query::none(parts.uri.query())?;
    let found = gateway.runtime.outcome(&entity, key).await.map_err(|error| refusal::state(&gateway.runtime, error))?;
    let outcome = match found {
        Some(Outcome::Done(outcome)) => outcome,
        Some(Outcome::Pending { command, time }) => {
            return Ok(answer::retry_soon(answer::json(unsettled("pending", &command, time, None))));
        }
        Some(Outcome::Refused { command, error, time }) => {
            let problem = refusal::command(error, &command);
            return Ok(answer::json(unsettled("rejected", &command, time, Some(&problem))));
        }
        None => return Err(Problem::new(OUTCOME_NOT_FOUND, "no command with this key took effect here; sending it is safe")),
    };
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
    body.extend_from_slice(b"{\"status\":\"done\",\"command\":");
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

/// A command that has no reply: not yet, or because it was not accepted.
fn unsettled(status: &str, command: &str, time: Timestamp, problem: Option<&Problem>) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"status\":");
    json::string(&mut body, status);
    body.extend_from_slice(b",\"command\":");
    json::string(&mut body, command);
    if let Some(problem) = problem {
        body.extend_from_slice(b",\"problem\":");
        problem.write(&mut body, None);
    }
    body.extend_from_slice(b",\"time\":");
    json::plain(&mut body, calendar::text(time));
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
