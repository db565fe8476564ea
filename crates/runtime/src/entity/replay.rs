//! From events to a state: what a load and a look into the past share.
//!
//! A `$baseline` gives the state by itself, so that the events before it may be gone. It is taken when the component that reads it has
//! the state's shape of then. When the shape is another one, events say more than it does: those that are still there, from the first
//! one on, are replayed. When they are not, the component must take the old shape, and a load fails when it cannot.
//!
//! Events may be missing in front of a `$baseline` or `$deleted` only. Anywhere else a hole in the sequence is an alarm.

use std::sync::Arc;

use component::hosted::{LiveEntity, StoredEvent, Unreadable};
use journal::{BASELINE, Cursor, EntityKey, Journal, ReadError, ReadMode, Recorded, Selection, Timestamp};

use super::DELETED;
use super::baseline::Baseline;
use super::kind::Kind;
use super::snapshots::Draft;
use crate::isolation::isolated;
use crate::request::StateError;

/// A state that is being built.
pub(crate) struct Replay {
    pub(crate) entity: Box<dyn LiveEntity>,
    pub(crate) sequence: u64,
    /// The last event's time.
    pub(crate) time: Timestamp,
    /// The place of the last event that was applied; `None` for none.
    pub(crate) cursor: Option<Cursor>,
    /// Whether the last event is `$deleted`.
    pub(crate) deleted: bool,
    /// Bytes of payloads in it.
    pub(crate) weight: usize,
    /// The sequence of the snapshot it began with; 0 for none.
    pub(crate) snapshot_sequence: u64,
    /// What keeps the state from being known; `None` while it is.
    pub(crate) unknown: Option<Unknown>,
}

/// Why a state is not known.
#[derive(Clone, Debug)]
pub(crate) enum Unknown {
    /// Events from this sequence on are not there.
    Missing(u64),
    /// A baseline that the component does not take, and nothing before it.
    Unfit {
        /// The baseline's sequence.
        sequence: u64,
        /// Why.
        message: String,
    },
}

impl Replay {
    /// Before the first event.
    pub(crate) fn fresh(kind: &Kind) -> Result<Self, StateError> {
        let entity = kind.fresh().map_err(|unreadable| StateError::Unreadable { message: unreadable.message })?;
        let (time, cursor, unknown) = (Timestamp::default(), None, None);
        Ok(Self { entity, sequence: 0, time, cursor, deleted: false, weight: 0, snapshot_sequence: 0, unknown })
    }

    /// From a snapshot; `None` when the component does not take it.
    pub(crate) fn restored(kind: &Kind, snapshot: &Draft) -> Option<Self> {
        Some(Self::beginning(kind.restore(&snapshot.state)?, snapshot))
    }

    /// From a snapshot of an older version of the state.
    pub(crate) fn raised(kind: &Kind, build: &str, snapshot: &Draft) -> Result<Self, Unreadable> {
        Ok(Self::beginning(kind.rebase(build, &snapshot.state)?, snapshot))
    }

    fn beginning(entity: Box<dyn LiveEntity>, snapshot: &Draft) -> Self {
        let weight = snapshot.state.len();
        let (sequence, time) = (snapshot.sequence, snapshot.time);
        Self { entity, sequence, time, cursor: None, deleted: false, weight, snapshot_sequence: sequence, unknown: None }
    }

    /// Applies the entity's events up to a sequence, and up to a time when one is given.
    pub(crate) async fn run(
        &mut self,
        journal: &Arc<dyn Journal>,
        (kind, key): (&Kind, &EntityKey),
        upto: u64,
        time: Option<Timestamp>,
    ) -> Result<(), StateError> {
        if self.sequence >= upto {
            return Ok(());
        }
        let selection = Selection::Entity { entity: key.clone(), from_sequence: self.sequence + 1 };
        let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        while self.sequence < upto {
            let Some(event) = events.next_event().await else { return Err(missing(key, self.sequence + 1)) };
            let event = event?;
            if event.sequence > upto || time.is_some_and(|time| event.time > time) {
                // What lies between is gone: nobody knows what it was, nor when.
                self.notice_hole(event.sequence);
                return Ok(());
            }
            self.apply(kind, &event)?;
            self.cursor = Some(journal.lineage().cursor(event.position));
        }
        Ok(())
    }

    fn notice_hole(&mut self, sequence: u64) {
        if sequence != self.sequence + 1 && self.unknown.is_none() {
            self.unknown = Some(Unknown::Missing(self.sequence + 1));
        }
    }

    pub(crate) fn apply(&mut self, kind: &Kind, event: &Recorded) -> Result<(), StateError> {
        self.notice_hole(event.sequence);
        match &*event.name {
            DELETED => {
                let fresh = Self::fresh(kind)?;
                (self.entity, self.weight, self.deleted, self.unknown) = (fresh.entity, 0, true, None);
            }
            BASELINE => self.rebase(kind, event),
            _ if self.unknown.is_none() => {
                self.evolve(event)?;
                (self.weight, self.deleted) = (self.weight + event.payload.len(), false);
            }
            // A later baseline says what came of it, or nothing does.
            _ => {}
        }
        (self.sequence, self.time) = (event.sequence, event.time);
        Ok(())
    }

    /// Takes the state from a baseline, unless the events before it are there and the component has changed since.
    fn rebase(&mut self, kind: &Kind, event: &Recorded) {
        let unfit = |message: String| Unknown::Unfit { sequence: event.sequence, message };
        let Some(baseline) = Baseline::of(&event.payload) else {
            return self.unknown = self.unknown.take().map(|_| unfit("it is not whole".to_owned()));
        };
        if self.unknown.is_none() && baseline.build != kind.state_build() {
            return;
        }
        match kind.rebase(&baseline.build, baseline.state()) {
            Ok(entity) => {
                (self.entity, self.weight, self.deleted, self.unknown) = (entity, baseline.state().len(), false, None);
                // It saves the replay that a snapshot would.
                self.snapshot_sequence = event.sequence;
            }
            Err(unreadable) => self.unknown = self.unknown.take().map(|_| unfit(unreadable.message)),
        }
    }

    fn evolve(&mut self, event: &Recorded) -> Result<(), StateError> {
        let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
        let place = || format!("{} sequence {}", event.entity, event.sequence);
        match isolated(|| self.entity.evolve(stored)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(unreadable)) => Err(StateError::Unreadable { message: format!("{}: {unreadable}", place()) }),
            Err(panic) => Err(StateError::Unreadable { message: format!("{}: {}", place(), panic.during("evolve")) }),
        }
    }

    /// That the state is known, for who needs the newest one: a hole that no baseline has ended is an alarm.
    pub(crate) fn is_known(&self, key: &EntityKey) -> Result<(), StateError> {
        match &self.unknown {
            None => Ok(()),
            Some(Unknown::Missing(sequence)) => Err(missing(key, *sequence)),
            Some(Unknown::Unfit { sequence, message }) => {
                Err(StateError::BaselineUnfit { entity: key.to_string(), sequence: *sequence, message: message.clone() })
            }
        }
    }
}

/// A gap in an entity's sequence is an alarm, never skipped.
pub(super) fn missing(key: &EntityKey, sequence: u64) -> StateError {
    StateError::Read(ReadError::Damaged { place: format!("{key}: event {sequence} is missing; run headwater verify"), resume: None })
}
