//! Snapshots: states of long-lived entities, so that a load replays few events. Derived data: a snapshot that is lost, damaged,
//! of another build (but see `raise`) or history, or ahead of the journal costs a longer replay and nothing else; the file may be deleted.
//!
//! One file, `snapshots.log`, of records one behind the other, numbers little-endian:
//!
//! ```text
//!  0        4         8            12           16          32        48        56     64          68          72
//!  +--------+---------+------------+------------+-----------+---------+---------+------+-----------+-----------+-------+-------+
//!  | "HWSN" | crc32c  | build      | state      | entity    | lineage | seq-    | time | crc32c of | zero      | build | state |
//!  |        | of 8..72| bytes, u32 | bytes, u32 | hash      |         | uence   | i64  | the rest  | (reserve) |       |       |
//!  +--------+---------+------------+------------+-----------+---------+---------+------+-----------+-----------+-------+-------+
//! ```
//!
//! At open the headers are scanned, the last record of an entity counts, and the scan ends at the first header that does not
//! hold: the next record is written there. A state is checked when it is read. Only states of durable events are written, and
//! never synced: after a crash of the machine the end of the file may be gone or torn, which the checksums tell. When more than
//! half of the file is garbage, what counts is copied to `snapshots.new`, which is renamed over it. Crash points: before the
//! rename the old file stands, after it the new one.
//!
//! Personal values are sealed in it: see `personal`.
//!
//! What it is not: the truth, or a cache of whatever was read. Only the newest snapshot of an entity is kept.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::seams::{Disk, DiskFile};
use journal::{EntityKey, KeyHash, LineageId, Timestamp};

use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_REWRITE_BYTES_MIN, SNAPSHOTS_MAX};
use crate::personal::{Form, Place as Sealed, Subjects};

const FILE: &str = "snapshots.log";
const NEW_FILE: &str = "snapshots.new";
const MAGIC: [u8; 4] = *b"HWSN";
const HEADER_BYTES: usize = 72;

/// A mistake for tests to catch; none outside of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlantedBug {
    /// None.
    #[default]
    None,
    /// A state is kept before its events are durable.
    SnapshotAheadOfJournal,
}

/// A state to be kept, or one that was.
pub(crate) struct Draft {
    pub(crate) sequence: u64,
    /// The time of the event with that sequence.
    pub(crate) time: Timestamp,
    pub(crate) state: Vec<u8>,
}

/// See the module.
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    lineage: LineageId,
    log: Mutex<Log>,
    pub(crate) planted: PlantedBug,
    subjects: Option<Arc<Subjects>>,
}

struct Log {
    file: Box<dyn DiskFile>,
    /// Where the next record goes.
    end: u64,
    /// Bytes of the records that count.
    counting: u64,
    places: HashMap<KeyHash, Place>,
}

/// Where the record of an entity lies.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    header: Header,
}

#[derive(Clone, Copy)]
struct Header {
    build_bytes: u32,
    state_bytes: u32,
    entity: KeyHash,
    lineage: LineageId,
    sequence: u64,
    time: Timestamp,
    content_checksum: u32,
}

impl Snapshots {
    /// Opens the file, or begins one.
    pub(crate) fn open(disk: Arc<dyn Disk>, lineage: LineageId, subjects: Option<Arc<Subjects>>, planted: PlantedBug) -> io::Result<Self> {
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(FILE)?,
            Err(error) => return Err(error),
        };
        let log = Mutex::new(Log::scan(file)?);
        Ok(Self { disk, lineage, log, planted, subjects })
    }

    /// The newest snapshot of an entity, if there is a whole one of this build and history.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn get(&self, entity: &EntityKey, build: &str) -> Option<Draft> {
        self.newest(entity, |kept| kept == build).map(|(_, draft)| draft)
    }

    /// The newest snapshot of an entity with its build, if there is a whole one of this history, of a build that is wanted.
    pub(crate) fn newest(&self, entity: &EntityKey, wants: impl Fn(&str) -> bool) -> Option<(String, Draft)> {
        let mut log = self.lock();
        let place = log.places.get(&entity.hash()).filter(|place| place.header.lineage == self.lineage).copied()?;
        let Some(content) = log.content(&place) else {
            log.forget(entity.hash());
            return None;
        };
        let (kept_build, state) = content.split_at(place.header.build_bytes as usize);
        let build = std::str::from_utf8(kept_build).ok().filter(|build| wants(build))?.to_owned();
        let opened = || self.subjects.as_ref().map_or(Ok(None), |subjects| subjects.opened(&Sealed::Snapshot(entity), state, Form::Marked));
        // One that cannot be opened is none: the events say why.
        let state = opened().ok().map(|opened| opened.unwrap_or_else(|| state.to_vec()))?;
        Some((build, Draft { sequence: place.header.sequence, time: place.header.time, state }))
    }

    /// Keeps a snapshot. When the disk fails there is none: the next one is tried again.
    pub(crate) fn put(&self, entity: &EntityKey, build: &str, mut draft: Draft) {
        match self.subjects.as_ref().map(|subjects| subjects.seal(&Sealed::Snapshot(entity), &draft.state)) {
            Some(Ok(Some(sealed))) => draft.state = sealed,
            Some(Err(_)) => return,
            Some(Ok(None)) | None => {}
        }
        let mut log = self.lock();
        let hash = entity.hash();
        if draft.state.len() > SNAPSHOT_BYTES_MAX || log.places.len() >= SNAPSHOTS_MAX && !log.places.contains_key(&hash) {
            return;
        }
        let content = [build.as_bytes(), &draft.state].concat();
        let header = Header {
            build_bytes: build.len() as u32,
            state_bytes: draft.state.len() as u32,
            entity: hash,
            lineage: self.lineage,
            sequence: draft.sequence,
            time: draft.time,
            content_checksum: checksum(&content),
        };
        if log.append(header, &content).is_ok() && log.is_mostly_garbage() {
            // A rewrite that fails leaves the old file in use.
            log.rewrite(&*self.disk).unwrap_or_default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn scan(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let length = file.len()?;
        let mut log = Self { file, end: 0, counting: 0, places: HashMap::new() };
        while let Some(header) = log.header_at(log.end, length) {
            let offset = log.end;
            log.end += header.record_bytes();
            if log.places.len() < SNAPSHOTS_MAX {
                log.index(Place { offset, header });
            }
        }
        Ok(log)
    }

    /// The header of a whole record; `None` where there is none.
    fn header_at(&self, offset: u64, length: u64) -> Option<Header> {
        if offset + HEADER_BYTES as u64 > length {
            return None;
        }
        let mut bytes = [0; HEADER_BYTES];
        self.file.read_at(&mut bytes, offset).ok()?;
        let header = Header::decode(&bytes)?;
        (offset + header.record_bytes() <= length).then_some(header)
    }

    fn index(&mut self, place: Place) {
        self.forget(place.header.entity);
        self.counting += place.header.record_bytes();
        self.places.insert(place.header.entity, place);
    }

    fn forget(&mut self, entity: KeyHash) {
        if let Some(before) = self.places.remove(&entity) {
            self.counting -= before.header.record_bytes();
        }
    }

    /// Build and state of a record, when they are whole.
    fn content(&self, place: &Place) -> Option<Vec<u8>> {
        let mut content = vec![0; place.header.content_bytes()];
        self.file.read_at(&mut content, place.offset + HEADER_BYTES as u64).ok()?;
        (checksum(&content) == place.header.content_checksum).then_some(content)
    }

    fn append(&mut self, header: Header, content: &[u8]) -> io::Result<()> {
        let record = [&header.encode()[..], content].concat();
        self.file.write_at(&record, self.end)?;
        let place = Place { offset: self.end, header };
        self.end += header.record_bytes();
        self.index(place);
        Ok(())
    }

    fn is_mostly_garbage(&self) -> bool {
        self.end > SNAPSHOT_REWRITE_BYTES_MIN && self.counting * 2 < self.end
    }

    /// Copies what counts into a new file, and takes it for the old one.
    fn rewrite(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let mut fresh = Self { file: disk.create(NEW_FILE)?, end: 0, counting: 0, places: HashMap::with_capacity(self.places.len()) };
        for place in self.places.values() {
            if let Some(content) = self.content(place) {
                fresh.append(place.header, &content)?;
            }
        }
        disk.rename(NEW_FILE, FILE)?;
        *self = fresh;
        Ok(())
    }
}

impl Header {
    fn content_bytes(&self) -> usize {
        self.build_bytes as usize + self.state_bytes as usize
    }

    fn record_bytes(&self) -> u64 {
        (HEADER_BYTES + self.content_bytes()) as u64
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.build_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.state_bytes.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.entity.0);
        bytes[32..48].copy_from_slice(&self.lineage.0);
        bytes[48..56].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.time.as_micros().to_le_bytes());
        bytes[64..68].copy_from_slice(&self.content_checksum.to_le_bytes());
        let own = checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[..4] != MAGIC || word(bytes, 4) != checksum(&bytes[8..]) {
            return None;
        }
        let header = Self {
            build_bytes: word(bytes, 8),
            state_bytes: word(bytes, 12),
            entity: KeyHash(sixteen(bytes, 16)),
            lineage: LineageId(sixteen(bytes, 32)),
            sequence: long(bytes, 48),
            time: Timestamp::from_micros(long(bytes, 56).cast_signed()),
            content_checksum: word(bytes, 64),
        };
        (header.state_bytes as usize <= SNAPSHOT_BYTES_MAX).then_some(header)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn sixteen(bytes: &[u8], at: usize) -> [u8; 16] {
    array(bytes, at)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
/// Opens a file of these bytes as a file of snapshots, with checksums that were set right if asked for, and looks for the state of one
/// entity: the door of the fuzz target.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn fuzz(bytes: &[u8], mend: bool) {
    let (entity, lineage) = (EntityKey::new("cart", "c1").expect("the key fits"), LineageId([7; 16]));
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while mend && let Some(header) = bytes.get_mut(at..at + HEADER_BYTES) {
        header[..4].copy_from_slice(&MAGIC);
        header[16..32].copy_from_slice(&entity.hash().0);
        header[32..48].copy_from_slice(&lineage.0);
        let content = at + HEADER_BYTES..at + HEADER_BYTES + word(header, 8) as usize + word(header, 12) as usize;
        let right = bytes.get(content.clone()).map(checksum);
        right.into_iter().for_each(|right| bytes[at + 64..at + 68].copy_from_slice(&right.to_le_bytes()));
        let own = checksum(&bytes[at + 8..at + HEADER_BYTES]);
        bytes[at + 4..at + 8].copy_from_slice(&own.to_le_bytes());
        at = content.end;
    }
    let disk = Arc::new(journal::sim::SimDisk::new(1));
    let file = disk.create(FILE).expect("a simulated disk takes a file");
    file.write_at(&bytes, 0).expect("a simulated disk takes bytes");
    let Ok(snapshots) = Snapshots::open(disk, lineage, None, PlantedBug::None) else { return };
    let before = snapshots.get(&entity, "b1").map(|draft| draft.state);
    let draft = Draft { sequence: 9, time: Timestamp::from_micros(5), state: before.unwrap_or_default() };
    let state = draft.state.clone();
    snapshots.put(&entity, "b1", draft);
    let after = snapshots.get(&entity, "b1").map(|draft| draft.state);
    assert_eq!(after, Some(state), "what was put is there, whatever stood before it");
}
