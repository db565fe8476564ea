//! Held and parked keys, as a test asks about them.

use std::fmt;

use runtime::HeldKey;

/// An entity whose event failed in a consumer: its later events wait behind it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The consumer: an action's name.
    pub consumer: String,
    /// The entity, such as `cart/c1`.
    pub entity: String,
    /// The type of the event that failed, such as `cart/checked-out`.
    pub event_type: String,
    /// The event's number within its entity.
    pub sequence: u64,
    /// How often it has run.
    pub attempts: u32,
    /// Whether no further run is due: a person decides.
    pub parked: bool,
    /// Why the last run failed.
    pub cause: String,
}

impl Held {
    pub(super) fn new(consumer: &str, held: &HeldKey) -> Self {
        Self {
            consumer: consumer.to_owned(),
            entity: format!("{}/{}", held.kind, held.id),
            event_type: held.event_type.clone(),
            sequence: held.sequence,
            attempts: held.attempts,
            parked: held.parked,
            cause: held.cause().to_owned(),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { consumer, entity, event_type, sequence, attempts, parked, cause } = self;
        let word = if *parked { "parked" } else { "held" };
        write!(formatter, "{entity} is {word} in {consumer} by its event {sequence} ({event_type}) after {attempts} runs: {cause}")
    }
}
