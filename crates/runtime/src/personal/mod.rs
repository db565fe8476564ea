//! Personal data: what is encrypted with a key of its subject before it is kept, and gone for ever once that key is.
//!
//! A component's personal values come here as marks (`component::hosted::personal_mark`). [`veil::Veiled`] is the journal as the rest
//! of the runtime sees it: what is appended through it has no mark any more but a sealed value, what is read through it has marks (for
//! who decides and remembers), or plain values (for who shows them). Snapshots are sealed likewise. So nothing else in this crate can
//! write a personal value in the plain.
//!
//! ```text
//! in memory     {"$personal":{"subject":"customer/c1","at":3,"value":"Ann"}}
//! in a file     {"$sealed":"{key id, 16 hexadecimal digits}.{base64url of nonce, ciphertext and tag}"}
//! once erased   null
//! ```
//!
//! The cipher is XChaCha20-Poly1305: its nonce of 24 bytes is random, so that nobody has to count. The ciphertext holds the subject's name
//! and the value; what is authenticated besides is the place: tenant, type and id of the entity, what of it (the event's name, the command's
//! id, the snapshot), and the how-manieth sealed value there it is. A ciphertext that is moved anywhere else does not open.
//!
//! - [`keys`] is the key store, a file of its own apart from the journal. A key is durable before anything is sealed with it.
//! - [`runs`] keeps what waits for a run sealed until it begins.
//! - [`erase`] makes a decision of a person into an event, destroys the keys, and sees it through after a crash.
//!
//! What it is not: protection from who can read the key store too, or the memory of the process.

mod cipher;
pub(crate) mod erase;
mod keys;
pub(crate) mod runs;
pub(crate) mod veil;
pub(crate) mod whose;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::hosted::personal_mark::{Marked, SEALED, is_sealed, replace, replace_marks};
use component::hosted::{EntityHandle, OperationHandle, ProcessorHandle, TopicHandle};
use journal::seams::{Clock, Disk, Random};
use journal::{CommandId, EntityKey, ReadError};
use serde_json::Value as Json;

use crate::Notices;
pub use keys::KeyStoreError;
use keys::{Keys, Now, Opening, SubjectHash};

/// How a mark and what is sealed begin.
const MARK: &str = "{\"$personal\":";
const SEALED_TEXT: &str = "{\"$sealed\":";
/// How the error of a key begins that is not there.
const KEY_MISSING: &str = "HW0092: the key store";
/// What is wrong with a value that was made of nobody's.
pub(crate) const NOBODY: &str =
    "has no subject: make it of another one with `Personal::map`, or say `#[personal(subject = \"..\")]` where it stands";

/// Whether any of these components has a personal value: such a service needs a key store.
#[must_use]
pub fn has_personal_data(
    entities: &[EntityHandle],
    operations: &[OperationHandle],
    processors: &[ProcessorHandle],
    topics: &[TopicHandle],
) -> bool {
    let entity = |entity: &EntityHandle| {
        let described = entity.description();
        let shapes = described.commands.iter().chain(&described.events).chain(&described.rejections);
        shapes.map(|shape| &shape.schema).chain([&described.reply, &described.state]).any(is_personal)
    };
    let operation =
        |operation: &OperationHandle| is_personal(&operation.description().input) || is_personal(&operation.description().reply);
    let processor = |processor: &ProcessorHandle| processor.description().is_personal || entity(&processor.output());
    let topic = |topic: &TopicHandle| topic.description().schema.as_ref().is_some_and(is_personal);
    entities.iter().any(entity) || operations.iter().any(operation) || processors.iter().any(processor) || topics.iter().any(topic)
}

/// Whether a schema has a personal value in it.
pub(crate) fn is_personal(schema: &Json) -> bool {
    match schema {
        Json::Object(members) => {
            members.get(component::hosted::personal_mark::SCHEMA) == Some(&Json::Bool(true)) || members.values().any(is_personal)
        }
        Json::Array(items) => items.iter().any(is_personal),
        _ => false,
    }
}

/// Where something is sealed, and what of it.
pub(crate) enum Place<'a> {
    /// An event, by its name.
    Event(&'a EntityKey, &'a str),
    /// The reply to a command.
    Reply(&'a EntityKey, CommandId),
    /// The snapshot of an entity.
    Snapshot(&'a EntityKey),
    /// What a consumer remembers of a key that it holds.
    Held(&'a EntityKey),
}

/// What a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Marks: it knows whose the values are, and may write them again.
    Marked,
    /// Plain values.
    Plain,
}

/// Why something cannot be sealed.
#[derive(Debug)]
pub(crate) enum SealError {
    /// What was to be sealed breaks a rule.
    Invalid(String),
    /// The key store fails.
    Keys(KeyStoreError),
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => write!(formatter, "a personal value {problem}"),
            Self::Keys(error) => error.fmt(formatter),
        }
    }
}

/// The subjects of a service: seals and opens what is theirs.
pub(crate) struct Subjects {
    keys: Mutex<Keys>,
    /// Erasures that have begun, counted by the keys while they are locked: who asks does not wait for their syncs.
    begun: Arc<AtomicU64>,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    notices: Notices,
    /// Whether a key was not there, and the operator was told.
    misses_keys: AtomicBool,
    /// Erasures that are seen through: no state in memory has anything of theirs any more.
    settled: AtomicU64,
    /// Whether a person has said that keys are lost for good: what is under one that is not there reads as erased.
    is_lossy: AtomicBool,
}

/// A key that no erasure has ended is not there. Nothing may be taken for erased that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyMissing {
    key: u64,
    store: u64,
}

impl fmt::Display for KeyMissing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, store } = self;
        write!(formatter, "{KEY_MISSING} {store:016x} does not have the key {key:016x}, so it is an older copy of itself or damaged; ")?;
        write!(formatter, "bring its newest copy back, or start once with `--keys-lost {store:016x}` when there is none any more")
    }
}

impl From<KeyMissing> for ReadError {
    fn from(missing: KeyMissing) -> Self {
        Self::Unavailable { cause: missing.to_string() }
    }
}

/// Whether a read failed over a key that is not there: that is about what was read, and not about the journal.
pub(crate) fn is_key_missing(error: &ReadError) -> bool {
    matches!(error, ReadError::Unavailable { cause } if cause.starts_with(KEY_MISSING))
}

impl Subjects {
    /// Opens the key store, or begins one.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
        notices: Notices,
    ) -> Result<Self, KeyStoreError> {
        let keys = Keys::open(disk, &*random)?;
        for note in keys.notes() {
            notices(note);
        }
        Ok(Self {
            begun: keys.begun(),
            keys: Mutex::new(keys),
            random,
            clock,
            notices,
            misses_keys: AtomicBool::new(false),
            settled: AtomicU64::new(0),
            is_lossy: AtomicBool::new(false),
        })
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets another process have the key store, once nothing is under way.
    pub(crate) fn release(&self) {
        self.keys().release();
    }

    /// How many erasures this process has seen through: what was read before its subject's is not sealed any more.
    pub(crate) fn erasures(&self) -> u64 {
        self.settled.load(SeqCst)
    }

    /// How many have begun: what is opened from then on is without their subjects. It counts before any key ends, so that who has seen
    /// one gone, or waits for one that is just going, knows of it.
    pub(crate) fn begun_erasures(&self) -> u64 {
        self.begun.load(SeqCst)
    }

    /// Every state that was read before is forgotten. One erasure after the other is seen through.
    pub(crate) fn saw_through(&self) {
        self.settled.store(self.begun_erasures(), SeqCst);
    }

    /// The text with its marks sealed; `None` when it has none. What looks sealed already is none of ours, and would be counted as such
    /// when it is opened.
    pub(crate) fn seal(&self, place: &Place<'_>, json: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if is_sealed(json) {
            return Err(SealError::Invalid("has a key `$sealed`, which is the platform's own".to_owned()));
        }
        let mut ordinal = 0;
        let broken = || SealError::Invalid("a personal value is not whole".to_owned());
        replace_marks(json, broken, |mark| self.seal_one(place, &mut ordinal, &mark))
    }

    fn seal_one(&self, place: &Place<'_>, ordinal: &mut u32, mark: &Marked<'_>) -> Result<Vec<u8>, SealError> {
        let sealed = self.seal_mark(place, *ordinal, mark)?;
        *ordinal += u32::from(sealed != b"null");
        Ok(sealed)
    }

    /// A mark in a mark is sealed first: it is gone once either subject is.
    fn seal_mark(&self, place: &Place<'_>, ordinal: u32, mark: &Marked<'_>) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Invalid("a personal value is not whole".to_owned());
        let inner = match mark.value.get() {
            value if value.starts_with(MARK) => replace_marks(value.as_bytes(), broken, |inner| self.seal_mark(place, ordinal, &inner))?,
            _ => None,
        };
        let value = inner.map_or_else(|| mark.value.get().to_owned(), |inner| String::from_utf8_lossy(&inner).into_owned());
        let entity = place.entity();
        let subject = self.subject_of(place, mark)?;
        erase::subject_key(entity.tenant(), &subject)
            .map_err(|problem| SealError::Invalid(format!("is of the subject `{subject}`, which {problem}")))?;
        let now = Now { random: &*self.random, micros: self.clock.now().as_micros() };
        let key = self.keys().sealing(SubjectHash::of(entity.tenant(), &subject), mark.at, &now).map_err(SealError::Keys)?;
        let Some(key) = key.filter(|_| value != "null") else { return Ok(b"null".to_vec()) };
        Ok(cipher::seal(&key, &place.bound(ordinal), &cipher::content(&subject, &value), &*self.random))
    }

    /// Whose a value is. One that says nothing is the entity's that it stands in; the platform's own entities are nobody.
    fn subject_of(&self, place: &Place<'_>, mark: &Marked<'_>) -> Result<String, SealError> {
        let entity = place.entity();
        match mark.subject.as_deref() {
            Some(subject) => Ok(subject.to_owned()),
            None if entity.kind().starts_with('$') => Err(SealError::Invalid(NOBODY.to_owned())),
            None => Ok(format!("{}/{}", entity.kind(), entity.id())),
        }
    }

    /// The text with what is sealed in it opened; `None` when there is nothing.
    pub(crate) fn opened(&self, place: &Place<'_>, json: &[u8], form: Form) -> Result<Option<Vec<u8>>, KeyMissing> {
        let mut ordinal = 0;
        replace(json, SEALED, |inside| {
            let opened = self.open_one(place, ordinal, inside, form);
            ordinal += 1;
            opened
        })
    }

    /// `None` for what only looks like ours.
    fn open_one(&self, place: &Place<'_>, ordinal: u32, inside: &str, form: Form) -> Result<Option<Vec<u8>>, KeyMissing> {
        let Some(sealed) = cipher::Sealed::parse(inside) else { return Ok(None) };
        let (opening, erasures) = {
            let keys = self.keys();
            (keys.opening(sealed.key), keys.erasures())
        };
        let key = match opening {
            Opening::With(key) => key,
            Opening::Erased => return Ok(Some(b"null".to_vec())),
            Opening::Unknown if self.is_lossy.load(SeqCst) => return Ok(Some(b"null".to_vec())),
            Opening::Unknown => return Err(self.missing(sealed.key)),
        };
        let Some(content) = cipher::open(&key, &place.bound(ordinal), &sealed) else { return Ok(None) };
        let Ok(cipher::Content { subject, value }) = serde_json::from_slice(&content) else { return Ok(None) };
        // One that was sealed for two subjects: the other's layer.
        let inner = match value.get().strip_prefix(SEALED_TEXT).and_then(|inside| inside.strip_suffix('}')) {
            Some(inside) => self.open_one(place, ordinal, inside, form)?,
            None => None,
        };
        Ok(Some(match (inner, form) {
            (Some(inner), _) if inner == b"null" => inner,
            (Some(inner), Form::Plain) => inner,
            (None, Form::Plain) => value.get().as_bytes().to_vec(),
            (Some(inner), Form::Marked) => marked(&*subject, erasures, &String::from_utf8_lossy(&inner)),
            (None, Form::Marked) => marked(&*subject, erasures, value.get()),
        }))
    }

    /// Whether a key was not there when somebody read.
    pub(crate) fn misses_keys(&self) -> bool {
        self.misses_keys.load(SeqCst)
    }

    /// The operator is told once; whoever reads is told each time.
    fn missing(&self, key: u64) -> KeyMissing {
        let missing = KeyMissing { key, store: self.keys().store() };
        if !self.misses_keys.swap(true, SeqCst) {
            (self.notices)(&missing.to_string());
        }
        missing
    }
}

fn marked<'a>(subject: impl Into<Option<&'a str>>, erasures: u64, value: &str) -> Vec<u8> {
    let subject = Json::from(subject.into());
    format!("{{\"$personal\":{{\"subject\":{subject},\"at\":{erasures},\"value\":{value}}}}}").into_bytes()
}

impl<'a> Place<'a> {
    fn entity(&self) -> &'a EntityKey {
        match self {
            Self::Event(entity, _) | Self::Reply(entity, _) | Self::Snapshot(entity) | Self::Held(entity) => entity,
        }
    }

    /// What a ciphertext is bound to.
    fn bound(&self, ordinal: u32) -> Vec<u8> {
        let entity = self.entity();
        let what = match self {
            Self::Event(_, name) => format!("event\0{name}"),
            Self::Reply(_, id) => format!("reply\0{id}"),
            Self::Snapshot(_) => "snapshot".to_owned(),
            Self::Held(_) => "held".to_owned(),
        };
        format!("headwater personal 1\0{}\0{}\0{}\0{what}\0{ordinal}", entity.tenant(), entity.kind(), entity.id()).into_bytes()
    }
}

impl From<io::Error> for KeyStoreError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

#[cfg(test)]
mod tests;
