//! Doors to the decoders, for the fuzz targets in `fuzz/`: bytes in, and nothing comes out. Whatever the bytes are, a decoder refuses them
//! or takes them; it never panics, hangs, or takes memory out of proportion to them.
//!
//! Checksums keep random bytes out, and with them the decoders' own mistakes in. The first byte of an input therefore says whether the
//! checksums are set right before the decoder sees the rest, as if a bug of ours had written it.

mod evidence;

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
pub use evidence::{backup, proof, roots};

use super::files::OpenFiles;
use super::frame::{self, FRAME_HEADER_BYTES, checksum};
use super::limits::{PACKED_BLOCK_BYTES_MIN, SEGMENT_HEADER_BYTES};
use super::packed;
use super::paged::PageWriter;
use super::read_only::ReadOnlyJournal;
use super::record::take_varint;
use super::registers::RegisterTable;
use super::seal::SealedIndex;
use super::segment::{self, SegmentHeader, seal_name, segment_name};
use super::{EmbeddedJournal, Options, PlantedBug, identity, verify};
use crate::cursor::{Cursor, LineageId};
use crate::key::KeyHash;
use crate::seams::{BLOCK_BYTES, Disk, ThreadSpawner};
use crate::sim::{SimClock, SimDisk, SimRandom};

/// Bytes of the segments that inputs become, at most.
const SEGMENT_BYTES: usize = 64 * 1024;
/// Bytes of an image that are read, at most.
const IMAGE_BYTES: u64 = 1024 * 1024;

/// The input without its first byte, and whether its checksums are to be mended.
fn split(input: &[u8]) -> Option<(bool, Vec<u8>)> {
    let (first, rest) = input.split_first()?;
    Some((first & 1 == 1, rest.to_vec()))
}

/// A disk with one file.
fn disk(name: &str, bytes: &[u8]) -> Arc<dyn Disk> {
    let disk = SimDisk::new(1);
    put(&disk, name, bytes);
    Arc::new(disk)
}

fn put(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let file = disk.create(name).expect("a simulated disk takes a file");
    file.write_at(bytes, 0).expect("a simulated disk takes bytes");
}

/// One frame with its commits.
pub fn frame(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    if mend {
        mend_frame(&mut bytes);
    }
    let Some(peeked) = frame::FrameHeader::peek(&bytes) else { return };
    let Ok(header) = frame::verify(&bytes, peeked.epoch, peeked.offset) else { return };
    let whole = Bytes::from(bytes).slice(..header.length as usize);
    for placed in frame::commits(&whole, LineageId([7; 16])).into_iter().flatten() {
        let events = placed.commit.events().count() as u64;
        assert_eq!(events, placed.commit.event_count());
    }
}

/// Sets the checksums of a frame's sections and its own.
fn mend_frame(bytes: &mut [u8]) {
    if bytes.len() < FRAME_HEADER_BYTES {
        return;
    }
    bytes[..4].copy_from_slice(b"HWFR");
    let Some(header) = frame::FrameHeader::peek(bytes) else { return };
    let mut place = FRAME_HEADER_BYTES;
    for _ in 0..header.section_count {
        let Some((sum, payload)) = section_place(bytes, place) else { break };
        let right = checksum(&bytes[payload.clone()]);
        bytes[sum..sum + 4].copy_from_slice(&right.to_le_bytes());
        place = payload.end;
    }
    if let Some(whole) = bytes.get(8..header.length as usize) {
        let right = checksum(whole);
        bytes[4..8].copy_from_slice(&right.to_le_bytes());
    }
}

/// Where a section's checksum and its payload are, if the bytes hold it whole.
fn section_place(bytes: &[u8], place: usize) -> Option<(usize, Range<usize>)> {
    let (_, kind_bytes) = take_varint(bytes.get(place..)?)?;
    let (length, length_bytes) = take_varint(bytes.get(place + kind_bytes..)?)?;
    let sum = place + kind_bytes + length_bytes;
    let end = (sum + 4).checked_add(usize::try_from(length).ok()?)?;
    (end <= bytes.len()).then_some((sum, sum + 4..end))
}

/// A whole directory with one segment of these bytes: looked at, verified, and opened for writing.
pub fn segment(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    bytes.resize(bytes.len().min(SEGMENT_BYTES).next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES, 0);
    let disk = SimDisk::new(1);
    let random = Arc::new(SimRandom::new(1));
    let lineage = identity::open_or_begin(&disk, &*random, None, 0).expect("an empty disk takes an identity");
    let length = (bytes.len() + SEGMENT_HEADER_BYTES) as u64;
    let header = SegmentHeader { number: 1, epoch: 5, bytes: length, lineage: lineage.id, flags: 0 };
    if mend {
        mend_chain(&mut bytes, header.epoch);
    }
    put(&disk, &segment_name(1), &[&header.encode()[..], &bytes].concat());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    black_box(verify(&shared, |_, _| {}).is_ok());
    if let Ok(journal) = ReadOnlyJournal::open(Arc::clone(&shared), |_, _| {}) {
        black_box(journal.commits(Cursor::BEGINNING).count());
    }
    let clock = Arc::new(SimClock::new());
    let spawner = Arc::new(ThreadSpawner::new());
    let (parent, planted) = (None, PlantedBug::None);
    drop(EmbeddedJournal::open_stepped(Options { disk: shared, clock, random, spawner, parent, segment_bytes: length..=length, planted }));
}

/// Makes the frames of a segment follow each other.
fn mend_chain(bytes: &mut [u8], epoch: u64) {
    let (mut place, mut previous) = (0, 0u32);
    while place + BLOCK_BYTES <= bytes.len() {
        let rest = &mut bytes[place..];
        let Some(header) = frame::FrameHeader::peek(rest).filter(|header| (header.length as usize) <= rest.len()) else {
            place += BLOCK_BYTES;
            continue;
        };
        rest[12..16].copy_from_slice(&previous.to_le_bytes());
        rest[16..24].copy_from_slice(&epoch.to_le_bytes());
        rest[40..48].copy_from_slice(&((place + SEGMENT_HEADER_BYTES) as u64).to_le_bytes());
        mend_frame(rest);
        previous = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes"));
        place += (header.length as usize).next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES);
    }
}

/// A packed segment: opened, salvaged, and its image read in pieces and at once.
pub fn packed(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    if mend {
        mend_packed(&mut bytes);
    }
    let disk = disk(&segment_name(1), &bytes);
    black_box((packed::saved(&*disk, 1).is_ok(), packed::copy_fault(&*disk, 1).is_ok()));
    let opened = segment::open(&*disk, 1).map(|segment| segment.file);
    for file in opened.into_iter().chain(segment::image(&*disk, 1)) {
        let length = file.len().expect("a simulated disk has lengths");
        // Blocks of zeros cost a file eight bytes each: what it says of itself may be large, and is not read whole here.
        let mut all = vec![0; length.min(IMAGE_BYTES) as usize];
        let whole = file.read_at(&mut all, 0).is_ok();
        for (at, piece) in all.chunks(700).enumerate() {
            let mut read = vec![0; piece.len()];
            let given = file.read_at(&mut read, at as u64 * 700).is_ok();
            assert!(!whole || given && read == piece, "the same bytes, however they are asked for");
        }
        assert!(file.read_at(&mut [0], length).is_err());
    }
}

/// Makes a header, its table and the copy of both fit what follows.
fn mend_packed(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().max(SEGMENT_HEADER_BYTES), 0);
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    bytes[..8].copy_from_slice(b"HWPACKD\x01");
    bytes[16..24].copy_from_slice(&1u64.to_le_bytes());
    let count = (word(bytes, 60) as usize).min((bytes.len() - SEGMENT_HEADER_BYTES) / 8);
    let block_bytes = if word(bytes, 56) == 0 { PACKED_BLOCK_BYTES_MIN as u32 } else { word(bytes, 56) };
    let image = (count as u64 * u64::from(block_bytes)).saturating_sub(u64::from(bytes[32]));
    bytes[32..40].copy_from_slice(&image.to_le_bytes());
    bytes[56..60].copy_from_slice(&block_bytes.to_le_bytes());
    bytes[60..64].copy_from_slice(&(count as u32).to_le_bytes());
    let (table, mut at) = (SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + 8 * count, SEGMENT_HEADER_BYTES + 8 * count);
    for row in table.clone().step_by(8) {
        let end = (at + word(bytes, row) as usize).min(bytes.len());
        let sum = checksum(&bytes[at..end]);
        bytes[row..row + 4].copy_from_slice(&((end - at) as u32).to_le_bytes());
        bytes[row + 4..row + 8].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    bytes.truncate(at);
    let sum = checksum(&bytes[table.clone()]);
    bytes[64..68].copy_from_slice(&sum.to_le_bytes());
    bytes[8..12].fill(0);
    let sum = checksum(&bytes[..SEGMENT_HEADER_BYTES]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    let (header, table) = (bytes[..SEGMENT_HEADER_BYTES].to_vec(), bytes[table].to_vec());
    bytes.extend([table, header].concat());
}

/// A seal: the first 16 bytes are a hash that is looked up in it.
pub fn seal(input: &[u8]) {
    let Some((mend, bytes)) = split(input) else { return };
    let Some((hash, run)) = bytes.split_first_chunk::<16>() else { return };
    let mut pages = PageWriter::default();
    pages.put(run);
    let file = if mend { pages.finish() } else { run.to_vec() };
    let Ok(sealed) = SealedIndex::open(&OpenFiles::new(&disk(&seal_name(1), &file)), 1, None) else { return };
    let hash = KeyHash(*hash);
    black_box((sealed.may_have(hash), sealed.read_all().is_ok(), sealed.head(hash).is_ok(), sealed.entity_refs(hash).is_ok()));
    black_box((sealed.command(hash).is_ok(), sealed.postings(hash).is_ok(), sealed.frames().is_ok()));
    black_box(sealed.keys_after("cart", None, 8).is_ok());
}

/// A log of registers.
pub fn registers(input: &[u8]) {
    let Some((mend, mut bytes)) = split(input) else { return };
    if mend {
        mend_registers(&mut bytes);
    }
    if let Ok(table) = RegisterTable::open(disk("registers.log", &bytes)) {
        black_box(table.list("").len());
    }
}

fn mend_registers(bytes: &mut [u8]) {
    let mut place = 8;
    while let Some(head) = bytes.get(place..place + 8) {
        let length = u32::from_le_bytes(head[4..].try_into().expect("four bytes")) as usize;
        let Some(end) = place.checked_add(8 + length).filter(|end| *end <= bytes.len()) else { return };
        let right = checksum(&bytes[place + 4..end]);
        bytes[place..place + 4].copy_from_slice(&right.to_le_bytes());
        place = end;
    }
}

/// A cursor as a client sends it.
pub fn cursor(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text, "one cursor has one text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_packed_segment_opens() {
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES + 8 + 100];
        bytes[60] = 1;
        bytes[SEGMENT_HEADER_BYTES] = 100;
        mend_packed(&mut bytes);
        let disk = disk(&segment_name(1), &bytes);
        assert!(segment::open(&*disk, 1).is_ok_and(|segment| segment.header.bytes == PACKED_BLOCK_BYTES_MIN));
    }

    /// What a fuzzer begins with must reach the decoders' insides, or it would begin with nothing.
    #[test]
    fn a_mended_frame_is_whole() {
        let mut bytes = vec![0; 128];
        bytes[8..12].copy_from_slice(&128u32.to_le_bytes());
        bytes[52..54].copy_from_slice(&1u16.to_le_bytes());
        bytes[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + 2].copy_from_slice(&[200, 10]);
        mend_frame(&mut bytes);
        assert!(frame::verify(&bytes, 0, 0).is_ok());
    }
}
