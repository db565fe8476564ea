//! How a client wants its consumer: the body of `PUT /v1/consumers/{name}`, and the same as it is shown.

use journal::Timestamp;
use runtime::{ConsumerReads, ConsumerSetup, ConsumerStart};
use serde_json::{Value as Json, json};

use super::members::Members;
use crate::inbound::Gateway;
use crate::inbound::refusal::invalid_field;
use crate::limits::{
    ACK_SECONDS_DEFAULT, ACK_SECONDS_MAX, ATTEMPTS_DEFAULT, ATTEMPTS_MAX, CONSUMER_TYPES_MAX, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX,
};
use crate::problem::Problem;
use crate::{calendar, nearest};

const MEMBERS: [&str; 6] = ["topic", "types", "start", "ack_seconds", "attempts_max", "in_flight_max"];
const START: &str = r#"must be "first", "now", {"cursor":".."} or {"time":".."}"#;

pub(super) fn read(gateway: &Gateway, body: &[u8]) -> Result<ConsumerSetup, Problem> {
    let members = Members::read(body, &MEMBERS)?;
    let number = |name, most, default| members.number(name, (1, u64::from(most)), u64::from(default));
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(ConsumerSetup {
        reads: reads(gateway, &members)?,
        start: start(&members)?,
        ack_seconds: small(number("ack_seconds", ACK_SECONDS_MAX, ACK_SECONDS_DEFAULT)?),
        attempts_max: small(number("attempts_max", ATTEMPTS_MAX, ATTEMPTS_DEFAULT)?),
        in_flight_max: small(number("in_flight_max", IN_FLIGHT_MAX, IN_FLIGHT_DEFAULT)?) as usize,
    })
}

fn reads(gateway: &Gateway, members: &Members) -> Result<ConsumerReads, Problem> {
    match (members.text("topic", 64)?, members.texts("types", CONSUMER_TYPES_MAX)?) {
        (Some(topic), None) => {
            let known: Vec<&str> = gateway.runtime.topic_descriptions().iter().map(|topic| topic.name).collect();
            if !known.contains(&topic) {
                return Err(invalid_field("/topic", &format!("this service has no topic `{topic}`; {}", nearest::hint(topic, &known))));
            }
            Ok(ConsumerReads::Topic(topic.to_owned()))
        }
        (None, Some(types)) => {
            for (index, full) in types.iter().enumerate() {
                check_type(gateway, full).map_err(|problem| invalid_field(&format!("/types/{index}"), &problem))?;
            }
            Ok(ConsumerReads::Types(types))
        }
        (Some(_), Some(_)) => Err(invalid_field("/types", "and topic are both there; a consumer reads one or the other")),
        (None, None) => Err(invalid_field("/topic", "is missing, and so is types: say what the consumer reads")),
    }
}

/// That the service records events of a type: a misspelt one would only ever be silent.
fn check_type(gateway: &Gateway, full: &str) -> Result<(), String> {
    let (kind, event) = full.split_once('/').map_or((full, None), |(kind, event)| (kind, Some(event)));
    let entities = gateway.runtime.entity_descriptions();
    let Some(entity) = entities.iter().find(|entity| entity.name == kind) else {
        let known: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        return Err(format!("this service has no entity type `{kind}`; {}", nearest::hint(kind, &known)));
    };
    let known: Vec<&str> = entity.events.iter().map(|event| event.name).collect();
    match event {
        Some(event) if !known.contains(&event) => Err(format!("`{kind}` records no event `{event}`; {}", nearest::hint(event, &known))),
        _ => Ok(()),
    }
}

fn start(members: &Members) -> Result<ConsumerStart, Problem> {
    if !members.has("start") {
        return Ok(ConsumerStart::First);
    }
    let refused = || invalid_field("/start", START);
    let Some(object) = members.object("start") else {
        return match members.text("start", 16).map_err(|_| refused())? {
            Some("first") => Ok(ConsumerStart::First),
            Some("now") => Ok(ConsumerStart::Now),
            _ => Err(refused()),
        };
    };
    let only = |name: &str| object.get(name).and_then(Json::as_str).filter(|_| object.len() == 1);
    match (only("cursor"), only("time")) {
        (Some(cursor), None) => Ok(ConsumerStart::Cursor(cursor.to_owned())),
        (None, Some(time)) => {
            let time = calendar::parse(time).map_err(|problem| invalid_field("/start/time", &problem))?;
            Ok(ConsumerStart::Time(time.as_micros()))
        }
        _ => Err(refused()),
    }
}

pub(super) fn shown(setup: &ConsumerSetup) -> Json {
    let mut shown = json!({
        "ack_seconds": setup.ack_seconds, "attempts_max": setup.attempts_max, "in_flight_max": setup.in_flight_max,
        "start": match &setup.start {
            ConsumerStart::First => json!("first"),
            ConsumerStart::Now => json!("now"),
            ConsumerStart::Cursor(cursor) => json!({ "cursor": cursor }),
            ConsumerStart::Time(micros) => json!({ "time": calendar::text(Timestamp::from_micros(*micros)) }),
        },
    });
    match &setup.reads {
        ConsumerReads::Topic(topic) => shown["topic"] = json!(topic),
        ConsumerReads::Types(types) => shown["types"] = json!(types),
    }
    shown
}
