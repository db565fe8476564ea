//! Tasks under virtual time: an executor of one thread that picks among what is ready by a seed, and a clock that moves only
//! when it is told to. One seed replays a run, as long as nothing real (a file, a thread) takes part.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use journal::BoxFuture;
use journal::sim::{SimClock, SimRandom};

use super::Tasks;

/// How long a future may wait for something real before it is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The name of the future that `block_on` drives.
const MAIN: u64 = 0;

/// See the module. Cheap to share behind an `Arc`.
pub struct SimTasks {
    shared: Arc<Shared>,
    clock: Arc<SimClock>,
    random: SimRandom,
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
    tasks: HashMap<u64, BoxFuture<'static, ()>>,
    ready: Vec<u64>,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
}

impl SimTasks {
    /// An executor whose time moves this clock along.
    #[must_use]
    pub fn new(clock: Arc<SimClock>, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().next_id = MAIN + 1;
        Self { shared, clock, random: SimRandom::new(seed) }
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
        while let Some((id, mut task)) = self.pick() {
            let waker = self.waker(id);
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.shared.lock().tasks.insert(id, task);
            }
        }
    }

    /// Moves time on, stopping wherever something is due.
    pub fn advance(&self, time: Duration) {
        let target = self.shared.lock().now + time;
        loop {
            self.run_ready();
            let Some(waker) = self.move_to_next(target) else { break };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        self.move_to(target);
        self.run_ready();
    }

    /// How long until something is due; `None` when nothing ever will be.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let state = self.shared.lock();
        state.sleepers.keys().next().map(|(due, _)| due.saturating_sub(state.now))
    }

    /// Drops every task, as the end of a process does.
    pub fn abandon(&self) {
        let tasks = std::mem::take(&mut self.shared.lock().tasks);
        drop(tasks);
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
            let ready: Vec<usize> = (0..state.ready.len()).filter(|place| state.ready[*place] != MAIN).collect();
            let place = *ready.get(usize::try_from(self.random.roll()).unwrap_or(usize::MAX) % ready.len().max(1))?;
            let id = state.ready.swap_remove(place);
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
        let mut state = self.lock();
        if !state.ready.contains(&id) {
            state.ready.push(id);
        }
        drop(state);
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
        let before = self.ready.len();
        self.ready.retain(|id| *id != MAIN);
        self.ready.len() < before
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
