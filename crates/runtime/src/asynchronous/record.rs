//! What an inbox remembers: an accepted command, and how it was settled.

use bytes::Bytes;
use component::hosted::personal_mark::revealed;
use component::hosted::{Refusal, Rejected};
use journal::{EntityKey, Fingerprint};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::asked::{Asked, AskedId};
use crate::entity::kind::Kind;
use crate::request::{CommandError, Expectation};
use crate::schema::{first_version, is_first_version};

/// A command that was taken and not decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Accepted {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) command: String,
    /// The version of the command's shape when it was accepted; 1 when it is not there.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub(super) version: u16,
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Expected::is_any")]
    pub(super) expect: Expected,
    /// The raw body as a text: its fingerprint is one of bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) body: String,
    /// The body instead, when it has personal values: as JSON, so that they are found in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) personal: Option<Personal>,
}

/// A body with personal values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Personal {
    body: Box<RawValue>,
    /// The one of the body as it was sent, in hexadecimal digits.
    fingerprint: Option<String>,
}

/// What the sender expects of the entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    #[default]
    Any,
    New,
    Sequence(u64),
}

impl Expected {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

impl From<Expectation> for Expected {
    fn from(expectation: Expectation) -> Self {
        match expectation {
            Expectation::Any => Self::Any,
            Expectation::New => Self::New,
            Expectation::Sequence(sequence) => Self::Sequence(sequence),
        }
    }
}

impl From<Expected> for Expectation {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Any => Self::Any,
            Expected::New => Self::New,
            Expected::Sequence(sequence) => Self::Sequence(sequence),
        }
    }
}

impl Accepted {
    /// The body was read as JSON before, so it is UTF-8.
    pub(super) fn new(entity: &EntityKey, (asked, version): (&Asked, u16), expect: Expectation, marked: Option<Vec<u8>>) -> Self {
        let personal = marked.and_then(|marked| serde_json::from_slice(&marked).ok());
        let personal = personal.map(|body| Personal { body, fingerprint: asked.fingerprint.map(|fingerprint| hex(fingerprint.0)) });
        let body = if personal.is_some() { String::new() } else { String::from_utf8_lossy(&asked.body).into_owned() };
        Self {
            kind: entity.kind().to_owned(),
            id: entity.id().to_owned(),
            command: (*asked.name).to_owned(),
            version,
            key: asked.text.clone(),
            expect: expect.into(),
            body,
            personal,
        }
    }

    /// The body as it is decided, and where the id that it is known by comes from. It was read when there had been so many erasures.
    pub(super) fn sent(&self, stamp: u64) -> (Bytes, AskedId) {
        match &self.personal {
            None => (self.body.clone().into(), Some(self.key.clone()).into()),
            Some(personal) => {
                let body = revealed(personal.body.get().as_bytes()).into_owned();
                let fingerprint = personal.fingerprint.as_deref().and_then(from_hex).map(Fingerprint);
                (body.into(), AskedId::Accepted(self.key.clone(), fingerprint, stamp))
            }
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(payload).map_err(|error| error.to_string())
    }
}

/// How a command was settled that left no record on its target.
#[derive(Debug)]
pub(super) enum Settled {
    /// Accepted, without events.
    Done { reply: Bytes, sequence: u64 },
    /// Not accepted.
    Refused(Refused),
}

/// A refusal that stands: what a retry would not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Refused {
    Rejected { code: String, message: String, data: Json },
    UnknownType,
    UnknownCommand,
    Syntax { message: String },
    Invalid { pointer: String, message: String },
    PreconditionFailed { sequence: u64 },
    Mismatch,
    ReplyGone,
    TooLarge { limit: usize, actual: usize },
}

#[derive(Serialize, Deserialize)]
struct StoredDone<'a> {
    #[serde(borrow)]
    reply: &'a RawValue,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    key: &'a str,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    done: Option<StoredDone<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Loaded<'a> {
    #[serde(borrow, default)]
    done: Option<StoredDone<'a>>,
    #[serde(default)]
    refused: Option<Refused>,
}

impl Settled {
    pub(super) fn encode(&self, key: &str) -> Bytes {
        match self {
            Self::Done { reply, sequence } => {
                let reply: &RawValue = serde_json::from_slice(reply).unwrap_or(RawValue::NULL);
                encode(&Stored { key, done: Some(StoredDone { reply, sequence: *sequence }), refused: None })
            }
            Self::Refused(refused) => encode(&Stored { key, done: None, refused: Some(refused.clone()) }),
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        match serde_json::from_slice(payload).ok()? {
            Loaded { done: Some(done), .. } => {
                Some(Self::Done { reply: Bytes::copy_from_slice(done.reply.get().as_bytes()), sequence: done.sequence })
            }
            Loaded { refused, .. } => refused.map(Self::Refused),
        }
    }
}

impl Refused {
    /// The refusal in an error; `None` for what may pass.
    pub(super) fn of(error: &CommandError) -> Option<Self> {
        Some(match error {
            CommandError::Refused(Refusal::Rejected(Rejected { code, message, data })) => {
                Self::Rejected { code: code.clone().into_owned(), message: message.clone(), data: data.clone() }
            }
            CommandError::Refused(Refusal::UnknownCommand { .. }) => Self::UnknownCommand,
            CommandError::Refused(Refusal::Syntax { message }) => Self::Syntax { message: message.clone() },
            CommandError::Refused(Refusal::Invalid { pointer, message }) => {
                Self::Invalid { pointer: pointer.clone(), message: message.clone() }
            }
            CommandError::UnknownTarget { .. } => Self::UnknownType,
            CommandError::PreconditionFailed { sequence } => Self::PreconditionFailed { sequence: *sequence },
            CommandError::Mismatch => Self::Mismatch,
            CommandError::ReplyGone => Self::ReplyGone,
            CommandError::TooLarge { limit, actual, .. } => Self::TooLarge { limit: *limit, actual: *actual },
            _ => return None,
        })
    }

    /// The error that the sender would have got at once.
    pub(super) fn into_error(self, kind: &Kind) -> CommandError {
        match self {
            Self::Rejected { code, message, data } => {
                CommandError::Refused(Refusal::Rejected(Rejected { code: code.into(), message, data }))
            }
            Self::UnknownType => CommandError::UnknownTarget { name: kind.name().to_owned(), known: Vec::new() },
            Self::UnknownCommand => {
                let known = kind.description().commands.iter().map(|command| command.name).collect();
                CommandError::Refused(Refusal::UnknownCommand { known })
            }
            Self::Syntax { message } => CommandError::Refused(Refusal::Syntax { message }),
            Self::Invalid { pointer, message } => CommandError::Refused(Refusal::Invalid { pointer, message }),
            Self::PreconditionFailed { sequence } => CommandError::PreconditionFailed { sequence },
            Self::Mismatch => CommandError::Mismatch,
            Self::ReplyGone => CommandError::ReplyGone,
            Self::TooLarge { limit, actual } => CommandError::TooLarge { what: "what the command recorded", limit, actual },
        }
    }
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok())?.map(u128::to_be_bytes)
}

fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts, numbers and JSON always encode").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stored_is_fixed_for_ever() {
        let accepted = Accepted {
            version: 1,
            kind: "cart".into(),
            id: "c1".into(),
            command: "pay".into(),
            key: "k".into(),
            expect: Expected::Sequence(7),
            body: "{}".into(),
            personal: None,
        };
        let stored = json!({ "type": "cart", "id": "c1", "command": "pay", "key": "k", "expect": { "sequence": 7 }, "body": "{}" });
        assert_eq!(serde_json::from_slice::<Json>(&accepted.encode()).unwrap(), stored);
        assert_eq!(Accepted::decode(&accepted.encode()).unwrap().encode(), accepted.encode());
        let done = Settled::Done { reply: Bytes::from_static(b"{\"a\":1}"), sequence: 3 }.encode("k");
        assert_eq!(&done[..], br#"{"key":"k","done":{"reply":{"a":1},"sequence":3}}"#);
        assert!(matches!(Settled::decode(&done), Some(Settled::Done { sequence: 3, .. })));
        let refused = Settled::Refused(Refused::PreconditionFailed { sequence: 2 }).encode("k");
        assert_eq!(&refused[..], br#"{"key":"k","refused":{"precondition-failed":{"sequence":2}}}"#);
        assert!(matches!(Settled::decode(&refused), Some(Settled::Refused(Refused::PreconditionFailed { sequence: 2 }))));
    }
}
