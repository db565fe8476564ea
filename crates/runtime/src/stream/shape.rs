//! From the events of the journal to those of a stream, for one reader.
//!
//! The parts of a stream are asked in their order, and the first that makes something of an event decides what leaves. Documents need the
//! state after the event: it is folded along, so that a whole stream costs its events once.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{LiveEntity, StoredEvent, StreamDescription, StreamHandle, StreamItem, StreamPlace, StreamShape};
use journal::{Recorded, Selection};
use tokio::sync::OwnedSemaphorePermit;

use super::folds::Folds;
use crate::entity::Entities;
use crate::isolation::isolated;
use crate::request::StateError;

/// An event as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaped {
    /// Its public name.
    pub name: &'static str,
    /// Its data, one line of JSON; `None` for a notification.
    pub data: Option<Bytes>,
}

/// Makes a stream's events of the journal's. Each reader has its own.
pub struct Shaper {
    stream: StreamHandle,
    entities: Arc<Entities>,
    folds: Folds,
    /// The public names that the reader wants; all of them when it names none.
    wanted: Vec<String>,
    /// The version that the reader gets.
    version: u16,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Whether a stream needs states.
pub(super) fn has_documents(stream: &StreamHandle) -> bool {
    stream.items().iter().any(is_document)
}

fn is_document(item: &StreamItem) -> bool {
    item.shape == StreamShape::Document
}

impl Shaper {
    pub(super) fn new(stream: StreamHandle, entities: Arc<Entities>, permit: Option<OwnedSemaphorePermit>) -> Self {
        let version = stream.description().version;
        Self { stream, entities, folds: Folds::default(), wanted: Vec::new(), version, _permit: permit }
    }

    /// In this version: an older one is made of the present one, event by event.
    #[must_use]
    pub fn in_version(self, version: u16) -> Self {
        Self { version, ..self }
    }

    /// The version of what leaves.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Only events of these public names.
    #[must_use]
    pub fn wanting(mut self, names: Vec<String>) -> Self {
        self.wanted = names;
        self
    }

    /// What the stream is.
    #[must_use]
    pub fn description(&self) -> &StreamDescription {
        self.stream.description()
    }

    /// What must be read for it. Documents need every event of their entities.
    #[must_use]
    pub fn selection(&self) -> Selection {
        let mut types: Vec<Arc<str>> = Vec::new();
        for item in self.stream.items().iter().filter(|item| self.wants(item.name)) {
            if is_document(item) {
                types.push((&*item.entity).into());
            } else {
                types.extend(item.events.iter().map(|event| format!("{}/{event}", item.entity).into()));
            }
        }
        types.sort_unstable();
        types.dedup();
        Selection::Types(types)
    }

    /// What leaves of an event; `None` when nothing does.
    ///
    /// # Errors
    /// When the event cannot be read by this version of the component, or the state that a document needs cannot be known.
    pub async fn shape(&mut self, event: &Recorded) -> Result<Option<Shaped>, StateError> {
        let stream = Arc::clone(&self.stream);
        let kind = event.entity.kind();
        if stream.items().iter().any(|item| is_document(item) && item.entity == kind) {
            self.folds.follow(&self.entities, event).await?;
        }
        for item in stream.items().iter().filter(|item| item.entity == kind && item.events.iter().any(|name| *name == *event.name)) {
            let state = if is_document(item) { self.folds.state(&event.entity) } else { None };
            let Some(data) = made(item, event, state)? else { continue };
            if !self.wants(item.name) {
                return Ok(None);
            }
            if item.shape == StreamShape::Notification {
                return Ok(Some(Shaped { name: item.name, data: None }));
            }
            let data = lowered(&stream, (item.name, self.version), event, data)?;
            return Ok(data.map(|data| Shaped { name: item.name, data: Some(data.into()) }));
        }
        Ok(None)
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }
}

fn made(item: &StreamItem, event: &Recorded, state: Option<&mut (dyn LiveEntity + 'static)>) -> Result<Option<Vec<u8>>, StateError> {
    let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
    let place =
        StreamPlace { id: event.entity.id(), sequence: event.sequence, time_micros: event.time.as_micros(), tenant: event.entity.tenant() };
    let made = isolated(|| (item.map)(stored, &place, state.map(|state| state as &mut dyn LiveEntity)));
    let made = made.map_err(|panic| unreadable(event, &panic.during(&format!("the stream's part `{}`", item.name))))?;
    made.map_err(|why| unreadable(event, &why))
}

/// What a reader of the version gets of it; `None` when it is left out for it.
fn lowered(stream: &StreamHandle, (name, version): (&str, u16), event: &Recorded, data: Vec<u8>) -> Result<Option<Vec<u8>>, StateError> {
    if version == stream.description().version {
        return Ok(Some(data));
    }
    let lowered = isolated(|| stream.lower(name, version, data));
    let lowered = lowered.map_err(|panic| unreadable(event, &panic.during(&format!("lowering `{name}` to version {version}"))))?;
    lowered.map_err(|why| unreadable(event, &why))
}

fn unreadable(event: &Recorded, why: &str) -> StateError {
    StateError::Unreadable { message: format!("{} sequence {}: {why}", event.entity, event.sequence) }
}
