//! `/v1/admin/destinations`: how those are whom actions call.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use runtime::DestinationStatus;
use serde_json::{Value as Json, json};

use super::body::Body;
use super::entity::Page;
use super::{Gateway, query, refusal};
use crate::problem::Problem;
use crate::{calendar, json};

/// `GET /v1/admin/destinations`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut page = Page::new();
    for status in gateway.runtime.destinations() {
        page.item(|out| json::value(out, &status_json(&status)));
    }
    Ok(page.finish(None, head))
}

fn status_json(status: &DestinationStatus) -> Json {
    json!({
        "destination": status.destination, "state": status.state.to_string(), "calls": status.calls, "failures": status.failures,
        "in_flight": status.in_flight, "waiting": status.waiting, "not_tried": status.not_tried,
        "since": status.since.map(calendar::text), "next_try": status.next_try.map(calendar::text), "cause": status.cause,
    })
}
