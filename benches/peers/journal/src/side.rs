//! The sides: each a store that is opened on a directory of its own, takes loads, and is closed.

mod headwater;
mod tephra;

use std::path::Path;

use clap::ValueEnum;

use crate::Outcome;
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
    pub(crate) const ALL: &[Self] = &[Self::HeadwaterThreads, Self::HeadwaterTasks, Self::Tephra];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HeadwaterThreads => "headwater-threads",
            Self::HeadwaterTasks => "headwater-tasks",
            Self::Tephra => "tephra",
        }
    }

    pub(crate) fn open(self, directory: &Path) -> Outcome<Box<dyn Store>> {
        match self {
            Self::HeadwaterThreads => headwater::threads(directory),
            Self::HeadwaterTasks => headwater::tasks(directory),
            Self::Tephra => tephra::open(directory),
        }
    }
}
