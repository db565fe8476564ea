//! A view that was checked: which statements an event runs, where their values come from, and what a query's columns are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use component::hosted::{EntityHandle, Refusal, ViewFill, ViewHandle};

use super::server::ViewServer;
use super::shape::Kind;
use crate::personal;
use crate::retention::Lost;

/// See the module.
pub(crate) struct Plan {
    pub(super) view: ViewHandle,
    /// Who has its tables, where they are shared.
    pub(super) server: Option<Arc<dyn ViewServer>>,
    /// Sixteen hexadecimal digits; another one is another file.
    pub(super) build: String,
    /// `cart/item-added`, for the journal.
    pub(super) selection: Vec<Arc<str>>,
    pub(super) events: Vec<EventPlan>,
    /// Places in `events`, by entity type, then by event name.
    pub(super) places: HashMap<String, HashMap<String, usize>>,
    pub(super) tables: Vec<String>,
    pub(super) queries: Vec<QueryPlan>,
}

/// What an event does.
pub(super) struct EventPlan {
    pub(super) entity: EntityHandle,
    /// Its name within the entity type.
    pub(super) name: &'static str,
    /// The version of its present shape; an older event is raised first.
    pub(super) version: u16,
    /// The fields that its statements want, each once.
    pub(super) fields: Vec<String>,
    /// What they want of what is known beside the fields, each once.
    pub(super) known: Vec<Known>,
    pub(super) steps: Vec<Step>,
    /// One of the steps is code.
    pub(super) has_code: bool,
    /// Places of the tables that it may change.
    pub(super) touches: Vec<usize>,
}

/// One statement or one piece of code.
pub(super) struct Step {
    /// Its place in [`fills`](component::hosted::HostedView::fills).
    pub(super) fill: usize,
    /// Where the statement's values come from, in the order of its parameters.
    pub(super) sources: Vec<Source>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A wanted field, by its place.
    Field(usize),
    /// Something known beside the fields, by its place.
    Known(usize),
}

/// What is known of an event beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Id,
    Type,
    Tenant,
    Sequence,
    Event,
    EventId,
    Time,
    TimeMicros,
    Correlation,
    Principal,
    Data,
}

impl Known {
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("@id", Self::Id),
        ("@type", Self::Type),
        ("@tenant", Self::Tenant),
        ("@sequence", Self::Sequence),
        ("@event", Self::Event),
        ("@event_id", Self::EventId),
        ("@time", Self::Time),
        ("@time_micros", Self::TimeMicros),
        ("@correlation", Self::Correlation),
        ("@principal", Self::Principal),
        ("@data", Self::Data),
    ];
}

/// A query.
pub(super) struct QueryPlan {
    pub(super) name: &'static str,
    pub(super) sql: String,
    pub(super) read: fn(&[u8]) -> Result<Vec<u8>, Refusal>,
    /// The fields of its input, in the order of its parameters.
    pub(super) parameters: Vec<String>,
    pub(super) columns: Vec<Column>,
    /// A row is the value of its one column, and not an object.
    pub(super) bare: bool,
    /// Places of the tables that it reads.
    pub(super) reads: Vec<usize>,
    /// Places of the columns that tell a row from all others, where the query shows a table's primary key.
    pub(super) key: Option<Vec<usize>>,
}

/// A column of a query.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl EventPlan {
    /// The place of a value among those of its event: fields first, then what is known beside them.
    pub(super) fn value(&self, source: Source) -> usize {
        match source {
            Source::Field(at) => at,
            Source::Known(at) => self.fields.len() + at,
        }
    }
}

impl Plan {
    /// The entity types among those it reads of which events are gone.
    pub(super) fn gone(&self, lost: &Lost) -> Vec<String> {
        let lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
        let reads = |kind: &String| self.selection.iter().any(|full| full.split_once('/').map_or(&**full, |(kind, _)| kind) == kind);
        lost.iter().filter(|kind| reads(kind)).cloned().collect()
    }

    /// A statement for messages: `on cart/item-added`.
    pub(super) fn fill_name(&self, fill: usize) -> String {
        match &self.view.fills()[fill] {
            ViewFill::Sql(statement) => format!("on {}", statement.event),
            ViewFill::Code { kind, .. } => format!("the code for {kind}"),
        }
    }

    /// Whether an event that it reads has personal values.
    pub(super) fn is_personal(&self) -> bool {
        self.events.iter().any(|event| {
            let shapes = &event.entity.description().events;
            shapes.iter().any(|shape| shape.name == event.name && personal::is_personal(&shape.schema))
        })
    }

    pub(super) fn query(&self, name: &str) -> Option<usize> {
        self.queries.iter().position(|query| query.name == name)
    }

    pub(super) fn query_names(&self) -> Vec<&'static str> {
        self.queries.iter().map(|query| query.name).collect()
    }
}

/// FNV-1a, 64 bits: stable for ever. Two definitions of one hash would share a file; nobody makes them on purpose.
pub(super) fn build(parts: &[String]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
