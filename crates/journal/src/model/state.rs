//! What the model holds, and the contract's rules over it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::commit::{CommandId, CommandRecord, Commit, CommitId, EventId, Expect, Settled};
use crate::compaction::DELETED;
use crate::cursor::{Cursor, Lineage, Position};
use crate::error::{AppendError, CursorError, InvalidError};
use crate::key::{EntityKey, EntityType};
use crate::read::{FoundCommand, Head, Recorded};
use crate::registers::epoch_of;
use crate::time::Timestamp;

use super::registers::RegisterTable;

/// All events and commands, in order; an event's position is its place in the list, from 1.
#[derive(Clone, Default)]
pub(super) struct State {
    events: Vec<Arc<Recorded>>,
    commands: Vec<Remembered>,
    pub(super) registers: RegisterTable,
}

#[derive(Clone)]
struct Remembered {
    entity: EntityKey,
    id: CommandId,
    found: FoundCommand,
}

/// What a commit is given when it is taken.
#[derive(Clone, Copy)]
pub(super) struct Assigned {
    pub(super) id: CommitId,
    pub(super) time: Timestamp,
}

impl State {
    pub(super) fn head(&self) -> Position {
        self.events.len() as Position
    }

    pub(super) fn entity_head(&self, entity: &EntityKey) -> Option<Head> {
        let last = self.events.iter().rev().find(|event| event.entity == *entity)?;
        Some(Head { sequence: last.sequence, time: last.time, position: last.position, deleted: &*last.name == DELETED })
    }

    fn sequence(&self, entity: &EntityKey) -> u64 {
        self.entity_head(entity).map_or(0, |head| head.sequence)
    }

    pub(super) fn find_command(&self, entity: &EntityKey, id: CommandId) -> Option<&FoundCommand> {
        self.commands.iter().find(|known| known.id == id && known.entity == *entity).map(|known| &known.found)
    }

    /// The first event after a place and up to another that is wanted.
    pub(super) fn next(&self, after: Position, upto: Position, wanted: impl Fn(&Recorded) -> bool) -> Option<Arc<Recorded>> {
        self.events.iter().find(|event| event.position > after && event.position <= upto && wanted(event)).cloned()
    }

    /// The order is by tenant and id: the type of `after` does not matter.
    pub(super) fn keys(&self, kind: &EntityType, after: Option<&EntityKey>) -> BTreeSet<EntityKey> {
        let comes_after = |key: &EntityKey, after: &EntityKey| (key.tenant(), key.id()) > (after.tenant(), after.id());
        let wanted = |key: &&EntityKey| key.kind() == kind.as_str() && after.is_none_or(|after| comes_after(key, after));
        self.events.iter().map(|event| &event.entity).filter(wanted).cloned().collect()
    }

    pub(super) fn position_before(&self, time: Timestamp) -> Position {
        self.events.iter().find(|event| event.time >= time).map_or(self.head(), |event| event.position - 1)
    }

    pub(super) fn check_fence(&self, commit: &Commit) -> Result<(), AppendError> {
        let Some(fence) = &commit.fence else { return Ok(()) };
        let epoch = self.registers.get(&fence.register).and_then(|register| epoch_of(&register.value));
        if epoch == Some(fence.epoch) { Ok(()) } else { Err(AppendError::Fenced { register: fence.register.clone() }) }
    }

    /// The first command that took effect before decides the answer.
    pub(super) fn check_commands(&self, commit: &Commit) -> Result<(), AppendError> {
        for (index, command) in commit.commands.iter().enumerate() {
            match self.find_command(&command.entity, command.id) {
                None => {}
                Some(first) if command.repeats(first) => return Err(AppendError::Duplicate { index, first: Box::new(first.clone()) }),
                Some(_) => return Err(AppendError::Mismatch { index, id: command.id }),
            }
        }
        Ok(())
    }

    pub(super) fn check_expectations(&self, commit: &Commit) -> Result<(), AppendError> {
        for (entity, expect) in &commit.expect {
            let head = self.entity_head(entity);
            let holds = match expect {
                Expect::Any => true,
                Expect::New => head.as_ref().is_none_or(|head| head.deleted),
                Expect::Head(sequence) => *sequence == self.sequence(entity),
            };
            if !holds {
                return Err(AppendError::Conflict { entity: entity.clone(), head });
            }
        }
        Ok(())
    }

    pub(super) fn check_condition(&self, commit: &Commit, lineage: &Lineage) -> Result<(), AppendError> {
        let Some(condition) = &commit.condition else { return Ok(()) };
        let after = match lineage.resolve(condition.after, self.head(), 0) {
            Ok(after) => after,
            // What is gone was there: everything that is left counts.
            Err(CursorError::Gone { .. }) => 0,
            Err(refused) => return Err(InvalidError::new("condition", refused.to_string()).into()),
        };
        let matches = |event: &Recorded| condition.query.matches(event.entity.kind(), &event.name, &event.tags);
        match self.next(after, self.head(), matches) {
            Some(_) => Err(AppendError::ConditionFailed { head: lineage.cursor(self.head()) }),
            None => Ok(()),
        }
    }

    /// Records a commit that passed its checks.
    pub(super) fn take(&mut self, commit: &Commit, assigned: Assigned, lineage: &Lineage) -> Vec<Settled> {
        let cursor = lineage.cursor(self.head() + commit.event_count() as Position);
        let mut index = 0;
        let mut settled = Vec::new();
        for command in &commit.commands {
            self.take_events(command, assigned, &mut index);
            let sequence = self.sequence(&command.entity);
            settled.push(Settled { sequence });
            self.remember(command, sequence, assigned.time, cursor);
        }
        settled
    }

    fn take_events(&mut self, command: &CommandRecord, assigned: Assigned, index: &mut u16) {
        let context = Arc::new(command.context.clone());
        for event in &command.events {
            let recorded = Recorded {
                position: self.head() + 1,
                id: EventId { commit: assigned.id, index: *index },
                entity: command.entity.clone(),
                sequence: self.sequence(&command.entity) + 1,
                time: assigned.time,
                command: command.id,
                command_name: Arc::clone(&command.name),
                context: Arc::clone(&context),
                name: Arc::clone(&event.name),
                version: event.version,
                content: event.content,
                flags: event.flags,
                tags: event.tags.clone(),
                payload: event.payload.clone(),
            };
            self.events.push(Arc::new(recorded));
            *index += 1;
        }
    }

    fn remember(&mut self, command: &CommandRecord, sequence: u64, time: Timestamp, cursor: Cursor) {
        let found = FoundCommand {
            name: Arc::clone(&command.name),
            fingerprint: command.fingerprint,
            reply: Some(command.reply.clone()),
            sequence,
            event_count: command.events.len() as u32,
            cursor,
            time,
        };
        self.commands.push(Remembered { entity: command.entity.clone(), id: command.id, found });
    }
}
