//! Opening a data directory for writing: the last seals, a walk over what is not sealed, and a word about what was found at the end.
//!
//! Frames follow each other by their checksums, over segments. Where the first one is missing or does not fit, two things may
//! have happened. A crash caught writes on their way: nothing of them was acknowledged, and what is left of them is kept
//! aside and cut off. Or the disk lost what it had confirmed: then a later frame, marker or seal says that this
//! position was durable, and opening is refused with the range; nothing is cut. `survey` makes the same walk over a whole directory,
//! goes on behind damage, and writes nothing at all.

use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::files::OpenFiles;
use super::index::SegmentIndex;
use super::limits::SEGMENT_HEADER_BYTES;
use super::packed;
use super::seal::SealedIndex;
use super::sealed::SealedSegment;
use super::segment::{self, FLAG_COMPACTED, HeaderFault, LogPlace, Segment, SegmentHeader, seal_name, segment_name};
use super::sequencer::{FullSegment, Next, PlantedBug};
use super::upkeep::{self, is_full, seal_segment};
use super::walk::{self, Scanned, Walk};
use super::{OpenError, OpenReport};
use crate::cursor::{Lineage, Position};
use crate::seams::{BLOCK_BYTES, Disk, Random};

/// The log as it was found and made ready.
pub(crate) struct Recovered {
    pub(crate) sealed: Vec<Arc<SealedSegment>>,
    pub(crate) full: Option<Arc<FullSegment>>,
    pub(crate) active: Segment,
    pub(crate) index: SegmentIndex,
    pub(crate) active_first: Position,
    pub(crate) place: LogPlace,
    pub(crate) next: Next,
}

/// Where a journal is recovered, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) files: &'a Arc<OpenFiles>,
    pub(crate) lineage: &'a Lineage,
    pub(crate) random: &'a dyn Random,
    pub(crate) segment_bytes: &'a RangeInclusive<u64>,
    pub(crate) planted: PlantedBug,
}

impl Place<'_> {
    fn wanted(&self, active: &Segment) -> Next {
        Next::Wanted((active.header.bytes * 2).min(*self.segment_bytes.end()))
    }

    fn header(&self, number: u64, bytes: u64) -> SegmentHeader {
        let mut epoch = [0; 8];
        self.random.fill(&mut epoch);
        SegmentHeader { number, epoch: u64::from_le_bytes(epoch), bytes, lineage: self.lineage.id, flags: 0 }
    }
}

/// Finds the end of the log.
pub(crate) fn recover(at: Place<'_>, report: &mut OpenReport) -> Result<Recovered, OpenError> {
    let disk = &at.files.disk;
    let (numbers, missing) = segment::numbers(&disk.list("")?);
    if let Some(missing) = missing.first() {
        return Err(OpenError::Damaged { place: format!("{} is missing", segment_name(*missing)) });
    }
    if numbers.is_empty() {
        let active = segment::prepare(&**disk, at.header(1, *at.segment_bytes.start()), at.planted)?;
        return Ok(Recovered {
            sealed: Vec::new(),
            full: None,
            next: at.wanted(&active),
            active,
            index: Default::default(),
            active_first: 1,
            place: LogPlace::BEGINNING,
        });
    }
    let mut segments = open_all(disk, &numbers, at.lineage)?;
    let (sealed, place) = take_sealed(at.files, &segments);
    let rest = segments.split_off(sealed.len());
    // Where direct writes are not taken, what a killed process wrote may lie in the page cache only: it counts once it is synced.
    rest.iter().try_for_each(|segment| segment.file.sync())?;
    let mut found = Found::new(sealed, place, at.planted);
    found.look(at.files, &rest)?;
    found.refuse_damage(at.files, &rest)?;
    found.prepare(at, rest, report)
}

/// What the walk over the segments without a seal has found: a log that ends somewhere, and what lies behind.
struct Found {
    sealed: Vec<Arc<SealedSegment>>,
    full: Option<Arc<FullSegment>>,
    /// The number of the segment that the log ends in, among those without a seal.
    active: usize,
    active_first: Position,
    index: SegmentIndex,
    end: LogPlace,
    durable_upto: Position,
    /// For each segment without a seal, the byte behind the last one that is not zero.
    used: Vec<u64>,
    planted: PlantedBug,
}

impl Found {
    fn new(sealed: Vec<Arc<SealedSegment>>, place: LogPlace, planted: PlantedBug) -> Self {
        Self {
            sealed,
            full: None,
            active: 0,
            active_first: place.position,
            index: SegmentIndex::default(),
            end: place,
            durable_upto: place.durable_upto,
            used: Vec::new(),
            planted,
        }
    }

    /// Walks over the segments, in order, and seals those that the log goes on behind.
    fn look(&mut self, files: &Arc<OpenFiles>, rest: &[Segment]) -> Result<(), OpenError> {
        let (mut walk, mut whole) = (Walk::strict(self.end), true);
        walk.chain_ignored = self.planted == PlantedBug::RecycleSegments;
        for (number, segment) in rest.iter().enumerate() {
            let mut at = walk.enter();
            while let Some(frame) = walk.next(segment, &mut at)? {
                whole &= frame.follows;
                if whole {
                    self.roll(files, rest, number)?;
                    self.index.add_frame(frame);
                    self.end = walk.place;
                }
            }
            self.used.push(walk.used_upto);
        }
        self.durable_upto = walk.durable_upto;
        Ok(())
    }

    /// The log goes on in this segment: the one before is full.
    fn roll(&mut self, files: &Arc<OpenFiles>, rest: &[Segment], number: usize) -> Result<(), OpenError> {
        if number == self.active {
            return Ok(());
        }
        let (segment, index) = (rest[self.active].clone(), Arc::new(std::mem::take(&mut self.index)));
        let ended = FullSegment { segment, index, first_position: self.active_first, end: self.end };
        if let Some(before) = self.full.take() {
            // Seals stand in the order of the log: the one that there was no room for goes first.
            self.sealed.push(Arc::new(seal_if_there_is_room(files, &before, self.planted)?));
        }
        match seal_segment(files, &ended, self.planted) {
            Ok(seal) => self.sealed.push(Arc::new(seal)),
            // A full disk must not keep a service down: the index stays in memory until there is room.
            Err(error) if is_full(&error) => self.full = Some(Arc::new(ended)),
            Err(error) => return Err(error.into()),
        }
        self.active = number;
        self.active_first = self.end.position;
        Ok(())
    }

    /// What lies behind the log's end is a torn tail unless some valid frame, or a seal, says that this position was durable.
    fn refuse_damage(&mut self, files: &Arc<OpenFiles>, rest: &[Segment]) -> Result<(), OpenError> {
        for segment in &rest[self.active..] {
            if let Ok(seal) = SealedIndex::open(files, segment.header.number, Some(segment.header.epoch)) {
                self.durable_upto = self.durable_upto.max(seal.summary.last_position);
            }
        }
        if self.durable_upto < self.end.position {
            return refuse_packed(&*files.disk, &rest[self.active..]);
        }
        let (number, end) = (rest[self.active].header.number, self.end);
        let place = format!(
            "segment {number}: byte {} holds no valid frame, and positions {} to {} were acknowledged",
            end.offset, end.position, self.durable_upto
        );
        Err(OpenError::Damaged { place })
    }

    /// Keeps a torn tail aside, cuts it off, and makes the segments behind the end ready for what comes.
    fn prepare(self, at: Place<'_>, mut rest: Vec<Segment>, report: &mut OpenReport) -> Result<Recovered, OpenError> {
        forget_seals(&*at.files.disk, &rest[self.active..])?;
        for (number, segment) in rest.iter().enumerate().skip(self.active) {
            let from = if number == self.active { self.end.offset } else { SEGMENT_HEADER_BYTES as u64 };
            if self.planted != PlantedBug::RecycleSegments {
                cut_tail(&at.files.disk, segment, from..self.used[number].max(from), report)?;
            }
        }
        let later = rest.split_off(self.active + 1);
        let Some(active) = rest.pop() else { unreachable!("behind every seal there is a segment, or the open was refused") };
        let next = match &later[..] {
            [] => at.wanted(&active),
            // Made ahead and never used, or just emptied: it goes on as the next one.
            [next, unused @ ..] => {
                unused.iter().try_for_each(|segment| at.files.disk.remove(&segment_name(segment.header.number)))?;
                at.files.disk.sync_directory()?;
                Next::Ready(next.clone())
            }
        };
        let Self { sealed, full, active_first, index, end, .. } = self;
        Ok(Recovered { sealed, full, active, index, active_first, place: end, next })
    }
}

fn open_all(disk: &Arc<dyn Disk>, numbers: &[u64], lineage: &Lineage) -> Result<Vec<Segment>, OpenError> {
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers {
        let segment = segment::open(&**disk, *number).map_err(|fault| match fault {
            HeaderFault::Damaged => OpenError::Damaged { place: format!("the header of {} is damaged", segment_name(*number)) },
            HeaderFault::Cut { bytes, .. } => OpenError::Damaged { place: format!("{} ends at byte {bytes}", segment_name(*number)) },
            HeaderFault::TooNew(version) => OpenError::TooNew { version },
            HeaderFault::Disk(error) => OpenError::Disk(error),
        })?;
        if segment.header.lineage != lineage.id {
            return Err(OpenError::Damaged { place: format!("{} belongs to another journal", segment_name(*number)) });
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// A segment is packed when the log goes on far behind it: a log that ends in one has lost what came after.
fn refuse_packed(disk: &dyn Disk, rest: &[Segment]) -> Result<(), OpenError> {
    for segment in rest {
        let number = segment.header.number;
        if packed::saved(disk, number)?.is_some() {
            let place = format!("the log ends in {}, which is packed: segments behind it are missing or damaged", segment_name(number));
            return Err(OpenError::Damaged { place });
        }
    }
    Ok(())
}

/// The leading segments that have valid seals which follow each other, and where the log stands after them.
fn take_sealed(files: &Arc<OpenFiles>, segments: &[Segment]) -> (Vec<Arc<SealedSegment>>, LogPlace) {
    let (mut sealed, mut place) = (Vec::new(), LogPlace::BEGINNING);
    for segment in segments {
        let index = SealedIndex::open(files, segment.header.number, Some(segment.header.epoch));
        let found = index.map(|index| SealedSegment::new(index, Arc::clone(files))).or_else(|_| seal_compacted(files, segment, place));
        let Ok(found) = found else { break };
        let summary = *found.summary();
        if summary.first_position != place.position {
            break;
        }
        let position = summary.last_position + 1;
        place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, chain: summary.chain, position, durable_upto: summary.last_position };
        sealed.push(Arc::new(found));
    }
    (sealed, place)
}

/// The seal of a segment that was compacted, when a crash came between the two: all of it is whole, so that it is made at once.
fn seal_compacted(files: &Arc<OpenFiles>, segment: &Segment, start: LogPlace) -> io::Result<SealedSegment> {
    if segment.header.flags & FLAG_COMPACTED == 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Scanned { index, end, .. } = walk::scan(segment, start)?;
    if end.offset != segment.header.bytes {
        // It is as long as what it holds: what is missing is damage, and no end.
        return Err(io::ErrorKind::InvalidData.into());
    }
    let full = FullSegment { segment: segment.clone(), index: Arc::new(index), first_position: start.position, end };
    seal_if_there_is_room(files, &full, PlantedBug::None)
}

/// A full disk must not keep a service down: the seal that it has no room for is made by a later start.
fn seal_if_there_is_room(files: &Arc<OpenFiles>, full: &FullSegment, planted: PlantedBug) -> io::Result<SealedSegment> {
    match seal_segment(files, full, planted) {
        Err(error) if is_full(&error) => {
            drop(files.disk.remove(upkeep::SEAL_TEMPORARY));
            upkeep::seal_in_memory(files, full)
        }
        sealed => sealed,
    }
}

/// Removes the seals of segments that the log goes on in: one that could not be read this time would say at the next that its segment ends
/// where it ended then. The sync is for the segments' own names too, which a process that was killed may have left in the cache only.
fn forget_seals(disk: &dyn Disk, segments: &[Segment]) -> io::Result<()> {
    for segment in segments {
        match disk.remove(&seal_name(segment.header.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.sync_directory()
}

/// Copies what is left of unacknowledged writes into a file of its own, then writes zeros over it.
fn cut_tail(disk: &Arc<dyn Disk>, segment: &Segment, tail: Range<u64>, report: &mut OpenReport) -> io::Result<()> {
    if tail.is_empty() {
        return Ok(());
    }
    let (from, bytes, room) = (tail.start, tail.end - tail.start, segment.header.bytes - tail.start);
    let mut tail = vec![0; bytes.next_multiple_of(BLOCK_BYTES as u64).min(room) as usize];
    segment.file.read_at(&mut tail, from)?;
    let name = format!("{:010}-{from}-{:016x}.aside", segment.header.number, segment.header.epoch);
    match keep_aside(&**disk, &name, &tail[..bytes as usize]) {
        Err(error) if is_full(&error) => drop(disk.remove(&name)),
        kept => kept?,
    }
    tail.fill(0);
    segment.file.write_at(&tail, from)?;
    segment.file.sync()?;
    report.aside.push((name, bytes));
    Ok(())
}

fn keep_aside(disk: &dyn Disk, name: &str, tail: &[u8]) -> io::Result<()> {
    let aside = disk.create(name)?;
    aside.write_at(tail, 0)?;
    aside.sync()?;
    disk.sync_directory()
}
