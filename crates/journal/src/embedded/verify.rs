//! Reads a whole data directory and says what is whole and what is not. It changes nothing, and takes the lock while it reads.

use std::io;
use std::sync::Arc;

use super::OpenError;
use super::limits::SEGMENT_HEADER_BYTES;
use super::seal::SealedIndex;
use super::segment::{self, HeaderFault, LogPlace, Segment, scan, seal_name, segment_name};
use super::{identity, registers};
use crate::cursor::{LineageId, Position};
use crate::seams::{BLOCK_BYTES, Disk};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Events in valid frames.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Damage, each a place in words; the healthy rest stays readable.
    pub damage: Vec<String>,
    /// Things that cost time or are worth knowing, and lose nothing: missing seals, tails kept aside.
    pub notes: Vec<String>,
}

/// Reads every frame and every seal of a directory; `progress` hears of each segment: its number, and how many there are.
///
/// # Errors
/// When the directory cannot be read at all, or another process has it.
pub fn verify(disk: &Arc<dyn Disk>, mut progress: impl FnMut(u64, u64)) -> Result<Verified, OpenError> {
    let _lock =
        disk.lock().map_err(|error| if error.kind() == io::ErrorKind::WouldBlock { OpenError::Locked } else { OpenError::Disk(error) })?;
    let names = disk.list("")?;
    let (numbers, missing) = segment::numbers(&names);
    let mut verified = Verified::default();
    verified.damage.extend(missing.iter().map(|number| format!("{} is missing", segment_name(*number))));
    verified
        .notes
        .extend(names.iter().filter(|name| name.ends_with(".aside")).map(|name| format!("{name} holds writes that nobody was told of")));
    let lineage = verified.identity(&**disk)?;
    if let Err(error) = registers::check(&**disk) {
        verified.damage.push(error.to_string());
    }
    let mut place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, chain: 0, position: 1, durable_upto: 0 };
    for number in &numbers {
        progress(*number, numbers.len() as u64);
        let last = !has_frames(disk, *number + 1);
        match segment::open(&**disk, *number) {
            Ok(segment) if lineage.is_some_and(|lineage| lineage != segment.header.lineage) => {
                verified.damage.push(format!("{} belongs to another journal", segment_name(*number)));
            }
            Ok(segment) => place = verified.segment(disk, &segment, place, last)?,
            Err(HeaderFault::Damaged) => verified.damage.push(format!("{}: the header is damaged", segment_name(*number))),
            Err(HeaderFault::TooNew(version)) => return Err(OpenError::TooNew { version }),
            Err(HeaderFault::Disk(error)) => return Err(error.into()),
        }
    }
    Ok(verified)
}

/// Whether the log goes on in this segment: the last one with frames has no seal yet, and that is no fault.
fn has_frames(disk: &Arc<dyn Disk>, number: u64) -> bool {
    let segment = segment::open(&**disk, number).ok();
    segment.is_some_and(|segment| segment.frame(SEGMENT_HEADER_BYTES as u64).is_ok_and(|first| first.is_ok()))
}

impl Verified {
    /// Reads the identity; damage of it is noted, and the segments are read all the same.
    fn identity(&mut self, disk: &dyn Disk) -> Result<Option<LineageId>, OpenError> {
        match identity::read(disk) {
            Ok(lineage) => Ok(lineage.map(|lineage| lineage.id)),
            Err(OpenError::Damaged { place }) => {
                self.damage.push(place);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one segment; gives where the log stands after it.
    fn segment(&mut self, disk: &Arc<dyn Disk>, segment: &Segment, place: LogPlace, last: bool) -> Result<LogPlace, OpenError> {
        let number = segment.header.number;
        let scanned = scan(segment, place)?;
        self.segments += 1;
        self.events += scanned.end.position - place.position;
        self.bytes += scanned.end.offset;
        let seal = SealedIndex::open(disk, &seal_name(number), number, segment.header.epoch);
        let Ok(seal) = seal else {
            if !last && scanned.end.position > place.position {
                self.notes.push(format!("{} is missing or damaged; the next start makes it again", seal_name(number)));
            }
            self.unsealed(segment, scanned.end)?;
            return Ok(scanned.end);
        };
        let summary = seal.summary;
        if let Err(error) = seal.read_all() {
            self.notes.push(format!("{}: {error}; the next start makes it again", seal_name(number)));
        }
        if scanned.end.offset != summary.end_offset || scanned.end.chain != summary.chain {
            let lost = format!("positions {} to {}", scanned.end.position, summary.last_position);
            self.damage.push(format!("{}: byte {} holds no valid frame ({lost})", segment_name(number), scanned.end.offset));
        }
        Ok(LogPlace {
            offset: SEGMENT_HEADER_BYTES as u64,
            chain: summary.chain,
            position: summary.last_position + 1,
            durable_upto: summary.last_position,
        })
    }

    /// Looks behind the last valid frame of a segment without a seal.
    fn unsealed(&mut self, segment: &Segment, end: LogPlace) -> Result<(), OpenError> {
        let mut rest = vec![0; segment.header.bytes.saturating_sub(end.offset) as usize];
        segment.file.read_at(&mut rest, end.offset)?;
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let upto = (0..rest.len()).step_by(BLOCK_BYTES).filter_map(|at| {
            super::frame::verify(&rest[at..], segment.header.epoch, end.offset + at as u64).ok().map(|header| header.durable_upto)
        });
        let upto: Position = upto.max().unwrap_or(0);
        let place = format!("{}: byte {}", segment_name(segment.header.number), end.offset);
        if upto >= end.position {
            self.damage.push(format!("{place} holds no valid frame (positions {} to {upto} were acknowledged)", end.position));
        } else {
            self.notes.push(format!("{place} on holds a torn tail that nobody was told of; the next start keeps it aside"));
        }
        Ok(())
    }
}
