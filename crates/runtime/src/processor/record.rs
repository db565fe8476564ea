//! What a processor leaves in the journal.
//!
//! ```text
//! $processor/{name}                                  advanced { generation, build, start, cursor, now, silent_until, silent_now }
//! $processor/{name}/{generation}/key/{key}           kept { key, state, wakes, parked }
//! $processor/{name}/{generation}/source/{type}/{id}  kept { parked }: an entity whose event has no key
//! {name}/{key}                                       what it emits
//! ```
//!
//! The last event of an entity is what counts. A key that fits no id has a hash behind `~` for it. Every commit of a processor
//! expects the head of `$processor/{name}`, so that a second owner is refused by storage.

use std::collections::BTreeSet;

use bytes::Bytes;
use journal::{
    CommandId, CommandRecord, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, ReadError, ReadMode, Recorded,
    Selection,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::delivery::HeldKey;

/// The platform's entity type for processors.
pub(super) const PROCESSOR: &str = "$processor";
const ADVANCED: &str = "advanced";
const KEPT: &str = "kept";

/// How far a processor is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Grows when the state is made anew; each generation has keys of its own.
    pub(super) generation: u32,
    /// The build of the state.
    pub(super) build: String,
    /// Where the first generation began.
    #[serde(with = "text")]
    pub(super) start: Cursor,
    /// Everything up to here is folded, or waits behind a parked key.
    #[serde(with = "text")]
    pub(super) cursor: Cursor,
    /// How far its time has come.
    pub(super) now: i64,
    /// Up to here an earlier generation has emitted already.
    #[serde(default, with = "text_or_none", skip_serializing_if = "Option::is_none")]
    pub(super) silent_until: Option<Cursor>,
    /// And woken its keys up to then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) silent_now: Option<i64>,
}

/// What is kept of a key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    /// The key; `None` for an entity whose event has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) wakes: BTreeSet<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parked: Option<HeldKey>,
}

mod text {
    use journal::Cursor;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cursor)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cursor, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

mod text_or_none {
    use journal::Cursor;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(cursor: &Option<Cursor>, serializer: S) -> Result<S::Ok, S::Error> {
        match cursor {
            Some(cursor) => serializer.collect_str(cursor),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cursor>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// The entity of a processor's progress.
pub(super) fn progress_entity(processor: &str) -> EntityKey {
    EntityKey::new(PROCESSOR, processor).expect("the names of components are ids")
}

/// What the keys of a generation begin with.
pub(super) fn prefix(processor: &str, generation: u32) -> String {
    format!("{processor}/{generation}/")
}

/// The entity that keeps what is known of a key (an entity of the processor's own type) or of a source (any other entity).
pub(super) fn kept_entity(processor: &str, generation: u32, key: &EntityKey) -> EntityKey {
    let prefix = prefix(processor, generation);
    let (folder, rest) =
        if key.kind() == processor { ("key/", key.id().to_owned()) } else { ("source/", format!("{}/{}", key.kind(), key.id())) };
    let hashed = || {
        let id = format!("{prefix}{folder}~{}", CommandId::from_raw(rest.as_bytes()));
        EntityKey::with_tenant(key.tenant(), PROCESSOR, &id).expect("a name, a number and a hash are an id")
    };
    if rest.starts_with('~') {
        return hashed();
    }
    EntityKey::with_tenant(key.tenant(), PROCESSOR, &format!("{prefix}{folder}{rest}")).unwrap_or_else(|_| hashed())
}

/// How far a processor is, and the sequence that says so; `None` for one that has never been placed.
pub(super) async fn read_progress(journal: &dyn Journal, processor: &str) -> Result<Option<(Progress, u64)>, ReadError> {
    let Some(event) = last_event(journal, &progress_entity(processor)).await? else { return Ok(None) };
    Ok(Some((parsed(&event)?, event.sequence)))
}

/// What is kept on an entity.
pub(super) async fn read_kept(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<Kept>, ReadError> {
    last_event(journal, entity).await?.map(|event| parsed(&event)).transpose()
}

async fn last_event(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<std::sync::Arc<Recorded>>, ReadError> {
    let Some(head) = journal.entity_head(entity).await? else { return Ok(None) };
    let selection = Selection::Entity { entity: entity.clone(), from_sequence: head.sequence };
    journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose()
}

fn parsed<'a, T: Deserialize<'a>>(event: &'a Recorded) -> Result<T, ReadError> {
    serde_json::from_slice(&event.payload)
        .map_err(|error| ReadError::Unavailable { cause: format!("{} is not readable by this version: {error}", event.entity) })
}

pub(super) fn progress_record(processor: &str, step: CommandId, progress: &Progress) -> CommandRecord {
    record(progress_entity(processor), step, Context::default(), vec![event(ADVANCED, progress)])
}

pub(super) fn kept_record(processor: &str, generation: u32, step: CommandId, key: &EntityKey, kept: &Kept) -> CommandRecord {
    record(kept_entity(processor, generation, key), step, Context::default(), vec![event(KEPT, kept)])
}

pub(super) fn record(entity: EntityKey, id: CommandId, context: Context, events: Vec<EventData>) -> CommandRecord {
    CommandRecord { entity, id, name: "process".into(), fingerprint: None, context, reply: Bytes::new(), events }
}

/// The id of all records of one step of a processor: its number is the sequence that its progress gets.
pub(super) fn step(processor: &str, sequence: u64) -> CommandId {
    CommandId::from_raw(format!("{processor}\0{sequence}").as_bytes())
}

fn event(name: &str, payload: &impl Serialize) -> EventData {
    let payload = serde_json::to_vec(payload).expect("texts, numbers and JSON always encode");
    EventData {
        name: name.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: payload.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kind: &str, id: &str) -> String {
        kept_entity("fraud", 2, &EntityKey::new(kind, id).unwrap()).id().to_owned()
    }

    #[test]
    fn keys_and_sources_never_share_an_entity() {
        assert_eq!(kept("fraud", "card/1"), "fraud/2/key/card/1");
        assert_eq!(kept("cart", "c1"), "fraud/2/source/cart/c1");
        let long = "x".repeat(256);
        let hashed = kept("fraud", &long);
        assert!(hashed.starts_with("fraud/2/key/~"), "{hashed}");
        assert_ne!(kept("fraud", hashed.trim_start_matches("fraud/2/key/")), hashed, "nobody can name another key's hash");
    }
}
