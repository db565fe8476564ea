//! Structured and batch mode: messages in the JSON format of CloudEvents 1.0.2, one or an array of them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use runtime::{MessageData, TopicMessage};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::attributes::{Attributes, is_json, opaque};
use crate::inbound::body::too_large_for;
use crate::inbound::refusal::invalid_field;
use crate::json;
use crate::limits::TOPIC_BATCH_MESSAGES_MAX;
use crate::problem::{MALFORMED_JSON, Problem};

/// The message in a body.
pub(super) fn message(body: &[u8]) -> Result<TopicMessage, Problem> {
    element(String::new(), serde_json::from_slice(body).map_err(|error| malformed(&error))?)
}

/// The messages in the array of a body; what is wrong with one of them does not touch the others.
pub(super) fn messages(body: &[u8]) -> Result<Vec<Result<TopicMessage, Problem>>, Problem> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if !whole.get().starts_with('[') {
        return Err(invalid_field("", "a batch must be an array of CloudEvents"));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(|error| malformed(&error))?;
    if elements.len() > TOPIC_BATCH_MESSAGES_MAX {
        let rule = format!("the batch has {} messages; at most {TOPIC_BATCH_MESSAGES_MAX} are allowed, send it in parts", elements.len());
        return Err(too_large_for(rule));
    }
    Ok(elements.into_iter().enumerate().map(|(index, text)| element(format!("/{index}"), text)).collect())
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(MALFORMED_JSON, error)
}

fn element(place: String, text: &RawValue) -> Result<TopicMessage, Problem> {
    if !text.get().starts_with('{') {
        return Err(invalid_field(&place, "a CloudEvent must be an object"));
    }
    let Members(members) = serde_json::from_str(text.get()).map_err(|error| malformed(&error))?;
    let mut attributes = Attributes::new(place);
    let (mut data, mut base64) = (None, None);
    for (name, value) in members {
        let slot = match &*name {
            // An attribute that is null is not there; data that is null is.
            "data" => &mut data,
            _ if value.get() == "null" => continue,
            "data_base64" => &mut base64,
            name => {
                attributes.add(name, serde_json::from_str(value.get()).unwrap_or(Json::Null))?;
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(attributes.invalid(&name, "is there twice; leave one out"));
        }
    }
    let data = match (data, base64) {
        (Some(_), Some(_)) => return Err(attributes.invalid("data_base64", "and data are both there; send one")),
        (Some(data), None) => Some(plain(&attributes, data)?),
        (None, Some(base64)) => Some(bytes(&attributes, base64)?),
        (None, None) => None,
    };
    attributes.into_message(data)
}

/// `data`: JSON unless the media type says otherwise, and then a text.
fn plain(attributes: &Attributes, data: &RawValue) -> Result<MessageData, Problem> {
    if attributes.media_type().is_none_or(is_json) {
        return Ok(MessageData::Json(Bytes::copy_from_slice(data.get().as_bytes())));
    }
    match serde_json::from_str::<String>(data.get()) {
        Ok(text) => Ok(opaque(attributes.media_type(), text.as_bytes())),
        Err(_) => Err(attributes.invalid("data", "must be a text, for its media type is not JSON; or send data_base64")),
    }
}

/// `data_base64`: bytes, which may be JSON all the same.
fn bytes(attributes: &Attributes, base64: &RawValue) -> Result<MessageData, Problem> {
    let text: Option<String> = serde_json::from_str(base64.get()).ok();
    let Some(bytes) = text.and_then(|text| json::from_base64(&text)) else {
        return Err(attributes.invalid("data_base64", "must be base64 with its padding (RFC 4648, section 4)"));
    };
    if !attributes.media_type().is_some_and(is_json) {
        return Ok(opaque(attributes.media_type(), &bytes));
    }
    let parsed: Result<&RawValue, _> = serde_json::from_slice(&bytes);
    parsed.map_err(|error| attributes.invalid("data_base64", &format!("is not JSON, as its media type says: {error}")))?;
    Ok(MessageData::Json(bytes.into()))
}

/// The members of an object in their order, with those that are there twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// A text that is borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
