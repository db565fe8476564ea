//! Backups: a copy of the durable log of a directory and of its registers, taken beside a service at work or of one that was stopped.
//!
//! ```text
//! backup.json              what it holds: history, head, root, which registers; written last
//! lineage.backup           `lineage.json` of the source, under a name that no service starts on
//! 0000000001.segment ...   segments, byte for byte up to the head, then zeros; those that are full are packed
//! roots.log                roots of the segments that are full, made from the copy
//! registers.{position}     `registers.log` of the source, read before the log was: never ahead of the head
//! ```
//!
//! A segment is copied under a temporary name, read again from there with every checksum, and gets its own name; one that is full and has
//! a root is never copied again. So the next backup into the same directory copies what is new, and one that was killed is
//! gone on with. Until `backup.json` is replaced, what it says is still there: segments only grow, and other registers
//! have other names.
//!
//! What it is not: a data directory. A copy that goes on by itself has a history of its own, and that is what a restore begins.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::durable_log::{DurableLog, LogStart};
use super::evidence::{Root, differs, hex};
use super::frame::checksum;
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

const MANIFEST: &str = "backup.json";
const IDENTITY: &str = "lineage.backup";
const TEMPORARY: &str = "backup.tmp";
const FORMAT: &str = "headwater-backup";
const VERSION: u32 = 1;

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

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    lineage: String,
    head: String,
    root: String,
    taken_us: i64,
    registers: String,
    checksum: String,
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
    // Before the log, so that no register is ahead of it.
    let registers = read_registers(&log, pace)?;
    let roots = RootLog::open(target, log.lineage.id).map_err(BackupError::Target)?;
    let kept = Roots::read(&**source, log.lineage.id).map_err(|error| BackupError::Source(error.into()))?.records;
    let (there, place) = (roots.end.segment, end_of(target, &roots)?);
    let mut copy = Copy { source: &**source, target, roots, kept, place, file: None, copied_upto: there, bytes: 0 };
    let (end, rest) = copy.run(&log, pace)?;
    if before.is_some_and(|before| before > end) || there > 0 && copy.copied_upto == there {
        return Err(BackupError::Refused(
            "the backup has more than its source: this is an older copy of it; choose another directory".into(),
        ));
    }
    let mut leaves = copy.roots.end.leaves.clone();
    rest.iter().for_each(|run| leaves.append(run));
    let head = log.lineage.cursor(end);
    let root = Root { hash: leaves.root(), cursor: Some(head) };
    conclude(&**target, &log.lineage, &root, now, &registers).map_err(BackupError::Target)?;
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

/// Finds that the target is empty or has a backup of this history; the head that it has so far.
fn begin(log: &DurableLog, target: &Arc<dyn Disk>) -> Result<Option<Position>, BackupError> {
    let names = target.list("").map_err(BackupError::Target)?;
    if !names.iter().any(|name| name == IDENTITY) {
        if let Some(name) = names.iter().find(|name| !["lock", TEMPORARY, packing::TEMPORARY].contains(&name.as_str())) {
            return Err(BackupError::Refused(format!("there is {name} and no backup; choose an empty directory")));
        }
        let bytes = identity::bytes(&*log.disk).map_err(|error| BackupError::Source(error.into()))?;
        replace(&**target, IDENTITY, &bytes).map_err(BackupError::Target)?;
    }
    let found = identity::read(&BackupDisk(Arc::clone(target))).map_err(BackupError::Source)?;
    if found.is_none_or(|found| found.id != log.lineage.id) {
        return Err(BackupError::Refused("it is the backup of another history; choose another directory".into()));
    }
    let manifest = read_manifest(&**target).map_err(BackupError::Target)?;
    Ok(manifest.map(|(_, head, _)| head.position()))
}

/// Where the log stands behind the full segments of a backup.
fn end_of(target: &Arc<dyn Disk>, roots: &RootLog) -> Result<LogPlace, BackupError> {
    let number = roots.end.segment;
    if number == 0 {
        return Ok(LogPlace::BEGINNING);
    }
    let damaged = || BackupError::Refused(format!("{} of the backup is damaged; choose another directory", segment_name(number)));
    let segment = segment::open(&**target, number).map_err(|_| damaged())?;
    let first = segment.frame(SEGMENT_HEADER_BYTES as u64).map_err(BackupError::Target)?.map_err(|_| damaged())?.1;
    let start = LogPlace { chain: first.previous, position: first.first_position, ..LogPlace::BEGINNING };
    let (_, place) = read_copy(&segment, start).map_err(BackupError::Target)?;
    if place.position != roots.end.leaves.next() + 1 { Err(damaged()) } else { Ok(place) }
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
        copy_bytes(file, frame.offset, frame.header.padded())?;
        self.bytes += frame.header.padded();
        Ok(())
    }

    fn open(&self, number: u64) -> io::Result<Copied> {
        let from = segment::open(self.source, number).map_err(|_| io::Error::other(format!("{} cannot be read", segment_name(number))))?;
        let to = self.target.create(TEMPORARY)?;
        to.set_len(from.header.bytes)?;
        let copied = Copied { from, to, end: self.place.position };
        copy_bytes(&copied, 0, SEGMENT_HEADER_BYTES as u64)?;
        Ok(copied)
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
        let name = if full { self.pack(&copy, &leaves)? } else { TEMPORARY };
        self.target.rename(name, &segment_name(number))?;
        self.target.sync_directory()?;
        self.copied_upto = number;
        if !full {
            return Ok(Some(leaves));
        }
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

fn copy_bytes(file: &Copied, offset: u64, length: u64) -> io::Result<()> {
    let (mut at, end) = (offset, offset + length);
    let mut chunk = vec![0; READ_BYTES.min(length as usize)];
    while at < end {
        let part = chunk.len().min((end - at) as usize);
        file.from.file.read_at(&mut chunk[..part], at)?;
        file.to.write_at(&chunk[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// Writes the registers, then what the backup holds, and removes the registers of before.
fn conclude(target: &dyn Disk, lineage: &Lineage, root: &Root, now: Timestamp, registers: &[u8]) -> io::Result<()> {
    let head = root.cursor.unwrap_or(Cursor::BEGINNING);
    let names = target.list("")?;
    let name = (0..).map(|number| format!("registers.{}.{number}", head.position())).find(|name| !names.contains(name));
    let name = name.expect("there are more numbers than files");
    replace(target, &name, registers)?;
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        lineage: lineage.id.to_string(),
        head: head.to_string(),
        root: root.to_string(),
        taken_us: now.as_micros(),
        registers: name.clone(),
        checksum: String::new(),
    };
    manifest.checksum = sum_of(&manifest)?;
    replace(target, MANIFEST, &serde_json::to_vec(&manifest)?)?;
    let old = |other: &&String| other.starts_with("registers.") && **other != name;
    names.iter().filter(old).try_for_each(|name| target.remove(name))?;
    target.sync_directory()
}

fn sum_of(manifest: &Manifest) -> io::Result<String> {
    Ok(hex(&checksum(&serde_json::to_vec(manifest)?).to_be_bytes()))
}

/// Under its own name only when it is whole.
fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(TEMPORARY)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(TEMPORARY, name)?;
    disk.sync_directory()
}

fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn read_manifest(disk: &dyn Disk) -> io::Result<Option<(Manifest, Cursor, Root)>> {
    let bytes = match read_file(disk, MANIFEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{MANIFEST} does not fit its checksum"));
    let mut manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let sum = std::mem::take(&mut manifest.checksum);
    if manifest.format != FORMAT || sum_of(&manifest)? != sum {
        return Err(damaged());
    }
    if manifest.version > VERSION {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a newer version made this backup; use that one"));
    }
    let (head, root) = (manifest.head.parse(), manifest.root.parse());
    let (Ok(head), Ok(root)) = (head, root) else { return Err(damaged()) };
    Ok(Some((manifest, head, root)))
}

/// A whole backup, for reading.
pub struct Backup {
    /// What is in it; may go beyond the head, when a later backup was killed.
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
        let manifest = read_manifest(&*disk).map_err(|error| BackupError::Source(error.into()))?;
        let Some((manifest, head, root)) = manifest else {
            let what = if Self::is_there(&*disk) {
                "its first backup was never finished; run the backup again"
            } else {
                "there is no backup in it"
            };
            return Err(BackupError::Refused(what.into()));
        };
        let registers = registers::values(&*disk, &manifest.registers).map_err(|error| BackupError::Source(error.into()))?;
        let journal = ReadOnlyJournal::open(Arc::new(BackupDisk(disk)), progress).map_err(BackupError::Source)?;
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

/// A backup as a disk that is read as a data directory is: its identity has another name there.
pub struct BackupDisk(pub Arc<dyn Disk>);

impl Disk for BackupDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.open(if name == identity::FILE { IDENTITY } else { name })
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.0.lock()
    }

    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>> {
        self.0.lock_shared()
    }
}
