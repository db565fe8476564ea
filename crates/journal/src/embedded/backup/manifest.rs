//! `backup.json`: what a backup holds, under a checksum of its own. It names the files that the backup is made of, and replacing it is how a
//! backup becomes the next one: what it does not name means nothing, and the next run removes it.
//!
//! Version 1 did not say which segments: the last one, which is not full, stood under the name of its segment, where the next run
//! put its successor. It is still read, and the next run makes it one of version 2 before it copies anything.

use std::io;

use serde::{Deserialize, Serialize};

use super::super::evidence::{Root, hex};
use super::super::frame::checksum;
use super::TEMPORARY;
use crate::cursor::Cursor;
use crate::seams::Disk;

const NAME: &str = "backup.json";
const FORMAT: &str = "headwater-backup";
const VERSION: u32 = 2;
/// What is in front of the number in the names of files that only `backup.json` gives a meaning.
pub(super) const REGISTERS: &str = "registers.";
pub(super) const TAIL: &str = "tail.";

/// What a backup says of itself.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    pub(super) lineage: String,
    head: String,
    root: String,
    pub(super) taken_us: i64,
    pub(super) registers: String,
    /// Of version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<LogFiles>,
    checksum: String,
}

/// Where the log of a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogFiles {
    /// So many segments are full, and have their own names.
    pub(super) full: u64,
    /// The file of the segment behind them, up to the head; an empty log has none.
    pub(super) tail: Option<String>,
    /// So many bytes of `roots.log` are of the full segments: the next run may have gone on behind them.
    pub(super) roots_bytes: u64,
}

/// What it says, read.
pub(super) struct Told {
    pub(super) manifest: Manifest,
    pub(super) head: Cursor,
    pub(super) root: Root,
}

impl Manifest {
    pub(super) fn new(lineage: String, root: &Root, taken_us: i64, registers: String, log: LogFiles) -> Self {
        let head = root.cursor.unwrap_or(Cursor::BEGINNING).to_string();
        let (format, version, log) = (FORMAT.to_owned(), VERSION, Some(log));
        Self { format, version, lineage, head, root: root.to_string(), taken_us, registers, log, checksum: String::new() }
    }

    /// The same backup, with a word about where its log is.
    pub(super) fn with_log(self, log: LogFiles) -> Self {
        Self { version: VERSION, log: Some(log), ..self }
    }

    /// Replaces what the backup says of itself: from now on it is this one.
    pub(super) fn write(mut self, target: &dyn Disk) -> io::Result<()> {
        self.checksum = String::new();
        self.checksum = self.sum()?;
        replace(target, NAME, &serde_json::to_vec(&self)?)
    }

    fn sum(&self) -> io::Result<String> {
        Ok(hex(&checksum(&serde_json::to_vec(self)?).to_be_bytes()))
    }

    /// Removes files that it does not name, of runs that were killed or of the backup before.
    pub(super) fn forget_others(&self, target: &dyn Disk) -> io::Result<()> {
        let tail = self.log.as_ref().and_then(|log| log.tail.as_deref());
        forget_all_but(target, &[Some(self.registers.as_str()), tail])
    }
}

/// Removes the registers and tails of a backup but for those named. What was begun under a temporary name goes with its next use.
pub(super) fn forget_all_but(target: &dyn Disk, named: &[Option<&str>]) -> io::Result<()> {
    let names = target.list("")?;
    let of_a_run = |name: &&String| name.starts_with(REGISTERS) || name.starts_with(TAIL);
    let mut others = names.iter().filter(of_a_run).filter(|name| !named.contains(&Some(name.as_str()))).peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    others.try_for_each(|name| target.remove(name))?;
    target.sync_directory()
}

/// The first name with this front that no file has.
pub(super) fn free_name(target: &dyn Disk, front: &str) -> io::Result<String> {
    let names = target.list("")?;
    let name = (0u64..).map(|number| format!("{front}{number}")).find(|name| !names.contains(name));
    Ok(name.expect("there are more numbers than files"))
}

/// Under its own name only when it is whole.
pub(super) fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(TEMPORARY)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(TEMPORARY, name)?;
    disk.sync_directory()
}

/// What a backup says of itself; `None`: it was never finished.
pub(super) fn read(disk: &dyn Disk) -> io::Result<Option<Told>> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{NAME} does not fit its checksum"));
    let mut manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let sum = std::mem::take(&mut manifest.checksum);
    if manifest.format != FORMAT || manifest.sum()? != sum {
        return Err(damaged());
    }
    if manifest.version > VERSION {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a newer version made this backup; use that one"));
    }
    let (head, root) = (manifest.head.parse(), manifest.root.parse());
    let (Ok(head), Ok(root)) = (head, root) else { return Err(damaged()) };
    let tail = manifest.log.as_ref().and_then(|log| log.tail.as_ref());
    if !manifest.registers.starts_with(REGISTERS) || tail.is_some_and(|tail| !tail.starts_with(TAIL)) {
        return Err(damaged());
    }
    Ok(Some(Told { manifest, head, root }))
}
