//! The disk as the engine sees it: named files in one directory, positional reads and writes, syncs that are asked for.

use std::io;

/// What the engine aligns its writes to, in bytes.
pub const BLOCK_BYTES: usize = 512;
/// What buffers are aligned to in memory: what direct I/O wants on every known device.
const MEMORY_ALIGNMENT: usize = 4096;

/// A directory on a disk. Names are plain file names, or `folder/name` one level down.
pub trait Disk: Send + Sync + 'static {
    /// The names of all files in a folder (`""` for the directory itself), unordered.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Opens a file that exists, for reading, and for writing where the disk may be written to.
    ///
    /// # Errors
    /// The system's; `NotFound` when there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates an empty file, or empties one that exists. Its name is durable after `sync_directory`.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file over another. Durable after `sync_directory`.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after `sync_directory`.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creates, renames and removes in the directory (and its folders) durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes the directory for this process until the lock is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it, else the system's.
    fn lock(&self) -> io::Result<Box<dyn DiskLock>>;

    /// Keeps the directory from being taken by [`Disk::lock`] until the lock is dropped; others may read it too. Writes nothing.
    ///
    /// # Errors
    /// `WouldBlock` when a process has taken it, else the system's.
    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>>;
}

/// Held while a process owns the directory, or reads it.
pub trait DiskLock: Send + Sync {}

/// An open file. All calls are positional, so that several may be under way.
#[expect(clippy::len_without_is_empty, reason = "a file is not a collection")]
pub trait DiskFile: Send + Sync {
    /// Reads exactly this many bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end, else the system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes without a promise: durable after `sync`.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes much at once without a promise, beside the page cache where the system lets it: nobody reads this soon. Offset and length
    /// are multiples of [`BLOCK_BYTES`].
    ///
    /// # Errors
    /// The system's.
    fn write_past_cache_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// Writes, and returns when the bytes are durable. Offset and length are multiples of [`BLOCK_BYTES`].
    ///
    /// # Errors
    /// The system's.
    fn write_durable_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()>;

    /// Makes all writes durable.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Bytes that start at an address which direct I/O accepts. Grows like a `Vec`; made to be used again.
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// Room for `capacity` bytes before it must grow.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let bytes = vec![0; capacity + MEMORY_ALIGNMENT];
        let start = bytes.as_ptr().align_offset(MEMORY_ALIGNMENT).min(MEMORY_ALIGNMENT);
        Self { bytes, start, len: 0 }
    }

    /// Forgets the content, keeps the room.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The room before it must grow.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len() - MEMORY_ALIGNMENT
    }

    /// Adds bytes at the end.
    pub fn extend(&mut self, more: &[u8]) {
        self.reserve(more.len());
        let end = self.start + self.len;
        self.bytes[end..end + more.len()].copy_from_slice(more);
        self.len += more.len();
    }

    /// Adds zeros up to the next multiple of `alignment`.
    pub fn pad_to(&mut self, alignment: usize) {
        self.fill_to(self.len.next_multiple_of(alignment));
    }

    /// Adds zeros up to a length.
    pub fn fill_to(&mut self, len: usize) {
        let missing = len.saturating_sub(self.len);
        self.reserve(missing);
        let end = self.start + self.len;
        self.bytes[end..end + missing].fill(0);
        self.len += missing;
    }

    /// Cuts to a shorter length.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn reserve(&mut self, more: usize) {
        if self.len + more > self.capacity() {
            let mut larger = Self::with_capacity((self.len + more).next_power_of_two());
            larger.bytes[larger.start..larger.start + self.len].copy_from_slice(self);
            larger.len = self.len;
            *self = larger;
        }
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}
