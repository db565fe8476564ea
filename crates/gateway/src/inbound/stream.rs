//! `GET /v1/streams/{stream}`: the service's events as CloudEvents, as NDJSON, as server-sent events or over a WebSocket; and what
//! streams there are.
//!
//! The stream of the service's own name has all its events, as they were recorded; a declared stream has what it makes of them.
//!
//! NDJSON goes to the head as it was when the read began, or on with `?live=true`, where a blank line now and then says
//! that the connection lives. SSE is live unless `?live=false`: each event carries its cursor as `id`, so that a browser
//! resumes by itself with `Last-Event-ID`, which wins over `?after=`; `event: progress` moves that id while a filter lets nothing through.
//! A WebSocket is live too, and tells the same in messages; a browser cannot give it a header, so that it resumes with `?after=` only.
//! When a read fails midway, the last line (the last event, named `problem`) is the problem; nothing is left out silently.

mod feed;
mod filter;
mod list;
mod session;
mod source;
mod version;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use journal::{Cursor, ReadMode, Selection};
use tokio::sync::Semaphore;

use super::Gateway;
use super::answer::{self, NDJSON, SSE};
use super::body::Body;
use super::headers::{invalid, single};
use super::query::{self, Parameters, many, once};
use super::refusal;
use super::websocket::{self, Handshake};
use crate::limits::{CREDIT_MAX, FILTERS_MAX};
use crate::problem::{INVALID_CURSOR, INVALID_HEADER, NOT_ACCEPTABLE, Problem, STOPPING};
use feed::{Feed, Framing};
pub(super) use list::{list, schema};
use session::Terms;
#[cfg(feature = "testing")]
pub(super) use source::Source;
use source::Wanted;

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells proxies such as nginx to pass each event on at once.
pub(super) const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn open(gateway: &Arc<Gateway>, parts: &Parts, name: &str) -> Result<Response<Body>, Problem> {
    let known = [
        once("after"),
        once("limit"),
        once("live"),
        once("credit"),
        once("key"),
        many("type", FILTERS_MAX),
        many("tag", FILTERS_MAX),
        many("version", FILTERS_MAX),
    ];
    let handshake = websocket::is_wanted(parts).then(|| Handshake::read(parts, session::PROTOCOL)).transpose()?;
    let parameters = Parameters::read(parts.uri.query(), &known)?;
    let wanted = Wanted::read(gateway, name, &parameters)?;
    let framing = if handshake.is_some() { Framing::Messages } else { framing(parts)? };
    let live = parameters.flag("live")?.unwrap_or(framing != Framing::Lines);
    let credit = credit(&parameters, framing)?;
    let limit = parameters.bounded("limit", u64::MAX)?;
    let place = place(gateway, parts, &parameters, framing).await?;
    gateway.runtime.check_place(&wanted.selection(), place.after).await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    let mode = if live { ReadMode::Live } else { ReadMode::ToHead };
    let source = wanted.source(gateway, place.after, mode);
    let feed = Feed::new(gateway, source, framing, place.told).limited(limit);
    match handshake {
        None => Ok(response(framing, feed.live(live))),
        Some(_) if gateway.is_stopping() => Err(Problem::new(STOPPING, "the service is stopping; come back to the next one")),
        Some(handshake) => {
            let terms = Terms { credit: credit.clone(), options: gateway.options, stages: gateway.stage.clone() };
            let feed = feed.on_credit(credit);
            Ok(handshake.answer(Box::new(|upgraded| Box::pin(session::run(TokioIo::new(upgraded), feed, terms)))))
        }
    }
}

/// What a reader of a WebSocket is owed at first.
fn credit(parameters: &Parameters, framing: Framing) -> Result<Option<Arc<Semaphore>>, Problem> {
    match parameters.number("credit")? {
        Some(_) if framing != Framing::Messages => {
            Err(query::invalid("credit", "is for a websocket; other readers read as fast as they like"))
        }
        Some(credit) if credit > CREDIT_MAX => Err(query::invalid("credit", &format!("must be {CREDIT_MAX} at most, not {credit}"))),
        credit => Ok(credit.map(|credit| Arc::new(Semaphore::new(usize::try_from(credit).unwrap_or(usize::MAX))))),
    }
}

/// What a neighbour in the same process reads, from the place on that it asks for.
#[cfg(feature = "testing")]
pub(super) async fn beside(gateway: &Arc<Gateway>, name: &str, query: &str) -> Result<Source, Problem> {
    let known = [once("after"), many("type", FILTERS_MAX), many("version", FILTERS_MAX)];
    let parameters = Parameters::read(Some(query), &known)?;
    let wanted = Wanted::read(gateway, name, &parameters)?;
    let (parts, ()) = http::Request::new(()).into_parts();
    let place = place(gateway, &parts, &parameters, Framing::Sse).await?;
    gateway.runtime.check_place(&wanted.selection(), place.after).await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
    Ok(wanted.source(gateway, place.after, ReadMode::Live))
}

/// Where a reader begins, and where it knows that it is.
struct Place {
    after: Cursor,
    told: Option<Cursor>,
}

async fn place(gateway: &Gateway, parts: &Parts, parameters: &Parameters, framing: Framing) -> Result<Place, Problem> {
    let (after, told) = match after(parts, parameters, framing)? {
        After::Now => {
            let head = gateway.runtime.journal().head().await.map_err(|error| refusal::read(&gateway.runtime, &error))?;
            (head, None)
        }
        After::Cursor(cursor) => (cursor, Some(cursor)),
    };
    check_cursor(gateway, after).await?;
    Ok(Place { after, told })
}

enum After {
    Cursor(Cursor),
    /// Behind all that is there.
    Now,
}

fn response(framing: Framing, feed: Feed) -> Response<Body> {
    let media_type = if framing == Framing::Sse { SSE } else { NDJSON };
    let mut response = answer::with(StatusCode::OK, media_type, Body::pulled(feed));
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The first of our two forms that the client accepts; quality values are not weighed.
fn framing(parts: &Parts) -> Result<Framing, Problem> {
    let Some(accept) = single(&parts.headers, &header::ACCEPT, INVALID_HEADER)? else { return Ok(Framing::Lines) };
    let essences = accept.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
    let found = essences.filter_map(|essence| match essence.to_ascii_lowercase().as_str() {
        SSE => Some(Framing::Sse),
        NDJSON | "application/*" | "*/*" | "" => Some(Framing::Lines),
        _ => None,
    });
    found
        .into_iter()
        .next()
        .ok_or_else(|| Problem::new(NOT_ACCEPTABLE, format!("a stream comes as `{NDJSON}` or `{SSE}`, not as `{accept}`")))
}

fn after(parts: &Parts, parameters: &Parameters, framing: Framing) -> Result<After, Problem> {
    let last = single(&parts.headers, &LAST_EVENT_ID, INVALID_HEADER)?.filter(|text| !text.is_empty());
    if last.is_some() && framing != Framing::Sse {
        return Err(invalid(&LAST_EVENT_ID, "belongs to server-sent events; use `?after=` or accept `text/event-stream`"));
    }
    let (place, text) = match (last, parameters.one("after")) {
        (Some(text), _) => ("last-event-id", text),
        (None, Some("now")) => return Ok(After::Now),
        (None, Some(text)) => ("after", text),
        (None, None) => return Ok(After::Cursor(Cursor::BEGINNING)),
    };
    text.parse().map(After::Cursor).map_err(|error| Problem::new(INVALID_CURSOR, format!("{place}: {error}")))
}

/// Refuses a cursor before the first byte of the answer: a live read may say nothing for long.
async fn check_cursor(gateway: &Gateway, after: Cursor) -> Result<(), Problem> {
    let mut probe = gateway.runtime.journal().read(Selection::All, after, ReadMode::ToHead);
    match probe.next().await {
        Some(Err(error)) => Err(refusal::read(&gateway.runtime, &error)),
        Some(Ok(_)) | None => Ok(()),
    }
}
