//! A view in a test: events in, rows out, in memory and at once. Behind `given_view`.

use std::sync::Arc;

use component::hosted::{EncodedEvent, EntityHandle, ViewHandle};
use journal::{CommandId, CommitId, ContentType, Context, EntityKey, EventFlags, EventId, Lineage, LineageId, Recorded, Timestamp};
use rusqlite::Connection;

use super::batch::{Batch, Reading};
use super::check::{Strangers, check};
use super::is_shared_view;
use super::plan::{Plan, QueryPlan};
use super::rows::{self, Bounds, Rows, RunError};
use super::stand_in::stand_in;
use super::store::Store;
use super::write::{BatchWriter as _, Writer};
use crate::limits::Limits;

/// A view that is filled by hand.
pub struct Trial {
    plan: Plan,
    connection: Connection,
    lineage: Lineage,
    position: u64,
}

/// An event of a test.
#[derive(Clone, Copy, Debug)]
pub struct TrialEvent<'a> {
    /// The entity's type.
    pub kind: &'a str,
    /// The entity's id.
    pub id: &'a str,
    /// The event's number within its entity.
    pub sequence: u64,
    /// When it happened: microseconds since 1970.
    pub time_micros: i64,
    /// What happened.
    pub event: &'a EncodedEvent,
}

impl Trial {
    /// A view without rows. Statements for entity types that are not named are passed over. SQLite stands in for the server of a shared one.
    ///
    /// # Errors
    /// What a service would say at its start; of a shared view also what SQLite does not take for the same.
    pub fn new(view: &ViewHandle, entities: &[EntityHandle]) -> Result<Self, String> {
        let plan = if is_shared_view(view) {
            stand_in(view, entities, Strangers::PassedOver)?.1
        } else {
            check(view, entities, Strangers::PassedOver)?
        };
        let (connection, _) = Store::new(None, &plan, 1).writer(&plan, 0).map_err(|fault| fault.cause())?;
        Ok(Self { plan, connection, lineage: lineage(), position: 0 })
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// Why the view would stop.
    pub fn record(&mut self, event: TrialEvent<'_>) -> Result<(), String> {
        self.position += 1;
        let batch = batch(&self.plan, &self.lineage, (self.position, event))?;
        let written = Writer::new(&self.plan, &self.lineage, &self.connection).and_then(|mut writer| writer.apply(&batch, true));
        written.map_err(|fault| fault.cause())
    }

    /// Asks a query.
    ///
    /// # Errors
    /// What a client would be told.
    pub fn query(&self, name: &str, input: &[u8]) -> Result<Rows, String> {
        let (query, input) = query(&self.plan, name, input)?;
        rows::run(&self.connection, query, &input, bounds()).map(|(rows, _)| rows).map_err(|error| match error {
            RunError::Query(error) => error.to_string(),
            RunError::Damaged(cause) => cause,
        })
    }
}

/// The history that events of a test are in.
pub(super) fn lineage() -> Lineage {
    Lineage { id: LineageId([1; 16]), parents: Vec::new(), family_key: [0; 32] }
}

/// An event of a test at a position, as it was recorded.
pub(super) fn batch(plan: &Plan, lineage: &Lineage, (position, event): (u64, TrialEvent<'_>)) -> Result<Batch, String> {
    let recorded = Recorded {
        position,
        id: EventId { commit: CommitId::from_parts(Timestamp::from_micros(event.time_micros), [0; 10]), index: 0 },
        entity: EntityKey::new(event.kind, event.id).map_err(|error| error.to_string())?,
        sequence: event.sequence,
        time: Timestamp::from_micros(event.time_micros),
        command: CommandId::from_raw(b"a test"),
        command_name: Arc::from("a-test"),
        context: Arc::new(Context::default()),
        name: Arc::from(event.event.name),
        version: event.event.version,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: event.event.payload.clone().into(),
    };
    let mut batch = Batch::at(lineage.cursor(position));
    batch.take(&mut Reading::new(plan), &Arc::new(recorded));
    Ok(batch)
}

/// A query by its name, and its parameters in one spelling.
pub(super) fn query<'p>(plan: &'p Plan, name: &str, input: &[u8]) -> Result<(&'p QueryPlan, Vec<u8>), String> {
    let unknown = || format!("there is no query `{name}`; there are: {}", plan.query_names().join(", "));
    let query = &plan.queries[plan.query(name).ok_or_else(unknown)?];
    let input = (query.read)(input).map_err(|refusal| super::QueryError::Refused(refusal).to_string())?;
    Ok((query, input))
}

pub(super) fn bounds() -> Bounds {
    let limits = Limits::default();
    Bounds { time: limits.query_time_max, rows: limits.query_rows_max }
}
