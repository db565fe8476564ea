//! What the journal remembers of a consumer: that it was placed, and what people have decided about its events.
//!
//! ```text
//! $consumer/{name}   consumer-created { start } · consumer-placed { cursor, reason }
//!                    consumer-set-up { .. how .. } · consumer-removed {}
//!                    event-edited { event, payload, reason } · event-discarded { event, reason }
//! ```

use std::sync::Arc;

use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EntityType, EventData, EventFlags, Journal,
    ReadError, ReadMode, Recorded, Selection,
};
use serde_json::{Value as Json, json};

use super::session::DeliveryError;

/// The platform's entity type for consumers.
const CONSUMER: &str = "$consumer";

const SET_UP: &str = "consumer-set-up";
const REMOVED: &str = "consumer-removed";

/// What says that a consumer was set up, or is no more: full names of events.
pub(crate) fn setups_types() -> Vec<Arc<str>> {
    [SET_UP, REMOVED].map(|name| format!("{CONSUMER}/{name}").into()).to_vec()
}

/// The consumers that people have set up, and how.
pub(super) async fn setups(journal: &dyn Journal) -> Result<Vec<(String, Json)>, DeliveryError> {
    let kind = EntityType::new(CONSUMER).expect("a name of ours");
    let (mut keys, mut setups) = (journal.entities(&kind, None), Vec::new());
    while let Some(key) = keys.next().await {
        let entity = key?;
        let name = entity.id().to_owned();
        if let Some(setup) = (Memory { journal, entity }).setup().await? {
            setups.push((name, setup));
        }
    }
    Ok(setups)
}

/// See the module.
pub(crate) struct Memory<'a> {
    journal: &'a dyn Journal,
    entity: EntityKey,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(journal: &'a dyn Journal, consumer: &str) -> Self {
        Self { journal, entity: EntityKey::new(CONSUMER, consumer).expect("the names of components are ids") }
    }

    /// Whether the consumer has ever had a place.
    pub(super) async fn knows(&self) -> Result<bool, DeliveryError> {
        Ok(self.journal.find_command(&self.entity, id("created")).await?.is_some())
    }

    pub(super) async fn created(&self, cursor: Cursor) -> Result<(), DeliveryError> {
        self.append(id("created"), "consumer-created", &json!({ "cursor": cursor.to_string() }), &Context::default()).await
    }

    pub(super) async fn placed(&self, cursor: Cursor, why: &Decision) -> Result<(), DeliveryError> {
        // Each placing is a decision of its own: its id is made of the sequence that it gets.
        let sequence = self.journal.entity_head(&self.entity).await?.map_or(0, |head| head.sequence);
        let payload = json!({ "cursor": cursor.to_string(), "reason": why.reason });
        self.append(id(&format!("placed {sequence}")), "consumer-placed", &payload, &why.context).await
    }

    /// How people want a consumer of theirs; `None` when they want it no more.
    pub(super) async fn set_up(&self, config: Option<&Json>, context: &Context) -> Result<(), DeliveryError> {
        let sequence = self.journal.entity_head(&self.entity).await?.map_or(0, |head| head.sequence);
        let (name, payload) = config.map_or((REMOVED, json!({})), |config| (SET_UP, config.clone()));
        self.append(id(&format!("set up {sequence}")), name, &payload, context).await
    }

    /// How people want it now; `None` for one that they did not set up, or removed.
    async fn setup(&self) -> Result<Option<Json>, DeliveryError> {
        let selection = Selection::Entity { entity: self.entity.clone(), from_sequence: 1 };
        let mut events = self.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        let mut setup = None;
        while let Some(event) = events.next_event().await {
            let event = event?;
            match &*event.name {
                SET_UP => setup = serde_json::from_slice(&event.payload).ok(),
                REMOVED => setup = None,
                _ => {}
            }
        }
        Ok(setup)
    }

    pub(crate) async fn discarded(&self, event: &str, why: &Decision) -> Result<(), DeliveryError> {
        let payload = json!({ "event": event, "reason": why.reason });
        self.append(id(&format!("discarded {event}")), "event-discarded", &payload, &why.context).await
    }

    /// Remembers a payload beside the event's own; gives the sequence under which it is found.
    pub(crate) async fn edited(&self, event: &str, payload: &Json, why: &Decision) -> Result<u64, DeliveryError> {
        let sequence = self.journal.entity_head(&self.entity).await?.map_or(0, |head| head.sequence);
        let remembered = json!({ "event": event, "payload": payload, "reason": why.reason });
        let id = id(&format!("edited {event} {sequence}"));
        self.append(id, "event-edited", &remembered, &why.context).await?;
        let found = self.journal.find_command(&self.entity, id).await?;
        Ok(found.map_or(sequence + 1, |found| found.sequence))
    }

    /// The event that remembers the payload that a person put beside an event's own; [`edited_payload`] takes it out.
    pub(super) async fn edit(&self, sequence: u64) -> Result<Option<Arc<Recorded>>, DeliveryError> {
        let selection = Selection::Entity { entity: self.entity.clone(), from_sequence: sequence };
        Ok(self.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()?)
    }

    async fn append(&self, id: CommandId, name: &str, payload: &Json, context: &Context) -> Result<(), DeliveryError> {
        let event = EventData {
            name: name.into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: Vec::new(),
            payload: payload.to_string().into_bytes().into(),
        };
        let command = CommandRecord {
            entity: self.entity.clone(),
            id,
            name: name.into(),
            fingerprint: None,
            context: context.clone(),
            reply: bytes::Bytes::new(),
            events: vec![event],
        };
        match self.journal.append(Commit { commands: vec![command], ..Commit::default() }).await {
            Ok(_) | Err(AppendError::Duplicate { .. }) => Ok(()),
            Err(error) => Err(ReadError::Unavailable { cause: error.to_string() }.into()),
        }
    }
}

/// What a person put beside an event's own payload.
pub(crate) fn edited_payload(remembered: &[u8]) -> Option<Vec<u8>> {
    let remembered: Json = serde_json::from_slice(remembered).ok()?;
    remembered.get("payload").map(|payload| payload.to_string().into_bytes())
}

/// Why a person decided so, and who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In their words.
    pub reason: String,
    /// Who, and with which request.
    pub context: Context,
}

/// An id that no client can send: it has a control character.
fn id(text: &str) -> CommandId {
    CommandId::from_raw(format!("{text}\0").as_bytes())
}
