//! Restoring: a backup becomes a journal of its own, whole or up to a point in time.
//!
//! Every commit is written anew, with its ids, time, positions and sequences, and so is what remains of events that compaction has dropped,
//! under a new lineage that names the old one and the fork. The
//! directory is filled beside the target (`DIR.restoring`) and takes its name when all of it is durable and has the roots that the backup
//! says: no service starts on half of a restore. Registers come along as they were; a place that the new history does not have
//! is lost, and its consumer waits until a person gives it one.
//!
//! What it is not: a way back for the directory that the backup is of. Both go on apart, and cursors behind the fork tell them apart.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use journal::embedded::{Backup, BulkWriter, Part, RunningRoot, root};
use journal::{BASELINE, Cursor, EntityKey, Lineage, LineageId, Position, RegisterExpect, Registers as _, Timestamp};

use crate::engine;
use crate::exit::Exit;
use crate::export::place::{New, Place};
use crate::failure::{BACKUP, DATA_DAMAGED, Failure};

/// What the place of a restore is called until it is whole.
const UNFINISHED: &str = ".restoring";

/// Where the new history parts from the old one.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    /// At the head of the backup.
    Nowhere,
    /// In front of the first commit of this time or a later one.
    Before(Timestamp),
    /// Behind the last commit that ends at this place or before it.
    Behind(Cursor),
}

/// What a restore made.
pub(crate) struct Restored {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    pub(crate) fork: Cursor,
    pub(crate) lineage: LineageId,
    pub(crate) registers: u64,
}

/// Makes a data directory from a backup; `progress` hears of positions.
///
/// # Errors
/// When the target has something in it, the backup is not what it says, or the engine refuses.
pub(crate) async fn restore(backup: &Backup, target: &Path, cut: Cut, progress: &dyn Fn(Position)) -> Result<Restored, Failure> {
    let Place::New(new) = Place::of(target, UNFINISHED)? else {
        return Err(refused(format!("{} has a journal; restore into an empty directory with --data", target.display())));
    };
    let Some(parent) = backup.journal.lineage().cloned() else { unreachable!("a backup that opens says what history it is") };
    let fork = fork(backup, &parent, cut)?;
    let writer = new.fill(&parent, fork)?;
    let lineage = writer.lineage().id;
    let (commits, expected) = fill(backup, writer, fork, progress)?;
    put_registers(&backup.registers, new.path()).await?;
    check_root(&new, expected)?;
    new.finish()?;
    Ok(Restored { commits, events: fork, fork: parent.cursor(fork), lineage, registers: backup.registers.len() as u64 })
}

/// The last position of the last commit in front of the cut.
fn fork(backup: &Backup, lineage: &Lineage, cut: Cut) -> Result<Position, Failure> {
    let head = backup.head.position();
    let upto = match cut {
        Cut::Nowhere => return Ok(head),
        Cut::Before(_) => head,
        Cut::Behind(cursor) => {
            let unfit = |error| refused(format!("--to: {error}"));
            lineage.resolve(cursor, head, 0).map_err(unfit)?
        }
    };
    let mut fork = 0;
    for part in parts(backup) {
        let part = part?;
        let last = match (&part, cut) {
            (Part::Commit(commit), Cut::Before(time)) if commit.time >= time => break,
            (Part::Commit(commit), _) if commit.last_position() > upto => break,
            (Part::Gone(remains), Cut::Before(time)) => remains.last_before(time),
            (part, _) => part.last_position().min(upto),
        };
        fork = last;
        if last < part.last_position() {
            break;
        }
    }
    Ok(fork)
}

/// What the backup holds up to its head, in order.
fn parts(backup: &Backup) -> impl Iterator<Item = Result<Part, Failure>> + '_ {
    let damaged = |error: journal::ReadError| Failure::new(Exit::Damaged, DATA_DAMAGED, error.to_string());
    let head = backup.head.position();
    let mut commits = backup.journal.commits(Cursor::BEGINNING);
    std::iter::from_fn(move || commits.next_part())
        .map(move |part| part.map_err(damaged))
        .take_while(move |part| part.as_ref().map_or(true, |part| part.last_position() <= head))
}

/// Writes everything up to the fork, and reads the rest of the backup all the same: its root is over all of it. Gives how many commits were
/// written, and the root of the new journal.
fn fill(backup: &Backup, mut writer: BulkWriter, fork: Position, progress: &dyn Fn(Position)) -> Result<(u64, [u8; 32]), Failure> {
    let (mut count, mut all, mut written) = (0, RunningRoot::default(), RunningRoot::default());
    let (mut histories, is_cut) = (Histories::default(), fork < backup.head.position() && backup.journal.gone_count() > 0);
    for part in parts(backup) {
        let part = part?;
        all.add(&part);
        if is_cut {
            histories.add(&part, fork);
        }
        let reached = part.last_position();
        if let Some(part) = in_front_of(part, fork) {
            written.add(&part);
            count += u64::from(matches!(part, Part::Commit(_)));
            let last = part.last_position();
            writer.put(part).map_err(|error| refused(format!("position {last}: {error}")))?;
        }
        progress(reached);
    }
    if all.hash() != backup.root.hash {
        let message = "the events of the backup are not those that its root was made of; run verify on it".to_owned();
        return Err(Failure::new(Exit::Damaged, DATA_DAMAGED, message));
    }
    histories.check(&|position| Cursor::from_parts(backup.journal.lineage_id(), position))?;
    writer.finish().map_err(|error| refused(format!("the restored journal: {error}")))?;
    Ok((count, written.hash()))
}

/// Whether a cut leaves each entity with a history to load it from: what compaction has dropped in front of the cut may be stood for by a
/// `$baseline` behind it only.
#[derive(Default)]
struct Histories {
    is_compacted: bool,
    /// The last sequence of each entity in front of the cut; `None` where some before it is gone and nothing stands for it.
    in_front: HashMap<EntityKey, Option<u64>>,
    behind: HashSet<EntityKey>,
    /// Entities that would be without, and the place of the last event that stands for one.
    without: u64,
    safe: Position,
}

impl Histories {
    fn add(&mut self, part: &Part, fork: Position) {
        let commit = match part {
            Part::Gone(remains) => {
                self.is_compacted |= remains.first_position() <= fork;
                return;
            }
            Part::Commit(commit) => commit,
        };
        for event in commit.events() {
            let stands = matches!(&*event.name, BASELINE | "$deleted");
            if event.position > fork {
                self.behind(&event.entity, event.sequence, event.position, stands);
                continue;
            }
            self.in_front(event.entity, event.sequence, stands);
        }
    }

    fn in_front(&mut self, entity: EntityKey, sequence: u64, stands: bool) {
        let before = self.in_front.get(&entity).copied().unwrap_or(Some(0));
        let follows = stands || before == Some(sequence - 1);
        self.in_front.insert(entity, follows.then_some(sequence));
    }

    /// The first event behind the cut follows those in front of it, or some between are gone: nobody knows on which side they were.
    fn behind(&mut self, entity: &EntityKey, sequence: u64, position: Position, stands: bool) {
        if !self.behind.insert(entity.clone()) {
            return;
        }
        let before = self.in_front.get(entity).copied().unwrap_or(Some(0));
        if stands && before != Some(sequence - 1) {
            self.without += 1;
            self.safe = self.safe.max(position);
        }
    }

    fn check(&self, cursor: &dyn Fn(Position) -> Cursor) -> Result<(), Failure> {
        if !self.is_compacted || self.without == 0 {
            return Ok(());
        }
        Err(refused(format!(
            "compaction has dropped events that baselines behind this place stand for: {} entities may be without their history there; \
             restore --to {} or later, all of it, or an older backup",
            self.without,
            cursor(self.safe)
        )))
    }
}

/// What of a part lies in front of the fork, which never parts a commit.
fn in_front_of(part: Part, fork: Position) -> Option<Part> {
    match part {
        Part::Gone(remains) => remains.upto(fork).map(Part::Gone),
        Part::Commit(commit) => (commit.last_position() <= fork).then_some(Part::Commit(commit)),
    }
}

/// Opens what was written, which makes its indexes, and gives it the registers.
pub(crate) async fn put_registers(registers: &[(String, Bytes)], directory: &Path) -> Result<(), Failure> {
    let engine = engine::open(directory, None)?;
    for (name, value) in registers {
        let put = engine.journal.put(name, RegisterExpect::Absent, value.clone()).await;
        put.map_err(|error| refused(format!("register {name} was refused: {error}")))?;
    }
    engine.journal.close().await;
    Ok(())
}

/// What is on the disk has the root that what was read has.
pub(crate) fn check_root(new: &New, expected: [u8; 32]) -> Result<(), Failure> {
    let written = root(&engine::directory_to_read(new.path())?, &mut || {}).map_err(|error| engine::not_opened(new.path(), &error))?;
    match written.hash == expected {
        true => Ok(()),
        false => Err(refused("what was written is not what was read; it stays unfinished".to_owned())),
    }
}

fn refused(what: String) -> Failure {
    Failure::new(Exit::Failed, BACKUP, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use super::*;

    fn key(id: &str) -> EntityKey {
        EntityKey::new("cart", id).unwrap()
    }

    /// Histories cut behind the event before 100, of entities with (sequence, stands for others) in front of it and behind it.
    fn without(in_front: &[(&str, u64, bool)], behind: &[(&str, u64, bool)]) -> u64 {
        let mut histories = Histories { is_compacted: true, ..Histories::default() };
        in_front.iter().for_each(|(id, sequence, stands)| histories.in_front(key(id), *sequence, *stands));
        behind.iter().zip(100..).for_each(|((id, sequence, stands), position)| histories.behind(&key(id), *sequence, position, *stands));
        histories.without
    }

    #[test]
    fn an_entity_whose_baseline_lies_behind_the_cut_would_be_without_its_history() {
        assert_eq!(without(&[], &[("a", 51, true)]), 1);
        assert_eq!(without(&[("a", 7, false)], &[("a", 51, true)]), 1, "what stays in front of a gap is no history");
        assert_eq!(without(&[("a", 1, false), ("a", 2, false)], &[("a", 3, true), ("a", 60, true)]), 0, "it is dense up to its baseline");
        assert_eq!(
            without(&[("a", 50, true), ("a", 51, false)], &[("a", 52, false), ("a", 53, true)]),
            0,
            "an older baseline stands for it"
        );
        assert_eq!(without(&[], &[("a", 1, false)]), 0, "it begins behind the cut");
    }
}
