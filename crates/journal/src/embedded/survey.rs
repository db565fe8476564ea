//! A walk over a whole directory that goes on behind damage: which stretches of the log are whole, and what lies between them.
//!
//! ```text
//! segment 1  [ whole ][ damaged ][ whole ]  segment 2 (its header is damaged) [ whole ]  segment 3 [ whole ][ torn tail ]
//! stretches      1        range      2                  range, nothing lost       3                     4      note
//! ```
//!
//! A place where no frame is whole is damage when some valid frame, or a seal, says that its positions were durable, or when there is
//! something that no crash leaves: a file that is missing or cut, a header that does not fit, a block that the disk does
//! not give. Else the log ends there, as it does for whoever opens it for writing. Nothing is written.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::OpenError;
use super::files::OpenFiles;
use super::limits::SEGMENT_HEADER_BYTES;
use super::packed;
use super::seal::SealedIndex;
use super::segment::{self, HeaderFault, LogPlace, Segment, SegmentHeader, segment_name};
use super::walk::{Walk, WholeFrame};
use crate::cursor::{Cursor, LineageId, Position};
use crate::seams::{BLOCK_BYTES, Disk};

/// A byte of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogByte {
    /// The segment's number.
    pub segment: u64,
    /// The byte in it.
    pub byte: u64,
}

/// A part of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// Its first byte.
    pub from: LogByte,
    /// The byte behind it; may be in a later segment.
    pub to: LogByte,
    /// The positions of the events that were in it; empty when it held none.
    pub lost: Range<Position>,
    /// The place to read on from: the first whole event behind the range comes after it. `None`: there is none.
    pub resume: Option<Cursor>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for DamagedRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(formatter, "{}: ", segment_name(from.segment))?;
        match to.segment == from.segment {
            true => write!(formatter, "bytes {} to {}", from.byte, to.byte)?,
            false => write!(formatter, "byte {} to byte {} of {}", from.byte, to.byte, segment_name(to.segment))?,
        }
        match self.lost.is_empty() {
            true => write!(formatter, ", no event is known to be lost: {}", self.why),
            false => write!(formatter, ", positions {} to {} are lost: {}", self.lost.start, self.lost.end - 1, self.why),
        }
    }
}

/// Whole frames that follow each other in one segment.
pub(crate) struct Stretch {
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Range<u64>,
    pub(crate) positions: Range<Position>,
}

/// A segment that has whole frames.
pub(crate) struct Surveyed {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
}

/// What there is.
pub(crate) struct Survey {
    pub(crate) stretches: Vec<Stretch>,
    /// In the order of the log.
    pub(crate) damage: Vec<DamagedRange>,
    /// The last position that was ever durable, as far as anything says.
    pub(crate) head: Position,
    /// Where bytes begin that nobody was told of.
    pub(crate) torn: Option<LogByte>,
    pub(crate) segments: Vec<Surveyed>,
    pub(crate) segment_count: u64,
    pub(crate) bytes: u64,
}

/// Walks over all segments up to a number; `progress` hears of each.
///
/// # Errors
/// When a file cannot be opened, or a newer version wrote it.
pub(crate) fn survey(disk: &Arc<dyn Disk>, lineage: LineageId, upto: u64, mut progress: impl FnMut(u64, u64)) -> Result<Survey, OpenError> {
    let mut surveyor = Surveyor::new(lineage);
    for number in 1..=upto {
        progress(number, upto);
        if let Some(segment) = surveyor.open(&**disk, number)? {
            surveyor.segment(&segment)?;
        }
    }
    Ok(surveyor.finish(disk, upto))
}

/// Something that no crash leaves.
struct Fault {
    from: LogByte,
    to: LogByte,
    why: String,
}

/// A place where the log does not go on, and what is behind it.
struct Break {
    damage: DamagedRange,
    /// The number of the stretch behind it.
    stretch: usize,
    /// It cannot be a torn tail.
    certain: bool,
}

struct Surveyor {
    lineage: LineageId,
    walk: Walk,
    stretches: Vec<Stretch>,
    breaks: Vec<Break>,
    /// Since the last whole frame.
    faults: Vec<Fault>,
    /// Since the last whole frame: where something lies that is no frame.
    torn: Option<LogByte>,
    /// Behind the last whole frame.
    end: LogByte,
    position: Position,
    /// The end of the last segment that could be read.
    reached: LogByte,
    segments: Vec<Surveyed>,
    segment_count: u64,
    bytes: u64,
}

impl Surveyor {
    fn new(lineage: LineageId) -> Self {
        Self {
            lineage,
            walk: Walk::lenient(LogPlace::BEGINNING),
            stretches: Vec::new(),
            breaks: Vec::new(),
            faults: Vec::new(),
            torn: None,
            end: LogByte { segment: 1, byte: SEGMENT_HEADER_BYTES as u64 },
            position: LogPlace::BEGINNING.position,
            reached: LogByte { segment: 1, byte: SEGMENT_HEADER_BYTES as u64 },
            segments: Vec::new(),
            segment_count: 0,
            bytes: 0,
        }
    }

    /// Opens what there is of a segment, and remembers what is wrong with it.
    fn open(&mut self, disk: &dyn Disk, number: u64) -> Result<Option<Segment>, OpenError> {
        let header = 0..SEGMENT_HEADER_BYTES as u64;
        match segment::open(disk, number) {
            Ok(segment) if segment.header.lineage != self.lineage => {
                self.fault(number, 0..segment.header.bytes, "the file belongs to another journal");
                Ok(None)
            }
            Ok(segment) => {
                if let Some(why) = packed::copy_fault(disk, number)? {
                    self.fault(number, 0..0, why);
                }
                Ok(Some(segment))
            }
            Err(HeaderFault::TooNew(version)) => Err(OpenError::TooNew { version }),
            Err(HeaderFault::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                self.fault(number, 0..0, "the file is missing");
                Ok(None)
            }
            Err(HeaderFault::Cut { header, bytes }) => {
                self.fault(number, bytes..header.bytes, "the end of the file is missing");
                let cut = SegmentHeader { bytes: bytes / BLOCK_BYTES as u64 * BLOCK_BYTES as u64, ..header };
                let file = segment::image(disk, number)?;
                Ok((header.lineage == self.lineage).then_some(Segment { header: cut, file }))
            }
            Err(HeaderFault::Damaged) => {
                self.fault(number, header, "the segment's header is damaged");
                Ok(segment::salvage(disk, number, self.lineage)?)
            }
            Err(HeaderFault::Disk(error)) => {
                self.fault(number, header, &format!("the segment's header cannot be read: {error}"));
                Ok(segment::salvage(disk, number, self.lineage)?)
            }
        }
    }

    fn fault(&mut self, segment: u64, bytes: Range<u64>, why: &str) {
        let from = LogByte { segment, byte: bytes.start };
        let to = LogByte { segment, byte: bytes.end };
        match self.faults.last_mut().filter(|last| last.to == from && last.why == why) {
            Some(last) => last.to = to,
            None => self.faults.push(Fault { from, to, why: why.to_owned() }),
        }
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), OpenError> {
        let (number, mut at) = (segment.header.number, self.walk.enter());
        let mut used = at;
        while let Some(frame) = self.walk.next(segment, &mut at)? {
            self.take_unreadable(number);
            if frame.header.first_position >= self.position {
                self.frame(segment, &frame);
                used = at;
            }
        }
        self.take_unreadable(number);
        if self.walk.used_upto > used {
            self.torn.get_or_insert(LogByte { segment: number, byte: used });
        }
        self.reached = LogByte { segment: number, byte: segment.header.bytes };
        self.segment_count += 1;
        self.bytes += used;
        Ok(())
    }

    fn take_unreadable(&mut self, number: u64) {
        for (at, error) in self.walk.unreadable.as_mut().map(std::mem::take).unwrap_or_default() {
            let why = match error.kind() {
                // A packed block says itself what is wrong with it.
                io::ErrorKind::InvalidData => error.to_string(),
                _ => format!("the disk does not give it: {error}"),
            };
            self.fault(number, at..at + BLOCK_BYTES as u64, &why);
        }
    }

    fn frame(&mut self, segment: &Segment, frame: &WholeFrame) {
        let (header, at) = (segment.header, LogByte { segment: segment.header.number, byte: frame.offset });
        let end = frame.offset + frame.header.padded();
        if frame.follows {
            self.harmless_faults();
        } else {
            self.break_upto(at, frame.header.first_position);
        }
        self.faults.clear();
        self.torn = None;
        let next = frame.header.next_position();
        match self.stretches.last_mut().filter(|last| frame.follows && last.header == header && last.bytes.end == frame.offset) {
            Some(last) => (last.bytes.end, last.positions.end) = (end, next),
            None => self.stretches.push(Stretch { header, bytes: frame.offset..end, positions: frame.header.first_position..next }),
        }
        if self.segments.last().is_none_or(|last| last.number != header.number) {
            self.segments.push(Surveyed { number: header.number, epoch: header.epoch });
        }
        self.end = LogByte { byte: end, ..at };
        self.position = next;
    }

    /// What is wrong between two frames that follow each other took no event.
    fn harmless_faults(&mut self) {
        for Fault { from, to, why } in std::mem::take(&mut self.faults) {
            let damage = DamagedRange { from, to, lost: self.position..self.position, resume: None, why };
            self.breaks.push(Break { damage, stretch: self.stretches.len(), certain: true });
        }
    }

    fn break_upto(&mut self, to: LogByte, position: Position) {
        let certain = !self.faults.is_empty();
        let damage = DamagedRange { from: self.end, to, lost: self.position..position, resume: None, why: self.why() };
        self.breaks.push(Break { damage, stretch: self.stretches.len(), certain });
    }

    fn why(&self) -> String {
        let faults: Vec<String> = self.faults.iter().map(|fault| format!("{}: {}", segment_name(fault.from.segment), fault.why)).collect();
        if faults.is_empty() { "there is no valid frame".to_owned() } else { faults.join("; ") }
    }

    fn finish(mut self, disk: &Arc<dyn Disk>, upto: u64) -> Survey {
        let files = OpenFiles::new(disk);
        let sealed = (1..=upto).filter_map(|number| SealedIndex::open(&files, number, self.epoch_of(number)).ok());
        let durable = sealed.map(|seal| seal.summary.last_position).fold(self.walk.durable_upto, Position::max);
        let end = self.breaks.iter().position(|found| !found.certain && found.damage.lost.start > durable);
        let torn = match end {
            Some(end) => self.end_at(end),
            None if durable >= self.position => {
                self.break_upto(self.reached.max(self.end), durable + 1);
                None
            }
            None => {
                self.harmless_faults();
                self.torn
            }
        };
        let whole = self.stretches.last().map_or(0, |last| last.positions.end - 1);
        let lost = self.breaks.last().map_or(0, |last| last.damage.lost.end - 1);
        let stretches = self.stretches;
        let lineage = self.lineage;
        let resume = |from: usize| {
            let behind = stretches[from.min(stretches.len())..].iter().find(|stretch| !stretch.positions.is_empty());
            behind.map(|stretch| Cursor::from_parts(lineage, stretch.positions.start - 1))
        };
        let damage = self.breaks.into_iter().map(|found| DamagedRange { resume: resume(found.stretch), ..found.damage }).collect();
        Survey {
            damage,
            head: whole.max(lost),
            torn,
            segments: self.segments,
            segment_count: self.segment_count,
            bytes: self.bytes,
            stretches,
        }
    }

    fn epoch_of(&self, number: u64) -> Option<u64> {
        self.segments.iter().find(|segment| segment.number == number).map(|segment| segment.epoch)
    }

    /// The log ends at this break: what is behind it was never acknowledged.
    fn end_at(&mut self, end: usize) -> Option<LogByte> {
        let behind = self.breaks.split_off(end);
        self.stretches.truncate(behind[0].stretch);
        let position = behind[0].damage.lost.start;
        // What no crash leaves is damage behind the end too, though no event of the log was in it.
        self.breaks.extend(behind.iter().filter(|found| found.certain).map(|found| Break {
            damage: DamagedRange { lost: position..position, ..found.damage.clone() },
            stretch: self.stretches.len(),
            certain: true,
        }));
        self.position = position;
        self.harmless_faults();
        Some(behind[0].damage.from)
    }
}
