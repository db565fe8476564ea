//! The engine behind a service: the embedded one, in a directory of this machine.

use std::path::Path;
use std::sync::Arc;

use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{EmbeddedJournal, OpenError, Options, PlantedBug};
use journal::seams::{Disk, RealDisk, SystemClock, SystemRandom, ThreadSpawner};
use journal::{Lineage, Position};

use crate::exit::Exit;
use crate::failure::{DATA_DAMAGED, DATA_IN_USE, DATA_OPEN, Failure, SYSTEM};

/// An open engine with the seams that the runtime shares with it.
pub(crate) struct Engine {
    pub(crate) journal: Arc<EmbeddedJournal>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) random: Arc<SystemRandom>,
    pub(crate) threads: Arc<ThreadSpawner>,
}

/// The directory as a disk.
///
/// # Errors
/// When it cannot be made or opened.
pub(crate) fn disk(directory: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let disk = RealDisk::open(directory).map_err(|error| {
        let message = format!("cannot open the data directory {}: {error}; name another one with --data", directory.display());
        Failure::new(Exit::Failed, DATA_OPEN, message)
    })?;
    Ok(Arc::new(disk))
}

/// Opens the journal in a directory, or begins one there; a new one may grow out of another history.
///
/// # Errors
/// When another process has the directory, or it is damaged, or the system refuses.
pub(crate) fn open(directory: &Path, parent: Option<(Lineage, Position)>) -> Result<Engine, Failure> {
    let disk = disk(directory)?;
    let clock = Arc::new(SystemClock);
    let random =
        SystemRandom::new().map_err(|error| Failure::new(Exit::Failed, SYSTEM, format!("the system gives no randomness: {error}")))?;
    let random = Arc::new(random);
    let threads = Arc::new(ThreadSpawner::new());
    let options = Options {
        disk,
        clock: clock.clone(),
        random: random.clone(),
        spawner: threads.clone(),
        parent,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    let journal = EmbeddedJournal::open(options).map_err(|error| not_opened(directory, &error))?;
    Ok(Engine { journal: Arc::new(journal), clock, random, threads })
}

/// What a refusal of the engine means to the person at the terminal.
pub(crate) fn not_opened(directory: &Path, error: &OpenError) -> Failure {
    let (exit, code) = match error {
        OpenError::Locked => (Exit::Failed, DATA_IN_USE),
        OpenError::Damaged { .. } => (Exit::Damaged, DATA_DAMAGED),
        OpenError::TooNew { .. } | OpenError::Disk(_) => (Exit::Failed, DATA_OPEN),
    };
    Failure::new(exit, code, format!("data directory {}: {error}", directory.display()))
}
