//! `/v1/admin/journal`: how the journal's scrub stands, and a pass of it now.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use journal::ScrubStatus;
use serde_json::{Value as Json, json};

use super::answer;
use super::body::Body;
use super::{Gateway, query, refusal};
use crate::calendar;
use crate::problem::Problem;

/// `GET /v1/admin/journal`.
pub(super) async fn status(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let journal = gateway.runtime.journal();
    let head = journal.head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let scrub = journal.scrub_status().as_ref().map(scrub_json);
    Ok(answer::json(json!({ "lineage": journal.lineage().id.to_string(), "cursor": head.to_string(), "scrub": scrub }).to_string()))
}

/// `POST /v1/admin/journal/scrub`: a pass begins, at once or behind the one under way.
pub(super) async fn scrub(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    // As it was before: whoever waits for the pass counts on from it.
    let before = status(gateway, parts).await?;
    gateway.runtime.journal().scrub_now();
    Ok(before)
}

fn scrub_json(status: &ScrubStatus) -> Json {
    json!({
        "running": status.running, "passes": status.passes, "segments_done": status.progress.0, "segments": status.progress.1,
        "segments_read": status.segments_read, "bytes_read": status.bytes_read, "ended": status.ended.map(calendar::text),
        "roots": status.roots.0, "sealed": status.roots.1, "damage": status.damage,
        "packed": status.packed.0, "packed_bytes_saved": status.packed.1, "not_packed": status.not_packed,
    })
}
