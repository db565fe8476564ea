//! The index of one segment in memory: of the active one, and of a full one until it is sealed.
//!
//! It knows every entity, command id, tag and event type of the segment by sixteen-byte hashes, and where their commits
//! lie. A sealed segment answers the same questions from its file (`seal`). Losing an index loses time, never data.

use std::cell::RefCell;
use std::collections::{HashMap, hash_map::Entry};
use std::sync::Arc;

use super::record::{FirstSequences, StoredCommit};
use super::remains::Remains;
use super::walk::WholeFrame;
use crate::commit::{Commit, TagQueryItem};
use crate::compaction::DELETED;
use crate::cursor::Position;
use crate::key::{EntityKey, KeyHash, KeyHashing, short_hash};
use crate::read::Head;
use crate::time::Timestamp;

/// The place of a commit section in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionRef {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// The commit's first position.
    pub(crate) position: Position,
}

/// A commit that has events of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityRef {
    pub(crate) section: SectionRef,
    /// The sequence of the entity's last event in that commit.
    pub(crate) last_sequence: u64,
}

/// The place of a command record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandRef {
    pub(crate) section: SectionRef,
    /// Its place in the commit's list of commands.
    pub(crate) index: u32,
}

/// The place of a frame that has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) first_position: Position,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// What a segment knows of an entity.
#[derive(Clone, Debug)]
pub(crate) struct EntityEntry {
    pub(crate) key: EntityKey,
    pub(crate) head: Head,
    pub(crate) refs: Vec<EntityRef>,
}

/// Hashes of one command, made before the sequencer's turn.
pub(crate) struct CommandHashes {
    pub(crate) entity: KeyHash,
    pub(crate) command: KeyHash,
    /// The type of each event, then all tags, with the event's place in the command; those of one hash in order.
    pub(crate) postings: Vec<(KeyHash, u32)>,
    pub(crate) deletes: bool,
}

impl CommandHashes {
    pub(crate) fn of(commit: &Commit) -> Vec<Self> {
        commit
            .commands
            .iter()
            .map(|command| {
                let entity = command.entity.hash();
                let mut types = TypeHashes { kind: command.entity.kind(), last: None };
                let events = || command.events.iter().zip(0u32..);
                let mut postings: Vec<_> = events().map(|(event, offset)| (types.of(&event.name), offset)).collect();
                postings.extend(events().flat_map(|(event, offset)| event.tags.iter().map(move |tag| (tag.hash(), offset))));
                let deletes = command.events.last().is_some_and(|event| &*event.name == DELETED);
                Self { entity, command: command.id.on(entity), postings, deletes }
            })
            .collect()
    }
}

/// Events of one command mostly share their type; its hash is made once.
struct TypeHashes<'a> {
    kind: &'a str,
    last: Option<(Arc<str>, KeyHash)>,
}

impl TypeHashes<'_> {
    fn of(&mut self, name: &Arc<str>) -> KeyHash {
        if let Some((last, hash)) = &self.last
            && last == name
        {
            return *hash;
        }
        let hash = remembered_type_hash(self.kind, name);
        self.last = Some((Arc::clone(name), hash));
        hash
    }
}

pub(crate) fn type_hash(kind: &str, name: &str) -> KeyHash {
    short_hash(&[b"type", kind.as_bytes(), b"/", name.as_bytes()])
}

/// Types are few and commits are many: what a thread hashed last is remembered.
struct LastTypes {
    known: [Option<KnownType>; LAST_TYPES],
    next: usize,
}

struct KnownType {
    kind: Box<str>,
    name: Box<str>,
    hash: KeyHash,
}

const LAST_TYPES: usize = 4;

thread_local! {
    static LAST: RefCell<LastTypes> = const { RefCell::new(LastTypes { known: [const { None }; LAST_TYPES], next: 0 }) };
}

fn remembered_type_hash(kind: &str, name: &str) -> KeyHash {
    LAST.with_borrow_mut(|last| {
        let known = last.known.iter().flatten().find(|known| *known.kind == *kind && *known.name == *name);
        known.map(|known| known.hash).unwrap_or_else(|| {
            let hash = type_hash(kind, name);
            last.known[last.next] = Some(KnownType { kind: kind.into(), name: name.into(), hash });
            last.next = (last.next + 1) % LAST_TYPES;
            hash
        })
    })
}

/// A commit as the sequencer placed it.
pub(crate) struct Placed<'a> {
    pub(crate) commit: &'a Commit,
    pub(crate) hashes: &'a [CommandHashes],
    pub(crate) first_sequences: &'a FirstSequences,
    pub(crate) time: Timestamp,
    pub(crate) section: SectionRef,
}

/// The index of one segment.
#[derive(Default)]
pub(crate) struct SegmentIndex {
    pub(crate) frames: Vec<FrameRef>,
    pub(crate) entities: HashMap<KeyHash, EntityEntry, KeyHashing>,
    pub(crate) commands: HashMap<KeyHash, CommandRef, KeyHashing>,
    pub(crate) postings: HashMap<KeyHash, Vec<Position>, KeyHashing>,
    pub(crate) times: Option<(Timestamp, Timestamp)>,
}

impl SegmentIndex {
    /// Takes a commit in.
    pub(crate) fn add(&mut self, placed: &Placed<'_>) {
        let mut position = placed.section.position;
        for (index, (command, first_sequence)) in placed.commit.commands.iter().zip(placed.first_sequences.iter()).enumerate() {
            let hashes = &placed.hashes[index];
            self.commands.insert(hashes.command, CommandRef { section: placed.section, index: index as u32 });
            // Events of one type follow each other mostly: one look at the map for all of them.
            for run in hashes.postings.chunk_by(|one, next| one.0 == next.0) {
                let positions = run.iter().map(|(_, offset)| position + u64::from(*offset));
                self.postings.entry(run[0].0).or_default().extend(positions);
            }
            position += command.events.len() as u64;
            self.add_entity(placed, index, first_sequence, position);
        }
        let (first, last) = self.times.unwrap_or((placed.time, placed.time));
        self.times = Some((first.min(placed.time), last.max(placed.time)));
    }

    fn add_entity(&mut self, placed: &Placed<'_>, index: usize, first_sequence: u64, next_position: Position) {
        let (command, hashes) = (&placed.commit.commands[index], &placed.hashes[index]);
        if command.events.is_empty() {
            return;
        }
        let last_sequence = first_sequence + command.events.len() as u64 - 1;
        let head = Head { sequence: last_sequence, time: placed.time, position: next_position - 1, deleted: hashes.deletes };
        let reference = EntityRef { section: placed.section, last_sequence };
        match self.entities.entry(hashes.entity) {
            Entry::Vacant(vacant) => {
                vacant.insert(EntityEntry { key: command.entity.clone(), head, refs: vec![reference] });
            }
            Entry::Occupied(mut occupied) => {
                let entry = occupied.get_mut();
                entry.head = head;
                match entry.refs.last_mut().filter(|last| last.section == placed.section) {
                    Some(last) => *last = reference,
                    None => entry.refs.push(reference),
                }
            }
        }
    }

    /// Takes a frame in that was found on the disk.
    pub(crate) fn add_frame(&mut self, frame: WholeFrame) {
        let WholeFrame { offset, header, commits, remains, .. } = frame;
        if commits.iter().any(|placed| placed.commit.event_count() > 0) {
            self.frames.push(FrameRef { first_position: header.first_position, offset: offset as u32, length: header.length });
        }
        for placed in commits {
            let offset = (offset as usize + placed.place) as u32;
            let section = SectionRef { offset, length: placed.length as u32, position: placed.commit.first_position };
            self.add_stored(placed.commit, section);
        }
        for placed in remains {
            let offset = (offset as usize + placed.place) as u32;
            let section = SectionRef { offset, length: placed.length as u32, position: placed.remains.first_position };
            self.add_remains(&placed.remains, section);
        }
    }

    /// Takes in what remains of events: the ids of their commands.
    pub(crate) fn add_remains(&mut self, remains: &Remains, section: SectionRef) {
        let commands = remains.commands.iter().zip(0u32..);
        self.commands.extend(commands.map(|(command, index)| (command.hash, CommandRef { section, index })));
    }

    fn add_stored(&mut self, stored: StoredCommit, section: SectionRef) {
        let first_sequences: FirstSequences = stored.commands.iter().map(|command| command.first_sequence).collect();
        let commands = stored.commands.into_iter().map(|command| command.record).collect();
        let commit = Commit { commands, ..Commit::default() };
        let hashes = CommandHashes::of(&commit);
        self.add(&Placed { commit: &commit, hashes: &hashes, first_sequences: &first_sequences, time: stored.time, section });
    }

    /// Up to `limit` keys of a type after a key, in order, of entities that have a durable event.
    pub(crate) fn keys_after(&self, kind: &str, after: Option<&EntityKey>, durable: Position, limit: usize) -> Vec<EntityKey> {
        let visible = |entry: &EntityEntry| entry.refs.first().is_some_and(|first| first.section.position <= durable);
        let wanted = |entry: &&EntityEntry| {
            entry.key.kind() == kind
                && visible(entry)
                && after.is_none_or(|after| (entry.key.tenant(), entry.key.id()) > (after.tenant(), after.id()))
        };
        let mut keys: Vec<EntityKey> = self.entities.values().filter(wanted).map(|entry| entry.key.clone()).collect();
        if keys.len() > limit {
            keys.select_nth_unstable(limit);
            keys.truncate(limit);
        }
        keys.sort_unstable();
        keys
    }
}

/// The hashes an item of a tag query asks for: all of the tags, any of the types.
#[derive(Clone)]
pub(crate) struct ItemHashes {
    pub(crate) tags: Vec<KeyHash>,
    pub(crate) types: Vec<KeyHash>,
}

impl ItemHashes {
    pub(crate) fn of(item: &TagQueryItem) -> Self {
        let hash = |full: &Arc<str>| full.split_once('/').map_or_else(|| type_hash(full, ""), |(kind, name)| type_hash(kind, name));
        Self { tags: item.tags.iter().map(crate::commit::Tag::hash).collect(), types: item.types.iter().map(hash).collect() }
    }

    /// The positions after `after` that match, given each hash's positions in growing order; `None` when every position does.
    pub(crate) fn positions<E>(
        &self,
        after: Position,
        mut postings: impl FnMut(KeyHash) -> Result<Vec<Position>, E>,
    ) -> Result<Option<Vec<Position>>, E> {
        let mut matching: Option<Vec<Position>> = None;
        for tag in &self.tags {
            let list = later(postings(*tag)?, after);
            matching = Some(matching.map_or_else(|| list.clone(), |so_far| intersection(&so_far, &list)));
            if matching.as_ref().is_some_and(Vec::is_empty) {
                return Ok(matching);
            }
        }
        if !self.types.is_empty() {
            let mut of_types = Vec::new();
            for kind in &self.types {
                of_types.extend(later(postings(*kind)?, after));
            }
            of_types.sort_unstable();
            of_types.dedup();
            matching = Some(matching.map_or_else(|| of_types.clone(), |so_far| intersection(&so_far, &of_types)));
        }
        Ok(matching)
    }
}

fn later(mut list: Vec<Position>, after: Position) -> Vec<Position> {
    let start = list.partition_point(|position| *position <= after);
    list.drain(..start);
    list
}

fn intersection(left: &[Position], right: &[Position]) -> Vec<Position> {
    left.iter().copied().filter(|position| right.binary_search(position).is_ok()).collect()
}
