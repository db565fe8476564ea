//! A message on its way into the journal: a CloudEvent whose attributes the door has checked.
//!
//! ```text
//! $topic/{topic}/{key}   event {topic}: {"specversion":"1.0","id":..,"source":..,<attributes by name>,"data":<as sent>}
//! ```
//!
//! The payload is the whole CloudEvent in its JSON form, whatever the data is: JSON as it was sent, text as a string, all else as
//! `data_base64`. What two senders may write differently and mean the same (the order of members, white space) makes no
//! difference to `canonical`, over which the fingerprint is taken.

use bytes::Bytes;
use serde_json::Value as Json;

/// A message for a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicMessage {
    /// Its sender's id for it.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// The other attributes but `specversion`, in the order of their names: texts, whole numbers and truth values.
    pub attributes: Vec<(String, Json)>,
    /// What it says.
    pub data: Option<MessageData>,
}

/// The data of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageData {
    /// JSON, as it was sent.
    Json(Bytes),
    /// A text.
    Text(String),
    /// Anything else, as base64.
    Base64(String),
}

impl TopicMessage {
    /// An attribute that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.as_str())
    }

    /// What puts messages into an order: those of one key follow each other. `None` for a message that stands alone.
    pub(super) fn key(&self) -> Option<&str> {
        self.text("partitionkey").or_else(|| self.text("subject"))
    }

    /// The JSON of its data.
    pub(super) fn json(&self) -> Option<&[u8]> {
        match &self.data {
            Some(MessageData::Json(json)) => Some(json),
            _ => None,
        }
    }

    /// The whole message on one line, as the journal keeps it.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.write(|out, json| out.extend(json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })))
    }

    /// The same for every spelling of the same content.
    pub(super) fn canonical(&self) -> Vec<u8> {
        self.write(|out, json| match serde_json::from_slice(json) {
            Ok(json) => canonical(out, &json),
            Err(_) => out.extend_from_slice(json),
        })
    }

    fn write(&self, json: impl Fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
        let mut out = b"{\"specversion\":\"1.0\",\"id\":".to_vec();
        string(&mut out, &self.id);
        member(&mut out, "source");
        string(&mut out, &self.source);
        for (name, value) in &self.attributes {
            member(&mut out, name);
            canonical(&mut out, value);
        }
        match &self.data {
            Some(MessageData::Json(data)) => {
                member(&mut out, "data");
                json(&mut out, data);
            }
            Some(MessageData::Text(text)) => {
                member(&mut out, "data");
                string(&mut out, text);
            }
            Some(MessageData::Base64(text)) => {
                member(&mut out, "data_base64");
                string(&mut out, text);
            }
            None => {}
        }
        out.push(b'}');
        out
    }
}

fn member(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    string(out, name);
    out.push(b':');
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text always encodes");
}

/// JSON without white space, its members in the order of their names. Its depth was checked at the door.
fn canonical(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            sequence(out, (b'{', b'}'), members, |out, (name, value)| {
                string(out, name);
                out.push(b':');
                canonical(out, value);
            });
        }
        Json::Array(items) => sequence(out, (b'[', b']'), items, canonical),
        scalar => serde_json::to_writer(out, scalar).expect("a scalar always encodes"),
    }
}

fn sequence<T>(out: &mut Vec<u8>, (open, close): (u8, u8), items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(data: Option<MessageData>) -> TopicMessage {
        let attributes = vec![("subject".to_owned(), json!("o1")), ("type".to_owned(), json!("paid"))];
        TopicMessage { id: "1".into(), source: "/bank".into(), attributes, data }
    }

    fn json_data(json: &'static str) -> Option<MessageData> {
        Some(MessageData::Json(Bytes::from_static(json.as_bytes())))
    }

    #[test]
    fn the_payload_is_the_message_as_it_was_sent_on_one_line() {
        let written = |data| String::from_utf8(message(data).encode()).unwrap_or_default();
        let head = r#"{"specversion":"1.0","id":"1","source":"/bank","subject":"o1","type":"paid""#;
        assert_eq!(written(None), format!("{head}}}"));
        assert_eq!(written(json_data("{\"b\": 1.50,\n\"a\":2}")), format!("{head},\"data\":{{\"b\": 1.50, \"a\":2}}}}"));
        assert_eq!(written(Some(MessageData::Text("a\nb".into()))), format!("{head},\"data\":\"a\\nb\"}}"));
        assert_eq!(written(Some(MessageData::Base64("AA==".into()))), format!("{head},\"data_base64\":\"AA==\"}}"));
    }

    #[test]
    fn spelling_makes_no_difference_to_what_is_compared() {
        let canonical = |json| message(json_data(json)).canonical();
        assert_eq!(canonical(r#"{"b":[1,{"d":1,"c":2}],"a":2}"#), canonical("{ \"a\": 2,\n \"b\": [1, {\"c\":2, \"d\":1}] }"));
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
        assert_ne!(canonical(r#""1""#), canonical("1"));
    }
}
