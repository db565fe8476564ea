//! Held and parked keys: what a consumer remembers of a key whose event failed.
//!
//! ```text
//! held/{consumer}/{hash of the key}   JSON, see `HeldKey`
//! ```
//!
//! The register is written before the consumer's cursor passes the event. The key's later events are not copied: they wait
//! in the journal, where the key's own reader finds them. While retries are due the key is *held*; after the last one it is
//! *parked* and waits for a person. A run is recorded before it begins, so that an event that ends its process counts too.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Cursor, EntityKey, Lineage, Recorded, Register, RegisterError, RegisterExpect, Registers, Revision, Timestamp};
use serde::{Deserialize, Serialize};

use super::handler::Failure;
use crate::limits::{FAILURE_CAUSE_BYTES_MAX, FAILURES_KEPT_MAX};

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
pub struct FailedRun {
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// Which run it was, from 1.
    pub attempt: u32,
    /// Why it failed.
    pub cause: String,
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
    pub(crate) fn note(&mut self, failure: &Failure, now: Timestamp) {
        let cause = shortened(failure.cause());
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
        self.failures.push(FailedRun { at_micros: now.as_micros(), attempt: self.attempts, cause });
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

    /// Why the last run failed.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.failures.last().map_or("the process ended while this event ran", |failed| &failed.cause)
    }
}

/// A cause within its bound, cut at a character.
fn shortened(cause: &str) -> String {
    let mut end = cause.len().min(FAILURE_CAUSE_BYTES_MAX);
    while !cause.is_char_boundary(end) {
        end -= 1;
    }
    cause[..end].to_owned()
}

/// The registers of one consumer's held keys.
#[derive(Clone)]
pub(super) struct HeldRegisters {
    registers: Arc<dyn Registers>,
    prefix: String,
}

impl HeldRegisters {
    pub(super) fn new(registers: &Arc<dyn Registers>, consumer: &str) -> Self {
        Self { registers: Arc::clone(registers), prefix: format!("{PREFIX}{consumer}/") }
    }

    /// All of them.
    pub(super) async fn list(&self) -> Result<Vec<(Revision, HeldKey)>, RegisterError> {
        self.registers.list(&self.prefix).await?.iter().map(read).collect()
    }

    /// Writes a record; `None` for a key that is not held yet.
    pub(super) async fn put(&self, key: &EntityKey, revision: Option<Revision>, held: &HeldKey) -> Result<Revision, RegisterError> {
        let expect = revision.map_or(RegisterExpect::Absent, RegisterExpect::Revision);
        let value = serde_json::to_vec(held).expect("texts and numbers always encode");
        self.registers.put(&self.name(key), expect, Bytes::from(value)).await
    }

    pub(super) async fn delete(&self, key: &EntityKey, revision: Revision) -> Result<(), RegisterError> {
        self.registers.delete(&self.name(key), revision).await
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
        assert_eq!(shortened("short"), "short");
        let long = "é".repeat(FAILURE_CAUSE_BYTES_MAX);
        assert_eq!(shortened(&long).len(), FAILURE_CAUSE_BYTES_MAX / 2 * 2);
        assert_eq!(shortened(&format!("x{long}")).len(), (FAILURE_CAUSE_BYTES_MAX - 1) / 2 * 2 + 1);
    }
}
