//! Parts as rows: which entity has which number, and what the tables hold behind them. No I/O.

use std::collections::HashMap;

use journal::embedded::{Part, Remains, StoredCommit};
use journal::{DELETED, EntityKey, Head, Position};

use crate::limits;
use crate::rows::signed;
use crate::write::{Decided, HeadRow, NewCommand, NewEvent, Numbered};

/// What one transaction writes.
pub(super) struct Placed<'a> {
    pub(super) rows: Decided<'a>,
    pub(super) gone: Vec<&'a Remains>,
    /// The last position that is no longer there and has none in front of it that is.
    pub(super) floor: Position,
}

/// The keys of all entities that parts name, each once.
pub(super) fn entities(parts: &[Part]) -> Vec<&EntityKey> {
    let mut keys: Vec<&EntityKey> = commits(parts).flat_map(|commit| &commit.commands).map(|command| &command.record.entity).collect();
    keys.sort_unstable_by_key(|key| (key.kind(), key.tenant(), key.id()));
    keys.dedup();
    keys
}

fn commits(parts: &[Part]) -> impl Iterator<Item = &StoredCommit> {
    parts.iter().filter_map(|part| match part {
        Part::Commit(commit) => Some(commit),
        Part::Gone(_) => None,
    })
}

/// The rows of parts that follow the head; `numbers` are those of the entities that have one.
pub(super) fn place<'a>(parts: &'a [Part], numbers: HashMap<EntityKey, u64>, head: HeadRow, floor: Position) -> Placed<'a> {
    let mut placing = Placing { head, floor, numbers, touched: HashMap::new(), events: Vec::new(), commands: Vec::new(), gone: Vec::new() };
    for part in parts {
        match part {
            Part::Gone(remains) => placing.gone(remains),
            Part::Commit(commit) => placing.commit(commit),
        }
    }
    placing.finish()
}

struct Placing<'a> {
    head: HeadRow,
    floor: Position,
    numbers: HashMap<EntityKey, u64>,
    /// Entities that get a number or another head: whether they are new, and their row.
    touched: HashMap<&'a EntityKey, (bool, Numbered)>,
    events: Vec<NewEvent<'a>>,
    commands: Vec<NewCommand<'a>>,
    gone: Vec<&'a Remains>,
}

impl<'a> Placing<'a> {
    fn gone(&mut self, remains: &'a Remains) {
        if self.floor == self.head.position {
            self.floor = remains.last_position();
        }
        self.head.position = remains.last_position();
        self.gone.push(remains);
    }

    fn commit(&mut self, commit: &'a StoredCommit) {
        let (id, time, last) = (commit.id, commit.time, commit.last_position());
        for command in &commit.commands {
            let entity = self.number(&command.record.entity);
            let (first_index, first_sequence) = (usize::from(command.first_index), command.first_sequence);
            for (nth, event) in command.record.events.iter().enumerate() {
                let index = first_index + nth;
                let (position, sequence) = (commit.first_position + index as Position, first_sequence + nth as u64);
                self.events.push(NewEvent { position, entity, sequence, time, commit: id, index, command: &command.record, event });
                self.moves(&command.record.entity, Head { sequence, time, position, deleted: &*event.name == DELETED });
            }
            let sequence = command.sequence_after();
            self.commands.push(NewCommand { entity, command: &command.record, sequence, commit: id, position: last, time });
        }
        self.head.position = last;
        self.head.latest = self.head.latest.max(time);
    }

    /// The number of an entity; a new one has the next.
    fn number(&mut self, entity: &'a EntityKey) -> u64 {
        if let Some(number) = self.numbers.get(entity) {
            return *number;
        }
        self.head.entities += 1;
        let number = self.head.entities;
        self.numbers.insert(entity.clone(), number);
        self.touched.insert(entity, (true, Numbered { number, head: None }));
        number
    }

    fn moves(&mut self, entity: &'a EntityKey, head: Head) {
        let number = self.numbers.get(entity).copied().unwrap_or_default();
        self.touched.entry(entity).or_insert((false, Numbered { number, head: None })).1.head = Some(head);
    }

    fn finish(mut self) -> Placed<'a> {
        let (mut fresh, mut moved) = (Vec::new(), Vec::new());
        for (entity, (is_new, numbered)) in self.touched {
            let rows = if is_new { &mut fresh } else { &mut moved };
            rows.push((entity.clone(), numbered));
        }
        let marks = self.head.position >= self.head.marked + limits::MARK_POSITIONS;
        self.head.marked = if marks { self.head.position } else { self.head.marked };
        let rows = Decided { outcomes: Vec::new(), events: self.events, commands: self.commands, fresh, moved, head: self.head, marks };
        Placed { rows, gone: self.gone, floor: self.floor }
    }
}

/// The tables `gone` and `gone_command`, column by column.
#[derive(Default)]
pub(super) struct GoneColumns<'a> {
    pub(super) first: Vec<i64>,
    pub(super) last: Vec<i64>,
    pub(super) leaves: Vec<Vec<u8>>,
    pub(super) hash: Vec<&'a [u8]>,
    pub(super) name: Vec<&'a str>,
    pub(super) sequence: Vec<i64>,
    pub(super) events: Vec<i32>,
    pub(super) position: Vec<i64>,
    pub(super) time: Vec<i64>,
}

impl<'a> GoneColumns<'a> {
    pub(super) fn of(gone: &[&'a Remains]) -> Self {
        let mut columns = Self::default();
        for remains in gone {
            columns.first.push(signed(remains.first_position()));
            columns.last.push(signed(remains.last_position()));
            columns.leaves.push(remains.leaves().concat());
            for command in remains.commands() {
                columns.hash.push(&command.hash.0);
                columns.name.push(&command.name);
                columns.sequence.push(signed(command.sequence));
                // A command has at most a thousand events.
                columns.events.push(command.event_count as i32);
                columns.position.push(signed(command.position));
                columns.time.push(command.time.as_micros());
            }
        }
        columns
    }
}
