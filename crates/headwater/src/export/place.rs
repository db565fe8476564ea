//! Where an import goes: a new directory beside its target, or one that must hold the same already.
//!
//! A new one (`DIR.importing`) takes the target's name when all of it is durable, so that no service starts on half of an
//! import. What an earlier import has left there is gone on with when it is a beginning of the same export; of anything else it says so, and
//! is emptied only when somebody asks for that. What a restore has left (`DIR.restoring`) is emptied: it begins anew.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use journal::embedded::{BulkWriter, Left, LeftBehind, OpenError};
use journal::{Lineage, Position};

use crate::engine;
use crate::exit::Exit;
use crate::failure::{DATA_IN_USE, DATA_OPEN, Failure, IMPORT};

/// What every journal has in its directory.
const JOURNAL_FILE: &str = "lineage.json";

/// What to do about something left that does not fit.
pub(crate) const BEGIN_ANEW: &str = "run the import again with --anew to empty it and begin anew, or name another directory with --data";

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

    /// What an earlier run has left of the same history; `None`: nothing.
    pub(crate) fn left(&self, parent: &Lineage, fork: Position) -> Result<Option<Left>, Failure> {
        if !self.filled.is_dir() {
            return Ok(None);
        }
        match engine::left(&self.filled, parent, fork)? {
            Ok(LeftBehind::Nothing) => Ok(None),
            Ok(LeftBehind::Beginning(left)) => Ok(Some(*left)),
            Ok(LeftBehind::Other) => Err(refused(&self.filled, &format!("is what is left of importing another export; {BEGIN_ANEW}"))),
            Err(error) => Err(self.not_left(&error)),
        }
    }

    /// What is there cannot be gone on with.
    pub(crate) fn not_left(&self, error: &OpenError) -> Failure {
        match error {
            OpenError::Damaged { place } => refused(&self.filled, &format!("cannot be gone on with: {place}; {BEGIN_ANEW}")),
            error => engine::not_opened(&self.filled, error),
        }
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
        let renamed = std::fs::rename(&self.filled, &self.target).and_then(|()| std::fs::File::open(parent)?.sync_all());
        renamed.map_err(|error| unusable(&self.target, &error))
    }
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
