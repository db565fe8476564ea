//! The lines of an export as types, and the texts in them: hex, UUIDs, times, JSON kept byte for byte.

use jiff::Timestamp as Calendar;
use journal::{CommitId, Timestamp};
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
    /// Events that compaction has dropped: lines of [`GoneLine`] stand for them.
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
#[derive(Serialize)]
pub(super) struct GoneLine {
    pub(super) gone: Gone,
}

#[derive(Serialize)]
pub(super) struct Gone {
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) lineage: String,
    pub(super) fork: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommitLine {
    pub(super) commit: String,
    pub(super) time: String,
    /// The position of its first event.
    pub(super) position: u64,
    pub(super) commands: Vec<CommandText>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommandText {
    pub(super) tenant: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) command_id: String,
    pub(super) command: String,
    pub(super) fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) causation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) reply: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reply_base64: Option<String>,
    pub(super) events: Vec<EventText>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventText {
    pub(super) sequence: u64,
    pub(super) name: String,
    pub(super) version: u16,
    pub(super) content: u8,
    pub(super) flags: u16,
    pub(super) tags: Vec<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload_base64: Option<String>,
}

/// A member that is there, although it may be `null`: that is a payload too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Stored bytes as JSON when they are one line of it, else as base64: either way they come back as they were.
pub(super) fn stored(bytes: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    let one_line = !bytes.contains(&b'\n') && !bytes.contains(&b'\r');
    let json = serde_json::from_slice::<Box<RawValue>>(bytes).ok();
    match json.filter(|json| one_line && json.get().len() == bytes.len()) {
        Some(json) => (Some(json), None),
        None => (None, Some(base64::encode(bytes))),
    }
}

/// The bytes behind the two members.
pub(super) fn restored(json: Option<Box<RawValue>>, text: Option<&str>) -> Option<Vec<u8>> {
    match (json, text) {
        (Some(json), None) => Some(json.get().as_bytes().to_vec()),
        (None, Some(text)) => base64::decode(text),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn commit_id(text: &str) -> Option<CommitId> {
    unhex(&text.replace('-', "")).map(CommitId)
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
    use journal::Timestamp;

    use super::{restored, stored, time, time_text};

    #[test]
    fn stored_bytes_come_back_as_they_were() {
        for bytes in [&b"null"[..], b"{\"a\" : 1.0}", b" 1", b"{\"a\":\n1}", b"", b"\xff", b"{"] {
            let (json, text) = stored(bytes);
            assert_eq!(restored(json, text.as_deref()).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn a_time_keeps_its_microseconds() {
        let moment = Timestamp::from_micros(1_795_248_000_000_001);
        let text = time_text(moment).expect("a year of the calendar");
        assert!(text.ends_with(".000001Z"), "{text}");
        assert_eq!(time(&text), Some(moment));
    }
}
