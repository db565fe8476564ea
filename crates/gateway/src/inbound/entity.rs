//! Reads of entities: the state now or in the past, and the ids of a type.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use journal::{EntityKey, EntityType};
use runtime::{Moment, StateRead};

use super::Gateway;
use super::answer;
use super::body::Body;
use super::command::{check_type, entity};
use super::path::encode;
use super::query::{self, Parameters, once};
use super::{headers, refusal};
use crate::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::Problem;
use crate::{calendar, json};

/// `GET /v1/entities/{type}/{id}`.
pub(super) async fn state(gateway: &Arc<Gateway>, parts: &Parts, kind: &str, id: &str) -> Result<Response<Body>, Problem> {
    let entity = entity(gateway, kind, id)?;
    let parameters = Parameters::read(parts.uri.query(), &[once("sequence"), once("at"), once("stale")])?;
    let (moment, stale) = (moment(&parameters)?, stale(&parameters)?);
    let found = gateway.runtime.state(&entity, moment, stale).await.map_err(|error| refusal::state(&gateway.runtime, error))?;
    let read = found.ok_or_else(|| absent(kind, id, moment))?;
    let mut response = if headers::has_already(&parts.headers, read.sequence)? {
        let mut response = answer::json(Vec::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response
    } else {
        answer::json(state_json(kind, id, &read))
    };
    let headers = response.headers_mut();
    // A cache may keep it, when it asks each time whether it is still true.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer::set_etag(headers, read.sequence);
    answer::set_cursor(headers, read.cursor);
    Ok(response)
}

fn moment(parameters: &Parameters) -> Result<Moment, Problem> {
    match (parameters.number("sequence")?, parameters.one("at")) {
        (Some(_), Some(_)) => Err(query::invalid("at", "and sequence name two moments; ask for one")),
        (Some(0), None) => Err(query::invalid("sequence", "begins at 1")),
        (Some(sequence), None) => Ok(Moment::Sequence(sequence)),
        (None, Some(text)) => calendar::parse(text).map(Moment::Time).map_err(|problem| query::invalid("at", &problem)),
        (None, None) => Ok(Moment::Now),
    }
}

fn stale(parameters: &Parameters) -> Result<bool, Problem> {
    match parameters.one("stale") {
        None => Ok(false),
        Some("ok") => Ok(true),
        Some(text) => Err(query::invalid("stale", &format!("must be `ok`, not `{text}`"))),
    }
}

fn absent(kind: &str, id: &str, moment: Moment) -> Problem {
    match moment {
        Moment::Time(time) => {
            Problem::new(crate::problem::ENTITY_NOT_FOUND, format!("{kind} `{id}` had no event at {}", calendar::text(time)))
        }
        Moment::Now | Moment::Sequence(_) => refusal::no_entity(kind, id),
    }
}

fn state_json(kind: &str, id: &str, read: &StateRead) -> Vec<u8> {
    let mut body = Vec::with_capacity(read.state.len() + id.len() + 128);
    body.extend_from_slice(b"{\"type\":");
    json::string(&mut body, kind);
    body.extend_from_slice(b",\"id\":");
    json::string(&mut body, id);
    body.extend_from_slice(b",\"sequence\":");
    json::number(&mut body, read.sequence);
    body.extend_from_slice(b",\"time\":");
    json::plain(&mut body, calendar::text(read.time));
    body.extend_from_slice(b",\"state\":");
    json::verbatim(&mut body, &read.state);
    body.push(b'}');
    body
}

/// `GET /v1/entities/{type}`: ids in order. `after` is the last id of the page before.
pub(super) async fn ids(gateway: &Arc<Gateway>, parts: &Parts, kind: &str) -> Result<Response<Body>, Problem> {
    check_type(gateway, kind)?;
    let parameters = Parameters::read(parts.uri.query(), &[once("after"), once("limit")])?;
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let after = parameters.one("after").map(|id| EntityKey::new(kind, id)).transpose();
    let after = after.map_err(|error| query::invalid("after", error.problem()))?;
    let kind_key = EntityType::new(kind).map_err(|error| refusal::key(&error))?;
    // The head first: what it has seen, the listing has seen.
    let cursor = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut keys = gateway.runtime.journal().entities(&kind_key, after);
    let mut page = Page::new();
    let mut last = String::new();
    while let Some(key) = keys.next().await {
        let key = key.map_err(|error| refusal::read(&gateway.runtime, &error))?;
        if !key.tenant().is_empty() {
            continue;
        }
        if page.is_full(limit) {
            let next = format!("/v1/entities/{}?after={}&limit={limit}", encode(kind), encode(&last));
            return Ok(page.finish(Some(&next), cursor));
        }
        last = key.id().to_owned();
        page.item(|out| json::string(out, key.id()));
    }
    Ok(page.finish(None, cursor))
}

/// A list: `{"items":[..],"next":..,"cursor":".."}` with a `Link`.
pub(super) struct Page {
    body: Vec<u8>,
    items: u64,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { body: b"{\"items\":[".to_vec(), items: 0 }
    }

    pub(super) fn item(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.items > 0 {
            self.body.push(b',');
        }
        self.items += 1;
        write(&mut self.body);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn is_full(&self, limit: u64) -> bool {
        self.items >= limit || self.body.len() >= PAGE_BYTES_MAX
    }

    pub(super) fn finish(mut self, next: Option<&str>, cursor: journal::Cursor) -> Response<Body> {
        self.body.extend_from_slice(b"],\"next\":");
        match next {
            Some(address) => json::string(&mut self.body, address),
            None => self.body.extend_from_slice(b"null"),
        }
        self.body.extend_from_slice(b",\"cursor\":");
        json::plain(&mut self.body, cursor);
        self.body.push(b'}');
        let mut response = answer::json(self.body);
        answer::set_cursor(response.headers_mut(), cursor);
        if let Some(address) = next {
            answer::set_next(response.headers_mut(), address);
        }
        response
    }
}
