//! `/v1/consumers/{name}`: durable consumers for any client, which pulls deliveries and acknowledges them by hand.

mod members;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use journal::EntityType;
use runtime::{ConsumerError, ConsumerSight, DeliveryWord, PulledDelivery, SetUp};
use serde_json::json;

use super::Gateway;
use super::answer::{self, JSON};
use super::body::{Body, RequestBody};
use super::{headers, query, refusal};
use crate::cloudevent::{self, Audience};
use crate::json;
use crate::limits::{
    ACK_SECONDS_MAX, CONSUMER_BODY_BYTES_MAX, DELIVERIES_MAX, FAILURE_CAUSE_BYTES_MAX, PULL_DEFAULT, PULL_WAIT_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MAX,
};
use crate::problem::{INVALID_PATH, Problem};
use members::Members;

/// What is said to a consumer with a `POST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Pull,
    Ack,
    Nack,
    Extend,
}

/// `GET`.
pub(super) fn show(gateway: &Gateway, parts: &Parts, name: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let sight = gateway.runtime.consumer_sight(name).map_err(|error| refusal::consumer(gateway, error, name))?;
    Ok(answer::json(sight_json(name, &sight).to_string()))
}

/// `PUT` and `DELETE`.
pub(super) async fn change(gateway: &Arc<Gateway>, parts: &Parts, body: &mut RequestBody, name: &str) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let context = headers::context(&parts.headers)?;
    let refused = |error| refusal::consumer(gateway, error, name);
    if parts.method == Method::DELETE {
        gateway.runtime.remove_consumer(name, &context).await.map_err(refused)?;
        return Ok(answer::json("{\"status\":\"deleted\"}"));
    }
    if name.starts_with('$') || EntityType::new(name).is_err() {
        return Err(Problem::new(INVALID_PATH, format!("the consumer name `{name}` must match [a-z][a-z0-9-]{{0,63}}")));
    }
    let setup = setup::read(gateway, &read(gateway, parts, body).await?)?;
    let done = gateway.runtime.set_up_consumer(name, setup, &context).await.map_err(refused)?;
    let mut response = show(gateway, parts, name)?;
    if done == SetUp::Created {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// `POST .../pull`, `/ack`, `/nack`, `/extend`.
pub(super) async fn call(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: &mut RequestBody,
    (name, call): (&str, Call),
) -> Result<Response<Body>, Problem> {
    query::none(parts.uri.query())?;
    let body = read(gateway, parts, body).await?;
    if call == Call::Pull {
        return pull(gateway, parts, &body, name).await;
    }
    let (deliveries, word) = word(&body, call)?;
    let count = gateway.runtime.say(name, &deliveries, word).await.map_err(|error| refused(gateway, parts, error, name))?;
    Ok(answer::json(json!({ "deliveries": count }).to_string()))
}

/// Whoever asks the wrong node is sent to the one that hands the deliveries out.
fn refused(gateway: &Gateway, parts: &Parts, error: ConsumerError, name: &str) -> Problem {
    let there = match &error {
        ConsumerError::Elsewhere { address: Some(address), .. } => Some(format!("{}{}", address.trim_end_matches('/'), parts.uri.path())),
        _ => None,
    };
    let problem = refusal::consumer(gateway, error, name);
    there.into_iter().fold(problem, |problem, there| problem.header(header::LOCATION, &there))
}

async fn pull(gateway: &Gateway, parts: &Parts, body: &[u8], name: &str) -> Result<Response<Body>, Problem> {
    let members = Members::read(body, &["max", "wait_seconds"])?;
    let max = usize::try_from(members.number("max", (1, DELIVERIES_MAX as u64), PULL_DEFAULT)?).unwrap_or(DELIVERIES_MAX);
    let wait = Duration::from_secs(members.number("wait_seconds", (0, PULL_WAIT_SECONDS_MAX), 0)?);
    let pulled = gateway.runtime.pull(name, max, wait).await.map_err(|error| refused(gateway, parts, error, name))?;
    let mut out = b"{\"deliveries\":[".to_vec();
    for (index, delivery) in pulled.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(&mut out, gateway, delivery);
    }
    out.extend_from_slice(b"]}");
    Ok(answer::json(out))
}

/// `{"delivery":"..","attempt":1,"event":{..}}`; a message is given as it was sent.
fn write(out: &mut Vec<u8>, gateway: &Gateway, pulled: &PulledDelivery) {
    let PulledDelivery { delivery, attempt, event } = pulled;
    out.extend_from_slice(b"{\"delivery\":");
    json::string(out, delivery);
    out.extend_from_slice(b",\"attempt\":");
    json::number(out, u64::from(*attempt));
    out.extend_from_slice(b",\"event\":");
    if event.entity.kind() == component::hosted::TOPIC_TYPE {
        json::verbatim(out, &event.payload);
    } else {
        let cursor = gateway.runtime.journal().lineage().cursor(event.position);
        cloudevent::write(out, gateway.runtime.service(), event, cursor, Audience::Stream);
    }
    out.push(b'}');
}

fn word(body: &[u8], call: Call) -> Result<(Vec<String>, DeliveryWord), Problem> {
    let known: &[&str] = match call {
        Call::Pull | Call::Ack => &["deliveries"],
        Call::Nack => &["deliveries", "cause", "retry_after_seconds"],
        Call::Extend => &["deliveries", "seconds"],
    };
    let members = Members::read(body, known)?;
    let missing = |name: &str| refusal::invalid_field(&format!("/{name}"), "is missing");
    let deliveries = members.texts("deliveries", DELIVERIES_MAX)?.ok_or_else(|| missing("deliveries"))?;
    let word = match call {
        Call::Pull | Call::Ack => DeliveryWord::Acknowledge,
        Call::Nack => {
            let cause = members.text("cause", FAILURE_CAUSE_BYTES_MAX)?.ok_or_else(|| missing("cause"))?.to_owned();
            let seconds = members.number("retry_after_seconds", (0, RETRY_AFTER_SECONDS_MAX), 0)?;
            DeliveryWord::Refuse { cause, retry_after: members.has("retry_after_seconds").then(|| Duration::from_secs(seconds)) }
        }
        Call::Extend if members.has("seconds") => {
            DeliveryWord::Extend(Duration::from_secs(members.number("seconds", (1, u64::from(ACK_SECONDS_MAX)), 1)?))
        }
        Call::Extend => return Err(missing("seconds")),
    };
    Ok((deliveries, word))
}

async fn read(gateway: &Gateway, parts: &Parts, body: &mut RequestBody) -> Result<bytes::Bytes, Problem> {
    headers::check_media_type(&parts.headers, JSON, !body.is_empty())?;
    body.read(CONSUMER_BODY_BYTES_MAX, gateway.options.body_read_timeout).await
}

fn sight_json(name: &str, sight: &ConsumerSight) -> serde_json::Value {
    let status = &sight.status;
    let mut shown = setup::shown(&sight.setup);
    shown["name"] = json!(name);
    shown["state"] = json!(status.state.to_string());
    if let runtime::ConsumerState::Waiting { cause } = &status.state {
        shown["cause"] = json!(cause);
    }
    shown["cursor"] = json!(status.cursor.map(|cursor| cursor.to_string()));
    (shown["waiting"], shown["in_flight"]) = (json!(sight.waiting), json!(sight.in_flight));
    (shown["held"], shown["parked"]) = (json!(status.held), json!(status.parked));
    shown
}
