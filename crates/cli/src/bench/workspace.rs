//! A directory for one run of a bench, on the disk that is to be measured, removed at its end.

use std::path::{Path, PathBuf};

use headwater::command_line::GlobalFlags;
use headwater::{Exit, Failure};

/// The directory. Dropping it removes it.
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// Makes a new directory inside `--data`, or inside the working directory.
    pub(super) fn new(flags: &GlobalFlags) -> Result<Self, Failure> {
        let directory = Path::new(flags.data().unwrap_or(".")).join(format!("headwater-bench-{}", std::process::id()));
        let made = std::fs::create_dir_all(&directory);
        made.map_err(|error| {
            Failure::plain(Exit::Failed, format!("cannot make {}: {error}; name a directory with --data", directory.display()))
        })?;
        Ok(Self(directory))
    }

    /// A path inside.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed is left for the person to see.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
