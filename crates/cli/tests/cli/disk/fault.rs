//! A disk that ends its process, or stops it, at a call that is named by its number.
//!
//! Only calls that change something count: what a process reads makes no difference to what it leaves. A write that is chosen is done in
//! half, so that a frame or a seal of several blocks is torn too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::seams::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile, DiskLock};
use serde::{Deserialize, Serialize};

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Fault {
    /// The process ends before the call.
    EndBefore(u64),
    /// It ends in the middle of it: a write is done in half, anything else wholly.
    EndWithin(u64),
    /// Everything stands still before the call, until the power is cut.
    StopBefore(u64),
    /// The same in the middle of it.
    StopWithin(u64),
}

impl Fault {
    fn call(self) -> u64 {
        match self {
            Self::EndBefore(call) | Self::EndWithin(call) | Self::StopBefore(call) | Self::StopWithin(call) => call,
        }
    }

    fn is_within(self) -> bool {
        matches!(self, Self::EndWithin(_) | Self::StopWithin(_))
    }
}

/// Stands still and says so.
type Stop = Arc<dyn Fn() + Send + Sync>;

/// Counts calls over all files of a disk.
pub(super) struct Counter {
    fault: Option<Fault>,
    calls: AtomicU64,
    stop: Stop,
}

/// What is to be done with a call.
#[derive(PartialEq, Eq)]
enum Then {
    All,
    Half,
}

impl Counter {
    /// Calls so far.
    pub(super) fn count(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Counts a call; it may not return. The calls behind the chosen one find it passed, and stand still as well.
    fn reached(&self) -> Then {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fault {
            Some(fault) if call > fault.call() => self.end(fault),
            Some(fault) if call == fault.call() && fault.is_within() => return Then::Half,
            Some(fault) if call == fault.call() => self.end(fault),
            _ => {}
        }
        Then::All
    }

    fn end(&self, fault: Fault) {
        match fault {
            // As a kill from outside does: nothing is flushed, nothing is said.
            Fault::EndBefore(_) | Fault::EndWithin(_) => std::process::abort(),
            Fault::StopBefore(_) | Fault::StopWithin(_) => (self.stop)(),
        }
    }

    /// Runs a call that cannot be done in half.
    fn whole<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let then = self.reached();
        let done = call();
        self.leave(&then);
        done
    }

    fn leave(&self, then: &Then) {
        if let (Then::Half, Some(fault)) = (then, self.fault) {
            self.end(fault);
        }
    }
}

/// A disk in front of another one.
pub(super) struct FaultDisk<D> {
    inner: Arc<D>,
    counter: Arc<Counter>,
}

impl<D: Disk> FaultDisk<D> {
    pub(super) fn new(inner: Arc<D>, fault: Option<Fault>, stop: Stop) -> Self {
        Self { inner, counter: Arc::new(Counter { fault, calls: AtomicU64::new(0), stop }) }
    }

    pub(super) fn counter(&self) -> Arc<Counter> {
        Arc::clone(&self.counter)
    }

    fn file(&self, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultFile { inner, counter: Arc::clone(&self.counter) })
    }
}

impl<D: Disk> Disk for FaultDisk<D> {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.inner.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.counter.whole(|| Ok(self.file(self.inner.create(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.counter.whole(|| self.inner.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.counter.whole(|| self.inner.remove(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.counter.whole(|| self.inner.sync_directory())
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock()
    }

    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock_shared()
    }
}

struct FaultFile {
    inner: Box<dyn DiskFile>,
    counter: Arc<Counter>,
}

impl DiskFile for FaultFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let then = self.counter.reached();
        let count = if then == Then::Half { bytes.len() / 2 } else { bytes.len() };
        let done = self.inner.write_at(&bytes[..count], offset);
        self.counter.leave(&then);
        done
    }

    fn write_past_cache_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        let then = self.counter.reached();
        let done = match then {
            Then::All => self.inner.write_past_cache_at(bytes, offset),
            Then::Half => self.inner.write_past_cache_at(&half(bytes), offset),
        };
        self.counter.leave(&then);
        done
    }

    fn write_durable_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        let then = self.counter.reached();
        let done = match then {
            Then::All => self.inner.write_durable_at(bytes, offset),
            Then::Half => self.inner.write_durable_at(&half(bytes), offset),
        };
        self.counter.leave(&then);
        done
    }

    fn sync(&self) -> io::Result<()> {
        self.counter.whole(|| self.inner.sync())
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.counter.whole(|| self.inner.set_len(len))
    }
}

/// The first half of the blocks.
fn half(bytes: &AlignedBuffer) -> AlignedBuffer {
    let mut half = AlignedBuffer::with_capacity(bytes.len());
    half.extend(&bytes[..bytes.len() / BLOCK_BYTES / 2 * BLOCK_BYTES]);
    half
}
