//! A line of a batch as a command, or what is wrong with it in the words of who wrote it.
//!
//! The members are taken as they stand, each checked with its own message; the command's `body` is not read here.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use journal::{Context, EntityKey};
use runtime::{CommandRequest, Expectation};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::inbound::body::too_large;
use crate::inbound::refusal::invalid_field;
use crate::nearest;
use crate::problem::{MALFORMED_JSON, Problem};

/// The members of a line; the constants behind it are places in it.
const MEMBERS: [&str; 5] = ["id", "command", "body", "key", "if_match"];
const ID: usize = 0;
const COMMAND: usize = 1;
const BODY: usize = 2;
const KEY: usize = 3;
const IF_MATCH: usize = 4;
const SHAPE: &str = r#"a line is {"id":"..","command":"..","body":{..},"key":"..","if_match":7}; only `id` and `command` must be there"#;

/// The request that a line makes of an entity of this type.
pub(super) fn request(text: &[u8], kind: &str, body_bytes_max: usize, context: &Context) -> Result<CommandRequest, Problem> {
    let members = Members::read(text)?;
    let id = members.text(ID)?.ok_or_else(|| missing(ID))?;
    let command = members.text(COMMAND)?.ok_or_else(|| missing(COMMAND))?;
    let entity = EntityKey::new(kind, &id).map_err(|error| invalid_field("/id", error.problem()))?;
    let expect = members.expectation()?;
    let key = members.text(KEY)?.map(Cow::into_owned);
    let body = members.body(body_bytes_max)?;
    Ok(CommandRequest { entity, command: command.into_owned(), body, id: key, expect, context: context.clone() })
}

/// The known members of a line, in the order of [`MEMBERS`], and the first that is none of them or there twice.
#[derive(Default)]
struct Members<'a> {
    values: [Option<&'a RawValue>; MEMBERS.len()],
    mistake: Option<Problem>,
}

impl<'a> Members<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Problem> {
        // What is no object is told by what it is, but only when it is JSON at all.
        let whole: &RawValue = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        if !whole.get().starts_with('{') {
            return Err(invalid_field("", &format!("a line must be an object, not {}; {SHAPE}", what(whole))));
        }
        let mut members: Self = serde_json::from_str(whole.get()).map_err(|error| malformed(&error))?;
        members.mistake.take().map_or(Ok(members), Err)
    }

    fn take(&mut self, name: &str, value: &'a RawValue) {
        let known = MEMBERS.iter().position(|member| *member == name);
        let mistake = match known {
            None => format!("unknown member `{name}`; {}", nearest::hint(name, &MEMBERS)),
            Some(known) if self.values[known].is_some() => format!("`{name}` is there twice; leave one out"),
            Some(known) => return self.values[known] = Some(value),
        };
        self.mistake.get_or_insert_with(|| invalid_field(&pointer(name), &mistake));
    }

    /// A member's value; `null` is as good as none.
    fn value(&self, member: usize) -> Option<&'a RawValue> {
        self.values[member].filter(|value| value.get() != "null")
    }

    fn text(&self, member: usize) -> Result<Option<Cow<'a, str>>, Problem> {
        let Some(value) = self.value(member) else { return Ok(None) };
        if !value.get().starts_with('"') {
            return Err(invalid_field(&pointer(MEMBERS[member]), &format!("must be a text, not {}", what(value))));
        }
        let Name(text) = serde_json::from_str(value.get()).map_err(|error| malformed(&error))?;
        Ok(Some(text))
    }

    fn expectation(&self) -> Result<Expectation, Problem> {
        let Some(value) = self.value(IF_MATCH) else { return Ok(Expectation::Any) };
        match serde_json::from_str(value.get()) {
            Ok(0) => Err(invalid_field("/if_match", "must not be 0; a sequence begins at 1")),
            Ok(sequence) => Ok(Expectation::Sequence(sequence)),
            Err(_) => {
                let rule = format!("must be a sequence, a whole number from 1 to {}, not {}", u64::MAX, what(value));
                Err(invalid_field("/if_match", &rule))
            }
        }
    }

    fn body(&self, bytes_max: usize) -> Result<Bytes, Problem> {
        let body = self.value(BODY).map_or("", RawValue::get);
        if body.len() > bytes_max { Err(too_large(bytes_max, "body_bytes_max")) } else { Ok(Bytes::copy_from_slice(body.as_bytes())) }
    }
}

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
        let mut members = Members::default();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.take(&name, value);
        }
        Ok(members)
    }
}

/// A text that is borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn missing(member: usize) -> Problem {
    let name = MEMBERS[member];
    invalid_field(&pointer(name), &format!("`{name}` is missing; {SHAPE}"))
}

/// An RFC 6901 pointer to a member of the line.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn what(value: &RawValue) -> Cow<'static, str> {
    match value.get().as_bytes() {
        [b'{', ..] => "an object".into(),
        [b'[', ..] => "an array".into(),
        [b'"', ..] => "a text".into(),
        number @ [b'-' | b'0'..=b'9', ..] if number.len() <= 32 => format!("the number {}", value.get()).into(),
        [b'-' | b'0'..=b'9', ..] => "a number".into(),
        word => String::from_utf8_lossy(word).into_owned().into(),
    }
}

/// Not JSON. The parser's own words end in a line, which is always 1 here and would be taken for the batch's.
fn malformed(error: &serde_json::Error) -> Problem {
    let told = error.to_string();
    let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
    Problem::new(MALFORMED_JSON, format!("the line is not JSON: {told} at byte {}; {SHAPE}", error.column()))
}
