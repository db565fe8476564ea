//! The place of one entity in the cache: cold (to be loaded by whoever comes first) or live.
//!
//! The state's lock is held for moments and never across an await. Loading has a lock of its own, which tasks wait for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use journal::EntityKey;

use super::kind::Kind;
use super::live::Live;
use super::snapshots::Draft;
use crate::flight::Flight;

/// See the module.
pub(crate) struct Slot {
    pub(crate) key: EntityKey,
    pub(crate) kind: Arc<Kind>,
    /// Commands under way on it.
    queue: AtomicUsize,
    /// Used since the cache last looked for room.
    pub(crate) touched: AtomicBool,
    /// What the cache counts for it.
    pub(crate) weight: AtomicUsize,
    /// The entity has been here.
    pub(super) was_here: AtomicBool,
    /// Held by the task that loads the entity.
    pub(crate) loading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What a slot holds.
pub(crate) enum State {
    /// Nothing. These commits must end before the entity is loaded, or the load would miss what they leave.
    Cold(Vec<Arc<Flight>>),
    /// The entity.
    Live(Box<Live>),
}

impl Slot {
    pub(crate) fn new(key: EntityKey, kind: Arc<Kind>) -> Self {
        Self {
            key,
            kind,
            queue: AtomicUsize::new(0),
            touched: AtomicBool::new(true),
            weight: AtomicUsize::new(0),
            was_here: AtomicBool::new(false),
            loading: tokio::sync::Mutex::new(()),
            state: Mutex::new(State::Cold(Vec::new())),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.lock().live().is_some()
    }

    /// What must end before a load; `None` when there is nothing to load.
    pub(crate) fn awaited_by_load(&self) -> Option<Vec<Arc<Flight>>> {
        match &*self.lock() {
            State::Cold(unsettled) => Some(unsettled.clone()),
            State::Live(_) => None,
        }
    }

    /// A commit on a state that is not here, which must end before a load.
    pub(super) fn await_in_load(&self, flight: &Arc<Flight>) {
        if let State::Cold(unsettled) = &mut *self.lock() {
            unsettled.push(Arc::clone(flight));
        }
    }

    pub(crate) fn install(&self, live: Live) -> usize {
        let weight = live.weight();
        self.was_here.store(true, Relaxed);
        *self.lock() = State::Live(Box::new(live));
        weight
    }

    /// Takes note of what has landed. Gives the weight now, and a snapshot that may be kept.
    pub(crate) fn settle(&self) -> (usize, Option<Draft>) {
        let mut state = self.lock();
        match state.live() {
            Some(live) => {
                let draft = live.take_draft();
                (live.weight(), draft)
            }
            None => (0, None),
        }
    }

    /// Forgets the state if it was built on this flight, which failed.
    pub(crate) fn forget(&self, flight: &Arc<Flight>) {
        let mut state = self.lock();
        if let State::Live(live) = &*state
            && live.awaits(flight)
        {
            state.reset();
        }
    }

    /// Whether it may leave the cache: nothing is on its way. The caller knows that nobody else holds it.
    pub(crate) fn may_leave(&self) -> bool {
        match self.state.try_lock() {
            Ok(mut state) => match state.live() {
                Some(live) => live.seen().is_none(),
                None => state.is_settled(),
            },
            Err(TryLockError::Poisoned(_)) => true,
            Err(TryLockError::WouldBlock) => false,
        }
    }
}

impl State {
    /// The entity, when it is here and everything it was built on has landed or still may. Otherwise the slot is cold from now on.
    pub(crate) fn live(&mut self) -> Option<&mut Live> {
        if let Self::Live(live) = self
            && live.settle().is_err()
        {
            self.reset();
        }
        self.as_live()
    }

    /// The entity as it is, for the holder of the lock who has looked before.
    pub(crate) fn as_live(&mut self) -> Option<&mut Live> {
        match self {
            Self::Live(live) => Some(live),
            Self::Cold(_) => None,
        }
    }

    /// Forgets the state.
    pub(crate) fn reset(&mut self) {
        let before = std::mem::replace(self, Self::Cold(Vec::new()));
        *self = match before {
            Self::Live(live) => Self::Cold(live.into_unsettled()),
            cold @ Self::Cold(_) => cold,
        };
    }

    fn is_settled(&self) -> bool {
        match self {
            Self::Cold(unsettled) => unsettled.iter().all(|flight| flight.landing().is_some()),
            Self::Live(_) => false,
        }
    }
}

/// A place in the bounded queue of an entity; keeps its slot in the cache.
pub(crate) struct Seat(Arc<Slot>);

impl Seat {
    /// `None` when the queue is full.
    pub(crate) fn take(slot: Arc<Slot>, queue_max: usize) -> Option<Self> {
        let before = slot.queue.fetch_add(1, Relaxed);
        let seat = Self(slot);
        (before < queue_max).then_some(seat)
    }
}

impl std::ops::Deref for Seat {
    type Target = Arc<Slot>;

    fn deref(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.queue.fetch_sub(1, Relaxed);
    }
}
