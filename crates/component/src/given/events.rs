//! Tests of rules.

use std::marker::PhantomData;

use super::assertions::outcome_assertions;
use super::outcome::{Outcome, Recorded, asked, encode_all, stored};
use super::test_context;
use crate::decision::IntoEvents;
use crate::host::hosted_rule;
use crate::hosted::{CommandContext, EncodedEvent, OperationAccepted, OperationSeen, Refusal};
use crate::rule::Rule;
use crate::value::encode;

/// The events that a [`Rule`] finds by its query, whatever it asks for.
#[track_caller]
#[must_use = "ask it something: `.when(input)`"]
pub fn given_events<R: Rule>(events: impl IntoEvents<R::Event>) -> GivenEvents<R> {
    GivenEvents { events: encode_all(R::ENTITY, events.into_events()), context: test_context(), rule: PhantomData }
}

/// A rule in a test, before it is asked.
pub struct GivenEvents<R: Rule> {
    events: Vec<EncodedEvent>,
    context: CommandContext,
    rule: PhantomData<fn() -> R>,
}

/// A rule in a test, after it was asked.
pub struct WhenEvents<R: Rule> {
    given: GivenEvents<R>,
    /// The entity that its events went to, when there are any.
    id: Option<String>,
    outcome: Outcome,
}

impl<R: Rule> GivenEvents<R> {
    /// Sets the time of what follows: microseconds since 1970.
    pub fn at(mut self, time_micros: i64) -> Self {
        self.context.time_micros = time_micros;
        self
    }

    /// Sets who asks for what follows.
    pub fn by(mut self, principal: impl Into<String>) -> Self {
        self.context.principal = Some(principal.into());
        self
    }

    /// Asks the rule.
    ///
    /// # Panics
    /// When the input does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when(mut self, input: R::Input) -> WhenEvents<R> {
        let body = encode(&input).unwrap_or_else(|error| panic!("the input of {} does not encode: {error}", R::NAME));
        let asked = asked("rule", R::NAME, &body);
        let (id, result) = match self.run(&body) {
            Ok(accepted) => flatten(accepted),
            Err(refusal) => (None, Err(refusal)),
        };
        self.events.extend(result.iter().flat_map(|recorded| recorded.events.clone()));
        WhenEvents { given: self, id, outcome: Outcome { asked, result } }
    }

    fn run(&self, body: &[u8]) -> Result<OperationAccepted, Refusal> {
        let rule = hosted_rule::<R>();
        rule.reads(body)?;
        let seen: Vec<_> = self.events.iter().map(stored).collect();
        rule.decide(body, OperationSeen::Tagged(&seen), &self.context)
    }
}

fn flatten(mut accepted: OperationAccepted) -> (Option<String>, Result<Recorded, Refusal>) {
    let (id, events) = accepted.events.pop().map_or((None, Vec::new()), |(_, id, events)| (Some(id), events));
    (id, Ok(Recorded { events, reply: accepted.reply }))
}

impl<R: Rule> WhenEvents<R> {
    /// These events happened to the entity of this id, and no others.
    ///
    /// # Panics
    /// When others did, or to another one, or the rule refused.
    #[track_caller]
    pub fn then(self, id: &str, events: impl IntoEvents<R::Event>) -> Self {
        self.outcome.expect_events(&encode_all(R::ENTITY, events.into_events()));
        if let Some(actual) = &self.id {
            assert!(actual == id, "{}\n\nexpected on {} `{id}`, recorded on `{actual}`", self.outcome.asked, R::ENTITY);
        }
        self
    }

    outcome_assertions!(R, "The rule", "When it did not.");

    /// Asks again, over the events as they are now.
    ///
    /// # Panics
    /// When the input does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when(self, input: R::Input) -> Self {
        self.given.when(input)
    }
}
