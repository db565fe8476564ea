//! `GET` or `POST /v1/views/{view}/{query}`: rows as JSON, NDJSON or CSV, or live as server-sent events; how views are; a rebuild.
//!
//! `GET` takes the query's parameters from the query string, `POST` as a JSON object. `?seen=` waits for a cursor, so that one sees what one
//! wrote; `?stale=ok` takes what a view has that has stopped or is filled for the first time.

mod csv;
mod feed;

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use runtime::{QueryAnswer, QueryError, QueryInput, QueryRequest, ViewStatus};
use serde_json::{Value as Json, json};

use super::Gateway;
use super::admin::stall_json;
use super::answer::{self, JSON, NDJSON, SSE};
use super::body::{Body, RequestBody};
use super::headers::{self, invalid, single};
use super::path::decode;
use super::query::{self, Parameters, once};
use super::refusal;
use super::stream::LAST_EVENT_ID;
use crate::limits::SEEN_MAX;
use crate::problem::{INVALID_CURSOR, INVALID_HEADER, INVALID_PARAMETER, NOT_ACCEPTABLE, Problem};
use feed::Feed;

pub(super) const CSV: &str = "text/csv; charset=utf-8";
/// Parameters of the query string that are ours; every other one is the query's.
const OURS: [&str; 2] = ["seen", "stale"];

/// What rows come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Lines,
    Csv,
    Live,
}

pub(super) async fn ask(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    view: &str,
    query: &str,
) -> Result<Response<Body>, Problem> {
    let format = format(parts)?;
    let (ours, theirs) = split(parts.uri.query())?;
    let stale = match ours.one("stale") {
        None => false,
        Some("ok") => true,
        Some(text) => return Err(query::invalid("stale", &format!("must be `ok`, not `{text}`"))),
    };
    let seen =
        ours.one("seen").map(|text| text.parse().map_err(|error| Problem::new(INVALID_CURSOR, format!("seen: {error}")))).transpose()?;
    let input = input(gateway, parts, body, theirs).await?;
    let is_texts = matches!(input, QueryInput::Texts(_));
    let request = QueryRequest { view: view.to_owned(), query: query.to_owned(), input, seen, wait: SEEN_MAX, stale };
    let refused = |error: QueryError| refusal::query(&gateway.runtime, error, is_texts);
    if format == Format::Live {
        let after = last_event_id(&parts.headers)?;
        let live = gateway.runtime.live(request, after).await.map_err(refused)?;
        return Ok(feed::response(Feed::new(gateway, live)));
    }
    if parts.headers.contains_key(&LAST_EVENT_ID) {
        return Err(invalid(&LAST_EVENT_ID, "belongs to server-sent events; accept `text/event-stream`"));
    }
    let answer = gateway.runtime.query(request).await.map_err(refused)?;
    rows(&parts.headers, &answer, format)
}

/// The first of our forms that the client accepts; quality values are not weighed.
fn format(parts: &Parts) -> Result<Format, Problem> {
    let Some(accept) = single(&parts.headers, &header::ACCEPT, INVALID_HEADER)? else { return Ok(Format::Json) };
    let essences = accept.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
    let mut found = essences.filter_map(|essence| match essence.to_ascii_lowercase().as_str() {
        JSON | "application/*" | "*/*" | "" => Some(Format::Json),
        NDJSON => Some(Format::Lines),
        "text/csv" => Some(Format::Csv),
        SSE => Some(Format::Live),
        _ => None,
    });
    found
        .next()
        .ok_or_else(|| Problem::new(NOT_ACCEPTABLE, format!("rows come as `{JSON}`, `{NDJSON}`, `text/csv` or `{SSE}`, not as `{accept}`")))
}

type Texts = Vec<(String, String)>;

/// Our parameters, and the query's.
fn split(query: Option<&str>) -> Result<(Parameters, Texts), Problem> {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if OURS.contains(&name) {
            ours.push(pair);
            continue;
        }
        let name = decode(name).map_err(|problem| query::invalid("a parameter's name", &problem))?.into_owned();
        let value = decode(&value.replace('+', "%20")).map_err(|problem| query::invalid(&name, &problem))?.into_owned();
        if theirs.iter().any(|(known, _)| *known == name) {
            return Err(query::invalid(&name, "is there more than once; send one"));
        }
        theirs.push((name, value));
    }
    let known = [once("seen"), once("stale")];
    Ok((Parameters::read(Some(&ours.join("&")), &known)?, theirs))
}

async fn input(gateway: &Gateway, parts: &Parts, body: &mut RequestBody, texts: Texts) -> Result<QueryInput, Problem> {
    if parts.method != Method::POST {
        return Ok(QueryInput::Texts(texts));
    }
    if let Some((name, _)) = texts.first() {
        return Err(query::invalid(name, "belongs to the body of a POST; or ask with GET"));
    }
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    let options = &gateway.options;
    Ok(QueryInput::Json(body.read(options.body_bytes_max, options.body_read_timeout).await?))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<journal::Cursor>, Problem> {
    let text = single(headers, &LAST_EVENT_ID, INVALID_HEADER)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|error| Problem::new(INVALID_CURSOR, format!("last-event-id: {error}")))).transpose()
}

fn rows(headers: &HeaderMap, answer: &QueryAnswer, format: Format) -> Result<Response<Body>, Problem> {
    let (media_type, body) = match format {
        Format::Json | Format::Live => (JSON, json_rows(answer)),
        Format::Lines => (NDJSON, lines(answer)),
        Format::Csv => (CSV, csv::write(answer)),
    };
    let tag = tag(answer);
    let mut response = if headers::has_tag(headers, &tag)? {
        answer::with(StatusCode::NOT_MODIFIED, media_type, Body::empty())
    } else {
        answer::with(StatusCode::OK, media_type, Body::whole(body))
    };
    let headers = response.headers_mut();
    // A cache may keep it, when it asks each time whether it is still true.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    answer::set_tag(headers, &tag);
    answer::set_cursor(headers, answer.cursor);
    Ok(response)
}

fn json_rows(answer: &QueryAnswer) -> Vec<u8> {
    let mut body = b"{\"items\":[".to_vec();
    comma_separated(&mut body, answer.rows.iter());
    body.extend_from_slice(b"],\"next\":null,\"cursor\":");
    crate::json::plain(&mut body, answer.cursor);
    body.push(b'}');
    body
}

fn comma_separated<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a [u8]>) {
    for (at, row) in rows.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(row);
    }
}

fn lines(answer: &QueryAnswer) -> Vec<u8> {
    answer.rows.iter().flat_map(|row| [row, b"\n"]).flatten().copied().collect()
}

/// The rows' hash: the same rows of two nodes, or after a restart, have the same. Weak, since the cursor beside them is another one.
fn tag(answer: &QueryAnswer) -> String {
    let mut hasher = DefaultHasher::new();
    answer.rows.iter().for_each(|row| {
        hasher.write(row);
        hasher.write_u8(0xff);
    });
    format!("W/\"{:016x}\"", hasher.finish())
}

/// `GET /v1/views`: how all of them are.
pub(super) async fn list(gateway: &Arc<Gateway>, parts: &Parts) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let items: Vec<Json> = gateway.runtime.view_status().await.iter().map(|status| status_json(gateway, status)).collect();
    let mut response = answer::json(json!({ "items": items, "next": null, "cursor": head.to_string() }).to_string());
    answer::set_cursor(response.headers_mut(), head);
    Ok(response)
}

/// `GET /v1/views/{view}`: how one is.
pub(super) async fn status(gateway: &Arc<Gateway>, parts: &Parts, view: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let all = gateway.runtime.view_status().await;
    let found = all.iter().find(|status| status.name == view);
    let status = found.ok_or_else(|| refusal::unknown_view(view, &all.iter().map(|status| status.name).collect::<Vec<_>>()))?;
    let mut response = answer::json(status_json(gateway, status).to_string());
    answer::set_cursor(response.headers_mut(), status.cursor);
    Ok(response)
}

fn status_json(gateway: &Gateway, status: &ViewStatus) -> Json {
    let described = gateway.runtime.view_descriptions().into_iter().find(|view| view.name == status.name);
    let queries: Vec<&str> = described.iter().flat_map(|view| &view.queries).map(|query| query.name).collect();
    let rebuild = status.rebuild.as_ref().map(|rebuild| {
        json!({
            "state": rebuild.state.word(), "cause": rebuild.state.cause(), "cursor": rebuild.cursor.to_string(), "behind": rebuild.behind,
            "stalled": rebuild.stalled.as_ref().map(stall_json),
        })
    });
    json!({
        "view": status.name, "state": status.state.word(), "cause": status.state.cause(), "build": status.build,
        "cursor": status.cursor.to_string(), "behind": status.behind, "stalled": status.stalled.as_ref().map(stall_json),
        "rebuild": rebuild, "file": status.file, "schema": status.schema, "queries": queries,
        "notes": status.notes, "gone": status.gone,
    })
}

/// `POST /v1/admin/views/{view}/rebuild`: begins, or tells that one is under way.
pub(super) fn rebuild(gateway: &Arc<Gateway>, parts: &Parts, view: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let begun = gateway.runtime.rebuild_view(view).map_err(|error| refusal::query(&gateway.runtime, error, false))?;
    let mut response = answer::json(json!({ "view": view, "begun": begun }).to_string());
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/views/{}", super::encode(view))) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The refusal of a parameter that came as a text.
pub(super) fn invalid_text(pointer: &str, message: &str) -> Problem {
    match pointer.strip_prefix('/') {
        Some(name) => query::invalid(name, message),
        None => Problem::new(INVALID_PARAMETER, message),
    }
}

/// Bytes of all rows with what stands around them in a server-sent event.
fn snapshot(word: &str, cursor: journal::Cursor, rows: &runtime::Rows) -> Bytes {
    let mut out = format!("id: {cursor}\nevent: {word}\ndata: {{\"cursor\":\"{cursor}\",\"items\":[").into_bytes();
    comma_separated(&mut out, rows.iter());
    out.extend_from_slice(b"],\"keys\":[");
    comma_separated(&mut out, (0..rows.len()).map(|at| rows.key(at)));
    out.extend_from_slice(b"]}\n\n");
    out.into()
}
