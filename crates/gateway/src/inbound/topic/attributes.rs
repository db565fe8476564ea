//! The attributes of a CloudEvent, checked by the rules of CloudEvents 1.0.2, section 3: their names, their types, what must be
//! there, and what each of the known ones may hold. Extensions are kept as they are.

use std::collections::BTreeMap;

use runtime::{MessageData, TopicMessage};
use serde_json::Value as Json;

use crate::calendar;
use crate::inbound::refusal::invalid_field;
use crate::json;
use crate::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_MAX};
use crate::problem::Problem;

const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Attributes on their way to a message; `place` is the pointer to the message within the body.
pub(super) struct Attributes {
    place: String,
    values: BTreeMap<String, Json>,
}

impl Attributes {
    pub(super) fn new(place: String) -> Self {
        Self { place, values: BTreeMap::new() }
    }

    /// The refusal of a part.
    pub(super) fn invalid(&self, name: &str, problem: &str) -> Problem {
        invalid_field(&format!("{}/{}", self.place, name.replace('~', "~0").replace('/', "~1")), problem)
    }

    /// Takes an attribute; each may be there once.
    pub(super) fn add(&mut self, name: &str, value: Json) -> Result<(), Problem> {
        check_name(name).map_err(|problem| self.invalid(name, &problem))?;
        check_value(&value).map_err(|problem| self.invalid(name, &problem))?;
        check_known(name, &value).map_err(|problem| self.invalid(name, &problem))?;
        if self.values.insert(name.to_owned(), value).is_some() {
            return Err(self.invalid(name, "is there twice; leave one out"));
        }
        if self.values.len() > ATTRIBUTES_MAX {
            return Err(invalid_field(&self.place, &format!("has more than {ATTRIBUTES_MAX} attributes, which is the bound")));
        }
        Ok(())
    }

    /// The media type that the message says its data has.
    pub(super) fn media_type(&self) -> Option<&str> {
        self.values.get("datacontenttype").and_then(Json::as_str)
    }

    /// The message, once all that must be there is.
    pub(super) fn into_message(mut self, data: Option<MessageData>) -> Result<TopicMessage, Problem> {
        if let Some(missing) = REQUIRED.iter().find(|name| !self.values.contains_key(**name)) {
            return Err(self.invalid(missing, &format!("is missing; a CloudEvent has {}", REQUIRED.join(", "))));
        }
        self.values.remove("specversion");
        let mut text = |name: &str| match self.values.remove(name) {
            Some(Json::String(text)) => text,
            _ => String::new(),
        };
        let (id, source) = (text("id"), text("source"));
        Ok(TopicMessage { id, source, attributes: self.values.into_iter().collect(), data })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !fits {
        return Err("is no name of an attribute: these have letters a to z and digits only".to_owned());
    }
    if name.len() > ATTRIBUTE_NAME_BYTES_MAX {
        return Err(format!("is longer than {ATTRIBUTE_NAME_BYTES_MAX} bytes, which is the bound of an attribute's name"));
    }
    if name == "data" { Err("is no name of an attribute".to_owned()) } else { Ok(()) }
}

/// The types that an attribute may have in JSON.
fn check_value(value: &Json) -> Result<(), String> {
    match value {
        Json::String(text) if text.len() > ATTRIBUTE_BYTES_MAX => {
            Err(format!("has {} bytes; at most {ATTRIBUTE_BYTES_MAX} are allowed", text.len()))
        }
        Json::String(text) if text.chars().any(is_forbidden) => Err("has a control character or one that is none".to_owned()),
        Json::String(_) | Json::Bool(_) => Ok(()),
        Json::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => Ok(()),
        Json::Number(_) => Err("must be a whole number of 32 bits; send others as a text".to_owned()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err("must be a text, a whole number or a truth value".to_owned()),
    }
}

/// Control characters and Unicode's noncharacters; a surrogate is no `char`.
fn is_forbidden(letter: char) -> bool {
    let code = u32::from(letter);
    letter.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// What the specification says of the attributes that it names.
fn check_known(name: &str, value: &Json) -> Result<(), String> {
    let rule: fn(&str) -> Result<(), String> = match name {
        "specversion" => version,
        "id" | "type" | "subject" | "partitionkey" => not_empty,
        "source" => reference,
        "dataschema" => absolute,
        "datacontenttype" => media_type,
        "time" => |text| calendar::parse(text).map(drop),
        _ => return Ok(()),
    };
    value.as_str().map_or_else(|| Err("must be a text".to_owned()), rule)
}

fn version(text: &str) -> Result<(), String> {
    if text == "1.0" { Ok(()) } else { Err(format!("must be `1.0`, not `{text}`")) }
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
}

/// RFC 3986, as far as its alphabet goes.
fn reference(text: &str) -> Result<(), String> {
    not_empty(text)?;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return Err(format!("must be a URI reference such as /bank, not `{text}`"));
        }
    }
    Ok(())
}

fn absolute(text: &str) -> Result<(), String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let fits = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if fits && reference(text).is_ok() { Ok(()) } else { Err(format!("must be a URI with its scheme, not `{text}`")) }
}

fn media_type(text: &str) -> Result<(), String> {
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte));
    match essence(text).split_once('/') {
        Some((kind, sort)) if is_token(kind) && is_token(sort) => Ok(()),
        _ => Err(format!("must be a media type such as application/json, not `{text}`")),
    }
}

fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// Whether data of this media type is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.split_once('/').is_some_and(|(_, sort)| sort == "json" || sort.ends_with("+json"))
}

/// Bytes that are not JSON: as a text when their media type says that they are one, else as base64.
pub(super) fn opaque(media_type: Option<&str>, bytes: &[u8]) -> MessageData {
    let is_text = media_type.is_some_and(|text| essence(text).to_ascii_lowercase().starts_with("text/"));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text => MessageData::Text(text.to_owned()),
        _ => {
            let mut quoted = Vec::with_capacity(bytes.len() / 3 * 4 + 6);
            json::base64(&mut quoted, bytes);
            MessageData::Base64(String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_lower_case_letters_and_digits() {
        for good in ["a", "ext1", "0"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "Ext", "my-ext", "my_ext", "é", "data", &"x".repeat(ATTRIBUTE_NAME_BYTES_MAX + 1)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_known_attribute_has_its_rule() {
        for (name, good) in [
            ("specversion", "1.0"),
            ("source", "/bank?x=%20#y"),
            ("source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
            ("dataschema", "https://bank.example/schema"),
            ("datacontenttype", "application/vnd.bank+json; charset=utf-8"),
            ("time", "2026-11-26T10:00:00.123456789+01:00"),
            ("myextension", ""),
        ] {
            assert_eq!(check_known(name, &json!(good)), Ok(()), "{name} {good}");
        }
        for (name, bad) in [
            ("specversion", "0.3"),
            ("id", ""),
            ("source", ""),
            ("source", "/a b"),
            ("source", "/é"),
            ("source", "/%zz"),
            ("type", ""),
            ("subject", ""),
            ("dataschema", "/relative"),
            ("datacontenttype", "json"),
            ("time", "yesterday"),
        ] {
            assert!(check_known(name, &json!(bad)).is_err(), "{name} {bad}");
        }
        assert!(check_known("id", &json!(7)).is_err());
    }

    #[test]
    fn values_have_the_types_of_the_specification() {
        for good in [json!("x"), json!(true), json!(-5), json!(i32::MAX)] {
            assert_eq!(check_value(&good), Ok(()), "{good}");
        }
        for bad in [json!(1.5), json!(i64::MAX), json!(null), json!([]), json!({}), json!("a\u{7}"), json!("\u{FFFF}")] {
            assert!(check_value(&bad).is_err(), "{bad}");
        }
    }
}
