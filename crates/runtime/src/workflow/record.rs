//! What a workflow leaves in the journal: its record.
//!
//! ```text
//! $workflow/{name}/{id}   started, restarted                              a turn
//!                         progressed, running, waiting, paused, undoing   a turn
//!                         completed, failed, cancelled                    a turn
//!                         told        { }            its parent knows that it has ended
//! ```
//!
//! A turn is one thing that the workflow was told, and all that came of it: what it asked for then, and how it stands. The event's name is
//! how it stands; `progressed` is `running` once more, with nothing that anybody waits for: whoever looks for work needs not read it.
//! Times are microseconds since 1970, UTC.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::{AskedKind, AskedOperation, RecordedOperation, StepPolicy, WorkflowFailure};
use journal::{CommandId, CommandRecord, ContentType, Context, EntityKey, EventData, EventFlags, Fingerprint, InvalidError, Position};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The platform's entity type for workflows.
pub(super) const WORKFLOW: &str = "$workflow";
pub(super) const STARTED: &str = "started";
pub(super) const RESTARTED: &str = "restarted";
pub(super) const PROGRESSED: &str = "progressed";
/// Its parent knows that it has ended.
pub(super) const TOLD: &str = "told";

/// How a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkflowState {
    /// It works.
    Running,
    /// It waits for a time, a signal or another workflow.
    Waiting,
    /// It waits for a person.
    Paused,
    /// What it has done is being undone.
    Undoing,
    /// It has succeeded.
    Completed,
    /// It has failed, and is undone.
    Failed,
    /// It was cancelled, and is undone.
    Cancelled,
}

impl WorkflowState {
    /// Every one of them.
    pub const ALL: [Self; 7] = [Self::Running, Self::Waiting, Self::Paused, Self::Undoing, Self::Completed, Self::Failed, Self::Cancelled];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Undoing => "undoing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The workflow that waits for another one's end, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) workflow: String,
    pub(super) id: String,
    pub(super) run: u32,
    pub(super) operation: u32,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) cause: Cause,
    /// When it was told: its own clock.
    pub(super) now: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) asked: Vec<Asked>,
    /// What it does not wait for any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) withdrawn: Vec<u32>,
    pub(super) state: WorkflowState,
    /// When it is to be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<i64>,
    /// What it waits for, or why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// What is being undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) undo: Option<u32>,
    /// What it was told was kept, and its function has not seen it: it panicked, or does not fit what is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) kept: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<WorkflowFailure>,
    /// The node that recorded it does not do what was asked for: whoever has the workflow does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) elsewhere: bool,
    /// Where it is recorded; of one that is read.
    #[serde(skip)]
    pub(super) position: Position,
}

/// What a workflow was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cause {
    /// To begin.
    Begin {
        /// How often it has begun, from 1.
        run: u32,
        input: Box<RawValue>,
        /// Who waits for its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
        /// What the run before has not waited for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        signals: Vec<(String, Box<RawValue>)>,
    },
    /// A step or a child has a result.
    Done {
        number: u32,
        result: Box<RawValue>,
    },
    /// A step or a child has failed for good.
    Failed {
        number: u32,
        failure: WorkflowFailure,
    },
    /// An attempt has failed; `died` with its process.
    Tried {
        number: u32,
        attempt: u32,
        cause: String,
        due: i64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        died: bool,
    },
    /// A time has come.
    Due {
        number: u32,
    },
    Signal {
        signal: String,
        body: Box<RawValue>,
    },
    Pause {
        why: String,
    },
    Resume {
        /// The undo that is parked is left out.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        skip: bool,
    },
    /// From this operation on, what is recorded does not count any more.
    Rerun {
        from: u32,
    },
    Cancel {
        why: String,
    },
    Undone {
        number: u32,
    },
    /// An undo has failed; without a time it is parked.
    UndoTried {
        number: u32,
        attempt: u32,
        cause: String,
        due: Option<i64>,
    },
    /// An attempt begins that may end its process: another one has, or may have.
    Again {
        number: u32,
        /// It is one of the operation's undo.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
    },
    /// The code asks for more than it did.
    Changed,
}

/// Something that a workflow asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) undo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    /// Of a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) child: Option<ChildRecord>,
    /// Of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ChildRecord {
    pub(super) workflow: String,
    pub(super) id: String,
    pub(super) input: Box<RawValue>,
}

impl PartialEq for ChildRecord {
    fn eq(&self, other: &Self) -> bool {
        self.workflow == other.workflow && self.id == other.id
    }
}

/// How a step is attempted, where it differs from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) attempts: Option<u32>,
    pub(super) backoff_min: i64,
    pub(super) backoff_max: i64,
    pub(super) timeout: i64,
    pub(super) clean: bool,
}

impl Asked {
    pub(super) fn of(operation: &AskedOperation) -> Result<Self, String> {
        let mut asked = Self {
            kind: operation.kind.word().to_owned(),
            name: operation.name.clone(),
            undo: operation.undo.clone(),
            due: None,
            version: None,
            child: None,
            policy: None,
        };
        match &operation.kind {
            AskedKind::Step(policy) if *policy == StepPolicy::default() => {}
            AskedKind::Step(policy) => asked.policy = Some(Policy::of(policy)),
            AskedKind::Sleep { due_micros } => asked.due = Some(*due_micros),
            AskedKind::Signal { due_micros } => asked.due = *due_micros,
            AskedKind::Version { version } => asked.version = Some(*version),
            AskedKind::Child { workflow, id, input } => {
                asked.child = Some(ChildRecord { workflow: (*workflow).to_owned(), id: id.clone(), input: raw(input)? });
            }
        }
        Ok(asked)
    }

    pub(super) fn operation(&self) -> RecordedOperation {
        RecordedOperation { kind: self.kind.clone(), name: self.name.clone(), version: self.version }
    }

    pub(super) fn step_policy(&self) -> StepPolicy {
        self.policy.map_or_else(StepPolicy::default, Policy::policy)
    }
}

impl Policy {
    fn of(policy: &StepPolicy) -> Self {
        let StepPolicy { attempts_max, backoff_min, backoff_max, timeout, refusal_is_clean } = *policy;
        Self {
            attempts: attempts_max,
            backoff_min: micros(backoff_min),
            backoff_max: micros(backoff_max),
            timeout: micros(timeout),
            clean: refusal_is_clean,
        }
    }

    fn policy(self) -> StepPolicy {
        let time = |micros: i64| Duration::from_micros(micros.unsigned_abs());
        StepPolicy {
            attempts_max: self.attempts,
            backoff_min: time(self.backoff_min),
            backoff_max: time(self.backoff_max),
            timeout: time(self.timeout),
            refusal_is_clean: self.clean,
        }
    }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// JSON as it goes into a record.
pub(super) fn raw(json: &[u8]) -> Result<Box<RawValue>, String> {
    serde_json::from_slice(json).map_err(|error| format!("it is no JSON: {error}"))
}

pub(super) fn bytes(raw: &RawValue) -> Bytes {
    Bytes::copy_from_slice(raw.get().as_bytes())
}

/// The entity of a workflow.
pub(super) fn key(tenant: &str, workflow: &str, id: &str) -> Result<EntityKey, InvalidError> {
    EntityKey::with_tenant(tenant, WORKFLOW, &format!("{workflow}/{id}"))
}

/// The name and the id.
pub(super) fn parts(entity: &EntityKey) -> (&str, &str) {
    entity.id().split_once('/').unwrap_or((entity.id(), ""))
}

/// The id of a record of ours, which is unique on its entity: what it follows. A client's id is a hash, and is none of these.
pub(super) fn own_id(sequence: u64) -> CommandId {
    let mut id = *b"workflow\0\0\0\0\0\0\0\0";
    id[8..].copy_from_slice(&sequence.to_be_bytes());
    CommandId(id)
}

/// Who asks for a record: its command's id, fingerprint and name.
pub(super) type Identity = (CommandId, Option<Fingerprint>, Arc<str>);

/// A record of these events.
pub(super) fn record(
    entity: &EntityKey,
    (id, fingerprint, name): Identity,
    context: Context,
    events: &[(&str, &impl Serialize)],
) -> Result<CommandRecord, String> {
    let event = |(name, payload): &(&str, &_)| -> Result<EventData, String> {
        let payload = serde_json::to_vec(payload).map_err(|error| error.to_string())?;
        Ok(EventData {
            name: (*name).into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: Vec::new(),
            payload: payload.into(),
        })
    };
    let events = events.iter().map(event).collect::<Result<_, _>>()?;
    Ok(CommandRecord { entity: entity.clone(), id, name, fingerprint, context, reply: Bytes::new(), events })
}
