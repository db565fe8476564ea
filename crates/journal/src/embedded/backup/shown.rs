//! A backup as a disk that is read as a data directory is: exactly the files that `backup.json` names, under the names that they would have
//! there. What a later run has copied behind them is not seen.

use std::io;
use std::sync::Arc;

use super::super::identity;
use super::super::roots::ROOTS_LOG;
use super::super::segment::{number_of, segment_name};
use super::manifest::{self, LogFiles};
use super::{Disk, DiskFile, DiskLock, IDENTITY};
use crate::seams::AlignedBuffer;

/// See the module.
pub struct BackupDisk {
    disk: Arc<dyn Disk>,
    /// `None`: the backup was never finished, or one of version 1, whose files have the names of a data directory.
    log: Option<LogFiles>,
}

impl BackupDisk {
    /// Reads what a backup says that it holds. It is shown as it is now, whatever runs beside.
    ///
    /// # Errors
    /// The disk's, and when what it says is damaged or of a newer version.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let log = manifest::read(&*disk)?.and_then(|told| told.manifest.log);
        Self::of(disk, log)
    }

    pub(super) fn of(disk: Arc<dyn Disk>, log: Option<LogFiles>) -> io::Result<Self> {
        if let Some(LogFiles { full, .. }) = log {
            let last = disk.list("")?.iter().filter_map(|name| number_of(name)).max().unwrap_or(0);
            if full > last {
                let what = format!("it has {full} full segments by its own word, and those behind {} are missing", segment_name(last));
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(Self { disk, log })
    }

    /// The name in the backup of what a data directory has under a name; `None`: it is not in it.
    fn name_of(&self, name: &str) -> Option<String> {
        match (number_of(name), &self.log) {
            _ if name == identity::FILE => Some(IDENTITY.to_owned()),
            (Some(number), Some(log)) if number == log.full + 1 => log.tail.clone(),
            (Some(number), Some(log)) if number > log.full => None,
            _ => Some(name.to_owned()),
        }
    }
}

impl Disk for BackupDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(folder)?;
        if let Some(log) = self.log.as_ref().filter(|_| folder.is_empty()) {
            names.retain(|name| number_of(name).is_none_or(|number| number <= log.full));
            names.extend(log.tail.iter().map(|_| segment_name(log.full + 1)));
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let found = self.name_of(name).ok_or(io::ErrorKind::NotFound)?;
        let file = self.disk.open(&found)?;
        match &self.log {
            Some(log) if name == ROOTS_LOG => Ok(Box::new(Front { file, bytes: log.roots_bytes })),
            _ => Ok(file),
        }
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Err(only_read())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(only_read())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(only_read())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(only_read())
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock()
    }

    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock_shared()
    }
}

fn only_read() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a backup is only read")
}

/// The first bytes of a file that has grown since.
struct Front {
    file: Box<dyn DiskFile>,
    bytes: u64,
}

impl DiskFile for Front {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.bytes) {
            true => self.file.read_at(buffer, offset),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(only_read())
    }

    fn write_durable_at(&self, _: &AlignedBuffer, _: u64) -> io::Result<()> {
        Err(only_read())
    }

    fn sync(&self) -> io::Result<()> {
        Err(only_read())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.min(self.bytes))
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(only_read())
    }
}
