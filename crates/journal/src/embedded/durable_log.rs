//! The log as a process reads it beside its owner: only what is durable, in order, from frames that follow each other. Nothing is written.
//!
//! Where the directory can be locked with other readers, nobody writes, and every frame that follows counts, as it would for a start. Where a
//! service has it, a frame counts when a later one says that its events were durable: the marker of an idle log says so
//! within moments. What is caught in the middle of a write is no frame yet, and comes with the next look.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::OpenError;
use super::identity;
use super::limits::LIVE_LOOKS_MAX;
use super::segment::{self, HeaderFault, LogPlace, Segment, segment_name};
use super::walk::{Walk, WholeFrame};
use crate::cursor::{Lineage, Position};
use crate::seams::{Disk, DiskLock};

/// A directory whose durable log is read.
pub(crate) struct DurableLog {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) lineage: Lineage,
    /// A service may be at work in it.
    pub(crate) live: bool,
    _lock: Option<Box<dyn DiskLock>>,
}

/// Where a walk begins: a segment, and the place of the log in front of it.
#[derive(Clone, Copy)]
pub(crate) struct LogStart {
    pub(crate) segment: u64,
    pub(crate) place: LogPlace,
    /// The last segment that is read.
    until: u64,
}

impl LogStart {
    pub(crate) const BEGINNING: Self = Self { segment: 1, place: LogPlace::BEGINNING, until: u64::MAX };

    /// The beginning of a segment, behind a frame with this checksum.
    pub(crate) fn at(segment: u64, chain: u32, position: Position) -> Self {
        Self { segment, place: LogPlace { chain, position, durable_upto: position - 1, ..LogPlace::BEGINNING }, until: u64::MAX }
    }

    /// Only this segment, of which the events up to a position are known to be durable.
    pub(crate) fn only_this(self, durable_upto: Position) -> Self {
        Self { place: LogPlace { durable_upto, ..self.place }, until: self.segment, ..self }
    }
}

/// How far a read came.
pub(crate) struct ReadUpto {
    /// The last position that was given.
    pub(crate) end: Position,
    /// The last one of a frame that follows, durable or not.
    pub(crate) seen: Position,
}

/// Hears of each durable frame in order: its segment's number, and the frame.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(u64, WholeFrame) -> io::Result<()>;

impl DurableLog {
    /// Opens a directory for reading, whether a service has it or not.
    ///
    /// # Errors
    /// When there is no journal, its identity is damaged, or the disk refuses.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let lock = disk.lock_shared().ok();
        let lineage = identity::read(&*disk)?.ok_or(OpenError::Absent)?;
        Ok(Self { disk, lineage, live: lock.is_none(), _lock: lock })
    }

    /// Gives every durable frame from a place on.
    ///
    /// # Errors
    /// `Damaged` where the log does not go on although it was durable; else the disk's and the visitor's.
    pub(crate) fn read(&self, from: LogStart, visit: Visit<'_>) -> Result<ReadUpto, OpenError> {
        let end = from.place.position - 1;
        let mut reader = Reader { place: from.place, segment: from.segment, at: None, waiting: VecDeque::new(), end };
        // What was in the middle of being written is whole when it is looked at again; damage stays.
        for _ in 0..if self.live { LIVE_LOOKS_MAX } else { 1 } {
            if reader.look(self, from.until, visit)? {
                return Ok(ReadUpto { end: reader.end, seen: reader.place.position - 1 });
            }
        }
        let (segment, at, position) = (segment_name(reader.segment), reader.at.unwrap_or_default(), reader.place.position);
        let place = format!("{segment}: byte {at} holds no frame that follows, and position {position} was durable; run verify");
        Err(OpenError::Damaged { place })
    }

    /// Waits until everything that is there now from a place on is durable. The owner says so with its next frame or the marker of an
    /// idle log; `pause` waits for some moments of that.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn settle(&self, from: LogStart, pause: &mut dyn FnMut()) -> Result<(), OpenError> {
        let mut wanted = None;
        for _ in 0..LIVE_LOOKS_MAX {
            let read = self.read(from, &mut |_, _| Ok(()))?;
            if !self.live || read.end >= *wanted.get_or_insert(read.seen) {
                break;
            }
            pause();
        }
        Ok(())
    }

    fn segment(&self, number: u64) -> Result<Option<Segment>, OpenError> {
        match segment::open(&*self.disk, number) {
            Ok(segment) if segment.header.lineage == self.lineage.id => Ok(Some(segment)),
            Ok(_) => Err(OpenError::Damaged { place: format!("{} belongs to another journal", segment_name(number)) }),
            Err(HeaderFault::Disk(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(HeaderFault::Disk(error)) => Err(OpenError::Disk(error)),
            Err(HeaderFault::TooNew(version)) => Err(OpenError::TooNew { version }),
            Err(HeaderFault::Damaged | HeaderFault::Cut { .. }) => {
                Err(OpenError::Damaged { place: format!("{} is damaged or cut; run verify", segment_name(number)) })
            }
        }
    }
}

struct Reader {
    /// Behind the last frame that follows, and in which segment and where that is.
    place: LogPlace,
    segment: u64,
    at: Option<u64>,
    /// Frames that nobody has called durable yet.
    waiting: VecDeque<(u64, WholeFrame)>,
    end: Position,
}

impl Reader {
    /// Takes the frames that follow, from where the last look ended; false when the log was durable beyond them.
    fn look(&mut self, log: &DurableLog, until: u64, visit: Visit<'_>) -> Result<bool, OpenError> {
        let (mut walk, mut number, mut broken) = (Walk::strict(self.place), self.segment, false);
        let mut start = self.at;
        while number <= until
            && let Some(segment) = log.segment(number)?
        {
            let first = walk.enter();
            let mut at = start.take().unwrap_or(first);
            // Behind a gap frames are only asked for what they call durable.
            while let Some(frame) = walk.next(&segment, &mut at)? {
                broken |= !frame.follows;
                if !broken {
                    (self.place, self.segment, self.at) = (walk.place, number, Some(at));
                    self.waiting.push_back((number, frame));
                    self.give(log.live, visit)?;
                }
            }
            number += 1;
        }
        self.place.durable_upto = walk.durable_upto;
        self.give(log.live, visit)?;
        Ok(walk.durable_upto < self.place.position)
    }

    fn give(&mut self, live: bool, visit: Visit<'_>) -> io::Result<()> {
        let durable = self.place.durable_upto;
        while let Some((number, frame)) = self.waiting.pop_front_if(|(_, frame)| !live || frame.header.next_position() <= durable + 1) {
            self.end = frame.header.next_position() - 1;
            visit(number, frame)?;
        }
        Ok(())
    }
}
