//! A query's answer: rows as JSON, in the shape of the row's type, and the place that they have seen.

use std::ops::Range;
use std::time::Duration;

use component::Decimal;
use journal::Cursor;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, ErrorCode, Row};
use serde_json::value::RawValue;

use super::fault::{Fault, of_machine};
use super::payload::{self, Bound};
use super::plan::{Column, QueryPlan};
use super::request::QueryError;
use super::shape::Shape;
use super::write::message;
use crate::limits::QUERY_BYTES_MAX;

/// Rows of a query, in its order. Each is one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    json: Vec<u8>,
    ends: Vec<usize>,
    keys: Vec<u8>,
    key_ends: Vec<usize>,
}

impl Rows {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them: JSON.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.json[range(&self.ends, index)]
    }

    /// What tells a row from all others: the columns of its table's primary key as a JSON object, or the whole row.
    #[must_use]
    pub fn key(&self, index: usize) -> &[u8] {
        if self.key_ends.is_empty() { self.get(index) } else { &self.keys[range(&self.key_ends, index)] }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    #[cfg(test)]
    pub(super) fn push_for_tests(&mut self, row: &str, key: &str) {
        self.json.extend_from_slice(row.as_bytes());
        self.ends.push(self.json.len());
        self.keys.extend_from_slice(key.as_bytes());
        self.key_ends.push(self.keys.len());
    }

    fn push(&mut self, plan: &QueryPlan, row: &Row<'_>) -> Result<(), String> {
        self.push_cells(plan, |out, column, at| cell(out, column, raw(row, at)?))
    }

    /// Adds a row whose cells somebody else writes, by the column and its place.
    pub(super) fn push_cells(
        &mut self,
        plan: &QueryPlan,
        write: impl Fn(&mut Vec<u8>, &Column, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        if plan.bare {
            write(&mut self.json, &plan.columns[0], 0)?;
        } else {
            object(&mut self.json, plan, 0..plan.columns.len(), &write)?;
        }
        self.ends.push(self.json.len());
        if let Some(key) = &plan.key {
            object(&mut self.keys, plan, key.iter().copied(), &write)?;
            self.key_ends.push(self.keys.len());
        }
        Ok(())
    }
}

fn range(ends: &[usize], index: usize) -> Range<usize> {
    (if index == 0 { 0 } else { ends[index - 1] })..ends[index]
}

fn raw<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>, String> {
    row.get_ref(column).map_err(|error| error.to_string())
}

fn object(
    out: &mut Vec<u8>,
    plan: &QueryPlan,
    columns: impl Iterator<Item = usize>,
    write: impl Fn(&mut Vec<u8>, &Column, usize) -> Result<(), String>,
) -> Result<(), String> {
    out.push(b'{');
    for (nth, at) in columns.enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        let column = &plan.columns[at];
        string(out, &column.name);
        out.push(b':');
        write(out, column, at)?;
    }
    out.push(b'}');
    Ok(())
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every write, and a text is JSON");
}

fn cell(out: &mut Vec<u8>, column: &Column, value: ValueRef<'_>) -> Result<(), String> {
    let refused = |what: &str| Err(format!("column `{}`: {what}", column.name));
    match (column.kind.shape, value) {
        (_, ValueRef::Null) if column.kind.nullable => out.extend_from_slice(b"null"),
        (_, ValueRef::Null) => return refused("NULL in a field that is not optional; make it an Option, or use coalesce"),
        (_, ValueRef::Blob(_)) => return refused("a blob has no form in JSON"),
        (Shape::Boolean, ValueRef::Integer(number)) => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
        (Shape::Decimal, ValueRef::Integer(number)) => string(out, &number.to_string()),
        (Shape::Decimal, ValueRef::Text(text)) => match std::str::from_utf8(text).ok().and_then(|text| text.parse::<Decimal>().ok()) {
            Some(decimal) => string(out, &decimal.to_string()),
            None => return refused("a text that is no decimal"),
        },
        (Shape::Decimal, ValueRef::Real(_)) => {
            return refused("a REAL, which is not exact; keep decimals as TEXT and sum them with decimal_sum");
        }
        (Shape::Integer | Shape::Number | Shape::Any, ValueRef::Integer(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        (Shape::Number | Shape::Any, ValueRef::Real(number)) if number.is_finite() => {
            serde_json::to_writer(out, &number).expect("a finite number is JSON");
        }
        (Shape::Text, ValueRef::Text(text)) => string(out, utf8(text, column)?),
        (Shape::Nested | Shape::Any, ValueRef::Text(text)) => nested(out, utf8(text, column)?),
        (shape, value) => return refused(&format!("{} where the row has {}", value.data_type(), word(shape))),
    }
    Ok(())
}

fn utf8<'a>(text: &'a [u8], column: &Column) -> Result<&'a str, String> {
    std::str::from_utf8(text).map_err(|_| format!("column `{}`: a text that is not UTF-8", column.name))
}

/// JSON text as it is, on one line; a text that is no object and no array is a name or just a text.
pub(super) fn nested(out: &mut Vec<u8>, text: &str) {
    if text.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_ok() {
        out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    } else {
        string(out, text);
    }
}

pub(super) fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Integer => "an integer",
        Shape::Number => "a number",
        Shape::Text => "a text",
        Shape::Decimal => "a decimal",
        Shape::Boolean => "a boolean",
        Shape::Nested => "an object, an array or an enum",
        Shape::Any => "any JSON",
    }
}

/// The bounds of one run.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    pub(super) rows: usize,
}

/// Runs a query in a transaction of its own: the rows and the place that they have seen.
pub(super) fn run(connection: &Connection, plan: &QueryPlan, input: &[u8], bounds: Bounds) -> Result<(Rows, Option<Cursor>), RunError> {
    let began = connection.execute_batch("BEGIN");
    began.map_err(|error| RunError::of(&error, plan, bounds))?;
    let answered = in_transaction(connection, plan, input, bounds);
    // A read leaves nothing behind, whichever way it ends.
    let _ = connection.execute_batch("ROLLBACK");
    answered
}

fn in_transaction(connection: &Connection, plan: &QueryPlan, input: &[u8], bounds: Bounds) -> Result<(Rows, Option<Cursor>), RunError> {
    let sqlite = |error: rusqlite::Error| RunError::of(&error, plan, bounds);
    let mut statement = connection.prepare_cached("SELECT cursor FROM _headwater").map_err(sqlite)?;
    let cursor: Option<String> = statement.query_row([], |row| row.get(0)).map_err(sqlite)?;
    drop(statement);
    let mut statement = connection.prepare_cached(&plan.sql).map_err(sqlite)?;
    bind(&mut statement, plan, input)?;
    let mut found = statement.raw_query();
    let mut rows = Rows::default();
    while let Some(row) = found.next().map_err(sqlite)? {
        if rows.len() == bounds.rows || rows.json.len() > QUERY_BYTES_MAX {
            return Err(RunError::Query(QueryError::TooManyRows { query: plan.name, rows: bounds.rows, bytes: QUERY_BYTES_MAX }));
        }
        rows.push(plan, row).map_err(|message| RunError::Query(QueryError::Broken { query: plan.name, message }))?;
    }
    // The text was written by this program.
    Ok((rows, cursor.and_then(|text| text.parse().ok())))
}

fn bind(statement: &mut CachedStatement<'_>, plan: &QueryPlan, input: &[u8]) -> Result<(), RunError> {
    if plan.parameters.is_empty() {
        return Ok(());
    }
    let broken = |message: String| RunError::Query(QueryError::Broken { query: plan.name, message });
    let mut values = vec![Bound::Null; plan.parameters.len()];
    payload::read(input, &plan.parameters, |at, bound| values[at] = bound).map_err(broken)?;
    for (index, value) in (1..).zip(&values) {
        statement.raw_bind_parameter(index, value).map_err(|error| broken(error.to_string()))?;
    }
    Ok(())
}

/// Why a run has no rows.
pub(super) enum RunError {
    Query(QueryError),
    /// The file is damaged: it will be made again.
    Damaged(String),
}

impl RunError {
    fn of(error: &rusqlite::Error, plan: &QueryPlan, bounds: Bounds) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return Self::Query(QueryError::TooSlow { query: plan.name, limit: bounds.time });
        }
        match of_machine(error) {
            Some(Fault::Damaged(cause)) => Self::Damaged(cause),
            _ => Self::Query(QueryError::Broken { query: plan.name, message: message(error) }),
        }
    }
}
