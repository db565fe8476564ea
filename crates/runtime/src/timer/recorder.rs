//! What firings leave behind: many in one commit.
//!
//! A record expects its timer's head. One that is refused is left out, and the others go on; what the engine cannot take now is tried again
//! until it can, or until a stop: a firing whose record is lost is fired again under the same command id.

use std::sync::Arc;
use std::time::Duration;

use journal::{AppendError, CommandRecord, Commit, Cursor, EntityKey, Expect, Journal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::delivery::stopped;
use crate::limits::{ENGINE_RETRY_MAX, ENGINE_RETRY_MIN, TIMER_RECORDS_MAX, TIMER_RECORDS_WAITING_MAX};
use crate::seams::Tasks;

/// One record, and what it expects.
pub(super) struct Entry {
    pub(super) record: CommandRecord,
    pub(super) sequence: u64,
    /// Told the place behind it; nothing when it was refused, or never written.
    pub(super) written: oneshot::Sender<Cursor>,
}

/// The way to the recorder.
pub(super) type Records = mpsc::Sender<Entry>;

/// Makes the way, and the recorder at its end.
pub(super) fn recorder(journal: &Arc<dyn Journal>, tasks: &Arc<dyn Tasks>, stop: watch::Receiver<bool>) -> (Records, Recorder) {
    let (records, entries) = mpsc::channel(TIMER_RECORDS_WAITING_MAX);
    (records, Recorder { entries, journal: Arc::clone(journal), tasks: Arc::clone(tasks), stop })
}

/// See the module.
pub(super) struct Recorder {
    entries: mpsc::Receiver<Entry>,
    journal: Arc<dyn Journal>,
    tasks: Arc<dyn Tasks>,
    stop: watch::Receiver<bool>,
}

impl Recorder {
    /// Writes until nobody can send any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.entries.recv_many(&mut batch, TIMER_RECORDS_MAX).await > 0 {
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&mut self, mut batch: Vec<Entry>) {
        let mut wait = ENGINE_RETRY_MIN;
        while !batch.is_empty() {
            match self.journal.append(commit(&batch)).await {
                Ok(committed) => {
                    // Who does not wait any more has stopped.
                    for entry in batch.drain(..) {
                        let _ = entry.written.send(committed.cursor);
                    }
                }
                Err(AppendError::Duplicate { index, first }) => {
                    let _ = batch.remove(index).written.send(first.cursor);
                }
                Err(AppendError::Conflict { entity, .. }) => batch.retain(|entry| entry.record.entity != entity),
                Err(AppendError::Poisoned { .. }) => return,
                // Unknown is among them: sent again, what was written is found.
                Err(_) if !self.rest(wait).await => return,
                Err(_) => wait = (wait * 2).min(ENGINE_RETRY_MAX),
            }
        }
    }

    /// False at a stop.
    async fn rest(&mut self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => false,
            () = self.tasks.sleep(wait) => true,
        }
    }
}

fn commit(batch: &[Entry]) -> Commit {
    let expect = batch.iter().map(|entry| (entry.record.entity.clone(), Expect::Head(entry.sequence))).collect::<Vec<(EntityKey, _)>>();
    Commit { commands: batch.iter().map(|entry| entry.record.clone()).collect(), expect, ..Commit::default() }
}
