//! Answers: their headers in one place.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use journal::{Cursor, Durability};
use runtime::CommandOutcome;

use super::body::Body;
use super::headers::IDEMPOTENCY_KEY;
use super::prefer::PREFERENCE_APPLIED;
use crate::json;
use crate::problem::Problem;

const CURSOR: HeaderName = HeaderName::from_static("headwater-cursor");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const SSE: &str = "text/event-stream";

/// An answer that no cache may keep.
pub(super) fn with(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// JSON with status 200.
pub(super) fn json(body: impl Into<Bytes>) -> Response<Body> {
    with(StatusCode::OK, JSON, Body::whole(body))
}

/// A refusal.
pub(super) fn problem(problem: &Problem) -> Response<Body> {
    let mut body = Vec::with_capacity(256);
    problem.write(&mut body, None);
    let status = StatusCode::from_u16(problem.code().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with(status, "application/problem+json", Body::whole(body));
    for (name, value) in problem.headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// An accepted command: `{"reply":..,"sequence":..,"cursor":".."}`. `echo` is the key as the client wrote it.
pub(super) fn outcome(outcome: &CommandOutcome, echo: Option<HeaderValue>) -> Response<Body> {
    let mut body = Vec::with_capacity(outcome.reply.len() + 96);
    body.push(b'{');
    members(&mut body, outcome);
    body.push(b'}');
    let mut response = json(body);
    let headers = response.headers_mut();
    set_cursor(headers, outcome.cursor);
    set_key(headers, echo, &outcome.id);
    if outcome.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A command that was taken and is decided later: where its outcome will be.
pub(super) fn pending(outcome: &str, key: &str) -> Response<Body> {
    let mut body = Vec::with_capacity(outcome.len() + key.len() + 64);
    body.extend_from_slice(b"{\"status\":\"pending\",\"key\":");
    json::string(&mut body, key);
    body.extend_from_slice(b",\"outcome\":");
    json::string(&mut body, outcome);
    body.push(b'}');
    let mut response = with(StatusCode::ACCEPTED, JSON, Body::whole(body));
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, text(outcome.to_owned()));
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    response
}

/// What is asked for may be there in a moment.
pub(super) fn retry_soon(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The reply of a command that was accepted before: `{"reply":..,"sequence":..,"cursor":".."}`.
pub(super) fn reply(reply: &[u8], sequence: u64, cursor: Cursor) -> Vec<u8> {
    let mut body = Vec::with_capacity(reply.len() + 96);
    body.push(b'{');
    reply_members(&mut body, reply, sequence, cursor);
    body.push(b'}');
    body
}

fn reply_members(out: &mut Vec<u8>, reply: &[u8], sequence: u64, cursor: Cursor) {
    out.extend_from_slice(b"\"reply\":");
    json::verbatim(out, reply);
    out.extend_from_slice(b",\"sequence\":");
    json::number(out, sequence);
    out.extend_from_slice(b",\"cursor\":");
    json::plain(out, cursor);
}

/// The members of an accepted command, without braces. A durability weaker than the default is named.
pub(super) fn members(out: &mut Vec<u8>, outcome: &CommandOutcome) {
    reply_members(out, &outcome.reply, outcome.sequence, outcome.cursor);
    if outcome.durability == Durability::Memory {
        out.extend_from_slice(b",\"durability\":\"memory\"");
    }
}

/// The key that a command runs under; `echo` is the one that the client wrote.
pub(super) fn set_key(headers: &mut HeaderMap, echo: Option<HeaderValue>, id: &str) {
    if let Some(key) = echo.or_else(|| HeaderValue::from_str(id).ok()) {
        headers.insert(IDEMPOTENCY_KEY, key);
    }
}

/// The entity's version.
pub(super) fn set_etag(headers: &mut HeaderMap, sequence: u64) {
    headers.insert(header::ETAG, text(format!("\"{sequence}\"")));
}

/// A tag as it is written, quotes and all.
pub(super) fn set_tag(headers: &mut HeaderMap, tag: &str) {
    headers.insert(header::ETAG, text(tag.to_owned()));
}

/// A place that has seen what the answer tells.
pub(super) fn set_cursor(headers: &mut HeaderMap, cursor: Cursor) {
    headers.insert(CURSOR, text(cursor.to_string()));
}

/// The address of the next page, as RFC 8288 has it.
pub(super) fn set_next(headers: &mut HeaderMap, address: &str) {
    headers.insert(header::LINK, text(format!("<{address}>; rel=\"next\"")));
}

fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, base64url and percent-encoded addresses fit a header")
}
