//! How a service's process ends: the exit codes that scripts may rely on.

use std::process::{ExitCode, Termination};

/// The end of a process, as its exit code. `fn main() -> headwater::Exit` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed; the message says why.
    Failed,
    /// 2: wrong usage of the command line.
    Usage,
    /// 3: rejected by the rule.
    Rejected,
    /// 4: not found.
    NotFound,
    /// 5: the outcome is unknown, or the service cannot be reached. Sending the same key again is safe.
    Unknown,
    /// 6: damage found.
    Damaged,
    /// 78: wrong configuration (`EX_CONFIG` of sysexits.h).
    Configuration,
    /// 130: a second interrupt forced the stop before every accepted command was answered.
    Interrupted,
    /// 143: a second SIGTERM did.
    Terminated,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::NotFound => 4,
            Self::Unknown => 5,
            Self::Damaged => 6,
            Self::Configuration => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// What `--help` says about exit codes.
#[doc(hidden)]
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
    0  done
    1  failed
    2  wrong usage
    3  rejected by the rule
    4  not found
    5  outcome unknown, or the service cannot be reached
    6  damage found
   78  wrong configuration
  130  a second Ctrl-C forced the stop (143: a second SIGTERM)";
