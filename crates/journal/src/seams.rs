//! The seams: disk, clock, randomness and spawning as this room sees them. Everything else in it is pure.
//!
//! `seams::real` has the machine's own; `sim` has the simulated disk and a clock and dice that follow a seed.

mod disk;
mod real;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

pub use disk::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile, DiskLock};
pub use real::{RealDisk, SystemClock, SystemRandom, ThreadSpawner};

use crate::time::Timestamp;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now, UTC. May go backwards.
    fn now(&self) -> Timestamp;
}

/// Randomness for ids and epochs.
pub trait Random: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]);
}

/// Threads and background work.
pub trait Spawner: Send + Sync + 'static {
    /// Starts a named thread that runs until its work is done. The engine joins it through its own means.
    ///
    /// # Errors
    /// When the system refuses a thread.
    fn thread(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()>;

    /// The same for work that nobody waits for: where the system can, it gets the time that all others leave.
    ///
    /// # Errors
    /// When the system refuses a thread.
    fn patient_thread(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.thread(name, work)
    }

    /// Runs short blocking work (a few reads) off the caller's async task.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// Waits on a thread of [`thread`](Self::thread) until a future is there. Whoever owns the threads may let others run meanwhile.
    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        real::wait(future);
    }
}

/// What a future gives, for whoever has a thread to wait on: see [`Spawner::wait`].
pub fn wait_for<T>(threads: &dyn Spawner, future: impl Future<Output = T>) -> T {
    let mut output = None;
    threads.wait(pin!(async { output = Some(future.await) }));
    output.expect("a spawner waits until the future is there")
}

/// How long an idle pipeline waits before it writes its marker. Never on the path of an acknowledgement.
pub const MARKER_DELAY: Duration = Duration::from_millis(20);
