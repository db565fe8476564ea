//! Packed segments: a sealed segment's whole image, headers and frames and zeros as they are, in blocks that are compressed each by itself.
//!
//! ```text
//! header | table | block | block | ... | table | header
//! header  magic "HWPACKD\x01" | checksum u32 | flags u32 | number u64 | epoch u64 | bytes u64 | lineage [16] | block bytes u32
//!         | block count u32 | checksum of the table u32 | zeros up to 512
//! table   (stored bytes u32, checksum of the stored bytes u32) of each block
//! ```
//!
//! `bytes` is what the image has; stored bytes of 0 are a block of zeros, as many as the block has are the block itself, fewer are one
//! Zstandard frame of it. The file has the segment's name and stands in its place: whoever opens a segment gets a [`PackedFile`], which
//! gives the image's bytes at the image's offsets, and nothing above it knows.
//!
//! It promises that every stored byte is compared with its checksum before it is unpacked, that a block never gives more bytes than it
//! has, and that one that is damaged takes none of the others with it. Header and table stand twice for that. What it is
//! not: a file that can be written to. `packing` makes it.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::frame::checksum;
use super::limits::{PACKED_BLOCK_BYTES, PACKED_BLOCK_BYTES_MIN, PACKED_BLOCKS_KEPT, READ_BYTES, SEGMENT_HEADER_BYTES};
use super::segment::{HeaderFault, SegmentHeader, segment_name};
use crate::cursor::LineageId;
use crate::seams::{AlignedBuffer, Disk, DiskFile};

const MAGIC: &[u8; 7] = b"HWPACKD";
const VERSION: u8 = 1;
const ROW_BYTES: usize = 8;

/// What the header and the table say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) segment: SegmentHeader,
    pub(crate) block_bytes: u64,
    pub(crate) rows: Vec<Row>,
}

/// A block as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// 0: it is all zeros.
    pub(crate) stored: u32,
    pub(crate) checksum: u32,
}

impl Row {
    pub(crate) const ZEROS: Self = Self { stored: 0, checksum: 0 };
}

/// Is this the beginning of a packed segment?
pub(crate) fn is_packed(first: &[u8]) -> bool {
    first.starts_with(MAGIC)
}

/// How large the blocks of an image are: there are at least sixteen, so that damage to one takes little.
pub(crate) fn block_bytes_of(image_bytes: u64) -> u64 {
    (image_bytes / 16).next_power_of_two().clamp(PACKED_BLOCK_BYTES_MIN, PACKED_BLOCK_BYTES)
}

impl Contents {
    /// The header and the table, as they are written.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let row = |row: &Row| [row.stored.to_le_bytes(), row.checksum.to_le_bytes()].concat();
        let table: Vec<u8> = self.rows.iter().flat_map(row).collect();
        let mut header = vec![0; SEGMENT_HEADER_BYTES];
        header[..7].copy_from_slice(MAGIC);
        header[7] = VERSION;
        header[12..16].copy_from_slice(&self.segment.flags.to_le_bytes());
        header[16..24].copy_from_slice(&self.segment.number.to_le_bytes());
        header[24..32].copy_from_slice(&self.segment.epoch.to_le_bytes());
        header[32..40].copy_from_slice(&self.segment.bytes.to_le_bytes());
        header[40..56].copy_from_slice(&self.segment.lineage.0);
        header[56..60].copy_from_slice(&(self.block_bytes as u32).to_le_bytes());
        header[60..64].copy_from_slice(&(self.rows.len() as u32).to_le_bytes());
        header[64..68].copy_from_slice(&checksum(&table).to_le_bytes());
        let sum = header_checksum(&header);
        header[8..12].copy_from_slice(&sum.to_le_bytes());
        (header, table)
    }

    /// Header and table from a file that begins with them.
    fn at_front(file: &dyn DiskFile, header: &[u8], file_bytes: u64) -> Result<Self, HeaderFault> {
        let (contents, table_bytes, sum) = Self::decode(header)?;
        contents.with_table(file, SEGMENT_HEADER_BYTES as u64, table_bytes, sum, file_bytes)
    }

    /// The same from the copy that the file ends with.
    fn at_end(file: &dyn DiskFile, file_bytes: u64) -> Result<Self, HeaderFault> {
        let header_at = file_bytes.checked_sub(SEGMENT_HEADER_BYTES as u64).ok_or(HeaderFault::Damaged)?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        file.read_at(&mut header, header_at).map_err(unread)?;
        let (contents, table_bytes, sum) = Self::decode(&header)?;
        let table_at = header_at.checked_sub(table_bytes as u64).ok_or(HeaderFault::Damaged)?;
        contents.with_table(file, table_at, table_bytes, sum, file_bytes)
    }

    /// What a header says: its contents without rows yet, the bytes of its table and their checksum.
    fn decode(header: &[u8]) -> Result<(Self, usize, u32), HeaderFault> {
        if !is_packed(header) || header_checksum(header).to_le_bytes() != header[8..12] {
            return Err(HeaderFault::Damaged);
        }
        if header[7] > VERSION {
            return Err(HeaderFault::TooNew(header[7]));
        }
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let lineage = LineageId(header[40..56].try_into().expect("sixteen bytes"));
        let segment = SegmentHeader { number: long(16), epoch: long(24), bytes: long(32), lineage, flags: word(12) };
        let (block_bytes, count) = (u64::from(word(56)), u64::from(word(60)));
        let sizes = PACKED_BLOCK_BYTES_MIN..=PACKED_BLOCK_BYTES;
        // Offsets within a segment fit 32 bits.
        let possible = segment.bytes <= u64::from(u32::MAX);
        if !possible || !sizes.contains(&block_bytes) || !block_bytes.is_power_of_two() || segment.bytes.div_ceil(block_bytes) != count {
            return Err(HeaderFault::Damaged);
        }
        Ok((Self { segment, block_bytes, rows: Vec::new() }, count as usize * ROW_BYTES, word(64)))
    }

    /// Reads the table; it is never asked for more memory than the file has bytes.
    fn with_table(mut self, file: &dyn DiskFile, at: u64, bytes: usize, sum: u32, file_bytes: u64) -> Result<Self, HeaderFault> {
        if at + bytes as u64 > file_bytes {
            return Err(HeaderFault::Damaged);
        }
        let mut table = vec![0; bytes];
        file.read_at(&mut table, at).map_err(unread)?;
        let row = |row: &[u8]| {
            let word = |at: usize| u32::from_le_bytes(row[at..at + 4].try_into().expect("four bytes"));
            Row { stored: word(0), checksum: word(4) }
        };
        self.rows = table.chunks_exact(ROW_BYTES).map(row).collect();
        let fits = (0..self.rows.len()).all(|nth| u64::from(self.rows[nth].stored) <= self.length(nth));
        if fits && checksum(&table) == sum { Ok(self) } else { Err(HeaderFault::Damaged) }
    }

    /// Bytes of a block in the image.
    pub(crate) fn length(&self, nth: usize) -> u64 {
        (self.segment.bytes - nth as u64 * self.block_bytes).min(self.block_bytes)
    }

    /// Bytes of the file in front of the first block, and behind the last one.
    pub(crate) fn margin(&self) -> u64 {
        (SEGMENT_HEADER_BYTES + self.rows.len() * ROW_BYTES) as u64
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        2 * self.margin() + self.rows.iter().map(|row| u64::from(row.stored)).sum::<u64>()
    }
}

/// The version is under the checksum too, as it is in a segment that is not packed.
fn header_checksum(header: &[u8]) -> u32 {
    let mut summed = header.to_vec();
    summed[8..12].fill(0);
    checksum(&summed)
}

fn unread(error: io::Error) -> HeaderFault {
    if error.kind() == io::ErrorKind::UnexpectedEof { HeaderFault::Damaged } else { HeaderFault::Disk(error) }
}

/// The image in a packed segment.
pub(crate) struct PackedFile {
    file: Box<dyn DiskFile>,
    contents: Contents,
    /// Where each block is stored.
    places: Vec<u64>,
    /// The last blocks that were read in part: reads of events come in runs.
    kept: Mutex<VecDeque<(usize, Arc<[u8]>)>>,
}

impl PackedFile {
    fn new(file: Box<dyn DiskFile>, contents: Contents) -> Self {
        let mut at = contents.margin();
        let place = |row: &Row| {
            at += u64::from(row.stored);
            at - u64::from(row.stored)
        };
        let places = contents.rows.iter().map(place).collect();
        Self { file, contents, places, kept: Mutex::default() }
    }

    /// Opens a file that begins with this.
    ///
    /// # Errors
    /// As a segment that is not packed gives them.
    pub(crate) fn open(file: Box<dyn DiskFile>, header: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = file.len().map_err(HeaderFault::Disk)?;
        let contents = Contents::at_front(&*file, header, bytes)?;
        let (wanted, packed) = (contents.file_bytes(), Self::new(file, contents));
        match bytes.cmp(&wanted) {
            std::cmp::Ordering::Equal => Ok(packed),
            std::cmp::Ordering::Less => Err(HeaderFault::Cut { header: packed.header(), bytes: packed.whole_upto(bytes) }),
            std::cmp::Ordering::Greater => Err(HeaderFault::Damaged),
        }
    }

    /// The image as far as it can be read, from whichever of the two tables is whole. Gives the file back when none is.
    pub(crate) fn salvage(file: Box<dyn DiskFile>) -> Result<Self, Box<dyn DiskFile>> {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let Ok(bytes) = file.len() else { return Err(file) };
        let front = file.read_at(&mut header, 0).ok().and_then(|()| Contents::at_front(&*file, &header, bytes).ok());
        match front.or_else(|| Contents::at_end(&*file, bytes).ok()) {
            Some(contents) => Ok(Self::new(file, contents)),
            None => Err(file),
        }
    }

    pub(crate) fn header(&self) -> SegmentHeader {
        self.contents.segment
    }

    /// Up to which byte the image is there, of a file that ends here.
    fn whole_upto(&self, file_bytes: u64) -> u64 {
        let is_there = |nth: usize| self.places[nth] + u64::from(self.contents.rows[nth].stored) <= file_bytes;
        let whole = (0..self.places.len()).take_while(|nth| is_there(*nth)).count() as u64;
        (whole * self.contents.block_bytes).min(self.contents.segment.bytes)
    }

    /// A block that is read in part, and kept for what comes next.
    fn block(&self, nth: usize) -> io::Result<Arc<[u8]>> {
        let kept = |kept: &VecDeque<(usize, Arc<[u8]>)>| kept.iter().find(|(block, _)| *block == nth).map(|(_, bytes)| Arc::clone(bytes));
        if let Some(bytes) = kept(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.contents.length(nth) as usize];
        self.unpack(nth..nth + 1, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(PACKED_BLOCKS_KEPT - 1);
        kept.push_front((nth, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// How many blocks from this one on lie in so many bytes, at most as many as are read at once.
    fn whole_blocks(&self, nth: usize, bytes: usize) -> usize {
        let upto_end = (bytes as u64 + nth as u64 * self.contents.block_bytes >= self.contents.segment.bytes).then_some(self.places.len());
        let last = upto_end.unwrap_or(nth + bytes / self.contents.block_bytes as usize);
        (last - nth).min(READ_BYTES / self.contents.block_bytes as usize)
    }

    /// Unpacks blocks that follow each other into their bytes, with one read.
    fn unpack(&self, blocks: Range<usize>, mut into: &mut [u8]) -> io::Result<()> {
        let start = self.places[blocks.start];
        let stored: u64 = blocks.clone().map(|nth| u64::from(self.contents.rows[nth].stored)).sum();
        let mut stored = vec![0; stored as usize];
        self.file.read_at(&mut stored, start)?;
        let mut decompressor = zstd::bulk::Decompressor::new()?;
        for nth in blocks {
            let from = (self.places[nth] - start) as usize;
            let (block, rest) = into.split_at_mut(self.contents.length(nth) as usize);
            self.unpack_one(nth, &stored[from..from + self.contents.rows[nth].stored as usize], block, &mut decompressor)?;
            into = rest;
        }
        Ok(())
    }

    fn unpack_one(&self, nth: usize, stored: &[u8], into: &mut [u8], zstd: &mut zstd::bulk::Decompressor<'_>) -> io::Result<()> {
        if stored.is_empty() {
            into.fill(0);
        } else if checksum(stored) != self.contents.rows[nth].checksum {
            return Err(self.damaged(nth, "does not fit its checksum"));
        } else if stored.len() == into.len() {
            into.copy_from_slice(stored);
        } else if !matches!(zstd.decompress_to_buffer(stored, into), Ok(length) if length == into.len()) {
            return Err(self.damaged(nth, "does not unpack to its bytes"));
        }
        Ok(())
    }

    fn damaged(&self, nth: usize, why: &str) -> io::Error {
        let (from, name) = (nth as u64 * self.contents.block_bytes, segment_name(self.contents.segment.number));
        let text = format!("{name}: packed block {nth}, bytes {from} to {}, {why}", from + self.contents.length(nth));
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl DiskFile for PackedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.contents.segment.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (nth, within) = ((at / self.contents.block_bytes) as usize, (at % self.contents.block_bytes) as usize);
            let whole = if within == 0 { self.whole_blocks(nth, rest.len()) } else { 0 };
            let bytes = match whole {
                0 => rest.len().min(self.contents.length(nth) as usize - within),
                whole => (nth..nth + whole).map(|nth| self.contents.length(nth) as usize).sum(),
            };
            let (part, later) = rest.split_at_mut(bytes);
            match whole {
                0 => part.copy_from_slice(&self.block(nth)?[within..within + bytes]),
                whole => self.unpack(nth..nth + whole, part)?,
            }
            (at, rest) = (at + bytes as u64, later);
        }
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(no_writes())
    }

    fn write_durable_at(&self, _: &AlignedBuffer, _: u64) -> io::Result<()> {
        Err(no_writes())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.segment.bytes)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(no_writes())
    }
}

fn no_writes() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a packed segment takes no writes")
}

/// How many bytes a packed segment spares; `None`: it is not packed.
///
/// # Errors
/// The disk's.
pub(crate) fn saved(disk: &dyn Disk, number: u64) -> io::Result<Option<u64>> {
    let file = disk.open(&segment_name(number))?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    if !is_packed(&header) {
        return Ok(None);
    }
    let bytes = file.len()?;
    Ok(Contents::decode(&header).ok().map(|(contents, ..)| contents.segment.bytes.saturating_sub(bytes)))
}

/// What is wrong with the second copy of a packed segment's header and table: nothing reads it while the first one is whole.
///
/// # Errors
/// The disk's.
pub(crate) fn copy_fault(disk: &dyn Disk, number: u64) -> io::Result<Option<&'static str>> {
    let file = disk.open(&segment_name(number))?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    if !is_packed(&header) {
        return Ok(None);
    }
    let bytes = file.len()?;
    let copies = Contents::at_front(&*file, &header, bytes).ok().zip(Contents::at_end(&*file, bytes).ok());
    let same = copies.is_some_and(|(front, end)| front == end);
    Ok((!same).then_some("the copy of its packed table is damaged"))
}

#[cfg(test)]
mod tests;
