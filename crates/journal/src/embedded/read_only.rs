//! A data directory that is only read: it opens whatever is damaged in it, knows what, and gives everything that is whole.
//!
//! It makes no write call of any kind, so that it works on a directory that may not be written to and on a copy. Opening reads all of the
//! log once. It has no index: it reads in the order of the log.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::OpenError;
use super::identity;
use super::record::StoredCommit;
use super::registers;
use super::segment::{self, Segment, segment_name};
use super::survey::{DamagedRange, Survey, survey};
use super::walk::{Part, Walk};
use crate::cursor::{Cursor, Lineage, LineageId, Position};
use crate::error::ReadError;
use crate::seams::{Disk, DiskLock};

/// A journal in one directory, for reading only.
pub struct ReadOnlyJournal {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) survey: Survey,
    lineage: Lineage,
    identity_fault: Option<String>,
    pub(crate) notes: Vec<String>,
    _lock: Option<Box<dyn DiskLock>>,
}

impl ReadOnlyJournal {
    /// Reads a directory; `progress` hears of each segment: its number, and how many there are.
    ///
    /// # Errors
    /// When a process has it open for writing, there is no journal, a newer version wrote it, or a file cannot be opened. Damage is no
    /// error, but for this: neither the identity nor the header of any segment is whole.
    pub fn open(disk: Arc<dyn Disk>, progress: impl FnMut(u64, u64)) -> Result<Self, OpenError> {
        let mut notes = Vec::new();
        let lock = lock(&*disk, &mut notes)?;
        let names = disk.list("")?;
        notes.extend(
            names.iter().filter(|name| name.ends_with(".aside")).map(|name| format!("{name} holds writes that nobody was told of")),
        );
        let (numbers, missing) = segment::numbers(&names);
        let (lineage, identity_fault) = identity(&*disk, &numbers)?;
        let upto = numbers.last().max(missing.last()).copied().unwrap_or(0);
        let survey = survey(&disk, lineage.id, upto, progress)?;
        if let Some(torn) = survey.torn {
            let segment = segment_name(torn.segment);
            notes
                .push(format!("{segment}: byte {} on holds a torn tail that nobody was told of; the next start keeps it aside", torn.byte));
        }
        Ok(Self { disk, survey, lineage, identity_fault, notes, _lock: lock })
    }

    /// Its history; `None` when the file that says so is damaged.
    #[must_use]
    pub fn lineage(&self) -> Option<&Lineage> {
        self.identity_fault.is_none().then_some(&self.lineage)
    }

    /// The id of its history, which every segment knows too.
    #[must_use]
    pub fn lineage_id(&self) -> LineageId {
        self.lineage.id
    }

    /// What is wrong with the file that says what history this is, if anything.
    #[must_use]
    pub fn identity_fault(&self) -> Option<&str> {
        self.identity_fault.as_deref()
    }

    /// What is damaged in the log, in its order.
    #[must_use]
    pub fn damage(&self) -> &[DamagedRange] {
        &self.survey.damage
    }

    /// What is worth knowing and loses nothing.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The place of the last event that is known of, whole or damaged.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.lineage.cursor(self.survey.head)
    }

    /// How many events are there and whole.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        let positions: u64 = self.survey.stretches.iter().map(|stretch| stretch.positions.end - stretch.positions.start).sum();
        positions - self.survey.gone
    }

    /// How many events compaction has dropped.
    #[must_use]
    pub fn gone_count(&self) -> u64 {
        self.survey.gone
    }

    /// The registers beside the log, with names and values.
    ///
    /// # Errors
    /// The disk's; `InvalidData` when their log is damaged.
    pub fn registers(&self) -> io::Result<Vec<(String, Bytes)>> {
        registers::at_rest(&*self.disk)
    }

    /// The commits after a place as they were stored, in order. A commit counts as after a place when its last event is.
    #[must_use]
    pub fn commits(&self, after: Cursor) -> Commits<'_> {
        let head = self.survey.head;
        let (at, refused) = match self.lineage.resolve(after, head, 0) {
            Ok(at) => (at, None),
            Err(error) => (head, Some(error.into())),
        };
        Commits { journal: self, at, stretch: 0, open: None, buffer: VecDeque::new(), refused }
    }
}

/// Shared with other readers. Where the system cannot lock (a file system without locks), the reader does without and says so.
fn lock(disk: &dyn Disk, notes: &mut Vec<String>) -> Result<Option<Box<dyn DiskLock>>, OpenError> {
    match disk.lock_shared() {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked),
        Err(error) => {
            notes.push(format!("the directory could not be locked ({error}): what is written to it meanwhile may look like damage"));
            Ok(None)
        }
    }
}

/// The history, and what is wrong with the file that says so. Without it, the segments still say which one it is.
fn identity(disk: &dyn Disk, numbers: &[u64]) -> Result<(Lineage, Option<String>), OpenError> {
    match identity::read(disk) {
        Ok(Some(lineage)) => Ok((lineage, None)),
        Ok(None) => Err(OpenError::Absent),
        Err(OpenError::Damaged { place }) => {
            let id = numbers.iter().find_map(|number| segment::open(disk, *number).ok().map(|segment| segment.header.lineage));
            let Some(id) = id else { return Err(OpenError::Damaged { place }) };
            Ok((Lineage { id, parents: Vec::new(), family_key: [0; 32] }, Some(place)))
        }
        Err(error) => Err(error),
    }
}

/// A running read of whole commits.
///
/// Where events are missing it gives [`ReadError::Damaged`] once, with the place to go on from; the next call goes on there.
pub struct Commits<'a> {
    journal: &'a ReadOnlyJournal,
    /// Everything up to here was given, or was named as damaged.
    at: Position,
    stretch: usize,
    /// The segment of the stretch, and the walk in it.
    open: Option<(Segment, Walk, u64)>,
    buffer: VecDeque<Part>,
    refused: Option<ReadError>,
}

impl Iterator for Commits<'_> {
    type Item = Result<StoredCommit, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_part()? {
                Ok(Part::Commit(commit)) => return Some(Ok(commit)),
                Ok(Part::Gone(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Commits<'_> {
    /// The next commit, or what remains of events that compaction has dropped.
    pub fn next_part(&mut self) -> Option<Result<Part, ReadError>> {
        if let Some(error) = self.refused.take() {
            return Some(Err(error));
        }
        loop {
            if let Some(part) = self.buffer.pop_front() {
                self.at = part.last_position().max(self.at);
                return Some(Ok(part));
            }
            let Some(stretch) = self.journal.survey.stretches.get(self.stretch) else {
                return self.lost_upto(self.journal.survey.head).map(Err);
            };
            if stretch.positions.end <= self.at + 1 {
                self.next_stretch();
            } else if let Some(error) = self.lost_upto(stretch.positions.start - 1) {
                return Some(Err(error));
            } else if let Err(error) = self.load() {
                return Some(Err(error));
            }
        }
    }

    /// The place up to which everything was given, or named as damaged.
    #[must_use]
    pub fn reached(&self) -> Cursor {
        self.journal.lineage.cursor(self.at)
    }

    /// The damage that took the events up to a place, unless they were given. Afterwards they count as given.
    fn lost_upto(&mut self, upto: Position) -> Option<ReadError> {
        if upto <= self.at {
            return None;
        }
        let first = self.at + 1;
        self.at = upto;
        let range = self.journal.survey.damage.iter().find(|range| range.lost.contains(&first));
        let place = range.map_or_else(|| format!("positions {first} to {upto} are lost"), ToString::to_string);
        Some(ReadError::Damaged { place, resume: range.and_then(|range| range.resume) })
    }

    fn next_stretch(&mut self) {
        self.stretch += 1;
        self.open = None;
    }

    /// Takes the next frame of the stretch.
    fn load(&mut self) -> Result<(), ReadError> {
        let stretch = &self.journal.survey.stretches[self.stretch];
        if self.open.is_none() {
            match segment::image(&*self.journal.disk, stretch.header.number) {
                Ok(file) => {
                    let segment = Segment { header: stretch.header, file };
                    self.open = Some((segment, Walk::lenient(segment::LogPlace::BEGINNING), stretch.bytes.start));
                }
                Err(error) => return Err(self.changed(stretch.positions.end - 1, &error.to_string())),
            }
        }
        let Some((segment, walk, at)) = &mut self.open else { return Ok(()) };
        let frame = match walk.next(segment, at) {
            Ok(frame) => frame.filter(|frame| frame.offset < stretch.bytes.end),
            Err(error) => return Err(self.changed(stretch.positions.end - 1, &error.to_string())),
        };
        let Some(frame) = frame else { return Err(self.changed(stretch.positions.end - 1, "it was whole before")) };
        let (first, last) = (frame.header.first_position, frame.header.next_position() - 1);
        if last <= self.at {
            return Ok(());
        }
        let at = self.at;
        self.buffer.extend(frame.into_parts().filter(|part| part.last_position() > at));
        if first > at + 1 {
            return Err(self.changed(first - 1, "it was whole before"));
        }
        Ok(())
    }

    /// What the survey found whole is so no more.
    fn changed(&mut self, upto: Position, why: &str) -> ReadError {
        let number = self.journal.survey.stretches[self.stretch].header.number;
        let place = format!("{}: positions {} to {upto} cannot be read any more: {why}", segment_name(number), self.at + 1);
        self.at = upto;
        let resume = (upto < self.journal.survey.head).then(|| self.journal.lineage.cursor(upto));
        ReadError::Damaged { place, resume }
    }
}
