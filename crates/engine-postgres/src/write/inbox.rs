//! Commits that wait for the writer, in the order of their calls.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::{AppendError, Commit, CommitId, Committed};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::limits;

/// What a caller of `append` hears.
pub(crate) type Outcome = Result<Committed, AppendError>;

/// A commit that waits.
pub(crate) struct Pending {
    pub(crate) commit: Commit,
    /// The id that it will have; the same in every attempt.
    pub(crate) id: CommitId,
    pub(crate) arrived: Instant,
    /// A transaction with it was lost sight of while it committed.
    pub(crate) in_doubt: bool,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

impl Pending {
    /// What the bounds on bytes count.
    fn bytes(&self) -> usize {
        let of_events = |command: &journal::CommandRecord| command.events.iter().map(|event| event.payload.len()).sum::<usize>();
        self.commit.commands.iter().map(|command| command.reply.len() + of_events(command)).sum()
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    bytes: usize,
    closed: bool,
}

impl Inbox {
    /// Puts a commit behind the others.
    ///
    /// # Errors
    /// When too much waits, or the journal is closed.
    pub(crate) fn offer(&self, pending: Pending) -> Result<(), AppendError> {
        let bytes = pending.bytes();
        let mut state = self.lock();
        if state.closed {
            return Err(AppendError::Unavailable { cause: "the journal was closed".into() });
        }
        if state.waiting.len() >= limits::WAITING_COMMITS_MAX || state.bytes + bytes > limits::WAITING_BYTES_MAX {
            let (commits, mib) = (limits::WAITING_COMMITS_MAX, limits::WAITING_BYTES_MAX >> 20);
            return Err(AppendError::Unavailable { cause: format!("more than {commits} commits or {mib} MiB would wait for the server") });
        }
        state.bytes += bytes;
        state.waiting.push_back(pending);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Whatever has arrived, as far as one transaction takes it; waits while there is nothing. `None` once the inbox is closed and empty.
    pub(crate) async fn take(&self) -> Option<Vec<Pending>> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.lock();
                let mut batch = Vec::new();
                state.fill(&mut batch);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// What has arrived for a batch since it was taken, as far as its transaction has room, if that is as much again: then one larger transaction
    /// is worth another round trip.
    pub(crate) fn take_as_much_again(&self, batch: &[Pending]) -> Vec<Pending> {
        let mut state = self.lock();
        if state.waiting.len() < batch.len() {
            return Vec::new();
        }
        let mut more = Vec::new();
        state.fill(&mut more);
        more
    }

    /// Takes no more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what waits into an empty batch, as far as it has room.
    fn fill(&mut self, batch: &mut Vec<Pending>) {
        let mut bytes = 0;
        while batch.len() < limits::BATCH_COMMITS_MAX / 2
            && bytes < limits::BATCH_BYTES_MAX / 2
            && let Some(pending) = self.waiting.pop_front()
        {
            bytes += pending.bytes();
            batch.push(pending);
        }
        self.bytes -= bytes;
    }
}
