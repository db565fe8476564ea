//! The engine behind a service: the embedded one, in a directory of this machine.

use std::path::Path;
use std::sync::Arc;

use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{
    Backup, BackupDisk, BulkOptions, BulkWriter, EmbeddedJournal, Left, LeftBehind, OpenError, Options, PlantedBug, ReadOnlyJournal,
};
use journal::seams::{Disk, RealDisk, SystemClock, SystemRandom, ThreadSpawner};
use journal::{Lineage, Position};

use crate::command_line::progress_bar;
use crate::exit::Exit;
use crate::failure::{DATA_DAMAGED, DATA_IN_USE, DATA_OPEN, Failure, SYSTEM};
use crate::output;

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

/// Opens the journal in a directory for reading only: nothing in it changes, and damage does not keep it shut. What is worth knowing is
/// told on standard error.
///
/// # Errors
/// When there is none, a process has it open for writing, or the system refuses.
pub(crate) fn read_only(directory: &Path) -> Result<ReadOnlyJournal, Failure> {
    let bar = progress_bar("reading segment {pos} of {len} [{bar:30}]");
    let opened = ReadOnlyJournal::open(disk_to_read(directory)?, |_, segments| {
        bar.set_length(segments);
        bar.inc(1);
    });
    bar.finish_and_clear();
    let journal = opened.map_err(|error| not_opened(directory, &error))?;
    journal.notes().iter().for_each(|note| output::talk(format!("note: {note}")));
    Ok(journal)
}

/// As [`read_only`], and refuses damage.
///
/// # Errors
/// As [`read_only`], and when anything is damaged; `remedy` says what to do then.
pub(crate) fn read_whole(directory: &Path, remedy: &str) -> Result<ReadOnlyJournal, Failure> {
    let journal = read_only(directory)?;
    let damage: Vec<String> =
        journal.identity_fault().map(str::to_owned).into_iter().chain(journal.damage().iter().map(ToString::to_string)).collect();
    let Some(first) = damage.first() else { return Ok(journal) };
    let more = if damage.len() > 1 { format!(" (and {} more)", damage.len() - 1) } else { String::new() };
    let message = format!("data directory {}: {first}{more}; {remedy}", directory.display());
    Err(Failure::new(Exit::Damaged, DATA_DAMAGED, message))
}

/// A data directory or a backup that is there, as a disk that is never written to.
///
/// # Errors
/// As [`directory_to_read`].
pub(crate) fn disk_to_read(directory: &Path) -> Result<Arc<dyn Disk>, Failure> {
    let disk = directory_to_read(directory)?;
    if !Backup::is_there(&*disk) {
        return Ok(disk);
    }
    let shown = BackupDisk::open(disk).map_err(|error| not_opened(directory, &OpenError::from(error)))?;
    Ok(Arc::new(shown))
}

/// A directory that is there, as a disk that is never written to.
///
/// # Errors
/// When it is not there: looking at a directory must not make one.
pub(crate) fn directory_to_read(directory: &Path) -> Result<Arc<dyn Disk>, Failure> {
    if directory.is_dir() {
        return Ok(Arc::new(RealDisk::read_only(directory)));
    }
    Err(Failure::plain(Exit::NotFound, format!("there is no data directory {}; name another one with --data", directory.display())))
}

/// Opens the journal in a directory, or begins one there; a new one may grow out of another history.
///
/// # Errors
/// When another process has the directory, or it is damaged, or the system refuses.
pub(crate) fn open(directory: &Path, parent: Option<(Lineage, Position)>) -> Result<Engine, Failure> {
    let disk = disk(directory)?;
    let clock = Arc::new(SystemClock);
    let random = randomness()?;
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

pub(crate) fn randomness() -> Result<Arc<SystemRandom>, Failure> {
    let random = SystemRandom::new();
    random.map(Arc::new).map_err(|error| Failure::new(Exit::Failed, SYSTEM, format!("the system gives no randomness: {error}")))
}

/// Begins to fill an empty directory with a history that is there already.
///
/// # Errors
/// As [`open`].
pub(crate) fn fill(directory: &Path, parent: &Lineage, fork: Position) -> Result<BulkWriter, Failure> {
    let writer = BulkWriter::begin(filling(directory, parent, fork)?);
    writer.map_err(|error| not_opened(directory, &error))
}

/// Looks at what an earlier one has left of filling a directory with a history that grows out of another one.
///
/// # Errors
/// As [`open`]; what is damaged is so with its place.
pub(crate) fn left(directory: &Path, parent: &Lineage, fork: Position) -> Result<Result<LeftBehind, OpenError>, Failure> {
    Ok(Left::find(filling(directory, parent, fork)?))
}

fn filling(directory: &Path, parent: &Lineage, fork: Position) -> Result<BulkOptions, Failure> {
    let (disk, random) = (disk(directory)?, randomness()?);
    Ok(BulkOptions { disk, random, parent: (parent.clone(), fork), segment_bytes: SEGMENT_BYTES })
}

/// What a refusal of the engine means to the person at the terminal.
pub(crate) fn not_opened(directory: &Path, error: &OpenError) -> Failure {
    let (exit, code) = match error {
        OpenError::Locked => (Exit::Failed, DATA_IN_USE),
        OpenError::Damaged { .. } => (Exit::Damaged, DATA_DAMAGED),
        OpenError::Absent => return Failure::plain(Exit::NotFound, format!("data directory {}: {error}", directory.display())),
        OpenError::TooNew { .. } | OpenError::Disk(_) => (Exit::Failed, DATA_OPEN),
    };
    Failure::new(exit, code, format!("data directory {}: {error}", directory.display()))
}
