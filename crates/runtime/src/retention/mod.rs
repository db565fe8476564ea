//! Retention: what becomes of events that their entity type no longer keeps.
//!
//! A pass looks at every entity of the types with a [`Keep`], writes a `$baseline` where events may go and none stands for them yet, and
//! then has the engine compact. It promises:
//! - nothing goes that a consumer of the service has still to read (promise 7): the lowest of their durable places is the bound (`pins`);
//! - nothing goes of a type whose baselines could not all be written by this version of the component, when an older one's stand in for them;
//! - passes come one at a time, at a bounded rate; one that a stop or a kill has ended goes on where it was (`place`).
//!
//! `pass` is one of them, `look` what it sees of an entity, `status` what people see of it.
//!
//! What it is not: a way to make the past unread. A backup, a view, or who has read an event keeps it; `personal` is for that.

mod look;
mod pass;
pub(crate) mod pins;
mod place;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use component::Keep;
use journal::seams::Clock;
use journal::{BoxFuture, Cursor, Journal, ReadError, ReadMode, Registers, Selection, Timestamp};
use tokio::sync::watch;

use crate::Notices;
use crate::delivery::{Seams, stopped};
use crate::entity::Entities;
use crate::limits::{RETENTION_FIRST_WAIT, RETENTION_RETRY};
use crate::node::{Nodes, Share, while_held};
use crate::seams::Tasks;
use pins::Pin;
pub use status::{RetentionStatus, RetentionWait};

/// The lowest place that somebody has still to read from, and who; asked once a pass.
pub(crate) type Pins = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<Pin>, String>> + Send + Sync>;

/// Entity types that have lost events, shared with who must say so.
pub(crate) type Lost = Arc<Mutex<BTreeSet<String>>>;

/// What a retention is made of.
struct Surroundings {
    /// The engine's own journal: nothing here looks into a state.
    journal: Arc<dyn Journal>,
    registers: Arc<dyn Registers>,
    entities: Arc<Entities>,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    notices: Notices,
    /// The time between the ends of two passes.
    every: Duration,
    lost: Lost,
}

/// See the module.
pub(crate) struct Retention {
    around: Surroundings,
    policies: Vec<(&'static str, Keep)>,
    status: Mutex<RetentionStatus>,
    /// Grows with each wish for a pass now.
    asked: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    working: watch::Sender<bool>,
}

impl Retention {
    /// Over the engine's own journal, with the policies and the time between two passes.
    pub(crate) fn new(
        (journal, seams): (Arc<dyn Journal>, &Seams),
        entities: &Arc<Entities>,
        (mut policies, every): (Vec<(&'static str, Keep)>, Duration),
        lost: Lost,
    ) -> Self {
        // A pass goes on behind the type that it was at: their order must not depend on the program.
        policies.sort_unstable_by_key(|(kind, _)| *kind);
        let around = Surroundings {
            journal,
            registers: Arc::clone(&seams.registers),
            entities: Arc::clone(entities),
            clock: Arc::clone(&seams.clock),
            tasks: Arc::clone(&seams.tasks),
            notices: Arc::clone(&seams.notices),
            every,
            lost,
        };
        let kinds = policies.iter().map(|(kind, keep)| (*kind, *keep)).collect();
        let status = Mutex::new(RetentionStatus { kinds, ..RetentionStatus::default() });
        Self { around, policies, status, asked: watch::Sender::new(0), stop: watch::Sender::new(false), working: watch::Sender::new(false) }
    }

    /// What is known of earlier passes, before anything else begins: views say what they cannot have seen.
    pub(crate) async fn remember(&self) {
        if self.policies.is_empty() {
            return;
        }
        if let Ok((_, place)) = place::read(&self.around.registers).await {
            self.lost().extend(place.lost.iter().cloned());
            self.tell(|status| {
                status.ended = place.ended.map(Timestamp::from_micros);
                status.lost = place.lost;
            });
        }
    }

    /// Begins in the background, until a stop. `pins` says what it must wait for.
    pub(crate) fn begin(self: &Arc<Self>, pins: Pins, nodes: &Arc<Nodes>) {
        if self.policies.is_empty() {
            return;
        }
        self.working.send_replace(true);
        let (this, post) = (Arc::clone(self), nodes.post("retention", Share::WHOLE));
        self.around.tasks.spawn(Box::pin(async move {
            let _at_work = AtWork(this.working.clone());
            while_held(post, this.stop.subscribe(), |ends, _| this.run(&pins, ends)).await;
        }));
    }

    /// Wants a pass now: one that begins after this. False when no entity type has a policy.
    pub(crate) fn ask(&self) -> bool {
        self.asked.send_modify(|asked| *asked += 1);
        !self.policies.is_empty()
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn drained(&self) {
        let mut working = self.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| !working).await.is_ok();
    }

    /// The first place that is good for readers of some entity types, when one in front of it is not: events of theirs were let go of, and what is
    /// there begins behind that place. The engine itself only knows of a beginning that is gone for everybody, and the registered shapes are there
    /// for ever.
    pub(crate) async fn gone_before(&self, kinds: &[String], cursor: Cursor) -> Result<Option<Cursor>, ReadError> {
        let lost: Vec<Arc<str>> = self.lost().iter().filter(|kind| kinds.contains(kind)).map(|kind| kind.as_str().into()).collect();
        if lost.is_empty() || cursor.position() == 0 {
            return Ok(None);
        }
        let first = self.around.journal.read(Selection::Types(lost), Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()?;
        let place = first.map(|event| self.around.journal.lineage().cursor(event.position.saturating_sub(1)));
        Ok(place.filter(|place| cursor.position() < place.position()))
    }

    /// How it stands; `None` when no entity type has a policy.
    pub(crate) fn status(&self) -> Option<RetentionStatus> {
        (!self.policies.is_empty()).then(|| self.locked().clone())
    }

    fn locked(&self) -> MutexGuard<'_, RetentionStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut RetentionStatus)) {
        change(&mut self.locked());
    }

    fn lost(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.around.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, pins: &Pins, mut stop: watch::Receiver<bool>) {
        let mut asked = self.asked.subscribe();
        let (mut wait, mut retry) = (self.first_wait(), RETENTION_RETRY);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = asked.changed() => {}
                () = self.around.tasks.sleep(wait) => {}
            }
            asked.mark_unchanged();
            self.tell(|status| status.running = true);
            let ended = tokio::select! {
                biased;
                // What the engine has begun it ends, and the next process goes on where the register says.
                () = stopped(&mut stop) => return,
                ended = self.pass(pins) => ended,
            };
            self.tell(|status| status.running = false);
            (wait, retry) = match ended {
                Ok(()) => (self.around.every, RETENTION_RETRY),
                // What fails again and again is tried less and less often: a try may read the whole log.
                Err(cause) => {
                    self.failed(cause);
                    (retry, (retry * 2).min(self.around.every.max(RETENTION_RETRY)))
                }
            };
        }
    }

    /// A pass that is overdue comes soon after the start, and not with it.
    fn first_wait(&self) -> Duration {
        let Some(ended) = self.locked().ended else { return RETENTION_FIRST_WAIT };
        let since = self.around.clock.now().as_micros().saturating_sub(ended.as_micros()).max(0).unsigned_abs();
        self.around.every.saturating_sub(Duration::from_micros(since)).max(RETENTION_FIRST_WAIT)
    }

    fn failed(&self, cause: String) {
        let before = self.locked().problem.clone();
        if before.as_ref() != Some(&cause) {
            (self.around.notices)(&format!("retention: {cause}; it is tried again"));
        }
        self.tell(|status| {
            status.failures += 1;
            status.problem = Some(cause);
        });
    }
}

/// Says that it has ended, also when its task is dropped.
struct AtWork(watch::Sender<bool>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
