//! A gate and those who wait before it.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::hosted::CallFailure;
use journal::Timestamp;
use journal::seams::Random;
use tokio::sync::Notify;

use super::gate::{Ending, Gate, Ticket, Told};
use super::{DestinationStatus, Machine};
use crate::limits::{CALL_TURN_MAX, CALLS_WAITING_MAX};

pub(super) struct Line {
    gate: Mutex<Gate>,
    /// Told when somebody may pass, or when nobody may any more.
    moved: Notify,
    waiting: AtomicUsize,
}

impl Line {
    pub(super) fn new(gate: Gate) -> Self {
        Self { gate: Mutex::new(gate), moved: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    /// The call's turn; it waits for it a while, but not for a destination that is spared.
    pub(super) async fn turn(
        self: &Arc<Self>,
        machine: &Machine,
        destination: &str,
        is_retry: bool,
        deadline: Duration,
    ) -> Result<Permit, CallFailure> {
        let not_tried = |why: &str, wait| CallFailure::NotTried {
            message: format!("{destination} is not called now: {why}"),
            wait: spread(wait, &*machine.random),
        };
        let begun = machine.tasks.elapsed();
        // Half of what the run has left belongs to the call itself.
        let until = begun + CALL_TURN_MAX.min(deadline.saturating_sub(begun) / 2);
        let mut place = None;
        loop {
            let mut moved = pin!(self.moved.notified());
            // From here on no word is missed.
            moved.as_mut().enable();
            let now = machine.tasks.elapsed();
            let told = self.lock().ask(now, is_retry);
            let wait = match told {
                Told::Go(ticket) => return Ok(Permit { line: Arc::clone(self), ticket: Some(ticket), machine_now: now }),
                Told::Refused { why, wait } => return Err(not_tried(why, wait)),
                Told::Wait(wait) => wait.unwrap_or(Duration::MAX).min(until.saturating_sub(now)),
            };
            if wait.is_zero() || (place.is_none() && self.waiting.load(Ordering::Relaxed) >= CALLS_WAITING_MAX) {
                let wait = self.lock().give_up(now);
                return Err(not_tried("as many calls as it may have are under way", wait));
            }
            place.get_or_insert_with(|| Place::new(self));
            tokio::select! {
                biased;
                () = moved => {}
                () = machine.tasks.sleep(wait) => {}
            }
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.lock().timeout()
    }

    /// Whether it can be forgotten: nothing is under way, and it is not spared.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let mut gate = self.lock();
        // A breaker whose time is over is half open until somebody calls: nobody may for ever, and it is no trouble to forget it.
        gate.in_flight() == 0 && gate.spared(now).is_zero()
    }

    pub(super) fn last_call(&self) -> Duration {
        self.lock().last_call()
    }

    pub(super) fn status(&self, destination: &str, now: Duration, wall: Timestamp) -> DestinationStatus {
        let mut gate = self.lock();
        let (calls, failures) = gate.sums(now);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let at = |moment: Duration| Timestamp::from_micros(wall.as_micros() - micros(now.saturating_sub(moment)));
        let (spared, state) = (gate.spared(now), gate.state(now));
        DestinationStatus {
            destination: destination.to_owned(),
            state,
            calls,
            failures,
            in_flight: gate.in_flight(),
            waiting: self.waiting.load(Ordering::Relaxed),
            not_tried: gate.not_tried(),
            since: gate.since(now).map(at),
            next_try: (!spared.is_zero()).then(|| Timestamp::from_micros(wall.as_micros().saturating_add(micros(spared)))),
            cause: gate.cause().map(str::to_owned),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that may be made. Dropped without a word, nothing is known of it.
pub(super) struct Permit {
    line: Arc<Line>,
    ticket: Option<Ticket>,
    /// When it began, for one that is dropped: nobody tells the time then.
    machine_now: Duration,
}

impl Permit {
    /// The call has ended. Gives how long its destination is left alone now, unless the trouble is the call's own.
    pub(super) fn end(mut self, now: Duration, ending: Ending, asks_for_rest: Option<Duration>) -> Option<Duration> {
        self.give_back(now, ending, asks_for_rest)
    }

    fn give_back(&mut self, now: Duration, ending: Ending, asks_for_rest: Option<Duration>) -> Option<Duration> {
        let ticket = self.ticket.take()?;
        let mut gate = self.line.lock();
        let rest = gate.end(now, ticket, ending, asks_for_rest);
        let is_spared = !gate.spared(now).is_zero();
        drop(gate);
        if is_spared {
            self.line.moved.notify_waiters();
        } else {
            self.line.moved.notify_one();
        }
        rest
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.machine_now, Ending::Unknown, None);
    }
}

/// Counts a call that waits, for as long as it does.
struct Place(Arc<Line>);

impl Place {
    fn new(line: &Arc<Line>) -> Self {
        line.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(line))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A wait that is longer by up to a quarter, so that what was refused together does not come back together.
pub(super) fn spread(wait: Duration, random: &dyn Random) -> Duration {
    let mut dice = [0; 8];
    random.fill(&mut dice);
    let most = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) / 4;
    wait.saturating_add(Duration::from_micros(u64::from_le_bytes(dice) % (most + 1)))
}
