//! A proof that one event is among those that a root covers: its leaf, and the path of siblings up to the root.
//!
//! It holds what another program needs to make the leaf again ([`Recorded`] and one hash for the rest of the commit), and no other event.
//! At most 64 hashes, whatever the log's size. Only the event's own segment is read, where the roots of the others are kept.

use std::sync::Arc;

use super::OpenError;
use super::durable_log::{DurableLog, From};
use super::evidence::{Root, kept_runs};
use super::files::OpenFiles;
use super::leaf::{leaves_of, records};
use super::merkle::{Hash, Leaves, Path, Subtree, root_from_path};
use super::record::StoredCommit;
use super::seal::SealedIndex;
use super::walk::WholeFrame;
use crate::commit::EventId;
use crate::cursor::Position;
use crate::key::EntityKey;
use crate::read::Recorded;
use crate::seams::Disk;

/// Which event is to be proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedEvent {
    /// By its id. The whole log is read for it.
    Id(EventId),
    /// By its entity and sequence.
    Sequence(EntityKey, u64),
}

/// The proof of one event.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Over all events of the log, as it was when the proof was made.
    pub root: Root,
    /// How many events the root covers.
    pub event_count: u64,
    /// The hash of the event.
    pub leaf: [u8; 32],
    /// The hashes of the siblings, from the leaf up.
    pub path: Vec<[u8; 32]>,
    /// The hash over the command records of the event's commit.
    pub records: [u8; 32],
    /// The event.
    pub event: Recorded,
}

impl WantedEvent {
    fn find(&self, commit: &StoredCommit) -> Option<Recorded> {
        match self {
            Self::Id(id) if commit.id != id.commit => None,
            Self::Id(id) => commit.events().find(|event| event.id == *id),
            Self::Sequence(entity, sequence) => {
                let is_its = |command: &super::StoredCommand| command.record.entity == *entity;
                let any = commit.commands.iter().any(is_its);
                any.then(|| commit.events().find(|event| event.entity == *entity && event.sequence == *sequence))?
            }
        }
    }

    fn find_in(&self, frame: &WholeFrame) -> Option<Position> {
        frame.commits.iter().find_map(|placed| self.find(&placed.commit)).map(|event| event.position)
    }
}

/// Proves an event of a directory's durable log, which a service may have open; `None`: there is no such event.
///
/// # Errors
/// As for [`root`](super::root); also `Damaged` when the event is not what its segment's root was made of.
pub fn prove(disk: &Arc<dyn Disk>, wanted: &WantedEvent) -> Result<Option<Proof>, OpenError> {
    let log = DurableLog::open(Arc::clone(disk))?;
    let (mut runs, tail) = kept_runs(&log, u64::MAX)?;
    let mut position = None;
    let kept_upto = runs.last().map_or(0, |run| run.leaves.next());
    let read = log.read(tail, &mut |number, frame| {
        position = position.or_else(|| wanted.find_in(&frame));
        Run::of(&mut runs, number, &frame).add(&frame);
        Ok(())
    })?;
    let end = read.end;
    let position = match position {
        Some(position) => Some(position),
        None => find_in_sealed(&log, &runs, kept_upto, wanted)?,
    };
    let Some(nth) = position.and_then(|position| runs.iter().position(|run| run.leaves.next() >= position)) else { return Ok(None) };
    let Some((event, records, leaves)) = read_run(&log, &runs, nth, wanted)? else { return Ok(None) };
    let path = path(&runs, nth, &leaves, event.position - 1, end);
    let leaf = leaves[(event.position - runs[nth].first) as usize].hash;
    let mut whole = Leaves::from(0);
    runs.iter().for_each(|run| whole.append(&run.leaves));
    if root_from_path(leaf, event.position - 1, end, &path) != Some(whole.root()) {
        let place = format!("segment {}: its events are not those that its root was made of; run verify", runs[nth].from.segment);
        return Err(OpenError::Damaged { place });
    }
    let root = Root { hash: whole.root(), cursor: Some(log.lineage.cursor(end)) };
    Ok(Some(Proof { root, event_count: end, leaf, path, records, event }))
}

/// A segment's part of the tree.
pub(crate) struct Run {
    pub(crate) from: From,
    /// The position of its first event.
    pub(crate) first: Position,
    pub(crate) leaves: Leaves,
}

impl Run {
    /// The run of a segment that is being read.
    fn of<'a>(runs: &'a mut Vec<Self>, number: u64, frame: &WholeFrame) -> &'a mut Self {
        if runs.last().is_none_or(|run| run.from.segment != number) {
            let first = frame.header.first_position;
            runs.push(Self { from: From::at(number, frame.header.previous, first), first, leaves: Leaves::from(first - 1) });
        }
        let last = runs.len() - 1;
        &mut runs[last]
    }

    fn add(&mut self, frame: &WholeFrame) {
        frame.commits.iter().for_each(|placed| leaves_of(&placed.commit).for_each(|leaf| self.leaves.push(leaf)));
    }
}

/// The event's position in the segments whose roots are kept.
fn find_in_sealed(log: &DurableLog, runs: &[Run], upto: Position, wanted: &WantedEvent) -> Result<Option<Position>, OpenError> {
    for run in runs.iter().filter(|run| run.leaves.next() <= upto) {
        if let WantedEvent::Sequence(entity, _) = wanted
            && SealedIndex::open(&OpenFiles::new(&log.disk), run.from.segment, None).is_ok_and(|seal| !seal.may_have(entity.hash()))
        {
            continue;
        }
        let mut position = None;
        log.read(run.from.only_this(run.leaves.next()), &mut |_, frame| {
            position = position.or_else(|| wanted.find_in(&frame));
            Ok(())
        })?;
        if position.is_some() {
            return Ok(position);
        }
    }
    Ok(None)
}

type ReadRun = (Recorded, Hash, Vec<Subtree>);

/// Reads a run again: the event, its commit's records, and every leaf.
fn read_run(log: &DurableLog, runs: &[Run], nth: usize, wanted: &WantedEvent) -> Result<Option<ReadRun>, OpenError> {
    let (run, mut leaves, mut found) = (&runs[nth], Vec::new(), None);
    log.read(run.from.only_this(run.leaves.next()), &mut |_, frame| {
        for placed in frame.commits.iter().filter(|placed| placed.commit.first_position <= run.leaves.next()) {
            let commit = &placed.commit;
            leaves.extend(leaves_of(commit).zip(commit.first_position - 1..).map(|(hash, index)| Subtree { level: 0, index, hash }));
            if found.is_none() {
                found = wanted.find(commit).map(|event| (event, records(commit)));
            }
        }
        Ok(())
    })?;
    Ok(found.map(|(event, records)| (event, records, leaves)))
}

fn path(runs: &[Run], nth: usize, leaves: &[Subtree], leaf: u64, size: u64) -> Vec<Hash> {
    let mut path = Path::new(leaf, size);
    for (number, run) in runs.iter().enumerate() {
        let subtrees = if number == nth { leaves } else { run.leaves.subtrees() };
        subtrees.iter().for_each(|subtree| path.add(*subtree));
    }
    path.hashes()
}
