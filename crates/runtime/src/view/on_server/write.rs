//! Events into the rows of a shared view: one batch is one transaction, with the place in it. Statements go to the server in one row, without
//! waiting for each; code waits for each of its own.

use std::sync::Arc;

use component::hosted::ViewFill;
use component::{Change, SqlValue};
use journal::seams::{Spawner, wait_for};
use journal::{Cursor, Lineage};

use super::super::batch::{Batch, Entry, Whole};
use super::super::fault::Fault;
use super::super::plan::Plan;
use super::super::server::{BuildChange, BuildSight, BuildStatement, BuildWriter, ServerError, Taken};
use super::super::write::{BatchWriter, Halted, run_code};
use super::Shared;
use super::ask::owned;
use super::check::fills;
use crate::limits::VIEW_STATEMENTS_AT_ONCE_MAX;

/// Writes into one build, on a thread that may wait.
pub(in super::super) struct SharedWriter<'a> {
    plan: &'a Plan,
    lineage: &'a Lineage,
    shared: &'a Shared,
    threads: &'a dyn Spawner,
    writer: Box<dyn BuildWriter>,
    /// What goes to the server at once.
    waiting: Waiting,
    has_touched: bool,
}

/// Statements, and of which event and fill each is.
#[derive(Default)]
struct Waiting {
    changes: Vec<BuildChange>,
    origins: Vec<(usize, usize)>,
}

impl<'a> SharedWriter<'a> {
    /// Takes the build that `shared` has opened; gives how it is then.
    pub(in super::super) fn take(
        shared: &'a Shared,
        plan: &'a Plan,
        lineage: &'a Lineage,
        threads: &'a Arc<dyn Spawner>,
    ) -> Result<(Self, BuildSight), Fault> {
        let name = shared.name().ok_or(Fault::Gone)?;
        let Taken { writer, sight } = wait_for(&**threads, shared.server.take(&name, &fills(&plan.view)))?;
        shared.keep_place(sight.cursor);
        let waiting = Waiting::default();
        Ok((Self { plan, lineage, shared, threads: &**threads, writer, waiting, has_touched: false }, sight))
    }

    fn run_all(&mut self, batch: &Batch, count: usize, cursor: Cursor, complete: bool) -> Result<(), Halted> {
        let halt = |error: ServerError| Halted { at: 0, fault: error.into() };
        wait_for(self.threads, self.writer.begin()).map_err(halt)?;
        self.waiting = Waiting::default();
        for (at, entry) in batch.entries[..count].iter().enumerate() {
            self.event(batch, at, entry)?;
        }
        self.send(batch)?;
        wait_for(self.threads, self.writer.commit(cursor, complete)).map_err(halt)
    }

    fn event(&mut self, batch: &Batch, at: usize, entry: &Entry) -> Result<(), Halted> {
        let event = &self.plan.events[entry.event];
        for step in &event.steps {
            if let (ViewFill::Code { .. }, Some(whole)) = (&self.plan.view.fills()[step.fill], &entry.whole) {
                self.send(batch)?;
                self.code(step.fill, whole).map_err(|failed| self.halted(batch, (at, step.fill), failed))?;
                continue;
            }
            let values = step.sources.iter().map(|source| owned(batch.value(entry, event.value(*source)))).collect();
            self.waiting.changes.push(BuildChange { statement: BuildStatement::Fill(step.fill), values });
            self.waiting.origins.push((at, step.fill));
            if self.waiting.changes.len() >= VIEW_STATEMENTS_AT_ONCE_MAX {
                self.send(batch)?;
            }
        }
        Ok(())
    }

    /// Sends what waits.
    fn send(&mut self, batch: &Batch) -> Result<(), Halted> {
        let Waiting { changes, origins } = std::mem::take(&mut self.waiting);
        if changes.is_empty() {
            return Ok(());
        }
        wait_for(self.threads, self.writer.run(&changes)).map_err(|(at, error)| self.halted(batch, origins[at], error))
    }

    fn code(&mut self, fill: usize, whole: &Whole) -> Result<(), ServerError> {
        let ViewFill::Code { run, .. } = &self.plan.view.fills()[fill] else { return Ok(()) };
        let mut change = Tables { threads: self.threads, writer: &mut *self.writer, failed: None };
        let ran = run_code(run, whole, &mut change);
        match (change.failed, ran) {
            (Some(error), _) => Err(error),
            (None, ran) => ran.map_err(|cause| ServerError::Refused { cause }),
        }
    }

    /// What the server refused is the event's doing; everything else is the machine's.
    fn halted(&self, batch: &Batch, (at, fill): (usize, usize), error: ServerError) -> Halted {
        let entry = &batch.entries[at];
        let fault = match error {
            ServerError::Refused { cause } => {
                Fault::Event(Box::new(batch.stop_at(entry, &self.plan.events[entry.event], self.plan.fill_name(fill), cause)))
            }
            other => other.into(),
        };
        Halted { at, fault }
    }
}

impl BatchWriter for SharedWriter<'_> {
    fn transaction(&mut self, batch: &Batch, count: usize, cursor: Cursor, complete: bool) -> Result<(), Halted> {
        let written = self.run_all(batch, count, cursor, complete);
        match &written {
            Ok(()) => {
                self.shared.keep_place(cursor);
                self.has_touched |= count > 0;
            }
            Err(_) => wait_for(self.threads, self.writer.undo()),
        }
        written
    }

    fn lineage(&self) -> &Lineage {
        self.lineage
    }

    fn take_touched(&mut self) -> Vec<usize> {
        if std::mem::take(&mut self.has_touched) { vec![0] } else { Vec::new() }
    }

    fn kept(&self) -> Option<Cursor> {
        Some(self.shared.kept())
    }
}

/// The tables as code changes them.
struct Tables<'a> {
    threads: &'a dyn Spawner,
    writer: &'a mut dyn BuildWriter,
    failed: Option<ServerError>,
}

impl Tables<'_> {
    fn told(&mut self, error: ServerError) -> String {
        let words = error.to_string();
        self.failed.get_or_insert(error);
        words
    }
}

impl Change for Tables<'_> {
    fn run(&mut self, statement: &str, values: &[SqlValue]) -> Result<(), String> {
        let change = BuildChange { statement: BuildStatement::Code(statement.to_owned()), values: values.to_vec() };
        let ran = wait_for(self.threads, self.writer.run(std::slice::from_ref(&change)));
        ran.map_err(|(_, error)| self.told(error))
    }

    fn first(&mut self, statement: &str, values: &[SqlValue]) -> Result<Option<Vec<SqlValue>>, String> {
        let found = wait_for(self.threads, self.writer.first(statement, values));
        found.map_err(|error| self.told(error))
    }
}
