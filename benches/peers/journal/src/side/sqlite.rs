//! SQLite as an event store: one table with a unique index over entity and sequence, write-ahead log, `synchronous = FULL`, one
//! transaction a commit.
//!
//! All writers share one connection behind a lock: SQLite has one writer at a time, and waiting for the lock is quicker than being told
//! that it is busy.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::Store;
use crate::Outcome;
use crate::case::PAYLOAD;
use crate::load::{self, Acknowledged, Load};

const SCHEMA: &str = "CREATE TABLE event (
    position INTEGER PRIMARY KEY, entity TEXT NOT NULL, sequence INTEGER NOT NULL, name TEXT NOT NULL, payload BLOB NOT NULL,
    UNIQUE (entity, sequence))";
const INSERT: &str = "INSERT INTO event (entity, sequence, name, payload) VALUES (?1, ?2, 'measured', ?3)";

pub(super) fn open(directory: &Path) -> Outcome<Box<dyn Store>> {
    std::fs::create_dir_all(directory)?;
    let connection = Connection::open(directory.join("events.sqlite"))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("SQLite keeps its journal mode {mode} and does not take WAL").into());
    }
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(Box::new(Sqlite { connection: Mutex::new(connection) }))
}

struct Sqlite {
    connection: Mutex<Connection>,
}

impl Store for Sqlite {
    fn load(&mut self, load: Load) -> Outcome<Acknowledged> {
        load::on_threads(load, |writer| {
            let (connection, entity) = (&self.connection, load.writer(writer));
            Ok(move |number| {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                append(&mut connection, &entity, number, load.case.events)
            })
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let connection = self.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.close().map_err(|(_, error)| error.into())
    }
}

fn append(connection: &mut Connection, entity: &str, number: u64, events: usize) -> Outcome<()> {
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare_cached(INSERT)?;
    for index in 0..events {
        let sequence = number * events as u64 + index as u64;
        insert.execute(params![entity, i64::try_from(sequence)?, &PAYLOAD[..]])?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}
