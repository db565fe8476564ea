//! Destinations: whom actions call outside, and how much of it each of them gets.
//!
//! A destination is a scheme, a host and a port. Each has a gate of its own: a breaker that opens when its calls fail, a bound on calls at
//! once, a rate, and a budget for retries. What the gate refuses has not left, and costs the event no attempt: a destination that is down
//! holds keys, and parks none ([ADR 10](../../../docs/adr/0010-an-open-breaker-spends-no-attempts.md)).
//!
//! `gate` is one destination without I/O and without a clock of its own, made of `breaker`, `bucket`, `tally` and `turns`; `line` is the gate with
//! those who wait before it; `outgoing` is the seam behind which the network is.
//!
//! What it is not: a fence. A call that has left is at least once, whatever becomes of its run. Nothing here is durable: a process that
//! begins knows no trouble.

mod breaker;
mod bucket;
mod gate;
mod line;
mod outgoing;
mod policy;
mod tally;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::hosted::{CallFailure, CallReply};
use journal::Timestamp;
use journal::seams::{Clock, Random};

use crate::limits::{CALL_FAIR_MIN, DESTINATIONS_MAX, REFUSED_WAIT_MIN};
use crate::seams::Tasks;
pub use gate::DestinationState;
use gate::{Ending, Gate};
use line::{Line, Permit};
pub use outgoing::{Outgoing, OutgoingCall, OutgoingError};
pub use policy::DestinationPolicy;

/// A destination as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Scheme, host and port.
    pub destination: String,
    /// Whether calls pass.
    pub state: DestinationState,
    /// Calls that have ended within the policy's window.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// Calls that were not tried, since the process began.
    pub not_tried: u64,
    /// Since when it is spared.
    pub since: Option<Timestamp>,
    /// When the next call may pass.
    pub next_try: Option<Timestamp>,
    /// Why the last call failed that did.
    pub cause: Option<String>,
}

/// What the room shares with the machine.
pub(crate) struct Machine {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) tasks: Arc<dyn Tasks>,
    /// Nobody is called without it.
    pub(crate) outgoing: Option<Arc<dyn Outgoing>>,
}

/// A call on its way, and what is known of its run.
pub(crate) struct Ask {
    /// Without its time.
    pub(crate) call: OutgoingCall,
    /// How long it may take, when its action says so.
    pub(crate) timeout: Option<Duration>,
    /// When its run is cut, as [`Tasks::elapsed`] tells time.
    pub(crate) deadline: Duration,
    /// Whether its event has failed before.
    pub(crate) is_retry: bool,
}

/// All destinations of a service.
pub(crate) struct Destinations {
    machine: Machine,
    named: HashMap<String, DestinationPolicy>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

impl Destinations {
    /// With policies for those that the service names.
    pub(crate) fn new(machine: Machine, named: impl IntoIterator<Item = (String, DestinationPolicy)>) -> Self {
        let named: HashMap<_, _> = named.into_iter().collect();
        let line = |(name, policy): (&String, &DestinationPolicy)| (name.clone(), Arc::new(Line::new(Gate::new(*policy))));
        let lines = Mutex::new(named.iter().map(line).collect());
        Self { machine, named, lines }
    }

    /// Calls, once it is the call's turn.
    pub(crate) async fn call(&self, ask: Ask) -> Result<CallReply, CallFailure> {
        let Ask { call, timeout, deadline, is_retry } = ask;
        let Some(outgoing) = &self.machine.outgoing else {
            return Err(CallFailure::Unfit { message: format!("{}: this process calls nobody outside", call.destination) });
        };
        let line = self.line(&call.destination)?;
        let permit = line.turn(&self.machine, &call.destination, is_retry, deadline).await?;
        let wanted = timeout.unwrap_or(line.timeout());
        let time = wanted.min(deadline.saturating_sub(self.now()));
        let destination = call.destination.clone();
        if time.is_zero() {
            return Err(CallFailure::Failed { message: format!("{destination}: the run had no time left for the call"), rest: None });
        }
        let answered = tokio::select! {
            biased;
            answered = outgoing.call(OutgoingCall { timeout: time, ..call }) => answered,
            () = self.machine.tasks.sleep(time) => {
                let message = format!("no answer within {} seconds", time.as_secs_f64());
                if time < wanted.min(CALL_FAIR_MIN) {
                    // So little was left of the run that it says nothing about the destination.
                    drop(permit);
                    return Err(CallFailure::Failed { message: format!("{destination}: {message}"), rest: None });
                }
                Err(OutgoingError::Failed { message })
            }
        };
        self.settle(permit, &destination, answered)
    }

    /// How each destination is, by name.
    pub(crate) fn statuses(&self) -> Vec<DestinationStatus> {
        let (now, wall) = (self.now(), self.machine.clock.now());
        let mut statuses: Vec<_> = self.lock().iter().map(|(name, line)| line.status(name, now, wall)).collect();
        statuses.sort_by(|one, other| one.destination.cmp(&other.destination));
        statuses
    }

    fn settle(&self, permit: Permit, destination: &str, answered: Result<CallReply, OutgoingError>) -> Result<CallReply, CallFailure> {
        let now = self.now();
        match answered {
            Ok(mut reply) => {
                let cause = || format!("answered {}", reply.status);
                let ending = if reply.may_pass() { Ending::Failed { cause: cause() } } else { Ending::Answered };
                let asks_for_rest = reply.retry_after.filter(|_| matches!(reply.status, 429 | 503));
                let rest = permit.end(now, ending, asks_for_rest);
                reply.rest = rest.filter(|_| reply.is_of_destination()).map(|rest| line::spread(rest, &*self.machine.random));
                Ok(reply)
            }
            Err(OutgoingError::Failed { message }) => {
                let rest = permit.end(now, Ending::Failed { cause: message.clone() }, None);
                let rest = rest.map(|rest| line::spread(rest, &*self.machine.random));
                Err(CallFailure::Failed { message: format!("{destination}: {message}"), rest })
            }
            Err(OutgoingError::Unfit { message }) => {
                permit.end(now, Ending::Unknown, None);
                Err(CallFailure::Unfit { message: format!("{destination}: {message}") })
            }
        }
    }

    fn line(&self, destination: &str) -> Result<Arc<Line>, CallFailure> {
        let mut lines = self.lock();
        if let Some(line) = lines.get(destination) {
            return Ok(Arc::clone(line));
        }
        if lines.len() >= DESTINATIONS_MAX.max(self.named.len()) {
            self.forget_idle(&mut lines, destination)?;
        }
        let line = Arc::new(Line::new(Gate::new(DestinationPolicy::default())));
        lines.insert(destination.to_owned(), Arc::clone(&line));
        Ok(line)
    }

    /// Makes room for one more: forgets who has not been called for longest, and is neither named nor in trouble.
    fn forget_idle(&self, lines: &mut HashMap<String, Arc<Line>>, destination: &str) -> Result<(), CallFailure> {
        let now = self.now();
        let idle = lines.iter().filter(|(name, line)| !self.named.contains_key(*name) && Arc::strong_count(line) == 1 && line.is_idle(now));
        let Some(oldest) = idle.min_by_key(|(_, line)| line.last_call()).map(|(name, _)| name.clone()) else {
            let message = format!("{destination}: {DESTINATIONS_MAX} other destinations are in use, which is the bound");
            return Err(CallFailure::NotTried { message, wait: line::spread(REFUSED_WAIT_MIN, &*self.machine.random) });
        };
        lines.remove(&oldest);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.machine.tasks.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
