//! The file of a view's build: `{view}.{build}.{generation}.db`, with its rows, its cursor, and whether it has ever caught up.
//!
//! Rows and cursor change in one transaction, so that whatever a crash leaves is the rows of exactly the events up to the cursor. The file
//! is derived: `synchronous = NORMAL` may lose its last transactions with the power, and then loses their cursor with them.
//!
//! SQLite knows damage to its structure, and not a flipped bit inside of a text. So a clean end leaves the checksum of the whole file beside
//! it (`.sum`: CRC-32C and length), and the next opening compares. After a crash there is none, and SQLite's integrity check takes its place;
//! the write-ahead log has checksums of its own: what it lost, the cursor lost.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use component::hosted::ViewStore;
use journal::seams::Disk;
use journal::{Cursor, Position};
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, OptionalExtension as _};

use super::fault::Fault;
use super::functions;
use super::plan::Plan;
use crate::limits::{VIEW_LOCK_MAX, VIEW_LOG_BYTES_MAX};

/// Where the files of views lie: the same folder as SQLite sees it, and as the seam does.
#[derive(Clone)]
pub struct ViewFolder {
    /// Its path.
    pub path: PathBuf,
    /// The folder as a disk.
    pub disk: Arc<dyn Disk>,
}

/// Bytes that a checksum reads at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
const SUM: &str = ".sum";
/// SQLite's own way to open files of one process: the index of the log is in memory, and not in a mapped file. A disk without room cannot
/// give a mapped file its blocks, and the kernel ends whoever writes there (`SIGBUS`).
const UNSHARED: &str = "unix-excl";
/// What SQLite keeps beside a file, and what we do.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", SUM];

/// One file, or a database in memory that has a name.
#[derive(Clone)]
pub(super) struct Store {
    folder: Option<ViewFolder>,
    name: String,
    /// It has the rows of a shared view, in a test.
    stands_in: bool,
    /// A database in memory lasts as long as somebody is connected to it.
    _keeper: Option<Arc<Mutex<Connection>>>,
}

/// What an opened file holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) cursor: Cursor,
    pub(super) complete: bool,
    /// Every erasure up to this place was carried out before the file was begun.
    pub(super) erased: Position,
}

/// A file of the folder, by its name.
pub(super) struct ViewFile {
    pub(super) view: String,
    pub(super) build: String,
    pub(super) generation: u32,
    pub(super) name: String,
}

/// The files of views; whatever has another name is none.
pub(super) fn files(folder: &ViewFolder) -> io::Result<Vec<ViewFile>> {
    let parse = |name: String| {
        let mut parts = name.strip_suffix(".db")?.split('.');
        let (view, build, generation) = (parts.next()?.to_owned(), parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(ViewFile { view, build, generation, name })
    };
    Ok(folder.disk.list("")?.into_iter().filter_map(parse).collect())
}

/// Removes a file of a view with everything beside it.
pub(super) fn remove(folder: &ViewFolder, name: &str) -> io::Result<()> {
    for beside in BESIDE.iter().copied().chain([""]) {
        match folder.disk.remove(&format!("{name}{beside}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder.disk.sync_directory()
}

impl Store {
    pub(super) fn new(folder: Option<ViewFolder>, plan: &Plan, generation: u32) -> Self {
        static MEMORY: AtomicU64 = AtomicU64::new(0);
        let name = match folder {
            Some(_) => format!("{}.{}.{generation}.db", plan.view.name(), plan.build),
            None => format!("{}.{}", plan.view.name(), MEMORY.fetch_add(1, Ordering::Relaxed)),
        };
        let mut store = Self { folder, name, stands_in: plan.view.store() == ViewStore::StandIn, _keeper: None };
        if store.folder.is_none() {
            let kept = store.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE).ok();
            store._keeper = kept.map(|connection| Arc::new(Mutex::new(connection)));
        }
        store
    }

    /// The file's name; `None` in memory.
    pub(super) fn file(&self) -> Option<&str> {
        self.folder.is_some().then_some(&self.name)
    }

    /// Removes the file; the next opening begins anew.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.folder.as_ref().map_or(Ok(()), |folder| remove(folder, &self.name))
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.folder {
            Some(folder) => Connection::open_with_flags_and_vfs(folder.path.join(&self.name), flags, UNSHARED)?,
            // A database of SQLite's own `memdb`, which connections of one process share by name.
            None => Connection::open_with_flags(format!("file:/{}?vfs=memdb", self.name), flags | OpenFlags::SQLITE_OPEN_URI)?,
        };
        functions::add(&connection)?;
        if self.stands_in {
            connection.pragma_update(None, "case_sensitive_like", true)?;
        }
        connection.busy_timeout(VIEW_LOCK_MAX)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    }

    /// A connection that cannot write.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    /// The connection that writes; a new file gets its tables, and remembers up to where subjects were erased by then.
    pub(super) fn writer(&self, plan: &Plan, erased: Position) -> Result<(Connection, Opened), Fault> {
        let known_whole = self.prepare_file()?;
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        tune(&connection)?;
        connection.set_prepared_statement_cache_capacity(256);
        if !known_whole {
            check_whole(&connection)?;
        }
        let opened = match opened(&connection) {
            Ok(Some(opened)) => opened,
            Ok(None) => begin(&connection, plan, erased)?,
            Err(error) => return Err(Fault::Damaged(error.to_string())),
        };
        Ok((connection, opened))
    }

    /// Makes the file, for its owner alone, or compares it with its checksum. True when its content is known to be whole.
    fn prepare_file(&self) -> Result<bool, Fault> {
        let Some(folder) = &self.folder else { return Ok(true) };
        let sum = format!("{}{SUM}", self.name);
        match (folder.disk.open(&self.name), folder.disk.open(&sum)) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                remove(folder, &self.name)?;
                folder.disk.create(&self.name)?;
                Ok(true)
            }
            (Err(error), _) => Err(error.into()),
            (Ok(file), Ok(sum_file)) => {
                let mut kept = vec![0; usize::try_from(sum_file.len()?).unwrap_or(0).min(64)];
                sum_file.read_at(&mut kept, 0)?;
                let found = checksum(&*file)?;
                // From the first write on, the file is another one than the checksum says.
                folder.disk.remove(&sum)?;
                folder.disk.sync_directory()?;
                if kept == found.as_bytes() { Ok(true) } else { Err(Fault::Damaged("it is not what it was when it was closed".to_owned())) }
            }
            (Ok(_), Err(_)) => Ok(false),
        }
    }

    /// The cursor of rows that a loss of power cannot take back: what was written before is synced with the write-ahead log.
    pub(super) fn synced_cursor(&self) -> rusqlite::Result<Cursor> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let Some(Opened { cursor, .. }) = opened(&connection)? else { return Ok(Cursor::BEGINNING) };
        // It takes all that was committed, which the cursor was, to the disk.
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
        Ok(if busy == 0 { cursor } else { Cursor::BEGINNING })
    }

    /// Ends the file cleanly: everything in one file, and its checksum beside it. What fails here costs a check at the next opening.
    pub(super) fn close(&self, connection: Connection) {
        let written_back = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let closed = connection.close().is_ok();
        if let (Some(folder), true, Ok(0)) = (&self.folder, closed, written_back) {
            let _ = self.leave_checksum(folder);
        }
    }

    fn leave_checksum(&self, folder: &ViewFolder) -> io::Result<()> {
        let sum = checksum(&*folder.disk.open(&self.name)?)?;
        let name = format!("{}{SUM}", self.name);
        let file = folder.disk.create(&name)?;
        file.write_at(sum.as_bytes(), 0)?;
        file.sync()?;
        folder.disk.sync_directory()
    }
}

/// How a file is written.
pub(super) fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", VIEW_LOG_BYTES_MAX)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Sixty-four mebibytes of pages: upserts over many keys go back to the same ones.
    connection.pragma_update(None, "cache_size", -65_536)
}

fn checksum(file: &dyn journal::seams::DiskFile) -> io::Result<String> {
    let len = file.len()?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < len {
        let bytes = usize::try_from(len - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.read_at(&mut chunk[..bytes], at)?;
        digest.update(&chunk[..bytes]);
        at += bytes as u64;
    }
    Ok(format!("{:08x} {len}", digest.finalize()))
}

fn check_whole(connection: &Connection) -> Result<(), Fault> {
    let word: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if word == "ok" { Ok(()) } else { Err(Fault::Damaged(word)) }
}

/// What a file says of itself; `None` when it has no tables yet.
fn opened(connection: &Connection) -> rusqlite::Result<Option<Opened>> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let read = "SELECT cursor, complete FROM _headwater";
    let found = connection.query_row(read, [], |row| Ok((row.get::<_, Option<String>>(0)?, row.get(1)?))).optional()?;
    let (cursor, complete) = found.ok_or(Error::QueryReturnedNoRows)?;
    let cursor = match cursor.map(|text| text.parse::<Cursor>()) {
        None => Cursor::BEGINNING,
        Some(Ok(cursor)) => cursor,
        Some(Err(error)) => return Err(Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())),
    };
    Ok(Some(Opened { cursor, complete, erased: erased_before(connection)? }))
}

/// Makes the tables, all of them or none.
fn begin(connection: &Connection, plan: &Plan, erased: Position) -> Result<Opened, Fault> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for create in plan.view.tables() {
        connection.execute_batch(create)?;
    }
    connection.execute_batch(
        "CREATE TABLE _headwater (cursor TEXT, complete INTEGER NOT NULL); INSERT INTO _headwater VALUES (NULL, 0);
         CREATE TABLE _headwater_erased (upto INTEGER NOT NULL)",
    )?;
    connection.execute("INSERT INTO _headwater_erased VALUES (?1)", [i64::try_from(erased).unwrap_or(i64::MAX)])?;
    connection.execute_batch("COMMIT")?;
    Ok(Opened { cursor: Cursor::BEGINNING, complete: false, erased })
}

/// Files of earlier versions do not say it: nobody was erased before them.
fn erased_before(connection: &Connection) -> rusqlite::Result<Position> {
    let known: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = '_headwater_erased'", [], |row| row.get(0))?;
    if known == 0 {
        return Ok(0);
    }
    connection.query_row("SELECT upto FROM _headwater_erased", [], |row| row.get::<_, i64>(0)).map(|upto| upto.unsigned_abs())
}

/// Whether SQLite says that a file is damaged.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
