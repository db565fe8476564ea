//! A proof that one event is among those that a root covers: its leaf, and the path of siblings up to the root.
//!
//! It holds what another program needs to make the leaf again ([`Recorded`] and one hash for the rest of the commit), and no other event.
//! At most 64 hashes, whatever the log's size. Only the event's own segment is read, where the roots of the others are kept.

use std::sync::Arc;

use super::OpenError;
use super::durable_log::{DurableLog, LogStart};
use super::evidence::{Root, kept_runs};
use super::files::OpenFiles;
use super::leaf::records;
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

/// Proves an event of a directory's durable log, which a service may have open; `None`: there is no such event. Under the root of all
/// events so far, or of the first ones up to the place of a root that was kept. `pause` is as for [`root`](super::root).
///
/// # Errors
/// As for [`root`](super::root); also `Damaged` when the events are not those that a root was made of.
pub fn prove(
    disk: &Arc<dyn Disk>,
    wanted: &WantedEvent,
    under: Option<&Root>,
    pause: &mut dyn FnMut(),
) -> Result<Option<Proof>, OpenError> {
    let log = DurableLog::open(Arc::clone(disk))?;
    let (mut runs, tail) = kept_runs(&log)?;
    log.settle(tail, pause)?;
    let mut position = None;
    let kept_upto = runs.last().map_or(0, |run| run.leaves.next());
    let read = log.read(tail, &mut |number, frame| {
        position = position.or_else(|| wanted.find_in(&frame));
        Run::of(&mut runs, number, &frame).add(&frame);
        Ok(())
    })?;
    let size = under.and_then(|root| root.cursor).map_or(read.end, |cursor| cursor.position().min(read.end));
    let position = match position {
        Some(position) => Some(position),
        None => find_in_sealed(&log, &runs, kept_upto, wanted)?,
    };
    match position.filter(|position| *position <= size) {
        Some(position) => Tree { log: &log, runs: &runs, size }.prove(position, wanted, under),
        None => Ok(None),
    }
}

/// The first events, as the runs that they lie in.
struct Tree<'a> {
    log: &'a DurableLog,
    runs: &'a [Run],
    size: Position,
}

impl Tree<'_> {
    fn prove(&self, position: Position, wanted: &WantedEvent, under: Option<&Root>) -> Result<Option<Proof>, OpenError> {
        let (mut path, mut whole, mut found) = (Path::new(position - 1, self.size), Leaves::from(0), None);
        for run in self.runs.iter().take_while(|run| run.first <= self.size) {
            let holds = (run.first..=run.leaves.next()).contains(&position);
            if !holds && run.leaves.next() <= self.size {
                run.leaves.subtrees().iter().for_each(|subtree| path.add(*subtree));
                whole.append(&run.leaves);
                continue;
            }
            let (leaves, event) = read_run(self.log, run, wanted)?;
            found = found.or(event);
            leaves.iter().filter(|leaf| leaf.index < self.size).for_each(|leaf| path.add(*leaf));
            match run.leaves.next() <= self.size {
                true => whole.append(&run.leaves),
                false => leaves.iter().filter(|leaf| leaf.index < self.size).for_each(|leaf| whole.add(*leaf)),
            }
        }
        let Some((event, records, leaf)) = found.filter(|(event, ..)| event.position == position) else { return Ok(None) };
        let (hash, path) = (whole.root(), path.hashes());
        if root_from_path(leaf, position - 1, self.size, &path) != Some(hash) || under.is_some_and(|under| under.hash != hash) {
            let place = "the events are not those that the root was made of; run verify, with --root when one was kept".to_owned();
            return Err(OpenError::Damaged { place });
        }
        let root = Root { hash, cursor: Some(self.log.lineage.cursor(self.size)) };
        Ok(Some(Proof { root, event_count: self.size, leaf, path, records, event }))
    }
}

/// A segment's part of the tree.
pub(crate) struct Run {
    pub(crate) from: LogStart,
    /// The position of its first event.
    pub(crate) first: Position,
    pub(crate) leaves: Leaves,
}

impl Run {
    /// The run of a segment that is being read.
    fn of<'a>(runs: &'a mut Vec<Self>, number: u64, frame: &WholeFrame) -> &'a mut Self {
        if runs.last().is_none_or(|run| run.from.segment != number) {
            let first = frame.header.first_position;
            runs.push(Self { from: LogStart::at(number, frame.header.previous, first), first, leaves: Leaves::from(first - 1) });
        }
        let last = runs.len() - 1;
        &mut runs[last]
    }

    fn add(&mut self, frame: &WholeFrame) {
        frame.leaves().into_iter().for_each(|leaf| self.leaves.push(leaf));
    }
}

/// The event's position in the segments whose roots are kept.
fn find_in_sealed(log: &DurableLog, runs: &[Run], upto: Position, wanted: &WantedEvent) -> Result<Option<Position>, OpenError> {
    let files = OpenFiles::new(&log.disk);
    for run in runs.iter().filter(|run| run.leaves.next() <= upto) {
        if let WantedEvent::Sequence(entity, _) = wanted
            && SealedIndex::open(&files, run.from.segment, None).is_ok_and(|seal| !seal.may_have(entity.hash()))
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

type ReadRun = (Vec<Subtree>, Option<(Recorded, Hash, Hash)>);

/// Reads a run again: every leaf, and the event with its commit's records and its leaf, if it is here.
fn read_run(log: &DurableLog, run: &Run, wanted: &WantedEvent) -> Result<ReadRun, OpenError> {
    let (mut leaves, mut found) = (Vec::new(), None);
    log.read(run.from.only_this(run.leaves.next()), &mut |_, frame| {
        let first = frame.header.first_position;
        leaves.extend(frame.leaves().into_iter().zip(first - 1..).map(|(hash, index)| Subtree { level: 0, index, hash }));
        for placed in &frame.commits {
            let commit = &placed.commit;
            if let Some(event) = wanted.find(commit).filter(|_| found.is_none()) {
                let leaf = leaves[(event.position - run.first) as usize].hash;
                found = Some((event, records(commit), leaf));
            }
        }
        Ok(())
    })?;
    Ok((leaves, found))
}
