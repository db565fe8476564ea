//! The raw disk: durable writes into a file that was written with zeros before, small ones at depth 1 and large ones at depth 4.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use headwater::{Exit, Failure};
use journal::seams::{AlignedBuffer, Disk as _, DiskFile, RealDisk};

use super::statistics::Latencies;

/// How large the probe's file is: larger than any device's volatile cache would hide, small enough to write quickly.
const FILE_BYTES: u64 = 256 * 1024 * 1024;
/// What a lone commit takes of the disk, and more.
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// Large writes under way at once.
const LARGE_DEPTH: u64 = 4;

/// A file to probe with.
pub(super) struct DiskProbe {
    file: Box<dyn DiskFile>,
    next: u64,
}

impl DiskProbe {
    pub(super) fn prepare(directory: &Path) -> Result<Self, Failure> {
        let prepared = || -> io::Result<Box<dyn DiskFile>> {
            let file = RealDisk::open(directory)?.create("probe")?;
            let zeros = vec![0; LARGE_BYTES];
            for offset in (0..FILE_BYTES).step_by(LARGE_BYTES) {
                file.write_at(&zeros, offset)?;
            }
            file.sync()?;
            Ok(file)
        };
        Ok(Self { file: prepared().map_err(|error| failed(&error))?, next: 0 })
    }

    /// Small writes one after the other: how long each took.
    pub(super) fn small_writes(&mut self, duration: Duration) -> Result<Latencies, Failure> {
        let block = block(SMALL_BYTES);
        let (until, mut latencies) = (Instant::now() + duration, Latencies::new());
        loop {
            let begun = Instant::now();
            if begun >= until {
                return Ok(latencies);
            }
            self.file.write_durable_at(&block, self.next).map_err(|error| failed(&error))?;
            latencies.add(begun.elapsed());
            self.next = (self.next + SMALL_BYTES as u64) % FILE_BYTES;
        }
    }

    /// Large writes, four at once: bytes a second.
    pub(super) fn large_bandwidth(&self, duration: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let writes: io::Result<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..LARGE_DEPTH).map(|index| scope.spawn(move || self.large_writes(index, begun + duration))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))).sum()
        });
        let writes = writes.map_err(|error| failed(&error))?;
        Ok(writes as f64 * LARGE_BYTES as f64 / begun.elapsed().as_secs_f64())
    }

    /// One of the threads, over its own part of the file.
    fn large_writes(&self, index: u64, until: Instant) -> io::Result<u64> {
        let block = block(LARGE_BYTES);
        let part = FILE_BYTES / LARGE_DEPTH;
        let mut writes = 0;
        while Instant::now() < until {
            self.file.write_durable_at(&block, index * part + writes * LARGE_BYTES as u64 % part)?;
            writes += 1;
        }
        Ok(writes)
    }
}

fn block(bytes: usize) -> AlignedBuffer {
    let mut block = AlignedBuffer::with_capacity(bytes);
    block.extend(&vec![0xa5; bytes]);
    block
}

fn failed(error: &io::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("the disk probe failed: {error}"))
}
