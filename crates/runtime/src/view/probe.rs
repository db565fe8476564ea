//! The raw probe of the benchmark of views: prepared upserts of rows that are in memory, into a file with the settings of a view's.
//!
//! What it is not: a way to fill a view. It is here since SQLite is named in this room only.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::store;

/// A value of a row.
#[derive(Clone, Copy, Debug)]
pub enum ProbeValue<'a> {
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
}

/// Makes a file with a table and upserts rows into it, so many in a transaction. Returns when the file is closed.
///
/// # Errors
/// What SQLite says.
pub fn upserts<'a, const COLUMNS: usize>(
    file: &Path,
    (table, upsert): (&str, &str),
    rows: impl Iterator<Item = [ProbeValue<'a>; COLUMNS]>,
    batch: usize,
) -> Result<(), String> {
    written(file, (table, upsert), rows, batch).map_err(|error| error.to_string())
}

fn written<'a, const COLUMNS: usize>(
    file: &Path,
    (table, upsert): (&str, &str),
    mut rows: impl Iterator<Item = [ProbeValue<'a>; COLUMNS]>,
    batch: usize,
) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    store::tune(&connection)?;
    connection.execute_batch(table)?;
    let mut statement = connection.prepare(upsert)?;
    loop {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut written = 0;
        for row in rows.by_ref().take(batch) {
            for (index, value) in (1..).zip(row) {
                statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(reference(value)))?;
            }
            statement.raw_execute()?;
            written += 1;
        }
        connection.execute_batch("COMMIT")?;
        if written < batch {
            return Ok(());
        }
    }
}

fn reference(value: ProbeValue<'_>) -> ValueRef<'_> {
    match value {
        ProbeValue::Integer(number) => ValueRef::Integer(number),
        ProbeValue::Text(text) => ValueRef::Text(text.as_bytes()),
    }
}
