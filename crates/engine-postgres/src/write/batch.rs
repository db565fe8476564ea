//! The decision on a batch: which of its commits hold, what they are given, and what is to be written. No I/O.
//!
//! It sees the tables as they are under the lock on the head, and each commit sees those before it in the batch.

use std::collections::HashMap;
use std::sync::Arc;

use journal::{
    AppendError, CommandId, CommandRecord, Commit, CommitId, Committed, CursorError, DELETED, Durability, EntityKey, EventData, EventId,
    Expect, FoundCommand, Head, InvalidError, Lineage, Position, Recorded, Settled, Timestamp,
};

use super::inbox::Pending;
use crate::limits;

/// The head row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub(crate) position: Position,
    /// How many entities have a number.
    pub(crate) entities: u64,
    /// The latest time of any event.
    pub(crate) latest: Timestamp,
    /// The position of the last mark.
    pub(crate) marked: Position,
}

/// An entity that has a number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) head: Option<Head>,
}

/// A command that took effect, and the commit it was in.
#[derive(Clone, Debug)]
pub(crate) struct FirstTime {
    pub(crate) found: FoundCommand,
    pub(crate) commit: CommitId,
}

/// What the tables say of all that a batch names.
pub(crate) struct Looked {
    pub(crate) head: HeadRow,
    pub(crate) entities: HashMap<EntityKey, Numbered>,
    pub(crate) commands: HashMap<(EntityKey, CommandId), FirstTime>,
    /// Those of the registers that commits name as fences.
    pub(crate) epochs: HashMap<String, Option<u64>>,
    /// The commits, by their place in the batch, whose condition an event of the tables fails.
    pub(crate) matched: Vec<bool>,
}

/// An event that is to be written.
pub(crate) struct NewEvent<'a> {
    pub(crate) position: Position,
    pub(crate) entity: u64,
    pub(crate) sequence: u64,
    pub(crate) time: Timestamp,
    pub(crate) commit: CommitId,
    pub(crate) index: usize,
    pub(crate) command: &'a CommandRecord,
    pub(crate) event: &'a EventData,
}

impl NewEvent<'_> {
    /// The event as readers get it, once it is written.
    pub(crate) fn recorded(&self) -> Arc<Recorded> {
        let (command, event) = (self.command, self.event);
        Arc::new(Recorded {
            position: self.position,
            id: EventId { commit: self.commit, index: self.index as u16 },
            entity: command.entity.clone(),
            sequence: self.sequence,
            time: self.time,
            command: command.id,
            command_name: Arc::clone(&command.name),
            context: Arc::new(command.context.clone()),
            name: Arc::clone(&event.name),
            version: event.version,
            content: event.content,
            flags: event.flags,
            tags: event.tags.clone(),
            payload: event.payload.clone(),
        })
    }
}

/// A command's record that is to be written.
pub(crate) struct NewCommand<'a> {
    pub(crate) entity: u64,
    pub(crate) command: &'a CommandRecord,
    pub(crate) sequence: u64,
    pub(crate) commit: CommitId,
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
}

/// What came of a batch.
pub(crate) struct Decided<'a> {
    /// One a commit, in order.
    pub(crate) outcomes: Vec<Result<Committed, AppendError>>,
    pub(crate) events: Vec<NewEvent<'a>>,
    pub(crate) commands: Vec<NewCommand<'a>>,
    /// Entities as they are behind the batch: those that get a number by it, and those that had one.
    pub(crate) fresh: Vec<(EntityKey, Numbered)>,
    pub(crate) moved: Vec<(EntityKey, Numbered)>,
    /// The head row behind the batch.
    pub(crate) head: HeadRow,
    /// Whether the batch ends with a mark of time.
    pub(crate) marks: bool,
}

/// Decides on all commits of a batch, in order.
pub(crate) fn decide<'a>(batch: &'a [Pending], looked: Looked, lineage: &Lineage, now: Timestamp) -> Decided<'a> {
    let mut state =
        State { lineage, now, known: looked.entities.len(), looked, touched: Vec::new(), events: Vec::new(), commands: Vec::new() };
    let outcomes = batch.iter().enumerate().map(|(place, pending)| state.decide(place, pending)).collect();
    state.finish(outcomes)
}

/// The tables, with what earlier commits of the batch did to them.
struct State<'a, 'b> {
    lineage: &'b Lineage,
    now: Timestamp,
    looked: Looked,
    /// How many entities the tables knew.
    known: usize,
    /// Entities that the batch writes, in order, and whether each got its number then.
    touched: Vec<(EntityKey, bool)>,
    events: Vec<NewEvent<'a>>,
    commands: Vec<NewCommand<'a>>,
}

impl<'a> State<'a, '_> {
    fn decide(&mut self, place: usize, pending: &'a Pending) -> Result<Committed, AppendError> {
        if pending.in_doubt
            && let Some(committed) = self.of_before(pending)
        {
            return Ok(committed);
        }
        let commit = &pending.commit;
        self.check_fence(commit)?;
        self.check_commands(commit)?;
        self.check_expectations(commit)?;
        self.check_condition(place, commit)?;
        Ok(self.take(pending))
    }

    /// What an earlier attempt, of which nobody knew what came of it, has made of this commit.
    fn of_before(&self, pending: &Pending) -> Option<Committed> {
        let first = |command: &CommandRecord| {
            let first = self.looked.commands.get(&(command.entity.clone(), command.id))?;
            (first.commit == pending.id).then_some(&first.found)
        };
        let found: Vec<&FoundCommand> = pending.commit.commands.iter().map(first).collect::<Option<_>>()?;
        Some(Committed {
            id: pending.id,
            time: found.first()?.time,
            cursor: found.first()?.cursor,
            commands: found.iter().map(|found| Settled { sequence: found.sequence }).collect(),
            durability: Durability::Durable,
        })
    }

    fn check_fence(&self, commit: &Commit) -> Result<(), AppendError> {
        let Some(fence) = &commit.fence else { return Ok(()) };
        let epoch = self.looked.epochs.get(&fence.register).copied().flatten();
        if epoch == Some(fence.epoch) { Ok(()) } else { Err(AppendError::Fenced { register: fence.register.clone() }) }
    }

    /// The first command that took effect before decides the answer.
    fn check_commands(&self, commit: &Commit) -> Result<(), AppendError> {
        for (index, command) in commit.commands.iter().enumerate() {
            let Some(FirstTime { found, .. }) = self.looked.commands.get(&(command.entity.clone(), command.id)) else { continue };
            return Err(if command.repeats(found) {
                AppendError::Duplicate { index, first: Box::new(found.clone()) }
            } else {
                AppendError::Mismatch { index, id: command.id }
            });
        }
        Ok(())
    }

    fn check_expectations(&self, commit: &Commit) -> Result<(), AppendError> {
        for (entity, expect) in &commit.expect {
            let head = self.head(entity);
            let holds = match expect {
                Expect::Any => true,
                Expect::New => head.is_none_or(|head| head.deleted),
                Expect::Head(sequence) => *sequence == self.sequence(entity),
            };
            if !holds {
                return Err(AppendError::Conflict { entity: entity.clone(), head: head.cloned() });
            }
        }
        Ok(())
    }

    fn check_condition(&self, place: usize, commit: &Commit) -> Result<(), AppendError> {
        let Some(condition) = &commit.condition else { return Ok(()) };
        let head = self.looked.head.position;
        let after = match self.lineage.resolve(condition.after, head, 0) {
            Ok(after) => after,
            // What is gone was there: everything that is left counts.
            Err(CursorError::Gone { .. }) => 0,
            Err(refused) => return Err(InvalidError::new("condition", refused.to_string()).into()),
        };
        let matches = |new: &NewEvent<'_>| {
            new.position > after && condition.query.matches(new.command.entity.kind(), &new.event.name, &new.event.tags)
        };
        let failed = self.looked.matched.get(place).copied().unwrap_or(false) || self.events.iter().any(matches);
        if failed { Err(AppendError::ConditionFailed { head: self.lineage.cursor(head) }) } else { Ok(()) }
    }

    fn head(&self, entity: &EntityKey) -> Option<&Head> {
        self.looked.entities.get(entity)?.head.as_ref()
    }

    fn sequence(&self, entity: &EntityKey) -> u64 {
        self.head(entity).map_or(0, |head| head.sequence)
    }

    /// Takes a commit that passed its checks.
    fn take(&mut self, pending: &'a Pending) -> Committed {
        let commit = &pending.commit;
        let wanted = commit.origin.map_or(self.now, |origin| origin.time);
        let heads = commit.commands.iter().filter_map(|command| self.head(&command.entity));
        let time = heads.fold(wanted, |time, head| time.max(head.time));
        let last = self.looked.head.position + commit.event_count() as Position;
        let (mut index, mut settled) = (0, Vec::with_capacity(commit.commands.len()));
        for command in &commit.commands {
            let number = self.touch(&command.entity);
            for event in &command.events {
                let (position, sequence) = self.advance(&command.entity, event, time);
                self.events.push(NewEvent { position, entity: number, sequence, time, commit: pending.id, index, command, event });
                index += 1;
            }
            let sequence = self.sequence(&command.entity);
            settled.push(Settled { sequence });
            self.remember(NewCommand { entity: number, command, sequence, commit: pending.id, position: last, time });
        }
        self.looked.head.latest = self.looked.head.latest.max(time);
        Committed { id: pending.id, time, cursor: self.lineage.cursor(last), commands: settled, durability: Durability::Durable }
    }

    /// The number of an entity that is written; a new one has the next.
    fn touch(&mut self, entity: &EntityKey) -> u64 {
        if let Some(numbered) = self.looked.entities.get(entity) {
            self.touched.push((entity.clone(), false));
            return numbered.number;
        }
        self.looked.head.entities += 1;
        let number = self.looked.head.entities;
        self.looked.entities.insert(entity.clone(), Numbered { number, head: None });
        self.touched.push((entity.clone(), true));
        number
    }

    /// Moves the heads of journal and entity over one event.
    fn advance(&mut self, entity: &EntityKey, event: &EventData, time: Timestamp) -> (Position, u64) {
        self.looked.head.position += 1;
        let (position, sequence) = (self.looked.head.position, self.sequence(entity) + 1);
        if let Some(numbered) = self.looked.entities.get_mut(entity) {
            numbered.head = Some(Head { sequence, time, position, deleted: &*event.name == DELETED });
        }
        (position, sequence)
    }

    fn remember(&mut self, new: NewCommand<'a>) {
        let command = new.command;
        let found = FoundCommand {
            name: command.name.clone(),
            fingerprint: command.fingerprint,
            reply: Some(command.reply.clone()),
            sequence: new.sequence,
            event_count: command.events.len() as u32,
            cursor: self.lineage.cursor(new.position),
            time: new.time,
        };
        self.looked.commands.insert((command.entity.clone(), command.id), FirstTime { found, commit: new.commit });
        self.commands.push(new);
    }

    fn finish(self, outcomes: Vec<Result<Committed, AppendError>>) -> Decided<'a> {
        let mut entities = self.looked.entities;
        let (mut fresh, mut moved) = (Vec::with_capacity(entities.len() - self.known), Vec::new());
        for (entity, is_fresh) in self.touched {
            // Once each: the second time it is no longer there.
            match entities.remove(&entity) {
                Some(numbered) if is_fresh => fresh.push((entity, numbered)),
                Some(numbered) => moved.push((entity, numbered)),
                None => {}
            }
        }
        let mut head = self.looked.head;
        let marks = head.position >= head.marked + limits::MARK_POSITIONS;
        head.marked = if marks { head.position } else { head.marked };
        Decided { outcomes, events: self.events, commands: self.commands, fresh, moved, head, marks }
    }
}
