//! What the doors may ask of workflows, and what they get.

use std::fmt;

use bytes::Bytes;
use component::hosted::{Refusal, WorkflowFailure};
use journal::{Context, Cursor, Timestamp};

pub use super::record::WorkflowState;
use crate::request::CommandError;
use crate::view::QueryError;

/// Which workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowName {
    /// The tenant.
    pub tenant: String,
    /// The workflow's name.
    pub workflow: String,
    /// Its id.
    pub id: String,
}

/// A wish about a workflow.
#[derive(Clone, Debug)]
pub struct WorkflowWish {
    /// Which.
    pub name: WorkflowName,
    /// The client's id for the wish (an `Idempotency-Key`).
    pub id: Option<String>,
    /// Who and why.
    pub context: Context,
}

/// What is wished of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkflowOrder {
    /// To begin, with this input.
    Start {
        /// JSON.
        input: Bytes,
    },
    /// To take a signal.
    Signal {
        /// The signal's name.
        signal: String,
        /// JSON.
        body: Bytes,
    },
    /// To end, and to be undone.
    Cancel {
        /// Why.
        why: String,
    },
    /// To begin nothing more for now.
    Pause {
        /// Why.
        why: String,
    },
    /// To go on.
    Resume {
        /// Without the undo that has failed.
        skip: bool,
    },
    /// To run again from an operation on: its number, or its name.
    Rerun {
        /// Which: a number from 0, or a name, of which the last one counts.
        from: String,
    },
}

/// A workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowSight {
    /// Its name.
    pub workflow: String,
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: WorkflowState,
    /// What it waits for, or why it is paused.
    pub why: Option<String>,
    /// When it is looked at again by itself.
    pub due: Option<Timestamp>,
    /// Its output, as JSON; of one that has succeeded.
    pub output: Option<Bytes>,
    /// Why it has failed.
    pub failure: Option<WorkflowFailure>,
    /// When it began.
    pub started: Timestamp,
    /// When it was told something at last.
    pub changed: Timestamp,
    /// Its version: the number of its last event.
    pub sequence: u64,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowChange {
    /// Whether the wish changed anything: false when it was so before.
    pub changed: bool,
    /// How it stands now.
    pub state: WorkflowState,
    /// Its version.
    pub sequence: u64,
    /// A place that has seen it; of a change.
    pub cursor: Option<Cursor>,
}

/// Which workflows are listed, by name and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowSelection {
    /// The tenant.
    pub tenant: String,
    /// Only this workflow's.
    pub workflow: Option<String>,
    /// Only ids that begin so; with a workflow's name.
    pub prefix: String,
    /// Only those behind this `name/id`.
    pub after: String,
    /// Only those in this state.
    pub state: Option<WorkflowState>,
    /// Only those that have not ended; where no state is named.
    pub is_open: bool,
    /// As many, at most.
    pub limit: u32,
    /// A place that the list must have seen.
    pub seen: Option<Cursor>,
}

/// A workflow in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowItem {
    /// Its name.
    pub workflow: String,
    /// Its id.
    pub id: String,
    /// How it stands, in a word.
    pub state: String,
    /// What it waits for, or why it is paused.
    pub why: Option<String>,
    /// When it is looked at again by itself.
    pub due: Option<Timestamp>,
    /// When it began.
    pub started: Timestamp,
    /// When it came to stand so.
    pub changed: Timestamp,
}

/// How workflows stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowsStatus {
    /// How many stand so, by state.
    pub counts: Vec<(String, u64)>,
    /// Those in memory.
    pub in_memory: usize,
    /// Attempts of steps and undos under way.
    pub attempts: usize,
    /// Why none is looked for now; `None` while all is well.
    pub trouble: Option<String>,
}

/// Something that a workflow has done, or was told, in its present run.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineItem {
    /// Its number; of what it asked for.
    pub number: Option<u32>,
    /// `step`, `sleep`, `signal`, `child`, `version`, or what a person did: `pause`, `resume`, `rerun`, `cancel`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `working`, `resting`, `waiting`, `done`, `failed`, `dropped`.
    pub state: &'static str,
    /// When it was asked for.
    pub began: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// Attempts that have failed, with when and why.
    pub failures: Vec<(Timestamp, String)>,
    /// Its result, or its failure, as JSON.
    pub result: Option<Bytes>,
    /// Its undo.
    pub undo: Option<UndoSight>,
}

/// How an operation is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoSight {
    /// Its name.
    pub name: String,
    /// `ready`, `working`, `done`, `parked`, `left-out` or `not-needed`.
    pub state: &'static str,
    /// When it was done.
    pub ended: Option<Timestamp>,
    /// Attempts that have failed, with when and why.
    pub failures: Vec<(Timestamp, String)>,
}

/// Why a wish about a workflow was not granted.
#[derive(Clone, Debug)]
pub enum WorkflowError {
    /// The service has no such workflow.
    Unknown {
        /// The name.
        workflow: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// Nothing was ever started under this id.
    NotFound {
        /// The workflow's name.
        workflow: String,
        /// The id.
        id: String,
    },
    /// The id breaks its rule, or the wish does not fit.
    Unfit {
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// One with this id was started with another input.
    Other {
        /// The workflow's name.
        workflow: String,
        /// The id.
        id: String,
    },
    /// It is not in a state in which this can be done.
    NotNow {
        /// How it stands.
        state: WorkflowState,
        /// What can be done.
        remedy: String,
    },
    /// It was not recorded, or what was sent does not fit.
    Command(CommandError),
    /// The list cannot be read.
    Query(QueryError),
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { workflow, known } if known.is_empty() => {
                write!(formatter, "there is no workflow `{workflow}`; the service has none")
            }
            Self::Unknown { workflow, known } => write!(formatter, "there is no workflow `{workflow}`; there are: {}", known.join(", ")),
            Self::NotFound { workflow, id } => write!(formatter, "no workflow `{workflow}` was ever started under the id `{id}`"),
            Self::Unfit { problem } => formatter.write_str(problem),
            Self::Other { workflow, id } => {
                write!(formatter, "the workflow `{workflow}` with the id `{id}` was started with another input; choose another id")
            }
            Self::NotNow { state, remedy } => write!(formatter, "the workflow is {}; {remedy}", state.word()),
            Self::Command(error) => error.fmt(formatter),
            Self::Query(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for WorkflowError {}

impl From<CommandError> for WorkflowError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<Refusal> for WorkflowError {
    fn from(refusal: Refusal) -> Self {
        Self::Command(CommandError::Refused(refusal))
    }
}
