//! The raw disk: durable writes of one size at depth 1 into a file that was written with zeros before.

use std::path::Path;
use std::time::{Duration, Instant};

use headwater::{Exit, Failure};
use journal::seams::{AlignedBuffer, Disk as _, DiskFile, RealDisk};

/// How large the probe's file is: larger than any device's volatile cache would hide, small enough to write quickly.
const FILE_BYTES: u64 = 256 * 1024 * 1024;
const ZEROS_BYTES: usize = 1024 * 1024;

/// A file to probe with.
pub(super) struct DiskProbe {
    file: Box<dyn DiskFile>,
    next: u64,
}

impl DiskProbe {
    pub(super) fn prepare(directory: &Path) -> Result<Self, Failure> {
        let prepared = || -> std::io::Result<Box<dyn DiskFile>> {
            let file = RealDisk::open(directory)?.create("probe")?;
            let zeros = vec![0; ZEROS_BYTES];
            for offset in (0..FILE_BYTES).step_by(ZEROS_BYTES) {
                file.write_at(&zeros, offset)?;
            }
            file.sync()?;
            Ok(file)
        };
        Ok(Self { file: prepared().map_err(|error| failed(&error))?, next: 0 })
    }

    /// Writes blocks of this size one after the other; gives writes a second.
    pub(super) fn writes_per_second(&mut self, block_bytes: usize, duration: Duration) -> Result<f64, Failure> {
        let mut block = AlignedBuffer::with_capacity(block_bytes);
        block.extend(&vec![0xa5; block_bytes]);
        let (begun, mut writes) = (Instant::now(), 0_u32);
        while begun.elapsed() < duration {
            if self.next + block_bytes as u64 > FILE_BYTES {
                self.next = 0;
            }
            self.file.write_durable_at(&block, self.next).map_err(|error| failed(&error))?;
            self.next += block_bytes as u64;
            writes += 1;
        }
        Ok(f64::from(writes) / begun.elapsed().as_secs_f64())
    }
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("the disk probe failed: {error}"))
}
