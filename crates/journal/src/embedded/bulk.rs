//! Filling an empty directory with a history that is there already: what a restore does.
//!
//! Commits and what remains of others come in the order of their positions and are written as they were: ids, times, sequences, positions. No
//! condition is checked and nothing is acknowledged one by one; all of it is durable when [`BulkWriter::finish`] returns. Nobody
//! may open the directory before: who fills one does so beside its place, and renames it.

use std::io;
use std::sync::Arc;

use super::OpenError;
use super::identity;
use super::image::ImageWriter;
use super::limits::SEGMENT_BYTES_MAX;
use super::record::{Assigned, CommitPlace, EncodedCommit, StoredCommit};
use super::segment::{LogPlace, SegmentHeader, segment_name};
use super::walk::Part;
use crate::commit::Commit;
use crate::cursor::{Lineage, Position};
use crate::seams::{Disk, DiskLock, Random};

const TEMPORARY: &str = "segment.tmp";

/// See the module.
pub struct BulkWriter {
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    lineage: Lineage,
    /// The segment at hand.
    image: Option<ImageWriter>,
    number: u64,
    /// In front of the segment at hand.
    place: LogPlace,
    _lock: Box<dyn DiskLock>,
}

impl BulkWriter {
    /// Begins a history in an empty directory, which grows out of another one at a position.
    ///
    /// # Errors
    /// When there is a journal, another process uses the directory, or the disk refuses.
    pub fn begin(disk: Arc<dyn Disk>, random: Arc<dyn Random>, parent: &Lineage, fork: Position) -> Result<Self, OpenError> {
        let lock = disk.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Disk(error),
        })?;
        if identity::read(&*disk)?.is_some() {
            return Err(OpenError::Damaged { place: "there is a journal already".into() });
        }
        let lineage = identity::open_or_begin(&*disk, &*random, Some(parent), fork)?;
        Ok(Self { disk, random, lineage, image: None, number: 0, place: LogPlace::BEGINNING, _lock: lock })
    }

    /// The history that is being written.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Takes what comes next.
    ///
    /// # Errors
    /// The disk's; `InvalidInput` for what does not come next.
    pub fn put(&mut self, part: &Part) -> io::Result<()> {
        let own = self.lineage.id;
        let image = self.image()?;
        let (first, next) = match part {
            Part::Commit(commit) => (commit.first_position, image.position()),
            Part::Gone(remains) => (remains.first_position, image.position()),
        };
        if first != next {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("position {next} comes next, and not {first}")));
        }
        match part {
            Part::Commit(commit) => put_commit(image, commit, CommitPlace { lineage: own, position: next })?,
            Part::Gone(remains) => image.remains(remains.clone())?,
        }
        if image.bytes() >= SEGMENT_BYTES_MAX { self.end_segment() } else { Ok(()) }
    }

    fn image(&mut self) -> io::Result<&mut ImageWriter> {
        if self.image.is_none() {
            let mut epoch = [0; 8];
            self.random.fill(&mut epoch);
            self.number += 1;
            let epoch = u64::from_le_bytes(epoch);
            let header = SegmentHeader { number: self.number, epoch, bytes: 0, lineage: self.lineage.id, flags: 0 };
            self.image = Some(ImageWriter::new(self.disk.create(TEMPORARY)?, header, self.place, self.place.position - 1));
        }
        self.image.as_mut().ok_or_else(|| io::Error::other("a segment that was just begun is there"))
    }

    fn end_segment(&mut self) -> io::Result<()> {
        let Some(image) = self.image.take() else { return Ok(()) };
        let (header, place) = image.finish(None)?;
        self.disk.rename(TEMPORARY, &segment_name(header.number))?;
        self.disk.sync_directory()?;
        self.place = place;
        Ok(())
    }

    /// Makes all of it durable; gives the last position.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> io::Result<Position> {
        self.end_segment()?;
        Ok(self.place.position - 1)
    }
}

fn put_commit(image: &mut ImageWriter, stored: &StoredCommit, place: CommitPlace) -> io::Result<()> {
    let commands = stored.commands.iter().map(|command| command.record.clone()).collect();
    let encoded = EncodedCommit::new(&Commit { commands, ..Commit::default() });
    let id = Some(stored.id).filter(|id| *id != place.id(stored.time));
    let first_sequences = stored.commands.iter().map(|command| command.first_sequence).collect();
    let assigned = Assigned { id, time: stored.time, position: place.position, first_sequences };
    let mut head = Vec::new();
    encoded.put_head(&assigned, &mut head);
    image.commit(&head, encoded.commands(), stored.event_count())
}
