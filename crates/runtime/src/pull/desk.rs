//! Where a consumer's events lie until a client comes for them, and where it is waited for what the client says.
//!
//! A run of such a consumer is an offer: it waits at the desk, is taken by one client, and ends with the client's word or when
//! the time to acknowledge is over. While nobody comes, nothing is counted and no clock runs.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::seams::Random;
use journal::{BoxFuture, Recorded};
use tokio::sync::watch;

use crate::delivery::{Delivery, Failure, Handler};
use crate::limits::{PULL_BYTES_MAX, PULLS_WAITING_MAX};
use crate::seams::Tasks;

/// An event in the hands of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledDelivery {
    /// What the client names it by. Each attempt has its own.
    pub delivery: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The event.
    pub event: Arc<Recorded>,
}

/// What a client says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Done,
    Failed { cause: String, wait: Option<Duration> },
    Extend(Duration),
}

#[derive(Clone, Debug)]
enum Phase {
    Waiting,
    Out { delivery: String, until: Duration },
    Ended(Result<(), Failure>),
}

struct Offer {
    /// Sealed until somebody comes for it.
    delivery: Delivery,
    phase: watch::Sender<Phase>,
}

#[derive(Default)]
struct State {
    /// Between sessions nothing is offered.
    is_open: bool,
    waiting: VecDeque<Offer>,
    out: HashMap<String, watch::Sender<Phase>>,
}

/// See the module.
pub(super) struct Desk {
    tasks: Arc<dyn Tasks>,
    random: Arc<dyn Random>,
    ack: Duration,
    in_flight_max: usize,
    state: Mutex<State>,
    /// Rises whenever a pull may find something, or has to give up.
    news: watch::Sender<u64>,
    pulls: AtomicUsize,
}

impl Desk {
    pub(super) fn new(tasks: Arc<dyn Tasks>, random: Arc<dyn Random>, ack: Duration, in_flight_max: usize) -> Self {
        let (news, pulls) = (watch::Sender::new(0), AtomicUsize::new(0));
        Self { tasks, random, ack, in_flight_max, state: Mutex::default(), news, pulls }
    }

    /// How many events wait to be pulled, and how many are out.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.out.len())
    }

    /// Up to `max` deliveries; waits for the first one, at most so long. `None` when too many wait already. A caller that goes
    /// away while it waits has taken nothing.
    pub(super) async fn pull(&self, max: usize, wait: Duration, stop: &mut watch::Receiver<bool>) -> Option<Vec<PulledDelivery>> {
        let _place = Place::enter(&self.pulls)?;
        let until = self.tasks.elapsed() + wait;
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            let taken = self.take(max);
            let left = until.saturating_sub(self.tasks.elapsed());
            if !taken.is_empty() || left.is_zero() || *stop.borrow() {
                return Some(taken);
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Some(Vec::new()),
                _ = news.changed() => {}
                () = self.tasks.sleep(left) => {}
            }
        }
    }

    fn take(&self, max: usize) -> Vec<PulledDelivery> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut state = self.lock();
        while taken.len() < max && state.out.len() < self.in_flight_max {
            let Some(offer) = state.waiting.front() else { break };
            bytes += offer.delivery.event.sealed().payload.len();
            if bytes > PULL_BYTES_MAX && !taken.is_empty() {
                break;
            }
            let Some(Offer { delivery, phase }) = state.waiting.pop_front() else { break };
            let attempt = delivery.attempt;
            let event = match delivery.open() {
                Ok(event) => event,
                Err(failure) => {
                    phase.send_replace(Phase::Ended(Err(failure)));
                    continue;
                }
            };
            let (delivery, until) = (self.mint(), self.tasks.elapsed() + self.ack);
            phase.send_replace(Phase::Out { delivery: delivery.clone(), until });
            state.out.insert(delivery.clone(), phase);
            taken.push(PulledDelivery { delivery, attempt, event });
        }
        taken
    }

    /// Takes a client's word; false when the delivery is not out (any more).
    pub(super) fn say(&self, delivery: &str, word: &Word) -> bool {
        let mut state = self.lock();
        let Some(phase) = state.out.get(delivery) else { return false };
        let ended = match word {
            Word::Extend(time) => {
                let until = self.tasks.elapsed() + *time;
                phase.send_replace(Phase::Out { delivery: delivery.to_owned(), until });
                return true;
            }
            Word::Done => Ok(()),
            Word::Failed { cause, wait: None } => Err(Failure::Retry { cause: cause.clone() }),
            Word::Failed { cause, wait: Some(wait) } => Err(Failure::RetryAfter { cause: cause.clone(), wait: *wait }),
        };
        phase.send_replace(Phase::Ended(ended));
        state.out.remove(delivery);
        drop(state);
        self.tell();
        true
    }

    /// The time of a delivery is over, unless it was extended or ended meanwhile.
    fn expire(&self, delivery: &str) -> bool {
        let mut state = self.lock();
        let now = self.tasks.elapsed();
        let is_over = state.out.get(delivery).is_some_and(|phase| matches!(&*phase.borrow(), Phase::Out { until, .. } if *until <= now));
        if is_over {
            state.out.remove(delivery);
            drop(state);
            self.tell();
        }
        is_over
    }

    fn offer(&self, delivery: Delivery) -> Option<watch::Receiver<Phase>> {
        let (phase, ended) = watch::channel(Phase::Waiting);
        let mut state = self.lock();
        if !state.is_open {
            return None;
        }
        state.waiting.push_back(Offer { delivery, phase });
        drop(state);
        self.tell();
        Some(ended)
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    fn mint(&self) -> String {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        random.iter().fold(String::with_capacity(32), |id, byte| id + &format!("{byte:02x}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one who waits.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn enter(pulls: &'a AtomicUsize) -> Option<Self> {
        let place = (pulls.fetch_add(1, Ordering::SeqCst), Self(pulls));
        (place.0 < PULLS_WAITING_MAX).then_some(place.1)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The handler of a consumer whose events are pulled.
pub(super) struct AtDesk(pub(super) Arc<Desk>);

impl Handler for AtDesk {
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let Some(mut phase) = desk.offer(delivery) else { return Err(Failure::Withdrawn) };
            loop {
                let now = phase.borrow_and_update().clone();
                match now {
                    Phase::Ended(ended) => return ended,
                    Phase::Waiting => {
                        if phase.changed().await.is_err() {
                            return Err(Failure::Withdrawn);
                        }
                    }
                    Phase::Out { delivery, until } => {
                        tokio::select! {
                            biased;
                            // Who drops the sender has said why before.
                            _ = phase.changed() => {}
                            () = desk.tasks.sleep(until.saturating_sub(desk.tasks.elapsed())) => {
                                if desk.expire(&delivery) {
                                    return Err(Failure::Retry { cause: "it was delivered and not acknowledged in time".to_owned() });
                                }
                            }
                        }
                    }
                }
            }
        })
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn open(&self) {
        self.0.lock().is_open = true;
    }

    fn let_go(&self) {
        let mut state = self.0.lock();
        state.is_open = false;
        let withdrawn = std::mem::take(&mut state.waiting).into_iter().map(|offer| offer.phase);
        let withdrawn: Vec<_> = withdrawn.chain(std::mem::take(&mut state.out).into_values()).collect();
        drop(state);
        for phase in withdrawn {
            phase.send_replace(Phase::Ended(Err(Failure::Withdrawn)));
        }
    }
}
