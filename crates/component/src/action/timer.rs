//! Timers of actions: a command that is sent later, known by its name.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use super::{ActionContext, CommandFailure, Keyed};
use crate::entity::Entity;
use crate::hosted::{ActionTarget, TimerDue};
use crate::variants::{Variants as _, encode_payload};

/// A timer that an action sets, known by its name.
#[must_use = "say when it is due: `.after(..)`, `.at_micros(..)`, `.every(..)` or `.cron(..)`"]
pub struct Timer<'a> {
    keyed: Keyed<'a>,
    name: String,
}

/// A timer that an action sets, and when it is due.
#[must_use = "say what it sends: `.send::<Cart>(id, command)`"]
pub struct DueTimer<'a> {
    timer: Timer<'a>,
    due: TimerDue,
}

impl ActionContext {
    /// Sets a timer: a command that is sent when its time has come, once. The name is the service's own, so that a later action finds it
    /// again: one that waits under this name is replaced. A run that comes again sets nothing twice.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # use std::time::Duration;
    /// # #[derive(Event)] enum CartEvent { #[event("created")] Created }
    /// # #[derive(Default, State)] struct Cart { gone: bool }
    /// # #[derive(Command)] enum CartCommand { #[command("expire")] Expire }
    /// # #[derive(Event)] enum CartChange { #[event("expired")] Expired }
    /// # impl Entity for Cart {
    /// #     const NAME: &'static str = "cart";
    /// #     type Command = CartCommand; type Event = CartChange; type Reply = (); type Rejection = std::convert::Infallible;
    /// #     fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartChange>, Self::Rejection> { Ok(record(CartChange::Expired)) }
    /// #     fn evolve(&mut self, _: &CartChange) { self.gone = true; }
    /// # }
    /// struct Expiry;
    ///
    /// impl Action for Expiry {
    ///     const NAME: &'static str = "expiry";
    ///     const ENTITY: &'static str = "cart";
    ///     type Event = CartEvent;
    ///
    ///     async fn run(&self, event: Recorded<CartEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
    ///         let cart = event.entity_id;
    ///         ctx.timer(format!("expire-{cart}")).after(Duration::from_secs(3_600)).send::<Cart>(cart, CartCommand::Expire).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// given_action(Expiry)
    ///     .when("c1", CartEvent::Created)
    ///     .sends([timer_after::<Cart>("expire-c1", Duration::from_secs(3_600), "c1", CartCommand::Expire)]);
    /// ```
    pub fn timer(&self, name: impl fmt::Display) -> Timer<'_> {
        self.next().timer(name)
    }

    /// Cancels a timer; gives whether it was in time. False also when none of this name was ever set.
    ///
    /// # Errors
    /// See [`CommandFailure`]; it is never rejected.
    pub async fn cancel_timer(&self, name: impl fmt::Display) -> Result<bool, CommandFailure<Infallible>> {
        self.next().cancel_timer(name).await
    }
}

impl<'a> Keyed<'a> {
    /// As [`ActionContext::timer`].
    pub fn timer(self, name: impl fmt::Display) -> Timer<'a> {
        Timer { keyed: self, name: name.to_string() }
    }

    /// As [`ActionContext::cancel_timer`].
    ///
    /// # Errors
    /// See [`CommandFailure`]; it is never rejected.
    pub async fn cancel_timer(self, name: impl fmt::Display) -> Result<bool, CommandFailure<Infallible>> {
        self.send(ActionTarget::TimerEnd { name: name.to_string() }, Ok(b"null".to_vec())).await
    }
}

impl<'a> Timer<'a> {
    /// So long after the event that the action runs for was recorded: the same at each run.
    pub fn after(self, time: Duration) -> DueTimer<'a> {
        DueTimer { timer: self, due: TimerDue::After(time) }
    }

    /// At this time: microseconds since 1970, UTC.
    pub fn at_micros(self, time_micros: i64) -> DueTimer<'a> {
        DueTimer { timer: self, due: TimerDue::At(time_micros) }
    }

    /// Again and again: after this time, and each time that it has passed once more. At least a second. Set again as it is, it goes on.
    pub fn every(self, period: Duration) -> DueTimer<'a> {
        DueTimer { timer: self, due: TimerDue::Every(period) }
    }

    /// Again and again: when the wall clock of a time zone of the IANA database is as the cron line says (five fields, or six with seconds in
    /// front). Set again as it is, it goes on.
    pub fn cron(self, line: impl Into<String>, zone: impl Into<String>) -> DueTimer<'a> {
        DueTimer { timer: self, due: TimerDue::Cron { line: line.into(), zone: zone.into() } }
    }
}

impl DueTimer<'_> {
    /// Sets it; the command goes to the entity of this id.
    ///
    /// # Errors
    /// See [`CommandFailure`]. A command that is rejected when the time has come is an outcome of the timer, not of this.
    pub async fn send<E: Entity>(self, id: impl Into<String>, command: E::Command) -> Result<(), CommandFailure<Infallible>> {
        let Self { timer: Timer { keyed, name }, due } = self;
        let target = ActionTarget::Timer { name, due, kind: E::NAME, id: id.into(), command: command.name() };
        keyed.send(target, encode_payload(&command)).await
    }
}
