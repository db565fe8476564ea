//! Why a view does not go on, by what can be done about it.

use std::fmt;
use std::io;

use rusqlite::{Error, ErrorCode};

use super::store::is_damage;

/// Why the filling of a file ended.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// An event that the definition cannot take in. Trying again is no remedy.
    Event(Box<ViewStop>),
    /// The file is not what was written: it is made again from the first event.
    Damaged(String),
    /// The file's cursor is no place in this journal: as `Damaged`.
    Foreign(String),
    /// The machine refused: it is tried again.
    Machine(String),
    /// Another process has taken a shared build: it is looked at from then on.
    Stale,
    /// A shared build is not there any more: it is looked for, or begun.
    Gone,
}

impl Fault {
    /// Why, in words.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Event(stop) => stop.to_string(),
            Self::Damaged(cause) | Self::Foreign(cause) | Self::Machine(cause) => cause.clone(),
            Self::Stale => "another process has taken it over".to_owned(),
            Self::Gone => "its tables are not there any more".to_owned(),
        }
    }
}

/// The event at which a view stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewStop {
    /// The event's id.
    pub event_id: String,
    /// Such as `cart/item-added`.
    pub event: String,
    /// The entity's id.
    pub entity_id: String,
    /// The event's number within its entity.
    pub sequence: u64,
    /// What was run: `on cart/item-added`, or the code for an entity type.
    pub statement: String,
    /// What went wrong.
    pub cause: String,
}

impl fmt::Display for ViewStop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_id, event, entity_id, sequence, statement, cause } = self;
        write!(formatter, "stopped at event {event_id} ({event} #{sequence} of `{entity_id}`), {statement}: {cause}")
    }
}

/// Why a statement failed, as far as it is not the event's doing.
pub(super) fn of_machine(error: &Error) -> Option<Fault> {
    if is_damage(error) {
        return Some(Fault::Damaged(error.to_string()));
    }
    let refused = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
        )
    );
    refused.then(|| Fault::Machine(error.to_string()))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        of_machine(&error).unwrap_or_else(|| Self::Machine(error.to_string()))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Machine(error.to_string())
    }
}
