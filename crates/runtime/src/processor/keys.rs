//! What a processor knows of its keys: states in memory within a bound, the times at which keys want to be woken, and parked keys.
//!
//! A state that is not in memory is read from the journal. One whose commit is under way stays in memory until it has landed.

use std::collections::{BTreeSet, HashMap};

use component::hosted::{HostedProcessor, LiveKey};
use journal::{EntityKey, EntityType, Journal, ReadError};

use super::record::{self, Kept};
use crate::delivery::HeldKey;
use crate::isolation::isolated;
use crate::limits::PROCESSOR_KEYS_IN_MEMORY_MAX;

/// A key in memory.
pub(super) struct Known {
    pub(super) live: Box<dyn LiveKey>,
    pub(super) wakes: BTreeSet<i64>,
    /// The last step that touched it.
    pub(super) step: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Keys {
    known: HashMap<EntityKey, Known>,
    /// When keys want to be woken; those of parked keys wait with them.
    wakes: BTreeSet<(i64, EntityKey)>,
    parked: HashMap<EntityKey, HeldKey>,
}

impl Keys {
    /// What has to be known of all keys: wakes and parked ones. It reads the last event of each.
    pub(super) async fn read(journal: &dyn Journal, processor: &str, generation: u32) -> Result<Self, ReadError> {
        let mut keys = Self::default();
        let prefix = record::prefix(processor, generation);
        let kind = EntityType::new(record::PROCESSOR).expect("a name of ours");
        let mut entities = journal.entities(&kind, EntityKey::new(record::PROCESSOR, &prefix).ok());
        while let Some(entity) = entities.next().await {
            let entity = entity?;
            if !entity.id().starts_with(&prefix) {
                // The listing is in order of tenants, then ids: another tenant's may follow.
                continue;
            }
            if let Some(kept) = record::read_kept(journal, &entity).await? {
                keys.note(processor, &entity, kept)?;
            }
        }
        Ok(keys)
    }

    fn note(&mut self, processor: &str, entity: &EntityKey, kept: Kept) -> Result<(), ReadError> {
        let unreadable = |error: String| ReadError::Unavailable { cause: format!("{entity} is not readable by this version: {error}") };
        let tenant = kept.tenant.as_deref().unwrap_or_default();
        let key = match (&kept.key, &kept.parked) {
            (Some(key), _) => EntityKey::with_tenant(tenant, processor, key).map_err(|error| unreadable(error.to_string()))?,
            (None, Some(parked)) => parked.key().map_err(|error| unreadable(error.to_string()))?,
            (None, None) => return Ok(()),
        };
        match kept.parked {
            Some(parked) => drop(self.parked.insert(key, parked)),
            None => self.wakes.extend(kept.wakes.into_iter().map(|due| (due, key.clone()))),
        }
        Ok(())
    }

    /// A key, from memory or from the journal.
    pub(super) async fn load(
        &mut self,
        journal: &dyn Journal,
        processor: &dyn HostedProcessor,
        generation: u32,
        key: &EntityKey,
    ) -> Result<&mut Known, ReadError> {
        if !self.known.contains_key(key) {
            let entity = record::kept_entity(processor.description().name, generation, key);
            let kept = record::read_kept(journal, &entity).await?.unwrap_or_default();
            let known = Known { live: restored(processor, key, &kept)?, wakes: kept.wakes, step: 0 };
            self.known.insert(key.clone(), known);
        }
        Ok(self.known.get_mut(key).expect("it was put there"))
    }

    /// All that was folded is durable: states are read from there again.
    pub(super) fn forget_states(&mut self) {
        self.known.clear();
    }

    pub(super) fn get(&self, key: &EntityKey) -> Option<&Known> {
        self.known.get(key)
    }

    pub(super) fn is_parked(&self, key: &EntityKey) -> bool {
        self.parked.contains_key(key)
    }

    pub(super) fn parked(&self) -> &HashMap<EntityKey, HeldKey> {
        &self.parked
    }

    /// The key waits for a person, and its wakes with it.
    pub(super) fn park(&mut self, key: &EntityKey, parked: HeldKey) {
        if let Some(known) = self.known.get(key) {
            for due in &known.wakes {
                self.wakes.remove(&(*due, key.clone()));
            }
        }
        self.parked.insert(key.clone(), parked);
    }

    /// The key goes on.
    pub(super) fn unpark(&mut self, key: &EntityKey) -> Option<HeldKey> {
        let parked = self.parked.remove(key)?;
        if let Some(known) = self.known.get(key) {
            self.wakes.extend(known.wakes.iter().map(|due| (*due, key.clone())));
        }
        Some(parked)
    }

    /// The key wants to be woken then.
    pub(super) fn wake_at(&mut self, key: &EntityKey, due: impl IntoIterator<Item = i64>) {
        let Some(known) = self.known.get_mut(key) else { return };
        let is_parked = self.parked.contains_key(key);
        for due in due {
            if known.wakes.insert(due) && !is_parked {
                self.wakes.insert((due, key.clone()));
            }
        }
    }

    /// What this key is due for by then, the earliest first; it does not want it any more.
    pub(super) fn take_wake_of(&mut self, key: &EntityKey, now: i64) -> Option<i64> {
        let due = *self.known.get(key)?.wakes.first().filter(|due| **due <= now)?;
        self.wakes.remove(&(due, key.clone())).then_some(due)
    }

    /// The key does not want to be woken then any more.
    pub(super) fn forget_wake(&mut self, key: &EntityKey, due: i64) {
        if let Some(known) = self.known.get_mut(key) {
            known.wakes.remove(&due);
        }
        self.wakes.remove(&(due, key.clone()));
    }

    /// When the first key wants to be woken.
    pub(super) fn next_wake(&self) -> Option<i64> {
        self.wakes.first().map(|(due, _)| *due)
    }

    /// The first key that is due by then; it does not want it any more.
    pub(super) fn take_wake(&mut self, now: i64) -> Option<(i64, EntityKey)> {
        self.wakes.first().filter(|(due, _)| *due <= now)?;
        self.wakes.pop_first()
    }

    /// All up to this step have landed: what is oldest in memory may go when there is too much of it.
    pub(super) fn landed(&mut self, step: u64) {
        if self.known.len() <= PROCESSOR_KEYS_IN_MEMORY_MAX {
            return;
        }
        let mut steps: Vec<u64> = self.known.values().map(|known| known.step).collect();
        let middle = steps.len() / 2;
        let oldest = *steps.select_nth_unstable(middle).1;
        self.known.retain(|_, known| known.step > oldest.min(step));
    }
}

pub(super) fn restored(processor: &dyn HostedProcessor, key: &EntityKey, kept: &Kept) -> Result<Box<dyn LiveKey>, ReadError> {
    let Some(state) = &kept.state else { return Ok(processor.fresh()) };
    let restored = isolated(|| processor.restore(state.get().as_bytes()));
    let restored =
        restored.map_err(|panic| panic.during("reading the state")).and_then(|restored| restored.map_err(|error| error.to_string()));
    restored.map_err(|cause| ReadError::Unavailable { cause: format!("the state of {key} is not readable: {cause}") })
}
