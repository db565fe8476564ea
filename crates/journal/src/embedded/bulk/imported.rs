//! What an import gives: commits as a file has them, each checked as an append would be.
//!
//! A journal promises that a command takes effect once, that an entity's events have dense sequences and times that do not go back, and that
//! nothing is larger than its bound. A file promises nothing, so that all of it is looked at: in the index of the segment at hand, in
//! that of the last whole one, and in the seals of those before.

use std::collections::{HashMap, HashSet};
use std::{fmt, io};

use super::BulkWriter;
use crate::commit::{CommandRecord, Commit, CommitId};
use crate::cursor::Position;
use crate::embedded::index::CommandHashes;
use crate::embedded::lookup::{Found, command_in};
use crate::embedded::record::{Assigned, CommitPlace, EncodedCommit, FirstSequences, SEQUENCE_MAX, StoredCommit};
use crate::embedded::remains::Remains;
use crate::error::AppendError;
use crate::key::{EntityKey, KeyHash};
use crate::read::Head;
use crate::time::Timestamp;

/// A commit as a file has it, encoded but for what depends on where it is written: making one takes most of the work, and may
/// be done on another thread.
pub struct ImportedCommit {
    id: CommitId,
    time: Timestamp,
    first_position: Position,
    /// The sequence of each command's first event; `None` when it has no event.
    sequences: Vec<Option<u64>>,
    commit: Commit,
    hashes: Vec<CommandHashes>,
    encoded: EncodedCommit,
}

/// A command as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCommand {
    /// What was appended.
    pub record: CommandRecord,
    /// The sequence of its first event; `None` when it has no event.
    pub first_sequence: Option<u64>,
}

impl ImportedCommit {
    /// A commit of this id and time, whose first event has this position.
    ///
    /// # Errors
    /// `TooLarge` or `Invalid`, when no journal takes it.
    pub fn new(id: CommitId, time: Timestamp, first_position: Position, commands: Vec<ImportedCommand>) -> Result<Self, AppendError> {
        let sequences = commands.iter().map(|command| command.first_sequence).collect();
        let commit = Commit { commands: commands.into_iter().map(|command| command.record).collect(), ..Commit::default() };
        commit.check()?;
        let (hashes, encoded) = (CommandHashes::of(&commit), EncodedCommit::new(&commit));
        Ok(Self { id, time, first_position, sequences, commit, hashes, encoded })
    }

    /// The position of its first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.first_position
    }

    /// How many events it has.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.commit.event_count() as u64
    }

    /// The position of its last event.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.first_position + self.event_count() - 1
    }

    /// Whether this is what is stored there.
    #[must_use]
    pub fn is_stored_as(&self, stored: &StoredCommit) -> bool {
        let Self { id, time, first_position, sequences, commit, .. } = self;
        let mut pairs = commit.commands.iter().zip(sequences).zip(&stored.commands);
        (*id, *time, *first_position, sequences.len()) == (stored.id, stored.time, stored.first_position, stored.commands.len())
            && pairs.all(|((record, sequence), there)| {
                *record == there.record && sequence.is_none_or(|sequence| sequence == there.first_sequence)
            })
    }
}

/// What a file has of a place in the log.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are commits")]
pub enum ImportedPart {
    /// A commit.
    Commit(ImportedCommit),
    /// What remains of events that compaction has dropped.
    Gone(Remains),
}

impl ImportedPart {
    /// The position of its first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        match self {
            Self::Commit(commit) => commit.first_position,
            Self::Gone(remains) => remains.first_position(),
        }
    }

    /// How many events it has, or stands for.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        match self {
            Self::Commit(commit) => commit.event_count(),
            Self::Gone(remains) => remains.event_count(),
        }
    }
}

/// Why a commit, or what remains of some, cannot come next.
#[derive(Debug)]
pub enum Unfit {
    /// Another position comes next.
    Position {
        /// Which.
        next: Position,
    },
    /// A command took effect before.
    Repeated {
        /// Its place among the commands of the commit, from 1.
        command: usize,
    },
    /// Another sequence of the entity comes next.
    Sequence {
        /// Whose.
        entity: EntityKey,
        /// Which comes next.
        next: u64,
    },
    /// The entity has events of a later time.
    Time {
        /// Which entity.
        entity: EntityKey,
    },
    /// The disk refused.
    Disk(io::Error),
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { next } => write!(formatter, "position {next} comes next"),
            Self::Repeated { command } => write!(formatter, "command {command} of the commit took effect before"),
            Self::Sequence { entity, next } => write!(formatter, "sequence {next} comes next for {entity}"),
            Self::Time { entity } => write!(formatter, "{entity} has events of a later time before it"),
            Self::Disk(error) => write!(formatter, "the disk refused: {error}"),
        }
    }
}

impl std::error::Error for Unfit {}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl BulkWriter {
    /// Takes what comes next in a file.
    ///
    /// # Errors
    /// Why it cannot be that; then nothing of it is written. After an error of the disk the writer is of no use any more.
    pub fn append(&mut self, part: &ImportedPart) -> Result<(), Unfit> {
        let next = self.next_position();
        if part.first_position() != next {
            return Err(Unfit::Position { next });
        }
        match part {
            ImportedPart::Commit(commit) => self.append_commit(commit, next),
            ImportedPart::Gone(remains) => self.append_remains(remains),
        }
    }

    fn append_commit(&mut self, imported: &ImportedCommit, next: Position) -> Result<(), Unfit> {
        let first_sequences = self.check(imported)?;
        let ImportedCommit { id, time, commit, hashes, encoded, .. } = imported;
        let own = CommitPlace { lineage: self.lineage.id, position: next }.id(*time);
        let id = Some(*id).filter(|id| *id != own);
        Ok(self.write(commit, hashes, encoded, Assigned { id, time: *time, position: next, first_sequences })?)
    }

    /// Nobody can say whether leaves are those of the events that were there: a root that was kept does (`verify_against`).
    fn append_remains(&mut self, remains: &Remains) -> Result<(), Unfit> {
        let (sealed, mut met) = (self.lookup.sealed(), HashSet::new());
        for (nth, command) in remains.commands().iter().enumerate() {
            let hash = command.hash;
            if !met.insert(hash) || self.is_in_memory(hash) || command_in(&sealed, hash, 0)?.is_some() {
                return Err(Unfit::Repeated { command: nth + 1 });
            }
        }
        Ok(self.write_remains(remains.clone())?)
    }

    /// Gives the sequence of each command's first event.
    fn check(&self, imported: &ImportedCommit) -> Result<FirstSequences, Unfit> {
        let ImportedCommit { commit, hashes, sequences, time, .. } = imported;
        let (time, found) = (*time, self.lookup.find(commit, hashes));
        for (nth, hash) in hashes.iter().enumerate() {
            if self.is_in_memory(hash.command) || found.before(nth)?.is_some() {
                return Err(Unfit::Repeated { command: nth + 1 });
            }
        }
        if let ([command], [hash], [sequence]) = (&commit.commands[..], &hashes[..], &sequences[..]) {
            let next = self.next_of(&command.entity, hash.entity, &found, time)?;
            return Ok(FirstSequences::of_one(self.first_sequence(command, *sequence, next)?));
        }
        let mut nexts: HashMap<KeyHash, u64> = HashMap::new();
        let mut first_sequences = Vec::with_capacity(hashes.len());
        for ((command, hash), sequence) in commit.commands.iter().zip(hashes).zip(sequences) {
            let next = match nexts.get(&hash.entity) {
                Some(next) => *next,
                None => self.next_of(&command.entity, hash.entity, &found, time)?,
            };
            let first = self.first_sequence(command, *sequence, next)?;
            nexts.insert(hash.entity, first + command.events.len() as u64);
            first_sequences.push(first);
        }
        Ok(first_sequences.into_iter().collect())
    }

    /// The sequence that an entity's next event has, unless events before it are gone.
    fn next_of(&self, entity: &EntityKey, hash: KeyHash, found: &Found, time: Timestamp) -> Result<u64, Unfit> {
        let head = match self.head_in_memory(hash) {
            None => found.head(hash)?,
            head => head.cloned(),
        };
        match head {
            Some(head) if head.time > time => Err(Unfit::Time { entity: entity.clone() }),
            head => Ok(head.map_or(0, |head| head.sequence) + 1),
        }
    }

    /// Where events are gone, one that stands for all before it may be ahead of what is there, and so may what follows
    /// one that is gone itself.
    fn first_sequence(&self, command: &CommandRecord, said: Option<u64>, next: u64) -> Result<u64, Unfit> {
        let first = said.unwrap_or(next);
        let fits = first == next || self.is_compacted && first > next && first + command.events.len() as u64 <= SEQUENCE_MAX;
        if fits { Ok(first) } else { Err(Unfit::Sequence { entity: command.entity.clone(), next }) }
    }

    fn head_in_memory(&self, entity: KeyHash) -> Option<&Head> {
        let at_hand = self.image.as_ref().and_then(|image| image.index());
        let indexes = at_hand.into_iter().chain(self.full.iter().map(|full| &*full.index));
        indexes.filter_map(|index| index.entities.get(&entity)).map(|entry| &entry.head).next()
    }

    fn is_in_memory(&self, command: KeyHash) -> bool {
        self.image.as_ref().is_some_and(|image| image.has_command(command))
            || self.full.as_ref().is_some_and(|full| full.index.commands.contains_key(&command))
    }
}
