//! Actions that are delivered late, and once more although they succeeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use component::hosted::{ActionDescription, ActionDoor, ActionHandle, ActionOutcome, BoxedFuture, DeliveredEvent, HostedAction};

use super::pace::Pace;

/// Runs of all actions.
#[derive(Default)]
pub(super) struct Runs {
    begun: AtomicU64,
    under_way: AtomicUsize,
}

impl Runs {
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(SeqCst)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(SeqCst)
    }
}

/// The same action behind a delivery with faults.
pub(super) fn faulty(action: ActionHandle, pace: &Arc<Pace>, runs: &Arc<Runs>) -> ActionHandle {
    Arc::new(Faulty { action, pace: Arc::clone(pace), runs: Arc::clone(runs) })
}

struct Faulty {
    action: ActionHandle,
    pace: Arc<Pace>,
    runs: Arc<Runs>,
}

impl HostedAction for Faulty {
    fn description(&self) -> &ActionDescription {
        self.action.description()
    }

    fn run(&self, event: DeliveredEvent, door: Arc<dyn ActionDoor>, attempt: u32) -> BoxedFuture<'static, ActionOutcome> {
        let (action, pace, runs) = (Arc::clone(&self.action), Arc::clone(&self.pace), Arc::clone(&self.runs));
        Box::pin(async move {
            let _under_way = UnderWay::new(&runs);
            pace.run().await;
            runs.begun.fetch_add(1, SeqCst);
            let first = action.run(event.clone(), Arc::clone(&door), attempt).await;
            if first != ActionOutcome::Done || !pace.delivers_again() {
                return first;
            }
            pace.run().await;
            runs.begun.fetch_add(1, SeqCst);
            action.run(event, door, attempt).await
        })
    }
}

/// Counts a run for as long as it is there, also when its process ends.
struct UnderWay(Arc<Runs>);

impl UnderWay {
    fn new(runs: &Arc<Runs>) -> Self {
        runs.under_way.fetch_add(1, SeqCst);
        Self(Arc::clone(runs))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}
