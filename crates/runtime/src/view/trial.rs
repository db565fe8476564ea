//! A view in a test: events in, rows out, in memory and at once. Behind `given_view`.

use std::sync::Arc;

use component::hosted::{EncodedEvent, EntityHandle, ViewHandle, ViewStore};
use journal::{CommandId, CommitId, ContentType, Context, EntityKey, EventFlags, EventId, Lineage, LineageId, Recorded, Timestamp};
use rusqlite::Connection;

use super::batch::{Batch, Reading};
use super::check::{Strangers, check};
use super::plan::Plan;
use super::rows::{self, Bounds, Rows, RunError};
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
    /// A view without rows. Statements for entity types that are not named are passed over.
    ///
    /// # Errors
    /// What a service would say at its start.
    pub fn new(view: &ViewHandle, entities: &[EntityHandle]) -> Result<Self, String> {
        if view.store() == ViewStore::Postgres {
            return Err(
                "it lies in PostgreSQL, and there is no server here; test it with a service and a server in HEADWATER_VIEWS".to_owned()
            );
        }
        let plan = check(view, entities, Strangers::PassedOver)?;
        let (connection, _) = Store::new(None, &plan, 1).writer(&plan, 0).map_err(|fault| fault.cause())?;
        let lineage = Lineage { id: LineageId([1; 16]), parents: Vec::new(), family_key: [0; 32] };
        Ok(Self { plan, connection, lineage, position: 0 })
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// Why the view would stop.
    pub fn record(&mut self, event: TrialEvent<'_>) -> Result<(), String> {
        self.position += 1;
        let entity = EntityKey::new(event.kind, event.id).map_err(|error| error.to_string())?;
        let recorded = Recorded {
            position: self.position,
            id: EventId { commit: CommitId::from_parts(Timestamp::from_micros(event.time_micros), [0; 10]), index: 0 },
            entity,
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
        let mut batch = Batch::at(self.lineage.cursor(self.position));
        batch.take(&mut Reading::new(&self.plan), &Arc::new(recorded));
        let written = Writer::new(&self.plan, &self.lineage, &self.connection).and_then(|mut writer| writer.apply(&batch, true));
        written.map_err(|fault| fault.cause())
    }

    /// Asks a query.
    ///
    /// # Errors
    /// What a client would be told.
    pub fn query(&self, name: &str, input: &[u8]) -> Result<Rows, String> {
        let query = self
            .plan
            .query(name)
            .ok_or_else(|| format!("there is no query `{name}`; there are: {}", self.plan.query_names().join(", ")))?;
        let query = &self.plan.queries[query];
        let input = (query.read)(input).map_err(|refusal| super::QueryError::Refused(refusal).to_string())?;
        let limits = Limits::default();
        let bounds = Bounds { time: limits.query_time_max, rows: limits.query_rows_max };
        rows::run(&self.connection, query, &input, bounds).map(|(rows, _)| rows).map_err(|error| match error {
            RunError::Query(error) => error.to_string(),
            RunError::Damaged(cause) => cause,
        })
    }
}
