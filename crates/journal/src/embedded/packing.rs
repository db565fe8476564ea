//! Packing: a sealed segment is written anew as a packed one, proven, and takes its own place.
//!
//! ```text
//! read, compress ──> packed.tmp ──> sync ──> read back, every block and every frame ──> rename over the segment ──> directory
//! ```
//!
//! Crash points: any. Before the rename is durable the segment is there as it was, and what is left under the temporary name means nothing;
//! after it, the packed one is, whole. It holds a block at a time and a chunk of what is stored, never a segment. Whoever
//! has the segment open goes on reading the same image from the file that has lost its name.
//!
//! A disk that refuses while the temporary file is written or read has done nothing to the log: the scrub tells of it, and the next pass
//! tries again. A rename or a sync of the directory that fails is final, as it is everywhere.

use std::io;
use std::sync::Arc;

use zstd::bulk::Compressor;

use super::files::OpenFiles;
use super::frame::checksum;
use super::limits::{PACK_BEHIND, PACK_LEVEL, READ_BYTES, SEGMENT_HEADER_BYTES};
use super::packed::{self, Contents, PackedFile, Row, block_bytes_of};
use super::pipeline::Shared;
use super::roots::RootRecord;
use super::scrub::{Pass, leaves_in};
use super::sealed::SealedSegment;
use super::segment::{HeaderFault, Segment, segment_name};
use crate::seams::{Disk, DiskFile};

/// A segment that is being packed.
pub(crate) const TEMPORARY: &str = "packed.tmp";

/// Hears of bytes that were read, and waits; false: stop.
pub(crate) type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

impl Shared {
    /// Counts what is packed, and removes what a crash left of a packing.
    pub(super) fn look_for_packed(&self, sealed: &[Arc<SealedSegment>]) {
        abandon(&*self.files.disk);
        let saved = |number| Some((number, packed::saved(&*self.files.disk, number).ok()??));
        self.scrub.begin_with(sealed.iter().filter_map(|segment| saved(segment.number())).collect());
    }

    /// What is wrong with a packed segment that no reading of its events meets.
    pub(super) fn packed_fault(&self, number: u64) -> Option<String> {
        match packed::copy_fault(&*self.files.disk, number) {
            Ok(fault) => fault.map(|why| format!("segment {number}: {why}")),
            Err(error) => Some(format!("segment {number}: {error}")),
        }
    }

    /// Packs the segment that the pass has just found whole, if it is its turn: its root is kept, and it is not among the last ones. False:
    /// the journal closes.
    pub(super) fn pack(&self, pass: &mut Pass, sealed: &[Arc<SealedSegment>], pace: Pace<'_>) -> bool {
        let number = sealed[pass.next].number();
        let is_due = pass.next + PACK_BEHIND < sealed.len() && !pass.packs_no_more && self.scrub.wants_packed(number);
        let Some(kept) = pass.kept.get(pass.next).filter(|kept| is_due && kept.segment == number) else { return true };
        match self.write_packed(sealed, pass.next, kept, pace) {
            Ok(true) => self.put_packed(number),
            Ok(false) => false,
            Err(error) => {
                pass.packs_no_more = true;
                self.scrub.packed(number, Err(format!("{}: {error}", segment_name(number))));
                true
            }
        }
    }

    /// Writes a segment as a packed one beside it, and reads all of its events from there; false: the journal closes.
    fn write_packed(&self, sealed: &[Arc<SealedSegment>], nth: usize, kept: &RootRecord, pace: Pace<'_>) -> io::Result<bool> {
        let disk = &*self.files.disk;
        let segment = sealed[nth].open_anew()?;
        if segment.header.epoch != sealed[nth].summary().epoch {
            return Err(io::Error::other("another segment has taken its name"));
        }
        let Some(packed) = write(disk, &segment, pace)? else { return Ok(false) };
        let proven = leaves_in(&packed, sealed, nth, pace).and_then(|run| match run {
            Some(run) if run != kept.leaves => Err(io::Error::new(io::ErrorKind::InvalidData, "packed, it has other events than before")),
            run => Ok(run.is_some()),
        });
        if !matches!(proven, Ok(true)) {
            abandon(disk);
        }
        proven
    }

    fn put_packed(&self, number: u64) -> bool {
        if let Err(error) = replace(&self.files, number) {
            self.drive(|sequencer| sequencer.poison(&error.to_string()));
            return false;
        }
        let saved = packed::saved(&*self.files.disk, number);
        self.scrub.packed(number, Ok(saved.ok().flatten().unwrap_or(0)));
        true
    }
}

/// Writes a segment as a packed one under the temporary name, and reads it back from there; gives it opened. `None`: it was told to stop.
///
/// # Errors
/// The disk's; `InvalidData` when what is read back is not what was read. The temporary file is gone then.
pub(crate) fn write(disk: &dyn Disk, segment: &Segment, pace: Pace<'_>) -> io::Result<Option<Segment>> {
    let written = write_temporary(disk, segment, pace);
    if !matches!(written, Ok(Some(_))) {
        abandon(disk);
    }
    written
}

/// Gives back the room of a segment that was not packed to its end.
pub(crate) fn abandon(disk: &dyn Disk) {
    // Whether it goes or not: the next try begins it anew.
    let _ = disk.remove(TEMPORARY);
}

/// Puts the packed segment into the place of the other one.
///
/// # Errors
/// The disk's: which of the two has the name after a crash is not known then, and both are whole.
pub(crate) fn replace(files: &OpenFiles, number: u64) -> io::Result<()> {
    files.disk.rename(TEMPORARY, &segment_name(number))?;
    files.disk.sync_directory()?;
    // Its room is given back when nobody has it open.
    files.forget_segment(number);
    Ok(())
}

fn write_temporary(disk: &dyn Disk, segment: &Segment, pace: Pace<'_>) -> io::Result<Option<Segment>> {
    let mut writer = Writer::new(disk.create(TEMPORARY)?, segment)?;
    if !each_chunk(segment, &mut |chunk| writer.chunk(chunk).map(|()| pace(chunk.len() as u64)))? {
        return Ok(None);
    }
    let sums = writer.finish()?;
    let packed = open_temporary(disk)?;
    let mut sums = sums.into_iter();
    let block_bytes = block_bytes_of(segment.header.bytes) as usize;
    let all = each_chunk(&packed, &mut |chunk| {
        let same = chunk.chunks(block_bytes).all(|block| sums.next() == Some(checksum(block)));
        if same { Ok(pace(chunk.len() as u64)) } else { Err(differs(segment)) }
    })?;
    Ok((all && packed.header == segment.header).then_some(packed))
}

fn differs(segment: &Segment) -> io::Error {
    let text = format!("{} was not read back as it was packed; it stays as it is", segment_name(segment.header.number));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn open_temporary(disk: &dyn Disk) -> io::Result<Segment> {
    let file = disk.open(TEMPORARY)?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    let packed = PackedFile::open(file, &header).map_err(|fault| match fault {
        HeaderFault::Disk(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidData, format!("{TEMPORARY} was not read back as it was written")),
    })?;
    Ok(Segment { header: packed.header(), file: Arc::new(packed) })
}

/// Reads a segment's image from its beginning, a chunk of whole blocks at a time, for as long as `visit` says so.
fn each_chunk(segment: &Segment, visit: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
    let (mut at, bytes) = (0, segment.header.bytes);
    let mut chunk = vec![0; READ_BYTES.min(bytes as usize)];
    while at < bytes {
        let part = chunk.len().min((bytes - at) as usize);
        segment.file.read_at(&mut chunk[..part], at)?;
        if !visit(&chunk[..part])? {
            return Ok(false);
        }
        at += part as u64;
    }
    Ok(true)
}

/// Writes the blocks behind the place of the header and the table, then these, last in front.
struct Writer {
    file: Box<dyn DiskFile>,
    contents: Contents,
    at: u64,
    compressor: Compressor<'static>,
    /// Of each block of the image.
    sums: Vec<u32>,
}

impl Writer {
    fn new(file: Box<dyn DiskFile>, segment: &Segment) -> io::Result<Self> {
        let block_bytes = block_bytes_of(segment.header.bytes);
        let count = segment.header.bytes.div_ceil(block_bytes) as usize;
        let mut contents = Contents { segment: segment.header, block_bytes, rows: vec![Row::ZEROS; count] };
        let at = contents.margin();
        contents.rows.clear();
        Ok(Self { file, contents, at, compressor: Compressor::new(PACK_LEVEL)?, sums: Vec::with_capacity(count) })
    }

    fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut stored = Vec::with_capacity(chunk.len());
        for block in chunk.chunks(self.contents.block_bytes as usize) {
            self.sums.push(checksum(block));
            let row = self.block(block, &mut stored)?;
            self.contents.rows.push(row);
        }
        if !stored.is_empty() {
            self.file.write_at(&stored, self.at)?;
        }
        self.at += stored.len() as u64;
        Ok(())
    }

    /// A block that would be hardly smaller stays as it is, and costs its readers nothing.
    fn block(&mut self, block: &[u8], into: &mut Vec<u8>) -> io::Result<Row> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Row::ZEROS);
        }
        let compressed = self.compressor.compress(block)?;
        let stored = if compressed.len() < block.len() - block.len() / 16 { &compressed[..] } else { block };
        into.extend_from_slice(stored);
        Ok(Row { stored: stored.len() as u32, checksum: checksum(stored) })
    }

    /// Gives the checksums of the image's blocks.
    fn finish(self) -> io::Result<Vec<u32>> {
        let (header, table) = self.contents.encode();
        self.file.write_at(&[&table[..], &header].concat(), self.at)?;
        self.file.write_at(&[&header[..], &table].concat(), 0)?;
        self.file.sync()?;
        Ok(self.sums)
    }
}
