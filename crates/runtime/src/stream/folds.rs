//! The states of entities after their events, folded along with a reader.
//!
//! A state that is not there is replayed from the journal, beginning at a snapshot when there is one; from then on each event of the entity
//! costs one fold. States are kept in two generations: a full one becomes the old one, and what is asked for comes back from there.

use std::collections::HashMap;

use component::hosted::LiveEntity;
use journal::{BASELINE, EntityKey, Recorded};

use crate::entity::replay::Replay;
use crate::entity::{DELETED, Entities};
use crate::limits::{FOLDS_BYTES_MAX, FOLDS_MAX};
use crate::request::StateError;

/// See the module.
#[derive(Default)]
pub(super) struct Folds {
    young: HashMap<EntityKey, Replay>,
    old: HashMap<EntityKey, Replay>,
    /// Bytes of payloads in the young ones, as far as they had come when they came in.
    bytes: usize,
}

impl Folds {
    /// Brings the entity's state to the one after this event.
    pub(super) async fn follow(&mut self, entities: &Entities, event: &Recorded) -> Result<(), StateError> {
        let key = &event.entity;
        let Some(kind) = entities.kind(key.kind()) else { return Ok(()) };
        let known = self.young.remove(key).or_else(|| self.old.remove(key)).filter(|replay| replay.sequence < event.sequence);
        let mut replay = match known {
            Some(replay) => replay,
            None if event.sequence == 1 => Replay::fresh(kind)?,
            None => entities.snapshot_before(kind, key, event.sequence)?,
        };
        if replay.sequence + 1 == event.sequence && !matches!(&*event.name, BASELINE | DELETED) {
            replay.apply(kind, event)?;
        } else {
            replay.run(&entities.journal, (kind, key), event.sequence, None).await?;
        }
        if replay.unknown.is_some() {
            return Err(entities.why_unknown(kind, key, replay).await);
        }
        self.keep(key.clone(), replay);
        Ok(())
    }

    /// The state that [`follow`](Self::follow) has brought up.
    pub(super) fn state(&mut self, key: &EntityKey) -> Option<&mut (dyn LiveEntity + 'static)> {
        self.young.get_mut(key).map(|replay| &mut *replay.entity)
    }

    fn keep(&mut self, key: EntityKey, replay: Replay) {
        if self.young.len() >= FOLDS_MAX / 2 || self.bytes >= FOLDS_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += replay.weight;
        self.young.insert(key, replay);
    }
}
