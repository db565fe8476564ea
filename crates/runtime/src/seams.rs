//! The seam through which background work and waiting reach this room, so that a test can own time. Clock, disk, randomness
//! and threads come through `journal::seams`.

mod real;
#[cfg(any(test, feature = "testing"))]
pub mod sim;

use std::time::Duration;

use journal::BoxFuture;

pub use real::TokioTasks;

/// Background tasks, and a clock that only goes forward.
pub trait Tasks: Send + Sync + 'static {
    /// Runs a future in the background until it ends. A panic in it ends it and nothing else.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Resolves when this much time has passed.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// The time since some moment in the past; it never goes back.
    fn elapsed(&self) -> Duration;
}
