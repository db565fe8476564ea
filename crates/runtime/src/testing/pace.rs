//! How long things take: nothing, some turns of others, or virtual time. All from the seed.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use journal::sim::SimRandom;

use super::Faults;
use crate::seams::Tasks;
use crate::seams::sim::SimTasks;

/// The longest that the journal and the registers take.
const ENGINE_MAX: Duration = Duration::from_millis(40);
/// The longest that a run waits before it begins.
const RUN_MAX: Duration = Duration::from_secs(2);
/// Turns that others may have before a run begins, at most.
const RUN_TURNS_MAX: u64 = 24;

/// See the module.
pub(super) struct Pace {
    faults: Faults,
    /// Tasks hold what holds this.
    tasks: Weak<SimTasks>,
    dice: SimRandom,
}

impl Pace {
    pub(super) fn new(faults: Faults, tasks: &Arc<SimTasks>, dice: SimRandom) -> Self {
        Self { faults, tasks: Arc::downgrade(tasks), dice }
    }

    /// A call of the engine. Where processes end there is always a step at which they can.
    pub(super) async fn engine(&self) {
        if self.faults.crashes > 0.0 || self.faults.crash_at.is_some() {
            self.turns(1).await;
        }
        self.time(ENGINE_MAX).await;
    }

    /// The time before a run begins.
    pub(super) async fn run(&self) {
        if self.faults.reorder {
            self.turns(self.dice.below(RUN_TURNS_MAX + 1)).await;
        }
        self.time(RUN_MAX).await;
    }

    /// Whether a run that succeeded is delivered once more.
    pub(super) fn delivers_again(&self) -> bool {
        self.faults.duplicates && self.dice.one_in(2)
    }

    async fn turns(&self, turns: u64) {
        for _ in 0..turns {
            let mut waited = false;
            poll_fn(|context| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    async fn time(&self, most: Duration) {
        if !self.faults.delays {
            return;
        }
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        self.rest(Duration::from_micros(self.dice.below(micros) + 1)).await;
    }

    /// So much virtual time.
    pub(super) async fn rest(&self, time: Duration) {
        if let Some(tasks) = self.tasks.upgrade().filter(|_| !time.is_zero()) {
            tasks.sleep(time).await;
        }
    }
}
