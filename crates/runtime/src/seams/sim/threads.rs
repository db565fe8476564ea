//! Threads that take turns: one at a time, lowest number first, and only while no task runs. What they do is the product's own code on
//! threads of the system; when they do it follows from the tasks, and so from the seed.
//!
//! A thread gives its turn back where it waits ([`Spawner::wait`]) and where it ends. One that blocks otherwise blocks the run.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use journal::seams::Spawner;

/// See the module.
pub struct SimThreads {
    threads: Arc<dyn Spawner>,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    started: u64,
    /// Threads that have something to do.
    ready: BTreeSet<u64>,
    /// The one whose turn it is.
    running: Option<u64>,
}

impl SimThreads {
    /// Takes its threads from another spawner.
    #[must_use]
    pub fn new(threads: Arc<dyn Spawner>) -> Self {
        Self { threads, turns: Arc::default() }
    }

    /// Gives turns until every thread waits or has ended.
    pub(super) fn run(&self) {
        let mut state = self.turns.lock();
        while let Some(next) = state.ready.pop_first() {
            state.running = Some(next);
            self.turns.changed.notify_all();
            state = self.turns.until(state, |state| state.running.is_none());
        }
    }
}

impl Spawner for SimThreads {
    fn thread(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let turns = Arc::clone(&self.turns);
        let mut state = turns.lock();
        state.started += 1;
        let id = state.started;
        state.ready.insert(id);
        drop(state);
        let turns = Arc::clone(&self.turns);
        let started = self.threads.thread(
            name,
            Box::new(move || {
                // Given back when the work ends, also by a panic.
                let _turn = Turn::first(&turns, id);
                work();
            }),
        );
        if started.is_err() {
            self.turns.lock().ready.remove(&id);
        }
        started
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn wait(&self, mut future: Pin<&mut dyn Future<Output = ()>>) {
        let id = self.turns.lock().running.expect("only a thread whose turn it is waits");
        let waker = Waker::from(Arc::new(Ready { id, turns: Arc::clone(&self.turns) }));
        while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.turns.give_back();
            self.turns.take(id);
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until<'a>(&self, state: MutexGuard<'a, State>, is_so: impl Fn(&State) -> bool) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, |state| !is_so(state)).unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: u64) {
        drop(self.until(self.lock(), |state| state.running == Some(id)));
    }

    fn give_back(&self) {
        self.lock().running = None;
        self.changed.notify_all();
    }
}

/// The turns of one thread, from its first to its last.
struct Turn<'a>(&'a Turns);

impl<'a> Turn<'a> {
    fn first(turns: &'a Turns, id: u64) -> Self {
        turns.take(id);
        Self(turns)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

struct Ready {
    id: u64,
    turns: Arc<Turns>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.turns.lock().ready.insert(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use journal::seams::{ThreadSpawner, wait_for};
    use journal::sim::SimClock;
    use tokio::sync::mpsc;

    use super::super::{Driven, SimTasks, Tasks as _};
    use super::*;

    /// What two threads and two tasks write, in the order in which they did.
    fn written(seed: u64) -> Vec<String> {
        let threads = Arc::new(SimThreads::new(Arc::new(ThreadSpawner::new())));
        let tasks = SimTasks::new(Arc::new(SimClock::new()), seed).with_threads(Arc::clone(&threads));
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        for name in ["a", "b"] {
            let (sender, mut receiver) = mpsc::channel(2);
            let (waiting, thread_log, task_log) = (Arc::clone(&threads), Arc::clone(&log), Arc::clone(&log));
            let work = move || {
                while let Some(number) = wait_for(&*waiting, receiver.recv()) {
                    thread_log.lock().unwrap().push(format!("thread {name} {number}"));
                }
            };
            threads.thread(name, Box::new(work)).unwrap();
            tasks.spawn(Box::pin(async move {
                for number in 0..20 {
                    task_log.lock().unwrap().push(format!("task {name} {number}"));
                    sender.send(number).await.unwrap();
                }
            }));
        }
        assert_eq!(tasks.drive(async {}, Duration::ZERO), Driven::Done(()));
        assert!(tasks.rest());
        let log = log.lock().unwrap();
        log.clone()
    }

    #[test]
    fn threads_take_turns_as_the_seed_wants() {
        let first = written(1);
        assert_eq!(first.len(), 80);
        assert!((0..20).all(|_| written(1) == first), "one seed, one order");
        assert!((2..9).any(|seed| written(seed) != first), "other seeds, other orders");
    }
}
