//! The inbox: commits that have their place in the order and wait for the sequencer, and the beds of the workers that wait for them.
//!
//! Appending takes this lock and no other, and holds it for a push; the sequencer's lock is held while a frame is made. A worker takes
//! all that waits at once. No wake-up is lost: a worker sleeps only when nothing waits and there has been no news since it last
//! looked at the sequencer. One worker is the first to be woken, so that a log with little to do stays on one warm thread;
//! others join when many bytes wait beside a write in flight.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limits::{QUEUE_BYTES_MAX, SPLIT_BYTES_MIN, WRITES_IN_FLIGHT_MAX};
use super::sequencer::Pending;
use crate::error::AppendError;

/// Who wakes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes what comes to an idle log.
    First,
    /// Joins when there is more than one worker can carry.
    Helper,
}

#[derive(Default)]
struct State {
    waiting: Vec<Pending>,
    /// Why no more is taken, once that is so.
    closed: Option<AppendError>,
    /// Counts what workers should look at the sequencer for, beside commits.
    news: u64,
    first_sleeps: bool,
    helpers_asleep: usize,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    first: Condvar,
    helpers: Condvar,
    /// Of the commits that wait, here and with the sequencer.
    bytes: AtomicUsize,
    /// Writes in flight, as the sequencer counts them.
    writes: AtomicUsize,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a commit its place in the order, or gives it back with the reason.
    pub(crate) fn offer(&self, pending: Pending) -> Result<(), (Pending, AppendError)> {
        let bytes = pending.bytes_max();
        let mut state = self.lock();
        if let Some(error) = &state.closed {
            let error = error.clone();
            drop(state);
            return Err((pending, error));
        }
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES_MAX {
            drop(state);
            let cause = format!("{QUEUE_BYTES_MAX} bytes of commits wait for the disk, which is the bound");
            return Err((pending, AppendError::Unavailable { cause }));
        }
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        state.waiting.push(pending);
        let writes = self.writes.load(Ordering::Relaxed);
        let bed = if writes == 0 && std::mem::take(&mut state.first_sleeps) {
            Some(&self.first)
        } else if waiting >= SPLIT_BYTES_MIN && writes < WRITES_IN_FLIGHT_MAX && state.helpers_asleep > 0 {
            state.helpers_asleep -= 1;
            Some(&self.helpers)
        } else {
            None
        };
        drop(state);
        if let Some(bed) = bed {
            bed.notify_one();
        }
        Ok(())
    }

    /// Moves all that waits behind what is there.
    pub(crate) fn empty_into(&self, queue: &mut std::collections::VecDeque<Pending>) {
        queue.extend(self.lock().waiting.drain(..));
    }

    /// These bytes wait no more.
    pub(crate) fn taken(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many writes are in flight; said under the sequencer's lock, before the inbox is emptied for the last time.
    pub(crate) fn set_writes(&self, count: usize) {
        self.writes.store(count, Ordering::Relaxed);
    }

    /// Takes no more, for this reason; a later reason counts.
    pub(crate) fn close(&self, error: AppendError) {
        self.lock().closed = Some(error);
        self.wake_all();
    }

    /// The count of news so far; to be taken before looking at the sequencer.
    pub(crate) fn news(&self) -> u64 {
        self.lock().news
    }

    /// All workers look at the sequencer again.
    pub(crate) fn wake_all(&self) {
        let mut state = self.lock();
        state.news += 1;
        state.first_sleeps = false;
        state.helpers_asleep = 0;
        drop(state);
        self.first.notify_all();
        self.helpers.notify_all();
    }

    /// One more worker has a look: one that sleeps, or the next that would.
    pub(crate) fn wake_helper(&self) {
        let mut state = self.lock();
        if state.helpers_asleep > 0 {
            state.helpers_asleep -= 1;
            drop(state);
            self.helpers.notify_one();
        } else {
            state.news += 1;
        }
    }

    /// Sleeps until something waits or there is news after `seen`, at most as long as said. True: the time is over.
    pub(crate) fn sleep(&self, role: Role, seen: u64, at_most: Option<Duration>) -> bool {
        let mut state = self.lock();
        if state.news != seen || !state.waiting.is_empty() {
            return false;
        }
        let bed = match role {
            Role::First => {
                state.first_sleeps = true;
                &self.first
            }
            Role::Helper => {
                state.helpers_asleep += 1;
                &self.helpers
            }
        };
        let Some(at_most) = at_most else {
            drop(bed.wait(state).unwrap_or_else(PoisonError::into_inner));
            return false;
        };
        let (mut state, waited) = bed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            // Nobody woke it: it leaves its bed by itself.
            match role {
                Role::First => state.first_sleeps = false,
                Role::Helper => state.helpers_asleep = state.helpers_asleep.saturating_sub(1),
            }
        }
        waited.timed_out()
    }
}
