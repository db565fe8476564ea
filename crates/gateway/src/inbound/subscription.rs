//! `/v1/admin/subscriptions`: how the subscriptions to peers' streams are, and where one goes on.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use runtime::{Decision, OrderError, PeerPlace, SubscriptionStatus};
use serde_json::{Value as Json, json};

use super::admin::said;
use super::body::{Body, RequestBody};
use super::entity::Page;
use super::{Gateway, answer, headers, query, refusal};
use crate::limits::PEER_CURSOR_BYTES_MAX;
use crate::problem::{Problem, UNKNOWN_SUBSCRIPTION};
use crate::{calendar, json, nearest};

/// `GET /v1/admin/subscriptions`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut page = Page::new();
    for status in gateway.runtime.subscriptions() {
        page.item(|out| json::value(out, &status_json(&status)));
    }
    Ok(page.finish(None, head))
}

fn status_json(status: &SubscriptionStatus) -> Json {
    let stalled = status.stalled.as_ref().map(|stall| json!({ "since": calendar::text(stall.since), "cause": stall.cause }));
    json!({
        "topic": status.topic, "peer": status.peer, "stream": status.stream, "state": status.state.to_string(),
        "since": calendar::text(status.since), "cause": status.state.cause(), "place": status.place.as_ref().map(PeerPlace::text),
        "taken": status.taken, "unfit": status.unfit, "repeated": status.repeated, "taken_at": status.taken_at.map(calendar::text),
        "delay_ms": status.delay_micros.map(|micros| micros / 1_000), "stalled": stalled,
    })
}

/// `POST /v1/admin/subscriptions/{topic}/place`.
pub(super) async fn place(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, topic: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let said = said(gateway, parts, body).await?;
    let at = said.needed("at", said.at.as_ref())?;
    let place = PeerPlace::parse(&at).filter(|_| at.len() <= PEER_CURSOR_BYTES_MAX);
    let place = place.ok_or_else(|| refusal::invalid_field("/at", "must be `first`, `now`, or a cursor of the peer's stream"))?;
    let why = Decision { reason: said.reason.unwrap_or_default(), context: headers::context(&parts.headers)? };
    gateway.runtime.place_subscription(topic, place, why).await.map_err(|error| refused(error, topic))?;
    Ok(answer::json(json!({ "place": at }).to_string()))
}

fn refused(error: OrderError, topic: &str) -> Problem {
    match error {
        OrderError::UnknownConsumer { known } => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = nearest::hint(topic, &known);
            Problem::new(UNKNOWN_SUBSCRIPTION, format!("this service has no subscription into a topic `{topic}`; {hint}"))
        }
        other => refusal::order(other, topic),
    }
}
