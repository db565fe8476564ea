//! Registers of the embedded engine: a map in memory, and a checksummed log of their own (`registers.log`).
//!
//! ```text
//! log     magic "HWREGS\0\x01" | record*
//! record  checksum u32 | length u32 | revision u64 | kind u8 | name length u16 | name | value
//! ```
//!
//! `checksum` is CRC-32C over bytes 4 to the record's end; `length` counts what follows it; kind 0 sets, 1 deletes, 2 only carries
//! the highest revision: over a rewrite, and behind the last record, where the next one goes over it. A record is synced before it is visible. A torn last record is cut off at
//! the next start; a damaged one before valid ones is refused. The log is rewritten (temporary name, sync, rename) when
//! it holds four times what is alive. Revisions grow over the whole log and are never reused.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::frame::checksum;
use super::limits::REGISTER_LOG_BYTES_MIN;
use super::upkeep::is_full;
use crate::commit::Fence;
use crate::contract_traits::BoxFuture;
use crate::error::RegisterError;
use crate::limits::{REGISTER_BYTES_MAX, REGISTER_NAME_BYTES_MAX};
use crate::registers::{Register, RegisterExpect, RegisterWatch, Revision, epoch_of};
use crate::seams::{Disk, DiskFile};

const LOG: &str = "registers.log";
const TEMPORARY: &str = "registers.tmp";
const KIND_SET: u8 = 0;
const KIND_DELETE: u8 = 1;
const KIND_REVISION: u8 = 2;
const FIXED_BYTES: usize = 4 + 4 + 8 + 1 + 2;
const MAGIC: &[u8; 8] = b"HWREGS\0\x01";
const RECORD_BYTES_MAX: usize = FIXED_BYTES + REGISTER_NAME_BYTES_MAX + REGISTER_BYTES_MAX;

/// All registers.
pub(crate) struct RegisterTable {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    alive: BTreeMap<String, (Revision, Bytes)>,
    revision: u64,
    log: Box<dyn DiskFile>,
    log_bytes: u64,
    alive_bytes: u64,
    poisoned: Option<String>,
}

impl RegisterTable {
    /// Reads the log, or begins one.
    ///
    /// # Errors
    /// `InvalidData` when a record before the last is damaged; else the disk's.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let log = match disk.open(LOG) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => begin(&*disk)?,
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; log.len()? as usize];
        log.read_at(&mut bytes, 0)?;
        let mut state = State { alive: BTreeMap::new(), revision: 0, log, log_bytes: 0, alive_bytes: 0, poisoned: None };
        let valid = state.replay(&bytes)?;
        if valid < bytes.len() {
            state.log.set_len(valid as u64)?;
        }
        // After a sync that failed, the page cache may show what the disk does not have, to the next process too: written again, the same
        // bytes in the same places, it counts once it is synced.
        state.log.write_at(&bytes[..valid], 0)?;
        state.log.sync()?;
        state.log_bytes = valid as u64;
        Ok(Self { disk, state: Mutex::new(state), changes: watch::Sender::new(0) })
    }

    /// The epoch at the front of a register.
    pub(crate) fn epoch(&self, name: &str) -> Option<u64> {
        self.lock().alive.get(name).and_then(|(_, value)| epoch_of(value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Register> {
        let state = self.lock();
        state.alive.get(name).map(|(revision, value)| Register { name: name.to_owned(), revision: *revision, value: value.clone() })
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<Register> {
        let state = self.lock();
        let from = state.alive.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        from.map(|(name, (revision, value))| Register { name: name.clone(), revision: *revision, value: value.clone() }).collect()
    }

    pub(crate) fn put(&self, fence: Option<&Fence>, name: &str, expect: RegisterExpect, value: &Bytes) -> Result<Revision, RegisterError> {
        let mut state = self.lock();
        state.check_fence(fence)?;
        let now = state.alive.get(name).map(|(revision, _)| *revision);
        let holds = match expect {
            RegisterExpect::Absent => now.is_none(),
            RegisterExpect::Revision(revision) => now == Some(revision),
        };
        if !holds {
            return Err(RegisterError::Conflict { now });
        }
        let revision = self.write(&mut state, KIND_SET, name, value)?;
        state.set(name, revision, value.clone());
        self.after_write(&mut state)?;
        Ok(revision)
    }

    pub(crate) fn delete(&self, fence: Option<&Fence>, name: &str, revision: Revision) -> Result<(), RegisterError> {
        let mut state = self.lock();
        state.check_fence(fence)?;
        let now = state.alive.get(name).map(|(revision, _)| *revision);
        if now != Some(revision) {
            return Err(RegisterError::Conflict { now });
        }
        self.write(&mut state, KIND_DELETE, name, &[])?;
        state.remove(name);
        self.after_write(&mut state)
    }

    pub(crate) fn watch(&self) -> Box<dyn RegisterWatch> {
        Box::new(Watch { changes: self.changes.subscribe() })
    }

    fn write(&self, state: &mut State, kind: u8, name: &str, value: &[u8]) -> Result<Revision, RegisterError> {
        if let Some(cause) = &state.poisoned {
            return Err(RegisterError::Poisoned { cause: cause.clone() });
        }
        let revision = state.revision + 1;
        let record = encode(revision, kind, name, value);
        let outcome = state.log.write_at(&record, state.log_bytes).and_then(|()| state.log.sync());
        outcome.map_err(|error| state.poison(&error))?;
        state.revision = revision;
        state.log_bytes += record.len() as u64;
        state.mark_end().map_err(|error| state.poison(&error))?;
        Ok(Revision(revision))
    }

    fn after_write(&self, state: &mut State) -> Result<(), RegisterError> {
        self.changes.send_modify(|count| *count += 1);
        if state.log_bytes > REGISTER_LOG_BYTES_MIN && state.log_bytes > 4 * state.alive_bytes {
            self.rewrite(state).map_err(|error| state.poison(&error))?;
        }
        Ok(())
    }

    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(encode(state.revision, KIND_REVISION, "", &[]));
        for (name, (revision, value)) in &state.alive {
            bytes.extend(encode(revision.0, KIND_SET, name, value));
        }
        let file = self.disk.create(TEMPORARY)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        drop(file);
        self.disk.rename(TEMPORARY, LOG)?;
        self.disk.sync_directory()?;
        state.log = self.disk.open(LOG)?;
        state.log_bytes = bytes.len() as u64;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether an owner may write.
    fn check_fence(&self, fence: Option<&Fence>) -> Result<(), RegisterError> {
        let Some(fence) = fence else { return Ok(()) };
        let epoch = self.alive.get(&fence.register).and_then(|(_, value)| epoch_of(value));
        if epoch == Some(fence.epoch) { Ok(()) } else { Err(RegisterError::Fenced { register: fence.register.clone() }) }
    }

    /// Applies the valid records from the start; gives where they end. What follows may be one torn record, nothing else.
    fn replay(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let damaged = |at: usize| io::Error::new(io::ErrorKind::InvalidData, format!("{LOG} is damaged at byte {at}"));
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(damaged(0));
        }
        let mut at = MAGIC.len();
        while let Some((record, length)) = decode(&bytes[at..]) {
            self.revision = self.revision.max(record.revision);
            match record.kind {
                KIND_SET => self.set(record.name, Revision(record.revision), Bytes::copy_from_slice(record.value)),
                KIND_DELETE => self.remove(record.name),
                _ => {}
            }
            at += length;
        }
        let rest = &bytes[at..];
        if rest.len() > RECORD_BYTES_MAX || later_record(rest) { Err(damaged(at)) } else { Ok(at) }
    }

    /// Writes the highest revision behind the last record. It is not synced, and the next record goes over it: once it is on the disk, a
    /// last record that rots is damage, and no torn end. Where there is no room for it, there is none.
    fn mark_end(&self) -> io::Result<()> {
        match self.log.write_at(&encode(self.revision, KIND_REVISION, "", &[]), self.log_bytes) {
            Err(error) if is_full(&error) => Ok(()),
            written => written,
        }
    }

    fn set(&mut self, name: &str, revision: Revision, value: Bytes) {
        self.remove(name);
        self.alive_bytes += (FIXED_BYTES + name.len() + value.len()) as u64;
        self.alive.insert(name.to_owned(), (revision, value));
    }

    fn remove(&mut self, name: &str) {
        if let Some((_, value)) = self.alive.remove(name) {
            self.alive_bytes -= (FIXED_BYTES + name.len() + value.len()) as u64;
        }
    }

    fn poison(&mut self, error: &io::Error) -> RegisterError {
        let cause = self.poisoned.get_or_insert_with(|| error.to_string()).clone();
        RegisterError::Poisoned { cause }
    }
}

/// A log without records: under its own name only when it is whole.
fn begin(disk: &dyn Disk) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(TEMPORARY)?;
    file.write_at(MAGIC, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(TEMPORARY, LOG)?;
    disk.sync_directory()?;
    disk.open(LOG)
}

/// Reads the log without changing it.
///
/// # Errors
/// As [`RegisterTable::open`]; no log at all is no error.
pub(crate) fn check(disk: &dyn Disk) -> io::Result<()> {
    replayed(disk, LOG).map(drop)
}

/// The log up to its last whole record, which may be read while its owner writes.
///
/// # Errors
/// As [`check`].
pub(crate) fn valid_bytes(disk: &dyn Disk) -> io::Result<Vec<u8>> {
    replayed(disk, LOG).map(|(_, bytes)| bytes)
}

/// The names and values in the log of a directory that nobody writes to.
///
/// # Errors
/// As [`check`].
pub(crate) fn at_rest(disk: &dyn Disk) -> io::Result<Vec<(String, Bytes)>> {
    values(disk, LOG)
}

/// The names and values in a log of this name.
///
/// # Errors
/// As [`check`].
pub(crate) fn values(disk: &dyn Disk, name: &str) -> io::Result<Vec<(String, Bytes)>> {
    let (state, _) = replayed(disk, name)?;
    let alive = state.map(|state| state.alive).unwrap_or_default();
    Ok(alive.into_iter().map(|(name, (_, value))| (name, value)).collect())
}

fn replayed(disk: &dyn Disk, name: &str) -> io::Result<(Option<State>, Vec<u8>)> {
    let log = match disk.open(name) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, MAGIC.to_vec())),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; log.len()? as usize];
    log.read_at(&mut bytes, 0)?;
    let mut state = State { alive: BTreeMap::new(), revision: 0, log, log_bytes: 0, alive_bytes: 0, poisoned: None };
    let valid = state.replay(&bytes)?;
    bytes.truncate(valid);
    Ok((Some(state), bytes))
}

struct Record<'a> {
    revision: u64,
    kind: u8,
    name: &'a str,
    value: &'a [u8],
}

fn encode(revision: u64, kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let length = (FIXED_BYTES - 8 + name.len() + value.len()) as u32;
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&revision.to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value);
    let sum = checksum(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize + 8;
    let record = bytes.get(..length).filter(|record| record.len() >= FIXED_BYTES)?;
    if checksum(&record[4..]).to_le_bytes() != record[..4] {
        return None;
    }
    let revision = u64::from_le_bytes(record[8..16].try_into().ok()?);
    let name_end = FIXED_BYTES + usize::from(u16::from_le_bytes([record[17], record[18]]));
    let name = std::str::from_utf8(record.get(FIXED_BYTES..name_end)?).ok()?;
    Some((Record { revision, kind: record[16], name, value: &record[name_end..] }, length))
}

/// Whether a valid record lies anywhere behind the first invalid byte: then that byte is damage and not a torn end.
fn later_record(tail: &[u8]) -> bool {
    (1..tail.len()).any(|at| decode(&tail[at..]).is_some())
}

struct Watch {
    changes: watch::Receiver<u64>,
}

impl RegisterWatch for Watch {
    fn changed(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async move { self.changes.changed().await.ok() })
    }
}
