//! The key store: one random key a subject, in a file of its own.
//!
//! `subjects.keys` holds records of 128 bytes one behind the other, numbers little-endian; the first is the store's own:
//!
//! ```text
//!  0        4         8       9      16            48      80     88       96     128
//!  +--------+---------+-------+------+-------------+-------+------+--------+------+
//!  | "HWSK" | crc32c  | sort, | zero | subject's   | key   | id,  | time,  | zero |
//!  |        | of 8..  | u8    |      | hash        |       | u64  | i64    |      |
//!  +--------+---------+-------+------+-------------+-------+------+--------+------+
//!    sort: 0 the store (its id, no key), 1 a key, 2 a destroyed key (zeros for the key)
//! ```
//!
//! The hash is of tenant and name of the subject: the store does not say who is in it. A record is written and synced before its key
//! is used. To destroy a key its record is overwritten where it stands, and synced; a record never crosses a sector of 512 bytes. A
//! record that does not hold is the torn last one, whose key nobody has used and which is written over, or damage: its key is not there.
//!
//! A key that is not there and that no erasure names is not erased: the store is an older copy of itself. Times only grow, so that an
//! erasure also ends the keys that it could not name, once they are there again.
//!
//! Crash points: before the sync of a new key nothing is sealed with it; before the sync of a destruction the event that orders it is
//! in the journal, and it is carried out at the next start.
//!
//! What it is not: encrypted. Who reads it and the journal reads everything.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use journal::CommandId;
use journal::seams::{Disk, DiskFile, DiskLock, Random};

use crate::limits::SUBJECT_KEYS_MAX;

const FILE: &str = "subjects.keys";
const MAGIC: [u8; 4] = *b"HWSK";
const RECORD_BYTES: usize = 128;

/// Why the key store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStoreError {
    /// Another process has it.
    InUse,
    /// The file is none, or its first record is damaged.
    NotAStore,
    /// It holds as many keys as it may.
    Full,
    /// The disk failed.
    Disk(String),
}

impl fmt::Display for KeyStoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => formatter.write_str("another process has the key store open; give each service a key store of its own"),
            Self::NotAStore => write!(formatter, "{FILE} is no key store, or its beginning is damaged; bring it back from its backup"),
            Self::Full => write!(formatter, "the key store holds {SUBJECT_KEYS_MAX} keys, as many as it may"),
            Self::Disk(cause) => write!(formatter, "the key store's disk fails: {cause}"),
        }
    }
}

impl std::error::Error for KeyStoreError {}

/// Tenant and name of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SubjectHash([u8; 32]);

impl SubjectHash {
    pub(super) fn of(tenant: &str, subject: &str) -> Self {
        let half = |name: &str| CommandId::from_raw(format!("{name}\0{tenant}\0{subject}").as_bytes()).0;
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&half("subject"));
        hash[16..].copy_from_slice(&half("subject again"));
        Self(hash)
    }
}

/// A key, on its way to the cipher.
pub(super) struct Key {
    pub(super) id: u64,
    pub(super) secret: [u8; 32],
}

/// What a key by its id comes to.
pub(super) enum Opening {
    /// It is there.
    With(Key),
    /// An erasure has ended it.
    Erased,
    /// It should be there and is not: the store is an older copy, or damaged.
    Unknown,
}

/// What a new key is made of.
pub(super) struct Now<'a> {
    pub(super) random: &'a dyn Random,
    pub(super) micros: i64,
}

/// See the module.
pub(super) struct Keys {
    file: Box<dyn DiskFile>,
    lock: Option<Box<dyn DiskLock>>,
    store: u64,
    /// Where the next record goes.
    records: u64,
    /// The place of each key, by its id; `None` for one that an erasure has ended.
    places: HashMap<u64, Option<u64>>,
    /// The keys of each subject that are there; the last one seals.
    live: HashMap<SubjectHash, Vec<u64>>,
    /// Erasures that this process has seen, and the last one of each subject. It grows under the lock on all of this.
    erasures: Arc<AtomicU64>,
    erased: HashMap<SubjectHash, u64>,
    /// The latest time of a record or an erasure: a later one is always later.
    latest: i64,
    notes: Vec<String>,
    /// The first error of the disk is final for new keys: what a sync that failed has left, nobody knows.
    failed: Option<KeyStoreError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Store = 0,
    Live = 1,
    Destroyed = 2,
}

struct Record {
    sort: Sort,
    subject: [u8; 32],
    secret: [u8; 32],
    id: u64,
    micros: i64,
}

impl Keys {
    /// Opens the file, or begins it.
    pub(super) fn open(disk: Arc<dyn Disk>, random: &dyn Random) -> Result<Self, KeyStoreError> {
        let lock = disk.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => KeyStoreError::InUse,
            _ => error.into(),
        })?;
        let file = match disk.open(FILE) {
            // One that is torn in its first record has no keys.
            Ok(file) if is_begun(&*file)? => file,
            Ok(_) => begin(&*disk, random)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => begin(&*disk, random)?,
            Err(error) => return Err(error.into()),
        };
        let mut keys = Self {
            file,
            lock: Some(lock),
            store: 0,
            records: 0,
            places: HashMap::new(),
            live: HashMap::new(),
            erasures: Arc::default(),
            erased: HashMap::new(),
            latest: 0,
            notes: Vec::new(),
            failed: None,
        };
        keys.scan()?;
        Ok(keys)
    }

    fn scan(&mut self) -> Result<(), KeyStoreError> {
        let length = self.file.len()? / RECORD_BYTES as u64;
        match self.read(0)? {
            Some(Record { sort: Sort::Store, id, .. }) => self.store = id,
            _ => return Err(KeyStoreError::NotAStore),
        }
        self.records = length;
        for place in 1..length {
            match self.read(place)? {
                Some(Record { sort: Sort::Live, subject, id, micros, .. }) => {
                    self.latest = self.latest.max(micros);
                    self.add(SubjectHash(subject), id, place);
                }
                Some(Record { id, .. }) => drop(self.places.insert(id, None)),
                // Torn: its key was never used.
                None if place + 1 == length => self.records = place,
                None => self
                    .notes
                    .push(format!("record {place} of {FILE} is damaged, and its key is not there; bring the file back from its backup")),
            }
        }
        Ok(())
    }

    fn add(&mut self, subject: SubjectHash, id: u64, place: u64) {
        self.places.insert(id, Some(place));
        self.live.entry(subject).or_default().push(id);
    }

    /// Lets another process have the store: nothing is sealed any more.
    pub(super) fn release(&mut self) {
        self.lock = None;
    }

    /// Names the store: the journal remembers which one is its.
    pub(super) fn store(&self) -> u64 {
        self.store
    }

    /// What an operator should know of how it was opened.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn erasures(&self) -> u64 {
        self.erasures.load(SeqCst)
    }

    /// The count of erasures, for who must not wait.
    pub(super) fn begun(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.erasures)
    }

    /// The key that seals for a subject, made when there is none; `None` for a value that is older than the subject's erasure.
    pub(super) fn sealing(&mut self, subject: SubjectHash, at: Option<u64>, now: &Now<'_>) -> Result<Option<Key>, KeyStoreError> {
        let erased = self.erased.get(&subject).copied().unwrap_or(0);
        if at.is_some_and(|at| at < erased) {
            return Ok(None);
        }
        match self.live.get(&subject).and_then(|ids| ids.last()).copied() {
            Some(id) => match self.opening(id) {
                Opening::With(key) => Ok(Some(key)),
                Opening::Erased | Opening::Unknown => Err(KeyStoreError::Disk(format!("the key {id:016x} cannot be read"))),
            },
            None => self.make(subject, now).map(Some),
        }
    }

    fn make(&mut self, subject: SubjectHash, now: &Now<'_>) -> Result<Key, KeyStoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.places.len() >= SUBJECT_KEYS_MAX {
            return Err(KeyStoreError::Full);
        }
        let mut secret = [0; 32];
        now.random.fill(&mut secret);
        let id = self.free_id(now.random);
        let record = Record { sort: Sort::Live, subject: subject.0, secret, id, micros: self.later(now.micros) };
        let place = self.records;
        let written = self.file.write_at(&record.encode(), place * RECORD_BYTES as u64).and_then(|()| self.file.sync());
        if let Err(error) = written {
            return Err(self.failed.insert(error.into()).clone());
        }
        self.records += 1;
        self.add(subject, id, place);
        Ok(Key { id, secret })
    }

    fn free_id(&self, random: &dyn Random) -> u64 {
        loop {
            let mut id = [0; 8];
            random.fill(&mut id);
            let id = u64::from_le_bytes(id);
            if !self.places.contains_key(&id) {
                return id;
            }
        }
    }

    /// A time behind all that are known.
    pub(super) fn later(&mut self, micros: i64) -> i64 {
        self.latest = micros.max(self.latest + 1);
        self.latest
    }

    /// What a key by its id comes to.
    pub(super) fn opening(&self, id: u64) -> Opening {
        let place = match self.places.get(&id) {
            Some(Some(place)) => *place,
            Some(None) => return Opening::Erased,
            None => return Opening::Unknown,
        };
        match self.read(place) {
            Ok(Some(record)) if record.sort == Sort::Live && record.id == id => Opening::With(Key { id, secret: record.secret }),
            // A destruction that is not known to be durable, or a disk that fails: nobody may take it for erased yet.
            _ => Opening::Unknown,
        }
    }

    /// The keys of a subject that are there.
    pub(super) fn of(&self, subject: SubjectHash) -> Vec<u64> {
        self.live.get(&subject).cloned().unwrap_or_default()
    }

    /// Ends these keys of a subject, and those that are not later than `upto`; gives how many were there. From its beginning on, nothing
    /// that was read before is sealed any more. When it fails, they are still there, and it is to be done again.
    pub(super) fn destroy(&mut self, subject: SubjectHash, ids: &[u64], upto: i64) -> Result<usize, KeyStoreError> {
        // First of all: a state that is read from here on waits for the lock, and one that was read before is told by this.
        let count = self.erasures.fetch_add(1, SeqCst) + 1;
        self.erased.insert(subject, count);
        self.latest = self.latest.max(upto);
        let mut ends = ids.to_vec();
        for id in self.of(subject) {
            let place = self.places.get(&id).copied().flatten();
            if !ends.contains(&id) && place.map_or(Ok(None), |place| self.read(place))?.is_some_and(|record| record.micros <= upto) {
                ends.push(id);
            }
        }
        let mut destroyed = 0;
        for id in &ends {
            let Some(place) = self.places.get(id).copied().flatten() else { continue };
            let micros = self.read(place)?.map_or(0, |record| record.micros);
            let record = Record { sort: Sort::Destroyed, subject: subject.0, secret: [0; 32], id: *id, micros };
            self.file.write_at(&record.encode(), place * RECORD_BYTES as u64)?;
            destroyed += 1;
        }
        self.file.sync()?;
        self.forget(subject, &ends);
        Ok(destroyed)
    }

    /// Also those that are not there are known from now on: what they have sealed is erased, and not lost.
    fn forget(&mut self, subject: SubjectHash, ids: &[u64]) {
        self.places.extend(ids.iter().map(|id| (*id, None)));
        if let Some(live) = self.live.get_mut(&subject) {
            live.retain(|id| !ids.contains(id));
            if live.is_empty() {
                self.live.remove(&subject);
            }
        }
    }

    fn read(&self, place: u64) -> Result<Option<Record>, KeyStoreError> {
        let mut bytes = [0; RECORD_BYTES];
        self.file.read_at(&mut bytes, place * RECORD_BYTES as u64)?;
        Ok(Record::decode(&bytes))
    }
}

fn is_begun(file: &dyn DiskFile) -> Result<bool, KeyStoreError> {
    let mut first = [0; RECORD_BYTES];
    match file.len()? {
        0..128 => Ok(false),
        128 => {
            file.read_at(&mut first, 0)?;
            Ok(Record::decode(&first).is_some())
        }
        _ => Ok(true),
    }
}

fn begin(disk: &dyn Disk, random: &dyn Random) -> Result<Box<dyn DiskFile>, KeyStoreError> {
    let mut id = [0; 8];
    random.fill(&mut id);
    let record = Record { sort: Sort::Store, subject: [0; 32], secret: [0; 32], id: u64::from_le_bytes(id), micros: 0 };
    let file = disk.create(FILE)?;
    file.write_at(&record.encode(), 0)?;
    file.sync()?;
    disk.sync_directory()?;
    Ok(file)
}

impl Record {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8] = self.sort as u8;
        bytes[16..48].copy_from_slice(&self.subject);
        bytes[48..80].copy_from_slice(&self.secret);
        bytes[80..88].copy_from_slice(&self.id.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.micros.to_le_bytes());
        let checksum = checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let sort = match bytes[8] {
            0 => Sort::Store,
            1 => Sort::Live,
            2 => Sort::Destroyed,
            _ => return None,
        };
        let whole = bytes[..4] == MAGIC && bytes[4..8] == checksum(&bytes[8..]).to_le_bytes();
        let record = || {
            Some(Self {
                sort,
                subject: bytes[16..48].try_into().ok()?,
                secret: bytes[48..80].try_into().ok()?,
                id: u64::from_le_bytes(bytes[80..88].try_into().ok()?),
                micros: i64::from_le_bytes(bytes[88..96].try_into().ok()?),
            })
        };
        if whole { record() } else { None }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
