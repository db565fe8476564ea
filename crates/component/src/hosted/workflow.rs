//! Workflows with their types erased.
//!
//! A workflow is a function that asks for operations (a step, a time, a signal, a child) and is told, one after the other, what became of
//! them. What it asks for depends on what it was told and on nothing else, so that a record of what it was told brings it back to where it
//! was. Operations are numbered in the order in which it asks for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{ActionDoor, BoxedFuture, Refusal, TopicDescription};

/// Shared handles, as a service registers them.
pub type WorkflowHandle = Arc<dyn HostedWorkflow>;

/// A workflow.
pub trait HostedWorkflow: Send + Sync + 'static {
    /// What it is.
    fn description(&self) -> &WorkflowDescription;

    /// Whether this is an input of it.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_input(&self, input: &[u8]) -> Result<(), Refusal>;

    /// Whether it takes this signal.
    ///
    /// # Errors
    /// [`Refusal::UnknownCommand`] with the signals that there are, or what is wrong with the body.
    fn check_signal(&self, signal: &str, body: &[u8]) -> Result<(), Refusal>;

    /// Whether it reads what was kept of a part of it, as it is read when an instance is brought back: what its types do not know is passed
    /// over.
    ///
    /// # Errors
    /// What is wrong with it, or [`Refusal::UnknownCommand`] with the signals that there are.
    fn reads(&self, part: WorkflowPart<'_>, json: &[u8]) -> Result<(), Refusal>;

    /// Makes one; nothing of it runs yet.
    fn begin(&self, start: WorkflowStart) -> Box<dyn LiveWorkflow>;
}

/// A part of a workflow that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkflowPart<'a> {
    /// What it begins with.
    Input,
    /// What it came to.
    Output,
    /// The body of this signal.
    Signal(&'a str),
}

/// A workflow, for the runtime, for OpenAPI and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowDescription {
    /// Its durable name.
    pub name: &'static str,
    /// Schema of its input.
    pub input: Json,
    /// Schema of its output.
    pub output: Json,
    /// The signals that it takes, with the schemas of their bodies.
    pub signals: Vec<(&'static str, Json)>,
    /// The topics that it publishes to.
    pub publishes: Vec<TopicDescription>,
    /// Where personal values would be among them: `input`, `output` or a signal.
    pub personal: Option<&'static str>,
}

/// What a workflow is made of.
#[derive(Clone, Debug)]
pub struct WorkflowStart {
    /// Its id.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// Its input, as JSON.
    pub input: Bytes,
    /// What its random numbers come from.
    pub seed: u64,
    /// What it asked for before, in order: it must ask for the same again.
    pub recorded: Vec<RecordedOperation>,
}

/// An operation as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordedOperation {
    /// `step`, `sleep`, `signal`, `child` or `version`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of a version, which.
    pub version: Option<u32>,
}

impl fmt::Display for RecordedOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}

/// A workflow in memory. After a panic it is not to be used any more, but for its undos.
pub trait LiveWorkflow: Send {
    /// Tells it what became of an operation, if anything did, and lets it run as far as it goes.
    fn run(&mut self, now_micros: i64, told: Option<(u32, Told)>) -> Progress;

    /// Ends the function; its undos stay.
    fn let_go(&mut self);

    /// What a step does; `None` when it asked for no such step.
    fn step(&self, number: u32) -> Option<StepRun>;

    /// What undoes an operation, given its result if it had one.
    fn undo(&self, number: u32, result: Option<Bytes>) -> Option<StepRun>;
}

/// What became of an operation: its result as JSON.
pub type Told = Result<Bytes, WorkflowFailure>;

/// One attempt of a step or of an undo, given its number from 1.
pub type StepRun = Box<dyn FnOnce(Arc<dyn ActionDoor>, u32) -> BoxedFuture<'static, StepOutcome> + Send>;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// With a result, as JSON.
    Done(Bytes),
    /// For good: it would end so again.
    Failed(WorkflowFailure),
    /// It may succeed later.
    Retry {
        /// Why it failed.
        cause: String,
    },
    /// Somebody outside is spared for now.
    Later {
        /// Why.
        cause: String,
        /// For how long.
        wait: Duration,
    },
}

/// How far a workflow has come.
#[derive(Debug)]
pub struct Progress {
    /// What it asks for, and has not asked for before.
    pub asked: Vec<AskedOperation>,
    /// What it does not wait for any more.
    pub withdrawn: Vec<u32>,
    /// How it stands.
    pub standing: Standing,
}

/// How a workflow stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It waits for what it asked for.
    Waits,
    /// It has ended, with its output or not.
    Ended(Result<Bytes, WorkflowFailure>),
    /// It begins again with this input.
    RestartWith(Bytes),
    /// It asked for another thing than is recorded.
    Misfit {
        /// What is recorded; `None` when it is nothing: it ended later than now.
        recorded: Option<String>,
        /// What it asked for now; `None` when it ended.
        asked: Option<String>,
    },
    /// It cannot go on: it broke a rule of workflows.
    Broken(String),
}

/// Something that a workflow asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedOperation {
    /// What.
    pub kind: AskedKind,
    /// Its name.
    pub name: String,
    /// The name of what undoes it.
    pub undo: Option<String>,
}

impl AskedOperation {
    /// As it is recorded.
    #[must_use]
    pub fn recorded(&self) -> RecordedOperation {
        let version = if let AskedKind::Version { version } = self.kind { Some(version) } else { None };
        RecordedOperation { kind: self.kind.word().to_owned(), name: self.name.clone(), version }
    }
}

/// What a workflow asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum AskedKind {
    /// A piece of work.
    Step(StepPolicy),
    /// A time.
    Sleep {
        /// Microseconds since 1970, UTC.
        due_micros: i64,
    },
    /// A signal; its body is the result, or `null` when its time is over.
    Signal {
        /// Until when: microseconds since 1970, UTC.
        due_micros: Option<i64>,
    },
    /// Another workflow; its output is the result.
    Child {
        /// Its name.
        workflow: &'static str,
        /// Its id.
        id: String,
        /// Its input, as JSON.
        input: Bytes,
    },
    /// A mark of which version of the code went by.
    Version {
        /// Which.
        version: u32,
    },
}

impl AskedKind {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Sleep { .. } => "sleep",
            Self::Signal { .. } => "signal",
            Self::Child { .. } => "child",
            Self::Version { .. } => "version",
        }
    }
}

/// How a step is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepPolicy {
    /// Attempts, at most; `None` for as many as it takes.
    pub attempts_max: Option<u32>,
    /// The wait after the first failed attempt; each further one doubles it, and jitter lengthens it by up to a quarter.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long one attempt may take before it is cut and counts as failed.
    pub timeout: Duration,
    /// An attempt that failed for good had no effect: there is nothing to undo then.
    pub refusal_is_clean: bool,
}

impl Default for StepPolicy {
    /// Twelve attempts over some ten minutes, thirty seconds each.
    fn default() -> Self {
        Self {
            attempts_max: Some(12),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(300),
            timeout: Duration::from_secs(30),
            refusal_is_clean: false,
        }
    }
}

/// Why an operation, or a workflow, did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowFailure {
    /// In a word: a rejection's code, or the workflow's own.
    pub code: String,
    /// In words.
    pub message: String,
    /// What belongs to it: a rejection's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// What kind of failure it is.
    #[serde(default)]
    pub kind: FailureKind,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The workflow's own, or a step's.
    #[default]
    Failed,
    /// A rule said no.
    Rejected,
    /// Nobody takes such a command.
    Unfit,
    /// A command took effect, and its reply is gone.
    ReplyGone,
    /// The last attempt has failed.
    GaveUp,
    /// It was cancelled.
    Cancelled,
}

impl fmt::Display for WorkflowFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}
