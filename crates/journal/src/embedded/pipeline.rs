//! The pipeline: threads that drive the sequencer and carry its frames to the disk, and one that does its upkeep.
//!
//! Workers take turns: whoever finds work takes a frame under the lock, writes it without the lock, completes it under the
//! lock, and looks again, so that an append is never handed from a sequencing thread to a writing one. A second
//! worker joins only when many bytes wait. No timer holds a commit back; the only one writes the marker of an idle log.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::limits::WRITES_IN_FLIGHT_MAX;
use super::sequencer::{FrameWrite, Pending, PlantedBug, Sequencer};
use crate::cursor::{LineageId, Position};
use crate::error::ReadError;
use crate::seams::{Disk, DiskLock, MARKER_DELAY, Spawner};

/// What the engine's calls, threads and readers share.
pub(crate) struct Shared {
    sequencer: Mutex<Sequencer>,
    work: Condvar,
    upkeep: Condvar,
    running: watch::Sender<usize>,
    /// Given back when the last thread has ended.
    directory: Mutex<Option<Box<dyn DiskLock>>>,
    pub(crate) durable: watch::Receiver<Position>,
    pub(crate) lineage: LineageId,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) spawner: Arc<dyn Spawner>,
}

impl Shared {
    pub(crate) fn new(sequencer: Sequencer, disk: Arc<dyn Disk>, spawner: Arc<dyn Spawner>, directory: Box<dyn DiskLock>) -> Self {
        let durable = sequencer.durable.subscribe();
        let lineage = sequencer.lineage.id;
        Self {
            sequencer: Mutex::new(sequencer),
            work: Condvar::new(),
            upkeep: Condvar::new(),
            running: watch::Sender::new(0),
            directory: Mutex::new(Some(directory)),
            durable,
            lineage,
            disk,
            spawner,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a commit its place in the order.
    pub(crate) fn offer(&self, pending: Pending) {
        let mut sequencer = self.lock();
        sequencer.offer(pending);
        let wanted = sequencer.has_work();
        drop(sequencer);
        if wanted {
            self.work.notify_one();
        }
    }

    /// Waits until a position is durable.
    pub(crate) async fn durable(&self, position: Position) -> Result<(), ReadError> {
        let mut durable = self.durable.clone();
        loop {
            if *durable.borrow_and_update() >= position {
                return Ok(());
            }
            if let Some(cause) = self.lock().poisoned.clone() {
                return Err(ReadError::Unavailable { cause });
            }
            if durable.changed().await.is_err() {
                return Err(ReadError::Unavailable { cause: "the journal was closed".into() });
            }
        }
    }

    /// Whether commits are refused for lack of room; if so, upkeep looks again.
    pub(crate) fn is_full(&self) -> bool {
        let mut sequencer = self.lock();
        let full = sequencer.full_disk;
        if full {
            sequencer.look_for_room();
            self.upkeep.notify_one();
        }
        full
    }

    pub(crate) fn begin_close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.upkeep.notify_all();
        self.release();
    }

    /// Gives the directory back once no thread works on it.
    fn release(&self) {
        if *self.running.borrow() == 0 {
            drop(self.directory.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    pub(crate) async fn close(&self) {
        self.begin_close();
        let mut running = self.running.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        drop(running.wait_for(|count| *count == 0).await);
    }

    fn write_loop(&self) {
        let mut sequencer = self.lock();
        loop {
            sequencer = match self.next_write(sequencer) {
                Some((waiting, write)) => {
                    let bug = waiting.planted;
                    let upkeep = waiting.wants_upkeep();
                    drop(waiting);
                    if upkeep {
                        self.upkeep.notify_one();
                    }
                    let outcome = perform(&write, bug);
                    let mut sequencer = self.lock();
                    sequencer.complete(write, outcome);
                    sequencer
                }
                None => return,
            };
            if sequencer.wants_upkeep() {
                self.upkeep.notify_one();
            }
        }
    }

    /// Waits for the next frame; `None` when the journal is closed and all is written.
    fn next_write<'a>(&'a self, mut sequencer: MutexGuard<'a, Sequencer>) -> Option<(MutexGuard<'a, Sequencer>, FrameWrite)> {
        loop {
            if sequencer.has_work()
                && let Some(write) = sequencer.take_frame()
            {
                return Some((sequencer, write));
            }
            if sequencer.wants_upkeep() {
                self.upkeep.notify_one();
            }
            if sequencer.closing {
                if let Some(write) = sequencer.take_marker() {
                    return Some((sequencer, write));
                }
                if sequencer.is_idle() || sequencer.poisoned.is_some() {
                    self.work.notify_all();
                    return None;
                }
            }
            if !sequencer.wants_marker() {
                sequencer = self.work.wait(sequencer).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (woken, waited) = self.work.wait_timeout(sequencer, MARKER_DELAY).unwrap_or_else(PoisonError::into_inner);
            sequencer = woken;
            if waited.timed_out()
                && let Some(write) = sequencer.take_marker()
            {
                return Some((sequencer, write));
            }
        }
    }

    fn upkeep_loop(&self) {
        let mut sequencer = self.lock();
        loop {
            if let Some(job) = sequencer.take_job() {
                drop(sequencer);
                let done = job.run(&self.disk);
                sequencer = self.lock();
                sequencer.job_done(done);
                self.work.notify_all();
                continue;
            }
            if sequencer.closing && (sequencer.is_idle() || sequencer.poisoned.is_some()) {
                return;
            }
            sequencer = self.upkeep.wait(sequencer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(self: &Arc<Self>, name: &str, work: fn(&Self)) -> io::Result<()> {
        let shared = Arc::clone(self);
        self.running.send_modify(|count| *count += 1);
        self.spawner.thread(
            name,
            Box::new(move || {
                // A panic here is our bug, over half-changed state: nothing may be written after it.
                if catch_unwind(AssertUnwindSafe(|| work(&shared))).is_err() {
                    shared.lock().poison("a thread of the journal panicked");
                    shared.work.notify_all();
                }
                // The upkeep thread waits for an idle pipeline, which this one may just have made.
                shared.upkeep.notify_all();
                shared.running.send_modify(|count| {
                    *count -= 1;
                    if *count == 0 {
                        drop(shared.directory.lock().unwrap_or_else(PoisonError::into_inner).take());
                    }
                });
            }),
        )
    }
}

/// Carries a frame to the disk.
fn perform(write: &FrameWrite, bug: PlantedBug) -> io::Result<()> {
    match bug {
        PlantedBug::AcknowledgeBeforeSync => write.file.write_at(&write.buffer, write.offset),
        PlantedBug::RetrySync => {
            write.file.write_at(&write.buffer, write.offset)?;
            write.file.sync().or_else(|_| write.file.sync())
        }
        _ => write.file.write_durable_at(&write.buffer, write.offset),
    }
}

/// Starts the threads.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    for number in 0..WRITES_IN_FLIGHT_MAX {
        shared.run(&format!("journal-write-{number}"), Shared::write_loop)?;
    }
    shared.run("journal-upkeep", Shared::upkeep_loop)
}

/// Drives a journal in one thread: takes frames, lets its owner decide when and how they reach the disk, does the upkeep.
#[cfg(any(test, feature = "testing"))]
pub struct Stepper {
    shared: Arc<Shared>,
}

/// A frame that was taken and has not reached the disk.
#[cfg(any(test, feature = "testing"))]
pub struct HeldWrite(FrameWrite);

#[cfg(any(test, feature = "testing"))]
impl HeldWrite {
    /// Where in its segment it goes.
    pub fn offset(&self) -> u64 {
        self.0.offset
    }
}

#[cfg(any(test, feature = "testing"))]
impl Stepper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes the next frame, if there is work. With `split`, also beside others in flight however little waits.
    pub fn take(&self, split: bool) -> Option<HeldWrite> {
        let mut sequencer = self.shared.lock();
        let wanted = sequencer.has_work() || split && sequencer.could_split();
        if wanted { sequencer.take_frame().map(HeldWrite) } else { None }
    }

    /// Takes the marker of an idle log, if it wants one.
    pub fn take_marker(&self) -> Option<HeldWrite> {
        self.shared.lock().take_marker().map(HeldWrite)
    }

    /// Carries a frame to the disk, without telling the sequencer yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn perform(&self, write: &HeldWrite) -> io::Result<()> {
        let bug = self.shared.lock().planted;
        perform(&write.0, bug)
    }

    /// Carries a frame to the disk without a sync: what a crash may catch on its way.
    ///
    /// # Errors
    /// The disk's.
    pub fn perform_unsynced(&self, write: &HeldWrite) -> io::Result<()> {
        write.0.file.write_at(&write.0.buffer, write.0.offset)
    }

    /// Tells the sequencer what came of a write.
    pub fn complete(&self, write: HeldWrite, outcome: io::Result<()>) {
        self.shared.lock().complete(write.0, outcome);
    }

    /// Does one piece of upkeep; false when there was none.
    pub fn upkeep(&self) -> bool {
        let Some(job) = self.shared.lock().take_job() else { return false };
        let done = job.run(&self.shared.disk);
        self.shared.lock().job_done(done);
        true
    }

    /// Performs and completes everything in order until nothing is left to do.
    pub fn settle(&self) {
        loop {
            let upkeep = self.upkeep();
            if let Some(write) = self.take(false) {
                let outcome = self.perform(&write);
                self.complete(write, outcome);
            } else if !upkeep && !self.shared.lock().wants_upkeep() {
                return;
            }
        }
    }
}
