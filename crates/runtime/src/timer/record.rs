//! What a timer leaves in the journal, and how it is read again.
//!
//! ```text
//! $timer/{name}   set       { due, every?, cron?, zone?, type, id, command, version?, body }
//!                 fired     { generation, due, outcome, code?, next? }
//!                 parked    { generation, due, cause, attempts }
//!                 redriven  { generation, due }
//!                 cancelled { generation }
//! ```
//!
//! A generation is the sequence of the `set` that the others are about. So the last event of a timer and the one that its generation names
//! are all there is to know. Times are microseconds since 1970, UTC.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::personal_mark::{is_marked, revealed};
use journal::{
    CommandId, CommandRecord, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Fingerprint, Journal, ReadError, ReadMode,
    Recorded, Selection, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::request::TimerSchedule;
use super::schedule::micros;
use crate::schema::{first_version, is_first_version};

/// The platform's entity type for timers.
pub(super) const TIMER: &str = "$timer";
pub(super) const SET: &str = "set";
pub(super) const FIRED: &str = "fired";
pub(super) const PARKED: &str = "parked";
pub(super) const REDRIVEN: &str = "redriven";
pub(super) const CANCELLED: &str = "cancelled";

/// When a timer is due, and what it sends then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Set {
    /// Of its schedule, the first time.
    pub(super) due: i64,
    /// Between two firings, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) command: String,
    /// The version of the command's shape when it was set; 1 when it is not there.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub(super) version: u16,
    /// As JSON, so that personal values are found in it.
    pub(super) body: Box<RawValue>,
}

/// One firing that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fired {
    pub(super) generation: u64,
    pub(super) due: i64,
    pub(super) outcome: FiredOutcome,
    /// The rule's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// When a schedule is due again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FiredOutcome {
    Accepted,
    Rejected,
}

/// A firing that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) generation: u64,
    pub(super) due: i64,
    pub(super) cause: String,
    pub(super) attempts: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Redriven {
    pub(super) generation: u64,
    pub(super) due: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Cancelled {
    pub(super) generation: u64,
}

/// What is known of a timer.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Of its last event.
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) set: Set,
    /// The event that set it.
    pub(super) set_event: Arc<Recorded>,
    pub(super) state: State,
    /// When it is due, or was at last.
    pub(super) due: i64,
}

/// How a timer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for its time; of a schedule that has fired, how it did at last.
    Pending(Option<Fired>),
    Parked(Parked),
    Fired(Fired),
    Cancelled,
}

impl Set {
    /// Whether both say the same, personal values in the plain.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let target = |set: &Self| (set.kind.clone(), set.id.clone(), set.command.clone(), set.version);
        let schedule = self.schedule();
        // When a schedule is due first depends on when it was set.
        let is_due_so = schedule == other.schedule() && (schedule.is_some() || self.due == other.due);
        is_due_so && target(self) == target(other) && self.plain_body() == other.plain_body()
    }

    /// When it is due again and again.
    pub(super) fn schedule(&self) -> Option<TimerSchedule> {
        match (self.every, &self.cron) {
            (Some(every), _) => Some(TimerSchedule::Every(Duration::from_micros(every.unsigned_abs()))),
            (None, Some(line)) => Some(TimerSchedule::Cron { line: line.clone(), zone: self.zone.clone().unwrap_or_default() }),
            (None, None) => None,
        }
    }

    /// The same, due then and by this schedule.
    pub(super) fn at(self, due: Timestamp, schedule: Option<TimerSchedule>) -> Self {
        let (every, cron, zone) = match schedule {
            None => (None, None, None),
            Some(TimerSchedule::Every(period)) => (Some(micros(period)), None, None),
            Some(TimerSchedule::Cron { line, zone }) => (None, Some(line), Some(zone)),
        };
        Self { due: due.as_micros(), every, cron, zone, ..self }
    }

    /// Whether the body has personal values, in a form with marks.
    pub(super) fn is_personal(&self) -> bool {
        is_marked(self.body.get().as_bytes())
    }

    /// The body as the command's rule reads it.
    pub(super) fn plain_body(&self) -> Bytes {
        match revealed(self.body.get().as_bytes()) {
            Cow::Owned(plain) => plain.into(),
            Cow::Borrowed(plain) => Bytes::copy_from_slice(plain),
        }
    }
}

/// What the journal knows of a timer; `None` when it was never set.
pub(super) async fn read(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<Known>, ReadError> {
    let Some(head) = journal.entity_head(entity).await? else { return Ok(None) };
    let Some(last) = event_at(journal, entity, head.sequence).await? else { return Ok(None) };
    let unknown = || unreadable(&last, "an event that this version does not know");
    let (generation, due, state) = match &*last.name {
        SET => (last.sequence, None, State::Pending(None)),
        FIRED => {
            let fired: Fired = parsed(&last)?;
            let due = fired.next.unwrap_or(fired.due);
            let state = if fired.next.is_some() { State::Pending(Some(fired.clone())) } else { State::Fired(fired.clone()) };
            (fired.generation, Some(due), state)
        }
        PARKED => {
            let parked: Parked = parsed(&last)?;
            (parked.generation, Some(parked.due), State::Parked(parked))
        }
        REDRIVEN => {
            let Redriven { generation, due } = parsed(&last)?;
            (generation, Some(due), State::Pending(None))
        }
        CANCELLED => (parsed::<Cancelled>(&last)?.generation, None, State::Cancelled),
        _ => return Err(unknown()),
    };
    let set_event =
        if generation == last.sequence { Arc::clone(&last) } else { event_at(journal, entity, generation).await?.ok_or_else(unknown)? };
    let set: Set = parsed(&set_event)?;
    Ok(Some(Known { sequence: last.sequence, generation, due: due.unwrap_or(set.due), set, set_event, state }))
}

async fn event_at(journal: &dyn Journal, entity: &EntityKey, sequence: u64) -> Result<Option<Arc<Recorded>>, ReadError> {
    let selection = Selection::Entity { entity: entity.clone(), from_sequence: sequence };
    journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()
}

fn parsed<'a, T: Deserialize<'a>>(event: &'a Recorded) -> Result<T, ReadError> {
    serde_json::from_slice(&event.payload).map_err(|error| unreadable(event, &error.to_string()))
}

fn unreadable(event: &Recorded, cause: &str) -> ReadError {
    ReadError::Unavailable { cause: format!("{} is not readable by this version at sequence {}: {cause}", event.entity, event.sequence) }
}

/// The id of the command that a firing sends: the same however often it is tried. No client can send it, for it has control characters.
pub(super) fn firing_id(name: &str, generation: u64, due: i64) -> String {
    format!("timer\0{name}\0{generation}\0{due}")
}

/// The id of a record of ours about a timer.
pub(super) fn own_id(what: &str, generation: u64, place: impl std::fmt::Display) -> CommandId {
    CommandId::from_raw(format!("{what}\0{generation}\0{place}").as_bytes())
}

/// A record of one event.
pub(super) fn record(
    entity: &EntityKey,
    (id, fingerprint): (CommandId, Option<Fingerprint>),
    context: Context,
    (name, payload): (&str, &impl Serialize),
) -> CommandRecord {
    let payload = serde_json::to_vec(payload).expect("texts, numbers and JSON always encode");
    let event = EventData {
        name: name.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: payload.into(),
    };
    CommandRecord { entity: entity.clone(), id, name: name.into(), fingerprint, context, reply: Bytes::new(), events: vec![event] }
}
