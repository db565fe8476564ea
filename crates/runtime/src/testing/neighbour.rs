//! Services beside each other in one test: what one of them asks of another is a task of the other's, and time passes for all at once.
//!
//! Each has an executor of its own, so that its process ends alone; whoever waits for it is told that it has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::journal::{BoxFuture, Journal as _};
use tokio::sync::oneshot;

use super::{SETTLE_MAX, Simulation, at_once};
use crate::Runtime;
use crate::seams::Tasks as _;
use crate::seams::sim::SimTasks;

/// A service as its neighbours reach it.
#[derive(Clone)]
pub struct Neighbour {
    tasks: Arc<SimTasks>,
    process: Arc<Mutex<Option<Arc<Runtime>>>>,
    journal: Arc<::journal::model::ModelJournal>,
}

/// What is said of a process that has ended while it was waited for.
const ENDED: &str = "its process has ended";

impl Neighbour {
    /// Has the neighbour do something.
    ///
    /// # Errors
    /// When its process ends meanwhile: nobody knows how far it came.
    pub fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Arc<Runtime>) -> BoxFuture<'static, T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, String>> {
        let (tell, told) = oneshot::channel();
        self.spawn(move |runtime| {
            let work = ask(runtime);
            // Whoever asked may have ended.
            Box::pin(async move { drop(tell.send(work.await)) })
        });
        Box::pin(async move { told.await.map_err(|_| ENDED.to_owned()) })
    }

    /// Gives the neighbour something to do for as long as its process lives. Without a process, nothing is done.
    pub fn spawn(&self, work: impl FnOnce(Arc<Runtime>) -> BoxFuture<'static, ()>) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(runtime) = process {
            self.tasks.spawn(work(runtime));
        }
    }

    /// The last position of its journal.
    #[must_use]
    pub fn head(&self) -> u64 {
        at_once(self.journal.head()).map_or(0, |head| head.position())
    }
}

impl Simulation {
    /// The service, for its neighbours.
    #[must_use]
    pub fn neighbour(&self) -> Neighbour {
        Neighbour { tasks: Arc::clone(&self.tasks), process: Arc::clone(&self.runtime), journal: Arc::clone(&self.model) }
    }

    /// Looks at the running process, for which no step of it is made.
    pub fn look<T>(&self, look: impl FnOnce(&Runtime) -> T) -> T {
        look(&self.runtime())
    }

    fn elapsed(&self) -> Duration {
        self.tasks.elapsed()
    }

    /// Goes on while no time passes.
    fn rest(&self) {
        while !self.tasks.rest() {
            self.begin_again();
        }
        self.complain();
    }

    /// Moves time on to a moment, unless it is past it.
    fn pass_to(&self, moment: Duration) {
        while self.elapsed() < moment {
            if !self.tasks.pass(moment) {
                self.begin_again();
            }
        }
    }

    fn next_due(&self) -> Option<Duration> {
        self.tasks.next_due().map(|left| self.elapsed() + left)
    }
}

/// Moves time on for all of them, stopping wherever something is due.
pub fn advance_together(all: &[&Simulation], time: Duration) {
    let until = level(all) + time;
    while let Some(next) = next_due(all).filter(|next| *next < until) {
        pass(all, next);
    }
    pass(all, until);
}

/// Goes on until all of them are at rest, and `open` has nothing to say. See [`Simulation::settle`].
///
/// # Errors
/// What is still open, in words, when that does not end.
pub fn settle_together(all: &[&Simulation], open: impl Fn() -> Vec<String>) -> Result<(), String> {
    let until = level(all) + SETTLE_MAX;
    loop {
        let words: Vec<String> = all.iter().flat_map(|one| one.open()).chain(open()).collect();
        if words.is_empty() {
            return Ok(());
        }
        match next_due(all).filter(|next| *next <= until) {
            Some(next) => pass(all, next),
            None => return Err(words.join("\n")),
        }
    }
}

/// Brings all of them to the same moment, the latest of any, and to rest.
fn level(all: &[&Simulation]) -> Duration {
    let latest = all.iter().map(|one| one.elapsed()).max().unwrap_or_default();
    pass(all, latest);
    latest
}

fn next_due(all: &[&Simulation]) -> Option<Duration> {
    all.iter().filter_map(|one| one.next_due()).min()
}

/// One may wake another.
fn pass(all: &[&Simulation], moment: Duration) {
    all.iter().for_each(|one| one.pass_to(moment));
    all.iter().for_each(|one| one.rest());
    while all.iter().any(|one| one.tasks.is_ready()) {
        all.iter().for_each(|one| one.rest());
    }
}
