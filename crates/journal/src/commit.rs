//! What one append makes durable: commands, their events, and the conditions under which they may.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::error::{AppendError, InvalidError};
use crate::key::{EntityKey, KeyHash, short_hash};
use crate::limits;
use crate::read::FoundCommand;
use crate::time::Timestamp;

/// The identity of a commit: a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(pub [u8; 16]);

impl CommitId {
    /// A UUIDv7 from a time and ten random bytes (RFC 9562 section 5.7).
    #[must_use]
    pub fn from_parts(time: Timestamp, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&time.as_millis().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }
}

/// The identity of an event: its commit and its index within it. Written `{commit}.{index}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The commit.
    pub commit: CommitId,
    /// The event's index within the commit, from 0.
    pub index: u16,
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.commit, self.index)
    }
}

/// The identity of a command on its entity: the first 16 bytes of BLAKE3 of the raw id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub [u8; 16]);

impl CommandId {
    /// From the raw id that a client sent.
    #[must_use]
    pub fn from_raw(raw: &[u8]) -> Self {
        Self(short_hash(&[raw]).0)
    }

    /// What the command index holds: this id on that entity.
    #[must_use]
    pub fn on(self, entity: KeyHash) -> KeyHash {
        short_hash(&[b"command", &entity.0, &self.0])
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Tells two bodies under one command id apart; see [`crate::Lineage::fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// How a payload is encoded. The journal never parses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// `application/json`, code 0.
    Json,
    /// `application/cbor`, code 1.
    Cbor,
    /// `application/protobuf`, code 2.
    Protobuf,
    /// Any other code; 255 says that the payload names its type itself.
    Other(u8),
}

impl ContentType {
    /// The code on disk.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Cbor => 1,
            Self::Protobuf => 2,
            Self::Other(code) => code,
        }
    }

    /// From the code on disk.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Json,
            1 => Self::Cbor,
            2 => Self::Protobuf,
            code => Self::Other(code),
        }
    }
}

/// Flags of an event; all bits are reserved in format 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFlags(pub u16);

/// A tag: `name:value`. No personal data in it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks and takes `name:value`; the name matches `[a-z][a-z0-9-]*`, the value is not empty and has no control characters.
    ///
    /// # Errors
    /// When a part breaks its rule.
    pub fn new(text: &str) -> Result<Self, InvalidError> {
        let (name, value) = text.split_once(':').ok_or_else(|| InvalidError::new("tag", "must be `name:value`"))?;
        let name_fits = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && name.len() <= limits::TAG_NAME_BYTES_MAX;
        if !name_fits {
            return Err(InvalidError::new("tag", "must have a name that matches [a-z][a-z0-9-]{0,63}"));
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(InvalidError::new("tag", "must have a value without control characters"));
        }
        if text.len() > limits::TAG_BYTES_MAX {
            return Err(InvalidError::new("tag", format!("is {} bytes long; at most {} are allowed", text.len(), limits::TAG_BYTES_MAX)));
        }
        Ok(Self(text.into()))
    }

    /// `name:value`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the tag index holds.
    pub(crate) fn hash(&self) -> KeyHash {
        short_hash(&[b"tag", self.0.as_bytes()])
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One event of a command, as it is given to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventData {
    /// The event's type name, such as `item-added`.
    pub name: Arc<str>,
    /// The version of its shape.
    pub version: u16,
    /// How the payload is encoded.
    pub content: ContentType,
    /// Reserved.
    pub flags: EventFlags,
    /// Tags; the entity itself is implied.
    pub tags: Vec<Tag>,
    /// The payload, opaque.
    pub payload: Bytes,
}

/// Who and why: stored once a command, given with each of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Ties together everything that one request from outside set off.
    pub correlation_id: Option<Arc<str>>,
    /// The id of the event or command that caused this command.
    pub causation_id: Option<Arc<str>>,
    /// The W3C trace context of the request.
    pub traceparent: Option<Arc<str>>,
    /// Who asked.
    pub principal: Option<Arc<str>>,
}

/// One accepted command with what it left: its reply and its events, all of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// The entity.
    pub entity: EntityKey,
    /// The command's id.
    pub id: CommandId,
    /// The command's name, such as `add-item`.
    pub name: Arc<str>,
    /// Tells another body under the same id; `None` for ids that the platform derives.
    pub fingerprint: Option<Fingerprint>,
    /// Who and why.
    pub context: Context,
    /// The reply, opaque; given again to a duplicate.
    pub reply: Bytes,
    /// The events, in order; may be empty when another command of the commit has some.
    pub events: Vec<EventData>,
}

/// What a commit expects of an entity's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No event yet, or the last one is `$deleted`.
    New,
    /// The last event has this sequence.
    Head(u64),
    /// Anything.
    Any,
}

/// One item of a tag query: an event matches when its type is in the list (or the list is empty) and it has all the tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagQueryItem {
    /// `{entity type}/{event name}`; empty for any.
    pub types: Vec<Arc<str>>,
    /// All of these; empty for any.
    pub tags: Vec<Tag>,
}

/// A tag query: an event matches when it matches any item. An item without types and tags matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagQuery {
    /// The items.
    pub items: Vec<TagQueryItem>,
}

impl TagQuery {
    /// Whether an event of this entity type, name and tags matches.
    #[must_use]
    pub fn matches(&self, kind: &str, name: &str, tags: &[Tag]) -> bool {
        self.items.iter().any(|item| item.matches(kind, name, tags))
    }
}

impl TagQueryItem {
    fn matches(&self, kind: &str, name: &str, tags: &[Tag]) -> bool {
        let type_fits = self.types.is_empty() || self.types.iter().any(|full| full.split_once('/') == Some((kind, name)));
        type_fits && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// The append fails when any event after `after` matches the query (the append condition of dcb.events).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagCondition {
    /// What must not be there.
    pub query: TagQuery,
    /// After which place; `Cursor::BEGINNING` for the whole journal.
    pub after: Cursor,
}

/// The commit is refused unless the register's first eight bytes, big-endian, are this epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The register's name.
    pub register: String,
    /// The epoch its owner believes to hold.
    pub epoch: u64,
}

/// The id and time of a commit that comes from another journal; an import keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id there.
    pub id: CommitId,
    /// Its time there.
    pub time: Timestamp,
}

/// What one append makes durable, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The commands, at least one; together they have at least one event.
    pub commands: Vec<CommandRecord>,
    /// Expectations, at most one an entity; an entity that is not written may be named too (a foreign guard).
    pub expect: Vec<(EntityKey, Expect)>,
    /// What must not be there.
    pub condition: Option<TagCondition>,
    /// Who may write.
    pub fence: Option<Fence>,
    /// Set by an import only.
    pub origin: Option<Origin>,
}

impl Commit {
    /// How many events all commands have together.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.commands.iter().map(|command| command.events.len()).sum()
    }

    /// Checks every bound and rule that needs no journal. Every engine calls this first.
    ///
    /// # Errors
    /// `TooLarge` with the bound, or `Invalid` with the part.
    pub fn check(&self) -> Result<(), AppendError> {
        at_most("commands in a commit", self.commands.len(), limits::COMMIT_COMMANDS_MAX)?;
        at_most("events in a commit", self.event_count(), limits::COMMIT_EVENTS_MAX)?;
        at_most("expectations of a commit", self.expect.len(), limits::COMMIT_EXPECTATIONS_MAX)?;
        if self.event_count() == 0 {
            return Err(InvalidError::new("commit", "must have at least one event").into());
        }
        for command in &self.commands {
            command.check()?;
        }
        if let Some(condition) = &self.condition {
            at_most("items of a tag condition", condition.query.items.len(), limits::CONDITION_ITEMS_MAX)?;
        }
        self.check_expectations()?;
        at_most("bytes of a commit", self.byte_count(), limits::COMMIT_BYTES_MAX)
    }

    /// Two expectations of one entity could only contradict each other; two ids on one entity are one command too many.
    fn check_expectations(&self) -> Result<(), AppendError> {
        if self.expect.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            if !self.expect.iter().all(|(entity, _)| seen.insert(entity)) {
                return Err(InvalidError::new("expect", "must name an entity once").into());
            }
        }
        if self.commands.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            if !self.commands.iter().all(|command| seen.insert((&command.entity, command.id))) {
                return Err(InvalidError::new("commands", "must carry different ids on one entity").into());
            }
        }
        Ok(())
    }

    fn byte_count(&self) -> usize {
        let event = |event: &EventData| {
            event.name.len() + event.payload.len() + event.tags.iter().map(|tag| tag.as_str().len() + 2).sum::<usize>() + 16
        };
        self.commands.iter().map(|command| command.byte_count() + command.events.iter().map(event).sum::<usize>()).sum()
    }
}

impl CommandRecord {
    fn check(&self) -> Result<(), AppendError> {
        check_name("command name", &self.name)?;
        at_most("bytes of a reply", self.reply.len(), limits::REPLY_BYTES_MAX)?;
        for text in self.context.texts().into_iter().flatten() {
            at_most("bytes of a context text", text.len(), limits::CONTEXT_TEXT_BYTES_MAX)?;
        }
        for event in &self.events {
            check_name("event name", &event.name)?;
            at_most("bytes of an event", event.payload.len(), limits::EVENT_BYTES_MAX)?;
            at_most("tags of an event", event.tags.len(), limits::EVENT_TAGS_MAX)?;
        }
        Ok(())
    }

    /// Whether a command that took effect under this id is this one: the same name, and no other body. Without a fingerprint on either side
    /// no body is another one.
    #[must_use]
    pub fn repeats(&self, first: &FoundCommand) -> bool {
        let other_body = matches!((self.fingerprint, first.fingerprint), (Some(now), Some(then)) if now != then);
        self.name == first.name && !other_body
    }

    fn byte_count(&self) -> usize {
        let key = self.entity.tenant().len() + self.entity.kind().len() + self.entity.id().len();
        let context = self.context.texts().into_iter().flatten().map(|text| text.len() + 2).sum::<usize>();
        key + self.name.len() + self.reply.len() + context + 48
    }
}

impl Context {
    /// The four texts, in the order of the format.
    pub(crate) fn texts(&self) -> [Option<&Arc<str>>; 4] {
        [self.correlation_id.as_ref(), self.causation_id.as_ref(), self.traceparent.as_ref(), self.principal.as_ref()]
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), AppendError> {
    if name.is_empty() {
        return Err(InvalidError::new(field, "must not be empty").into());
    }
    at_most("bytes of a name", name.len(), limits::NAME_BYTES_MAX)
}

fn at_most(what: &'static str, actual: usize, limit: usize) -> Result<(), AppendError> {
    if actual <= limit { Ok(()) } else { Err(AppendError::TooLarge { what, limit, actual }) }
}

/// How durable an acknowledged commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk, or on the engine's quorum.
    Durable,
    /// In memory only: the model engine, and nothing else.
    Memory,
}

/// Where one command of a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The entity's head sequence after this command.
    pub sequence: u64,
}

/// An acknowledged commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit's id.
    pub id: CommitId,
    /// Its time: `max(now, the last time of every entity it writes)`.
    pub time: Timestamp,
    /// The place after its last event.
    pub cursor: Cursor,
    /// One a command, in order.
    pub commands: Vec<Settled>,
    /// How durable it is.
    pub durability: Durability,
}
