//! The simulated disk: faithful to the contract of [`Disk`], and to nothing beyond it.
//!
//! What was not synced is lost, kept or torn by a crash as the seed says, sector by sector: data, lengths and names alike. Closing a file
//! syncs nothing. A failed sync drops what it did not write while reads go on showing it, as Linux does.
//!
//! ```text
//! write_at ──> cache ──sync──────────────> platter      names: create, rename, remove ──sync_directory──> durable names
//!                └──crash: any subset──────> platter
//! write_durable_at ─────────────────────> platter (only its own range; a power cut makes it an unsynced write)
//! ```
//!
//! Several writes under way at a crash: let each call come after [`SimDisk::cut_power_now`], in any order; none of them is
//! acknowledged, and [`SimDisk::crash`] keeps any part of each.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fired::Fired;
use super::platter::{DiskFault, Faults, Platter, Survival};
use crate::seams::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile, DiskLock};

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `Disk::list`.
    List,
    /// `Disk::open`.
    Open,
    /// `Disk::create`.
    Create,
    /// `Disk::rename`.
    Rename,
    /// `Disk::remove`.
    Remove,
    /// `Disk::sync_directory`.
    SyncDirectory,
    /// `Disk::lock`.
    Lock,
    /// `Disk::lock_shared`.
    LockShared,
    /// `DiskFile::read_at`.
    Read,
    /// `DiskFile::write_at`.
    Write,
    /// `DiskFile::write_durable_at`.
    WriteDurable,
    /// `DiskFile::sync`.
    Sync,
    /// `DiskFile::len`.
    Length,
    /// `DiskFile::set_len`.
    SetLength,
}

/// A call that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// What it asks for.
    pub kind: CallKind,
    /// The file's name when it was opened, or the folder's.
    pub name: &'a str,
    /// Where, for reads and writes; the length, for `set_len`.
    pub offset: u64,
    /// How much, for reads and writes.
    pub bytes: usize,
}

type Hook = Arc<dyn Fn(&Call<'_>) + Send + Sync>;

/// A simulated disk. Clones are the same disk; a crash gives another one.
#[derive(Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl SimDisk {
    /// An empty disk. The seed decides what crashes and failures leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Platter::new(seed))
    }

    fn of(platter: Platter) -> Self {
        Self { platter: Arc::new(Mutex::new(platter)), hook: Arc::default() }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as it is after a crash now: what was synced, and any subset of what was not. Counts begin again, the lock is free, and
    /// only a capacity and lies stay of the faults. This disk is left as it is, for another crash or for late calls.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.crash_with(Survival::Any)
    }

    /// A crash of which one knows what it leaves.
    #[must_use]
    pub fn crash_with(&self, survival: Survival) -> Self {
        Self::of(self.platter().after_crash(survival))
    }

    /// How many changes a crash now could lose: names, sectors, lengths.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.platter().unsynced()
    }

    /// A crash that keeps those of the [`unsynced`](Self::unsynced) changes that the caller says, asked for each in one order.
    #[must_use]
    pub fn crash_choosing(&self, survives: impl FnMut() -> bool) -> Self {
        Self::of(self.platter().after_crash_choosing(survives))
    }

    /// How often each fault has happened, on the disks that this one is left of too.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.platter().fired
    }

    /// A fingerprint of all calls so far, their bytes and their outcomes, on the disks that this one is left of too.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.platter().trace.0
    }

    /// The file for which there was no room the last time.
    #[must_use]
    pub fn refused(&self) -> String {
        self.platter().refused.clone()
    }

    /// No fault that was asked for happens from now on.
    pub fn heal(&self) {
        self.platter().faults = Faults::default();
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.platter().used()
    }

    /// How many calls there have been, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.platter().calls
    }

    /// How many writes there have been, of both kinds.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.platter().writes
    }

    /// How many calls have failed by a fault that was asked for.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.platter().failures
    }

    /// The `nth` call from the disk's beginning (from 1) fails; with `sticky`, all later ones too.
    pub fn fail_call(&self, nth: u64, sticky: bool) {
        self.fail_call_with(nth, sticky, DiskFault::InputOutput);
    }

    /// As [`SimDisk::fail_call`], with a fault of choice.
    pub fn fail_call_with(&self, nth: u64, sticky: bool, fault: DiskFault) {
        self.platter().faults.fail = Some((nth, sticky, fault));
    }

    /// The power goes at the `nth` call from the disk's beginning (from 1): that call and all later ones fail, and [`SimDisk::crash`]
    /// keeps any part of what they asked for.
    pub fn cut_power_at(&self, nth: u64) {
        self.platter().faults.power_cut = Some(nth);
    }

    /// The power goes: calls from now on count as under way.
    pub fn cut_power_now(&self) {
        let mut platter = self.platter();
        platter.faults.power_cut = Some(platter.calls + 1);
    }

    /// How many bytes all files may have together; `None` for no bound. What does not fit is refused as `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.platter().faults.capacity = bytes;
    }

    /// The `nth` write from the disk's beginning (from 1) is acknowledged and not done. Reads of an undurable one still show it.
    pub fn lose_write(&self, nth: u64) {
        self.platter().faults.lost_write = Some(nth);
    }

    /// The `nth` write from the disk's beginning (from 1) lands this many bytes away, in the same file.
    pub fn misdirect_write(&self, nth: u64, distance: i64) {
        self.platter().faults.misdirected_write = Some((nth, distance));
    }

    /// The drive acknowledges durable writes before they are durable.
    pub fn lie_about_durable_writes(&self, lies: bool) {
        self.platter().faults.lies_about_durable_writes = lies;
    }

    /// The drive acknowledges syncs, of files and of the directory, without doing them.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.platter().faults.lies_about_syncs = lies;
    }

    /// Flips a bit of a file at rest.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, `UnexpectedEof` past its end.
    pub fn rot(&self, name: &str, offset: u64, bit: u8) -> io::Result<()> {
        self.platter().rot(name, offset, bit)
    }

    /// Reads of these bytes of a file fail from now on: a bad sector.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn unreadable(&self, name: &str, bytes: Range<u64>) -> io::Result<()> {
        let mut platter = self.platter();
        let file = platter.find(name)?;
        platter.faults.unreadable = Some((file, bytes));
        Ok(())
    }

    /// Runs before each call, on the caller's thread, without any lock: a test may wait in it (a stall), count, or set a fault.
    pub fn on_call(&self, hook: impl Fn(&Call<'_>) + Send + Sync + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// The hook first, then the platter.
    fn call<T>(&self, kind: CallKind, name: &str, range: (u64, usize), work: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(&Call { kind, name, offset: range.0, bytes: range.1 });
        }
        let mut platter = self.platter();
        let outcome = work(&mut platter);
        platter.trace.note(kind, name, range, outcome.is_ok());
        if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            platter.refused = name.to_owned();
        }
        outcome
    }

    fn file(&self, name: &str, file: usize) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), name: name.to_owned(), file })
    }
}

impl Disk for SimDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = self.call(CallKind::List, folder, (0, 0), Platter::names)?;
        let split = |name: &String| {
            name.split_once('/').map_or((String::new(), name.clone()), |(inside, bare)| (inside.to_owned(), bare.to_owned()))
        };
        Ok(names.iter().map(split).filter(|(inside, _)| inside == folder).map(|(_, bare)| bare).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.call(CallKind::Open, name, (0, 0), |platter| platter.open(name))?;
        Ok(self.file(name, file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.call(CallKind::Create, name, (0, 0), |platter| platter.create(name))?;
        Ok(self.file(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(CallKind::Rename, from, (0, 0), |platter| platter.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(CallKind::Remove, name, (0, 0), |platter| platter.remove(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call(CallKind::SyncDirectory, "", (0, 0), Platter::sync_names)
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.call(CallKind::Lock, "", (0, 0), |platter| {
            platter.check()?;
            if platter.locked || platter.readers > 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            platter.locked = true;
            Ok(())
        })?;
        Ok(Box::new(SimLock(self.clone())))
    }

    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>> {
        self.call(CallKind::LockShared, "", (0, 0), |platter| {
            platter.check()?;
            if platter.locked {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            platter.readers += 1;
            Ok(())
        })?;
        Ok(Box::new(SimSharedLock(self.clone())))
    }
}

/// Held while an engine owns the disk.
struct SimLock(SimDisk);

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.platter().locked = false;
    }
}

/// Held while somebody reads the disk.
struct SimSharedLock(SimDisk);

impl DiskLock for SimSharedLock {}

impl Drop for SimSharedLock {
    fn drop(&mut self) {
        self.0.platter().readers -= 1;
    }
}

/// An open file. Dropping it syncs nothing.
struct SimFile {
    disk: SimDisk,
    name: String,
    file: usize,
}

impl SimFile {
    fn call<T>(&self, kind: CallKind, range: (u64, usize), work: impl FnOnce(&mut Platter, usize) -> io::Result<T>) -> io::Result<T> {
        self.disk.call(kind, &self.name, range, |platter| work(platter, self.file))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.call(CallKind::Read, (offset, buffer.len()), |platter, file| platter.read(file, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(CallKind::Write, (offset, bytes.len()), |platter, file| platter.write(file, bytes, offset))
    }

    fn write_durable_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        if !bytes.len().is_multiple_of(BLOCK_BYTES) || !offset.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a durable write must be aligned"));
        }
        self.call(CallKind::WriteDurable, (offset, bytes.len()), |platter, file| platter.write_durable(file, bytes, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.call(CallKind::Sync, (0, 0), Platter::sync)
    }

    fn len(&self) -> io::Result<u64> {
        self.call(CallKind::Length, (0, 0), Platter::len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(CallKind::SetLength, (len, 0), |platter, file| platter.set_len(file, len))
    }
}
