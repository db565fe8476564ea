//! The checks of a commit that need the journal: fence, command ids, expectations, tag condition, against durable and in-flight
//! commits; and what a commit that passes is assigned.

use std::collections::HashMap;

use super::index::{CommandHashes, ItemHashes};
use super::lookup::{self, Found};
use super::record::{Assigned, CommitPlace, FirstSequences};
use super::sealed::Held;
use super::sequencer::{Answer, Content, PlantedBug, Sequencer, StoredPlace};
use crate::commit::{Commit, Expect, TagCondition};
use crate::cursor::Position;
use crate::error::{AppendError, CursorError, InvalidError};
use crate::key::{EntityKey, KeyHash};
use crate::read::Head;
use crate::time::Timestamp;

/// Why a commit did not pass.
pub(crate) enum Stop {
    Answer(Answer),
    /// A sealed index cannot be read: nothing was decided and nothing written, and the commit may be sent again.
    Disk(std::io::Error),
}

impl From<AppendError> for Stop {
    fn from(error: AppendError) -> Self {
        Self::Answer(Answer::Refused(error))
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Sequencer {
    /// The checks that need the journal, in the contract's order, and what the commit is assigned. `now` is the frame's time.
    pub(crate) fn check(&self, content: &Content, now: Timestamp) -> Result<Assigned, Stop> {
        let Content { commit, hashes, found, .. } = content;
        if let Some(fence) = &commit.fence
            && self.planted != PlantedBug::SkipFence
            && self.registers.epoch(&fence.register) != Some(fence.epoch)
        {
            return Err(AppendError::Fenced { register: fence.register.clone() }.into());
        }
        for (index, hash) in hashes.iter().enumerate() {
            let before = match self.command_in_memory(hash.command, found.upto)? {
                None => found.before(index)?,
                before => before,
            };
            if let Some(place) = before {
                return Err(Stop::Answer(Answer::Before { index, place }));
            }
        }
        for (entity, expect) in &commit.expect {
            self.check_expectation(entity, *expect, content)?;
        }
        if let Some(condition) = &commit.condition {
            self.check_condition(condition)?;
        }
        Ok(self.assign(commit, hashes, found, now)?)
    }

    fn check_expectation(&self, entity: &EntityKey, expect: Expect, content: &Content) -> Result<(), Stop> {
        // Mostly it is one that the commit writes, whose hash is there.
        let written = content.commit.commands.iter().position(|command| command.entity == *entity);
        let hash = written.map_or_else(|| entity.hash(), |index| content.hashes[index].entity);
        let head = self.head(hash, &content.found)?;
        let holds = match expect {
            Expect::Any => true,
            Expect::New => head.as_ref().is_none_or(|head| head.deleted),
            Expect::Head(sequence) => head.as_ref().map_or(0, |head| head.sequence) == sequence,
        };
        if holds { Ok(()) } else { Err(AppendError::Conflict { entity: entity.clone(), head }.into()) }
    }

    fn check_condition(&self, condition: &TagCondition) -> Result<(), Stop> {
        let head = self.place.position - 1;
        let after = match self.lineage.resolve(condition.after, head, 0) {
            Ok(after) => after,
            Err(CursorError::Gone { .. }) => 0,
            Err(error) => return Err(AppendError::Invalid(InvalidError::new("condition", error.to_string())).into()),
        };
        for item in &condition.query.items {
            let item = ItemHashes::of(item);
            let found = match item.positions(after, |hash| self.postings_after(hash, after))? {
                Some(positions) => !positions.is_empty(),
                None => head > after,
            };
            if found {
                return Err(AppendError::ConditionFailed { head: self.lineage.cursor(head) }.into());
            }
        }
        Ok(())
    }

    fn assign(&self, commit: &Commit, hashes: &[CommandHashes], found: &Found, now: Timestamp) -> std::io::Result<Assigned> {
        let mut time = commit.origin.map_or(now, |origin| origin.time);
        let position = self.place.position;
        let first_sequences = match hashes {
            [one] => {
                let head = self.head(one.entity, found)?;
                time = head.as_ref().map_or(time, |head| time.max(head.time));
                FirstSequences::of_one(head.map_or(0, |head| head.sequence) + 1)
            }
            many => {
                let mut next: HashMap<KeyHash, u64> = HashMap::new();
                let mut first_sequences = Vec::with_capacity(many.len());
                for (command, hash) in commit.commands.iter().zip(many) {
                    let head = self.head(hash.entity, found)?;
                    time = head.as_ref().map_or(time, |head| time.max(head.time));
                    let sequence = next.entry(hash.entity).or_insert_with(|| head.map_or(0, |head| head.sequence) + 1);
                    first_sequences.push(*sequence);
                    *sequence += command.events.len() as u64;
                }
                first_sequences.into_iter().collect()
            }
        };
        let own = CommitPlace { lineage: self.lineage.id, position };
        let id = commit.origin.map(|origin| origin.id).filter(|id| *id != own.id(time));
        Ok(Assigned { id, time, position, first_sequences })
    }

    /// The head of an entity, in-flight commits included, given what the sealed segments were found to know.
    pub(crate) fn head(&self, entity: KeyHash, found: &Found) -> std::io::Result<Option<Head>> {
        match self.head_in_memory(entity, found.upto)? {
            None => found.head(entity),
            head => Ok(head),
        }
    }

    /// The head of an entity in what is not sealed, or was sealed behind a segment.
    pub(crate) fn head_in_memory(&self, entity: KeyHash, upto: u64) -> std::io::Result<Option<Head>> {
        if let Some(entry) = self.index.entities.get(&entity) {
            return Ok(Some(entry.head.clone()));
        }
        if let Some(entry) = self.full.as_ref().and_then(|full| full.index.entities.get(&entity)) {
            return Ok(Some(entry.head.clone()));
        }
        lookup::head_after(&self.sealed, entity, upto)
    }

    /// The record of a command in what is not sealed, in-flight commits included, or was sealed behind a segment.
    pub(crate) fn command_in_memory(&self, command: KeyHash, upto: u64) -> std::io::Result<Option<StoredPlace>> {
        if let Some(found) = self.index.commands.get(&command) {
            return Ok(Some(StoredPlace { segment: Held::Unsealed(self.active.clone()), command: *found }));
        }
        if let Some(full) = &self.full
            && let Some(found) = full.index.commands.get(&command)
        {
            return Ok(Some(StoredPlace { segment: Held::Unsealed(full.segment.clone()), command: *found }));
        }
        lookup::command_in(&self.sealed, command, upto)
    }

    /// The positions of a tag or type after a place, growing, in-flight commits included.
    pub(crate) fn postings_after(&self, hash: KeyHash, after: Position) -> std::io::Result<Vec<Position>> {
        let mut positions = Vec::new();
        for sealed in self.sealed.iter().filter(|sealed| sealed.last_position() > after) {
            positions.extend(sealed.postings(hash)?);
        }
        let full = self.full.as_ref().and_then(|full| full.index.postings.get(&hash));
        positions.extend(full.into_iter().flatten());
        positions.extend(self.index.postings.get(&hash).into_iter().flatten());
        Ok(positions)
    }
}
