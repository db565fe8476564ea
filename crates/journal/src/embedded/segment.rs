//! Segments: files of zeros prepared ahead, a header, then frames.
//!
//! ```text
//! header  magic "HWSEGMT\x01" | checksum u32 | flags u32 | number u64 | epoch u64 | bytes u64 | lineage [16] | zeros up to 512
//! ```
//!
//! `checksum` is CRC-32C over all 512 bytes, itself as zeros; the last byte of the magic is the format's version; `epoch` is random, new
//! with each preparation.
//! A segment is written with zeros and synced under a temporary name, so that a later write into it needs no change of extents, then
//! renamed, then its directory is synced: under its own name it is always whole. Names are `NNNNNNNNNN.segment`, from 1. One that was sealed
//! long ago may stand there packed (`packed`): whoever opens it reads the same bytes at the same offsets.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{self, FRAME_HEADER_BYTES, FrameFault, FrameHeader, checksum};
use super::limits::{FRAME_BYTES_MAX, SEGMENT_HEADER_BYTES};
use super::packed::{self, PackedFile};
use super::sequencer::PlantedBug;
use crate::cursor::{LineageId, Position};
use crate::seams::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};

const MAGIC: &[u8; 7] = b"HWSEGMT";
/// The version of everything that a data directory holds.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// A segment that is being made.
pub(crate) const TEMPORARY: &str = "segment.tmp";
const ZEROS_AT_ONCE: usize = 1024 * 1024;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) bytes: u64,
    pub(crate) lineage: LineageId,
    pub(crate) flags: u32,
}

/// The segment was compacted, and is whole since it has its name.
pub(crate) const FLAG_COMPACTED: u32 = 1;

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.segment")
}

pub(crate) fn seal_name(number: u64) -> String {
    format!("{number:010}.seal")
}

/// The number in a segment's name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// The number in a seal's name.
pub(crate) fn sealed_number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seal")?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// The numbers of the segments that are there, in order, and of those that must be and are not: the log begins with segment
/// 1, has no gap, and goes on behind every seal.
pub(crate) fn numbers(names: &[String]) -> (Vec<u64>, Vec<u64>) {
    let mut there: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    there.sort_unstable();
    let behind_seals = names.iter().filter_map(|name| sealed_number_of(name)).max().map_or(0, |sealed| sealed + 1);
    let last = there.last().copied().unwrap_or(0).max(behind_seals);
    let missing = (1..=last).filter(|number| there.binary_search(number).is_err()).collect();
    (there, missing)
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..7].copy_from_slice(MAGIC);
        bytes[7] = FORMAT_VERSION;
        bytes[12..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.lineage.0);
        let sum = header_checksum(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, HeaderFault> {
        if &bytes[..7] != MAGIC || header_checksum(bytes).to_le_bytes() != bytes[8..12] {
            return Err(HeaderFault::Damaged);
        }
        if bytes[7] > FORMAT_VERSION {
            return Err(HeaderFault::TooNew(bytes[7]));
        }
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let lineage = LineageId(bytes[40..56].try_into().expect("sixteen bytes"));
        let flags = u32::from_le_bytes(bytes[12..16].try_into().expect("four bytes"));
        Ok(Self { number: long(16), epoch: long(24), bytes: long(32), lineage, flags })
    }
}

/// The version is under the checksum too: a flipped bit in it is damage, and no newer format.
fn header_checksum(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> u32 {
    let mut summed = *bytes;
    summed[8..12].fill(0);
    checksum(&summed)
}

/// Why a file is no segment of this program.
#[derive(Debug)]
pub(crate) enum HeaderFault {
    Damaged,
    /// The header is whole and the file ends before it should.
    Cut {
        header: SegmentHeader,
        /// What there is.
        bytes: u64,
    },
    TooNew(u8),
    Disk(io::Error),
}

/// An open segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Makes a segment: zeros, header, sync, name, directory.
pub(crate) fn prepare(disk: &dyn Disk, header: SegmentHeader, planted: PlantedBug) -> io::Result<Segment> {
    let file = disk.create(TEMPORARY)?;
    let mut zeros = AlignedBuffer::with_capacity(ZEROS_AT_ONCE.min(header.bytes as usize));
    zeros.fill_to(zeros.capacity());
    let mut at = 0;
    while at < header.bytes {
        zeros.truncate((header.bytes - at).min(zeros.len() as u64) as usize);
        file.write_past_cache_at(&zeros, at)?;
        at += zeros.len() as u64;
    }
    file.write_at(&header.encode(), 0)?;
    file.sync()?;
    drop(file);
    let name = segment_name(header.number);
    disk.rename(TEMPORARY, &name)?;
    if planted != PlantedBug::SkipDirectorySync {
        disk.sync_directory()?;
    }
    Ok(Segment { header, file: disk.open(&name)?.into() })
}

/// Opens a segment by its number.
pub(crate) fn open(disk: &dyn Disk, number: u64) -> Result<Segment, HeaderFault> {
    let file = disk.open(&segment_name(number)).map_err(HeaderFault::Disk)?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut bytes, 0).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => HeaderFault::Damaged,
        _ => HeaderFault::Disk(error),
    })?;
    if packed::is_packed(&bytes) {
        return open_packed(PackedFile::open(file, &bytes)?, number);
    }
    let header = SegmentHeader::decode(&bytes)?;
    if header.number != number {
        return Err(HeaderFault::Damaged);
    }
    let bytes = file.len().map_err(HeaderFault::Disk)?;
    if bytes < header.bytes {
        return Err(HeaderFault::Cut { header, bytes });
    }
    Ok(Segment { header, file: file.into() })
}

fn open_packed(file: PackedFile, number: u64) -> Result<Segment, HeaderFault> {
    let header = file.header();
    if header.number == number { Ok(Segment { header, file: Arc::new(file) }) } else { Err(HeaderFault::Damaged) }
}

/// The bytes of a segment, packed or not, as far as they can be read: for those who know its header, or do without.
///
/// # Errors
/// The disk's.
pub(crate) fn image(disk: &dyn Disk, number: u64) -> io::Result<Arc<dyn DiskFile>> {
    match PackedFile::salvage(disk.open(&segment_name(number))?) {
        Ok(packed) => Ok(Arc::new(packed)),
        Err(raw) => Ok(raw.into()),
    }
}

/// Opens what can be read of a segment whose header is damaged or whose end is missing. The epoch is that of its first valid frame,
/// because all frames of a file have one.
///
/// # Errors
/// The disk's. `None`: it has no valid frame.
pub(crate) fn salvage(disk: &dyn Disk, number: u64, lineage: LineageId) -> io::Result<Option<Segment>> {
    let file = image(disk, number)?;
    let bytes = file.len()? / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
    let mut segment = Segment { header: SegmentHeader { number, epoch: 0, bytes, lineage, flags: 0 }, file };
    let mut block = [0; BLOCK_BYTES];
    for offset in (SEGMENT_HEADER_BYTES as u64..bytes).step_by(BLOCK_BYTES) {
        let peeked = segment.file.read_at(&mut block, offset).ok().and_then(|()| FrameHeader::peek(&block));
        if let Some(peeked) = peeked {
            segment.header.epoch = peeked.epoch;
            if segment.frame(offset).is_ok_and(|frame| frame.is_ok()) {
                return Ok(Some(segment));
            }
        }
    }
    Ok(None)
}

impl Segment {
    /// Reads and verifies the frame at an offset.
    pub(crate) fn frame(&self, offset: u64) -> io::Result<Result<(Bytes, FrameHeader), FrameFault>> {
        if offset + BLOCK_BYTES as u64 > self.header.bytes {
            return Ok(Err(FrameFault::Absent));
        }
        let mut first = vec![0; BLOCK_BYTES];
        self.file.read_at(&mut first, offset)?;
        let Some(peeked) = FrameHeader::peek(&first) else { return Ok(Err(FrameFault::Absent)) };
        let length = peeked.length as usize;
        if !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&length) || offset + length as u64 > self.header.bytes {
            return Ok(Err(FrameFault::Damaged));
        }
        if length > first.len() {
            first.resize(length, 0);
            self.file.read_at(&mut first[BLOCK_BYTES..], offset + BLOCK_BYTES as u64)?;
        }
        first.truncate(length);
        Ok(frame::verify(&first, self.header.epoch, offset).map(|header| (Bytes::from(first), header)))
    }
}

/// Where the log stands at some point of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPlace {
    /// Of the next frame.
    pub(crate) offset: u64,
    /// The checksum of the frame before.
    pub(crate) chain: u32,
    /// Of the next event.
    pub(crate) position: Position,
    /// What the frames so far say is durable.
    pub(crate) durable_upto: Position,
}

impl LogPlace {
    /// Before the first frame of the first segment.
    pub(crate) const BEGINNING: Self = Self { offset: SEGMENT_HEADER_BYTES as u64, chain: 0, position: 1, durable_upto: 0 };
}
