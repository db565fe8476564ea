//! `/v1/workflows`: durable functions, started, signalled and looked at.
//!
//! A workflow is started under an id of the client's: the same id with the same input is the same workflow, whenever it is sent again.
//! Whoever says `Prefer: wait=N` is answered when it has ended, or after so many seconds.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use runtime::{
    TimelineItem, WorkflowChange, WorkflowError, WorkflowHistory, WorkflowItem, WorkflowName, WorkflowOrder, WorkflowSelection,
    WorkflowSight, WorkflowState, WorkflowWish,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::deadline::Deadline;
use super::entity::Page;
use super::headers::{self, CommandHeaders};
use super::path::encode;
use super::prefer::{self, PREFERENCE_APPLIED};
use super::query::{self, Parameters, once};
use super::refusal::{self, invalid_field};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::{INVALID_PATH, MALFORMED_JSON, Problem, WORKFLOW_NOT_FOUND, WORKFLOW_NOT_NOW, WORKFLOW_OTHER_INPUT};
use crate::{calendar, json};

/// What is done to a workflow with a `POST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Cancel,
    Pause,
    Resume,
    Rerun,
}

/// The body of an act.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    why: Option<String>,
    skip: Option<bool>,
    from: Option<Json>,
}

/// `GET /v1/workflows` and `GET /v1/workflows/{name}`.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts, workflow: Option<&str>) -> Result<Response<Body>, Problem> {
    let names = ["prefix", "after", "state", "limit", "seen"];
    let parameters = Parameters::read(parts.uri.query(), &names.map(once))?;
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let mut selection = selection(&parameters, workflow)?;
    // One more says whether there is a next page.
    selection.limit = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let items = gateway.runtime.workflow_list(selection).await.map_err(|error| refused(gateway, error))?;
    let (mut page, mut last) = (Page::new(), None);
    for item in &items {
        if page.is_full(limit) {
            break;
        }
        page.item(|out| json::value(out, &item_json(item)));
        last = Some(format!("{}/{}", item.workflow, item.id));
    }
    let has_more = items.last().map(|item| format!("{}/{}", item.workflow, item.id)) != last;
    let next = last.filter(|_| has_more).map(|last| next(&parameters, workflow, &last));
    Ok(page.finish(next.as_deref(), head))
}

/// `GET /v1/admin/workflows/histories`: whole records, one a line; who asks for those behind the last one until there is none has seen all.
pub(super) async fn histories(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    let names = ["workflow", "prefix", "after", "state", "ended", "limit", "seen"];
    let parameters = Parameters::read(parts.uri.query(), &names.map(once))?;
    let limit = parameters.bounded("limit", PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT);
    let mut selection = selection(&parameters, parameters.one("workflow"))?;
    let has_ended = parameters.flag("ended")?;
    if has_ended.is_some() && selection.state.is_some() {
        return Err(query::invalid("ended", "has no place beside `state`, which says it: leave one of them out"));
    }
    selection.is_open = has_ended == Some(false);
    selection.limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let histories = gateway.runtime.workflow_histories(selection).await.map_err(|error| refused(gateway, error))?;
    let mut lines = Vec::new();
    for history in histories {
        line(&mut lines, &history);
    }
    Ok(answer::with(StatusCode::OK, answer::NDJSON, Body::whole(lines)))
}

/// A record on one line. Turns stand in it as they were recorded, with what white space clients sent.
fn line(out: &mut Vec<u8>, history: &WorkflowHistory) {
    // Numbers, texts and JSON always encode.
    json::verbatim(out, &serde_json::to_vec(history).unwrap_or_default());
    out.push(b'\n');
}

fn selection(parameters: &Parameters, workflow: Option<&str>) -> Result<WorkflowSelection, Problem> {
    let text = |name| parameters.one(name).map(str::to_owned);
    let state = match parameters.one("state") {
        Some(word) => Some(WorkflowState::of_word(word).ok_or_else(|| {
            let known = WorkflowState::ALL.map(WorkflowState::word).join(", ");
            query::invalid("state", &format!("must be one of {known}, not `{word}`"))
        })?),
        None => None,
    };
    if workflow.is_none() && parameters.one("prefix").is_some() {
        return Err(query::invalid("prefix", "is one of ids: name the workflow, as in /v1/workflows/shipping?prefix=..."));
    }
    let seen = parameters.one("seen").map(str::parse).transpose().map_err(|error| refusal::cursor(&error))?;
    Ok(WorkflowSelection {
        tenant: String::new(),
        workflow: workflow.map(str::to_owned),
        prefix: text("prefix").unwrap_or_default(),
        after: text("after").unwrap_or_default(),
        state,
        is_open: false,
        limit: 0,
        seen,
    })
}

/// The address of the page behind this one.
fn next(parameters: &Parameters, workflow: Option<&str>, last: &str) -> String {
    let of = workflow.map(|workflow| format!("/{}", encode(workflow))).unwrap_or_default();
    let mut address = format!("/v1/workflows{of}?after={}", encode(last));
    for name in ["prefix", "state", "limit"] {
        if let Some(value) = parameters.one(name) {
            address += &format!("&{name}={}", encode(value));
        }
    }
    address
}

/// `GET /v1/workflows/{name}/{id}`.
pub(super) async fn show(gateway: &Arc<Gateway>, parts: &Parts, name: WorkflowName) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let wait = prefer::wait(&parts.headers)?;
    let found = match wait {
        Some(wait) => gateway.runtime.workflow_end(&name, wait).await,
        None => gateway.runtime.workflow(&name).await,
    };
    let sight = found.map_err(|error| refused(gateway, error))?.ok_or_else(|| not_found(gateway, name))?;
    Ok(shown(&sight, StatusCode::OK, wait.is_some()))
}

fn shown(sight: &WorkflowSight, status: StatusCode, has_waited: bool) -> Response<Body> {
    let mut body = Vec::with_capacity(256);
    json::value(&mut body, &sight_json(sight));
    let mut response = answer::with(status, JSON, Body::whole(body));
    answer::set_etag(response.headers_mut(), sight.sequence);
    if has_waited {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
    }
    response
}

/// `GET /v1/workflows/{name}/{id}/timeline`.
pub(super) async fn timeline(gateway: &Arc<Gateway>, parts: &Parts, name: WorkflowName) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let found = gateway.runtime.workflow_timeline(&name).await.map_err(|error| refused(gateway, error))?;
    let items = found.ok_or_else(|| not_found(gateway, name))?;
    let items: Vec<Json> = items.iter().map(timeline_json).collect();
    Ok(answer::json(json!({ "items": items }).to_string()))
}

/// `POST /v1/workflows/{name}/{id}`: starts it.
pub(super) async fn start(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    name: WorkflowName,
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(parts, name)?;
    let wait = prefer::wait(&parts.headers)?;
    let input = bytes(gateway, parts, body).await?;
    let (name, deadline) = (asked.wish.name.clone(), Deadline::read(&parts.headers)?);
    let (echo, key) = (asked.echo.clone(), asked.wish.id.clone());
    let work = async {
        let change = asked.order(gateway, WorkflowOrder::Start { input }).await?;
        let Some(wait) = wait else { return Ok((change, None)) };
        let sight = gateway.runtime.workflow_end(&name, wait).await.map_err(|error| refused(gateway, error))?;
        Ok((change, sight))
    };
    let (change, sight) = deadline.hold(key.as_deref(), work).await?;
    let mut response = match sight {
        Some(sight) if sight.state.is_ended() => shown(&sight, StatusCode::OK, true),
        _ => answered(&change, "started", StatusCode::ACCEPTED),
    };
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/workflows/{}/{}", encode(&name.workflow), encode(&name.id))) {
        headers.insert(header::LOCATION, location);
    }
    if let Some(key) = key {
        answer::set_key(headers, echo, &key);
    }
    Ok(response)
}

/// `POST /v1/workflows/{name}/{id}/signals/{signal}`.
pub(super) async fn signal(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    (name, signal): (WorkflowName, String),
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(parts, name)?;
    let body = bytes(gateway, parts, body).await?;
    asked.answered(gateway, parts, "signalled", WorkflowOrder::Signal { signal, body }).await
}

/// `POST .../cancel`, `/pause`, `/resume` and `/rerun`.
pub(super) async fn act(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    (name, act): (WorkflowName, Act),
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(parts, name)?;
    let text = bytes(gateway, parts, body).await?;
    let wish: Wish = if text.trim_ascii().is_empty() {
        Wish::default()
    } else {
        serde_json::from_slice(&text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => invalid_field("", &error.to_string()),
            _ => Problem::new(MALFORMED_JSON, error),
        })?
    };
    let (word, order) = order(act, wish)?;
    asked.answered(gateway, parts, word, order).await
}

fn order(act: Act, wish: Wish) -> Result<(&'static str, WorkflowOrder), Problem> {
    let Wish { why, skip, from } = wish;
    let unfit = |name: &str| invalid_field(&format!("/{name}"), "has no place here");
    let is_told_why = matches!(act, Act::Cancel | Act::Pause);
    if why.is_some() && !is_told_why {
        return Err(unfit("why"));
    }
    if skip.is_some() && act != Act::Resume {
        return Err(unfit("skip"));
    }
    if from.is_some() && act != Act::Rerun {
        return Err(unfit("from"));
    }
    let why = why.unwrap_or_else(|| "no reason was given".to_owned());
    Ok(match act {
        Act::Cancel => ("cancelled", WorkflowOrder::Cancel { why }),
        Act::Pause => ("paused", WorkflowOrder::Pause { why }),
        Act::Resume => ("resumed", WorkflowOrder::Resume { skip: skip.unwrap_or(false) }),
        Act::Rerun => {
            let from = match from {
                Some(Json::String(name)) => name,
                Some(Json::Number(number)) => number.to_string(),
                _ => return Err(invalid_field("/from", "is needed: the number or the name of the operation to run again from")),
            };
            ("rerun", WorkflowOrder::Rerun { from })
        }
    })
}

/// `GET /v1/admin/workflows`.
pub(super) async fn status(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let status = gateway.runtime.workflows_status().await.map_err(|error| refused(gateway, error))?;
    let counts: serde_json::Map<String, Json> = status.counts.into_iter().map(|(state, count)| (state, json!(count))).collect();
    let body = json!({ "counts": counts, "in_memory": status.in_memory, "attempts": status.attempts, "trouble": status.trouble });
    Ok(answer::json(body.to_string()))
}

/// What the head of a request says of a wish.
struct Asked {
    wish: WorkflowWish,
    echo: Option<HeaderValue>,
}

impl Asked {
    fn read(parts: &Parts, name: WorkflowName) -> Result<Self, Problem> {
        query::none(parts.uri.query())?;
        let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
        headers::refuse(&parts.headers, &conditions, "has no meaning for a workflow; leave it out")?;
        let CommandHeaders { id, echo, context, .. } = CommandHeaders::read(&parts.headers)?;
        Ok(Self { wish: WorkflowWish { name, id, context }, echo })
    }

    async fn order(self, gateway: &Gateway, order: WorkflowOrder) -> Result<WorkflowChange, Problem> {
        gateway.runtime.order_workflow(self.wish, order).await.map_err(|error| refused(gateway, error))
    }

    /// The answer to it; `word` is the member that says whether the wish changed anything.
    async fn answered(self, gateway: &Gateway, parts: &Parts, word: &'static str, order: WorkflowOrder) -> Result<Response<Body>, Problem> {
        let (echo, key, deadline) = (self.echo.clone(), self.wish.id.clone(), Deadline::read(&parts.headers)?);
        let change = deadline.hold(key.as_deref(), self.order(gateway, order)).await?;
        let mut response = answered(&change, word, StatusCode::OK);
        if let Some(key) = key {
            answer::set_key(response.headers_mut(), echo, &key);
        }
        Ok(response)
    }
}

fn answered(change: &WorkflowChange, word: &'static str, status: StatusCode) -> Response<Body> {
    let mut body = json!({ "state": change.state.word(), "sequence": change.sequence });
    body[word] = json!(change.changed);
    if let Some(cursor) = change.cursor {
        body["cursor"] = json!(cursor.to_string());
    }
    let mut response = answer::with(status, JSON, Body::whole(body.to_string()));
    let headers = response.headers_mut();
    answer::set_etag(headers, change.sequence);
    change.cursor.into_iter().for_each(|cursor| answer::set_cursor(headers, cursor));
    response
}

async fn bytes(gateway: &Gateway, parts: &Parts, body: &mut RequestBody) -> Result<Bytes, Problem> {
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let options = &gateway.options;
    body.read(options.body_bytes_max, options.body_read_timeout).await
}

fn not_found(gateway: &Gateway, name: WorkflowName) -> Problem {
    refused(gateway, WorkflowError::NotFound { workflow: name.workflow, id: name.id })
}

fn refused(gateway: &Gateway, error: WorkflowError) -> Problem {
    match error {
        WorkflowError::Unknown { .. } | WorkflowError::NotFound { .. } => Problem::new(WORKFLOW_NOT_FOUND, error),
        WorkflowError::Unfit { .. } => Problem::new(INVALID_PATH, error),
        WorkflowError::Other { .. } => Problem::new(WORKFLOW_OTHER_INPUT, error),
        WorkflowError::NotNow { state, .. } => Problem::new(WORKFLOW_NOT_NOW, error).member("state", state.word()),
        WorkflowError::Command(error) => refusal::workflow_command(error),
        WorkflowError::Query(error) => refusal::query(&gateway.runtime, error, true),
    }
}

fn raw(json: &[u8]) -> Json {
    serde_json::from_slice(json).unwrap_or_default()
}

fn sight_json(sight: &WorkflowSight) -> Json {
    let mut shown = json!({
        "workflow": sight.workflow, "id": sight.id, "state": sight.state.word(), "started": calendar::text(sight.started),
        "changed": calendar::text(sight.changed), "sequence": sight.sequence,
    });
    if let Some(why) = &sight.why {
        shown["why"] = json!(why);
    }
    if let Some(due) = sight.due {
        shown["due"] = json!(calendar::text(due));
    }
    if let Some(output) = &sight.output {
        shown["output"] = raw(output);
    }
    if let Some(failure) = &sight.failure {
        shown["failure"] = json!(failure);
    }
    shown
}

fn item_json(item: &WorkflowItem) -> Json {
    json!({ "workflow": item.workflow, "id": item.id, "state": item.state, "why": item.why, "due": item.due.map(calendar::text),
        "started": calendar::text(item.started), "changed": calendar::text(item.changed) })
}

fn timeline_json(item: &TimelineItem) -> Json {
    let failures = |failures: &[(journal::Timestamp, String)]| -> Json {
        failures.iter().map(|(time, cause)| json!({ "time": calendar::text(*time), "cause": cause })).collect()
    };
    let mut shown = json!({ "kind": item.kind, "name": item.name, "state": item.state, "began": calendar::text(item.began) });
    if let Some(number) = item.number {
        shown["number"] = json!(number);
    }
    if let Some(ended) = item.ended {
        shown["ended"] = json!(calendar::text(ended));
    }
    if !item.failures.is_empty() {
        shown["failures"] = failures(&item.failures);
    }
    if let Some(result) = &item.result {
        shown["result"] = raw(result);
    }
    if let Some(undo) = &item.undo {
        shown["undo"] = json!({ "name": undo.name, "state": undo.state });
        if let Some(ended) = undo.ended {
            shown["undo"]["ended"] = json!(calendar::text(ended));
        }
        if !undo.failures.is_empty() {
            shown["undo"]["failures"] = failures(&undo.failures);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_white_space_was_sent() {
        let kept =
            "{\"workflow\":\"w\",\"id\":\"i\",\"state\":\"waiting\",\"records\":[{\"name\":\"started\",\"turn\":{\n \"a\": 1\r\n}}]}";
        let mut out = Vec::new();
        line(&mut out, &serde_json::from_str(kept).unwrap());
        assert_eq!(out.iter().position(|byte| matches!(byte, b'\n' | b'\r')), Some(out.len() - 1));
        assert_eq!(raw(&out)["records"][0]["turn"], json!({ "a": 1 }));
    }
}
