//! Backups: a copy of the durable log of a directory and of its registers, taken beside a service at work or of one that was stopped.
//!
//! ```text
//! backup.json              what it holds: history, head, root, which registers, where the log is; written last
//! lineage.backup           `lineage.json` of the source, under a name that no service starts on
//! 0000000001.segment ...   full segments, packed
//! tail.{n}                 the segment behind them, byte for byte up to the head, then zeros
//! roots.log                roots of the segments that are full, made from the copy
//! registers.{head}.{n}     `registers.log` of the source, read before the log was: never ahead of the head
//! ```
//!
//! A segment is copied under a temporary name, read again from there with every checksum, and gets its own name; one that is full and has
//! a root is never copied again. So the next backup into the same directory copies what is new, and one that was killed is
//! gone on with. Until `backup.json` is replaced, every file that it names is there as it was, and nothing else is looked at
//! ([`BackupDisk`]): the segment that was the last one may be full, packed or compacted by then, and stands beside its tail of before.
//!
//! What it is not: a data directory. A copy that goes on by itself has a history of its own, and that is what a restore begins.

mod manifest;
mod shown;

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::OpenError;
use super::durable_log::{DurableLog, LogStart};
use super::evidence::{Root, differs};
use super::identity;
use super::leaf::leaves_of;
use super::limits::{LIVE_LOOKS_MAX, READ_BYTES, SEGMENT_HEADER_BYTES};
use super::merkle::Leaves;
use super::packing;
use super::read_only::ReadOnlyJournal;
use super::registers;
use super::roots::{RootLog, RootRecord, Roots};
use super::segment::{self, LogPlace, Segment, segment_name};
use super::walk::{Part, Walk, WholeFrame};
use crate::cursor::{Cursor, Lineage, Position};
use crate::seams::{Disk, DiskFile, DiskLock};
use crate::time::Timestamp;
use manifest::{LogFiles, Manifest, REGISTERS, TAIL, Told, replace};

pub use shown::BackupDisk;

const IDENTITY: &str = "lineage.backup";
const TEMPORARY: &str = "backup.tmp";

/// Why a backup could not be taken or read.
#[derive(Debug)]
pub enum BackupError {
    /// The source, or a backup that is read, cannot be opened or is damaged.
    Source(OpenError),
    /// The target holds something else; in words.
    Refused(String),
    /// The target's disk refused.
    Target(io::Error),
}

impl fmt::Display for BackupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(formatter),
            Self::Refused(why) => formatter.write_str(why),
            Self::Target(error) => write!(formatter, "the backup cannot be written: {error}; the next run goes on with it"),
        }
    }
}

impl std::error::Error for BackupError {}

/// What a backup holds, and what was copied for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The place of the last event in it.
    pub head: Cursor,
    /// Over all its events.
    pub root: Root,
    /// Segments that were copied now, and those that were there.
    pub segments: (u64, u64),
    /// Bytes that were copied now.
    pub bytes: u64,
}

/// What a backup tells while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It has come to this position.
    At(Position),
    /// The last events are on the disk, and the service has not said yet that they are durable; its marker comes within moments. Whoever
    /// hears of this waits for some of them.
    Wait,
}

/// Copies what is durable in `source` into `target`, an empty directory or an older backup of the same history.
///
/// # Errors
/// See [`BackupError`]. What was copied until then stays, and the next run goes on with it.
pub fn back_up(
    source: &Arc<dyn Disk>,
    target: &Arc<dyn Disk>,
    now: Timestamp,
    pace: &mut dyn FnMut(Pace),
) -> Result<BackedUp, BackupError> {
    let log = DurableLog::open(Arc::clone(source)).map_err(BackupError::Source)?;
    let _lock = lock(&**target)?;
    let before = begin(&log, target)?;
    let head_before = before.as_ref().map(|told| told.head.position());
    // Before the log, so that no register is ahead of it.
    let registers = read_registers(&log, pace)?;
    let roots = progress(target, &log, before)?;
    let kept = Roots::read(&**source, log.lineage.id).map_err(|error| BackupError::Source(error.into()))?.records;
    let (there, place) = (roots.end.segment, end_of(target, roots.end.segment, roots.end.leaves.next())?);
    let tail = manifest::free_name(&**target, TAIL).map_err(BackupError::Target)?;
    let mut copy = Copy { source: &**source, target, roots, kept, place, file: None, tail, has_tail: false, copied_upto: there, bytes: 0 };
    let (end, rest) = copy.run(&log, pace)?;
    if head_before.is_some_and(|before| before > end) || there > 0 && copy.copied_upto == there {
        return Err(BackupError::Refused(
            "the backup has more than its source: this is an older copy of it; choose another directory".into(),
        ));
    }
    let mut leaves = copy.roots.end.leaves.clone();
    rest.iter().for_each(|run| leaves.append(run));
    let head = log.lineage.cursor(end);
    let root = Root { hash: leaves.root(), cursor: Some(head) };
    conclude(&**target, &log.lineage, &root, now, &registers, copy.log_files()).map_err(BackupError::Target)?;
    Ok(BackedUp { head, root, segments: (copy.copied_upto - there, there), bytes: copy.bytes })
}

/// A record that is being written is whole a moment later; damage stays.
fn read_registers(log: &DurableLog, pace: &mut dyn FnMut(Pace)) -> Result<Vec<u8>, BackupError> {
    let mut looks = 0;
    loop {
        match registers::valid_bytes(&*log.disk) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if log.live && error.kind() == io::ErrorKind::InvalidData && looks < LIVE_LOOKS_MAX => pace(Pace::Wait),
            Err(error) => return Err(BackupError::Source(error.into())),
        }
        looks += 1;
    }
}

fn lock(target: &dyn Disk) -> Result<Box<dyn DiskLock>, BackupError> {
    target.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => BackupError::Refused("another process uses the directory of the backup; wait for it".into()),
        _ => BackupError::Target(error),
    })
}

/// Finds that the target is empty or has a backup of this history; what that says of itself so far.
fn begin(log: &DurableLog, target: &Arc<dyn Disk>) -> Result<Option<Told>, BackupError> {
    let names = target.list("").map_err(BackupError::Target)?;
    if !names.iter().any(|name| name == IDENTITY) {
        if let Some(name) = names.iter().find(|name| !["lock", TEMPORARY, packing::TEMPORARY].contains(&name.as_str())) {
            return Err(BackupError::Refused(format!("there is {name} and no backup; choose an empty directory")));
        }
        let bytes = identity::bytes(&*log.disk).map_err(|error| BackupError::Source(error.into()))?;
        replace(&**target, IDENTITY, &bytes).map_err(BackupError::Target)?;
    }
    let shown = BackupDisk::of(Arc::clone(target), None).map_err(BackupError::Target)?;
    let found = identity::read(&shown).map_err(BackupError::Source)?;
    if found.is_none_or(|found| found.id != log.lineage.id) {
        return Err(BackupError::Refused("it is the backup of another history; choose another directory".into()));
    }
    manifest::read(&**target).map_err(BackupError::Target)
}

/// How far the full segments of a backup go, of runs that were killed too. What no run goes on with is removed.
fn progress(target: &Arc<dyn Disk>, log: &DurableLog, before: Option<Told>) -> Result<RootLog, BackupError> {
    let mut roots = RootLog::open(target, log.lineage.id).map_err(BackupError::Target)?;
    let Some(told) = before else {
        manifest::forget_all_but(&**target, &[]).map_err(BackupError::Target)?;
        return Ok(roots);
    };
    let manifest = match &told.manifest.log {
        None => keep_tail(&**target, told.manifest, &roots).map_err(BackupError::Target)?,
        Some(files) => {
            if roots.end.segment < files.full {
                make_roots_again(target, &mut roots, files, &told.root)?;
            }
            told.manifest
        }
    };
    manifest.forget_others(&**target).map_err(BackupError::Target)?;
    Ok(roots)
}

/// A backup of version 1 has its last segment under the name that the next one is to have: it gets another, and the backup says so.
fn keep_tail(target: &dyn Disk, manifest: Manifest, roots: &RootLog) -> io::Result<Manifest> {
    let (full, mut tail) = (roots.end.segment, None);
    match target.open(&segment_name(full + 1)) {
        Ok(from) => {
            let name = manifest::free_name(target, TAIL)?;
            let to = target.create(TEMPORARY)?;
            let length = from.len()?;
            copy_bytes(&*from, &*to, 0, length)?;
            to.sync()?;
            drop(to);
            target.rename(TEMPORARY, &name)?;
            target.sync_directory()?;
            tail = Some(name);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let manifest = manifest.with_log(LogFiles { full, tail, roots_bytes: roots.bytes() });
    manifest.clone().write(target)?;
    Ok(manifest)
}

/// The roots of a backup are lost, and its segments are not: nothing of them is copied again, which would be the source as it is now.
fn make_roots_again(target: &Arc<dyn Disk>, roots: &mut RootLog, files: &LogFiles, root: &Root) -> Result<(), BackupError> {
    let damaged = || BackupError::Refused("the segments of the backup are damaged; choose another directory".into());
    let shown = BackupDisk::of(Arc::clone(target), Some(files.clone())).map_err(|_| damaged())?;
    let mut place = end_of(target, roots.end.segment, roots.end.leaves.next())?;
    let (mut runs, mut all) = (Vec::new(), roots.end.leaves.clone());
    for number in roots.end.segment + 1..=files.full + u64::from(files.tail.is_some()) {
        let segment = segment::open(&shown, number).map_err(|_| damaged())?;
        let (leaves, end) = read_copy(&segment, place).map_err(BackupError::Target)?;
        place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, ..end };
        all.append(&leaves);
        runs.push(leaves);
    }
    if all.root() != root.hash {
        return Err(damaged());
    }
    runs.truncate((files.full - roots.end.segment) as usize);
    runs.into_iter().try_for_each(|leaves| roots.append(leaves)).map_err(BackupError::Target)
}

/// Where the log stands behind the full segments of a backup, up to a number and a position.
fn end_of(target: &Arc<dyn Disk>, upto: u64, position: Position) -> Result<LogPlace, BackupError> {
    // A commit that was too large for a segment has left it empty: then the one before says it.
    for number in (1..=upto).rev() {
        let damaged = || BackupError::Refused(format!("{} of the backup is damaged; choose another directory", segment_name(number)));
        let segment = segment::open(&**target, number).map_err(|_| damaged())?;
        let Ok((_, first)) = segment.frame(SEGMENT_HEADER_BYTES as u64).map_err(BackupError::Target)? else { continue };
        let start = LogPlace { chain: first.previous, position: first.first_position, ..LogPlace::BEGINNING };
        let (_, place) = read_copy(&segment, start).map_err(BackupError::Target)?;
        return if place.position == position + 1 { Ok(place) } else { Err(damaged()) };
    }
    match position {
        0 => Ok(LogPlace::BEGINNING),
        _ => Err(BackupError::Refused("the segments of the backup are damaged; choose another directory".into())),
    }
}

/// All leaves of a copied segment, from what its file holds, and where the log stands behind them.
fn read_copy(segment: &Segment, start: LogPlace) -> io::Result<(Leaves, LogPlace)> {
    let (mut walk, mut leaves) = (Walk::strict(start), Leaves::from(start.position - 1));
    let mut at = walk.enter();
    while let Some(frame) = walk.next(segment, &mut at)?.filter(|frame| frame.follows) {
        frame.leaves().into_iter().for_each(|leaf| leaves.push(leaf));
    }
    Ok((leaves, walk.place))
}

/// The copying of segments that are not there yet.
struct Copy<'a> {
    source: &'a dyn Disk,
    target: &'a Arc<dyn Disk>,
    roots: RootLog,
    kept: Vec<RootRecord>,
    /// In front of the segment at hand.
    place: LogPlace,
    file: Option<Copied>,
    /// The name of the segment behind the full ones, and whether it is there.
    tail: String,
    has_tail: bool,
    /// The last segment that was copied.
    copied_upto: u64,
    bytes: u64,
}

/// A segment that is being copied.
struct Copied {
    from: Segment,
    to: Box<dyn DiskFile>,
    end: Position,
}

impl Copy<'_> {
    /// Copies up to everything that was there when it came to the end for the first time: the registers may know of it.
    fn run(&mut self, log: &DurableLog, pace: &mut dyn FnMut(Pace)) -> Result<(Position, Option<Leaves>), BackupError> {
        let (mut wanted, mut looks) = (None, 0);
        loop {
            let from = LogStart::at(self.roots.end.segment + 1, self.place.chain, self.place.position);
            let read = log.read(from, &mut |number, frame| {
                self.frame(number, &frame)?;
                pace(Pace::At(frame.header.next_position() - 1));
                Ok(())
            });
            let read = read.map_err(|error| self.blame(error))?;
            let rest = self.finish(false).map_err(BackupError::Target)?;
            let wanted = *wanted.get_or_insert(read.seen);
            looks += 1;
            if read.end >= wanted || looks == LIVE_LOOKS_MAX {
                return Ok((read.end, rest));
            }
            pace(Pace::Wait);
        }
    }

    fn frame(&mut self, number: u64, frame: &WholeFrame) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|file| file.from.header.number != number) {
            self.finish(true)?;
        }
        if self.file.is_none() {
            // A commit that was too large for a segment has left it empty, and the log has it all the same.
            for empty in self.roots.end.segment + 1..number {
                self.file = Some(self.open(empty)?);
                self.finish(true)?;
            }
            self.file = Some(self.open(number)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.end = frame.header.next_position();
        copy_bytes(&*file.from.file, &*file.to, frame.offset, frame.header.padded())?;
        self.bytes += frame.header.padded();
        Ok(())
    }

    fn open(&self, number: u64) -> io::Result<Copied> {
        let from = segment::open(self.source, number).map_err(|_| io::Error::other(format!("{} cannot be read", segment_name(number))))?;
        let to = self.target.create(TEMPORARY)?;
        to.set_len(from.header.bytes)?;
        copy_bytes(&*from.file, &*to, 0, SEGMENT_HEADER_BYTES as u64)?;
        Ok(Copied { from, to, end: self.place.position })
    }

    /// Verifies the copy of the segment at hand and gives it its name. One that is full gets its root, the last one gives its leaves.
    fn finish(&mut self, full: bool) -> io::Result<Option<Leaves>> {
        let Some(Copied { from, to, end }) = self.file.take() else { return Ok(None) };
        to.sync()?;
        drop(to);
        let number = from.header.number;
        let copy = Segment { header: from.header, file: self.target.open(TEMPORARY)?.into() };
        let (leaves, place) = read_copy(&copy, self.place)?;
        if place.position != end {
            return Err(io::Error::other(format!("the copy of {} is not what was read; run the backup again", segment_name(number))));
        }
        let kept = self.kept.iter().find(|kept| kept.segment == number).filter(|kept| full && kept.leaves != leaves);
        if let Some(kept) = kept {
            return Err(io::Error::new(io::ErrorKind::InvalidData, differs(kept, &leaves)));
        }
        self.copied_upto = number;
        if !full {
            self.target.rename(TEMPORARY, &self.tail)?;
            self.target.sync_directory()?;
            self.has_tail = true;
            return Ok(Some(leaves));
        }
        self.target.rename(self.pack(&copy, &leaves)?, &segment_name(number))?;
        self.target.sync_directory()?;
        self.has_tail = false;
        self.place = LogPlace { offset: SEGMENT_HEADER_BYTES as u64, ..place };
        self.roots.append(leaves)?;
        Ok(None)
    }

    /// Packs a full segment's copy, and reads it from there; gives its name. What was copied first goes with the next use of its name.
    fn pack(&self, copy: &Segment, leaves: &Leaves) -> io::Result<&'static str> {
        let packed = packing::write(&**self.target, copy, &mut |_| true).map_err(no_damage)?;
        let read = packed.map(|packed| read_copy(&packed, self.place)).transpose().map_err(no_damage)?;
        match read.is_some_and(|(read, _)| read == *leaves) {
            true => Ok(packing::TEMPORARY),
            false => Err(io::Error::other(format!("{} was not packed as it is; run the backup again", segment_name(copy.header.number)))),
        }
    }

    /// Where the log is now, when it was copied.
    fn log_files(&self) -> LogFiles {
        let tail = self.has_tail.then(|| self.tail.clone());
        LogFiles { full: self.roots.end.segment, tail, roots_bytes: self.roots.bytes() }
    }

    /// Whose fault an error of the copying is.
    fn blame(&self, error: OpenError) -> BackupError {
        match error {
            OpenError::Disk(error) => BackupError::Target(error),
            error => BackupError::Source(error),
        }
    }
}

/// What the target does not give back as it was written is no damage of the source.
fn no_damage(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::InvalidData { io::Error::other(error) } else { error }
}

fn copy_bytes(from: &dyn DiskFile, to: &dyn DiskFile, offset: u64, length: u64) -> io::Result<()> {
    let (mut at, end) = (offset, offset + length);
    let mut chunk = vec![0; READ_BYTES.min(length as usize)];
    while at < end {
        let part = chunk.len().min((end - at) as usize);
        from.read_at(&mut chunk[..part], at)?;
        to.write_at(&chunk[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// Writes the registers, then what the backup holds, and removes what the one before had for itself.
fn conclude(target: &dyn Disk, lineage: &Lineage, root: &Root, now: Timestamp, registers: &[u8], log: LogFiles) -> io::Result<()> {
    let position = root.cursor.unwrap_or(Cursor::BEGINNING).position();
    let name = manifest::free_name(target, &format!("{REGISTERS}{position}."))?;
    replace(target, &name, registers)?;
    let manifest = Manifest::new(lineage.id.to_string(), root, now.as_micros(), name, log);
    manifest.clone().write(target)?;
    manifest.forget_others(target)
}

/// A whole backup, for reading.
pub struct Backup {
    /// What is in it; of version 1 it may go beyond the head, when a later backup was killed.
    pub journal: ReadOnlyJournal,
    /// The last event that it holds.
    pub head: Cursor,
    /// Over all events up to the head.
    pub root: Root,
    /// When it was taken.
    pub taken: Timestamp,
    /// The registers as they were, with names and values.
    pub registers: Vec<(String, Bytes)>,
}

impl Backup {
    /// Whether a directory holds a backup, whole or not.
    pub fn is_there(disk: &dyn Disk) -> bool {
        disk.open(IDENTITY).is_ok()
    }

    /// Opens a backup and reads all of it.
    ///
    /// # Errors
    /// `Refused` when there is none, or it was never finished; `Source` when it is damaged.
    pub fn open(disk: Arc<dyn Disk>, progress: impl FnMut(u64, u64)) -> Result<Self, BackupError> {
        let told = manifest::read(&*disk).map_err(|error| BackupError::Source(error.into()))?;
        let Some(Told { manifest, head, root }) = told else {
            let what = if Self::is_there(&*disk) {
                "its first backup was never finished; run the backup again"
            } else {
                "there is no backup in it"
            };
            return Err(BackupError::Refused(what.into()));
        };
        let registers = registers::values(&*disk, &manifest.registers).map_err(|error| BackupError::Source(error.into()))?;
        let shown = BackupDisk::of(disk, manifest.log).map_err(|error| BackupError::Source(error.into()))?;
        let journal = ReadOnlyJournal::open(Arc::new(shown), progress).map_err(BackupError::Source)?;
        let damage = journal.damage().first().map(ToString::to_string).or_else(|| journal.identity_fault().map(str::to_owned));
        let short = (journal.head().position() < head.position()).then(|| "the backup ends before its head".to_owned());
        match damage.or(short) {
            Some(place) => Err(BackupError::Source(OpenError::Damaged { place })),
            None => Ok(Self { journal, head, root, taken: Timestamp::from_micros(manifest.taken_us), registers }),
        }
    }
}

/// The root over commits that go by in order: what is restored is compared with what was backed up.
pub struct RunningRoot(Leaves);

impl Default for RunningRoot {
    fn default() -> Self {
        Self(Leaves::from(0))
    }
}

impl RunningRoot {
    /// Takes what comes next.
    pub fn add(&mut self, part: &Part) {
        match part {
            Part::Commit(commit) => leaves_of(commit).for_each(|leaf| self.0.push(leaf)),
            Part::Gone(remains) => remains.leaves.iter().for_each(|leaf| self.0.push(*leaf)),
        }
    }

    /// The root of all so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.0.root()
    }
}
