//! Who fires: tasks that take one firing after the other, so that a firing costs no task of its own.
//!
//! As many are at work as there are firings, up to a bound; one that finds nothing to do ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::fire::{Firing, Pass};
use super::room::{AtWork, Room};
use crate::limits::TIMERS_CREW_MAX;

/// A firing that waits for somebody.
pub(super) struct Job {
    pub(super) firing: Firing,
    pub(super) pass: Pass,
    pub(super) at_work: AtWork,
    /// Told when the first attempt is over.
    pub(super) tried: Option<oneshot::Sender<()>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Crew(Mutex<Jobs>);

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    hands: usize,
}

impl Crew {
    /// Has it fired.
    pub(super) fn take(room: &Arc<Room>, job: Job) {
        let mut jobs = room.crew.lock();
        jobs.waiting.push_back(job);
        if jobs.hands == TIMERS_CREW_MAX {
            return;
        }
        jobs.hands += 1;
        drop(jobs);
        let hand = Hand { room: Arc::clone(room), is_counted: true };
        room.tasks.spawn(Box::pin(hand.work()));
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that takes firings.
struct Hand {
    room: Arc<Room>,
    is_counted: bool,
}

impl Hand {
    async fn work(mut self) {
        while let Some(Job { firing, pass, at_work, tried }) = self.next() {
            firing.run(&self.room, pass).await;
            if let Some(tried) = tried {
                // Who looks may have stopped.
                let _ = tried.send(());
            }
            drop(at_work);
        }
    }

    /// One that is told that there is none is not counted from the same moment on: the next firing gets another one.
    fn next(&mut self) -> Option<Job> {
        let mut jobs = self.room.crew.lock();
        let job = jobs.waiting.pop_front();
        if job.is_none() {
            jobs.hands -= 1;
            self.is_counted = false;
        }
        job
    }
}

/// Dropped in the midst of a firing when the runtime ends.
impl Drop for Hand {
    fn drop(&mut self) {
        if self.is_counted {
            self.room.crew.lock().hands -= 1;
        }
    }
}
