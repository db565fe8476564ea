//! What reached the device while something ran.
//!
//! Two counters, because neither says everything. `/proc/PID/io` counts what one process sent to the block layer: direct writes, and
//! buffered pages each time they become dirty; it leaves out the file system's own records. `/sys/dev/block/MAJOR:MINOR/stat` counts
//! sectors, with everything in them, also what other processes write meanwhile. Where a system does not tell one, it is absent.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Sectors are of this size in every counter of Linux, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

/// Counters of a process and of the device under a directory.
pub(crate) struct Counters {
    process: PathBuf,
    device: Option<PathBuf>,
}

/// Bytes written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) by_process: Option<u64>,
    pub(crate) to_device: Option<u64>,
}

impl Counters {
    /// Those of a process (`self` is this one) that writes below a directory.
    pub(crate) fn new(process: &str, directory: &Path) -> Self {
        let device = fs::metadata(directory).ok().map(|metadata| {
            let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
            PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"))
        });
        Self { process: PathBuf::from(format!("/proc/{process}/io")), device }
    }

    /// Since their beginning.
    pub(crate) fn read(&self) -> Written {
        let device = self.device.as_ref().and_then(|path| fs::read_to_string(path).ok());
        Written {
            by_process: fs::read_to_string(&self.process).ok().and_then(|text| process_bytes(&text)),
            to_device: device.and_then(|text| device_bytes(&text)),
        }
    }
}

impl Written {
    /// What was written from an earlier reading to this one.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let difference = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Self { by_process: difference(self.by_process, earlier.by_process), to_device: difference(self.to_device, earlier.to_device) }
    }
}

/// `write_bytes`, less what was truncated before it was written.
fn process_bytes(text: &str) -> Option<u64> {
    let member = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(member("write_bytes:")?.saturating_sub(member("cancelled_write_bytes:").unwrap_or(0)))
}

/// The seventh column is sectors written.
fn device_bytes(text: &str) -> Option<u64> {
    text.split_whitespace().nth(6)?.parse::<u64>().ok().map(|sectors| sectors * SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{Written, device_bytes, process_bytes};

    #[test]
    fn counters_are_read_as_linux_writes_them() {
        assert_eq!(process_bytes("rchar: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n"), Some(4096));
        assert_eq!(process_bytes("rchar: 1\n"), None);
        assert_eq!(device_bytes("   1 2 3 4 5 6 10 8 9\n"), Some(5120));
    }

    #[test]
    fn what_a_system_does_not_tell_is_absent() {
        let (before, now) = (Written { by_process: Some(1), to_device: None }, Written { by_process: Some(3), to_device: Some(9) });
        assert_eq!(now.since(before), Written { by_process: Some(2), to_device: None });
    }
}
