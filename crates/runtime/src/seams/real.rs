//! Tasks of the tokio runtime that somebody else has started.

use std::time::Duration;

use journal::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Tasks;

/// See the module.
#[derive(Debug)]
pub struct TokioTasks {
    handle: Handle,
    begun: Instant,
}

impl TokioTasks {
    /// Tasks of the runtime that the caller runs in.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self { handle: Handle::current(), begun: Instant::now() }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
