//! What can go wrong at the contract, by kind. Rejections of the domain are not here: the journal knows no domain.

use std::borrow::Cow;
use std::fmt;

use crate::commit::{CommandId, CommitId};
use crate::cursor::Cursor;
use crate::key::EntityKey;
use crate::read::{FoundCommand, Head};

/// A part of a request that breaks its rule: which part, and what the rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidError {
    field: &'static str,
    problem: Cow<'static, str>,
}

impl InvalidError {
    /// The part `field` is wrong because it `problem`.
    pub fn new(field: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// Which part.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for InvalidError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidError {}

/// Why an append was refused, or that its outcome is unknown.
#[derive(Clone, Debug)]
pub enum AppendError {
    /// An expectation about `entity` does not hold; `head` is what is there now.
    Conflict {
        /// The entity whose head was expected elsewhere.
        entity: EntityKey,
        /// Its head now; `None` when it has never had an event.
        head: Option<Head>,
    },
    /// The tag condition found a matching event after its cursor.
    ConditionFailed {
        /// A cursor at which the condition may be decided again.
        head: Cursor,
    },
    /// The command already took effect; `first` is what it left.
    Duplicate {
        /// Its place in the commit's list of commands.
        index: usize,
        /// The record of the first time.
        first: Box<FoundCommand>,
    },
    /// The command id already took effect with another name or body.
    Mismatch {
        /// Its place in the commit's list of commands.
        index: usize,
        /// The id that was used twice.
        id: CommandId,
    },
    /// The fence's register holds another epoch: this writer is stale.
    Fenced {
        /// The register.
        register: String,
    },
    /// A bound was broken.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// What came.
        actual: usize,
    },
    /// The commit breaks a rule of the contract.
    Invalid(InvalidError),
    /// There is no room to prepare a segment; over when there is room again.
    Full,
    /// A disk error ended this journal's life as a writer; restart reads the disk.
    Poisoned {
        /// The first error.
        cause: String,
    },
    /// The engine cannot be reached or is being stopped; nothing was written.
    Unavailable {
        /// Why.
        cause: String,
    },
    /// Nobody can say whether the commit took effect: send the identical commit again.
    Unknown {
        /// Why.
        cause: String,
    },
}

/// The kind of an [`AppendError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendErrorKind {
    /// An expectation or a tag condition does not hold.
    Conflict,
    /// The command already took effect.
    Duplicate,
    /// The command id was used with another body.
    Mismatch,
    /// A stale owner.
    Fenced,
    /// A bound was broken.
    TooLarge,
    /// A rule of the contract was broken.
    Invalid,
    /// No room.
    Full,
    /// The journal takes no more writes.
    Poisoned,
    /// Not reachable; nothing written.
    Unavailable,
    /// Outcome unknown.
    Unknown,
}

impl AppendError {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> AppendErrorKind {
        match self {
            Self::Conflict { .. } | Self::ConditionFailed { .. } => AppendErrorKind::Conflict,
            Self::Duplicate { .. } => AppendErrorKind::Duplicate,
            Self::Mismatch { .. } => AppendErrorKind::Mismatch,
            Self::Fenced { .. } => AppendErrorKind::Fenced,
            Self::TooLarge { .. } => AppendErrorKind::TooLarge,
            Self::Invalid(_) => AppendErrorKind::Invalid,
            Self::Full => AppendErrorKind::Full,
            Self::Poisoned { .. } => AppendErrorKind::Poisoned,
            Self::Unavailable { .. } => AppendErrorKind::Unavailable,
            Self::Unknown { .. } => AppendErrorKind::Unknown,
        }
    }

    /// Whether the same commit, sent again, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), AppendErrorKind::Full | AppendErrorKind::Unavailable | AppendErrorKind::Unknown)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { entity, head } => {
                write!(
                    formatter,
                    "conflict: {entity} is at sequence {}; load it again and decide again",
                    head.as_ref().map_or(0, |head| head.sequence)
                )
            }
            Self::ConditionFailed { .. } => {
                formatter.write_str("conflict: an event that the tag condition excludes is there; read it and decide again")
            }
            Self::Duplicate { index, .. } => write!(formatter, "command {index} of the commit already took effect; its first reply stands"),
            Self::Mismatch { id, .. } => write!(formatter, "command id {id} was used before with another name or body; use a new id"),
            Self::Fenced { register } => write!(formatter, "register {register} holds a newer epoch; this owner is stale and must stop"),
            Self::TooLarge { what, limit, actual } => write!(formatter, "{what}: {actual}, at most {limit} are allowed"),
            Self::Invalid(invalid) => invalid.fmt(formatter),
            Self::Full => formatter.write_str("the journal's disk is full; free some room and send the command again"),
            Self::Poisoned { cause } => write!(formatter, "the journal stopped after a disk error ({cause}); restart the service"),
            Self::Unavailable { cause } => write!(formatter, "the journal is not available ({cause}); try again"),
            Self::Unknown { cause } => write!(formatter, "the outcome is unknown ({cause}); send the same command id again"),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<InvalidError> for AppendError {
    fn from(invalid: InvalidError) -> Self {
        Self::Invalid(invalid)
    }
}

/// Why a cursor is refused; never waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Not a cursor of ours.
    Malformed,
    /// Beyond the head, or of another history past its fork.
    HistoryDiverged,
    /// Below the retention floor; `first` is the first cursor that is there.
    Gone {
        /// The first cursor that is there.
        first: Cursor,
    },
}

impl fmt::Display for CursorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("this is not a cursor; use one that a reply gave"),
            Self::HistoryDiverged => formatter
                .write_str("the cursor belongs to another history of this journal; start again from the first event or from a time"),
            Self::Gone { first } => write!(formatter, "the events at this cursor are gone; the first cursor that is there is {first}"),
        }
    }
}

impl std::error::Error for CursorError {}

/// Why a read failed.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// The cursor is refused.
    Cursor(CursorError),
    /// The selection breaks a rule.
    Invalid(InvalidError),
    /// Stored bytes are damaged; healthy ranges stay readable.
    Damaged {
        /// Where, in words: segment, byte range, and the remedy.
        place: String,
        /// The place to read on from: what is whole behind the damage comes after it. `None`: nothing is, or nobody knows where.
        resume: Option<Cursor>,
    },
    /// The engine cannot be reached or is being stopped.
    Unavailable {
        /// Why.
        cause: String,
    },
}

/// The kind of a [`ReadError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// The cursor is refused.
    Cursor,
    /// The selection breaks a rule.
    Invalid,
    /// Stored bytes are damaged.
    Damaged,
    /// Not reachable.
    Unavailable,
}

impl ReadError {
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ReadErrorKind {
        match self {
            Self::Cursor(_) => ReadErrorKind::Cursor,
            Self::Invalid(_) => ReadErrorKind::Invalid,
            Self::Damaged { .. } => ReadErrorKind::Damaged,
            Self::Unavailable { .. } => ReadErrorKind::Unavailable,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(error) => error.fmt(formatter),
            Self::Invalid(invalid) => invalid.fmt(formatter),
            Self::Damaged { place, resume: None } => write!(formatter, "the journal is damaged: {place}"),
            Self::Damaged { place, resume: Some(resume) } => {
                write!(formatter, "the journal is damaged: {place}; what is behind it comes after the cursor {resume}")
            }
            Self::Unavailable { cause } => write!(formatter, "the journal is not available ({cause}); try again"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<CursorError> for ReadError {
    fn from(error: CursorError) -> Self {
        Self::Cursor(error)
    }
}

/// Why a register call failed.
#[derive(Clone, Debug)]
pub enum RegisterError {
    /// The register is not at the expected revision; `now` is what is there.
    Conflict {
        /// The register's revision now, if it exists.
        now: Option<crate::registers::Revision>,
    },
    /// The fence's register has another epoch: whoever writes is the owner no more.
    Fenced {
        /// The fence's register.
        register: String,
    },
    /// A name or value breaks its rule.
    Invalid(InvalidError),
    /// No room.
    Full,
    /// The engine takes no more writes.
    Poisoned {
        /// The first error.
        cause: String,
    },
    /// The engine cannot be reached.
    Unavailable {
        /// Why.
        cause: String,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { .. } => formatter.write_str("the register changed; read it and decide again"),
            Self::Fenced { register } => {
                write!(formatter, "register {register} has another owner by now: this one writes nothing more for it")
            }
            Self::Invalid(invalid) => invalid.fmt(formatter),
            Self::Full => formatter.write_str("the disk is full; free some room"),
            Self::Poisoned { cause } => write!(formatter, "the registers stopped after a disk error ({cause}); restart the service"),
            Self::Unavailable { cause } => write!(formatter, "the registers are not available ({cause}); try again"),
        }
    }
}

impl std::error::Error for RegisterError {}

impl From<InvalidError> for RegisterError {
    fn from(invalid: InvalidError) -> Self {
        Self::Invalid(invalid)
    }
}

/// A commit id for messages.
impl fmt::Display for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: every delivery of an event has its id as a text, and `{:02x}` sixteen times was a tenth of a processor.
        let (mut text, mut at) = ([b'-'; 36], 0);
        for (index, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at..at + 2].copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            at += 2;
        }
        formatter.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_id_reads_as_a_uuid() {
        let id = CommitId([0x01, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x73, 0x45, 0x86, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x0f]);
        assert_eq!(id.to_string(), "019abcde-f012-7345-8678-9abcdef0120f");
    }
}
