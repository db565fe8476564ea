//! The roots that are kept of sealed segments (`roots.log`): what their events were when the segment was sealed, or soon after.
//!
//! ```text
//! log     magic "HWROOTS\x01" | record*
//! record  checksum u32 | length u32 | kind u8 | body
//! body    (kind 1) segment u64 | first position u64 | event count u64 | link [32] | root [32] | subtree count u32 | subtree [32]*
//! link    BLAKE3(0x02 | link of the record before [32] | lineage [16] | segment u64 | first position u64 | event count u64 | root [32])
//! ```
//!
//! `checksum` is CRC-32C over bytes 4 to the record's end; `length` counts what follows it; a record of another kind is skipped. One record a
//! segment, from 1 on, in order. `root` is that of all events up to the segment's last one; `subtree` are the largest whole subtrees
//! over the segment's own events (`merkle`), so that a segment's part of the tree outlives its events. The first record's
//! link is made with zeros in front.
//!
//! Written behind the seal, off the path of writes: a segment's bytes do not change any more, so that its root is the same whenever it is
//! made. A record is synced before the next one; a torn last record is cut off. A log that is damaged is kept aside
//! and made again from the segments. It proves nothing to whoever may write to the directory: for that, a root is kept elsewhere.

use std::io;
use std::sync::Arc;

use super::frame::{POSITION_MAX, checksum};
use super::merkle::{Hash, Leaves};
use crate::cursor::{LineageId, Position};
use crate::seams::{Disk, DiskFile};

pub(crate) const ROOTS_LOG: &str = "roots.log";
const TEMPORARY: &str = "roots.tmp";
const MAGIC: &[u8; 8] = b"HWROOTS\x01";
const LINK: u8 = 2;
const KIND_ROOT: u8 = 1;
const HEAD_BYTES: usize = 9;
const BODY_BYTES: usize = 3 * 8 + 2 * 32 + 4;

/// What is kept of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootRecord {
    pub(crate) segment: u64,
    pub(crate) link: Hash,
    pub(crate) root: Hash,
    /// Those of the segment's events.
    pub(crate) leaves: Leaves,
    pub(crate) first_position: Position,
}

impl RootRecord {
    pub(crate) fn event_count(&self) -> u64 {
        self.leaves.next() + 1 - self.first_position
    }

    pub(crate) fn last_position(&self) -> Position {
        self.leaves.next()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        [self.segment, self.first_position, self.event_count()].iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.extend_from_slice(&self.link);
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&(self.leaves.subtrees().len() as u32).to_le_bytes());
        self.leaves.subtrees().iter().for_each(|subtree| bytes.extend_from_slice(&subtree.hash));
        let length = (bytes.len() - 8) as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8] = KIND_ROOT;
        let sum = checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None`: the bytes are no such record.
    fn decode(body: &[u8]) -> Option<Self> {
        let word = |at: usize| body.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        let hash = |at: usize| body.get(at..at + 32).map(|bytes| -> Hash { bytes.try_into().expect("thirty-two bytes") });
        let (segment, first_position, event_count) = (word(0)?, word(8)?, word(16)?);
        let (link, root) = (hash(24)?, hash(56)?);
        let hashes: Vec<Hash> = body.get(BODY_BYTES..)?.chunks_exact(32).map(|hash| hash.try_into().expect("thirty-two bytes")).collect();
        let count = u32::from_le_bytes(body[BODY_BYTES - 4..BODY_BYTES].try_into().expect("four bytes"));
        let first = first_position.checked_sub(1)?;
        // No journal comes this far: counting on from it would run over.
        let end = first.checked_add(event_count).filter(|end| *end <= POSITION_MAX)?;
        let leaves = Leaves::of(first, end, &hashes)?;
        (count as usize == hashes.len()).then_some(Self { segment, link, root, leaves, first_position })
    }
}

/// Where the chain of records stands.
#[derive(Clone, Debug)]
pub(crate) struct ChainEnd {
    lineage: LineageId,
    pub(crate) segment: u64,
    link: Hash,
    /// All leaves so far.
    pub(crate) leaves: Leaves,
}

impl ChainEnd {
    pub(crate) fn beginning(lineage: LineageId) -> Self {
        Self { lineage, segment: 0, link: [0; 32], leaves: Leaves::from(0) }
    }

    /// The record of the next segment, which has these leaves.
    pub(crate) fn next(&self, run: Leaves) -> RootRecord {
        let (segment, first_position) = (self.segment + 1, self.leaves.next() + 1);
        let mut leaves = self.leaves.clone();
        leaves.append(&run);
        let mut record = RootRecord { segment, link: [0; 32], root: leaves.root(), leaves: run, first_position };
        record.link = self.link(&record);
        record
    }

    fn link(&self, record: &RootRecord) -> Hash {
        let mut bytes = vec![LINK];
        bytes.extend_from_slice(&self.link);
        bytes.extend_from_slice(&self.lineage.0);
        [record.segment, record.first_position, record.event_count()].iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.extend_from_slice(&record.root);
        *blake3::hash(&bytes).as_bytes()
    }

    /// Goes on behind a record; false when it does not follow.
    pub(crate) fn take(&mut self, record: &RootRecord) -> bool {
        let mut leaves = self.leaves.clone();
        let follows = record.segment == self.segment + 1 && record.first_position == self.leaves.next() + 1;
        if !follows {
            return false;
        }
        leaves.append(&record.leaves);
        if leaves.root() != record.root || self.link(record) != record.link {
            return false;
        }
        (self.segment, self.link, self.leaves) = (record.segment, record.link, leaves);
        true
    }
}

/// The log as it was read.
pub(crate) struct Roots {
    pub(crate) records: Vec<RootRecord>,
    pub(crate) end: ChainEnd,
    /// What is wrong with it behind these records; a torn last record is not.
    pub(crate) fault: Option<String>,
    valid_bytes: u64,
    torn: bool,
    absent: bool,
}

impl Roots {
    /// Reads the log, and changes nothing.
    ///
    /// # Errors
    /// The disk's; no log at all is none.
    pub(crate) fn read(disk: &dyn Disk, lineage: LineageId) -> io::Result<Self> {
        let mut roots =
            Self { records: Vec::new(), end: ChainEnd::beginning(lineage), fault: None, valid_bytes: 0, torn: false, absent: false };
        match disk.open(ROOTS_LOG) {
            Ok(file) => {
                let mut bytes = vec![0; file.len()? as usize];
                file.read_at(&mut bytes, 0)?;
                roots.replay(&bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => roots.absent = true,
            Err(error) => return Err(error),
        }
        Ok(roots)
    }

    fn replay(&mut self, bytes: &[u8]) {
        let damaged = |at: usize| Some(format!("{ROOTS_LOG} is damaged at byte {at}"));
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            self.fault = damaged(0);
            return;
        }
        let mut at = MAGIC.len();
        while let Some((kind, body, length)) = record_at(&bytes[at..]) {
            if kind == KIND_ROOT {
                match RootRecord::decode(body).filter(|record| self.end.take(record)) {
                    Some(record) => self.records.push(record),
                    None => {
                        self.fault = Some(format!("{ROOTS_LOG}: the record at byte {at} does not follow from those before it"));
                        break;
                    }
                }
            }
            at += length;
        }
        self.valid_bytes = at as u64;
        let rest = &bytes[at..];
        self.torn = !rest.is_empty();
        if self.fault.is_none() && (1..rest.len()).any(|at| record_at(&rest[at..]).is_some()) {
            self.fault = damaged(at);
        }
    }
}

/// The kind, body and whole length of the record at the front of the bytes.
fn record_at(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    let record = bytes.get(..length.checked_add(8)?).filter(|record| record.len() >= HEAD_BYTES)?;
    (checksum(&record[4..]).to_le_bytes() == record[..4]).then(|| (record[8], &record[HEAD_BYTES..], record.len()))
}

/// The log, for writing.
pub(crate) struct RootLog {
    file: Box<dyn DiskFile>,
    bytes: u64,
    pub(crate) end: ChainEnd,
    /// A damaged log was kept in this file, and this one begins anew.
    pub(crate) aside: Option<String>,
}

impl RootLog {
    /// Opens the log, or begins one.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn open(disk: &Arc<dyn Disk>, lineage: LineageId) -> io::Result<Self> {
        let roots = Roots::read(&**disk, lineage)?;
        if roots.absent || roots.fault.is_some() {
            let aside = if roots.absent { None } else { Some(keep_aside(&**disk)?) };
            let (file, end) = (begin(&**disk)?, ChainEnd::beginning(lineage));
            return Ok(Self { file, bytes: MAGIC.len() as u64, end, aside });
        }
        let file = disk.open(ROOTS_LOG)?;
        if roots.torn {
            file.set_len(roots.valid_bytes)?;
            file.sync()?;
        }
        Ok(Self { file, bytes: roots.valid_bytes, end: roots.end, aside: None })
    }

    /// How long the log is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps the next segment's root, which has these leaves.
    ///
    /// # Errors
    /// The disk's; what was written before stays.
    pub(crate) fn append(&mut self, run: Leaves) -> io::Result<()> {
        let record = self.end.next(run);
        let bytes = record.encode();
        self.file.write_at(&bytes, self.bytes)?;
        self.file.sync()?;
        self.bytes += bytes.len() as u64;
        assert!(self.end.take(&record), "a record that was just made follows");
        Ok(())
    }
}

/// A log without records: under its own name only when it is whole.
fn begin(disk: &dyn Disk) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(TEMPORARY)?;
    file.write_at(MAGIC, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(TEMPORARY, ROOTS_LOG)?;
    disk.sync_directory()?;
    disk.open(ROOTS_LOG)
}

fn keep_aside(disk: &dyn Disk) -> io::Result<String> {
    let names = disk.list("")?;
    let free = (1..).map(|number| format!("roots-{number}.aside")).find(|name| !names.contains(name));
    let name = free.expect("there are more numbers than files");
    disk.rename(ROOTS_LOG, &name)?;
    disk.sync_directory()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mistake of ours, or somebody who mends every checksum: found while its fuzz target was written.
    #[test]
    fn a_record_whose_events_would_run_over_is_none() {
        let body = |first: u64, count: u64, subtrees: usize| {
            let head = [1, first, count].into_iter().flat_map(u64::to_le_bytes).chain([0; 64]);
            head.chain((subtrees as u32).to_le_bytes()).chain(vec![3; subtrees * 32]).collect::<Vec<u8>>()
        };
        assert!(RootRecord::decode(&body(1, 7, 3)).is_some());
        assert!(RootRecord::decode(&body(1, POSITION_MAX, 63)).is_some());
        assert!(RootRecord::decode(&body(1, POSITION_MAX + 1, 1)).is_none());
        assert!(RootRecord::decode(&body(1, u64::MAX, 64)).is_none());
    }
}
