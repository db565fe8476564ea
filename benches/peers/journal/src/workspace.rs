//! A directory for one run, on the disk that is to be measured, removed at its end.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// The directory. Dropping it removes it.
pub(crate) struct Workspace(PathBuf);

impl Workspace {
    pub(crate) fn new(parent: &Path) -> Outcome<Self> {
        let directory = parent.join(format!("peers-{}", std::process::id()));
        let made = fs::create_dir_all(&directory);
        made.map_err(|error| format!("cannot make {}: {error}; name a directory with --data", directory.display()))?;
        Ok(Self(directory))
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed is left for the person to see.
        let _ = fs::remove_dir_all(&self.0);
    }
}
