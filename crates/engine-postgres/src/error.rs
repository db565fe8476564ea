//! Why a journal on PostgreSQL cannot be opened, and what a driver's error means.

use std::error::Error;
use std::fmt;

use journal::{InvalidError, ReadError, RegisterError};
use tokio_postgres::error::SqlState;

/// Why the engine cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The URL is not one.
    Url(InvalidError),
    /// No connection came about, or the server said no.
    Unreachable {
        /// What it said.
        cause: String,
    },
    /// The server is too old.
    TooOld {
        /// Its version.
        version: String,
    },
    /// The server would lose what it has acknowledged.
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// As it is.
        value: String,
        /// As it must be.
        wanted: &'static str,
    },
    /// Another process serves this schema.
    Taken {
        /// The schema.
        schema: String,
    },
    /// A history was not brought in to its end.
    Unfinished {
        /// The schema.
        schema: String,
    },
    /// The system has no thread for the writer.
    Thread {
        /// What it said.
        cause: String,
    },
    /// A newer version of Headwater made the schema.
    SchemaNewer {
        /// What is there.
        found: i32,
        /// What this version knows.
        known: i32,
    },
    /// What the schema says of itself does not fit together.
    Damaged {
        /// What does not.
        place: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(invalid) => invalid.fmt(formatter),
            Self::Unreachable { cause } => write!(formatter, "{cause}; look whether the server runs and lets this user in"),
            Self::TooOld { version } => write!(formatter, "the server is PostgreSQL {version}; use 15 or newer"),
            Self::Unsafe { setting, value, wanted } => {
                write!(
                    formatter,
                    "the server has {setting} = {value}, with which acknowledged events can be lost; set {setting} = {wanted}"
                )
            }
            Self::Taken { schema } => write!(formatter, "another process serves the schema {schema}; stop it, or name another service"),
            Self::Unfinished { schema } => {
                write!(
                    formatter,
                    "the schema {schema} holds a part of a migration; run the same `migrate` again, which goes on, or drop it"
                )
            }
            Self::Thread { cause } => write!(formatter, "no thread for the journal's writer: {cause}; raise the limit on processes"),
            Self::SchemaNewer { found, known } => {
                write!(formatter, "the schema has version {found} and this version knows up to {known}; use a newer version")
            }
            Self::Damaged { place } => write!(formatter, "{place}; nothing was changed, restore the database"),
        }
    }
}

impl Error for OpenError {}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Unreachable { cause: told(&error) }
    }
}

/// What a driver's error says: the server's own words, if it has some.
pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} ({})", server.message(), server.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Whether the connection, or the server behind it, is what failed, so that another attempt may succeed.
pub(crate) fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    let ended = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::QUERY_CANCELED,
    ];
    // 08: what befalls connections.
    ended.contains(code) || code.code().starts_with("08")
}

/// A question that cannot be answered now.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl From<Unavailable> for ReadError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        Self::Unavailable { cause }
    }
}

impl From<Unavailable> for RegisterError {
    fn from(Unavailable(cause): Unavailable) -> Self {
        Self::Unavailable { cause }
    }
}
