//! The sides: each a store that is opened on a directory of its own, takes loads, and is closed.

mod headwater;
mod sqlite;
mod tephra;
mod umadb;

use std::path::Path;

use clap::ValueEnum;

use crate::Outcome;
use crate::case::Case;
use crate::load::{Acknowledged, Load};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// The embedded journal; operating system threads that block
    HeadwaterThreads,
    /// The embedded journal; tasks on two workers
    HeadwaterTasks,
    /// tephra 0.4.1; operating system threads, because its calls block
    Tephra,
    /// SQLite with a write-ahead log that is synced at each commit; threads that share a connection
    Sqlite,
    /// UmaDB's server on the loopback; threads of Python processes
    Umadb,
}

/// A store that is open.
pub(crate) trait Store {
    /// Runs a load.
    fn load(&mut self, load: Load) -> Outcome<Acknowledged>;

    /// Whose writes count, as `/proc` knows the process.
    fn process(&self) -> String {
        "self".to_owned()
    }

    /// Closes it; its files may be removed afterwards.
    fn close(self: Box<Self>) -> Outcome<()>;
}

impl Side {
    pub(crate) const ALL: &[Self] = &[Self::HeadwaterThreads, Self::HeadwaterTasks, Self::Tephra, Self::Sqlite, Self::Umadb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HeadwaterThreads => "headwater-threads",
            Self::HeadwaterTasks => "headwater-tasks",
            Self::Tephra => "tephra",
            Self::Sqlite => "sqlite",
            Self::Umadb => "umadb",
        }
    }

    pub(crate) fn open(self, directory: &Path) -> Outcome<Box<dyn Store>> {
        match self {
            Self::HeadwaterThreads => headwater::threads(directory),
            Self::HeadwaterTasks => headwater::tasks(directory),
            Self::Tephra => tephra::open(directory),
            Self::Sqlite => sqlite::open(directory),
            Self::Umadb => umadb::open(directory),
        }
    }

    /// Whether it is there to be measured, or how it comes to be.
    pub(crate) fn present(self) -> Result<(), &'static str> {
        let is_there = self != Self::Umadb || umadb::installed().join("umadb").exists();
        if is_there { Ok(()) } else { Err("UmaDB is not installed and is left out; benches/peers/install installs it") }
    }

    /// Hundreds of Python's threads would measure Python.
    pub(crate) fn takes(self, case: Case) -> bool {
        self != Self::Umadb || case.writers <= 64
    }
}
