//! The cache of entities: bounded in number and bytes, in parts with a lock each, a slice in one part.
//!
//! Room is made by a second chance: each part has its keys in a ring; the search takes the first one that was not used since it
//! last came by. What is in use, or has a commit on its way, stays, even beyond the bounds.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::EntityKey;

use super::kind::Kind;
use super::slot::Slot;
use crate::limits::{CACHE_SHARDS, EVICTION_SCAN_MAX};

/// See the module.
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
    entities_max: usize,
    bytes_max: i64,
    entities: AtomicUsize,
    /// Signed: two tasks that weigh one entity may add and take away in either order.
    bytes: AtomicI64,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<EntityKey, Arc<Slot>>,
    ring: VecDeque<EntityKey>,
}

impl Cache {
    pub(crate) fn new(entities_max: usize, bytes_max: usize) -> Self {
        let shards = (0..CACHE_SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, entities_max, bytes_max: signed(bytes_max), entities: AtomicUsize::new(0), bytes: AtomicI64::new(0) }
    }

    /// How many entities have a slot.
    pub(crate) fn len(&self) -> usize {
        self.entities.load(Relaxed)
    }

    /// The slot of an entity; a new one is cold.
    pub(crate) fn slot(&self, key: &EntityKey, kind: &Arc<Kind>) -> Arc<Slot> {
        let place = usize::from(key.slice()) % CACHE_SHARDS;
        let mut shard = self.shard(place);
        if let Some(slot) = shard.slots.get(key) {
            slot.touched.store(true, Relaxed);
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(key.clone(), Arc::clone(kind)));
        shard.slots.insert(key.clone(), Arc::clone(&slot));
        shard.ring.push_back(key.clone());
        drop(shard);
        self.entities.fetch_add(1, Relaxed);
        self.make_room(place);
        slot
    }

    /// The slot of an entity that has one. To be looked up so does not keep it in the cache.
    pub(crate) fn known(&self, key: &EntityKey) -> Option<Arc<Slot>> {
        self.shard(usize::from(key.slice()) % CACHE_SHARDS).slots.get(key).cloned()
    }

    /// Takes note of an entity's weight. The slot is held by the caller, so that it is in the cache.
    pub(crate) fn weigh(&self, slot: &Slot, weight: usize) {
        let before = slot.weight.swap(weight, Relaxed);
        self.bytes.fetch_add(signed(weight) - signed(before), Relaxed);
        if weight > before {
            self.make_room(usize::from(slot.key.slice()) % CACHE_SHARDS);
        }
    }

    /// Forgets all states; what has a commit on its way is loaded anew behind it.
    pub(crate) fn forget_all(&self) {
        for place in 0..CACHE_SHARDS {
            let slots: Vec<_> = self.shard(place).slots.values().cloned().collect();
            slots.iter().for_each(|slot| slot.lock().reset());
        }
    }

    fn is_full(&self) -> bool {
        self.entities.load(Relaxed) > self.entities_max || self.bytes.load(Relaxed) > self.bytes_max
    }

    /// Looks for room in this part first, then in the others.
    fn make_room(&self, first: usize) {
        for step in 0..CACHE_SHARDS {
            if !self.is_full() {
                return;
            }
            let mut shard = self.shard((first + step) % CACHE_SHARDS);
            while self.is_full()
                && let Some(slot) = shard.take_one()
            {
                self.entities.fetch_sub(1, Relaxed);
                self.bytes.fetch_sub(signed(slot.weight.load(Relaxed)), Relaxed);
            }
        }
    }

    fn shard(&self, place: usize) -> MutexGuard<'_, Shard> {
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Takes out an entity that nobody uses.
    fn take_one(&mut self) -> Option<Arc<Slot>> {
        for _ in 0..(2 * self.ring.len()).min(EVICTION_SCAN_MAX) {
            let key = self.ring.pop_front()?;
            let Some(slot) = self.slots.get(&key) else { continue };
            // New holders come through this part's lock only, so that a count of one stays one.
            if Arc::strong_count(slot) == 1 && !slot.touched.swap(false, Relaxed) && slot.may_leave() {
                return self.slots.remove(&key);
            }
            self.ring.push_back(key);
        }
        None
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
