//! The raw disk: direct synced writes into a file that was written with zeros before, at depth 1 and at depth 4.
//!
//! Written against the system itself and not through the journal's seams, so that a change there cannot move the scale.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::statistics::Latencies;

/// Larger than a device's volatile cache would hide, small enough to write quickly.
const FILE_BYTES: u64 = 256 * 1024 * 1024;
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// Writes under way at once of the large probe.
const LARGE_DEPTH: u64 = 4;
/// Direct writes want their memory aligned as the device has its blocks.
const ALIGNMENT: usize = 4096;

/// A file to probe with.
pub(crate) struct DiskProbe {
    file: File,
    next: u64,
}

impl DiskProbe {
    /// Writes the file with zeros.
    pub(crate) fn prepare(path: &Path) -> Outcome<Self> {
        let zeros = vec![0; LARGE_BYTES];
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        for offset in (0..FILE_BYTES).step_by(LARGE_BYTES) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_all()?;
        let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(path)?;
        Ok(Self { file, next: 0 })
    }

    /// 4 KiB at depth 1: how long each took.
    pub(crate) fn small_writes(&mut self, duration: Duration) -> Outcome<Latencies> {
        let block = Block::new(SMALL_BYTES);
        let (until, mut latencies) = (Instant::now() + duration, Latencies::new());
        loop {
            let begun = Instant::now();
            if begun >= until {
                return Ok(latencies);
            }
            self.file.write_all_at(block.bytes(), self.next)?;
            latencies.add(begun.elapsed());
            self.next = (self.next + SMALL_BYTES as u64) % FILE_BYTES;
        }
    }

    /// 1 MiB at depth 4: bytes a second.
    pub(crate) fn large_bandwidth(&self, duration: Duration) -> Outcome<f64> {
        let begun = Instant::now();
        let writes = thread::scope(|scope| {
            let threads: Vec<_> = (0..LARGE_DEPTH).map(|index| scope.spawn(move || self.large_writes(index, begun + duration))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a probe panicked; its message stands above")?).sum::<Outcome<u64>>()
        })?;
        Ok(writes as f64 * LARGE_BYTES as f64 / begun.elapsed().as_secs_f64())
    }

    /// One of the threads, over its own part of the file.
    fn large_writes(&self, index: u64, until: Instant) -> Outcome<u64> {
        let block = Block::new(LARGE_BYTES);
        let part = FILE_BYTES / LARGE_DEPTH;
        let mut writes = 0;
        while Instant::now() < until {
            let offset = index * part + writes * LARGE_BYTES as u64 % part;
            self.file.write_all_at(block.bytes(), offset)?;
            writes += 1;
        }
        Ok(writes)
    }
}

/// Memory that is aligned.
struct Block {
    memory: Vec<u8>,
    begin: usize,
    len: usize,
}

impl Block {
    fn new(len: usize) -> Self {
        let memory = vec![0xa5; len + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, begin, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.len]
    }
}
