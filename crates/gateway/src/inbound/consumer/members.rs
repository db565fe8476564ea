//! The members of a small JSON body: each is asked for by its name and held to its type and bound; others are refused.

use serde_json::{Map, Value as Json};

use crate::inbound::refusal::invalid_field;
use crate::nearest;
use crate::problem::{MALFORMED_JSON, Problem};

pub(super) struct Members(Map<String, Json>);

impl Members {
    /// An absent body is an object without members.
    pub(super) fn read(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        let json = serde_json::from_slice(body).map_err(|error| Problem::new(MALFORMED_JSON, error))?;
        let Json::Object(mut members) = json else { return Err(invalid_field("", "the body must be an object")) };
        // What is null is not there.
        members.retain(|_, value| !value.is_null());
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let problem = format!("unknown member `{name}`; {}", nearest::hint(name, known));
                Err(invalid_field(&format!("/{}", name.replace('~', "~0").replace('/', "~1")), &problem))
            }
            None => Ok(Self(members)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str, bytes_max: usize) -> Result<Option<&str>, Problem> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::String(text)) if (1..=bytes_max).contains(&text.len()) => Ok(Some(text)),
            Some(_) => Err(invalid_field(&format!("/{name}"), &format!("must be a text of 1 to {bytes_max} bytes"))),
        }
    }

    /// A whole number within bounds; `default` when it is not there.
    pub(super) fn number(&self, name: &str, (least, most): (u64, u64), default: u64) -> Result<u64, Problem> {
        match self.0.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| invalid_field(&format!("/{name}"), &format!("must be a whole number from {least} to {most}"))),
        }
    }

    pub(super) fn texts(&self, name: &str, count_max: usize) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let texts: Option<Vec<String>> =
            value.as_array().and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match texts {
            Some(texts) if (1..=count_max).contains(&texts.len()) => Ok(Some(texts)),
            _ => Err(invalid_field(&format!("/{name}"), &format!("must be an array of 1 to {count_max} texts"))),
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<&Map<String, Json>> {
        self.0.get(name).and_then(Json::as_object)
    }
}
