//! Where an import goes: a new directory beside its target, or one that must hold the same already.
//!
//! A new one (`DIR.importing`) takes the target's name when all of it is durable. Until then it has a file that says so, [`MARKER`], and no
//! service starts on it, nor on an empty `DIR` beside it. What an import left unfinished is gone on with when the same export comes again;
//! what it left of another export was never anybody's truth, and is removed.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use journal::embedded::{BulkWriter, ReadOnlyJournal};
use journal::{Lineage, Position};

use crate::engine::{self, Engine};
use crate::exit::Exit;
use crate::failure::{DATA_IN_USE, DATA_OPEN, Failure, IMPORT};
use crate::output;

/// What every journal has in its directory.
const JOURNAL_FILE: &str = "lineage.json";

/// What a directory has that is not whole yet.
const MARKER: &str = "unfinished";

/// What the place of an import is called until it is whole.
pub(crate) const IMPORTING: &str = ".importing";

/// What a target is to an import.
pub(crate) enum Place {
    /// There is nothing yet.
    New(New),
    /// There is a journal.
    Taken,
}

/// A directory that is filled before it gets its name.
pub(crate) struct New {
    filled: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Looks, and changes nothing.
    pub(crate) fn of(target: &Path, unfinished: &str) -> Result<Self, Failure> {
        match std::fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => empty(target, unfinished),
            Ok(false) if target.join(JOURNAL_FILE).is_file() => Ok(Self::Taken),
            Ok(false) => Err(refused(target, "has files, but no journal; name an empty directory with --data")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::New(New::beside(target.to_path_buf(), unfinished))),
            Err(error) => Err(unusable(target, &error)),
        }
    }
}

/// An empty directory is replaced, so it must have a name of its own: `.` has none.
fn empty(target: &Path, unfinished: &str) -> Result<Place, Failure> {
    let resolved = target.canonicalize().map_err(|error| unusable(target, &error))?;
    let stands_in_it =
        std::env::current_dir().and_then(|current| current.canonicalize()).is_ok_and(|current| current.starts_with(&resolved));
    if stands_in_it {
        // The person's shell would go on in a directory that is gone.
        return Err(refused(target, "is the working directory or above it, and an import replaces it; name another one with --data"));
    }
    Ok(Place::New(New::beside(resolved, unfinished)))
}

impl New {
    fn beside(target: PathBuf, unfinished: &str) -> Self {
        let mut name = OsString::from(target.components().as_path());
        name.push(unfinished);
        Self { filled: PathBuf::from(name), target }
    }

    /// What is filled.
    pub(crate) fn path(&self) -> &Path {
        &self.filled
    }

    /// An empty journal that grows out of the exported one.
    pub(crate) fn begin(&self, parent: Lineage, fork: Position) -> Result<Engine, Failure> {
        self.clear()?;
        let marked = std::fs::write(self.filled.join(MARKER), "not whole yet: it takes its name when it is\n")
            .and_then(|()| std::fs::File::open(&self.filled)?.sync_all());
        marked.map_err(|error| unusable(&self.filled, &error))?;
        engine::open(&self.filled, Some((parent, fork)))
    }

    /// What an earlier run has left of the same: a history with this parent. `None` when there is nothing of it.
    pub(crate) fn left(&self, parent: &Lineage, fork: Position) -> Result<Option<ReadOnlyJournal>, Failure> {
        if !self.filled.join(JOURNAL_FILE).is_file() {
            return Ok(None);
        }
        let journal = engine::read_whole(&self.filled, &format!("remove {} and begin anew", self.filled.display()))?;
        let first = journal.lineage().and_then(|lineage| lineage.parents.first());
        if first.is_some_and(|first| first.id == parent.id && first.fork == fork) {
            return Ok(Some(journal));
        }
        output::talk(format!("note: {} has what was left of another export; it is removed", self.filled.display()));
        Ok(None)
    }

    /// The journal that an earlier run has left, for writing.
    pub(crate) fn go_on(&self, parent: Lineage, fork: Position) -> Result<Engine, Failure> {
        engine::open(&self.filled, Some((parent, fork)))
    }

    /// A writer of a history that grows out of a backed up one.
    pub(crate) fn fill(&self, parent: &Lineage, fork: Position) -> Result<BulkWriter, Failure> {
        self.clear()?;
        engine::fill(&self.filled, parent, fork)
    }

    /// Another import may be at work there: only its owner empties it. The directory itself stays, because it is what is locked.
    fn clear(&self) -> Result<(), Failure> {
        let lock = engine::disk(&self.filled)?.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                Failure::new(Exit::Failed, DATA_IN_USE, format!("another process fills {}; wait for it", self.filled.display()))
            }
            _ => unusable(&self.filled, &error),
        })?;
        let cleared = std::fs::read_dir(&self.filled).and_then(|mut entries| entries.try_for_each(|entry| remove(&entry?)));
        drop(lock);
        cleared.map_err(|error| unusable(&self.filled, &error))
    }

    /// The target, from now on.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // In this order: with the mark it is not whole, and without it and without its name it only needs the name.
        let unmarked = match std::fs::remove_file(self.filled.join(MARKER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => std::fs::File::open(&self.filled).and_then(|directory| directory.sync_all()),
        };
        unmarked.map_err(|error| unusable(&self.filled, &error))?;
        let renamed = std::fs::rename(&self.filled, &self.target).and_then(|()| std::fs::File::open(parent)?.sync_all());
        renamed.map_err(|error| unusable(&self.target, &error))
    }
}

/// Refuses a directory that is not whole, and one that is about to become so.
pub(crate) fn refuse_unfinished(directory: &Path) -> Result<(), Failure> {
    let refused = |filled: &Path, remedy: &str| {
        let message = format!("{} is filled by an import that has not come to its end; {remedy}", filled.display());
        Err(Failure::new(Exit::Failed, DATA_OPEN, message))
    };
    if directory.join(MARKER).exists() {
        return refused(directory, "run it again, with the name that the directory is to have");
    }
    let filled = New::beside(directory.to_path_buf(), IMPORTING).filled;
    if !directory.join(JOURNAL_FILE).exists() && [MARKER, JOURNAL_FILE].iter().any(|file| filled.join(file).exists()) {
        return refused(
            &filled,
            "run the import again with the same file: it goes on; or remove that directory to begin with an empty journal",
        );
    }
    Ok(())
}

fn remove(entry: &std::fs::DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) }
}

pub(crate) fn refused(directory: &Path, what: &str) -> Failure {
    Failure::new(Exit::Failed, IMPORT, format!("{} {what}", directory.display()))
}

fn unusable(directory: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, DATA_OPEN, format!("cannot use the data directory {}: {error}", directory.display()))
}
