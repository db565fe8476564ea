//! Decisions: what an accepted command makes.

/// An accepted command: its events, in order, and its reply.
///
/// ```
/// use headwater_component::{Decision, nothing, record};
///
/// let decision: Decision<char, u32> = record('a').then(['b', 'c']).reply(3);
/// assert_eq!(decision.events(), ['a', 'b', 'c']);
/// let idle: Decision<char> = nothing();
/// assert!(idle.events().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision takes effect only when `decide` returns it"]
pub struct Decision<E, R = ()> {
    events: Vec<E>,
    reply: R,
}

/// Accepts, with one event, an array or a `Vec` of them.
pub fn record<E>(events: impl IntoEvents<E>) -> Decision<E> {
    Decision { events: events.into_events(), reply: () }
}

/// Accepts, and nothing happened.
pub fn nothing<E>() -> Decision<E> {
    Decision { events: Vec::new(), reply: () }
}

impl<E, R> Decision<E, R> {
    /// Adds events behind those there are.
    pub fn then(mut self, events: impl IntoEvents<E>) -> Self {
        self.events.extend(events.into_events());
        self
    }

    /// Answers. An entity with a reply of its own gives it on every accepted path.
    pub fn reply<Q>(self, reply: Q) -> Decision<E, Q> {
        Decision { events: self.events, reply }
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[E] {
        &self.events
    }

    pub(crate) fn into_parts(self) -> (Vec<E>, R) {
        (self.events, self.reply)
    }
}

/// One event or several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one or several of `{E}`",
    label = "expected one event, an array or a `Vec` of events"
)]
pub trait IntoEvents<E> {
    /// As a list.
    fn into_events(self) -> Vec<E>;
}

impl<E> IntoEvents<E> for E {
    fn into_events(self) -> Vec<E> {
        vec![self]
    }
}

impl<E, const N: usize> IntoEvents<E> for [E; N] {
    fn into_events(self) -> Vec<E> {
        self.into()
    }
}

impl<E> IntoEvents<E> for Vec<E> {
    fn into_events(self) -> Vec<E> {
        self
    }
}
