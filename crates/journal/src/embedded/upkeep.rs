//! Upkeep: preparing the next segment and sealing the last one, away from the path of writes.
//!
//! The sequencer says what is wanted, this does it without the lock, and gives it back. A lack of room is not final: the
//! sequencer refuses what needs the room, and asks again. Every other error of the disk is.

use std::io;
use std::sync::Arc;

use super::files::OpenFiles;
use super::seal::{self, SealSummary, SealedIndex};
use super::sealed::SealedSegment;
use super::segment::{self, Segment, SegmentHeader, seal_name};
use super::sequencer::{FullSegment, Next, PlantedBug, Sequencer};
use crate::cursor::Position;
use crate::seams::Disk;
use crate::time::Timestamp;

/// One piece of upkeep.
pub(crate) enum Job {
    Prepare(SegmentHeader, PlantedBug),
    Seal(Arc<FullSegment>, PlantedBug),
}

/// What came of it.
pub(crate) enum Done {
    Prepared(io::Result<Segment>, SegmentHeader),
    Sealed(io::Result<Arc<SealedSegment>>),
}

impl Job {
    /// Does it: disk calls only, no lock.
    pub(crate) fn run(self, files: &Arc<OpenFiles>) -> Done {
        let disk = &files.disk;
        match self {
            Self::Prepare(header, planted) => {
                let prepared = segment::prepare(&**disk, header, planted);
                give_room_back(disk, &prepared, segment::TEMPORARY);
                Done::Prepared(prepared, header)
            }
            Self::Seal(full, planted) => {
                let sealed = seal_segment(files, &full, planted).map(Arc::new);
                give_room_back(disk, &sealed, SEAL_TEMPORARY);
                Done::Sealed(sealed)
            }
        }
    }
}

/// What of a seal is written before a sync.
const SEAL_PIECE_BYTES: usize = 1 << 20;

/// A seal that is being written.
pub(crate) const SEAL_TEMPORARY: &str = "seal.tmp";

/// What was begun on a disk without room must not keep the rest of it.
fn give_room_back<T>(disk: &Arc<dyn Disk>, outcome: &io::Result<T>, temporary: &str) {
    if outcome.as_ref().is_err_and(is_full) {
        // Whether it goes or not: the next try begins it anew.
        let _ = disk.remove(temporary);
    }
}

/// Writes a seal: temporary name, sync, rename, directory.
pub(crate) fn seal_segment(files: &Arc<OpenFiles>, full: &FullSegment, planted: PlantedBug) -> io::Result<SealedSegment> {
    write_seal(&*files.disk, full, planted, SEAL_TEMPORARY)?;
    open_seal(files, &full.segment.header, SEAL_TEMPORARY)
}

/// Writes a seal under a temporary name.
pub(crate) fn write_seal(disk: &dyn Disk, full: &FullSegment, planted: PlantedBug, temporary: &str) -> io::Result<()> {
    let file = disk.create(temporary)?;
    // Piece by piece, each synced: tens of megabytes at once would stand between the log and the disk.
    let mut at = 0;
    for piece in seal::encode(&summary_of(full, planted), &full.index).chunks(SEAL_PIECE_BYTES) {
        file.write_at(piece, at)?;
        file.sync()?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn summary_of(full: &FullSegment, planted: PlantedBug) -> SealSummary {
    let (first_time, last_time) = full.index.times.unwrap_or((Timestamp::from_micros(i64::MAX), Timestamp::from_micros(i64::MIN)));
    SealSummary {
        segment: full.segment.header.number,
        epoch: full.segment.header.epoch,
        end_offset: full.end.offset,
        chain: full.end.chain,
        first_position: full.first_position,
        last_position: full.end.position - 1 - u64::from(planted == PlantedBug::SealOffByOne),
        first_time,
        last_time,
    }
}

/// A full segment for whose seal there is no room: its index stays in memory until the next start makes the seal.
pub(crate) fn seal_in_memory(files: &Arc<OpenFiles>, full: &FullSegment) -> io::Result<SealedSegment> {
    let index = SealedIndex::without_rows(files, summary_of(full, PlantedBug::None), &full.index)?;
    Ok(SealedSegment::in_memory(index, Arc::clone(&full.index), Arc::clone(files)))
}

/// Gives a seal that was written its name, and opens it.
fn open_seal(files: &Arc<OpenFiles>, segment: &SegmentHeader, temporary: &str) -> io::Result<SealedSegment> {
    files.disk.rename(temporary, &seal_name(segment.number))?;
    files.disk.sync_directory()?;
    files.forget_seal(segment.number);
    let index = SealedIndex::open(files, segment.number, Some(segment.epoch))?;
    Ok(SealedSegment::new(index, Arc::clone(files)))
}

impl Sequencer {
    /// The most pressing piece of upkeep, if any. The next segment goes first: writers may wait for it.
    pub(crate) fn take_job(&mut self) -> Option<Job> {
        if self.poisoned.is_some() {
            return None;
        }
        if let Next::Wanted(bytes) = self.next {
            self.next = Next::Preparing;
            self.preparing_since = Some(self.clock.now());
            return Some(Job::Prepare(self.next_header(bytes), self.planted));
        }
        let job = Job::Seal(Arc::clone(self.due_for_a_seal()?), self.planted);
        self.sealing_since = Some(self.clock.now());
        self.sealing = true;
        Some(job)
    }

    fn next_header(&self, bytes: u64) -> SegmentHeader {
        let mut epoch = [0; 8];
        self.random.fill(&mut epoch);
        SegmentHeader {
            number: self.active.header.number + 1,
            epoch: u64::from_le_bytes(epoch),
            bytes: bytes.max(*self.segment_bytes.start()),
            lineage: self.lineage.id,
            flags: 0,
        }
    }

    /// Takes back what came of a piece of upkeep.
    pub(crate) fn job_done(&mut self, done: Done) {
        match &done {
            Done::Prepared(..) => self.preparing_since = None,
            Done::Sealed(_) => self.sealing_since = None,
        }
        match done {
            Done::Prepared(Ok(segment), _) => {
                self.full_disk &= self.seal_waits;
                self.next = Next::Ready(segment);
            }
            Done::Prepared(Err(error), header) if is_full(&error) => {
                self.next = Next::NoRoom(header.bytes);
                self.refuse_when_full();
            }
            Done::Sealed(Ok(sealed)) => self.take_seal(sealed),
            // No room for a seal: the index stays in memory, and the seal is tried again with the next upkeep.
            Done::Sealed(Err(error)) if is_full(&error) => {
                self.sealing = false;
                self.seal_waits = true;
                self.refuse_when_full();
            }
            Done::Prepared(Err(error), _) | Done::Sealed(Err(error)) => self.poison(&error.to_string()),
        }
    }

    /// A segment was compacted: this one stands for it from now on.
    pub(crate) fn replace_sealed(&mut self, sealed: Arc<SealedSegment>) {
        let number = sealed.number();
        let mut all = Vec::clone(&self.sealed);
        let Some(place) = all.iter_mut().find(|old| old.number() == number) else { return };
        *place = sealed;
        self.sealed = Arc::new(all);
        self.lookup.set_sealed(Arc::clone(&self.sealed));
        self.recent.forget(number);
        self.floor = floor_of(&self.sealed).max(self.floor);
    }

    fn take_seal(&mut self, sealed: Arc<SealedSegment>) {
        let mut all = Vec::clone(&self.sealed);
        all.push(sealed);
        self.sealed = Arc::new(all);
        self.lookup.set_sealed(Arc::clone(&self.sealed));
        let full = self.full.take();
        self.let_go(full);
        self.sealing = false;
        self.full_disk &= matches!(self.next, Next::NoRoom(_));
    }
}

/// The last position in front of the first event that is still there, as far as segments are sealed.
pub(crate) fn floor_of(sealed: &[Arc<SealedSegment>]) -> Position {
    let mut floor = 0;
    for segment in sealed {
        match segment.first_frame() {
            // What cannot be read is not gone.
            Err(_) => return floor,
            Ok(Some(first)) => return floor.max(first.first_position - 1),
            Ok(None) => floor = segment.last_position(),
        }
    }
    floor
}

/// A lack of room, of a quota or of descriptors: it passes, and nothing that was acknowledged depends on it. It counts only
/// where something new is made; any error of a write to the log is final.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let lacks_descriptors = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    lacks_descriptors || matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_passes_and_an_error_does_not() {
        for (number, passes) in [(libc::ENOSPC, true), (libc::EDQUOT, true), (libc::EMFILE, true), (libc::ENFILE, true), (libc::EIO, false)]
        {
            assert_eq!(is_full(&io::Error::from_raw_os_error(number)), passes, "{number}");
        }
    }
}
