//! Rules: one decision over every event that matches a query of tags, whichever entities they belong to.

use crate::hosted::CommandContext;
use crate::tag::{Tag, TagSet, tag};
use crate::value::Value;
use crate::variants::{Event, Rejection};

/// A decision over the events that carry certain tags: a unique email, the seats of a course. Its commit holds only if no further
/// event matches meanwhile (a dynamic consistency boundary).
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Event)] enum UserEvent { #[event("registered")] Registered { name: String } }
/// # #[derive(Value)] struct Registration { id: String, name: String }
/// # #[derive(Rejection)] enum NameTaken { #[rejection("name-taken", "the name is taken")] NameTaken }
/// struct UniqueName;
///
/// impl Rule for UniqueName {
///     const NAME: &'static str = "register";
///     const ENTITY: &'static str = "user";
///     type Input = Registration;
///     type State = bool;
///     type Event = UserEvent;
///     type Reply = ();
///     type Rejection = NameTaken;
///
///     fn query(input: &Registration) -> Vec<TagSet> {
///         vec![tag("name", &input.name).into()]
///     }
///
///     fn evolve(taken: &mut bool, _: &UserEvent) {
///         *taken = true;
///     }
///
///     fn decide(input: Registration, taken: &bool, _: &CommandContext) -> Result<RuleDecision<UserEvent>, NameTaken> {
///         if *taken {
///             return Err(NameTaken::NameTaken);
///         }
///         let name = input.name.clone();
///         Ok(record_on(input.id, UserEvent::Registered { name: input.name }).tag("name", name))
///     }
/// }
///
/// let ada = || Registration { id: "u2".into(), name: "ada".into() };
/// given_events::<UniqueName>([]).when(ada()).then("u2", [UserEvent::Registered { name: "ada".into() }]);
/// given_events::<UniqueName>([UserEvent::Registered { name: "ada".into() }]).when(ada()).rejected(NameTaken::NameTaken);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a rule: implement `Rule` for it",
    label = "`Rule` is not implemented for `{Self}`"
)]
pub trait Rule: Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`: its address.
    const NAME: &'static str;
    /// The entity type whose events it reads and records.
    const ENTITY: &'static str;
    /// What it is asked with.
    type Input: Value;
    /// What it needs to know; built from the matching events each time.
    type State: Default;
    /// The events of `ENTITY`.
    type Event: Event;
    /// What it answers when it accepts.
    type Reply: Value;
    /// Why it says no.
    type Rejection: Rejection;

    /// Which events matter: those that have all the tags of any of the sets.
    fn query(input: &Self::Input) -> Vec<TagSet>;

    /// Takes a matching event in.
    fn evolve(state: &mut Self::State, event: &Self::Event);

    /// Accepts, with events on one entity, or rejects.
    ///
    /// # Errors
    /// The rule's own.
    fn decide(
        input: Self::Input,
        state: &Self::State,
        context: &CommandContext,
    ) -> Result<RuleDecision<Self::Event, Self::Reply>, Self::Rejection>;
}

/// An accepted rule: its events, all on one entity, their tags, and the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision takes effect only when `decide` returns it"]
pub struct RuleDecision<E, R = ()> {
    pub(crate) id: String,
    pub(crate) events: Vec<(E, Vec<Tag>)>,
    pub(crate) reply: R,
}

/// Accepts, with an event on the entity of this id; [`RuleDecision::tag`] tags it.
pub fn record_on<E>(id: impl Into<String>, event: E) -> RuleDecision<E> {
    RuleDecision { id: id.into(), events: vec![(event, Vec::new())], reply: () }
}

impl<E> RuleDecision<E> {
    /// Accepts, and nothing happened.
    pub fn nothing() -> Self {
        Self { id: String::new(), events: Vec::new(), reply: () }
    }
}

impl<E, R> RuleDecision<E, R> {
    /// Tags the event that was recorded last.
    pub fn tag(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if let Some((_, tags)) = self.events.last_mut() {
            tags.push(tag(name, value));
        }
        self
    }

    /// Adds an event on the same entity.
    pub fn then(mut self, event: E) -> Self {
        self.events.push((event, Vec::new()));
        self
    }

    /// Answers. A rule with a reply of its own gives it on every accepted path.
    pub fn reply<Q>(self, reply: Q) -> RuleDecision<E, Q> {
        RuleDecision { id: self.id, events: self.events, reply }
    }
}
