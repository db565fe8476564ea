//! `/v1/admin/consumers`: how consumers are, which keys they hold and have parked, and what people decide about them.
//!
//! A decision names what it is about (a key, an event, a group of causes) and why; it is refused when something else is there
//! by now. The journal remembers it with the correlation of the request.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use journal::{Cursor, EntityKey, Timestamp};
use runtime::{ConsumerState, ConsumerStatus, Decision, HeldKey, HeldSelection, Stall, cause_group};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::entity::Page;
use super::query::{self, Parameters, once};
use super::{encode, headers, refusal};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::{ENGINE_UNAVAILABLE, INVALID_PATH, MALFORMED_JSON, Problem};
use crate::{calendar, json};

/// What can be done about one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Redrive,
    DryRun,
    Discard,
    Edit,
    Place,
    Forget,
}

/// `GET /v1/admin/consumers`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mut page = Page::new();
    for status in of_all(gateway).await? {
        page.item(|out| json::value(out, &status_json(&status, head)));
    }
    Ok(page.finish(None, head))
}

/// `GET /v1/admin/consumers/{consumer}`.
pub(super) async fn status(gateway: &Arc<Gateway>, parts: &Parts, consumer: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let consumers = of_all(gateway).await?;
    match consumers.iter().find(|status| status.name == consumer) {
        Some(status) => Ok(answer::json(status_json(status, head).to_string())),
        None => Err(refusal::unknown_consumer(consumer, &consumers.iter().map(|status| status.name.clone()).collect::<Vec<_>>())),
    }
}

/// How consumers are, whichever nodes have them.
async fn of_all(gateway: &Gateway) -> Result<Vec<ConsumerStatus>, Problem> {
    gateway.runtime.consumers_of_all().await.map_err(|error| Problem::new(ENGINE_UNAVAILABLE, error))
}

fn status_json(status: &ConsumerStatus, head: Cursor) -> Json {
    let cause = match &status.state {
        ConsumerState::Waiting { cause } => Some(cause),
        _ => None,
    };
    json!({
        "consumer": status.name, "state": status.state.to_string(), "cause": cause, "cursor": status.cursor.map(|cursor| cursor.to_string()),
        "behind": status.behind(head), "under_way": status.under_way, "held": status.held, "parked": status.parked,
        "oldest_undelivered_at": status.oldest_undelivered_at.map(calendar::text), "oldest_held_at": status.oldest_held_at.map(calendar::text),
        "stalled": status.stalled.as_ref().map(stall_json),
    })
}

/// Since when something stands still, and why.
pub(super) fn stall_json(stall: &Stall) -> Json {
    json!({ "since": calendar::text(stall.since), "cause": stall.cause })
}

/// `GET /v1/admin/consumers/{consumer}/held`: keys by key, or groups of causes with `?group=cause`.
pub(super) async fn held(gateway: &Arc<Gateway>, parts: &Parts, consumer: &str) -> Result<Response<Body>, Problem> {
    let known = [once("after"), once("limit"), once("cause"), once("state"), once("group")];
    let parameters = Parameters::read(parts.uri.query(), &known)?;
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let filter = Filter::read(&parameters)?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let held = gateway.runtime.held(consumer).await.map_err(|error| refusal::order(error, consumer))?;
    let kept = held.iter().filter(|held| filter.keeps(held));
    match parameters.one("group") {
        None => Ok(held_page(consumer, kept, &filter, limit, head)),
        Some("cause") => Ok(groups_page(kept, head)),
        Some(other) => Err(query::invalid("group", &format!("must be `cause`, not `{other}`"))),
    }
}

/// Which held keys are asked for.
struct Filter {
    /// `type/id` of the last key of the page before.
    after: Option<String>,
    cause: Option<String>,
    parked: Option<bool>,
}

impl Filter {
    fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let parked = match parameters.one("state") {
            None => None,
            Some("parked") => Some(true),
            Some("held") => Some(false),
            Some(other) => return Err(query::invalid("state", &format!("must be `held` or `parked`, not `{other}`"))),
        };
        let text = |name| parameters.one(name).map(str::to_owned);
        Ok(Self { after: text("after"), cause: text("cause"), parked })
    }

    fn keeps(&self, held: &HeldKey) -> bool {
        let cause_fits = self.cause.as_ref().is_none_or(|cause| *cause == cause_group(held.cause()));
        cause_fits && self.parked.is_none_or(|parked| parked == held.parked)
    }

    fn parameters(&self) -> String {
        let cause = self.cause.as_ref().map(|cause| format!("&cause={}", encode(cause)));
        let state = self.parked.map(|parked| format!("&state={}", if parked { "parked" } else { "held" }));
        [cause, state].into_iter().flatten().collect()
    }
}

fn held_page<'a>(consumer: &str, kept: impl Iterator<Item = &'a HeldKey>, filter: &Filter, limit: u64, head: Cursor) -> Response<Body> {
    let key = |held: &HeldKey| format!("{}/{}", held.kind, held.id);
    // They are ordered by type, then id; a page goes on behind the key that it names.
    let behind = |held: &&HeldKey| match filter.after.as_ref().and_then(|after| after.split_once('/')) {
        Some((kind, id)) => (held.kind.as_str(), held.id.as_str()) > (kind, id),
        None => true,
    };
    let mut page = Page::new();
    let mut last = String::new();
    for held in kept.filter(behind) {
        if page.is_full(limit) {
            let more = filter.parameters();
            let next = format!("/v1/admin/consumers/{}/held?after={}&limit={limit}{more}", encode(consumer), encode(&last));
            return page.finish(Some(&next), head);
        }
        page.item(|out| json::value(out, &held_json(held)));
        last = key(held);
    }
    page.finish(None, head)
}

/// `GET /v1/admin/consumers/{consumer}/keys/{key}`: what a processor remembers of a key, as it is durable.
pub(super) async fn remembered(gateway: &Arc<Gateway>, parts: &Parts, consumer: &str, id: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let runtime = &gateway.runtime;
    if !runtime.has_processor(consumer) {
        let known: Vec<String> = runtime.processors().iter().map(|name| (*name).to_owned()).collect();
        return Err(refusal::unknown_processor(consumer, &known));
    }
    let key = EntityKey::new(consumer, id).map_err(|error| Problem::new(INVALID_PATH, format!("the key {}", error.problem())))?;
    let sight = runtime.processor_key(consumer, &key).await.map_err(|error| refusal::order(error, consumer))?;
    let wakes: Vec<String> = sight.wakes.iter().map(|micros| calendar::text(Timestamp::from_micros(*micros))).collect();
    let parked = sight.parked.as_ref().map(held_json);
    Ok(answer::json(json!({ "key": id, "state": sight.state, "wakes": wakes, "parked": parked }).to_string()))
}

fn held_json(held: &HeldKey) -> Json {
    let time = |micros| calendar::text(Timestamp::from_micros(micros));
    let failures: Vec<Json> = held
        .failures
        .iter()
        .map(|failed| json!({ "time": time(failed.at_micros), "attempt": failed.attempt, "cause": failed.cause }))
        .collect();
    json!({
        "type": held.kind, "id": held.id, "state": if held.parked { "parked" } else { "held" },
        "event": held.event, "event_type": held.event_type, "sequence": held.sequence, "cursor": held.cursor,
        "attempts": held.attempts, "deaths": held.deaths, "edited": held.edited.is_some(), "since": time(held.since_micros),
        "due": (!held.parked).then(|| time(held.due_micros)), "cause": held.cause(), "group": cause_group(held.cause()), "failures": failures,
    })
}

fn groups_page<'a>(kept: impl Iterator<Item = &'a HeldKey>, head: Cursor) -> Response<Body> {
    let mut groups: BTreeMap<String, (u64, u64, i64)> = BTreeMap::new();
    for held in kept {
        let (held_count, parked, since) = groups.entry(cause_group(held.cause())).or_insert((0, 0, held.since_micros));
        *held_count += u64::from(!held.parked);
        *parked += u64::from(held.parked);
        *since = held.since_micros.min(*since);
    }
    let mut page = Page::new();
    for (cause, (held, parked, since)) in groups {
        let since = calendar::text(Timestamp::from_micros(since));
        page.item(|out| json::value(out, &json!({ "cause": cause, "held": held, "parked": parked, "since": since })));
    }
    page.finish(None, head)
}

/// What a decision says.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    event: Option<String>,
    cause: Option<String>,
    pub(super) reason: Option<String>,
    payload: Option<Json>,
    per_second: Option<u32>,
    pub(super) at: Option<String>,
}

/// `POST /v1/admin/consumers/{consumer}/{act}`.
pub(super) async fn act(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    consumer: &str,
    act: Act,
) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let said = said(gateway, parts, body).await?;
    let runtime = &gateway.runtime;
    let why = Decision { reason: said.reason.clone().unwrap_or_default(), context: headers::context(&parts.headers)? };
    let done = match act {
        Act::Redrive => {
            let selection = HeldSelection { key: said.key_if_any()?, cause: said.cause.clone() };
            runtime.redrive(consumer, selection, said.rate()?).await.map(|keys| json!({ "keys": keys }))
        }
        Act::DryRun => return dry_run(gateway, consumer, &said).await,
        Act::Discard => {
            let event = said.needed("event", said.event.as_ref())?;
            said.needed("reason", said.reason.as_ref())?;
            runtime.discard(consumer, said.key()?, event, why).await.map(|()| json!({ "keys": 1 }))
        }
        Act::Edit => {
            let (event, payload) = (said.needed("event", said.event.as_ref())?, said.needed("payload", said.payload.as_ref())?);
            runtime.edit(consumer, said.key()?, event, payload, why).await.map(|()| json!({ "keys": 1 }))
        }
        Act::Forget => runtime.forget_consumer(consumer).await.map(|()| json!({})),
        Act::Place => {
            let cursor = place(gateway, &said.needed("at", said.at.as_ref())?).await?;
            runtime.place_consumer(consumer, cursor, why).await.map(|()| json!({ "cursor": cursor.to_string() }))
        }
    };
    done.map(|done| answer::json(done.to_string())).map_err(|error| refusal::order(error, consumer))
}

pub(super) async fn said(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody) -> Result<Said, Problem> {
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let options = &gateway.options;
    let bytes: Bytes = body.read(options.body_bytes_max, options.body_read_timeout).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Said::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => refusal::invalid_field("", &error.to_string()),
        _ => Problem::new(MALFORMED_JSON, error),
    })
}

impl Said {
    pub(super) fn needed<T: Clone>(&self, field: &str, value: Option<&T>) -> Result<T, Problem> {
        value.cloned().ok_or_else(|| refusal::invalid_field(&format!("/{field}"), "is needed"))
    }

    fn key(&self) -> Result<EntityKey, Problem> {
        let (kind, id) = (self.needed("type", self.kind.as_ref())?, self.needed("id", self.id.as_ref())?);
        EntityKey::new(&kind, &id).map_err(|error| refusal::invalid_field(&format!("/{}", error.field()), error.problem()))
    }

    fn key_if_any(&self) -> Result<Option<EntityKey>, Problem> {
        if self.kind.is_none() && self.id.is_none() { Ok(None) } else { self.key().map(Some) }
    }

    fn rate(&self) -> Result<Option<u32>, Problem> {
        match self.per_second {
            Some(0) => Err(refusal::invalid_field("/per_second", "must be at least 1")),
            rate => Ok(rate),
        }
    }
}

/// A place in words: `first`, `now`, a time, or a cursor.
async fn place(gateway: &Gateway, at: &str) -> Result<Cursor, Problem> {
    let journal = gateway.runtime.journal();
    let failed = |error| refusal::read(&gateway.runtime, &error);
    match at {
        "first" => Ok(Cursor::BEGINNING),
        "now" => journal.head().await.map_err(failed),
        text => match (text.parse::<Cursor>(), calendar::parse(text)) {
            (Ok(cursor), _) => journal
                .lineage()
                .resolve(cursor, journal.head().await.map_err(failed)?.position(), 0)
                .map(|_| cursor)
                .map_err(|error| refusal::cursor(&error)),
            (_, Ok(time)) => journal.cursor_at(time).await.map_err(failed),
            _ => Err(refusal::invalid_field("/at", "must be `first`, `now`, a cursor, or a time such as 2026-11-21T08:15:30Z")),
        },
    }
}

/// What the next run of a held key would do; nothing takes effect.
async fn dry_run(gateway: &Arc<Gateway>, consumer: &str, said: &Said) -> Result<Response<Body>, Problem> {
    let preview = gateway.runtime.dry_run(consumer, &said.key()?, said.payload.as_ref()).await;
    let preview = preview.map_err(|error| refusal::order(error, consumer))?;
    let sends: Vec<Json> = preview.sends.iter().map(|send| json!({ "to": send.to, "body": send.body })).collect();
    Ok(answer::json(json!({ "outcome": preview.outcome, "cause": preview.cause, "sends": sends }).to_string()))
}
