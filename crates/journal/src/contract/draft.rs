//! Commits for the checks, short to write and different from each other in every field.

use std::sync::Arc;

use bytes::Bytes;

use super::{Broken, Engine, ensure};
use crate::commit::{
    CommandId, CommandRecord, Commit, Committed, ContentType, Context, EventData, EventFlags, Expect, Fence, Fingerprint, Tag,
    TagCondition, TagQuery, TagQueryItem,
};
use crate::cursor::Cursor;
use crate::error::AppendError;
use crate::key::EntityKey;
use crate::read::{Events, ReadMode, Recorded, Selection};

/// The type that the checks' entities have, unless they say otherwise.
pub(super) const KIND: &str = "thing";

pub(super) fn key(id: &str) -> EntityKey {
    key_of(KIND, id)
}

pub(super) fn key_of(kind: &str, id: &str) -> EntityKey {
    EntityKey::new(kind, id).expect("the checks' keys are valid")
}

pub(super) fn tag(text: &str) -> Tag {
    Tag::new(text).expect("the checks' tags are valid")
}

pub(super) fn event(name: &str) -> EventData {
    EventData {
        name: name.into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: Vec::new(),
        payload: Bytes::from(format!("payload of {name}")),
    }
}

pub(super) fn tagged(name: &str, tags: &[&str]) -> EventData {
    EventData { tags: tags.iter().map(|text| tag(text)).collect(), ..event(name) }
}

/// A command with these events; its name and reply follow from its id.
pub(super) fn command(entity: &EntityKey, raw_id: &str, events: Vec<EventData>) -> CommandRecord {
    CommandRecord {
        entity: entity.clone(),
        id: CommandId::from_raw(raw_id.as_bytes()),
        name: "do".into(),
        fingerprint: Some(Fingerprint([1; 16])),
        context: Context { correlation_id: Some(raw_id.into()), ..Context::default() },
        reply: Bytes::from(format!("reply to {raw_id}")),
        events,
    }
}

/// A commit of one command with one event `noted`.
pub(super) fn note(entity: &EntityKey, raw_id: &str) -> Commit {
    commit([command(entity, raw_id, vec![event("noted")])])
}

pub(super) fn commit(commands: impl Into<Vec<CommandRecord>>) -> Commit {
    Commit { commands: commands.into(), ..Commit::default() }
}

impl Commit {
    pub(super) fn expecting(mut self, entity: &EntityKey, expect: Expect) -> Self {
        self.expect.push((entity.clone(), expect));
        self
    }

    pub(super) fn unless(self, items: impl Into<Vec<TagQueryItem>>, after: Cursor) -> Self {
        Self { condition: Some(TagCondition { query: TagQuery { items: items.into() }, after }), ..self }
    }

    pub(super) fn fenced(self, register: &str, epoch: u64) -> Self {
        Self { fence: Some(Fence { register: register.to_owned(), epoch }), ..self }
    }
}

/// An item of a tag query.
pub(super) fn item(types: &[&str], tags: &[&str]) -> TagQueryItem {
    TagQueryItem { types: types.iter().map(|text| Arc::from(*text)).collect(), tags: tags.iter().map(|text| tag(text)).collect() }
}

/// The reads and appends that most checks do.
impl Engine {
    pub(super) async fn append(&self, commit: Commit) -> Result<Committed, AppendError> {
        self.journal.append(commit).await
    }

    /// An append that must be refused.
    pub(super) async fn refused(&self, commit: Commit, why: &str) -> Result<AppendError, Broken> {
        match self.journal.append(commit).await {
            Err(error) => Ok(error),
            Ok(_) => Err(Broken(format!("{why}: the commit was taken"))),
        }
    }

    pub(super) fn all(&self) -> Events {
        self.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)
    }

    pub(super) async fn events(&self, selection: Selection) -> Result<Vec<Arc<Recorded>>, Broken> {
        collect(self.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead)).await
    }

    pub(super) async fn events_of(&self, entity: &EntityKey) -> Result<Vec<Arc<Recorded>>, Broken> {
        self.events(Selection::Entity { entity: entity.clone(), from_sequence: 1 }).await
    }

    pub(super) async fn sequence(&self, entity: &EntityKey) -> Result<u64, Broken> {
        Ok(self.journal.entity_head(entity).await?.map_or(0, |head| head.sequence))
    }

    /// That nothing was ever written.
    pub(super) async fn is_empty(&self, after: &str) -> Result<(), Broken> {
        let events = collect(self.all()).await?;
        ensure!(events.is_empty(), "after {after}: {} events are there", events.len());
        Ok(())
    }
}

/// All events of a read that ends.
pub(super) async fn collect(mut events: Events) -> Result<Vec<Arc<Recorded>>, Broken> {
    let mut all = Vec::new();
    while let Some(event) = events.next_event().await {
        all.push(event?);
    }
    Ok(all)
}

/// The payloads, as texts, in their order: what most checks tell events apart by.
pub(super) fn names(events: &[Arc<Recorded>]) -> Vec<&str> {
    events.iter().map(|event| &*event.name).collect()
}
