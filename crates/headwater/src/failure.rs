//! Why a process of a service ends otherwise than done: exit code, stable code, message with the remedy.
//!
//! The HW006x codes are this room's: each has a page under `docs/errors`. Codes that came over HTTP are passed on.

use std::fmt;

use runtime::Broken;
use serde_json::{Value as Json, json};

use crate::exit::Exit;

/// A name in the configuration that nobody knows.
pub(crate) const UNKNOWN_NAME: &str = "HW0060";
/// The configuration file cannot be read, or is not TOML.
pub(crate) const CONFIGURATION_FILE: &str = "HW0061";
/// A value of the configuration does not fit.
pub(crate) const CONFIGURATION_VALUE: &str = "HW0062";
/// The listen address is taken or not of this machine.
pub(crate) const LISTEN: &str = "HW0063";
/// Beyond loopback without `--insecure`.
pub(crate) const BEYOND_LOOPBACK: &str = "HW0064";
/// Another process has the data directory.
pub(crate) const DATA_IN_USE: &str = "HW0065";
/// The data directory cannot be opened, made or written.
pub(crate) const DATA_OPEN: &str = "HW0066";
/// The data directory holds damage that would lose acknowledged events.
pub(crate) const DATA_DAMAGED: &str = "HW0067";
/// The engine's URL names an engine that this build does not have.
pub(crate) const ENGINE: &str = "HW0068";
/// The service itself is put together wrongly: its name, or two components with one name.
pub(crate) const COMPONENTS: &str = "HW0069";
/// The service cannot be reached.
pub(crate) const UNREACHABLE: &str = "HW0070";
/// Signals or threads are not to be had from the system.
pub(crate) const SYSTEM: &str = "HW0071";
/// An import does not fit: not an export, other version, sequences with holes, a directory with another history.
pub(crate) const IMPORT: &str = "HW0072";

/// A backup or a restore does not fit: not an empty directory, another history, a backup that was never finished.
pub(crate) const BACKUP: &str = "HW0073";
/// A migration does not fit: a target with something in it, half of another one, another root; or a service starts on half of one.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a build with databases moves journals"))]
pub(crate) const MIGRATION: &str = "HW0074";
/// The key store of a service with personal data is not there, is another one, or cannot be used.
pub(crate) const KEYS: &str = "HW0092";
/// A shape changed within its version so that it breaks its rule.
pub(crate) const SHAPE_CHANGED: &str = "HW0140";
/// A version that is registered cannot be read, or be written for those who were promised it.
pub(crate) const VERSION_LOST: &str = "HW0141";
/// The journal has events that the code does not know.
pub(crate) const EVENTS_UNKNOWN: &str = "HW0142";
/// A schema cannot be registered.
pub(crate) const SCHEMA_UNFIT: &str = "HW0143";
/// A stored sample or snapshot is not read.
pub(crate) const SAMPLE_UNREADABLE: &str = "HW0144";
pub(crate) const WORKFLOW_MISFIT: &str = "HW0145";

/// The database cannot be reached, or does not let this process in.
#[cfg(feature = "postgres")]
pub(crate) const DATABASE_UNREACHABLE: &str = "HW0150";
/// The database would lose what it has acknowledged.
#[cfg(feature = "postgres")]
pub(crate) const DATABASE_UNSAFE: &str = "HW0151";
/// The database, or the schema in it, is of another version than this one takes.
#[cfg(feature = "postgres")]
pub(crate) const DATABASE_UNFIT: &str = "HW0152";

/// A view lies in a database, and there is none.
pub(crate) const VIEWS_NOWHERE: &str = "HW0153";

/// The code of a shape that is refused.
pub(crate) fn schema_code(broken: &Broken) -> &'static str {
    match broken {
        Broken::Backward | Broken::Forward => SHAPE_CHANGED,
        Broken::Unraised | Broken::Unlowered => VERSION_LOST,
        Broken::Gone | Broken::Newer => EVENTS_UNKNOWN,
        Broken::Unfit => SCHEMA_UNFIT,
    }
}

/// All codes of this room, for the test that each has a page.
#[cfg(test)]
pub(crate) const CODES: &[&str] = &[
    UNKNOWN_NAME,
    CONFIGURATION_FILE,
    CONFIGURATION_VALUE,
    LISTEN,
    BEYOND_LOOPBACK,
    DATA_IN_USE,
    DATA_OPEN,
    DATA_DAMAGED,
    ENGINE,
    COMPONENTS,
    UNREACHABLE,
    SYSTEM,
    IMPORT,
    BACKUP,
    MIGRATION,
    KEYS,
    SHAPE_CHANGED,
    VERSION_LOST,
    EVENTS_UNKNOWN,
    SCHEMA_UNFIT,
    SAMPLE_UNREADABLE,
    WORKFLOW_MISFIT,
    VIEWS_NOWHERE,
    #[cfg(feature = "postgres")]
    DATABASE_UNREACHABLE,
    #[cfg(feature = "postgres")]
    DATABASE_UNSAFE,
    #[cfg(feature = "postgres")]
    DATABASE_UNFIT,
];

/// Why a service did not start, or a command line call failed.
///
/// Shown as `HW0063: cannot listen on 127.0.0.1:7430: address in use; ...`.
#[derive(Clone, Debug)]
pub struct Failure {
    exit: Exit,
    code: Option<String>,
    message: String,
    /// A problem as the service sent it, for `--json`.
    problem: Option<Json>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: Some(code.to_owned()), message: message.into(), problem: None }
    }

    /// A failure that needs no page: its message is all there is to say.
    #[doc(hidden)]
    pub fn plain(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, code: None, message: message.into(), problem: None }
    }

    /// What the service answered, passed on.
    pub(crate) fn answered(exit: Exit, code: Option<String>, message: String, problem: Json) -> Self {
        Self { exit, code, message, problem: Some(problem) }
    }

    pub(crate) fn configuration(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Configuration, code, message)
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable code, such as `HW0063`; `headwater explain HW0063` has more.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The message without the code.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As one JSON object: the service's own problem, or ours in the same shape.
    #[doc(hidden)]
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.problem.clone().unwrap_or_else(|| json!({ "code": self.code, "detail": self.message }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(formatter, "{code}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::{CODES, Failure};
    use crate::command_line::explain::page;
    use crate::exit::Exit;

    #[test]
    fn every_code_has_a_page() {
        let missing: Vec<_> = CODES.iter().filter(|code| page(code).is_none()).collect();
        assert!(missing.is_empty(), "docs/errors has no page for {missing:?}");
    }

    #[test]
    fn a_failure_shows_its_code_first() {
        let failure = Failure::new(Exit::Failed, "HW0063", "cannot listen on 127.0.0.1:1");
        assert_eq!(failure.to_string(), "HW0063: cannot listen on 127.0.0.1:1");
    }
}
