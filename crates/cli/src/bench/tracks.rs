//! The service that `bench flow` measures: walkers, and an action that answers each step with the command for the next one.
//!
//! A hop is from one run of the action to its next on the same walker: event, action, command, event.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use headwater::prelude::*;

use super::statistics::Latencies;

/// The walker whose steps always fail while they are told to.
pub(super) const STUMBLER: &str = "stumbler";

/// How far a walker is.
#[derive(Debug, Default, State)]
pub(super) struct Walker {
    steps: u64,
}

/// What a walker does.
#[derive(Command)]
pub(super) enum WalkerCommand {
    /// Takes a step.
    #[command("step")]
    Step {
        /// How many shall follow.
        left: u32,
    },
}

/// What a walker did.
#[derive(Clone, Debug, PartialEq, Event)]
pub(super) enum WalkerEvent {
    /// It took a step.
    #[event("stepped")]
    Stepped {
        /// How many shall follow.
        left: u32,
    },
}

impl Entity for Walker {
    const NAME: &'static str = "walker";
    type Command = WalkerCommand;
    type Event = WalkerEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: WalkerCommand, _: &CommandContext) -> Result<Decision<WalkerEvent>, Self::Rejection> {
        let WalkerCommand::Step { left } = command;
        Ok(record(WalkerEvent::Stepped { left }))
    }

    fn evolve(&mut self, _: &WalkerEvent) {
        self.steps += 1;
    }
}

/// What the action has seen.
pub(super) struct Tracks {
    begun: Instant,
    /// When each walker was seen last, in nanoseconds since `begun`; 0 before a walk.
    seen: Vec<AtomicU64>,
    hops: AtomicU64,
    latencies: Mutex<Latencies>,
    /// Walks end at the next step.
    halted: AtomicBool,
    /// The stumbler's steps fail.
    fails: AtomicBool,
}

impl Tracks {
    pub(super) fn new(walkers: usize) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            seen: (0..walkers).map(|_| AtomicU64::new(0)).collect(),
            hops: AtomicU64::new(0),
            latencies: Mutex::new(Latencies::new()),
            halted: AtomicBool::new(false),
            fails: AtomicBool::new(false),
        })
    }

    pub(super) fn walkers(&self) -> usize {
        self.seen.len()
    }

    /// Hops and their latencies since the last time.
    pub(super) fn take(&self) -> (u64, Latencies) {
        let latencies = std::mem::replace(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner), Latencies::new());
        (self.hops.swap(0, Ordering::Relaxed), latencies)
    }

    pub(super) fn halt(&self, halted: bool) {
        self.halted.store(halted, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    /// A walker is about to begin a walk: what came before is no hop of it.
    pub(super) fn forget(&self, walker: usize) {
        self.seen[walker].store(0, Ordering::Relaxed);
    }

    fn see(&self, walker: &str) {
        let Some(seen) = walker.parse::<usize>().ok().and_then(|walker| self.seen.get(walker)) else { return };
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = seen.swap(now, Ordering::Relaxed);
        if before > 0 {
            self.hops.fetch_add(1, Ordering::Relaxed);
            let latency = Duration::from_nanos(now.saturating_sub(before));
            self.latencies.lock().unwrap_or_else(PoisonError::into_inner).add(latency);
        }
    }
}

/// Lets walkers walk.
struct Walk(Arc<Tracks>);

impl Action for Walk {
    const NAME: &'static str = "walk";
    const ENTITY: &'static str = "walker";
    type Event = WalkerEvent;

    async fn run(&self, event: Recorded<WalkerEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let WalkerEvent::Stepped { left } = event.event;
        if event.entity_id == STUMBLER && self.0.fails.load(Ordering::Relaxed) {
            return Err(ActionError::retry("it stumbles"));
        }
        self.0.see(&event.entity_id);
        if left > 0 && !self.0.halted.load(Ordering::Relaxed) {
            ctx.command::<Walker>(event.entity_id, WalkerCommand::Step { left: left - 1 }).await?;
        }
        Ok(())
    }

    fn delivery(&self) -> DeliveryPolicy {
        // The stumbler is tried again all the time, and is never given up.
        let (backoff_min, backoff_max) = (Duration::from_millis(50), Duration::from_millis(200));
        DeliveryPolicy { attempts_max: u32::MAX, backoff_min, backoff_max, ..DeliveryPolicy::default() }
    }
}

/// The service.
pub(super) fn service(tracks: &Arc<Tracks>) -> Service {
    Service::new("walkers").entity::<Walker>().action(Walk(Arc::clone(tracks)))
}

#[cfg(test)]
mod tests {
    use headwater::prelude::*;

    use super::{STUMBLER, Tracks, Walk, Walker, WalkerCommand, WalkerEvent};

    #[test]
    fn a_step_is_followed_by_the_next_and_two_runs_are_a_hop() {
        let tracks = Tracks::new(2);
        let next = command_to::<Walker>("1", WalkerCommand::Step { left: 2 });
        given_action(Walk(tracks.clone())).when("1", WalkerEvent::Stepped { left: 3 }).sends([next]);
        assert_eq!(tracks.take().0, 0);
        given_action(Walk(tracks.clone())).when("1", WalkerEvent::Stepped { left: 0 }).sends([]);
        assert_eq!(tracks.take().0, 1);
    }

    #[test]
    fn the_stumbler_fails_while_it_is_told_to() {
        let tracks = Tracks::new(1);
        tracks.fail(true);
        given_action(Walk(tracks.clone())).when(STUMBLER, WalkerEvent::Stepped { left: 0 }).retries();
        tracks.fail(false);
        given_action(Walk(tracks)).when(STUMBLER, WalkerEvent::Stepped { left: 0 }).sends([]);
    }
}
