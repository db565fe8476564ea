//! Held and parked keys: what a consumer remembers of a key whose event failed.
//!
//! ```text
//! held/{consumer}/{hash of the key}   JSON, see `HeldKey`
//! ```
//!
//! The register is written before the consumer's cursor passes the event. The key's later events are not copied: they wait
//! in the journal, where the key's own reader finds them. While retries are due the key is *held*; after the last one it is
//! *parked* and waits for a person. A run is recorded before it begins, so that an event that ends its process counts too.
//!
//! Whoever works on the consumer writes behind the fence of its lease, in one step with the look at it. So a process that stood still and goes
//! on changes no held key of the one that has taken over, and adds none that nobody would know of: that one lists them once, when it begins.
//!
//! Why a run failed may quote whom its event is about. So the cause of one that has seen personal values is sealed under their subjects,
//! and gone with any of them.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::personal_mark::NAME;
use journal::{Cursor, EntityKey, Fence, Lineage, Recorded, Register, RegisterError, RegisterExpect, Registers, Revision, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value as Json, json};

use super::Seams;
use super::handler::Failure;
use crate::limits::{CAUSE_SUBJECTS_MAX, FAILURE_CAUSE_BYTES_MAX, FAILURES_KEPT_MAX, PERSONAL_CAUSE_BYTES_MAX};
use crate::personal::runs::Whose;
use crate::personal::{Form, Place, SealError, Subjects};

/// What the names of all these registers begin with.
pub(super) const PREFIX: &str = "held/";

/// A key whose event failed, as its register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldKey {
    /// The tenant of the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// The entity type of the key.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the key.
    pub id: String,
    /// The event that failed: its id.
    pub event: String,
    /// Its type, such as `cart/item-added`.
    pub event_type: String,
    /// Its sequence.
    pub sequence: u64,
    /// The place after it, as a cursor.
    pub cursor: String,
    /// When it was recorded, in microseconds since 1970; 0 in registers of earlier versions.
    #[serde(default)]
    pub recorded_micros: i64,
    /// Runs of it that have begun.
    pub attempts: u32,
    /// How many of these ended with the process.
    #[serde(default)]
    pub deaths: u32,
    /// A run is under way, or was when the process ended.
    #[serde(default)]
    pub running: bool,
    /// No further run is due: a person decides.
    pub parked: bool,
    /// A person has discarded the event: the key goes on behind it.
    #[serde(default)]
    pub discarded: bool,
    /// Where the payload is found that a person put beside the event's own: a sequence of the consumer's own entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// When the next run is due, in microseconds since 1970.
    pub due_micros: i64,
    /// Since when it is held, in microseconds since 1970.
    pub since_micros: i64,
    /// The last failures, oldest first.
    pub failures: Vec<FailedRun>,
}

/// One failed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct FailedRun {
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// Which run it was, from 1.
    pub attempt: u32,
    /// Why it failed.
    pub cause: String,
    /// Whose personal values the run had seen.
    whose: Whose,
}

impl HeldKey {
    /// The record of an event whose first runs have failed; nothing is due yet.
    pub(crate) fn new(event: &Recorded, lineage: &Lineage, attempts: u32, now: Timestamp) -> Self {
        let mut held = Self {
            tenant: event.entity.tenant().to_owned(),
            kind: event.entity.kind().to_owned(),
            id: event.entity.id().to_owned(),
            event: String::new(),
            event_type: String::new(),
            sequence: 0,
            cursor: String::new(),
            recorded_micros: 0,
            attempts: 0,
            deaths: 0,
            running: false,
            parked: false,
            discarded: false,
            edited: None,
            due_micros: now.as_micros(),
            since_micros: now.as_micros(),
            failures: Vec::new(),
        };
        held.go_to(event, lineage.cursor(event.position));
        held.attempts = attempts;
        held
    }

    /// The record of a key that failed when it was woken, and not over an event.
    pub(crate) fn woken(key: &EntityKey, due_micros: i64, place: Cursor, now: Timestamp) -> Self {
        Self {
            tenant: key.tenant().to_owned(),
            kind: key.kind().to_owned(),
            id: key.id().to_owned(),
            event: format!("wake-{due_micros}"),
            event_type: format!("{}/wake", key.kind()),
            sequence: 0,
            cursor: place.to_string(),
            recorded_micros: due_micros,
            attempts: 1,
            deaths: 0,
            running: false,
            parked: true,
            discarded: false,
            edited: None,
            due_micros,
            since_micros: now.as_micros(),
            failures: Vec::new(),
        }
    }

    /// Whether the key failed when it was woken, and not over an event.
    pub(crate) fn is_wake(&self) -> bool {
        self.sequence == 0
    }

    /// The key goes on to a later event of its own.
    pub(super) fn go_to(&mut self, event: &Recorded, cursor: Cursor) {
        self.event = event.id.to_string();
        self.event_type = format!("{}/{}", event.entity.kind(), event.name);
        self.sequence = event.sequence;
        self.cursor = cursor.to_string();
        self.recorded_micros = event.time.as_micros();
        (self.attempts, self.deaths, self.running, self.parked) = (0, 0, false, false);
        (self.discarded, self.edited) = (false, None);
        self.failures.clear();
    }

    /// Remembers why a run failed.
    pub(crate) fn note(&mut self, failure: &Failure, whose: Whose, now: Timestamp) {
        let (cause, whose) = kept(failure.cause(), whose);
        // What waits for somebody outside says the same again and again: it must not push out what happened before.
        if matches!(failure, Failure::Later { .. })
            && let Some(last) = self.failures.last_mut().filter(|last| last.cause == cause)
        {
            last.at_micros = now.as_micros();
            return;
        }
        if self.failures.len() == FAILURES_KEPT_MAX {
            self.failures.remove(0);
        }
        self.failures.push(FailedRun { at_micros: now.as_micros(), attempt: self.attempts, cause, whose });
    }

    /// The key.
    ///
    /// # Errors
    /// When the record is not one of ours.
    pub(crate) fn key(&self) -> Result<EntityKey, RegisterError> {
        EntityKey::with_tenant(&self.tenant, &self.kind, &self.id).map_err(RegisterError::Invalid)
    }

    /// The first sequence of the key that has not ended.
    pub(super) fn from(&self) -> u64 {
        self.sequence + u64::from(self.discarded)
    }

    /// When the event was recorded, as far as the register knows.
    pub(crate) fn recorded(&self) -> i64 {
        if self.recorded_micros == 0 { self.since_micros } else { self.recorded_micros }
    }

    /// Why the last run failed, and whose values it had seen.
    pub(crate) fn last(&self) -> (&str, &Whose) {
        static NOBODY: Whose = Whose { subjects: Vec::new(), at: 0, is_unclear: false };
        (self.cause(), self.failures.last().map_or(&NOBODY, |failed| &failed.whose))
    }

    /// Why the last run failed.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.failures.last().map_or("the process ended while this event ran", |failed| &failed.cause)
    }
}

/// A failed run as its register has it: a cause that may quote somebody is a mark, which the seal turns into what nobody can read.
#[derive(Serialize, Deserialize)]
struct Stored {
    at_micros: i64,
    attempt: u32,
    cause: String,
    /// `null` once a subject is erased.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    personal: Option<Json>,
}

/// What is told instead of a cause that cannot be told.
const ERASED: &str = "(it was about somebody who is erased)";
const UNREADABLE: &str = "(personal, and its key is not there: HW0092)";

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl From<FailedRun> for Stored {
    fn from(FailedRun { at_micros, attempt, cause, whose }: FailedRun) -> Self {
        if whose.subjects.is_empty() {
            return Self { at_micros, attempt, cause, personal: None };
        }
        let around = |value, subject| json!({ NAME: { "subject": subject, "at": whose.at, "value": value } });
        let personal = whose.subjects.iter().fold(Json::from(cause), around);
        Self { at_micros, attempt, cause: "(personal)".to_owned(), personal: Some(personal) }
    }
}

impl From<Stored> for FailedRun {
    fn from(Stored { at_micros, attempt, cause, personal }: Stored) -> Self {
        let Some(mut inside) = personal else { return Self { at_micros, attempt, cause, whose: Whose::default() } };
        let mut whose = Whose::default();
        while let Some(mark) = inside.get_mut(NAME).map(Json::take) {
            whose.subjects.insert(0, mark["subject"].as_str().unwrap_or_default().to_owned());
            whose.at = mark["at"].as_u64().unwrap_or_default();
            inside = mark["value"].clone();
        }
        match inside {
            Json::String(cause) => Self { at_micros, attempt, cause, whose },
            Json::Null => Self { at_micros, attempt, cause: ERASED.to_owned(), whose: Whose::default() },
            _ => Self { at_micros, attempt, cause: UNREADABLE.to_owned(), whose: Whose::default() },
        }
    }
}

/// A cause within its bound, and whose it is. One that may be about many is not kept.
fn kept(cause: &str, whose: Whose) -> (String, Whose) {
    match whose.subjects.len() {
        _ if whose.is_unclear => ("(not kept: it may quote somebody, and whom is not known)".to_owned(), Whose::default()),
        0 => (shortened(cause, FAILURE_CAUSE_BYTES_MAX), whose),
        1..=CAUSE_SUBJECTS_MAX => (shortened(&cause.replace(char::is_control, " "), PERSONAL_CAUSE_BYTES_MAX), whose),
        many => (format!("(not kept: it may quote any of {many} subjects)"), Whose::default()),
    }
}

/// A text within a bound, cut at a character.
fn shortened(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The registers of one consumer's held keys.
#[derive(Clone)]
pub(super) struct HeldRegisters {
    registers: Arc<dyn Registers>,
    /// The lease of who writes; nothing for who only looks, or for a consumer that nobody works on.
    fence: Option<Fence>,
    subjects: Option<Arc<Subjects>>,
    prefix: String,
}

impl HeldRegisters {
    pub(super) fn new(seams: &Seams, consumer: &str) -> Self {
        Self::over(&seams.registers, seams.runs.subjects().cloned(), consumer)
    }

    pub(super) fn over(registers: &Arc<dyn Registers>, subjects: Option<Arc<Subjects>>, consumer: &str) -> Self {
        Self { registers: Arc::clone(registers), fence: None, subjects, prefix: format!("{PREFIX}{consumer}/") }
    }

    /// The same for the owner of a lease: whatever it writes is refused once another one has taken the lease over.
    pub(super) fn under(self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self }
    }

    /// All of them.
    pub(super) async fn list(&self) -> Result<Vec<(Revision, HeldKey)>, RegisterError> {
        self.registers.list(&self.prefix).await?.iter().map(|register| self.opened(register)).collect()
    }

    /// Writes a record; `None` for a key that is not held yet.
    pub(super) async fn put(&self, key: &EntityKey, revision: Option<Revision>, held: &HeldKey) -> Result<Revision, RegisterError> {
        let expect = revision.map_or(RegisterExpect::Absent, RegisterExpect::Revision);
        let value = self.sealed(key, serde_json::to_vec(held).expect("texts and numbers always encode"))?;
        match &self.fence {
            Some(fence) => self.registers.put_fenced(fence, &self.name(key), expect, Bytes::from(value)).await,
            None => self.registers.put(&self.name(key), expect, Bytes::from(value)).await,
        }
    }

    fn sealed(&self, key: &EntityKey, value: Vec<u8>) -> Result<Vec<u8>, RegisterError> {
        let Some(subjects) = &self.subjects else { return Ok(value) };
        let failed = |error: SealError| RegisterError::Unavailable { cause: error.to_string() };
        Ok(subjects.seal(&Place::Held(key), &value).map_err(failed)?.unwrap_or(value))
    }

    /// A cause whose key is not there stays sealed, and is told as such: what the key waits for does not depend on it.
    fn opened(&self, register: &Register) -> Result<(Revision, HeldKey), RegisterError> {
        let (revision, held) = read(register)?;
        let Some(subjects) = &self.subjects else { return Ok((revision, held)) };
        let Ok(Some(value)) = subjects.opened(&Place::Held(&held.key()?), &register.value, Form::Marked) else {
            return Ok((revision, held));
        };
        read(&Register { value: value.into(), ..register.clone() })
    }

    pub(super) async fn delete(&self, key: &EntityKey, revision: Revision) -> Result<(), RegisterError> {
        match &self.fence {
            Some(fence) => self.registers.delete_fenced(fence, &self.name(key), revision).await,
            None => self.registers.delete(&self.name(key), revision).await,
        }
    }

    fn name(&self, key: &EntityKey) -> String {
        let hash = key.hash().0;
        hash.iter().fold(self.prefix.clone(), |name, byte| name + &format!("{byte:02x}"))
    }
}

pub(super) fn read(register: &Register) -> Result<(Revision, HeldKey), RegisterError> {
    let held = serde_json::from_slice(&register.value).map_err(|error| RegisterError::Unavailable {
        cause: format!("register {} is not readable by this version: {error}", register.name),
    })?;
    Ok((register.revision, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_cut_at_a_character() {
        let shortened = |text: &str| shortened(text, FAILURE_CAUSE_BYTES_MAX);
        assert_eq!(shortened("short"), "short");
        let long = "é".repeat(FAILURE_CAUSE_BYTES_MAX);
        assert_eq!(shortened(&long).len(), FAILURE_CAUSE_BYTES_MAX / 2 * 2);
        assert_eq!(shortened(&format!("x{long}")).len(), (FAILURE_CAUSE_BYTES_MAX - 1) / 2 * 2 + 1);
    }
}
