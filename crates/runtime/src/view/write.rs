//! Events into rows: one batch is one transaction, with the cursor in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use component::hosted::{EncodedEvent, StoredEvent, ViewCode, ViewFill};
use component::{Change, SqlValue, Tables, ViewEvent};
use journal::{ContentType, Cursor, Lineage, Recorded};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Statement, ToSql, params_from_iter};

use super::fault::{Fault, ViewStop, of_machine};
use super::payload::{self, Bound};
use super::plan::{EventPlan, Known, Plan, Source, Step};
use super::text::rfc3339;

/// Events on their way into a view, and the place behind them.
pub(super) struct Batch {
    pub(super) events: Vec<Arc<Recorded>>,
    pub(super) cursor: Cursor,
}

/// Writes into one connection; statements stay prepared.
pub(super) struct Writer<'c> {
    plan: &'c Plan,
    lineage: &'c Lineage,
    connection: &'c Connection,
    /// By the place of their fill; `None` for code.
    statements: Vec<Option<Statement<'c>>>,
    place: Statement<'c>,
    /// The last event's plan: most events are of the type of the one before.
    last: Option<(&'c str, &'c str, &'c EventPlan)>,
    /// By the place of the table: whether the batch may have changed it.
    touched: Vec<bool>,
}

/// A batch that was not taken in whole: so many events were.
struct Halted {
    at: usize,
    fault: Fault,
}

impl<'c> Writer<'c> {
    pub(super) fn new(plan: &'c Plan, lineage: &'c Lineage, connection: &'c Connection) -> Result<Self, Fault> {
        let prepare = |fill: &ViewFill| match fill {
            ViewFill::Sql(statement) => connection.prepare(&statement.sql).map(Some),
            ViewFill::Code { .. } => Ok(None),
        };
        let statements = plan.view.fills().iter().map(prepare).collect::<Result<_, _>>()?;
        let place = connection.prepare("UPDATE _headwater SET cursor = ?1, complete = max(complete, ?2)")?;
        Ok(Self { plan, lineage, connection, statements, place, last: None, touched: vec![false; plan.tables.len()] })
    }

    /// The places of the tables that were changed since the last time.
    pub(super) fn take_touched(&mut self) -> Vec<usize> {
        let touched = (0..self.touched.len()).filter(|table| self.touched[*table]).collect();
        self.touched.fill(false);
        touched
    }

    fn plan_of(&mut self, kind: &str, name: &str) -> Option<&'c EventPlan> {
        if let Some((last_kind, last_name, plan)) = self.last
            && last_name == name
            && last_kind == kind
        {
            return Some(plan);
        }
        let (kind, names) = self.plan.events.get_key_value(kind)?;
        let (name, plan) = names.get_key_value(name)?;
        plan.touches.iter().for_each(|table| self.touched[*table] = true);
        self.last = Some((kind, name, plan));
        Some(plan)
    }

    /// Takes a batch in, whole, with its place. At an event that cannot be taken in, those before it are kept, and the fault names it.
    pub(super) fn apply(&mut self, batch: &Batch, complete: bool) -> Result<(), Fault> {
        let Err(halted) = self.transaction(&batch.events, batch.cursor, complete) else { return Ok(()) };
        if matches!(halted.fault, Fault::Event(_)) && halted.at > 0 {
            let before = &batch.events[..halted.at];
            let cursor = self.lineage.cursor(before[halted.at - 1].position);
            self.transaction(before, cursor, false).map_err(|again| again.fault)?;
        }
        Err(halted.fault)
    }

    fn transaction(&mut self, events: &[Arc<Recorded>], cursor: Cursor, complete: bool) -> Result<(), Halted> {
        let written = self.run_all(events, cursor, complete);
        if written.is_err() {
            // It fails where SQLite has rolled back by itself.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written
    }

    fn run_all(&mut self, events: &[Arc<Recorded>], cursor: Cursor, complete: bool) -> Result<(), Halted> {
        self.last = None;
        let halt = |at: usize| move |error: rusqlite::Error| Halted { at, fault: error.into() };
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(halt(0))?;
        for (at, event) in events.iter().enumerate() {
            self.event(event).map_err(|fault| Halted { at, fault })?;
        }
        self.place.execute((cursor.to_string(), complete)).map_err(halt(events.len()))?;
        self.connection.execute_batch("COMMIT").map_err(halt(events.len()))
    }

    fn event(&mut self, recorded: &Recorded) -> Result<(), Fault> {
        let Some(event) = self.plan_of(recorded.entity.kind(), &recorded.name) else { return Ok(()) };
        if recorded.content != ContentType::Json {
            return Err(stop(recorded, "reading it", "its payload is not JSON".to_owned()));
        }
        if recorded.version == event.version {
            return self.steps(event, &Facts { recorded, name: &recorded.name, version: event.version, payload: &recorded.payload });
        }
        let stored = StoredEvent { name: &recorded.name, version: recorded.version, payload: &recorded.payload };
        let EncodedEvent { name, version, payload, .. } =
            event.entity.raised(stored).map_err(|error| stop(recorded, "reading it", error.message))?;
        match self.plan_of(recorded.entity.kind(), name) {
            Some(raised) => self.steps(raised, &Facts { recorded, name, version, payload: &payload }),
            None => Ok(()),
        }
    }

    fn steps(&mut self, event: &EventPlan, facts: &Facts<'_>) -> Result<(), Fault> {
        let Facts { recorded, payload, .. } = *facts;
        let mut fields = Vec::new();
        if !event.fields.is_empty() {
            payload::read(payload, &event.fields, &mut fields).map_err(|problem| stop(recorded, "reading it", problem))?;
        }
        for step in &event.steps {
            let done = match &mut self.statements[step.fill] {
                Some(statement) => execute(statement, step, &fields, facts),
                None => self.code(step, facts),
            };
            done.map_err(|failed| failed.into_fault(recorded, || self.plan.fill_name(step.fill)))?;
        }
        Ok(())
    }

    fn code(&self, step: &Step, facts: &Facts<'_>) -> Result<(), Failed> {
        let ViewFill::Code { run, .. } = &self.plan.view.fills()[step.fill] else { return Ok(()) };
        let mut change = Rows { connection: self.connection, machine: None };
        let ran = run_code(run, facts, &mut change);
        match (change.machine, ran) {
            (Some(fault), _) => Err(Failed::Machine(fault)),
            (None, ran) => ran.map_err(Failed::Event),
        }
    }
}

fn run_code(run: &ViewCode, facts: &Facts<'_>, change: &mut Rows<'_>) -> Result<(), String> {
    let recorded = facts.recorded;
    let stored = StoredEvent { name: facts.name, version: facts.version, payload: facts.payload };
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

impl Failed {
    fn into_fault(self, recorded: &Recorded, statement: impl FnOnce() -> String) -> Fault {
        match self {
            Self::Event(cause) => stop(recorded, &statement(), cause),
            Self::Machine(fault) => fault,
        }
    }
}

/// SQLite's own words.
pub(super) fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

fn stop(recorded: &Recorded, statement: &str, cause: String) -> Fault {
    Fault::Event(Box::new(ViewStop {
        event_id: recorded.id.to_string(),
        event: format!("{}/{}", recorded.entity.kind(), recorded.name),
        entity_id: recorded.entity.id().to_owned(),
        sequence: recorded.sequence,
        statement: statement.to_owned(),
        cause,
    }))
}

fn execute(statement: &mut Statement<'_>, step: &Step, fields: &[Bound<'_>], facts: &Facts<'_>) -> Result<(), Failed> {
    for (index, source) in (1..).zip(&step.sources) {
        match source {
            Source::Field(at) => statement.raw_bind_parameter(index, &fields[*at])?,
            Source::Known(known) => statement.raw_bind_parameter(index, facts.value(*known)?)?,
        }
    }
    statement.raw_execute()?;
    Ok(())
}

/// What is known of an event beside its fields; name, version and payload are those of its present shape.
struct Facts<'a> {
    recorded: &'a Recorded,
    name: &'a str,
    version: u16,
    payload: &'a [u8],
}

impl<'a> Facts<'a> {
    fn value(&self, known: Known) -> Result<Bound<'a>, Failed> {
        let Recorded { entity, context, .. } = self.recorded;
        let text = |text: &'a str| Bound::Text(text.into());
        let optional = |text: &'a Option<Arc<str>>| text.as_deref().map_or(Bound::Null, |text| Bound::Text(text.into()));
        Ok(match known {
            Known::Id => text(entity.id()),
            Known::Type => text(entity.kind()),
            Known::Tenant => text(entity.tenant()),
            Known::Sequence => Bound::Integer(i64::try_from(self.recorded.sequence).unwrap_or(i64::MAX)),
            Known::Event => text(self.name),
            Known::EventId => Bound::Text(self.recorded.id.to_string().into()),
            Known::Time => Bound::Text(rfc3339(self.recorded.time).into()),
            Known::TimeMicros => Bound::Integer(self.recorded.time.as_micros()),
            Known::Correlation => optional(&context.correlation_id),
            Known::Principal => optional(&context.principal),
            Known::Data => {
                let payload =
                    std::str::from_utf8(self.payload).map_err(|error| Failed::Event(format!("its payload is not UTF-8: {error}")))?;
                text(payload)
            }
        })
    }
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
        let ran = self.prepared(statement).and_then(|mut statement| statement.execute(params_from_iter(values.iter().map(Given))));
        ran.map(drop).map_err(|error| self.told(&error))
    }

    fn first(&mut self, statement: &str, values: &[SqlValue]) -> Result<Option<Vec<SqlValue>>, String> {
        let found = self
            .prepared(statement)
            .and_then(|mut statement| statement.query_row(params_from_iter(values.iter().map(Given)), taken).optional());
        found.map_err(|error| self.told(&error))
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
