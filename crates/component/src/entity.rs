//! Entities: keyed state machines, the boundary of consistency.

use crate::decision::Decision;
use crate::hosted::CommandContext;
use crate::tag::Tag;
use crate::value::Value;
use crate::variants::{Command, Event, Rejection, State};

/// A keyed state machine: it decides commands and evolves by events. Both are pure: no clock, no randomness, no I/O.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Default, State)]
/// struct Door { open: bool }
///
/// #[derive(Command)]
/// enum DoorCommand { #[command("open")] Open, #[command("close")] Close }
///
/// #[derive(Event)]
/// enum DoorEvent { #[event("opened")] Opened, #[event("closed")] Closed }
///
/// #[derive(Rejection)]
/// enum DoorRejection { #[rejection("no-change", "the door is so already")] NoChange }
///
/// impl Entity for Door {
///     const NAME: &'static str = "door";
///     type Command = DoorCommand;
///     type Event = DoorEvent;
///     type Reply = ();
///     type Rejection = DoorRejection;
///
///     fn decide(&self, command: DoorCommand, _: &CommandContext) -> Result<Decision<DoorEvent>, DoorRejection> {
///         match (command, self.open) {
///             (DoorCommand::Open, false) => Ok(record(DoorEvent::Opened)),
///             (DoorCommand::Close, true) => Ok(record(DoorEvent::Closed)),
///             _ => Err(DoorRejection::NoChange),
///         }
///     }
///
///     fn evolve(&mut self, event: &DoorEvent) {
///         self.open = matches!(event, DoorEvent::Opened);
///     }
/// }
///
/// given::<Door>([]).when(DoorCommand::Open).then([DoorEvent::Opened]);
/// given::<Door>([DoorEvent::Opened]).when(DoorCommand::Open).rejected(DoorRejection::NoChange);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity: implement `Entity` for it",
    label = "`Entity` is not implemented for `{Self}`"
)]
pub trait Entity: Default + State + Send + 'static {
    /// The durable name of the type, `[a-z][a-z0-9-]{0,63}`: part of every key and of the address.
    const NAME: &'static str;
    /// What it can be asked.
    type Command: Command;
    /// What can happen to it.
    type Event: Event;
    /// What an accepted command answers; `()` when its success is the answer.
    type Reply: Value;
    /// Why it says no.
    type Rejection: Rejection;

    /// Accepts a command, with the events that it makes, or rejects it.
    ///
    /// # Errors
    /// The rule's own: a rejection is a part of the interface, not a failure.
    fn decide(&self, command: Self::Command, context: &CommandContext) -> Result<Decision<Self::Event, Self::Reply>, Self::Rejection>;

    /// Takes an event in. It happened: there is nothing to refuse any more.
    fn evolve(&mut self, event: &Self::Event);

    /// The tags of an event that is being recorded; the state is the one before it.
    fn tags(&self, _event: &Self::Event) -> Vec<Tag> {
        Vec::new()
    }
}
