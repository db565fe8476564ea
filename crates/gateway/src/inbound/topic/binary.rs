//! Binary mode: the attributes are `ce-` headers, the body is the data, and `Content-Type` is its media type.
//!
//! A header's value is unquoted, and percent-encoding in it is decoded once (HTTP binding 1.0.2, section 3.1.3.2).

use bytes::Bytes;
use http::{HeaderMap, header};
use runtime::{MessageData, TopicMessage};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::attributes::{Attributes, is_json, opaque};
use crate::inbound::headers::{single, unquoted};
use crate::inbound::path::decode;
use crate::problem::{INVALID_HEADER, Problem};

const PREFIX: &str = "ce-";

/// Whether any attribute is there.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

pub(super) fn message(headers: &HeaderMap, body: &Bytes) -> Result<TopicMessage, Problem> {
    let mut attributes = Attributes::new(String::new());
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let Some(value) = single(headers, name, INVALID_HEADER)? else { continue };
        if attribute == "datacontenttype" {
            return Err(attributes.invalid(attribute, "is the header `content-type` in binary mode; leave `ce-datacontenttype` out"));
        }
        let value = text(value).map_err(|problem| attributes.invalid(attribute, &problem))?;
        attributes.add(attribute, Json::String(value))?;
    }
    let media_type = single(headers, &header::CONTENT_TYPE, INVALID_HEADER)?;
    if let Some(media_type) = media_type.filter(|_| !body.is_empty()) {
        attributes.add("datacontenttype", Json::String(media_type.to_owned()))?;
    }
    let data = data(&attributes, media_type, body)?;
    attributes.into_message(data)
}

fn text(value: &str) -> Result<String, String> {
    let plain =
        if value.starts_with('"') { unquoted(value).ok_or("begins with a quote but is no quoted string")? } else { value.to_owned() };
    Ok(decode(&plain)?.into_owned())
}

fn data(attributes: &Attributes, media_type: Option<&str>, body: &Bytes) -> Result<Option<MessageData>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    if !media_type.is_some_and(is_json) {
        return Ok(Some(opaque(media_type, body)));
    }
    let json: Result<&RawValue, _> = serde_json::from_slice(body);
    json.map_err(|error| attributes.invalid("data", &format!("is not JSON, as its media type says: {error}")))?;
    Ok(Some(MessageData::Json(body.clone())))
}
