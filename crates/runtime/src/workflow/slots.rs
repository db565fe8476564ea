//! Workflows in memory: as many as there is room for, those that do nothing first to go.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use component::hosted::WorkflowFailure;
use journal::EntityKey;
use tokio::sync::watch;

use super::instance::{Instance, Phase};
use super::operations::Operation;
use super::record::WorkflowState;
use crate::flight::Flight;
use crate::limits::{EVICTION_SCAN_MAX, WORKFLOWS_IN_MEMORY_MAX};

/// See the module.
#[derive(Default)]
pub(super) struct Slots(Mutex<Known>);

#[derive(Default)]
struct Known {
    slots: HashMap<EntityKey, Arc<Slot>>,
    /// In the order in which they came.
    queue: VecDeque<EntityKey>,
}

/// A workflow's place in memory.
pub(super) struct Slot {
    pub(super) entity: EntityKey,
    /// Whoever brings it back.
    pub(super) loading: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
    /// Told when it has ended.
    pub(super) end: watch::Sender<Option<Arc<End>>>,
}

/// What a slot holds.
#[derive(Default)]
pub(super) struct Held {
    pub(super) instance: Option<Instance>,
    /// Commits on their way, in order.
    pub(super) flights: Vec<Arc<Flight>>,
}

/// How a workflow has ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) state: WorkflowState,
    pub(super) output: Option<Bytes>,
    pub(super) failure: Option<WorkflowFailure>,
    pub(super) sequence: u64,
    /// By its own clock: microseconds since 1970, UTC.
    pub(super) started: i64,
    pub(super) ended: i64,
}

impl Slots {
    pub(super) fn get(&self, entity: &EntityKey) -> Arc<Slot> {
        let mut known = self.lock();
        if let Some(slot) = known.slots.get(entity) {
            return Arc::clone(slot);
        }
        known.make_room();
        let slot = Arc::new(Slot::new(entity.clone()));
        known.slots.insert(entity.clone(), Arc::clone(&slot));
        known.queue.push_back(entity.clone());
        slot
    }

    /// One that is in memory.
    pub(super) fn known(&self, entity: &EntityKey) -> Option<Arc<Slot>> {
        self.lock().slots.get(entity).map(Arc::clone)
    }

    /// Those in memory of which this says so.
    pub(super) fn all_of(&self, is_meant: impl Fn(&EntityKey) -> bool) -> Vec<Arc<Slot>> {
        self.lock().slots.iter().filter(|(entity, _)| is_meant(entity)).map(|(_, slot)| Arc::clone(slot)).collect()
    }

    /// Lets go of one that has ended.
    pub(super) fn let_go(&self, entity: &EntityKey) {
        self.lock().slots.remove(entity);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().slots.len()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn make_room(&mut self) {
        let mut looks = EVICTION_SCAN_MAX;
        while looks > 0 && self.queue.len() >= WORKFLOWS_IN_MEMORY_MAX {
            looks -= 1;
            let Some(entity) = self.queue.pop_front() else { return };
            match self.slots.get(&entity) {
                Some(slot) if slot.is_at_work() => self.queue.push_back(entity),
                Some(_) => drop(self.slots.remove(&entity)),
                None => looks += 1,
            }
        }
    }
}

impl Slot {
    fn new(entity: EntityKey) -> Self {
        Self { entity, loading: tokio::sync::Mutex::default(), held: Mutex::default(), end: watch::Sender::new(None) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_warm(&self) -> bool {
        self.lock().instance.is_some()
    }

    /// Of the last thing that it was told, durable or not; nothing when it is not in memory.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.lock().instance.as_ref().map(|instance| instance.sequence)
    }

    /// Whether what was recorded at this sequence is known here, and nothing is on its way.
    pub(super) fn knows(&self, sequence: u64) -> bool {
        let mut held = self.lock();
        held.landed();
        held.flights.is_empty() && held.instance.as_ref().is_some_and(|instance| instance.sequence >= sequence)
    }

    /// Forgets it, if it does not know what was recorded at this sequence.
    pub(super) fn forget_before(&self, sequence: u64) {
        let mut held = self.lock();
        if held.instance.as_ref().is_some_and(|instance| instance.sequence < sequence) {
            *held = Held::default();
        }
    }

    /// Forgets what was decided on a commit that failed.
    pub(super) fn forget(&self, flight: &Arc<Flight>) {
        let mut held = self.lock();
        if held.flights.iter().any(|known| Arc::ptr_eq(known, flight)) {
            *held = Held::default();
        }
    }

    /// Forgets it, so that it is brought back by its record.
    pub(super) fn clear(&self) {
        *self.lock() = Held::default();
    }

    fn is_at_work(self: &Arc<Self>) -> bool {
        // The map has one, and whoever does something with it another.
        if Arc::strong_count(self) > 1 || self.end.receiver_count() > 0 {
            return true;
        }
        let mut held = self.lock();
        held.landed();
        !held.flights.is_empty() || held.instance.as_ref().is_some_and(Instance::is_at_work)
    }
}

impl Held {
    /// How it has ended, when nothing of it is on its way.
    pub(super) fn durable_end(&mut self) -> Option<End> {
        self.landed();
        if self.flights.is_empty() { self.instance.as_ref()?.end() } else { None }
    }

    /// Forgets commits that have landed.
    pub(super) fn landed(&mut self) {
        self.flights.retain(|flight| flight.landing().is_none_or(Result::is_err));
    }
}

impl Instance {
    /// Whether something of it is under way in this process.
    fn is_at_work(&self) -> bool {
        match &self.phase {
            Phase::Running => self.operations.iter().any(|operation| operation.is_under_way() && !Operation::is_child(operation)),
            Phase::Undoing(undo) => undo.under_way().is_some() || self.operations.iter().any(Operation::is_under_way),
            Phase::Ended { .. } => false,
        }
    }
}
