//! A view of the platform's own: over events of an entity type of its own, which takes no commands, and whose state nobody asks for. Timers
//! and workflows are found by one.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{
    Accepted, CommandContext, EntityDescription, EntityHandle, HostedEntity, LiveEntity, Refusal, StoredEvent, Unreadable, ViewHandle,
};
use component::{Value, encode};
use journal::{Cursor, Position};
use serde::de::DeserializeOwned;

use super::{QueryError, QueryInput, QueryRequest, Surroundings, ViewFolder, ViewStatus, Views, check};
use crate::limits::{Limits, PLATFORM_INDEX_WAIT};

/// An index that is filled from the journal as views are.
pub(crate) struct PlatformIndex {
    views: Arc<Views>,
    name: &'static str,
}

impl PlatformIndex {
    /// Of this view over the events of this type.
    pub(crate) fn new(
        (view, recorded): (&ViewHandle, EntityDescription),
        around: Surroundings,
        folder: Option<ViewFolder>,
        limits: Limits,
    ) -> Self {
        let (name, recorded): (_, EntityHandle) = (view.name(), Arc::new(PlatformType(recorded)));
        let plans = check(std::slice::from_ref(view), &[recorded], None)
            .unwrap_or_else(|problem| unreachable!("the view `{name}` of the platform holds together: {problem}"));
        Self { views: Arc::new(Views::new(plans, around, folder, limits)), name }
    }

    /// Starts to fill; `head` is where the journal was before this process recorded anything.
    pub(crate) fn begin(&self, head: Position) {
        self.views.begin(head);
    }

    /// Returns when the file is closed.
    pub(crate) async fn end(&self) {
        self.views.end().await;
    }

    pub(crate) async fn status(&self) -> Option<ViewStatus> {
        self.views.status().await.pop()
    }

    /// The rows of a query that has seen a place.
    pub(crate) async fn rows<R: DeserializeOwned>(&self, query: &str, input: &impl Value, seen: Cursor) -> Result<Vec<R>, QueryError> {
        let broken = |message: String| QueryError::Broken { query: self.name, message };
        let input = encode(input).map_err(|error| broken(error.to_string()))?;
        let request = QueryRequest {
            view: self.name.to_owned(),
            query: query.to_owned(),
            input: QueryInput::Json(Bytes::from(input)),
            seen: Some(seen),
            wait: PLATFORM_INDEX_WAIT,
            stale: false,
        };
        let answer = self.views.query(request).await?;
        answer.rows.iter().map(|row| serde_json::from_slice(row).map_err(|error| broken(error.to_string()))).collect()
    }
}

struct PlatformType(EntityDescription);

impl HostedEntity for PlatformType {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn check(&self, _command: &str, _body: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn fresh(&self) -> Box<dyn LiveEntity> {
        Box::new(NoState)
    }

    fn restore(&self, _state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        Ok(self.fresh())
    }

    fn state_build(&self) -> &str {
        self.0.name
    }

    fn description(&self) -> &EntityDescription {
        &self.0
    }
}

struct NoState;

impl LiveEntity for NoState {
    fn decide(&mut self, _command: &str, _body: &[u8], _context: &CommandContext) -> Result<Accepted, Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn evolve(&mut self, _event: StoredEvent<'_>) -> Result<(), Unreadable> {
        Ok(())
    }

    fn state(&self) -> Result<Vec<u8>, Unreadable> {
        Ok(b"null".to_vec())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
