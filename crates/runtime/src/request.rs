//! What the doors (HTTP, embedding, tests) ask of the runtime, and what it answers. No HTTP here: the gateway maps these.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use component::hosted::personal_mark::revealed;
use component::hosted::{Refusal, Rejected};
use journal::{Context, Cursor, Durability, EntityKey, ReadError, Timestamp};

/// A command for one entity.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// The entity.
    pub entity: EntityKey,
    /// The command's name.
    pub command: String,
    /// Its body: JSON.
    pub body: Bytes,
    /// The client's id for it (an `Idempotency-Key`); without one the runtime mints a UUIDv7 and gives it back.
    pub id: Option<String>,
    /// What the sender expects of the entity.
    pub expect: Expectation,
    /// Who and why.
    pub context: Context,
}

/// An operation over several entities or tags.
#[derive(Clone, Debug)]
pub struct OperationRequest {
    /// The tenant.
    pub tenant: String,
    /// The operation's name.
    pub operation: String,
    /// Its body: JSON.
    pub body: Bytes,
    /// The client's id for it.
    pub id: Option<String>,
    /// Who and why.
    pub context: Context,
}

/// What a sender expects of an entity's version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    #[default]
    Any,
    /// No event yet (or deleted).
    New,
    /// The last event has this sequence.
    Sequence(u64),
}

/// An accepted command. It leaves the runtime only when everything it saw is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// The id it ran under: the client's, or the minted one.
    pub id: String,
    /// The reply: JSON.
    pub reply: Bytes,
    /// The entity's version after it.
    pub sequence: u64,
    /// A place that has seen its effects.
    pub cursor: Cursor,
    /// True when this is the first reply, given again.
    pub replayed: bool,
    /// Whether the entity remembers it; a command without events leaves nothing.
    pub recorded: bool,
    /// How durable it is.
    pub durability: Durability,
}

/// What is known of a command, asked for by its id.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was accepted.
    Done(PastOutcome),
    /// It was taken and is not decided yet.
    Pending {
        /// Its name.
        command: String,
        /// Since when.
        time: Timestamp,
    },
    /// It was taken, and refused when it was decided.
    Refused {
        /// Its name.
        command: String,
        /// Why.
        error: CommandError,
        /// When.
        time: Timestamp,
    },
}

/// What became of an accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastOutcome {
    /// The command's name.
    pub command: String,
    /// The reply: JSON; `None` when a truncation has taken it.
    pub reply: Option<Bytes>,
    /// The entity's version after it.
    pub sequence: u64,
    /// A place that has seen its effects.
    pub cursor: Cursor,
    /// When.
    pub time: Timestamp,
}

/// Which moment of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moment {
    /// Now.
    #[default]
    Now,
    /// After the event with this sequence.
    Sequence(u64),
    /// After the last event at or before this time.
    Time(Timestamp),
}

/// The state of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRead {
    /// The state: JSON.
    pub state: Bytes,
    /// The version it is at; never 0.
    pub sequence: u64,
    /// When its last event was recorded.
    pub time: Timestamp,
    /// A place that has seen it.
    pub cursor: Cursor,
}

/// Why a command has no outcome.
#[derive(Clone, Debug)]
pub enum CommandError {
    /// The component refused: see [`Refusal`].
    Refused(Refusal),
    /// No such entity type or operation in this service.
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The sender's expectation does not hold.
    PreconditionFailed {
        /// The entity's version now; 0 when it has no event.
        sequence: u64,
    },
    /// Others kept winning the race for this entity (or for the operation's entities).
    Contended {
        /// How often it was decided.
        attempts: u32,
    },
    /// The id was used before with another name or body.
    Mismatch,
    /// The command took effect, and its reply is gone with a truncation.
    ReplyGone,
    /// The id is empty, too long or has control characters.
    InvalidId {
        /// What is wrong.
        message: String,
    },
    /// A bound of the journal was broken by what the component recorded or the sender sent.
    TooLarge {
        /// What.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// What came.
        actual: usize,
    },
    /// Too much is under way; nothing happened.
    Busy {
        /// The bound that bites.
        what: &'static str,
        /// Its value.
        limit: usize,
    },
    /// The service is stopping; nothing happened.
    Stopping,
    /// No room on the disk; nothing happened.
    Full,
    /// The journal stopped after a disk error. This command did not take effect before the error, or its outcome is unknown to nobody but the disk: ask again after the restart.
    Poisoned {
        /// The first error.
        cause: String,
    },
    /// The engine cannot be reached; nothing happened.
    Unavailable {
        /// Why.
        cause: String,
    },
    /// Nobody can say yet. Sending the same id again is safe.
    Unknown {
        /// The id it ran under: the client's, or the minted one.
        id: String,
        /// Why.
        cause: String,
    },
    /// The journal is damaged where the command had to read.
    Damaged {
        /// Where.
        place: String,
    },
    /// A stored event cannot be read by this version of the component.
    Unreadable {
        /// What.
        message: String,
    },
    /// A baseline cannot be read by this version of the component, and the events before it are gone.
    BaselineUnfit {
        /// Which, why, and the remedy.
        message: String,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(formatter),
            Self::UnknownTarget { name, known } => write!(formatter, "this service has no `{name}`; it has: {}", known.join(", ")),
            Self::PreconditionFailed { sequence: 0 } => formatter.write_str("the entity has no event yet"),
            Self::PreconditionFailed { sequence } => write!(formatter, "the entity is at sequence {sequence}; read it and decide again"),
            Self::Contended { attempts } => {
                write!(formatter, "others changed the entity {attempts} times while this was decided; try again")
            }
            Self::Mismatch => formatter.write_str("this command id was used before with another command or body; use a new id"),
            Self::ReplyGone => formatter.write_str("the command took effect; its reply is no longer kept"),
            Self::InvalidId { message } => write!(formatter, "the command id {message}"),
            Self::TooLarge { what, limit, actual } => write!(formatter, "{what}: {actual}, at most {limit} are allowed"),
            Self::Busy { what, limit } => write!(formatter, "{limit} {what} are under way, which is the bound; try again"),
            Self::Stopping => formatter.write_str("the service is stopping; try again"),
            Self::Full => formatter.write_str("the disk is full; free some room and try again"),
            Self::Poisoned { cause } => write!(formatter, "the journal stopped after a disk error ({cause}); restart the service"),
            Self::Unavailable { cause } => write!(formatter, "the journal is not available ({cause}); try again"),
            Self::Unknown { cause, .. } => write!(formatter, "the outcome is unknown ({cause}); send the same command id again"),
            Self::Damaged { place } => write!(formatter, "the journal is damaged: {place}"),
            Self::Unreadable { message } | Self::BaselineUnfit { message } => formatter.write_str(message),
        }
    }
}

impl std::error::Error for CommandError {}

/// Why a state could not be read.
#[derive(Clone, Debug)]
pub enum StateError {
    /// No such entity type in this service.
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A sequence beyond the entity's version, which is given.
    BeyondHead {
        /// The entity's version now.
        sequence: u64,
    },
    /// A stored event cannot be read by this version of the component.
    Unreadable {
        /// What.
        message: String,
    },
    /// The moment lies in front of what retention has kept.
    Gone {
        /// The entity type.
        kind: &'static str,
        /// The first sequence from which on the state is known.
        sequence: u64,
        /// The time of that event.
        time: Timestamp,
        /// Its place.
        cursor: Cursor,
    },
    /// A baseline cannot be read by this version of the component, and the events before it are gone.
    BaselineUnfit {
        /// The entity.
        entity: String,
        /// The baseline's sequence.
        sequence: u64,
        /// Which part of the state, and why.
        message: String,
    },
    /// The journal failed.
    Read(ReadError),
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTarget { name, known } => write!(formatter, "this service has no `{name}`; it has: {}", known.join(", ")),
            Self::BeyondHead { sequence } => write!(formatter, "the entity is at sequence {sequence}; ask for that or an earlier one"),
            Self::Unreadable { message } => formatter.write_str(message),
            Self::Gone { kind, sequence, .. } => {
                write!(
                    formatter,
                    "the events of this {kind} before sequence {sequence} are gone by its retention; its state is known from there on"
                )
            }
            Self::BaselineUnfit { entity, sequence, message } => {
                write!(
                    formatter,
                    "{entity}: the baseline at sequence {sequence} does not fit the component's state ({message}), and the events "
                )?;
                formatter.write_str("before it are gone; let the state take its old shape: `#[field(default)]` for a new field, the old type for a changed one, the state's old version")
            }
            Self::Read(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for StateError {}

impl From<ReadError> for StateError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// An answer as clients may see it: personal values are plain.
pub(crate) fn shown(answer: Result<CommandOutcome, CommandError>) -> Result<CommandOutcome, CommandError> {
    match answer {
        Ok(outcome) => Ok(CommandOutcome { reply: shown_bytes(outcome.reply), ..outcome }),
        Err(error) => Err(error.shown()),
    }
}

/// The same for a text of JSON.
pub(crate) fn shown_bytes(json: Bytes) -> Bytes {
    match revealed(&json) {
        Cow::Owned(revealed) => revealed.into(),
        Cow::Borrowed(_) => json,
    }
}

impl CommandError {
    fn shown(self) -> Self {
        match self {
            Self::Refused(Refusal::Rejected(Rejected { code, message, data })) => {
                let text = data.to_string();
                let data = serde_json::from_slice(&revealed(text.as_bytes())).unwrap_or(data);
                Self::Refused(Refusal::Rejected(Rejected { code, message, data }))
            }
            other => other,
        }
    }
}

impl Outcome {
    /// As clients may see it.
    pub(crate) fn shown(self) -> Self {
        match self {
            Self::Done(past) => Self::Done(PastOutcome { reply: past.reply.map(shown_bytes), ..past }),
            Self::Refused { command, error, time } => Self::Refused { command, error: error.shown(), time },
            pending @ Self::Pending { .. } => pending,
        }
    }
}
