//! Waiting, without a runtime: for a check that may hang, for several futures at once, for one poll.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Broken;

/// How long a check may take before it counts as hung. Far above what any takes, so that a slow machine is no finding.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a check, and gives up on it when it hangs: a thread wakes the waiting task once patience is over.
pub(super) async fn within<T>(patience: Duration, check: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    let mut check = pin!(check);
    let over = Arc::new(AtomicBool::new(false));
    let mut watchdog = None;
    poll_fn(|context| {
        if let Poll::Ready(outcome) = check.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        if over.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Broken("it hangs: an answer or a wake-up that must come did not".to_owned())));
        }
        watchdog.get_or_insert_with(|| start_watchdog(patience, Arc::clone(&over), context.waker().clone()));
        Poll::Pending
    })
    .await
}

/// Ends early when what it gives is dropped.
fn start_watchdog(patience: Duration, over: Arc<AtomicBool>, waker: Waker) -> std::sync::mpsc::Sender<()> {
    let (alive, ended) = channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            over.store(true, Ordering::SeqCst);
            waker.wake();
        }
    });
    alive
}

/// Polls all futures on the caller's task until each is done; their outputs in their order.
pub(super) async fn join_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if running.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// Polls once, with the caller's waker, and leaves it at that.
pub(super) async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
