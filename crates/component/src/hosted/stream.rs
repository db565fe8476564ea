//! Streams with their types erased: what the runtime reads out, and what describes it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{LiveEntity, OlderShape, StoredEvent};

/// Shared handles, as a service registers them.
pub type StreamHandle = Arc<HostedStream>;

/// A stream: what it is made of.
pub struct HostedStream {
    pub(crate) description: StreamDescription,
    pub(crate) items: Vec<StreamItem>,
    pub(crate) lowerings: Vec<StreamLowering>,
}

impl HostedStream {
    /// Everything that describes it outside.
    #[must_use]
    pub fn description(&self) -> &StreamDescription {
        &self.description
    }

    /// Its parts, in the order in which they are asked; the same order as in the description.
    #[must_use]
    pub fn items(&self) -> &[StreamItem] {
        &self.items
    }

    /// What makes older versions of its types, in the order in which they were named.
    #[must_use]
    pub fn lowerings(&self) -> &[StreamLowering] {
        &self.lowerings
    }

    /// What a reader of this version gets of a type's data; `None` when it is left out for it. What nothing is named for stays as it is.
    ///
    /// # Errors
    /// When the data is not what the older type is made of.
    pub fn lower(&self, name: &str, version: u16, data: Vec<u8>) -> Result<Option<Vec<u8>>, String> {
        match self.lowerings.iter().find(|lowering| lowering.name == name && lowering.version == version) {
            Some(lowering) => (lowering.lower)(&data),
            None => Ok(Some(data)),
        }
    }
}

/// How a public type is given to readers of an older version.
pub struct StreamLowering {
    /// The type's public name.
    pub name: &'static str,
    /// The version of the stream that it is for.
    pub version: u16,
    /// JSON Schema 2020-12 of what it is made of: it must read what leaves.
    pub reads: Json,
    /// JSON Schema 2020-12 of what it makes.
    pub schema: Json,
    /// From one line of JSON to another one; `None` leaves the event out.
    pub lower: StreamLower,
}

/// Makes the older data of the present one.
pub type StreamLower = Arc<dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

/// A part of a stream: what becomes of some events of an entity type.
pub struct StreamItem {
    /// The public name of what leaves.
    pub name: &'static str,
    /// The shape of what leaves.
    pub shape: StreamShape,
    /// The entity type.
    pub entity: String,
    /// The names of its events.
    pub events: Vec<String>,
    /// What becomes of an event.
    pub map: StreamMap,
}

/// Makes one line of JSON of an event, nothing for a notification; `None` keeps the event inside. A document gets the state after it. The
/// error says why the event cannot be read.
pub type StreamMap =
    Arc<dyn Fn(StoredEvent<'_>, &StreamPlace<'_>, Option<&mut dyn LiveEntity>) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

/// Where an event of a stream stands.
#[derive(Clone, Copy, Debug)]
pub struct StreamPlace<'a> {
    /// The entity's id.
    pub id: &'a str,
    /// The event's number within its entity.
    pub sequence: u64,
    /// When it was recorded: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// The entity's tenant.
    pub tenant: &'a str,
}

/// How much of an event leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamShape {
    /// That it happened, and to whom.
    Notification,
    /// What happened.
    Event,
    /// What happened, with the whole state after it.
    Document,
}

impl fmt::Display for StreamShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Notification => "notification",
            Self::Event => "event",
            Self::Document => "document",
        })
    }
}

/// A stream, for descriptions and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDescription {
    /// Its durable name.
    pub name: &'static str,
    /// The version of its types.
    pub version: u16,
    /// The oldest version that readers may still ask for.
    pub oldest: u16,
    /// What it is for.
    pub summary: String,
    /// Its public types.
    pub types: Vec<StreamTypeDescription>,
    /// Whether its types may have personal values.
    pub shows_personal: bool,
}

/// A public type of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamTypeDescription {
    /// Its public name.
    pub name: &'static str,
    /// Its shape.
    pub shape: StreamShape,
    /// What it says, in words.
    pub summary: String,
    /// JSON Schema 2020-12 of its data; `None` for a notification, which has none.
    pub schema: Option<Json>,
    /// The shapes that it is lowered to for readers of older versions; where there is none it leaves as it is.
    pub to: Vec<OlderShape>,
}

/// A subscription to a stream of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionDescription {
    /// The peer, as the configuration names it.
    pub peer: &'static str,
    /// Its stream.
    pub stream: &'static str,
    /// The topic that the stream's events are messages of.
    pub topic: &'static str,
    /// The public names of the events that are wanted; all of them when it names none.
    pub types: Vec<&'static str>,
    /// The version of the stream that is wanted.
    pub version: Option<u16>,
    /// Whether it begins at the stream's head.
    pub from_now: bool,
}

/// The attribute of a message that does not fit its topic and is there all the same: why. Whoever reads the topic parks it.
pub const UNFIT: &str = "headwaterunfit";
