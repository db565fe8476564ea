//! Which commits may go: what stands for the events of each entity, as the sealed segments know it.
//!
//! Nothing is taken from what cannot be read: an entity that a damaged segment may know more of keeps its events, and the damage is told.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};
use std::io;
use std::sync::Arc;

use super::super::frame::{self, Section};
use super::super::index::{EntityRef, type_hash};
use super::super::record::{CommitPlace, StoredCommand, StoredCommit};
use super::super::sealed::SealedSegment;
use super::super::upkeep::is_full;
use crate::compaction::{BASELINE, CompactRules, KeepRule};
use crate::cursor::Position;
use crate::key::{EntityKey, KeyHash, KeyHashing};

/// Segments whose index cannot be read, and why: they are asked once.
pub(super) type Unreadable = BTreeMap<u64, String>;

/// Says of commits whether they may go.
pub(super) struct Judge<'a> {
    sealed: &'a [Arc<SealedSegment>],
    number: u64,
    rules: &'a CompactRules,
    /// What is known of the entities that were asked for.
    entities: HashMap<KeyHash, Option<Standing>, KeyHashing>,
    /// By segment and hash of a type's `$baseline`.
    baselines: HashMap<(u64, KeyHash), Vec<Position>>,
    unreadable: &'a mut Unreadable,
}

/// What stands for an entity's events, and how far it has come.
#[derive(Clone, Copy)]
struct Standing {
    /// Events in front of this position are stood for.
    position: Position,
    /// Its last sequence.
    head: u64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(sealed: &'a [Arc<SealedSegment>], number: u64, rules: &'a CompactRules, unreadable: &'a mut Unreadable) -> Self {
        Self { sealed, number, rules, entities: HashMap::default(), baselines: HashMap::new(), unreadable }
    }

    /// # Errors
    /// A lack of descriptors: what is damaged lets nothing go.
    pub(super) fn lets_go(&mut self, commit: &StoredCommit) -> io::Result<bool> {
        if commit.event_count() == 0 || commit.last_position() > self.rules.upto {
            return Ok(false);
        }
        for command in &commit.commands {
            if !self.lets_command_go(commit, command)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn lets_command_go(&mut self, commit: &StoredCommit, command: &StoredCommand) -> io::Result<bool> {
        let entity = &command.record.entity;
        let Some(rule) = self.rules.kinds.iter().find(|rule| rule.kind.as_str() == entity.kind()).cloned() else { return Ok(false) };
        if commit.time >= rule.since || command.record.events.iter().any(|event| !event.tags.is_empty()) {
            return Ok(false);
        }
        let Some(last) = command.record.events.len().checked_sub(1) else { return Ok(true) };
        let last_position = commit.first_position + u64::from(command.first_index) + last as u64;
        let Some(standing) = self.standing(entity, &rule)? else { return Ok(false) };
        Ok(last_position < standing.position && command.sequence_after() <= standing.head.saturating_sub(rule.last))
    }

    fn standing(&mut self, entity: &EntityKey, rule: &KeepRule) -> io::Result<Option<Standing>> {
        let hash = entity.hash();
        if let Some(known) = self.entities.get(&hash) {
            return Ok(*known);
        }
        let found = self.find(entity, hash, type_hash(rule.kind.as_str(), BASELINE))?;
        self.entities.insert(hash, found);
        Ok(found)
    }

    /// From the newest segment back to the one at hand.
    fn find(&mut self, entity: &EntityKey, hash: KeyHash, baseline: KeyHash) -> io::Result<Option<Standing>> {
        let (mut last, sealed, number) = (None, self.sealed, self.number);
        for segment in sealed.iter().rev().take_while(|segment| segment.number() >= number).filter(|segment| segment.may_have(hash)) {
            if self.unreadable.contains_key(&segment.number()) {
                return Ok(None);
            }
            match self.find_in(segment, entity, (hash, baseline), &mut last) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) if is_full(&error) => return Err(error),
                Err(error) => {
                    self.unreadable.insert(segment.number(), error.to_string());
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// What stands for an entity in one segment; `last` is its last sequence, once it is known.
    fn find_in(
        &mut self,
        segment: &Arc<SealedSegment>,
        entity: &EntityKey,
        (hash, baseline): (KeyHash, KeyHash),
        last: &mut Option<u64>,
    ) -> io::Result<Option<Standing>> {
        let Some(found) = segment.head(hash)? else { return Ok(None) };
        let head = *last.get_or_insert(found.sequence);
        if found.deleted {
            return Ok(Some(Standing { position: found.position, head }));
        }
        let position = self.baseline_in(segment, entity, hash, baseline)?;
        Ok(position.map(|position| Standing { position, head }))
    }

    /// The entity's last `$baseline` in a segment.
    fn baseline_in(
        &mut self,
        segment: &Arc<SealedSegment>,
        entity: &EntityKey,
        hash: KeyHash,
        baseline: KeyHash,
    ) -> io::Result<Option<Position>> {
        let known = match self.baselines.entry((segment.number(), baseline)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(segment.postings(baseline)?),
        };
        if known.is_empty() {
            return Ok(None);
        }
        let refs = segment.entity_refs(hash)?;
        // A baseline is a commit of its own: its position is the commit's.
        for found in refs.iter().rev().filter(|found| known.binary_search(&found.section.position).is_ok()) {
            if is_baseline(segment, entity, *found)? {
                return Ok(Some(found.section.position));
            }
        }
        Ok(None)
    }
}

/// Whether the commit at a place is an entity's `$baseline`. One that is damaged is none: an earlier one stands for less.
fn is_baseline(segment: &SealedSegment, entity: &EntityKey, found: EntityRef) -> io::Result<bool> {
    let open = segment.open()?;
    let mut bytes = vec![0; found.section.length as usize];
    open.file.read_at(&mut bytes, u64::from(found.section.offset))?;
    let place = CommitPlace { lineage: open.header.lineage, position: found.section.position };
    let Ok(Some(Section::Commit(commit))) = frame::section(&bytes.into(), place) else { return Ok(false) };
    let is_one = |command: &StoredCommand| command.record.events.first().is_some_and(|event| &*event.name == BASELINE);
    Ok(commit.commands.first().is_some_and(|command| command.record.entity == *entity && is_one(command)))
}
