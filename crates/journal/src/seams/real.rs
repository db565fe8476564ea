//! The machine's own disk, clock, randomness and threads. The only file of this room that may call them.
//!
//! `RealDisk` writes durably through a second descriptor with `O_DIRECT | O_DSYNC` where the file system takes it: one call,
//! no page cache, no second sync. Where it does not (another system, odd block sizes), it writes and then syncs data. What it writes past
//! the cache goes through a third one, without `O_DSYNC`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::{AlignedBuffer, Disk, DiskFile, DiskLock};
use super::{Clock, Random, Spawner};
use crate::time::Timestamp;

const LOCK_FILE: &str = "lock";

/// A directory of this machine. Files are readable by their owner only.
pub struct RealDisk {
    directory: PathBuf,
    /// May it be written to?
    writable: bool,
}

impl RealDisk {
    /// Takes a directory, and makes it when it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = directory.as_ref().to_path_buf();
        make(&directory)?;
        Ok(Self { directory, writable: true })
    }

    /// Takes a directory that is there, for reading only: whatever would write is refused.
    #[must_use]
    pub fn read_only(directory: impl AsRef<Path>) -> Self {
        Self { directory: directory.as_ref().to_path_buf(), writable: false }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }
}

/// Makes a directory that is not there, with those above it. Each is a name in the one above, and a name is on the disk once that one is
/// synced: without it a power cut could take the whole journal, synced or not.
fn make(directory: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

impl Disk for RealDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name);
        let buffered = OpenOptions::new().read(true).write(self.writable).open(&path)?;
        Ok(Box::new(RealFile { buffered, path, direct: OnceLock::new(), past_cache: OnceLock::new() }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.check_writable()?;
        let path = self.path(name);
        let buffered = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Box::new(RealFile { buffered, path, direct: OnceLock::new(), past_cache: OnceLock::new() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        std::fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.check_writable()?;
        // The directory itself, and not only a file in it: a file can be removed, and then a second owner would lock another one.
        let directory = File::open(&self.directory)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.path(LOCK_FILE))?;
        for locked in [&directory, &file] {
            match locked.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Box::new(RealLock { _directory: directory, _file: Some(file) }))
    }

    fn lock_shared(&self) -> io::Result<Box<dyn DiskLock>> {
        // The directory is enough, because whoever writes locks it too; the file need not be there, nor be readable.
        let directory = File::open(&self.directory)?;
        match directory.try_lock_shared() {
            Ok(()) => Ok(Box::new(RealLock { _directory: directory, _file: None })),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

struct RealLock {
    _directory: File,
    _file: Option<File>,
}

impl DiskLock for RealLock {}

struct RealFile {
    buffered: File,
    path: PathBuf,
    /// Opened at the first durable write; `None` where direct writes are not taken.
    direct: OnceLock<Option<File>>,
    /// The same for writes past the cache.
    past_cache: OnceLock<Option<File>>,
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.buffered.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.buffered.write_all_at(bytes, offset)
    }

    fn write_past_cache_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        let direct = self.past_cache.get_or_init(|| open_direct(&self.path, 0)).as_ref();
        direct.and_then(|direct| taken(direct.write_all_at(bytes, offset))).unwrap_or_else(|| self.buffered.write_all_at(bytes, offset))
    }

    fn write_durable_at(&self, bytes: &AlignedBuffer, offset: u64) -> io::Result<()> {
        let direct = self.direct.get_or_init(|| open_direct(&self.path, SYNCED)).as_ref();
        if let Some(outcome) = direct.and_then(|direct| taken(direct.write_all_at(bytes, offset))) {
            return outcome;
        }
        self.buffered.write_all_at(bytes, offset)?;
        self.buffered.sync_data()
    }

    fn sync(&self) -> io::Result<()> {
        self.buffered.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.buffered.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.buffered.set_len(len)
    }
}

/// The outcome of a direct write; `None` when the device wants larger blocks than ours: nothing was written, the other way is as good.
fn taken(outcome: io::Result<()>) -> Option<io::Result<()>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
        outcome => Some(outcome),
    }
}

#[cfg(target_os = "linux")]
const SYNCED: i32 = libc::O_DSYNC;
#[cfg(not(target_os = "linux"))]
const SYNCED: i32 = 0;

#[cfg(target_os = "linux")]
fn open_direct(path: &Path, more: i32) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | more).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path, _: i32) -> Option<File> {
    None
}

/// The machine's wall clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The machine's randomness: a ChaCha-like stream would be a dependency; BLAKE3 in counter mode over a seed from the system is one we have.
pub struct SystemRandom {
    stream: Mutex<blake3::OutputReader>,
}

impl SystemRandom {
    /// Seeds itself from the system.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut seed)?;
        let stream = blake3::Hasher::new_keyed(&seed).finalize_xof();
        Ok(Self { stream: Mutex::new(stream) })
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// The machine's threads; background work runs on a few of them that start at the first use.
pub struct ThreadSpawner {
    background: OnceLock<Sender<Work>>,
}

const BACKGROUND_THREADS: usize = 2;

impl ThreadSpawner {
    /// Starts nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { background: OnceLock::new() }
    }
}

impl Default for ThreadSpawner {
    fn default() -> Self {
        Self::new()
    }
}

impl Spawner for ThreadSpawner {
    fn thread(&self, name: &str, work: Work) -> io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    fn patient_thread(&self, name: &str, work: Work) -> io::Result<()> {
        self.thread(
            name,
            Box::new(|| {
                be_patient();
                work();
            }),
        )
    }

    fn blocking(&self, work: Work) {
        // A send fails only when no thread could be started; then the work is dropped and its waiter told so.
        let _ = self.background.get_or_init(start_background).send(work);
    }
}

/// The calling thread runs in what others leave, from now on. One that the system does not let be patient is as quick as the others.
#[cfg(target_os = "linux")]
fn be_patient() {
    const NICEST: i32 = 19;
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICEST);
}

#[cfg(not(target_os = "linux"))]
fn be_patient() {}

fn start_background() -> Sender<Work> {
    let (sender, receiver) = channel::<Work>();
    let receiver = Arc::new(Mutex::new(receiver));
    for index in 0..BACKGROUND_THREADS {
        let receiver = Arc::clone(&receiver);
        let started = std::thread::Builder::new().name(format!("journal-read-{index}")).spawn(move || run_background(&receiver));
        drop(started);
    }
    sender
}

fn run_background(receiver: &Mutex<Receiver<Work>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        work();
    }
}

/// Parks the thread until the future is there.
pub(super) fn wait(mut future: Pin<&mut dyn Future<Output = ()>>) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        // A wake that came meanwhile lets it go on at once; a park that ends for nothing costs a look.
        std::thread::park();
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
