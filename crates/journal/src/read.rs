//! Reading: selections, recorded events, heads, and the pull-based sources that engines implement.

use std::future::Future as _;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use crate::commit::{CommandId, ContentType, Context, EventFlags, EventId, Fingerprint, Tag, TagQuery};
use crate::contract_traits::BoxFuture;
use crate::cursor::{Cursor, Position};
use crate::error::ReadError;
use crate::key::EntityKey;
use crate::time::Timestamp;

/// Which events a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All events.
    All,
    /// Those of one entity, from a sequence on (1 for all).
    Entity {
        /// The entity.
        entity: EntityKey,
        /// The first sequence wanted.
        from_sequence: u64,
    },
    /// Those of the slices `first..=last`.
    Slices {
        /// The first slice.
        first: u16,
        /// The last slice.
        last: u16,
        /// And of these types, named as in [`Types`](Self::Types); `None`: of any.
        types: Option<Vec<Arc<str>>>,
    },
    /// Those that match a tag query.
    Tags(TagQuery),
    /// Those of these types: `{entity type}/{event name}`, or `{entity type}` for all of an entity type.
    Types(Vec<Arc<str>>),
}

impl Selection {
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, event: &Recorded) -> bool {
        match self {
            Self::All => true,
            Self::Entity { entity, from_sequence } => event.entity == *entity && event.sequence >= *from_sequence,
            Self::Slices { first, last, types } => {
                types.as_ref().is_none_or(|types| is_of(types, event)) && (*first..=*last).contains(&event.entity.slice())
            }
            Self::Tags(query) => query.matches(event.entity.kind(), &event.name, &event.tags),
            Self::Types(types) => is_of(types, event),
        }
    }
}

/// Whether an event is of one of these types.
fn is_of(types: &[Arc<str>], event: &Recorded) -> bool {
    types.iter().any(|full| match full.split_once('/') {
        Some(parts) => parts == (event.entity.kind(), &event.name),
        None => &**full == event.entity.kind(),
    })
}

/// Where a reader stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// At the head as it was when the read began.
    ToHead,
    /// Never: it waits for new events.
    Live,
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the journal's order; internal.
    pub position: Position,
    /// Its identity.
    pub id: EventId,
    /// Its entity.
    pub entity: EntityKey,
    /// Its number within the entity, from 1, dense.
    pub sequence: u64,
    /// When it was committed.
    pub time: Timestamp,
    /// The command that left it.
    pub command: CommandId,
    /// Its command's name.
    pub command_name: Arc<str>,
    /// Who and why.
    pub context: Arc<Context>,
    /// Its type name.
    pub name: Arc<str>,
    /// The version of its shape.
    pub version: u16,
    /// How the payload is encoded.
    pub content: ContentType,
    /// Reserved.
    pub flags: EventFlags,
    /// Tags.
    pub tags: Vec<Tag>,
    /// The payload, opaque.
    pub payload: Bytes,
}

/// What a reader gets: an event, or the word that it has come this far without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// An event that matches.
    Event(Arc<Recorded>),
    /// Nothing up to here matches; so that a sparse filter advances, and a live reader knows that it has caught up.
    Progress(Cursor),
}

/// The last event of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its sequence: the entity's version.
    pub sequence: u64,
    /// Its time.
    pub time: Timestamp,
    /// Its place; internal.
    pub position: Position,
    /// Whether it is `$deleted`.
    pub deleted: bool,
}

/// A command that took effect, as its entity remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCommand {
    /// Its name.
    pub name: Arc<str>,
    /// Tells another body; `None` for ids that the platform derives.
    pub fingerprint: Option<Fingerprint>,
    /// The first reply; `None` when a truncation has taken it.
    pub reply: Option<Bytes>,
    /// The entity's head sequence after it.
    pub sequence: u64,
    /// How many events it left on its entity.
    pub event_count: u32,
    /// The place after its commit.
    pub cursor: Cursor,
    /// When it was committed.
    pub time: Timestamp,
}

/// What an engine implements behind [`Events`].
pub trait EventSource: Send {
    /// The next item; `None` at the end of a read to the head. Cancel-safe: a dropped future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>>;

    /// The next item if it is in memory already.
    fn at_hand(&mut self) -> Option<Read> {
        None
    }
}

/// A running read.
pub struct Events(Box<dyn EventSource>);

impl Events {
    /// From an engine's source.
    #[must_use]
    pub fn new(source: impl EventSource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// A read that fails at once.
    #[must_use]
    pub fn failed(error: impl Into<ReadError>) -> Self {
        Self::new(Failed(Some(error.into())))
    }

    /// The next item; `None` at the end of a read to the head, or after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Read, ReadError>> {
        match self.0.at_hand() {
            Some(read) => Some(Ok(read)),
            None => self.0.next().await,
        }
    }

    /// The next item if it is in memory already: cheaper than a future for each of many. `None` says nothing about what comes next.
    pub fn at_hand(&mut self) -> Option<Read> {
        self.0.at_hand()
    }

    /// What [`next`](Self::next) would give, if it is there without waiting.
    pub async fn next_if_ready(&mut self) -> Option<Option<Result<Read, ReadError>>> {
        let mut next = std::pin::pin!(self.0.next());
        std::future::poll_fn(|context| {
            Poll::Ready(match next.as_mut().poll(context) {
                Poll::Ready(read) => Some(read),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// The next event, over all progress; `None` at the end.
    pub async fn next_event(&mut self) -> Option<Result<Arc<Recorded>, ReadError>> {
        loop {
            match self.next().await? {
                Ok(Read::Event(event)) => return Some(Ok(event)),
                Ok(Read::Progress(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

struct Failed(Option<ReadError>);

impl EventSource for Failed {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        let error = self.0.take();
        Box::pin(async move { error.map(Err) })
    }
}

/// What an engine implements behind [`Keys`].
pub trait KeySource: Send {
    /// The next key, in order; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<EntityKey, ReadError>>>;
}

/// A running listing of entity keys, ordered by tenant and id.
pub struct Keys(Box<dyn KeySource>);

impl Keys {
    /// From an engine's source.
    #[must_use]
    pub fn new(source: impl KeySource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// The next key, in order; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<EntityKey, ReadError>> {
        self.0.next().await
    }
}
