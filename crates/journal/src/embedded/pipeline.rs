//! The pipeline: threads that drive the sequencer and carry its frames to the disk, and one that does its upkeep.
//!
//! Workers take turns: whoever finds work takes a frame under the lock, writes it without the lock, completes it under the
//! lock, and looks again, so that an append is never handed from a sequencing thread to a writing one. A second
//! worker joins only when many bytes wait. No timer holds a commit back; the only one writes the marker of an idle log.
//! Answers leave when the lock is given back.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::files::OpenFiles;
use super::inbox::{Inbox, Role};
use super::limits::WRITES_IN_FLIGHT_MAX;
use super::lookup::Lookup;
use super::pool::BufferPool;
use super::scrub::Scrub;
#[cfg(any(test, feature = "testing"))]
use super::scrub::{Scrubber, Step};
use super::sequencer::{FrameWrite, Pending, PlantedBug, Sequencer};
use crate::cursor::{LineageId, Position};
use crate::error::{AppendError, ReadError};
use crate::seams::{DiskLock, MARKER_DELAY, Spawner};

/// What the engine's calls, threads and readers share.
pub(crate) struct Shared {
    sequencer: Mutex<Sequencer>,
    inbox: Arc<Inbox>,
    pool: Arc<BufferPool>,
    pub(crate) lookup: Arc<Lookup>,
    upkeep: Condvar,
    running: watch::Sender<usize>,
    /// Given back when the last thread has ended.
    directory: Mutex<Option<Box<dyn DiskLock>>>,
    told: watch::Sender<Position>,
    pub(crate) durable: watch::Receiver<Position>,
    pub(crate) lineage: LineageId,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) scrub: Scrub,
    planted: PlantedBug,
}

impl Shared {
    pub(crate) fn new(
        sequencer: Sequencer,
        files: Arc<OpenFiles>,
        spawner: Arc<dyn Spawner>,
        scrub: Scrub,
        directory: Box<dyn DiskLock>,
    ) -> Self {
        let told = watch::Sender::new(sequencer.durable_position());
        let durable = told.subscribe();
        Self {
            inbox: Arc::clone(&sequencer.inbox),
            pool: Arc::clone(&sequencer.pool),
            lookup: Arc::clone(&sequencer.lookup),
            lineage: sequencer.lineage.id,
            planted: sequencer.planted,
            sequencer: Mutex::new(sequencer),
            upkeep: Condvar::new(),
            running: watch::Sender::new(0),
            directory: Mutex::new(Some(directory)),
            told,
            durable,
            files,
            spawner,
            scrub,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Sequencer> {
        self.sequencer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the sequencer, and tells its news when the lock is given back.
    pub(crate) fn drive<T>(&self, work: impl FnOnce(&mut Sequencer) -> T) -> T {
        let mut sequencer = self.lock();
        let done = work(&mut sequencer);
        let (news, upkeep) = (sequencer.take_news(), sequencer.wants_upkeep());
        drop(sequencer);
        if upkeep {
            self.upkeep.notify_all();
        }
        news.tell(&self.told);
        done
    }

    /// Gives a commit its place in the order.
    pub(crate) fn offer(&self, pending: Pending) {
        if let Err((pending, error)) = self.inbox.offer(pending) {
            pending.refuse(error);
        }
    }

    /// Waits until a position is durable.
    pub(crate) async fn durable(&self, position: Position) -> Result<(), ReadError> {
        let mut durable = self.durable.clone();
        loop {
            if *durable.borrow_and_update() >= position {
                return Ok(());
            }
            if let Some(cause) = self.over() {
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
        // Whatever came before this is in the inbox when the workers see that they shall end.
        if self.lock().poisoned.is_none() {
            self.inbox.close(AppendError::Unavailable { cause: "the journal is being closed".into() });
        }
        self.lock().closing = true;
        self.inbox.wake_all();
        self.upkeep.notify_all();
        self.scrub.close();
        self.release();
    }

    /// Why nothing more becomes durable, once that is so.
    pub(crate) fn over(&self) -> Option<String> {
        if let Some(cause) = self.lock().poisoned.clone() {
            return Some(cause);
        }
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).is_none().then(|| "the journal was closed".into())
    }

    /// Gives the directory back once no thread works on it.
    fn release(&self) {
        if *self.running.borrow() == 0 {
            self.give_back();
        }
    }

    /// Gives the directory back. Readers that wait for the head hear of it.
    fn give_back(&self) {
        drop(self.directory.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.told.send_modify(|_| {});
    }

    pub(crate) async fn close(&self) {
        self.begin_close();
        let mut running = self.running.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        drop(running.wait_for(|count| *count == 0).await);
    }

    /// What one worker does until the journal is closed and all is written.
    fn write_loop(&self, role: Role) {
        let mut quiet = false;
        loop {
            let seen = self.inbox.news();
            match self.drive(|sequencer| look(sequencer, quiet)) {
                Look::Write { write, more } => {
                    if more {
                        self.inbox.wake_helper();
                    }
                    let (number, outcome) = self.carry(write);
                    self.drive(|sequencer| sequencer.complete(number, outcome));
                    quiet = false;
                }
                Look::Sleep { unmarked } => {
                    // The first worker is the one that waits for the time of the marker, whoever carries the last write.
                    let at_most = (unmarked && role == Role::First).then_some(MARKER_DELAY);
                    quiet = self.inbox.sleep(role, seen, at_most);
                }
                Look::End => {
                    self.inbox.wake_all();
                    return;
                }
            }
        }
    }

    /// Carries a frame to the disk; gives its bytes for readers.
    fn carry(&self, write: FrameWrite) -> (u64, io::Result<bytes::Bytes>) {
        let outcome = perform(&write, self.planted);
        let written = self.pool.keep(write.buffer);
        (write.number, outcome.map(|()| written))
    }

    fn upkeep_loop(&self) {
        let mut sequencer = self.lock();
        loop {
            if let Some(job) = sequencer.take_job() {
                drop(sequencer);
                let done = job.run(&self.files);
                self.drive(|sequencer| sequencer.job_done(done));
                self.inbox.wake_all();
                self.scrub.sealed();
                sequencer = self.lock();
                continue;
            }
            if sequencer.closing {
                // What still lies in the inbox may need a segment: upkeep ends with the last worker's work, not before.
                sequencer.take_in();
                if sequencer.is_idle() || sequencer.poisoned.is_some() {
                    return;
                }
            }
            sequencer = self.upkeep.wait(sequencer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a thread runs: its work, and what is to be done when that ends.
    fn counted(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) -> Box<dyn FnOnce() + Send> {
        let shared = Arc::clone(self);
        self.running.send_modify(|count| *count += 1);
        Box::new(move || {
            // A panic here is our bug, over half-changed state: nothing may be written after it.
            if catch_unwind(AssertUnwindSafe(|| work(&shared))).is_err() {
                shared.drive(|sequencer| sequencer.poison("a thread of the journal panicked"));
                shared.inbox.wake_all();
            }
            // The upkeep thread waits for an idle pipeline, which this one may just have made.
            shared.upkeep.notify_all();
            shared.running.send_modify(|count| {
                *count -= 1;
                if *count == 0 {
                    shared.give_back();
                }
            });
        })
    }
}

/// What a worker finds to do.
enum Look {
    Write {
        write: FrameWrite,
        /// Another worker could write too.
        more: bool,
    },
    /// Nothing now.
    Sleep {
        /// A marker is due once the log has been quiet for a time.
        unmarked: bool,
    },
    End,
}

fn look(sequencer: &mut Sequencer, quiet: bool) -> Look {
    sequencer.take_in();
    if sequencer.has_work()
        && let Some(write) = sequencer.take_frame()
    {
        return Look::Write { write, more: sequencer.has_work() };
    }
    if (quiet || sequencer.closing)
        && let Some(write) = sequencer.take_marker()
    {
        return Look::Write { write, more: false };
    }
    if sequencer.closing && (sequencer.is_idle() || sequencer.poisoned.is_some()) {
        return Look::End;
    }
    Look::Sleep { unmarked: sequencer.is_unmarked() }
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
    let run = |name: &str, work: Box<dyn FnOnce() + Send>| shared.spawner.thread(name, work);
    run("journal-write-0", shared.counted(|shared| shared.write_loop(Role::First)))?;
    for number in 1..WRITES_IN_FLIGHT_MAX {
        run(&format!("journal-write-{number}"), shared.counted(|shared| shared.write_loop(Role::Helper)))?;
    }
    // One makes the next segment while the other seals the last one: writers wait for both.
    for number in 0..2 {
        run(&format!("journal-upkeep-{number}"), shared.counted(Shared::upkeep_loop))?;
    }
    // Nobody waits for roots and the scrub: beside a full load they were a tenth of the samples of a profile.
    shared.spawner.patient_thread("journal-scrub", shared.counted(Shared::scrub_loop))
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
        self.shared.drive(|sequencer| {
            sequencer.take_in();
            let wanted = sequencer.has_work() || split && sequencer.could_split();
            if wanted { sequencer.take_frame().map(HeldWrite) } else { None }
        })
    }

    /// Takes the marker of an idle log, if it wants one.
    pub fn take_marker(&self) -> Option<HeldWrite> {
        self.shared.drive(|sequencer| {
            sequencer.take_in();
            sequencer.take_marker().map(HeldWrite)
        })
    }

    /// Carries a frame to the disk, without telling the sequencer yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn perform(&self, write: &HeldWrite) -> io::Result<()> {
        perform(&write.0, self.shared.planted)
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
        let written = self.shared.pool.keep(write.0.buffer);
        self.shared.drive(|sequencer| sequencer.complete(write.0.number, outcome.map(|()| written)));
    }

    /// Does one piece of upkeep; false when there was none.
    pub fn upkeep(&self) -> bool {
        let Some(job) = self.shared.lock().take_job() else { return false };
        let done = job.run(&self.shared.files);
        self.shared.drive(|sequencer| sequencer.job_done(done));
        true
    }

    /// Makes the roots that are due, and one whole pass of the scrub. Nothing is paced.
    pub fn scrub(&self) {
        let mut scrubber = Scrubber::default();
        self.shared.scrub.ask();
        let passes = self.shared.scrub.status().passes;
        while self.shared.scrub.status().passes == passes {
            if self.shared.scrub_step(&mut scrubber, true) == Step::Closed {
                return;
            }
        }
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
