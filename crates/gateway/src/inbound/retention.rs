//! Retention over HTTP: how it stands, and a pass of it now.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use runtime::RetentionStatus;
use serde_json::{Value as Json, json};

use super::body::Body;
use super::{Gateway, journal};
use crate::calendar;
use crate::problem::Problem;

/// `POST /v1/admin/journal/compact`: a pass begins, at once or behind the one under way.
pub(super) async fn compact(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    // As it was before: whoever waits for the pass counts on from it.
    let before = journal::status(gateway, parts).await?;
    gateway.runtime.retain_now();
    Ok(before)
}

pub(super) fn json(status: &RetentionStatus) -> Json {
    let kinds: Vec<Json> = status.kinds.iter().map(|(kind, keep)| json!({ "type": kind, "keeps": keep.to_string() })).collect();
    let compacted = |done: &::journal::Compacted| json!({ "segments": done.segments, "rewritten": done.rewritten, "events": done.events, "bytes": done.bytes });
    let waits = status.waits.as_ref().map(|wait| json!({ "who": wait.who, "cursor": wait.cursor.to_string(), "words": wait.to_string() }));
    json!({
        "types": kinds, "running": status.running, "passes": status.passes, "failures": status.failures,
        "entities": status.entities, "baselines": status.baselines, "too_large": status.too_large, "unreadable": status.unreadable,
        "ended": status.ended.map(calendar::text), "unable": status.unable, "compacted": status.compacted.as_ref().map(compacted),
        "total": compacted(&status.total), "waits": waits, "lost": status.lost, "problem": status.problem,
    })
}
