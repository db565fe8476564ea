//! Filling an empty directory with a history that is there already: what a restore and an import do.
//!
//! Commits and what remains of others come in the order of their positions and are written as they were: ids, times, sequences, positions.
//! A restore gives what the root of its backup vouches for ([`BulkWriter::put`]). An import gives what a file says, and each commit must be one
//! that could have been appended there ([`BulkWriter::append`], `imported`). Nothing is acknowledged one by one; all of it is durable when
//! [`BulkWriter::finish`] returns. Nobody may open the directory before: who fills one does so beside its place, and renames it.
//!
//! Segments are small at first and grow, as those of a journal at work do. Each is whole and durable before it has its name, and gets its
//! seal once the next one has its own: what the directory holds at any time is a beginning of the history.
//!
//! Crash points: any. What a writer has left that was ended is read again and gone on with (`left`): at most one segment's work is done twice.

mod imported;
mod left;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::OpenError;
use super::files::OpenFiles;
use super::identity;
use super::image::ImageWriter;
use super::index::{CommandHashes, Placed};
use super::lookup::Lookup;
use super::record::{Assigned, CommitPlace, EncodedCommit, StoredCommit};
use super::remains::Remains;
use super::sealed::SealedSegment;
use super::segment::{self, HeaderFault, LogPlace, SegmentHeader, segment_name};
use super::sequencer::{FullSegment, PlantedBug};
use super::upkeep::{SEAL_TEMPORARY, is_full, seal_segment};
use super::walk::Part;
use crate::commit::Commit;
use crate::cursor::{Lineage, Position};
use crate::seams::{Disk, DiskLock, Random};

pub use imported::{ImportedCommand, ImportedCommit, ImportedPart, Unfit};
pub use left::{Left, LeftBehind};

/// A segment that is being written.
const TEMPORARY: &str = segment::TEMPORARY;

/// What is filled, and with what.
pub struct BulkOptions {
    /// An empty directory, or what an earlier writer has left.
    pub disk: Arc<dyn Disk>,
    /// For ids and epochs.
    pub random: Arc<dyn Random>,
    /// The history that the new one grows out of, and the last position that both share.
    pub parent: (Lineage, Position),
    /// Bytes of the first segment, and of one once segments have stopped growing; `limits::SEGMENT_BYTES` unless there is a reason.
    pub segment_bytes: RangeInclusive<u64>,
}

/// See the module.
pub struct BulkWriter {
    segment_bytes: RangeInclusive<u64>,
    files: Arc<OpenFiles>,
    random: Arc<dyn Random>,
    lineage: Lineage,
    /// The segment at hand.
    image: Option<ImageWriter>,
    number: u64,
    /// In front of the segment at hand.
    place: LogPlace,
    /// The last one that is whole. A seal says that the log goes on behind it, so that it waits for the next one.
    full: Option<FullSegment>,
    /// What the sealed ones know.
    lookup: Lookup,
    /// Events of it are gone.
    is_compacted: bool,
    /// The disk has refused something: what was taken since the last whole segment is lost.
    failed: bool,
    _lock: Box<dyn DiskLock>,
}

impl BulkWriter {
    /// Begins a history in an empty directory.
    ///
    /// # Errors
    /// When there is a journal, another process uses the directory, or the disk refuses.
    pub fn begin(options: BulkOptions) -> Result<Self, OpenError> {
        let BulkOptions { disk, random, parent: (parent, fork), .. } = &options;
        let lock = lock(&**disk)?;
        if identity::read(&**disk)?.is_some() {
            return Err(OpenError::Damaged { place: "there is a journal already".into() });
        }
        let lineage = identity::open_or_begin(&**disk, &**random, Some(parent), *fork)?;
        Ok(Self::new(options, lineage, lock))
    }

    /// A writer at the beginning of a history.
    fn new(options: BulkOptions, lineage: Lineage, lock: Box<dyn DiskLock>) -> Self {
        Self {
            segment_bytes: options.segment_bytes,
            files: OpenFiles::new(&options.disk),
            random: options.random,
            lineage,
            image: None,
            number: 0,
            place: LogPlace::BEGINNING,
            full: None,
            lookup: Lookup::new(Arc::default()),
            is_compacted: false,
            failed: false,
            _lock: lock,
        }
    }

    /// The history that is being written.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The position of the next event.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.image.as_ref().map_or(self.place.position, ImageWriter::position)
    }

    /// Takes what comes next, which somebody vouches for: only its place is looked at.
    ///
    /// # Errors
    /// The disk's; `InvalidInput` for what does not come next.
    pub fn put(&mut self, part: Part) -> io::Result<()> {
        let (first, next) = (part.first_position(), self.next_position());
        if first != next {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("position {next} comes next, and not {first}")));
        }
        match part {
            Part::Commit(StoredCommit { id, time, first_position, commands }) => {
                let first_sequences = commands.iter().map(|command| command.first_sequence).collect();
                let commit = Commit { commands: commands.into_iter().map(|command| command.record).collect(), ..Commit::default() };
                let hashes = CommandHashes::of(&commit);
                let own = CommitPlace { lineage: self.lineage.id, position: next }.id(time);
                let id = Some(id).filter(|id| *id != own);
                self.write(&commit, &hashes, &EncodedCommit::new(&commit), Assigned { id, time, position: first_position, first_sequences })
            }
            Part::Gone(remains) => self.write_remains(remains),
        }
    }

    fn write_remains(&mut self, remains: Remains) -> io::Result<()> {
        self.is_compacted = true;
        let taken = self.image().and_then(|image| image.remains(remains)).and_then(|()| self.end_full_segment());
        self.settle(taken)
    }

    fn write(&mut self, commit: &Commit, hashes: &[CommandHashes], encoded: &EncodedCommit, assigned: Assigned) -> io::Result<()> {
        let mut head = Vec::with_capacity(encoded.bytes_max() - encoded.commands().bytes.len());
        encoded.put_head(&assigned, &mut head);
        let taken = self.image().and_then(|image| {
            let section = image.commit(&head, encoded.commands(), commit.event_count() as u64)?;
            let Assigned { time, first_sequences, .. } = assigned;
            if let Some(index) = image.index_mut() {
                index.add(&Placed { commit, hashes, first_sequences: &first_sequences, time, section });
            }
            Ok(())
        });
        let taken = taken.and_then(|()| self.end_full_segment());
        self.settle(taken)
    }

    /// After an error nothing more is written: a frame may be missing in the segment at hand. What was begun on a disk without room must
    /// not keep the rest of it.
    fn settle<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            self.failed = true;
            self.image = None;
            if is_full(error) {
                // Whether they go or not: they are begun anew.
                [TEMPORARY, SEAL_TEMPORARY].into_iter().for_each(|name| drop(self.files.disk.remove(name)));
            }
        }
        outcome
    }

    fn image(&mut self) -> io::Result<&mut ImageWriter> {
        if self.failed {
            return Err(io::Error::other("the disk has refused an earlier write"));
        }
        if self.image.is_none() {
            let mut epoch = [0; 8];
            self.random.fill(&mut epoch);
            self.number += 1;
            let epoch = u64::from_le_bytes(epoch);
            let header = SegmentHeader { number: self.number, epoch, bytes: 0, lineage: self.lineage.id, flags: 0 };
            let file = self.files.disk.create(TEMPORARY)?;
            self.image = Some(ImageWriter::indexed(file, header, self.place, self.place.position - 1));
        }
        self.image.as_mut().ok_or_else(|| io::Error::other("a segment that was just begun is there"))
    }

    /// Bytes of the segment at hand: each has twice those of the one before, up to the bound.
    fn wanted_bytes(&self) -> u64 {
        let (least, most) = (*self.segment_bytes.start(), *self.segment_bytes.end());
        let doublings = u32::try_from(self.number - 1).unwrap_or(u32::MAX);
        1u64.checked_shl(doublings).and_then(|times| least.checked_mul(times)).map_or(most, |bytes| bytes.min(most))
    }

    fn end_full_segment(&mut self) -> io::Result<()> {
        let is_full = self.image.as_ref().is_some_and(|image| image.bytes() >= self.wanted_bytes());
        if is_full { self.end_segment() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> io::Result<()> {
        let Some(image) = self.image.take() else { return Ok(()) };
        let (header, end, index) = image.finish_indexed()?;
        let disk = &self.files.disk;
        disk.rename(TEMPORARY, &segment_name(header.number))?;
        disk.sync_directory()?;
        let segment = segment::open(&**disk, header.number).map_err(not_whole)?;
        let full = FullSegment { segment, index: Arc::new(index), first_position: self.place.position, end };
        self.place = end;
        self.goes_on_in(full)
    }

    /// The log goes on in this segment, so that the one before gets its seal.
    fn goes_on_in(&mut self, segment: FullSegment) -> io::Result<()> {
        self.seal_last()?;
        self.full = Some(segment);
        Ok(())
    }

    fn seal_last(&mut self) -> io::Result<()> {
        if let Some(last) = self.full.take() {
            let sealed = seal_segment(&self.files, &last, PlantedBug::None)?;
            self.add_sealed(sealed);
        }
        Ok(())
    }

    fn add_sealed(&mut self, sealed: SealedSegment) {
        let mut all = Vec::clone(&self.lookup.sealed());
        all.push(Arc::new(sealed));
        self.lookup.set_sealed(Arc::new(all));
    }

    /// Makes all of it durable; gives the last position.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> io::Result<Position> {
        if self.failed {
            return Err(io::Error::other("the disk has refused an earlier write"));
        }
        let ended = self.end_segment().and_then(|()| self.files.disk.sync_directory());
        self.settle(ended)?;
        Ok(self.place.position - 1)
    }
}

fn lock(disk: &dyn Disk) -> Result<Box<dyn DiskLock>, OpenError> {
    disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => OpenError::Disk(error),
    })
}

/// A segment that this writer, or an earlier one, has given its name.
fn not_whole(fault: HeaderFault) -> io::Error {
    match fault {
        HeaderFault::Disk(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidData, "a segment that was just written has no valid header"),
    }
}
