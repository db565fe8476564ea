//! Tests of entities.

use std::marker::PhantomData;

use super::assertions::outcome_assertions;
use super::outcome::{Outcome, Recorded, asked, encode_all, stored};
use super::test_context;
use crate::decision::IntoEvents;
use crate::entity::Entity;
use crate::host::Live;
use crate::hosted::{CommandContext, LiveEntity};
use crate::limits::is_name;
use crate::variants::{Variants, encode_payload};

/// An entity to which these events happened.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Default, State)] struct Lamp { on: bool }
/// # #[derive(Command)] enum LampCommand { #[command("turn-on")] TurnOn }
/// # #[derive(Event)] enum LampEvent { #[event("turned-on")] TurnedOn }
/// # #[derive(Rejection)] enum LampRejection { #[rejection("on", "it is on")] On }
/// # impl Entity for Lamp {
/// #     const NAME: &'static str = "lamp";
/// #     type Command = LampCommand; type Event = LampEvent; type Reply = (); type Rejection = LampRejection;
/// #     fn decide(&self, _: LampCommand, _: &CommandContext) -> Result<Decision<LampEvent>, LampRejection> {
/// #         if self.on { Err(LampRejection::On) } else { Ok(record(LampEvent::TurnedOn)) }
/// #     }
/// #     fn evolve(&mut self, _: &LampEvent) { self.on = true; }
/// # }
/// given::<Lamp>([])
///     .when(LampCommand::TurnOn)
///     .then([LampEvent::TurnedOn])
///     .state(|lamp| assert!(lamp.on))
///     .when(LampCommand::TurnOn)
///     .rejected(LampRejection::On);
/// ```
#[track_caller]
#[must_use = "ask it something: `.when(command)`"]
pub fn given<E: Entity>(events: impl IntoEvents<E::Event>) -> Given<E> {
    const { assert!(is_name(E::NAME), "the name of an entity must match [a-z][a-z0-9-]{{0,63}}") };
    let mut given = Given { live: Live::<E>::fresh(), context: test_context(), entity: PhantomData };
    for event in encode_all(E::NAME, events.into_events()) {
        given.live.evolve(stored(&event)).unwrap_or_else(|error| panic!("{error}"));
        given.context.sequence += 1;
    }
    given
}

/// An entity in a test, before a command.
pub struct Given<E: Entity> {
    live: Box<dyn LiveEntity>,
    context: CommandContext,
    entity: PhantomData<fn() -> E>,
}

/// An entity in a test, after a command.
pub struct When<E: Entity> {
    given: Given<E>,
    outcome: Outcome,
}

impl<E: Entity> Given<E> {
    /// Sets the time of the commands that follow: microseconds since 1970.
    pub fn at(mut self, time_micros: i64) -> Self {
        self.context.time_micros = time_micros;
        self
    }

    /// Sets who sends the commands that follow.
    pub fn by(mut self, principal: impl Into<String>) -> Self {
        self.context.principal = Some(principal.into());
        self
    }

    /// Sets the entity's id, which is `1` otherwise.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.context.entity_id = id.into();
        self
    }

    /// Sends a command.
    ///
    /// # Panics
    /// When the command does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when(mut self, command: E::Command) -> When<E> {
        let body = encode_payload(&command).unwrap_or_else(|error| panic!("command {} does not encode: {error}", command.name()));
        let accepted = self.live.decide(command.name(), &body, &self.context);
        let result = accepted.map(|accepted| Recorded { events: accepted.events, reply: accepted.reply });
        self.context.sequence += result.as_ref().map_or(0, |recorded| recorded.events.len() as u64);
        When { given: self, outcome: Outcome { asked: asked(E::NAME, command.name(), &body), result } }
    }
}

impl<E: Entity> When<E> {
    /// These events happened, and no others.
    ///
    /// # Panics
    /// When others did, or the command was refused.
    #[track_caller]
    pub fn then(self, events: impl IntoEvents<E::Event>) -> Self {
        self.outcome.expect_events(&encode_all(E::NAME, events.into_events()));
        self
    }

    outcome_assertions!(E, "The command was", "When it was not.");

    /// Looks at the state.
    ///
    /// # Panics
    /// When `check` does.
    #[track_caller]
    pub fn state(mut self, check: impl FnOnce(&E)) -> Self {
        check(self.given.live.as_any().downcast_ref().expect("the state of an entity is the entity"));
        self
    }

    /// As [`Given::at`].
    pub fn at(mut self, time_micros: i64) -> Self {
        self.given = self.given.at(time_micros);
        self
    }

    /// As [`Given::by`].
    pub fn by(mut self, principal: impl Into<String>) -> Self {
        self.given = self.given.by(principal);
        self
    }

    /// Sends a further command to the entity as it is now.
    ///
    /// # Panics
    /// When the command does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when(self, command: E::Command) -> Self {
        self.given.when(command)
    }
}
