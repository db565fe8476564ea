//! What a writer that was ended has left, read once and gone on with.
//!
//! Whatever ended it, each segment was whole and on the disk before it had its name: what the directory holds is a beginning of the
//! history, up to a commit's end. A segment that was being made has no name yet, and a seal that is missing is made again.
//! Whoever goes on takes every part first, and says whether it is what it would have written: nothing is asked of files beside the log.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{BulkOptions, BulkWriter, SEAL_TEMPORARY, TEMPORARY, lock, not_whole};
use crate::embedded::OpenError;
use crate::embedded::identity;
use crate::embedded::seal::SealedIndex;
use crate::embedded::sealed::SealedSegment;
use crate::embedded::segment::{self, LogPlace, Segment, segment_name};
use crate::embedded::sequencer::FullSegment;
use crate::embedded::walk::{self, Part, Walk, WholeFrame};

/// What there is in a directory, for a writer of a history that grows out of another one at a position.
pub enum LeftBehind {
    /// Nothing.
    Nothing,
    /// Another history, or none that a writer has begun.
    Other,
    /// A beginning.
    Beginning(Box<Left>),
}

/// See the module.
pub struct Left {
    writer: BulkWriter,
    /// How many segments there are.
    segments: u64,
    walk: Walk,
    /// The segment at hand, and the place in it.
    open: Option<(Segment, u64)>,
    /// Where the log stood in front of it.
    start: LogPlace,
    buffer: VecDeque<Part>,
}

impl Left {
    /// Looks into a directory.
    ///
    /// # Errors
    /// When another process uses the directory, what is there is damaged, or the disk refuses.
    pub fn find(options: BulkOptions) -> Result<LeftBehind, OpenError> {
        let BulkOptions { disk, parent: (parent, fork), .. } = &options;
        let lock = lock(&**disk)?;
        let Some(lineage) = identity::read(&**disk)? else { return Ok(LeftBehind::Nothing) };
        if lineage.parents.first().is_none_or(|first| first.id != parent.id || first.fork != *fork) {
            return Ok(LeftBehind::Other);
        }
        let (numbers, missing) = segment::numbers(&disk.list("")?);
        if let Some(missing) = missing.first() {
            return Err(OpenError::Damaged { place: format!("{} is missing", segment_name(*missing)) });
        }
        let walk = Walk::strict(LogPlace::BEGINNING);
        let start = walk.place;
        let writer = BulkWriter::new(options, lineage, lock);
        let segments = numbers.len() as u64;
        Ok(LeftBehind::Beginning(Box::new(Self { writer, segments, walk, open: None, start, buffer: VecDeque::new() })))
    }

    /// The next part, in the order of the log; `None` when all of them were given.
    ///
    /// # Errors
    /// When something is not as a writer leaves it, or the disk refuses.
    pub fn next_part(&mut self) -> Result<Option<Part>, OpenError> {
        while self.buffer.is_empty() {
            let Some((segment, mut at)) = self.open.take() else {
                if self.writer.number == self.segments {
                    return Ok(None);
                }
                self.begin_segment()?;
                continue;
            };
            match self.walk.next(&segment, &mut at)? {
                Some(frame) => {
                    self.take_frame(&segment, frame)?;
                    self.open = Some((segment, at));
                }
                None => self.end_segment(segment)?,
            }
        }
        Ok(self.buffer.pop_front())
    }

    fn begin_segment(&mut self) -> Result<(), OpenError> {
        let number = self.writer.number + 1;
        let segment = segment::open(&*self.writer.files.disk, number).map_err(|fault| OpenError::from(not_whole(fault)))?;
        if segment.header.lineage != self.writer.lineage.id {
            return Err(OpenError::Damaged { place: format!("{} belongs to another journal", segment_name(number)) });
        }
        self.start = self.walk.place;
        let at = self.walk.enter();
        self.open = Some((segment, at));
        Ok(())
    }

    fn take_frame(&mut self, segment: &Segment, frame: WholeFrame) -> Result<(), OpenError> {
        if !frame.follows {
            let place = format!("{}: byte {} does not go on from what is before it", segment_name(segment.header.number), frame.offset);
            return Err(OpenError::Damaged { place });
        }
        self.writer.is_compacted |= !frame.remains.is_empty();
        self.buffer.extend(frame.into_parts());
        Ok(())
    }

    /// The segment must be whole to its last byte, which no other than a bulk writer's is.
    fn end_segment(&mut self, segment: Segment) -> Result<(), OpenError> {
        let (end, header) = (self.walk.place, segment.header);
        if end.offset != header.bytes || end.durable_upto + 1 != end.position {
            let place = format!("{} is not whole: nothing is there from byte {} on", segment_name(header.number), end.offset);
            return Err(OpenError::Damaged { place });
        }
        self.writer.number = header.number;
        self.writer.place = end;
        match self.sealed(&segment, end)? {
            Some(sealed) => {
                self.writer.seal_last()?;
                self.writer.add_sealed(sealed);
            }
            None => {
                let index = Arc::new(walk::scan(&segment, self.start)?.index);
                self.writer.goes_on_in(FullSegment { segment, index, first_position: self.start.position, end })?;
            }
        }
        Ok(())
    }

    /// The seal that is there, when it is this segment's and the log goes on behind it.
    fn sealed(&self, segment: &Segment, end: LogPlace) -> io::Result<Option<SealedSegment>> {
        let header = segment.header;
        let opened = SealedIndex::open(&self.writer.files, header.number, Some(header.epoch));
        let fits = |index: &SealedIndex| {
            let summary = &index.summary;
            (summary.first_position, summary.last_position + 1) == (self.start.position, end.position)
                && (summary.end_offset, summary.chain) == (end.offset, end.chain)
        };
        match opened {
            Ok(index) if fits(&index) => Ok(Some(SealedSegment::new(index, Arc::clone(&self.writer.files)))),
            _ => Ok(None),
        }
    }

    /// A writer that goes on behind all that was given.
    ///
    /// # Errors
    /// The disk's; `InvalidInput` when there are parts that nobody has taken.
    pub fn go_on(self) -> io::Result<BulkWriter> {
        if self.writer.number < self.segments || !self.buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what was left has not been read to its end"));
        }
        let disk = &self.writer.files.disk;
        for temporary in [TEMPORARY, SEAL_TEMPORARY] {
            match disk.remove(temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // The names of the last segments may be in the cache of a process that was killed only.
        disk.sync_directory()?;
        Ok(self.writer)
    }
}
