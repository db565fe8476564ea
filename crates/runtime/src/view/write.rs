//! Events into rows: one batch is one transaction, with the cursor in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use component::hosted::{ViewCode, ViewFill};
use component::{Change, SqlValue, Tables, ViewEvent};
use journal::{Cursor, Lineage};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Statement, ToSql, params_from_iter};

use super::batch::{Batch, Entry, Whole};
use super::fault::{Fault, of_machine};
use super::plan::{EventPlan, Plan, Step};
use super::text::rfc3339;

/// Writes into one connection; statements stay prepared.
pub(super) struct Writer<'c> {
    plan: &'c Plan,
    lineage: &'c Lineage,
    connection: &'c Connection,
    /// By the place of their fill; `None` for code.
    statements: Vec<Option<Statement<'c>>>,
    place: Statement<'c>,
    /// By the place of the table: whether the batch may have changed it.
    touched: Vec<bool>,
}

/// A batch that was not taken in whole: so many events were.
pub(super) struct Halted {
    pub(super) at: usize,
    pub(super) fault: Fault,
}

/// Takes batches in.
pub(super) trait BatchWriter {
    /// The first events of a batch with a place, all or nothing.
    fn transaction(&mut self, batch: &Batch, count: usize, cursor: Cursor, complete: bool) -> Result<(), Halted>;

    /// Of the journal whose events they are.
    fn lineage(&self) -> &Lineage;

    /// The places of the tables that were changed since the last time.
    fn take_touched(&mut self) -> Vec<usize>;

    /// The place that was committed last, if it can be said.
    fn kept(&self) -> Option<Cursor>;

    /// Takes a batch in, whole, with its place. At an event that cannot be taken in, those before it are kept, and the fault names it.
    fn apply(&mut self, batch: &Batch, complete: bool) -> Result<(), Fault> {
        if !batch.entries.is_empty() || batch.stop.is_none() {
            self.entries(batch, complete)?;
        }
        batch.stop.as_ref().map_or(Ok(()), |stop| Err(Fault::Event(stop.clone())))
    }

    /// Its events, as far as they can be taken in.
    fn entries(&mut self, batch: &Batch, complete: bool) -> Result<(), Fault> {
        let Err(halted) = self.transaction(batch, batch.entries.len(), batch.cursor, complete) else { return Ok(()) };
        if matches!(halted.fault, Fault::Event(_)) && halted.at > 0 {
            let cursor = self.lineage().cursor(batch.entries[halted.at - 1].position);
            self.transaction(batch, halted.at, cursor, false).map_err(|again| again.fault)?;
        }
        Err(halted.fault)
    }
}

impl<'c> Writer<'c> {
    pub(super) fn new(plan: &'c Plan, lineage: &'c Lineage, connection: &'c Connection) -> Result<Self, Fault> {
        let prepare = |fill: &ViewFill| match fill {
            ViewFill::Sql(statement) => connection.prepare(&statement.sql).map(Some),
            ViewFill::Code { .. } => Ok(None),
        };
        let statements = plan.view.fills().iter().map(prepare).collect::<Result<_, _>>()?;
        let place = connection.prepare("UPDATE _headwater SET cursor = ?1, complete = max(complete, ?2)")?;
        Ok(Self { plan, lineage, connection, statements, place, touched: vec![false; plan.tables.len()] })
    }

    fn run_all(&mut self, batch: &Batch, count: usize, cursor: Cursor, complete: bool) -> Result<(), Halted> {
        let halt = |at: usize| move |error: rusqlite::Error| Halted { at, fault: error.into() };
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(halt(0))?;
        for (at, entry) in batch.entries[..count].iter().enumerate() {
            self.event(batch, entry).map_err(|fault| Halted { at, fault })?;
        }
        self.place.execute((cursor.to_string(), complete)).map_err(halt(count))?;
        self.connection.execute_batch("COMMIT").map_err(halt(count))
    }

    fn event(&mut self, batch: &Batch, entry: &Entry) -> Result<(), Fault> {
        let event = &self.plan.events[entry.event];
        event.touches.iter().for_each(|table| self.touched[*table] = true);
        for step in &event.steps {
            let done = match (&mut self.statements[step.fill], &entry.whole) {
                (Some(statement), _) => execute(statement, event, step, batch, entry),
                (None, Some(whole)) => self.code(step, whole),
                (None, None) => Ok(()),
            };
            done.map_err(|failed| match failed {
                Failed::Event(cause) => Fault::Event(Box::new(batch.stop_at(entry, event, self.plan.fill_name(step.fill), cause))),
                Failed::Machine(fault) => fault,
            })?;
        }
        Ok(())
    }

    fn code(&self, step: &Step, whole: &Whole) -> Result<(), Failed> {
        let ViewFill::Code { run, .. } = &self.plan.view.fills()[step.fill] else { return Ok(()) };
        let mut change = Rows { connection: self.connection, machine: None };
        let ran = run_code(run, whole, &mut change);
        match (change.machine, ran) {
            (Some(fault), _) => Err(Failed::Machine(fault)),
            (None, ran) => ran.map_err(Failed::Event),
        }
    }
}

impl BatchWriter for Writer<'_> {
    fn transaction(&mut self, batch: &Batch, count: usize, cursor: Cursor, complete: bool) -> Result<(), Halted> {
        let written = self.run_all(batch, count, cursor, complete);
        if written.is_err() {
            // It fails where SQLite has rolled back by itself.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written
    }

    fn lineage(&self) -> &Lineage {
        self.lineage
    }

    fn take_touched(&mut self) -> Vec<usize> {
        let touched = (0..self.touched.len()).filter(|table| self.touched[*table]).collect();
        self.touched.fill(false);
        touched
    }

    fn kept(&self) -> Option<Cursor> {
        let kept = self.connection.query_row("SELECT cursor FROM _headwater", [], |row| row.get::<_, Option<String>>(0));
        kept.ok().flatten().and_then(|text| text.parse().ok())
    }
}

/// Runs code on one event; what it changes is taken back by whoever runs it when it fails.
pub(super) fn run_code(run: &ViewCode, whole: &Whole, change: &mut dyn Change) -> Result<(), String> {
    let (recorded, stored) = (&whole.recorded, whole.stored());
    let (time, entity) = (rfc3339(recorded.time), &recorded.entity);
    let event = ViewEvent { event: &(), id: entity.id(), sequence: recorded.sequence, time: &time, tenant: entity.tenant() };
    let mut tables = Tables::new(change);
    // Unwind safe: what it wrote is rolled back, and the view stops at this event.
    match catch_unwind(AssertUnwindSafe(|| run(stored, &event, &mut tables))) {
        Ok(Ok(())) => tables.into_failure().map_or(Ok(()), Err),
        Ok(Err(unreadable)) => Err(unreadable),
        Err(_) => Err("the code panicked; its message is in the service's log".to_owned()),
    }
}

/// Why a step failed.
enum Failed {
    Event(String),
    Machine(Fault),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        of_machine(&error).map_or_else(|| Self::Event(message(&error)), Self::Machine)
    }
}

/// SQLite's own words.
pub(super) fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

fn execute(statement: &mut Statement<'_>, event: &EventPlan, step: &Step, batch: &Batch, entry: &Entry) -> Result<(), Failed> {
    for (index, source) in (1..).zip(&step.sources) {
        statement.raw_bind_parameter(index, batch.value(entry, event.value(*source)))?;
    }
    statement.raw_execute()?;
    Ok(())
}

/// The tables as code changes them.
struct Rows<'c> {
    connection: &'c Connection,
    machine: Option<Fault>,
}

impl Rows<'_> {
    fn told(&mut self, error: &rusqlite::Error) -> String {
        self.machine = of_machine(error);
        message(error)
    }

    fn prepared(&self, statement: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(statement)
    }
}

impl Change for Rows<'_> {
    fn run(&mut self, statement: &str, values: &[SqlValue]) -> Result<(), String> {
        let ran = self.prepared(statement).and_then(|mut statement| {
            let given = given(&statement, values);
            statement.execute(params_from_iter(given))
        });
        ran.map(drop).map_err(|error| self.told(&error))
    }

    fn first(&mut self, statement: &str, values: &[SqlValue]) -> Result<Option<Vec<SqlValue>>, String> {
        let found = self.prepared(statement).and_then(|mut statement| {
            let given = given(&statement, values);
            statement.query_row(params_from_iter(given), taken).optional()
        });
        found.map_err(|error| self.told(&error))
    }
}

/// Code's values in the order of the statement's parameters. PostgreSQL's `$2` is the second value wherever it stands, and to SQLite a name.
fn given<'v>(statement: &Statement<'_>, values: &'v [SqlValue]) -> Vec<Given<'v>> {
    let numbers = (1..=statement.parameter_count()).map(|index| statement.parameter_name(index)?.strip_prefix('$')?.parse::<usize>().ok());
    match numbers.collect::<Option<Vec<_>>>() {
        Some(numbers) => numbers.iter().filter_map(|number| values.get(number.checked_sub(1)?)).map(Given).collect(),
        None => values.iter().map(Given).collect(),
    }
}

/// A value of code's.
struct Given<'a>(&'a SqlValue);

impl ToSql for Given<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self.0 {
            SqlValue::Null => Ok(rusqlite::types::Null.into()),
            SqlValue::Integer(number) => number.to_sql(),
            SqlValue::Real(number) => number.to_sql(),
            SqlValue::Text(text) => text.to_sql(),
        }
    }
}

fn taken(row: &Row<'_>) -> rusqlite::Result<Vec<SqlValue>> {
    let columns = row.as_ref().column_count();
    (0..columns)
        .map(|column| {
            Ok(match row.get::<_, rusqlite::types::Value>(column)? {
                rusqlite::types::Value::Null => SqlValue::Null,
                rusqlite::types::Value::Integer(number) => SqlValue::Integer(number),
                rusqlite::types::Value::Real(number) => SqlValue::Real(number),
                rusqlite::types::Value::Text(text) => SqlValue::Text(text),
                rusqlite::types::Value::Blob(bytes) => SqlValue::Text(String::from_utf8_lossy(&bytes).into_owned()),
            })
        })
        .collect()
}
