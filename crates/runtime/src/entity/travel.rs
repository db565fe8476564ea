//! The state of an entity then: by replay from the journal, beginning at a snapshot below the moment when there is one.

use journal::{BASELINE, Cursor, EntityKey, ReadMode, Selection, Timestamp};

use super::kind::Kind;
use super::raise::Standing;
use super::replay::{Replay, Unknown, missing};
use super::snapshots::Draft;
use super::{DELETED, Entities};
use crate::isolation::state_of;
use crate::request::{StateError, StateRead};

impl Entities {
    /// After the event with this sequence.
    pub(crate) async fn state_at_sequence(&self, kind: &Kind, entity: &EntityKey, sequence: u64) -> Result<Option<StateRead>, StateError> {
        let head = self.journal.entity_head(entity).await?;
        let newest = head.map_or(0, |head| head.sequence);
        if sequence > newest {
            return Err(StateError::BeyondHead { sequence: newest });
        }
        let mut replay = self.before(kind, entity, |snapshot| snapshot.sequence <= sequence)?;
        replay.run(&self.journal, (kind, entity), sequence, None).await?;
        self.then(kind, entity, replay).await
    }

    /// After the last event at or before this time.
    pub(crate) async fn state_at_time(&self, kind: &Kind, entity: &EntityKey, time: Timestamp) -> Result<Option<StateRead>, StateError> {
        let Some(head) = self.journal.entity_head(entity).await? else { return Ok(None) };
        // Events behind the snapshot may have its time as well: they are replayed.
        let mut replay = self.before(kind, entity, |snapshot| snapshot.time <= time && snapshot.sequence <= head.sequence)?;
        replay.run(&self.journal, (kind, entity), head.sequence, Some(time)).await?;
        self.then(kind, entity, replay).await
    }

    /// The newest known state that is not beyond the moment.
    fn before(&self, kind: &Kind, entity: &EntityKey, fits: impl Fn(&Draft) -> bool) -> Result<Replay, StateError> {
        let wants = |build: &str| build == kind.state_build() || kind.raised.standing(build) == Standing::Proven;
        let snapshot = self.snapshots.as_ref().and_then(|snapshots| snapshots.newest(entity, wants));
        let replay = snapshot.filter(|(_, snapshot)| fits(snapshot)).and_then(|(build, snapshot)| {
            if build == kind.state_build() { Replay::restored(kind, &snapshot) } else { Replay::raised(kind, &build, &snapshot).ok() }
        });
        replay.map_or_else(|| Replay::fresh(kind), Ok)
    }

    /// Where a replay up to this sequence begins.
    pub(crate) fn snapshot_before(&self, kind: &Kind, entity: &EntityKey, sequence: u64) -> Result<Replay, StateError> {
        self.before(kind, entity, |snapshot| snapshot.sequence <= sequence)
    }

    /// Why a replay came to no state.
    pub(crate) async fn why_unknown(&self, kind: &Kind, entity: &EntityKey, replay: Replay) -> StateError {
        let sequence = replay.sequence;
        self.then(kind, entity, replay).await.err().unwrap_or_else(|| missing(entity, sequence))
    }

    /// What a replay came to; when the moment lies in front of what is there, the first one that does not.
    async fn then(&self, kind: &Kind, entity: &EntityKey, replay: Replay) -> Result<Option<StateRead>, StateError> {
        let from_sequence = match &replay.unknown {
            None => return self.shown_then(replay).await,
            Some(Unknown::Unfit { .. }) => return Err(replay.is_known(entity).err().unwrap_or_else(|| missing(entity, replay.sequence))),
            Some(Unknown::Missing(_)) => replay.sequence + 1,
        };
        let hole = replay.is_known(entity);
        drop(replay);
        let mut events =
            self.journal.read(Selection::Entity { entity: entity.clone(), from_sequence }, Cursor::BEGINNING, ReadMode::ToHead);
        while let Some(event) = events.next_event().await {
            let event = event?;
            if matches!(&*event.name, BASELINE | DELETED) {
                let cursor = self.journal.lineage().cursor(event.position);
                return Err(StateError::Gone { kind: kind.name(), sequence: event.sequence, time: event.time, cursor });
            }
        }
        // No retention leaves that.
        hole.map(|()| None)
    }

    async fn shown_then(&self, replay: Replay) -> Result<Option<StateRead>, StateError> {
        if replay.sequence == 0 || replay.deleted {
            return Ok(None);
        }
        let state = state_of(&*replay.entity).map_err(|unreadable| StateError::Unreadable { message: unreadable.message })?;
        let (sequence, time, cursor) = (replay.sequence, replay.time, replay.cursor);
        // Not held across the next wait: an entity is not shared between threads.
        drop(replay);
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => self.journal.head().await?,
        };
        Ok(Some(StateRead { state: state.into(), sequence, time, cursor }))
    }
}
