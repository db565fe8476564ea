//! What remains of events that compaction has dropped: the payload of a remains section.
//!
//! ```text
//! remains  event count v | leaf [32]* | command count v | command*
//! command  hash [16] | position v | sequence after v | event count v | time i64 | name text
//! ```
//!
//! The events that it stands for follow each other; their leaves keep the tamper evidence whole, and the ids of their commands keep
//! a command that is sent again from taking effect twice. `hash` is the command's in the index (of entity and id); `position`
//! counts from the first event of the section to the command's last one. Commands stand in the order of the log.

use bytes::Bytes;

use super::limits::REMAINS_BYTES_MAX;
use super::merkle::Hash;
use super::record::{SEQUENCE_MAX, StoredCommit, VARINT_BYTES_MAX, put_text, put_varint, take_varint};
use crate::cursor::Position;
use crate::key::KeyHash;
use crate::limits::NAME_BYTES_MAX;
use crate::time::Timestamp;

/// Events that are gone, and follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The position of the first of them.
    pub(crate) first_position: Position,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) commands: Vec<GoneCommand>,
}

/// A command whose record is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneCommand {
    /// Of its entity and its id.
    pub hash: KeyHash,
    /// Of the last event of its commit.
    pub position: Position,
    /// The entity's version after it.
    pub sequence: u64,
    /// How many events it left.
    pub event_count: u32,
    /// Of its commit.
    pub time: Timestamp,
    /// What it was.
    pub name: Box<str>,
}

impl Remains {
    /// Nothing yet; the first event will have this position.
    pub(crate) fn from(first_position: Position) -> Self {
        Self { first_position, leaves: Vec::new(), commands: Vec::new() }
    }

    /// What a file says that remains of events, from a position on; `None` when no segment would hold it.
    #[must_use]
    pub fn of_file(first_position: Position, leaves: Vec<[u8; 32]>, commands: Vec<GoneCommand>) -> Option<Self> {
        let remains = Self { first_position, leaves, commands };
        let last = first_position.checked_add(remains.event_count())?.checked_sub(1)?;
        let in_order = remains.commands.is_sorted_by_key(|command| command.position);
        let fits = |command: &GoneCommand| {
            (first_position..=last).contains(&command.position)
                && (1..=NAME_BYTES_MAX).contains(&command.name.len())
                && command.sequence <= SEQUENCE_MAX
        };
        let is_bounded = (1..=REMAINS_BYTES_MAX).contains(&remains.bytes()) && !remains.leaves.is_empty();
        (is_bounded && in_order && remains.commands.iter().all(fits)).then_some(remains)
    }

    /// The leaves of its events, in order.
    #[must_use]
    pub fn leaves(&self) -> &[[u8; 32]] {
        &self.leaves
    }

    /// The commands that left them, in order.
    #[must_use]
    pub fn commands(&self) -> &[GoneCommand] {
        &self.commands
    }

    /// Keeps what is up to a position within it, which must be the last one of a commit; gives what is behind, if anything.
    pub fn split_off(&mut self, position: Position) -> Option<Self> {
        let count = (position + 1).saturating_sub(self.first_position).min(self.event_count());
        let leaves = self.leaves.split_off(count as usize);
        let commands = self.commands.split_off(self.commands.partition_point(|command| command.position <= position));
        (!leaves.is_empty()).then_some(Self { first_position: position + 1, leaves, commands })
    }

    /// How many events it stands for.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Bytes of its payload, about; never less.
    pub(crate) fn bytes(&self) -> usize {
        2 * VARINT_BYTES_MAX + self.leaves.len() * 32 + self.commands.iter().map(|command| 61 + command.name.len()).sum::<usize>()
    }

    /// The position of the first of them.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.first_position
    }

    /// The position of the last of them.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.first_position + self.event_count() - 1
    }

    /// Those of its events up to a position; `None` when that is none.
    #[must_use]
    pub fn upto(&self, position: Position) -> Option<Self> {
        let count = (position + 1).checked_sub(self.first_position)?.min(self.event_count());
        let leaves = self.leaves[..count as usize].to_vec();
        let commands = self.commands.iter().filter(|command| command.position <= position).cloned().collect();
        (count > 0).then_some(Self { first_position: self.first_position, leaves, commands })
    }

    /// The position of the last event of the commits in front of the first of this time or later; the one before its first when there is none.
    #[must_use]
    pub fn last_before(&self, time: Timestamp) -> Position {
        let later = self.commands.iter().any(|command| command.time >= time);
        let before = self.commands.iter().take_while(|command| command.time < time).last();
        if later { before.map_or(self.first_position - 1, |command| command.position) } else { self.last_position() }
    }

    /// Takes the commit that follows.
    pub(crate) fn add(&mut self, commit: &StoredCommit) {
        self.leaves.extend(super::leaf::leaves_of(commit));
        let (position, time) = (commit.last_position(), commit.time);
        self.commands.extend(commit.commands.iter().map(|command| GoneCommand {
            hash: command.record.id.on(command.record.entity.hash()),
            position,
            sequence: command.sequence_after(),
            event_count: command.record.events.len() as u32,
            time,
            name: (&*command.record.name).into(),
        }));
    }

    /// Takes the events of another one, which follow.
    pub(crate) fn append(&mut self, other: Self) {
        self.leaves.extend(other.leaves);
        self.commands.extend(other.commands);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.leaves.len() * 32 + self.commands.len() * 48);
        put_varint(&mut bytes, self.event_count());
        self.leaves.iter().for_each(|leaf| bytes.extend_from_slice(leaf));
        put_varint(&mut bytes, self.commands.len() as u64);
        for command in &self.commands {
            bytes.extend_from_slice(&command.hash.0);
            put_varint(&mut bytes, command.position - self.first_position);
            put_varint(&mut bytes, command.sequence);
            put_varint(&mut bytes, u64::from(command.event_count));
            bytes.extend_from_slice(&command.time.as_micros().to_le_bytes());
            put_text(&mut bytes, &command.name);
        }
        bytes
    }

    /// How many events a payload stands for.
    pub(crate) fn count(bytes: &[u8]) -> Option<u64> {
        Rest(bytes).varint().filter(|count| *count > 0)
    }

    /// `None`: the bytes are no such payload.
    pub(crate) fn decode(bytes: &Bytes, first_position: Position) -> Option<Self> {
        let mut rest = Rest(bytes);
        let count = usize::try_from(rest.varint()?).ok().filter(|count| *count > 0)?;
        let leaves = rest.take(count.checked_mul(32)?)?.chunks_exact(32).map(|leaf| leaf.try_into().expect("thirty-two bytes")).collect();
        let count = rest.varint()?;
        let mut commands = Vec::with_capacity(usize::try_from(count).ok()?.min(bytes.len()));
        for _ in 0..count {
            commands.push(rest.command(first_position)?);
        }
        rest.0.is_empty().then_some(Self { first_position, leaves, commands })
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, length) = take_varint(self.0)?;
        self.0 = &self.0[length..];
        Some(value)
    }

    fn command(&mut self, first_position: Position) -> Option<GoneCommand> {
        let hash = KeyHash(self.array()?);
        let position = first_position.checked_add(self.varint()?)?;
        let (sequence, event_count) = (self.varint()?, u32::try_from(self.varint()?).ok()?);
        let time = Timestamp::from_micros(i64::from_le_bytes(self.array()?));
        let length = usize::try_from(self.varint()?).ok()?;
        let name = std::str::from_utf8(self.take(length)?).ok()?.into();
        Some(GoneCommand { hash, position, sequence, event_count, time, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remains() -> Remains {
        let command = |number: u8| GoneCommand {
            hash: KeyHash([number; 16]),
            position: 40 + u64::from(number),
            sequence: 300,
            event_count: 2,
            time: Timestamp::from_micros(-5),
            name: "add-item".into(),
        };
        Remains { first_position: 41, leaves: vec![[1; 32], [2; 32], [3; 32]], commands: vec![command(1), command(3)] }
    }

    #[test]
    fn remains_are_read_as_they_were_written() {
        let bytes = Bytes::from(remains().encode());
        assert_eq!(Remains::decode(&bytes, 41), Some(remains()));
    }

    #[test]
    fn remains_of_a_file_are_taken_when_a_segment_would_hold_them() {
        let Remains { first_position, leaves, commands } = remains();
        assert_eq!(Remains::of_file(first_position, leaves.clone(), commands.clone()), Some(remains()));
        let changed = |change: &dyn Fn(&mut Vec<Hash>, &mut Vec<GoneCommand>)| {
            let (mut leaves, mut commands) = (leaves.clone(), commands.clone());
            change(&mut leaves, &mut commands);
            Remains::of_file(first_position, leaves, commands)
        };
        assert_eq!(changed(&|leaves, commands| (leaves.clear(), commands.clear()).0), None, "no event");
        assert_eq!(changed(&|leaves, _| leaves.truncate(2)), None, "a command behind the last event");
        assert_eq!(changed(&|_, commands| commands.reverse()), None, "commands that go back");
        assert_eq!(changed(&|_, commands| commands[0].name = "".into()), None, "a command without a name");
        assert_eq!(changed(&|_, commands| commands[0].sequence = u64::MAX), None, "a sequence that no segment holds");
        assert_eq!(changed(&|leaves, _| leaves.resize(REMAINS_BYTES_MAX / 32, [0; 32])), None, "more than a section holds");
        assert_eq!(Remains::of_file(u64::MAX, leaves.clone(), Vec::new()), None, "positions that end");
    }

    #[test]
    fn remains_are_split_where_a_commit_ends() {
        let (mut front, whole) = (remains(), remains());
        assert_eq!(front.split_off(43), None);
        assert_eq!(front, whole);
        let behind = front.split_off(41).expect("two events are behind");
        assert_eq!((front.event_count(), front.commands.len(), behind.first_position, behind.event_count()), (1, 1, 42, 2));
        front.append(behind);
        assert_eq!(front, whole);
    }

    #[test]
    fn remains_that_are_cut_or_longer_are_none() {
        let bytes = remains().encode();
        for length in 0..bytes.len() {
            assert_eq!(Remains::decode(&Bytes::copy_from_slice(&bytes[..length]), 41), None, "{length}");
        }
        assert_eq!(Remains::decode(&[&*bytes, &[0]].concat().into(), 41), None);
        assert_eq!(Remains::decode(&Bytes::from_static(&[0, 0]), 41), None, "no event at all");
    }
}
