//! The lines of an export as types, and the texts in them: hex, UUIDs, times, JSON kept byte for byte.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use jiff::Timestamp as Calendar;
use journal::{CommitId, Timestamp};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::base64;

pub(super) const FORMAT: &str = "headwater-export";
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) lineage: String,
    pub(super) parents: Vec<Parent>,
    /// `None` when the file that held it is damaged.
    pub(super) family_key: Option<String>,
    /// The cursor behind the last commit.
    pub(super) head: String,
    /// Events that compaction has dropped: lines of [`GoneLine`] stand for them, and say what remains.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) gone: u64,
    /// How many lines of the file are gaps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) gaps: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A line in the place of commits that are damaged.
#[derive(Serialize)]
pub(super) struct GapLine {
    pub(super) gap: Gap,
}

#[derive(Serialize)]
pub(super) struct Gap {
    /// The first position that is missing.
    pub(super) first: u64,
    pub(super) last: u64,
    /// The cursor behind the gap, when anything follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<String>,
    /// Where, in words.
    pub(super) place: String,
}

/// Stands for events that compaction has dropped.
#[derive(Serialize, Deserialize)]
pub(super) struct GoneLine<'a> {
    #[serde(borrow)]
    pub(super) gone: Gone<'a>,
}

/// How a line begins that is one of these.
pub(super) const GONE: &[u8] = b"{\"gone\"";

#[derive(Serialize, Deserialize)]
pub(super) struct Gone<'a> {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Of each event; exports of older versions have none.
    #[serde(borrow, default)]
    pub(super) leaves: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) commands: Vec<GoneText<'a>>,
}

/// What remains of a command.
#[derive(Serialize, Deserialize)]
pub(super) struct GoneText<'a> {
    /// Of its entity and its id.
    #[serde(borrow)]
    pub(super) hash: Text<'a>,
    pub(super) command: Text<'a>,
    pub(super) time: Text<'a>,
    /// Of the last event of its commit.
    pub(super) position: u64,
    /// The entity's version after it.
    pub(super) sequence: u64,
    pub(super) events: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) lineage: String,
    pub(super) fork: String,
}

/// A text as it stands in a line, where it can: lines are many.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    /// One with escapes in it.
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommitLine<'a> {
    #[serde(borrow)]
    pub(super) commit: Text<'a>,
    pub(super) time: Text<'a>,
    /// The position of its first event.
    pub(super) position: u64,
    pub(super) commands: Vec<CommandText<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommandText<'a> {
    #[serde(borrow)]
    pub(super) tenant: Text<'a>,
    #[serde(rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) id: Text<'a>,
    pub(super) command_id: Text<'a>,
    pub(super) command: Text<'a>,
    pub(super) fingerprint: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) causation_id: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) reply: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reply_base64: Option<Text<'a>>,
    /// Of a command without events: the sequence that the entity's next event will have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_sequence: Option<u64>,
    pub(super) events: Vec<EventText<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventText<'a> {
    pub(super) sequence: u64,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) version: u16,
    pub(super) content: u8,
    pub(super) flags: u16,
    pub(super) tags: Vec<Text<'a>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload_base64: Option<Text<'a>>,
}

/// A member that is there, although it may be `null`: that is a payload too.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Stored bytes as JSON when they are one line of it, else as base64: either way they come back as they were.
pub(super) fn stored<'a>(bytes: &'a [u8]) -> (Option<&'a RawValue>, Option<Text<'a>>) {
    let one_line = !bytes.contains(&b'\n') && !bytes.contains(&b'\r');
    let json = serde_json::from_slice::<&RawValue>(bytes).ok();
    match json.filter(|json| one_line && json.get().len() == bytes.len()) {
        Some(json) => (Some(json), None),
        None => (None, Some(base64::encode(bytes).into())),
    }
}

/// The bytes behind the two members of a line.
pub(super) fn restored(line: &Bytes, json: Option<&RawValue>, text: Option<&str>) -> Option<Bytes> {
    match (json, text) {
        (Some(json), None) => Some(line.slice_ref(json.get().as_bytes())),
        (None, Some(text)) => base64::decode(text).map(Bytes::from),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).map(|digit| digit as u8)
}

pub(crate) fn commit_id(text: &str) -> Option<CommitId> {
    let mut digits = text.bytes().filter(|letter| *letter != b'-').map(digit);
    let mut id = [0; 16];
    for byte in &mut id {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(CommitId(id))
}

/// RFC 3339 in UTC, with microseconds; `None` beyond the calendar's years.
pub(super) fn time_text(time: Timestamp) -> Option<String> {
    let calendar = Calendar::from_microsecond(time.as_micros()).ok()?;
    Some(format!("{calendar:.6}"))
}

pub(crate) fn time(text: &str) -> Option<Timestamp> {
    text.parse::<Calendar>().ok().map(|calendar| Timestamp::from_micros(calendar.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use journal::Timestamp;

    use super::{CommandText, restored, stored, time, time_text};

    #[test]
    fn stored_bytes_come_back_as_they_were() {
        for bytes in [&b"null"[..], b"{\"a\" : 1.0}", b" 1", b"{\"a\":\n1}", b"", b"\xff", b"{"] {
            let (json, text) = stored(bytes);
            let of_line = Bytes::copy_from_slice(bytes);
            let json = json.map(|_| serde_json::from_slice(&of_line).expect("it is JSON"));
            assert_eq!(restored(&of_line, json, text.as_deref()).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn a_text_with_escapes_is_what_they_mean() {
        let line = r#"{"tenant":"","type":"cart","id":"a\u0041\"","command_id":"0","command":"add","fingerprint":null,"principal":"\t","reply":null,"events":[]}"#;
        let command: CommandText<'_> = serde_json::from_str(line).expect("it is JSON");
        assert_eq!((&*command.id, command.principal.as_deref()), ("aA\"", Some("\t")));
        assert!(command.reply.is_some_and(|reply| reply.get() == "null"));
    }

    #[test]
    fn a_time_keeps_its_microseconds() {
        let moment = Timestamp::from_micros(1_795_248_000_000_001);
        let text = time_text(moment).expect("a year of the calendar");
        assert!(text.ends_with(".000001Z"), "{text}");
        assert_eq!(time(&text), Some(moment));
    }
}
