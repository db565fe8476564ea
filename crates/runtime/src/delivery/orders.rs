//! What people decide about a consumer: run parked keys again, edit or discard an event, give the consumer another place.

use std::fmt;

use journal::{Cursor, CursorError, EntityKey, ReadError};
use serde_json::Value as Json;
use tokio::sync::oneshot;

use super::memory::Decision;
use super::session::DeliveryError;

/// Which held and parked keys are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldSelection {
    /// This one only.
    pub key: Option<EntityKey>,
    /// Those whose last failure is of this group; see [`cause_group`].
    pub cause: Option<String>,
}

/// A decision on its way to a consumer. Its answer says how many keys it was about.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) answer: oneshot::Sender<Result<usize, OrderError>>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Held and parked keys run again, so many a second at most.
    Redrive { selection: HeldSelection, per_second: Option<u32> },
    /// The key goes on behind this event.
    Discard { key: EntityKey, event: String, why: Decision },
    /// The event runs with another payload.
    Edit { key: EntityKey, event: String, payload: Json, why: Decision },
    /// The consumer goes on from here.
    Place { cursor: Cursor, why: Decision },
    /// What has ended is written, so that nobody needs to wait for it.
    Checkpoint,
}

impl What {
    /// The one key that it is about.
    pub(super) fn key(&self) -> Option<&EntityKey> {
        match self {
            Self::Redrive { selection, .. } => selection.key.as_ref(),
            Self::Discard { key, .. } | Self::Edit { key, .. } => Some(key),
            Self::Place { .. } | Self::Checkpoint => None,
        }
    }
}

/// Why a decision was not carried out.
#[derive(Clone, Debug)]
pub enum OrderError {
    /// The service has no such consumer.
    UnknownConsumer {
        /// What there is.
        known: Vec<String>,
    },
    /// The key is not held.
    NotHeld,
    /// The key is held by another event by now.
    OtherEvent {
        /// Its id.
        event: String,
    },
    /// A run of the key is under way.
    Running,
    /// The consumer is of a sort that cannot do it.
    Unfit {
        /// Why, and the remedy.
        cause: String,
    },
    /// The consumer does not work now.
    NotWorking {
        /// Why.
        cause: String,
    },
    /// Nobody can read from this place.
    Place(CursorError),
    /// The engine failed.
    Failed {
        /// Why.
        cause: String,
    },
}

impl fmt::Display for OrderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownConsumer { known } => write!(formatter, "there is no such consumer; there are: {}", known.join(", ")),
            Self::NotHeld => formatter.write_str("the key is neither held nor parked"),
            Self::OtherEvent { event } => write!(formatter, "the key is held by event {event} by now; look at it and decide again"),
            Self::Running => formatter.write_str("a run of the key is under way; try again"),
            Self::NotWorking { cause } => write!(formatter, "the consumer does not work now ({cause}); try again"),
            Self::Place(error) => error.fmt(formatter),
            Self::Failed { cause } | Self::Unfit { cause } => formatter.write_str(cause),
        }
    }
}

impl std::error::Error for OrderError {}

impl From<DeliveryError> for OrderError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Read(ReadError::Cursor(error)) => Self::Place(error),
            error => Self::Failed { cause: error.to_string() },
        }
    }
}

/// Causes that differ in numbers only are one group: each run of digits, and each word of hexadecimal digits with one in it,
/// becomes `#`.
#[must_use]
pub fn cause_group(cause: &str) -> String {
    let mut group = String::with_capacity(cause.len());
    for word in cause.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let is_number = bare.bytes().any(|byte| byte.is_ascii_digit()) && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        group.push_str(if is_number { "#" } else { bare });
        group.push_str(&word[bare.len()..]);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::cause_group;

    #[test]
    fn causes_that_differ_in_numbers_are_one_group() {
        for (cause, group) in [
            ("order 17 was refused", "order # was refused"),
            ("timeout after 2.5 s (id 01ab-33ff)", "timeout after #.# s (id #-#)"),
            ("a face, a cafe", "a face, a cafe"),
            ("not found: k7x", "not found: k7x"),
            ("", ""),
        ] {
            assert_eq!(cause_group(cause), group);
        }
    }
}
