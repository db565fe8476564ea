//! Tasks under virtual time: an executor of one thread that picks among what is ready by a seed, and a clock that moves only
//! when it is told to. One seed replays a run, as long as nothing real (a file, a thread of the system's own) takes part; the threads of
//! `threads` take turns with the tasks.

mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use journal::BoxFuture;
use journal::sim::{SimClock, SimRandom};

use super::Tasks;
pub use threads::SimThreads;

/// How long a future may wait for something real before it is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Steps without rest after which tasks are called turning in place.
const STEPS_MAX: u64 = 1_000_000;
/// The name of the future that `block_on` drives.
const MAIN: u64 = 0;

/// See the module. Cheap to share behind an `Arc`.
pub struct SimTasks {
    shared: Arc<Shared>,
    clock: Arc<SimClock>,
    random: SimRandom,
    /// Threads that run only while no task does.
    threads: Option<Arc<SimThreads>>,
    /// Whether the process ends before the next step.
    ends: Option<Ends>,
}

/// Asked before each step.
type Ends = Box<dyn Fn() -> bool + Send + Sync>;

/// How the driving of a future ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Driven<T> {
    /// It is there.
    Done(T),
    /// The process ended: every task is gone, and so is the future.
    Ended,
    /// It waits, and nothing that is due within the time brings it.
    Stuck,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    now: Duration,
    next_id: u64,
    /// Absent while it is polled.
    tasks: BTreeMap<u64, BoxFuture<'static, ()>>,
    /// A set: the order in which tasks were woken is not always the seed's (the channels of tokio throw dice of their own).
    ready: BTreeSet<u64>,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
}

impl SimTasks {
    /// An executor whose time moves this clock along.
    #[must_use]
    pub fn new(clock: Arc<SimClock>, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().next_id = MAIN + 1;
        Self { shared, clock, random: SimRandom::new(seed), threads: None, ends: None }
    }

    /// Lets these threads take turns with the tasks.
    #[must_use]
    pub fn with_threads(mut self, threads: Arc<SimThreads>) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Asks before each step whether the process ends there. [`drive`](Self::drive), [`rest`](Self::rest) and [`pass`](Self::pass) say so.
    #[must_use]
    pub fn ending_when(mut self, ends: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.ends = Some(Box::new(ends));
        self
    }

    /// Drives a future, and all tasks beside it. While nothing can go on, time moves to what is due next, by `patience` at most.
    pub fn drive<T>(&self, future: impl Future<Output = T>, patience: Duration) -> Driven<T> {
        let mut future = pin!(future);
        let (waker, until) = (self.waker(MAIN), self.elapsed() + patience);
        waker.wake_by_ref();
        loop {
            if self.shared.lock().take_main() {
                if self.has_ended() {
                    return Driven::Ended;
                }
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Driven::Done(output);
                }
            }
            if !self.rest() {
                return Driven::Ended;
            }
            if self.shared.lock().ready.is_empty() && !self.wake_next(until) {
                return Driven::Stuck;
            }
        }
    }

    /// Polls tasks until none is ready; false when the process ended before.
    ///
    /// # Panics
    /// When they never come to rest.
    pub fn rest(&self) -> bool {
        let mut steps = 0;
        self.run_threads();
        while let Some((id, mut task)) = self.pick() {
            if self.has_ended() {
                return false;
            }
            steps += 1;
            assert!(steps < STEPS_MAX, "tasks wake each other for ever while no time passes");
            let waker = self.waker(id);
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.shared.lock().tasks.insert(id, task);
            }
            self.run_threads();
        }
        true
    }

    /// Moves time on to a moment, stopping wherever something is due; false when the process ended before.
    pub fn pass(&self, until: Duration) -> bool {
        loop {
            if !self.rest() {
                return false;
            }
            if !self.wake_next(until) {
                self.move_to(until);
                return self.rest();
            }
        }
    }

    /// Moves to what is due next, and wakes it; false when nothing is until then.
    pub fn wake_next(&self, until: Duration) -> bool {
        let Some(waker) = self.move_to_next(until) else { return false };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn has_ended(&self) -> bool {
        let ends = self.ends.as_ref().is_some_and(|ends| ends());
        if ends {
            self.abandon();
        }
        ends
    }

    fn run_threads(&self) {
        if let Some(threads) = &self.threads {
            threads.run();
        }
    }

    /// Drives a future, and all tasks beside it, until it is there. Time stands still.
    ///
    /// # Panics
    /// When it waits for something that does not come: for virtual time, or for a thread that does not answer.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = self.waker(MAIN);
        waker.wake_by_ref();
        loop {
            if self.shared.lock().take_main()
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            self.run_ready();
            assert!(self.shared.wait(), "the future waits for time that nobody moves, or for a thread that does not answer");
        }
    }

    /// Polls tasks until none is ready.
    pub fn run_ready(&self) {
        self.rest();
    }

    /// Moves time on, stopping wherever something is due.
    pub fn advance(&self, time: Duration) {
        self.pass(self.elapsed() + time);
    }

    /// Whether a task could go on: one of another executor's may have woken it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.lock().ready.iter().any(|id| *id != MAIN)
    }

    /// How long until something is due; `None` when nothing ever will be.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let state = self.shared.lock();
        state.sleepers.keys().next().map(|(due, _)| due.saturating_sub(state.now))
    }

    /// Drops every task, as the end of a process does.
    pub fn abandon(&self) {
        // What goes away may leave something to be done, which goes as well.
        for _ in 0..2 {
            let tasks = std::mem::take(&mut self.shared.lock().tasks);
            drop(tasks);
        }
        self.run_threads();
        let mut state = self.shared.lock();
        state.ready.clear();
        state.sleepers.clear();
    }

    fn move_to_next(&self, target: Duration) -> Option<Option<Waker>> {
        let due = self.shared.lock().sleepers.keys().next().map(|(due, _)| *due).filter(|due| *due <= target)?;
        self.move_to(due);
        self.shared.lock().sleepers.pop_first().map(|(_, waker)| waker)
    }

    fn move_to(&self, time: Duration) {
        let mut state = self.shared.lock();
        let step = time.saturating_sub(state.now);
        state.now = state.now.max(time);
        self.clock.advance(i64::try_from(step.as_micros()).unwrap_or(i64::MAX));
    }

    /// Takes one of the ready tasks out.
    fn pick(&self) -> Option<(u64, BoxFuture<'static, ()>)> {
        let mut state = self.shared.lock();
        loop {
            // The main future is not ours to poll here.
            let ready = state.ready.iter().filter(|id| **id != MAIN);
            let place = usize::try_from(self.random.roll()).unwrap_or(usize::MAX) % ready.clone().count().max(1);
            let id = *ready.clone().nth(place)?;
            state.ready.remove(&id);
            // A task may have been woken once more than it was there.
            if let Some(task) = state.tasks.remove(&id) {
                return Some((id, task));
            }
        }
    }

    fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { id, shared: Arc::clone(&self.shared) }))
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut state = self.shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.tasks.insert(id, task);
        drop(state);
        self.shared.wake(id);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.shared.lock();
        let key = (state.now + time, state.next_id);
        state.next_id += 1;
        if !time.is_zero() {
            state.sleepers.insert(key, None);
        }
        drop(state);
        Box::pin(Sleep { shared: Arc::clone(&self.shared), key })
    }

    fn elapsed(&self) -> Duration {
        self.shared.lock().now
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, id: u64) {
        self.lock().ready.insert(id);
        self.woken.notify_all();
    }

    /// Waits until something is ready; false when nothing was for too long.
    fn wait(&self) -> bool {
        let waited = self.woken.wait_timeout_while(self.lock(), STUCK_AFTER, |state| state.ready.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).0.ready.is_empty()
    }
}

impl State {
    fn take_main(&mut self) -> bool {
        self.ready.remove(&MAIN)
    }
}

struct TaskWaker {
    id: u64,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.shared.wake(self.id);
    }
}

/// A wait for virtual time.
struct Sleep {
    shared: Arc<Shared>,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.shared.lock().sleepers.get_mut(&self.key) {
            Some(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.shared.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use journal::seams::Clock as _;

    use super::*;

    #[test]
    fn time_moves_only_when_it_is_told_to() {
        let clock = Arc::new(SimClock::new());
        let (tasks, begun) = (Arc::new(SimTasks::new(Arc::clone(&clock), 1)), clock.now());
        let rings = Arc::new(AtomicU32::new(0));
        for seconds in [3, 1, 2, 2] {
            let (sleep, rings) = (tasks.sleep(Duration::from_secs(seconds)), Arc::clone(&rings));
            tasks.spawn(Box::pin(async move {
                sleep.await;
                rings.fetch_add(1, SeqCst);
            }));
        }
        tasks.run_ready();
        assert_eq!((rings.load(SeqCst), tasks.next_due()), (0, Some(Duration::from_secs(1))));
        tasks.advance(Duration::from_secs(2));
        assert_eq!((rings.load(SeqCst), tasks.next_due()), (3, Some(Duration::from_secs(1))));
        tasks.advance(Duration::from_secs(10));
        assert_eq!((rings.load(SeqCst), tasks.next_due()), (4, None));
        assert_eq!(clock.now().as_micros() - begun.as_micros(), 12_000_000);
    }

    #[test]
    fn a_future_is_driven_with_all_tasks_beside_it() {
        let tasks = SimTasks::new(Arc::new(SimClock::new()), 1);
        let (tell, told) = tokio::sync::oneshot::channel();
        tasks.spawn(Box::pin(async move { tell.send(7).unwrap() }));
        assert_eq!(tasks.block_on(told), Ok(7));
    }

    #[test]
    fn a_driven_future_moves_time_as_far_as_it_needs_to() {
        let tasks = SimTasks::new(Arc::new(SimClock::new()), 1);
        assert_eq!(tasks.drive(tasks.sleep(Duration::from_secs(5)), Duration::from_secs(9)), Driven::Done(()));
        assert_eq!(tasks.elapsed(), Duration::from_secs(5));
        assert_eq!(tasks.drive(tasks.sleep(Duration::from_secs(5)), Duration::from_secs(4)), Driven::Stuck);
        assert_eq!(tasks.elapsed(), Duration::from_secs(5), "nothing was due");
    }

    #[test]
    fn a_process_ends_between_two_steps() {
        let steps = Arc::new(AtomicU32::new(0));
        let asked = Arc::clone(&steps);
        let tasks = SimTasks::new(Arc::new(SimClock::new()), 1).ending_when(move || asked.fetch_add(1, SeqCst) == 2);
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(Box::pin(async move {
            let _kept = tell;
            std::future::pending::<()>().await;
        }));
        let two = async { assert!(told.await.is_err(), "the task is gone") };
        assert_eq!(tasks.drive(two, Duration::ZERO), Driven::Stuck);
        tasks.spawn(Box::pin(async {}));
        assert!(!tasks.rest());
        assert_eq!(steps.load(SeqCst), 3);
    }

    #[test]
    fn what_is_abandoned_is_dropped() {
        let tasks = SimTasks::new(Arc::new(SimClock::new()), 1);
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(Box::pin(async move {
            let _kept = tell;
            std::future::pending::<()>().await;
        }));
        tasks.run_ready();
        tasks.abandon();
        assert!(tasks.block_on(told).is_err());
    }
}
