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
pub(crate) struct From {
    pub(crate) segment: u64,
    pub(crate) place: LogPlace,
    /// The last segment that is read.
    until: u64,
}

impl From {
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
    pub(crate) fn read(&self, from: From, visit: Visit<'_>) -> Result<ReadUpto, OpenError> {
        let mut reader = Reader { live: self.live, walk: Walk::strict(from.place), waiting: VecDeque::new(), end: from.place.position - 1 };
        let mut number = from.segment;
        let mut looks = 0;
        while number <= from.until
            && let Some(segment) = self.segment(number)?
        {
            let mut at = reader.walk.enter();
            loop {
                if reader.take_all(&segment, &mut at, visit)? {
                    break;
                }
                // What is in the middle of being written is whole a moment later; damage stays.
                looks += 1;
                if !self.live || looks >= LIVE_LOOKS_MAX {
                    let (segment, position) = (segment_name(number), reader.walk.place.position);
                    let place =
                        format!("{segment}: byte {at} holds no frame that follows, and position {position} was durable; run verify");
                    return Err(OpenError::Damaged { place });
                }
            }
            number += 1;
        }
        reader.give(visit)?;
        Ok(ReadUpto { end: reader.end, seen: reader.walk.place.position - 1 })
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
    live: bool,
    walk: Walk,
    /// Frames that nobody has called durable yet.
    waiting: VecDeque<(u64, WholeFrame)>,
    end: Position,
}

impl Reader {
    /// Takes the frames of a segment from `at` on; false when the log was durable beyond the last one that follows.
    fn take_all(&mut self, segment: &Segment, at: &mut u64, visit: Visit<'_>) -> io::Result<bool> {
        loop {
            let (place, from) = (self.walk.place, *at);
            match self.walk.next(segment, at)? {
                None => return Ok(self.walk.durable_upto < place.position),
                Some(frame) if frame.follows && frame.offset == from => {
                    self.waiting.push_back((segment.header.number, frame));
                    self.give(visit)?;
                }
                Some(_) => {
                    let durable = self.walk.durable_upto;
                    (self.walk.place, *at) = (place, from);
                    if durable >= place.position {
                        return Ok(false);
                    }
                    // Writes on their way, behind one that is not whole yet: the durable log ends here.
                    return Ok(true);
                }
            }
        }
    }

    fn give(&mut self, visit: Visit<'_>) -> io::Result<()> {
        let durable = self.walk.durable_upto;
        let live = self.live;
        while let Some((number, frame)) = self.waiting.pop_front_if(|(_, frame)| !live || frame.header.next_position() <= durable + 1) {
            self.end = frame.header.next_position() - 1;
            visit(number, frame)?;
        }
        Ok(())
    }
}
