//! `POST /v1/topics/{topic}`: CloudEvents 1.0 into a topic, in binary, structured or batch mode.
//!
//! A message is known by its `source` and `id`: sent again it is answered like the first time, with `replayed`. A batch is
//! answered with a result an element, as NDJSON and in order; what is wrong with one element does not touch the others.

mod attributes;
mod binary;
mod structured;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use journal::{Context, Durability};
use runtime::{CommandError, PublishAnswer, Published, TopicMessage};

use super::Gateway;
use super::answer::{self, NDJSON, REPLAYED};
use super::body::{Body, RequestBody};
use super::headers::{self, IDEMPOTENCY_KEY};
use super::{query, refusal};
use crate::json;
use crate::limits::TOPIC_BATCH_BYTES_MAX;
use crate::problem::{INVALID_HEADER, Problem, UNSUPPORTED_MEDIA_TYPE};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// What other formats and versions of CloudEvents begin with.
const CLOUDEVENTS: &str = "application/cloudevents";

enum Mode {
    Binary,
    Structured,
    Batch,
}

pub(super) async fn publish(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, topic: &str) -> Result<Response<Body>, Problem> {
    check_topic(gateway, topic)?;
    query::none(parts.uri.query())?;
    let alone = [IDEMPOTENCY_KEY, header::IF_MATCH, header::IF_NONE_MATCH];
    headers::refuse(&parts.headers, &alone, "has no meaning for a message, which is known by its `source` and `id`; leave it out")?;
    headers::check_coding(&parts.headers)?;
    let (context, mode) = (headers::context(&parts.headers)?, mode(parts)?);
    let options = &gateway.options;
    let bytes_max = if matches!(mode, Mode::Batch) { TOPIC_BATCH_BYTES_MAX } else { options.body_bytes_max };
    let body = body.read(bytes_max, options.body_read_timeout).await?;
    match mode {
        Mode::Binary => one(gateway, topic, binary::message(&parts.headers, &body)?, &context).await,
        Mode::Structured => one(gateway, topic, structured::message(&body)?, &context).await,
        Mode::Batch => batch(gateway, topic, &body, &context).await,
    }
}

/// That the service has declared a topic.
pub(super) fn check_topic(gateway: &Gateway, topic: &str) -> Result<(), Problem> {
    let known: Vec<&str> = gateway.runtime.topic_descriptions().iter().map(|topic| topic.name).collect();
    if known.contains(&topic) { Ok(()) } else { Err(refusal::unknown_topic(topic, &known)) }
}

/// The content type decides (HTTP binding 1.0.2, section 3); `ce-` headers make no difference beside one of CloudEvents.
fn mode(parts: &Parts) -> Result<Mode, Problem> {
    let media_type = headers::single(&parts.headers, &header::CONTENT_TYPE, INVALID_HEADER)?.unwrap_or_default();
    if headers::is_media_type(media_type, BATCH) {
        return Ok(Mode::Batch);
    }
    if headers::is_media_type(media_type, STRUCTURED) {
        return Ok(Mode::Structured);
    }
    let how = format!(
        "send `{STRUCTURED}`, `{BATCH}`, or any other type with the attributes as headers `ce-id`, `ce-source`, `ce-type`, `ce-specversion`"
    );
    let is_other_format = media_type.get(..CLOUDEVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CLOUDEVENTS));
    if is_other_format || !binary::is_meant(&parts.headers) {
        return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, format!("the request is no CloudEvent that is understood here: {how}")));
    }
    Ok(Mode::Binary)
}

async fn one(gateway: &Gateway, topic: &str, message: TopicMessage, context: &Context) -> Result<Response<Body>, Problem> {
    let (id, source) = (message.id.clone(), message.source.clone());
    let mut answers = run(gateway, topic, vec![message], context).await?;
    let answer = answers.pop().unwrap_or(Err(CommandError::Stopping));
    let published = answer.map_err(|error| refusal::message(error, &source, &id, ""))?;
    let mut body = vec![b'{'];
    members(&mut body, &source, &id, &published);
    body.push(b'}');
    let mut response = answer::json(body);
    answer::set_cursor(response.headers_mut(), published.cursor);
    if published.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn batch(gateway: &Gateway, topic: &str, body: &Bytes, context: &Context) -> Result<Response<Body>, Problem> {
    let elements = structured::messages(body)?;
    let mut messages = Vec::with_capacity(elements.len());
    let elements: Vec<Result<(String, String), Problem>> = elements
        .into_iter()
        .map(|element| {
            element.map(|message| {
                let names = (message.source.clone(), message.id.clone());
                messages.push(message);
                names
            })
        })
        .collect();
    let mut answers = run(gateway, topic, messages, context).await?.into_iter();
    let mut out = Vec::with_capacity(elements.len() * 128);
    for (index, element) in elements.into_iter().enumerate() {
        let result = element.and_then(|(source, id)| {
            let answer = answers.next().unwrap_or(Err(CommandError::Stopping));
            answer.map_err(|error| refusal::message(error, &source, &id, &format!("/{index}"))).map(|published| (source, id, published))
        });
        line(&mut out, index as u64 + 1, result);
    }
    Ok(answer::with(StatusCode::OK, NDJSON, Body::whole(out)))
}

async fn run(gateway: &Gateway, topic: &str, messages: Vec<TopicMessage>, context: &Context) -> Result<Vec<PublishAnswer>, Problem> {
    gateway.runtime.publish(topic, messages, context).await.map_err(|error| refusal::command(error, topic))
}

fn line(out: &mut Vec<u8>, number: u64, result: Result<(String, String, Published), Problem>) {
    match result {
        Ok((source, id, published)) => {
            out.extend_from_slice(b"{\"line\":");
            json::number(out, number);
            out.extend_from_slice(b",\"status\":200,");
            members(out, &source, &id, &published);
            out.push(b'}');
        }
        Err(problem) => problem.write(out, Some(number)),
    }
    out.push(b'\n');
}

fn members(out: &mut Vec<u8>, source: &str, id: &str, published: &Published) {
    out.extend_from_slice(b"\"source\":");
    json::string(out, source);
    out.extend_from_slice(b",\"id\":");
    json::string(out, id);
    out.extend_from_slice(if published.replayed { b",\"replayed\":true".as_slice() } else { b",\"replayed\":false" });
    out.extend_from_slice(b",\"cursor\":");
    json::plain(out, published.cursor);
    if published.durability == Durability::Memory {
        out.extend_from_slice(b",\"durability\":\"memory\"");
    }
}
