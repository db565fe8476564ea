//! What is behind a simulated disk: files, their names, and the faults that were asked for.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::SimRandom;
use super::content::Content;
use super::fired::{Fired, Trace};

/// What a failed call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// The device failed.
    InputOutput,
    /// There is no room.
    NoSpace,
    /// The process has too many files open: only what opens or makes one fails.
    NoDescriptors,
}

impl DiskFault {
    fn error(self) -> io::Error {
        match self {
            Self::InputOutput => io::Error::other("simulated input/output error"),
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::NoDescriptors => io::Error::from_raw_os_error(libc::EMFILE),
        }
    }
}

/// Which unsynced changes a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None: only what was synced.
    Nothing,
    /// Any subset of them, by sector, from the seed.
    Any,
    /// All of them.
    Everything,
}

/// What becomes of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Failed(DiskFault),
    /// The power goes while the call is under way: it may have had any effect, and nobody hears of it.
    CutOff,
}

/// The faults that were asked for.
#[derive(Clone, Default)]
pub(super) struct Faults {
    pub(super) fail: Option<(u64, bool, DiskFault)>,
    pub(super) power_cut: Option<u64>,
    pub(super) capacity: Option<u64>,
    pub(super) lost_write: Option<u64>,
    pub(super) misdirected_write: Option<(u64, i64)>,
    pub(super) lies_about_durable_writes: bool,
    pub(super) lies_about_syncs: bool,
    /// A file and the bytes of it that no read gets.
    pub(super) unreadable: Option<(usize, Range<u64>)>,
}

/// A change of names that no directory sync has made durable.
#[derive(Clone)]
enum NameChange {
    Create { name: String, file: usize },
    Rename { from: String, to: String, file: usize },
    Remove { name: String },
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create { name, file } => drop(names.insert(name.clone(), *file)),
            Self::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove { name } => drop(names.remove(name)),
        }
    }
}

pub(super) struct Platter {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
    dice: SimRandom,
    pub(super) faults: Faults,
    pub(super) locked: bool,
    pub(super) readers: u64,
    pub(super) calls: u64,
    pub(super) writes: u64,
    pub(super) failures: u64,
    pub(super) fired: Fired,
    pub(super) refused: String,
    pub(super) trace: Trace,
}

impl Platter {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            dice: SimRandom::new(seed),
            faults: Faults::default(),
            locked: false,
            readers: 0,
            calls: 0,
            writes: 0,
            failures: 0,
            fired: Fired::default(),
            refused: String::new(),
            trace: Trace::default(),
        }
    }

    /// What a crash leaves, on a disk of its own. A full disk stays full and a lying one goes on lying; other faults are over.
    pub(super) fn after_crash(&self, survival: Survival) -> Self {
        // How much survives is rolled once a crash, so that almost all and almost nothing happen often enough.
        let quarters = match survival {
            Survival::Nothing => 0,
            Survival::Any => self.dice.below(5),
            Survival::Everything => 4,
        };
        self.after_crash_choosing(|| self.dice.below(4) < quarters)
    }

    /// A crash of which the caller says, change by change, what it leaves: names first, then each file's sectors and lengths.
    pub(super) fn after_crash_choosing(&self, mut survives: impl FnMut() -> bool) -> Self {
        let (mut names, mut fired) = (self.durable_names.clone(), self.fired);
        self.unsynced_names.iter().filter(|_| survives()).for_each(|change| change.apply(&mut names));
        let mut after = |content: &Content| {
            let (after, left) = content.after_crash(&mut survives);
            fired.torn += u64::from(left.torn);
            fired.reordered += u64::from(left.reordered);
            after
        };
        let files = self.files.iter().map(&mut after).collect();
        let Faults { capacity, lies_about_durable_writes, lies_about_syncs, .. } = self.faults;
        Self {
            files,
            durable_names: names.clone(),
            names,
            faults: Faults { capacity, lies_about_durable_writes, lies_about_syncs, ..Faults::default() },
            fired,
            trace: self.trace,
            ..Self::new(self.dice.roll())
        }
    }

    /// Counts a call and says what becomes of it.
    fn fate(&mut self) -> Fate {
        self.fate_of(false)
    }

    fn fate_of(&mut self, opens: bool) -> Fate {
        self.calls += 1;
        let hits = |fault: DiskFault| opens || fault != DiskFault::NoDescriptors;
        let fate = match self.faults {
            Faults { power_cut: Some(at), .. } if self.calls >= at => Fate::CutOff,
            Faults { fail: Some((at, false, fault)), .. } if self.calls == at && hits(fault) => Fate::Failed(fault),
            Faults { fail: Some((at, true, fault)), .. } if self.calls >= at && hits(fault) => Fate::Failed(fault),
            _ => Fate::Done,
        };
        self.failures += u64::from(fate != Fate::Done);
        match fate {
            Fate::Done => {}
            Fate::CutOff => self.fired.cut_off += 1,
            Fate::Failed(DiskFault::InputOutput) => self.fired.input_output += 1,
            Fate::Failed(DiskFault::NoSpace) => self.fired.no_room += 1,
            Fate::Failed(DiskFault::NoDescriptors) => self.fired.no_descriptors += 1,
        }
        fate
    }

    /// Counts a call that has no effect on the disk.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.fate().answer(())
    }

    fn no_room(&mut self) -> io::Error {
        self.failures += 1;
        self.fired.no_room += 1;
        DiskFault::NoSpace.error()
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].cached().len() as u64).sum()
    }

    /// Up to which length a file may grow.
    fn length_max(&self, file: usize) -> u64 {
        let len = self.files[file].cached().len() as u64;
        self.faults.capacity.map_or(u64::MAX, |capacity| len + capacity.saturating_sub(self.used()))
    }

    /// How many changes a crash could lose: names, then sectors and lengths.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced_names.len() + self.files.iter().map(Content::unsynced).sum::<usize>()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not there")))
    }

    pub(super) fn names(&mut self) -> io::Result<Vec<String>> {
        self.check()?;
        Ok(self.names.keys().cloned().collect())
    }

    pub(super) fn open(&mut self, name: &str) -> io::Result<usize> {
        self.fate_of(true).answer(())?;
        self.find(name)
    }

    pub(super) fn create(&mut self, name: &str) -> io::Result<usize> {
        let fate = self.fate_of(true);
        if let Fate::Failed(fault) = fate {
            return Err(fault.error());
        }
        if let Ok(file) = self.find(name) {
            self.files[file].set_len(0);
            return fate.answer(file);
        }
        if self.faults.capacity.is_some_and(|capacity| self.used() >= capacity) {
            return Err(self.no_room());
        }
        let file = self.files.len();
        self.files.push(Content::default());
        self.change_name(NameChange::Create { name: name.to_owned(), file });
        fate.answer(file)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let fate = self.fate();
        if let Fate::Failed(fault) = fate {
            return Err(fault.error());
        }
        let file = self.find(from)?;
        self.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
        fate.answer(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let fate = self.fate();
        if let Fate::Failed(fault) = fate {
            return Err(fault.error());
        }
        self.find(name)?;
        self.change_name(NameChange::Remove { name: name.to_owned() });
        fate.answer(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn sync_names(&mut self) -> io::Result<()> {
        self.check()?;
        if self.faults.lies_about_syncs {
            self.fired.lied_syncs += u64::from(!self.unsynced_names.is_empty());
        } else {
            self.unsynced_names.drain(..).for_each(|change| change.apply(&mut self.durable_names));
        }
        Ok(())
    }

    pub(super) fn read(&mut self, file: usize, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.check()?;
        let end = offset + buffer.len() as u64;
        if self.faults.unreadable.as_ref().is_some_and(|(of, bytes)| *of == file && bytes.start < end && offset < bytes.end) {
            self.failures += 1;
            self.fired.unreadable += 1;
            return Err(DiskFault::InputOutput.error());
        }
        let bytes = self.files[file].cached();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let wanted = bytes.get(start..start.saturating_add(buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(wanted);
        Ok(())
    }

    pub(super) fn len(&mut self, file: usize) -> io::Result<u64> {
        self.check()?;
        Ok(self.files[file].cached().len() as u64)
    }

    pub(super) fn set_len(&mut self, file: usize, len: u64) -> io::Result<()> {
        let fate = self.fate();
        if let Fate::Failed(fault) = fate {
            return Err(fault.error());
        }
        if len > self.length_max(file) {
            return Err(self.no_room());
        }
        self.files[file].set_len(len);
        fate.answer(())
    }

    pub(super) fn write(&mut self, file: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fate = self.fate();
        self.writes += 1;
        self.trace.bytes(bytes);
        if let Fate::Failed(fault) = fate {
            // A failed write may have got some of its way.
            let short = self.dice.below(bytes.len() as u64 + 1) as usize;
            self.fired.short_writes += u64::from(0 < short && short < bytes.len());
            self.files[file].write(&bytes[..short], offset);
            return Err(fault.error());
        }
        let room = self.length_max(file).saturating_sub(offset);
        if (bytes.len() as u64) > room {
            self.fired.short_writes += u64::from(room > 0);
            self.files[file].write(&bytes[..room as usize], offset);
            return Err(self.no_room());
        }
        if self.faults.lost_write == Some(self.writes) {
            self.fired.lost_writes += 1;
            self.files[file].write_to_cache_only(bytes, offset);
        } else {
            let offset = self.aim(offset);
            self.files[file].write(bytes, offset);
        }
        fate.answer(())
    }

    pub(super) fn write_durable(&mut self, file: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fate = self.fate();
        self.writes += 1;
        self.trace.bytes(bytes);
        if let Fate::Failed(fault) = fate {
            let dice = &self.dice;
            self.files[file].write_through(bytes, offset, || dice.one_in(2));
            return Err(fault.error());
        }
        if offset + bytes.len() as u64 > self.length_max(file) {
            return Err(self.no_room());
        }
        if self.faults.lost_write == Some(self.writes) {
            self.fired.lost_writes += 1;
            return fate.answer(());
        }
        let offset = self.aim(offset);
        if fate == Fate::CutOff || self.faults.lies_about_durable_writes {
            self.fired.lied_writes += u64::from(fate != Fate::CutOff);
            self.files[file].write(bytes, offset);
        } else {
            self.files[file].write_through(bytes, offset, || true);
        }
        fate.answer(())
    }

    /// Where this write lands.
    fn aim(&mut self, offset: u64) -> u64 {
        match self.faults.misdirected_write {
            Some((nth, distance)) if nth == self.writes => {
                self.fired.misdirected_writes += 1;
                offset.saturating_add_signed(distance)
            }
            _ => offset,
        }
    }

    pub(super) fn sync(&mut self, file: usize) -> io::Result<()> {
        match self.fate() {
            // Whatever the cut-off sync carried over, the crash chooses.
            Fate::CutOff => return Fate::CutOff.answer(()),
            Fate::Failed(fault) => {
                let dice = &self.dice;
                self.files[file].sync(|| dice.one_in(2));
                return Err(fault.error());
            }
            Fate::Done => {}
        }
        if self.faults.lies_about_syncs {
            self.fired.lied_syncs += u64::from(self.files[file].unsynced() > 0);
        } else {
            self.files[file].sync(|| true);
        }
        Ok(())
    }

    pub(super) fn rot(&mut self, name: &str, offset: u64, bit: u8) -> io::Result<()> {
        let file = self.find(name)?;
        self.fired.rotten_bits += 1;
        if self.files[file].rot(offset, bit) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Fate {
    fn answer<T>(self, value: T) -> io::Result<T> {
        match self {
            Self::Done => Ok(value),
            Self::Failed(fault) => Err(fault.error()),
            Self::CutOff => Err(io::Error::other("the simulated power is off")),
        }
    }
}
