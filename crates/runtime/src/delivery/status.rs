//! How a consumer is, for whoever asks. The session tells its part in each turn, `look` what it finds when it looks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::{Cursor, Position, Timestamp};
use tokio::sync::Notify;

use crate::stall::Stall;

/// What a consumer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// It has not begun, or a share of it is on its way from one node to another.
    Starting,
    /// It takes events.
    Working,
    /// The engine failed it; it begins again by itself.
    Waiting {
        /// Why.
        cause: String,
    },
    /// Its place is lost: an operator must give it one.
    Unplaced,
    /// Other nodes of the service have it.
    Elsewhere,
    /// The service stops.
    Stopped,
}

impl std::fmt::Display for ConsumerState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Waiting { .. } => "waiting",
            Self::Unplaced => "unplaced",
            Self::Elsewhere => "elsewhere",
            Self::Stopped => "stopped",
        })
    }
}

/// A consumer as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ConsumerState,
    /// Everything up to here has ended; `None` before it has begun.
    pub cursor: Option<Cursor>,
    /// Events taken that have not ended.
    pub under_way: usize,
    /// Keys whose event failed and is tried again.
    pub held: usize,
    /// Keys that wait for a person.
    pub parked: usize,
    /// When the oldest event was recorded that is for it, has not ended and waits behind no held key. `None` when there is none, as
    /// far as it has read; of one that does not work, as of the last look.
    pub oldest_undelivered_at: Option<Timestamp>,
    /// When the oldest of the events was recorded that hold a key or have parked it.
    pub oldest_held_at: Option<Timestamp>,
    /// Since when it does not move although it has something to do.
    pub stalled: Option<Stall>,
}

impl ConsumerStatus {
    /// How many events of the service are behind its place, at most; `None` before it has one. Those that are not for it count until
    /// it has gone past them.
    #[must_use]
    pub fn behind(&self, head: Cursor) -> Option<u64> {
        self.cursor.map(|cursor| head.position().saturating_sub(cursor.position()))
    }
}

/// A consumer as all its shares together are. What needs somebody counts most.
pub(super) fn merged(shares: &[ConsumerStatus]) -> ConsumerStatus {
    let urgency = |state: &ConsumerState| match state {
        ConsumerState::Elsewhere => 0,
        ConsumerState::Stopped => 1,
        ConsumerState::Working => 2,
        ConsumerState::Starting => 3,
        ConsumerState::Waiting { .. } => 4,
        ConsumerState::Unplaced => 5,
    };
    let here = || shares.iter().filter(|share| share.state != ConsumerState::Elsewhere);
    let most = shares.iter().max_by_key(|share| urgency(&share.state)).expect("a consumer has a share");
    ConsumerStatus {
        name: most.name.clone(),
        state: most.state.clone(),
        cursor: here().filter_map(|share| share.cursor).min_by_key(Cursor::position),
        under_way: here().map(|share| share.under_way).sum(),
        held: here().map(|share| share.held).sum(),
        parked: here().map(|share| share.parked).sum(),
        oldest_undelivered_at: here().filter_map(|share| share.oldest_undelivered_at).min(),
        oldest_held_at: here().filter_map(|share| share.oldest_held_at).min(),
        stalled: here().filter_map(|share| share.stalled.clone()).min_by_key(|stall| stall.since),
    }
}

/// What a session knows.
pub(crate) struct Sight {
    pub(crate) cursor: Cursor,
    /// Events that have ended behind one that has not.
    pub(crate) ahead: usize,
    pub(crate) under_way: usize,
    pub(crate) held: usize,
    pub(crate) parked: usize,
    pub(crate) oldest_undelivered_at: Option<Timestamp>,
    pub(crate) oldest_held_at: Option<Timestamp>,
}

/// How far a consumer is: the greater, the further. Another place that a person gives it begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached {
    placings: u64,
    done: Position,
    ahead: usize,
}

pub(crate) struct StatusCell {
    told: Mutex<Told>,
    /// Its state has changed.
    changed: Notify,
}

struct Told {
    status: ConsumerStatus,
    reached: Reached,
    /// The first event behind its place, while no session tells.
    next: Option<(Position, Timestamp)>,
}

impl StatusCell {
    pub(crate) fn new(name: &str) -> Self {
        let status = ConsumerStatus {
            name: name.to_owned(),
            state: ConsumerState::Starting,
            cursor: None,
            under_way: 0,
            held: 0,
            parked: 0,
            oldest_undelivered_at: None,
            oldest_held_at: None,
            stalled: None,
        };
        Self { told: Mutex::new(Told { status, reached: Reached::default(), next: None }), changed: Notify::new() }
    }

    pub(crate) fn get(&self) -> ConsumerStatus {
        self.look().0
    }

    /// How it is, and how far.
    pub(super) fn look(&self) -> (ConsumerStatus, Reached) {
        let told = self.lock();
        let mut status = told.status.clone();
        let is_behind = |next: &(Position, Timestamp)| status.cursor.is_none_or(|cursor| next.0 > cursor.position());
        let next = told.next.filter(is_behind).map(|(_, time)| time);
        status.oldest_undelivered_at = status.oldest_undelivered_at.into_iter().chain(next).min();
        (status, told.reached)
    }

    pub(crate) fn state(&self, state: ConsumerState) {
        self.lock().status.state = state;
        self.changed.notify_one();
    }

    /// Resolves when its state has changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A person has given it another place.
    pub(super) fn placed(&self) {
        let mut told = self.lock();
        told.reached.placings += 1;
        (told.reached.done, told.reached.ahead, told.next) = (0, 0, None);
    }

    pub(super) fn next(&self, next: Option<(Position, Timestamp)>) {
        self.lock().next = next;
    }

    pub(super) fn stall(&self, stall: Option<Stall>) {
        self.lock().status.stalled = stall;
    }

    pub(crate) fn working(&self, sight: &Sight) {
        let mut told = self.lock();
        if told.status.state != ConsumerState::Working {
            told.status.state = ConsumerState::Working;
            self.changed.notify_one();
        }
        (told.reached.done, told.reached.ahead) = (sight.cursor.position(), sight.ahead);
        let status = &mut told.status;
        (status.cursor, status.under_way, status.held, status.parked) = (Some(sight.cursor), sight.under_way, sight.held, sight.parked);
        (status.oldest_undelivered_at, status.oldest_held_at) = (sight.oldest_undelivered_at, sight.oldest_held_at);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
