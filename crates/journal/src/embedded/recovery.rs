//! Opening a data directory: the last seals, a scan of what is not sealed, and a word about what was found at the end.
//!
//! Frames follow each other by their checksums, over segments. Where the first one is missing or does not fit, two things may
//! have happened. A crash caught writes on their way: nothing of them was acknowledged, and what is left of them is kept
//! aside and cut off. Or the disk lost what it had confirmed: then a later frame, marker or seal says that this
//! position was durable, and opening is refused with the range; nothing is cut, nothing is written.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::frame::FrameHeader;
use super::limits::{READ_BYTES, SEGMENT_HEADER_BYTES};
use super::seal::SealedIndex;
use super::sealed::SealedSegment;
use super::segment::{self, HeaderFault, LogPlace, Segment, SegmentHeader, seal_name, segment_name};
use super::sequencer::{FullSegment, Next};
use super::upkeep::{is_full, seal_segment};
use super::{OpenError, OpenReport};
use crate::cursor::{Lineage, Position};
use crate::seams::{BLOCK_BYTES, Disk, Random};

/// The log as it was found and made ready.
pub(crate) struct Recovered {
    pub(crate) sealed: Vec<Arc<SealedSegment>>,
    pub(crate) full: Option<Arc<FullSegment>>,
    pub(crate) active: Segment,
    pub(crate) index: super::index::SegmentIndex,
    pub(crate) active_first: Position,
    pub(crate) place: LogPlace,
    pub(crate) next: Next,
}

const EMPTY: LogPlace = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, chain: 0, position: 1, durable_upto: 0 };

/// Where a journal is recovered, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) lineage: &'a Lineage,
    pub(crate) random: &'a dyn Random,
    pub(crate) segment_bytes: &'a RangeInclusive<u64>,
}

impl Place<'_> {
    fn wanted(&self, active: &Segment) -> Next {
        Next::Wanted((active.header.bytes * 2).min(*self.segment_bytes.end()))
    }

    fn header(&self, number: u64, bytes: u64) -> SegmentHeader {
        let mut epoch = [0; 8];
        self.random.fill(&mut epoch);
        SegmentHeader { number, epoch: u64::from_le_bytes(epoch), bytes, lineage: self.lineage.id }
    }
}

/// Finds the end of the log.
pub(crate) fn recover(at: Place<'_>, report: &mut OpenReport) -> Result<Recovered, OpenError> {
    let disk = at.disk;
    let (numbers, missing) = segment::numbers(&disk.list("")?);
    if let Some(missing) = missing.first() {
        return Err(OpenError::Damaged { place: format!("{} is missing", segment_name(*missing)) });
    }
    if numbers.is_empty() {
        let active = segment::prepare(&**disk, at.header(1, *at.segment_bytes.start()))?;
        return Ok(Recovered {
            sealed: Vec::new(),
            full: None,
            next: at.wanted(&active),
            active,
            index: Default::default(),
            active_first: 1,
            place: EMPTY,
        });
    }
    let segments = open_all(disk, &numbers, at.lineage)?;
    let (sealed, place) = take_sealed(disk, &segments);
    let mut rest = segments.into_iter().skip(sealed.len());
    match rest.next() {
        Some(first) => walk(at, sealed, place, first, rest.collect(), report),
        None => unreachable!("behind every seal there is a segment, or the open was refused"),
    }
}

/// Scans the segments that have no seal, in order, seals those that the log goes on behind, and finds its end in the last.
fn walk(
    at: Place<'_>,
    mut sealed: Vec<Arc<SealedSegment>>,
    mut place: LogPlace,
    mut current: Segment,
    mut later: VecDeque<Segment>,
    report: &mut OpenReport,
) -> Result<Recovered, OpenError> {
    let mut full = None;
    loop {
        let active_first = place.position;
        // Where direct writes are not taken, what a killed process wrote may lie in the page cache only: it counts once it is synced.
        current.file.sync()?;
        let scanned = segment::scan(&current, place)?;
        let following = match later.front() {
            Some(following) if follows(following, scanned.end)? => later.pop_front(),
            _ => None,
        };
        let Some(following) = following else {
            let next = end_of_log(at, &current, later.make_contiguous(), scanned.end, report)?;
            return Ok(Recovered { sealed, full, active: current, index: scanned.index, active_first, place: scanned.end, next });
        };
        let ended = FullSegment { segment: current, index: Arc::new(scanned.index), first_position: active_first, end: scanned.end };
        match seal_segment(at.disk, &ended) {
            Ok(seal) => sealed.push(Arc::new(seal)),
            // A full disk must not keep a service down: the index stays in memory until there is room.
            Err(error) if is_full(&error) && full.is_none() => full = Some(Arc::new(ended)),
            Err(error) => return Err(error.into()),
        }
        place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, ..scanned.end };
        current = following;
    }
}

fn open_all(disk: &Arc<dyn Disk>, numbers: &[u64], lineage: &Lineage) -> Result<Vec<Segment>, OpenError> {
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers {
        let segment = segment::open(&**disk, *number).map_err(|fault| match fault {
            HeaderFault::Damaged => OpenError::Damaged { place: format!("the header of {} is damaged", segment_name(*number)) },
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

/// The leading segments that have valid seals which follow each other, and where the log stands after them.
fn take_sealed(disk: &Arc<dyn Disk>, segments: &[Segment]) -> (Vec<Arc<SealedSegment>>, LogPlace) {
    let (mut sealed, mut place) = (Vec::new(), EMPTY);
    for segment in segments {
        let Ok(index) = SealedIndex::open(disk, &seal_name(segment.header.number), segment.header.number, segment.header.epoch) else {
            break;
        };
        let summary = index.summary;
        if summary.first_position != place.position {
            break;
        }
        let position = summary.last_position + 1;
        place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, chain: summary.chain, position, durable_upto: summary.last_position };
        sealed.push(Arc::new(SealedSegment::new(index, Arc::clone(disk))));
    }
    (sealed, place)
}

/// Whether a segment's first frame continues the log where another segment's frames ended.
fn follows(segment: &Segment, end: LogPlace) -> io::Result<bool> {
    let first = segment.frame(SEGMENT_HEADER_BYTES as u64)?;
    Ok(first.is_ok_and(|(_, header)| header.previous == end.chain && header.first_position == end.position))
}

/// Decides what the bytes behind the last valid frame are, keeps a torn tail aside, and cuts it off.
fn end_of_log(at: Place<'_>, active: &Segment, later: &[Segment], end: LogPlace, report: &mut OpenReport) -> Result<Next, OpenError> {
    let disk = at.disk;
    let mut durable_upto = end.durable_upto;
    let mut tails = Vec::with_capacity(1 + later.len());
    for (segment, from) in std::iter::once((active, end.offset)).chain(later.iter().map(|segment| (segment, SEGMENT_HEADER_BYTES as u64))) {
        let tail = look_behind(segment, from)?;
        durable_upto = durable_upto.max(tail.durable_upto);
        tails.push((segment, from, tail.bytes));
        if SealedIndex::open(disk, &seal_name(segment.header.number), segment.header.number, segment.header.epoch)
            .is_ok_and(|seal| seal.summary.first_position >= end.position || segment.header.number == active.header.number)
        {
            durable_upto = durable_upto.max(end.position);
        }
    }
    if durable_upto >= end.position {
        let place = format!(
            "segment {}: byte {} holds no valid frame, and positions {} to {durable_upto} were acknowledged",
            active.header.number, end.offset, end.position
        );
        return Err(OpenError::Damaged { place });
    }
    for (segment, from, bytes) in tails {
        cut_tail(disk, segment, from, bytes, report)?;
    }
    match later {
        [] => Ok(at.wanted(active)),
        // Made ahead and never used, or just emptied: it goes on as the next one.
        [next, rest @ ..] => {
            for segment in rest {
                disk.remove(&segment_name(segment.header.number))?;
            }
            disk.sync_directory()?;
            Ok(Next::Ready(next.clone()))
        }
    }
}

/// What lies behind the end of the log in one segment.
#[derive(Default)]
struct Tail {
    /// The highest `durable upto` of any valid frame there, whatever it follows.
    durable_upto: Position,
    /// How many bytes there are up to the last that is not zero.
    bytes: u64,
}

/// Reads to the end of a segment, once: most of it is zeros, which a comparison of memory passes over.
fn look_behind(segment: &Segment, from: u64) -> io::Result<Tail> {
    let (zeros, mut chunk) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let (mut tail, mut at) = (Tail::default(), from);
    while at < segment.header.bytes {
        let length = (segment.header.bytes - at).min(READ_BYTES as u64) as usize;
        segment.file.read_at(&mut chunk[..length], at)?;
        if chunk[..length] != zeros[..length] {
            tail.take(segment, from, at, &chunk[..length])?;
        }
        at += length as u64;
    }
    Ok(tail)
}

impl Tail {
    fn take(&mut self, segment: &Segment, from: u64, at: u64, chunk: &[u8]) -> io::Result<()> {
        let last = chunk.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        self.bytes = at - from + last as u64 + 1;
        for offset in (0..chunk.len()).step_by(BLOCK_BYTES) {
            // A frame may reach beyond the chunk: it is read for itself.
            if FrameHeader::peek(&chunk[offset..]).is_some()
                && let Ok((_, header)) = segment.frame(at + offset as u64)?
            {
                self.durable_upto = self.durable_upto.max(header.durable_upto);
            }
        }
        Ok(())
    }
}

/// Copies what is left of unacknowledged writes into a file of its own, then writes zeros over it.
fn cut_tail(disk: &Arc<dyn Disk>, segment: &Segment, from: u64, bytes: u64, report: &mut OpenReport) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let room = segment.header.bytes - from;
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
