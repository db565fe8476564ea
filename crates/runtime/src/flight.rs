//! A commit on its way to the journal, which anybody may wait for.
//!
//! It takes its place in the journal's order in [`Flight::launch`], so that a caller that holds an entity's lock while it
//! launches may let go of it before it waits. It promises:
//! - whoever waits drives it: when the first caller goes away, the next one who waits, or only looks, carries on;
//! - a commit of unknown outcome is sent again, identical, while the state it was decided on is known to be durable;
//! - one outcome, the same for everybody who asks.
//!
//! It starts no task: without anybody who looks it rests, and the journal has the commit anyway.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use journal::{AppendError, BoxFuture, Commit, Committed, Journal};

use crate::limits::RESENDS_MAX;

/// How a flight ended.
pub(crate) type Landing = Result<Committed, AppendError>;

/// See the module.
pub(crate) struct Flight {
    landing: OnceLock<Landing>,
    journey: Mutex<Option<BoxFuture<'static, Landing>>>,
    beacon: Arc<Beacon>,
}

/// What outlives a flight: who waits for it, and how it ended.
struct Beacon {
    waiting: Mutex<Vec<Waker>>,
    landed: OnceLock<bool>,
}

/// A flight that a later one was decided on. It does not keep it alive: a hot entity would make a chain without an end.
struct Before {
    flight: Weak<Flight>,
    beacon: Arc<Beacon>,
}

impl Flight {
    /// Hands the commit to the journal. `before` are the flights whose events its decision saw.
    pub(crate) fn launch(journal: &Arc<dyn Journal>, commit: Commit, before: &[Arc<Self>]) -> Arc<Self> {
        let before = before.iter().map(|flight| Before { flight: Arc::downgrade(flight), beacon: Arc::clone(&flight.beacon) }).collect();
        let journey = Box::pin(fly(Arc::clone(journal), commit, before));
        let beacon = Arc::new(Beacon { waiting: Mutex::default(), landed: OnceLock::new() });
        let flight = Arc::new(Self { landing: OnceLock::new(), journey: Mutex::new(Some(journey)), beacon });
        // The first look calls `append`, which is when the commit takes its place.
        flight.look(None);
        flight
    }

    /// Waits for the end.
    pub(crate) async fn landed(&self) -> &Landing {
        poll_fn(|context| match self.look(Some(context.waker())) {
            Some(landing) => Poll::Ready(landing),
            None => Poll::Pending,
        })
        .await
    }

    /// The end, if it has come.
    pub(crate) fn landing(&self) -> Option<&Landing> {
        self.look(None)
    }

    /// Drives it as far as it goes; a waiter is woken when there is more to do.
    fn look(&self, waiter: Option<&Waker>) -> Option<&Landing> {
        if let Some(landing) = self.landing.get() {
            return Some(landing);
        }
        if let Some(waiter) = waiter {
            self.beacon.add(waiter);
        }
        let mut journey = lock(&self.journey);
        let Some(under_way) = journey.as_mut() else { return self.landing.get() };
        let waker = Waker::from(Arc::clone(&self.beacon));
        let Poll::Ready(landing) = under_way.as_mut().poll(&mut Context::from_waker(&waker)) else { return None };
        *journey = None;
        self.beacon.landed.get_or_init(|| landing.is_ok());
        let landing = self.landing.get_or_init(|| landing);
        drop(journey);
        self.beacon.wake_all();
        Some(landing)
    }
}

impl Beacon {
    fn add(&self, waker: &Waker) {
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The journal wakes all who wait: any of them may be gone.
impl Wake for Beacon {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

async fn fly(journal: Arc<dyn Journal>, commit: Commit, before: Vec<Before>) -> Landing {
    let again = commit.clone();
    let first = journal.append(commit).await;
    if !matches!(first, Err(AppendError::Unknown { .. })) {
        return first;
    }
    for _ in 0..RESENDS_MAX {
        if !saw_what_landed(&before).await {
            return first;
        }
        match journal.append(again.clone()).await {
            // None of these says what became of the first one.
            Err(AppendError::Unknown { .. } | AppendError::Unavailable { .. } | AppendError::Poisoned { .. } | AppendError::Full) => {}
            landing => return landing,
        }
    }
    first
}

/// Whether all that the decision saw is durable. Otherwise a later commit of others may bring the entity to the expected
/// sequence with other events, and a commit that is sent again would be taken on a state that it never saw.
async fn saw_what_landed(before: &[Before]) -> bool {
    for before in before {
        if let Some(flight) = before.flight.upgrade() {
            flight.landed().await;
        }
        if before.beacon.landed.get() != Some(&true) {
            return false;
        }
    }
    true
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
