//! `/v1/timers`: commands that are sent when their time has come.
//!
//! Setting and cancelling is idempotent by `Idempotency-Key`, as commands are: the same wish again changes nothing, also when the timer has
//! fired meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use journal::Cursor;
use runtime::{
    ChangeTimer, SetTimer, TimerChange, TimerError, TimerItem, TimerName, TimerSchedule, TimerSelection, TimerSight, TimerState,
    TimerTarget, TimerWhen,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::deadline::Deadline;
use super::entity::Page;
use super::headers::{self, CommandHeaders};
use super::path::encode;
use super::query::{self, Parameters, once};
use super::refusal::{self, invalid_field};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, TIMER_SPAN_MS_MAX, TIMERS_SET_BYTES_MAX, TIMERS_SET_MAX};
use crate::problem::{INVALID_PATH, MALFORMED_JSON, Problem, TIMER_NOT_FOUND, TIMER_NOT_WAITING};
use crate::{calendar, json};

/// What is done to a timer with a `POST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Reschedule,
    Redrive,
}

/// The body of `PUT`, and of `POST .../reschedule` without what is sent; only one of many has its name in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: Option<String>,
    due: Option<String>,
    after_ms: Option<u64>,
    every_ms: Option<u64>,
    cron: Option<String>,
    zone: Option<String>,
    send: Option<Send>,
}

/// The body of `POST`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    timers: Vec<Wish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    command: String,
    body: Option<Box<RawValue>>,
}

/// `GET /v1/timers`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let names = ["prefix", "after", "from", "until", "type", "id", "state", "limit", "seen"];
    let parameters = Parameters::read(parts.uri.query(), &names.map(once))?;
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let mut selection = selection(&parameters)?;
    // One more says whether there is a next page.
    selection.limit = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let items = gateway.runtime.timer_list(selection).await.map_err(|error| refused(gateway, error))?;
    let (mut page, mut last) = (Page::new(), None);
    for item in &items {
        if page.is_full(limit) {
            break;
        }
        page.item(|out| json::value(out, &item_json(item)));
        last = Some(item.name.as_str());
    }
    let has_more = items.last().map(|item| item.name.as_str()) != last;
    let next = last.filter(|_| has_more).map(|last| next(&parameters, last));
    Ok(page.finish(next.as_deref(), head))
}

fn selection(parameters: &Parameters) -> Result<TimerSelection, Problem> {
    let text = |name| parameters.one(name).map(str::to_owned);
    let time = |name| match parameters.one(name) {
        Some(text) => calendar::parse(text).map(Some).map_err(|problem| query::invalid(name, &problem)),
        None => Ok(None),
    };
    let state = text("state");
    if let Some(other) = state.as_deref().filter(|state| !["pending", "parked"].contains(state)) {
        return Err(query::invalid("state", &format!("must be `pending` or `parked`, not `{other}`")));
    }
    let seen = parameters.one("seen").map(str::parse).transpose().map_err(|error| refusal::cursor(&error))?;
    Ok(TimerSelection {
        tenant: String::new(),
        prefix: text("prefix").unwrap_or_default(),
        after: text("after").unwrap_or_default(),
        from: time("from")?,
        until: time("until")?,
        kind: text("type"),
        id: text("id"),
        state,
        limit: 0,
        seen,
    })
}

/// The address of the page behind this name.
fn next(parameters: &Parameters, last: &str) -> String {
    let mut address = format!("/v1/timers?after={}", encode(last));
    for name in ["prefix", "from", "until", "type", "id", "state", "limit"] {
        if let Some(value) = parameters.one(name) {
            address += &format!("&{name}={}", encode(value));
        }
    }
    address
}

/// `GET /v1/timers/{name}`.
pub(super) async fn show(gateway: &Arc<Gateway>, parts: &Parts, name: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let found = gateway.runtime.timer(&named(name)).await.map_err(|error| refused(gateway, error))?;
    let timer = found.ok_or_else(|| refused(gateway, TimerError::NotFound { name: name.to_owned() }))?;
    let mut response = answer::json(sight_json(&timer).to_string());
    answer::set_etag(response.headers_mut(), timer.sequence);
    Ok(response)
}

/// `PUT` sets a timer, `DELETE` cancels it.
pub(super) async fn change(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, name: &str) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(parts, name)?;
    if parts.method == Method::DELETE {
        return asked.answered(gateway, "cancelled", |wish| gateway.runtime.cancel_timer(wish)).await;
    }
    let (when, target) = wanted(read(gateway, parts, body).await?)?;
    let set = |ChangeTimer { name, id, context }| gateway.runtime.set_timer(SetTimer { name, when, target, id, context });
    asked.answered(gateway, "set", set).await
}

/// `POST /v1/timers` sets many, each on its own, and all under the key of the request.
pub(super) async fn set_all(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody) -> Result<Response<Body>, Problem> {
    let Asked { wish: ChangeTimer { id, context, .. }, echo, deadline } = Asked::read(parts, "")?;
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let bytes = body.read(TIMERS_SET_BYTES_MAX, gateway.options.body_read_timeout).await?;
    let Many { timers } = parsed(&bytes)?;
    if timers.len() > TIMERS_SET_MAX {
        return Err(invalid_field("/timers", &format!("has {} timers; at most {TIMERS_SET_MAX} are set at once", timers.len())));
    }
    let wishes: Result<Vec<_>, _> = timers
        .into_iter()
        .enumerate()
        .map(|(place, mut wish)| {
            let name = wish.name.take().ok_or_else(|| invalid_field("/name", "is needed: say which timer"));
            let set = name.and_then(|name| wanted(wish).map(|wanted| (named(&name), wanted)));
            let set = set.map(|(name, (when, target))| SetTimer { name, when, target, id: id.clone(), context: context.clone() });
            set.map_err(|problem| problem.member("index", place))
        })
        .collect();
    let wishes = wishes?;
    let all = async {
        let changes = gateway.runtime.set_timers(wishes).await;
        counted(changes.map_err(|(place, error)| refused(gateway, error).member("index", place))?, gateway)
    };
    let mut response = deadline.hold(id.as_deref(), all).await?;
    if let Some(key) = &id {
        answer::set_key(response.headers_mut(), echo, key);
    }
    Ok(response)
}

/// How many are set by this request and how many were so. The first that could not be set is the answer: the same request again sets the rest.
fn counted(changes: Vec<Result<TimerChange, TimerError>>, gateway: &Gateway) -> Result<Response<Body>, Problem> {
    let (mut set, mut unchanged, mut cursor) = (0_u64, 0_u64, None);
    for (place, change) in changes.into_iter().enumerate() {
        let change = change.map_err(|error| refused(gateway, error).member("index", place))?;
        if change.changed {
            set += 1
        } else {
            unchanged += 1
        }
        let is_later = |place: &Cursor| cursor.is_none_or(|known: Cursor| place.position() > known.position());
        cursor = change.cursor.filter(is_later).or(cursor);
    }
    let mut body = json!({ "set": set, "unchanged": unchanged });
    if let Some(cursor) = cursor {
        body["cursor"] = json!(cursor.to_string());
    }
    let mut response = answer::json(body.to_string());
    cursor.into_iter().for_each(|cursor| answer::set_cursor(response.headers_mut(), cursor));
    Ok(response)
}

/// `POST .../reschedule` and `/redrive`.
pub(super) async fn act(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    (name, act): (&str, Act),
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(parts, name)?;
    if act == Act::Redrive {
        headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
        return asked.answered(gateway, "redriven", |wish| gateway.runtime.redrive_timer(wish)).await;
    }
    let wish = read(gateway, parts, body).await?;
    if wish.send.is_some() {
        return Err(invalid_field("/send", "has no place here: what is sent stays; PUT the timer to change it"));
    }
    let when = when(&wish)?;
    asked.answered(gateway, "rescheduled", |wish| gateway.runtime.reschedule_timer(wish, when)).await
}

/// `GET /v1/admin/timers`.
pub(super) async fn status(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let status = gateway.runtime.timers_status().await;
    let body = json!({ "pending": status.pending, "parked": status.parked, "firing": status.firing, "resting": status.resting,
        "trouble": status.trouble });
    Ok(answer::json(body.to_string()))
}

/// What the head of a request says of a change.
struct Asked {
    wish: ChangeTimer,
    echo: Option<HeaderValue>,
    deadline: Deadline,
}

impl Asked {
    fn read(parts: &Parts, name: &str) -> Result<Self, Problem> {
        query::none(parts.uri.query())?;
        let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
        headers::refuse(&parts.headers, &conditions, "has no meaning for a timer; leave it out")?;
        let deadline = Deadline::read(&parts.headers)?;
        let CommandHeaders { id, echo, context, .. } = CommandHeaders::read(&parts.headers)?;
        Ok(Self { wish: ChangeTimer { name: named(name), id, context }, echo, deadline })
    }

    /// The answer to it; `word` is the member that says whether the wish is why the timer is so.
    async fn answered<F: Future<Output = Result<TimerChange, TimerError>>>(
        self,
        gateway: &Gateway,
        word: &'static str,
        change: impl FnOnce(ChangeTimer) -> F,
    ) -> Result<Response<Body>, Problem> {
        let Self { wish, echo, deadline } = self;
        let key = wish.id.clone();
        let work = change(wish);
        let changed = async { work.await.map_err(|error| refused(gateway, error)) };
        let change = deadline.hold(key.as_deref(), changed).await?;
        let mut body = json!({ "timer": sight_json(&change.timer) });
        body[word] = json!(change.changed);
        if let Some(cursor) = change.cursor {
            body["cursor"] = json!(cursor.to_string());
        }
        let mut response = answer::json(body.to_string());
        let headers = response.headers_mut();
        answer::set_etag(headers, change.timer.sequence);
        change.cursor.into_iter().for_each(|cursor| answer::set_cursor(headers, cursor));
        if let Some(key) = key {
            answer::set_key(headers, echo, &key);
        }
        Ok(response)
    }
}

fn named(name: &str) -> TimerName {
    TimerName { tenant: String::new(), name: name.to_owned() }
}

async fn read(gateway: &Gateway, parts: &Parts, body: &mut RequestBody) -> Result<Wish, Problem> {
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let options = &gateway.options;
    let bytes = body.read(options.body_bytes_max, options.body_read_timeout).await?;
    parsed(&bytes)
}

fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => invalid_field("", &error.to_string()),
        _ => Problem::new(MALFORMED_JSON, error),
    })
}

/// When a timer is wanted, and what it sends.
fn wanted(wish: Wish) -> Result<(TimerWhen, TimerTarget), Problem> {
    let when = when(&wish)?;
    let Send { kind, id, command, body } =
        wish.send.ok_or_else(|| invalid_field("/send", "is needed: say which command is sent to whom"))?;
    let body = body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body.get().as_bytes()));
    Ok((when, TimerTarget { kind, id, command, body }))
}

/// When it is due: at a time, so long from now as the service's clock has it, or again and again.
fn when(wish: &Wish) -> Result<TimerWhen, Problem> {
    if wish.name.is_some() {
        return Err(invalid_field("/name", "has no place here: the path names the timer"));
    }
    let span = |name: &str, millis: u64| match millis {
        0..=TIMER_SPAN_MS_MAX => Ok(Duration::from_millis(millis)),
        _ => Err(invalid_field(&format!("/{name}"), &format!("must be at most {TIMER_SPAN_MS_MAX}"))),
    };
    if wish.zone.is_some() && wish.cron.is_none() {
        return Err(invalid_field("/zone", "is the time zone of a cron line, and there is none"));
    }
    match (&wish.due, wish.after_ms, wish.every_ms, &wish.cron) {
        (Some(due), None, None, None) => calendar::parse(due).map(TimerWhen::At).map_err(|problem| invalid_field("/due", &problem)),
        (None, Some(millis), None, None) => span("after_ms", millis).map(TimerWhen::After),
        (None, None, Some(millis), None) => Ok(TimerWhen::Schedule(TimerSchedule::Every(span("every_ms", millis)?))),
        (None, None, None, Some(line)) => {
            let zone = wish.zone.clone().unwrap_or_else(|| "UTC".to_owned());
            Ok(TimerWhen::Schedule(TimerSchedule::Cron { line: line.clone(), zone }))
        }
        _ => Err(invalid_field("/due", "after_ms, every_ms or cron is needed, one of them: say when the timer is due")),
    }
}

fn refused(gateway: &Gateway, error: TimerError) -> Problem {
    match error {
        TimerError::Name { .. } => Problem::new(INVALID_PATH, error),
        TimerError::Unfit { what: "target", problem } => invalid_field("/send/id", &problem),
        TimerError::Unfit { problem, .. } => invalid_field("", &format!("the schedule {problem}")),
        TimerError::NotFound { .. } => Problem::new(TIMER_NOT_FOUND, error),
        TimerError::NotNow { state, .. } => Problem::new(TIMER_NOT_WAITING, error).member("state", state),
        TimerError::Command(error) => refusal::timer_command(error),
        TimerError::Query(error) => refusal::query(&gateway.runtime, error, true),
    }
}

fn sight_json(timer: &TimerSight) -> Json {
    let TimerTarget { kind, id, command, body } = &timer.target;
    let mut shown = json!({
        "name": timer.name, "state": timer.state.word(), "due": calendar::text(timer.due), "set_at": calendar::text(timer.set_at),
        "sequence": timer.sequence,
        "send": { "type": kind, "id": id, "command": command, "body": serde_json::from_slice::<Json>(body).unwrap_or_default() },
    });
    match &timer.schedule {
        None => {}
        Some(TimerSchedule::Every(period)) => shown["every_ms"] = json!(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
        Some(TimerSchedule::Cron { line, zone }) => (shown["cron"], shown["zone"]) = (json!(line), json!(zone)),
    }
    if let TimerState::Parked { cause, attempts } = &timer.state {
        shown["cause"] = json!(cause);
        shown["attempts"] = json!(attempts);
    }
    if let Some(last) = &timer.last {
        let outcome = if last.rejected.is_some() { "rejected" } else { "accepted" };
        shown["last"] = json!({ "due": calendar::text(last.due), "outcome": outcome, "rejection": last.rejected });
    }
    shown
}

fn item_json(item: &TimerItem) -> Json {
    json!({ "name": item.name, "state": item.state, "due": calendar::text(item.due), "type": item.kind, "id": item.id,
        "command": item.command, "cause": item.cause })
}
