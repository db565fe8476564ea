//! What the doors may ask of views, and what they get.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::Refusal;
use journal::{Cursor, ReadError};

use super::fault::ViewStop;
use super::rows::Rows;
use crate::stall::Stall;

/// A question to a view.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The view.
    pub view: String,
    /// The query.
    pub query: String,
    /// Its parameters.
    pub input: QueryInput,
    /// A place that the rows must have seen.
    pub seen: Option<Cursor>,
    /// How long to wait for that place, or for a view that is filled for the first time.
    pub wait: Duration,
    /// Takes rows from a view that has stopped, or has not caught up yet.
    pub stale: bool,
}

/// The parameters of a query.
#[derive(Clone, Debug)]
pub enum QueryInput {
    /// A JSON object; empty for none.
    Json(Bytes),
    /// Names and texts, as a query string has them: each becomes what its field is.
    Texts(Vec<(String, String)>),
}

/// The rows of a query.
#[derive(Clone, Debug)]
pub struct QueryAnswer {
    /// The rows.
    pub rows: Rows,
    /// The names of their columns, in the order of the query.
    pub columns: Vec<String>,
    /// A place that they have seen.
    pub cursor: Cursor,
}

/// Why a query has no rows.
#[derive(Clone, Debug)]
pub enum QueryError {
    /// No such view in this service.
    UnknownView {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The view has no such query.
    UnknownQuery {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The parameters do not fit.
    Refused(Refusal),
    /// The place that was asked for is none of this service's.
    Read(ReadError),
    /// Too many queries wait; nothing happened.
    Busy {
        /// The bound.
        limit: usize,
    },
    /// It ran longer than it may.
    TooSlow {
        /// The query.
        query: &'static str,
        /// The bound.
        limit: Duration,
    },
    /// It has more rows than an answer may have.
    TooManyRows {
        /// The query.
        query: &'static str,
        /// The bound of rows.
        rows: usize,
        /// The bound of bytes.
        bytes: usize,
    },
    /// The view has not seen what was asked for within the time, or is filled for the first time.
    NotCaughtUp {
        /// The view.
        view: &'static str,
        /// Events that are still to come, at most.
        behind: u64,
    },
    /// The view has stopped at an event.
    Stopped {
        /// The view.
        view: &'static str,
        /// Where and why.
        stop: Box<ViewStop>,
    },
    /// The rows are not what the definition says: the service's mistake.
    Broken {
        /// The query.
        query: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The server that has the view's tables does not answer.
    Unavailable {
        /// The view.
        view: &'static str,
        /// Why.
        cause: String,
    },
    /// The service is stopping.
    Stopping,
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownView { name, known } => write!(formatter, "this service has no view `{name}`; it has: {}", known.join(", ")),
            Self::UnknownQuery { name, known } => write!(formatter, "the view has no query `{name}`; it has: {}", known.join(", ")),
            Self::Refused(Refusal::Invalid { pointer, message }) if !pointer.is_empty() => write!(formatter, "{pointer}: {message}"),
            Self::Refused(Refusal::Invalid { message, .. } | Refusal::Syntax { message } | Refusal::Broken { message }) => {
                formatter.write_str(message)
            }
            Self::Refused(_) => formatter.write_str("the parameters are refused"),
            Self::Read(error) => error.fmt(formatter),
            Self::Busy { limit } => write!(formatter, "{limit} queries wait, which is the bound; try again"),
            Self::TooSlow { query, limit } => {
                write!(
                    formatter,
                    "query `{query}` ran longer than {} s, which is the bound; add an index, or ask for less",
                    limit.as_secs_f32()
                )
            }
            Self::TooManyRows { query, rows, bytes } => write!(
                formatter,
                "query `{query}` has more than {rows} rows or {} MiB, which are the bounds; add a LIMIT, or ask for less",
                bytes / 1024 / 1024
            ),
            Self::NotCaughtUp { view, behind } => {
                write!(
                    formatter,
                    "view `{view}` is not there yet, at most {behind} events are to come; try again, or take what there is with stale=ok"
                )
            }
            Self::Stopped { view, stop } => {
                write!(formatter, "view `{view}` {stop}; mend the view, or take what there is with stale=ok")
            }
            Self::Broken { query, message } => write!(formatter, "query `{query}`: {message}"),
            Self::Unavailable { view, cause } => write!(formatter, "the database of view `{view}` does not answer: {cause}; try again"),
            Self::Stopping => formatter.write_str("the service is stopping; try again"),
        }
    }
}

impl std::error::Error for QueryError {}

/// How a view is.
#[derive(Clone, Debug)]
pub struct ViewStatus {
    /// Its name.
    pub name: &'static str,
    /// Its build: another definition has another one.
    pub build: String,
    /// What it does.
    pub state: ViewState,
    /// The place that its rows have seen.
    pub cursor: Cursor,
    /// Events of the service behind that place, at most.
    pub behind: u64,
    /// Since when it does not move although the journal goes on, or since when it has stopped.
    pub stalled: Option<Stall>,
    /// How far a rebuild beside it is, when one is under way.
    pub rebuild: Option<Rebuild>,
    /// Its file, within the folder of views; `None` in memory, and for a shared one.
    pub file: Option<String>,
    /// The schema of a shared one's tables; `None` until it has some.
    pub schema: Option<String>,
    /// What an operator should know: why it was made again.
    pub notes: Vec<String>,
    /// Entity types that it reads and that have lost events: a rebuild is made without those.
    pub gone: Vec<String>,
}

/// A rebuild under way.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// What it does.
    pub state: ViewState,
    /// The place that it has come to.
    pub cursor: Cursor,
    /// Events of the service behind that place, at most.
    pub behind: u64,
    /// As for the view.
    pub stalled: Option<Stall>,
}

/// What a view does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// The service has not begun to fill it.
    Idle,
    /// Its file is opened and compared.
    Opening,
    /// It takes events in and has not caught up since its file was begun.
    Filling,
    /// It takes events in as they come.
    Live,
    /// It stopped at an event.
    Stopped(Box<ViewStop>),
    /// The machine refused something; it is tried again.
    Failing {
        /// What.
        cause: String,
    },
}

impl ViewState {
    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Filling => "filling",
            Self::Live => "live",
            Self::Stopped(_) => "stopped",
            Self::Failing { .. } => "failing",
        }
    }

    /// Why it does not go on.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Stopped(stop) => Some(stop.to_string()),
            Self::Failing { cause } => Some(cause.clone()),
            _ => None,
        }
    }
}
