//! From events to a state: what a load and a look into the past share.

use std::sync::Arc;

use component::hosted::{LiveEntity, StoredEvent};
use journal::{Cursor, EntityKey, Journal, ReadError, ReadMode, Recorded, Selection, Timestamp};

use super::DELETED;
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
}

impl Replay {
    /// Before the first event.
    pub(crate) fn fresh(kind: &Kind) -> Result<Self, StateError> {
        let entity = kind.fresh().map_err(|unreadable| StateError::Unreadable { message: unreadable.message })?;
        Ok(Self { entity, sequence: 0, time: Timestamp::default(), cursor: None, deleted: false, weight: 0, snapshot_sequence: 0 })
    }

    /// From a snapshot; `None` when the component does not take it.
    pub(crate) fn restored(kind: &Kind, snapshot: &Draft) -> Option<Self> {
        let entity = kind.restore(&snapshot.state)?;
        let weight = snapshot.state.len();
        let (sequence, time) = (snapshot.sequence, snapshot.time);
        Some(Self { entity, sequence, time, cursor: None, deleted: false, weight, snapshot_sequence: sequence })
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
            if time.is_some_and(|time| event.time > time) {
                return Ok(());
            }
            self.apply(kind, &event)?;
            self.cursor = Some(journal.lineage().cursor(event.position));
        }
        Ok(())
    }

    fn apply(&mut self, kind: &Kind, event: &Recorded) -> Result<(), StateError> {
        if event.sequence != self.sequence + 1 {
            return Err(missing(&event.entity, self.sequence + 1));
        }
        if &*event.name == DELETED {
            let fresh = Self::fresh(kind)?;
            (self.entity, self.weight, self.deleted) = (fresh.entity, 0, true);
        } else {
            self.evolve(event)?;
            (self.weight, self.deleted) = (self.weight + event.payload.len(), false);
        }
        (self.sequence, self.time) = (event.sequence, event.time);
        Ok(())
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
}

/// A gap in an entity's sequence is an alarm, never skipped.
fn missing(key: &EntityKey, sequence: u64) -> StateError {
    StateError::Read(ReadError::Damaged { place: format!("{key}: event {sequence} is missing; run headwater verify"), resume: None })
}
