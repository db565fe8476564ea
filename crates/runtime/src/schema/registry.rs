//! What was registered: the events of `$schema`, as they are read and written.

use std::collections::BTreeMap;
use std::sync::Arc;

use component::hosted::DeclaredShape;
use journal::{
    CommandId, CommandRecord, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, ReadError, ReadMode, Recorded,
    Selection, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The platform's entity type for shapes.
pub(super) const SCHEMA: &str = "$schema";
const REGISTERED: &str = "registered";

/// A shape that was registered.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisteredShape {
    /// Its version.
    pub version: u16,
    /// What tells it from other shapes: 32 hexadecimal digits.
    pub fingerprint: String,
    /// JSON Schema 2020-12, as it was declared.
    pub schema: Json,
    /// When; `None` where the registry is of code or a file, and not of a journal.
    pub registered: Option<Timestamp>,
    /// The place of its event.
    pub cursor: Cursor,
}

/// The shapes of a service, by key; of each key in the order in which they were registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    shapes: BTreeMap<String, Vec<RegisteredShape>>,
}

/// The event, in its JSON form.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: u16,
    fingerprint: String,
    schema: Json,
}

impl Registry {
    /// What the journal has.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(journal: &dyn Journal) -> Result<Self, ReadError> {
        let selection = Selection::Types(vec![format!("{SCHEMA}/{REGISTERED}").into()]);
        let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        let mut registry = Self::default();
        while let Some(event) = events.next_event().await {
            let event = event?;
            registry.add(event.entity.id(), shape(&event, journal)?);
        }
        Ok(registry)
    }

    /// What code declares, as if it were registered.
    #[must_use]
    pub fn of_code(declared: &[DeclaredShape]) -> Self {
        let mut registry = Self::default();
        for shape in declared {
            let (fingerprint, schema) = (super::canonical::fingerprint(&shape.schema), shape.schema.clone());
            registry.add(
                &shape.key(),
                RegisteredShape { version: shape.version, fingerprint, schema, registered: None, cursor: Cursor::BEGINNING },
            );
        }
        registry
    }

    /// One more shape of a key.
    pub fn add(&mut self, key: &str, shape: RegisteredShape) {
        self.shapes.entry(key.to_owned()).or_default().push(shape);
    }

    /// The shapes of a key, in their order; none for one that is not known.
    #[must_use]
    pub fn of(&self, key: &str) -> &[RegisteredShape] {
        self.shapes.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every key with its shapes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[RegisteredShape])> {
        self.shapes.iter().map(|(key, shapes)| (key.as_str(), shapes.as_slice()))
    }
}

impl RegisteredShape {
    /// From an event as it lies in a log, by its full name; `None` when it registers nothing.
    #[must_use]
    pub fn read(full: &str, payload: &[u8], time: Timestamp) -> Option<Self> {
        let Entry { version, fingerprint, schema } =
            serde_json::from_slice(payload).ok().filter(|_| full.split_once('/') == Some((SCHEMA, REGISTERED)))?;
        Some(Self { version, fingerprint, schema, registered: Some(time), cursor: Cursor::BEGINNING })
    }
}

fn shape(event: &Recorded, journal: &dyn Journal) -> Result<RegisteredShape, ReadError> {
    let unreadable = |cause: String| ReadError::Unavailable { cause: format!("{} is not readable by this version: {cause}", event.entity) };
    let entry: Entry = serde_json::from_slice(&event.payload).map_err(|error| unreadable(error.to_string()))?;
    let Entry { version, fingerprint, schema } = entry;
    Ok(RegisteredShape { version, fingerprint, schema, registered: Some(event.time), cursor: journal.lineage().cursor(event.position) })
}

/// The entity of a key.
pub(super) fn entity(key: &str) -> EntityKey {
    EntityKey::new(SCHEMA, key).expect("names of components are short and have no control characters")
}

/// The record that registers a shape as the next one of its key: whoever writes the same one writes one.
pub(super) fn record(declared: &DeclaredShape, fingerprint: &str, sequence: u64) -> CommandRecord {
    let key = declared.key();
    let entry = Entry { version: declared.version, fingerprint: fingerprint.to_owned(), schema: declared.schema.clone() };
    let event = EventData {
        name: REGISTERED.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: serde_json::to_vec(&entry).expect("numbers, texts and JSON always encode").into(),
    };
    CommandRecord {
        entity: entity(&key),
        id: CommandId::from_raw(format!("schema\0{sequence}\0{}\0{fingerprint}", declared.version).as_bytes()),
        name: Arc::from("register"),
        fingerprint: None,
        context: Context::default(),
        reply: bytes::Bytes::new(),
        events: vec![event],
    }
}
