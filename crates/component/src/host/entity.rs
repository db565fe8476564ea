//! An entity behind the erased contract.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::recording::{broken, decode_state, encode_event, encode_reply, encode_state, rejected, state_build};
use crate::body::read_command;
use crate::entity::Entity;
use crate::hosted::{
    Accepted, CommandContext, EncodedEvent, EntityDescription, EntityHandle, HostedEntity, LiveEntity, Refusal, StoredEvent, Unreadable,
    state_version,
};
use crate::limits::is_name;
use crate::personal::Binding;
use crate::personal::mark::{is_marked, marking};
use crate::tag::checked_tags;
use crate::value::Value as _;
use crate::value::{Definitions, schema_of};
use crate::variants::{Variants, decode_event, decode_lowered, decode_waited, encode_payload};

/// An entity type, ready for a service. A name that breaks the rule does not compile:
///
/// ```compile_fail,E0080
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Default, State)] struct Cart {}
/// # #[derive(Command)] enum CartCommand { #[command("pay")] Pay }
/// # #[derive(Event)] enum CartEvent { #[event("paid")] Paid }
/// impl Entity for Cart {
///     const NAME: &'static str = "Shopping Cart";
///     // ..
/// #   type Command = CartCommand; type Event = CartEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #   fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> { Ok(nothing()) }
/// #   fn evolve(&mut self, _: &CartEvent) {}
/// }
/// hosted::<Cart>();
/// ```
#[must_use]
pub fn hosted<E: Entity>() -> EntityHandle {
    const { assert!(is_name(E::NAME), "the name of an entity must match [a-z][a-z0-9-]{{0,63}}") };
    Arc::new(EntityType::<E> { description: describe::<E>(), build: state_build::<E>(E::VERSION), entity: PhantomData })
}

struct EntityType<E> {
    description: EntityDescription,
    build: String,
    entity: PhantomData<fn() -> E>,
}

fn describe<E: Entity>() -> EntityDescription {
    EntityDescription {
        name: E::NAME,
        commands: E::Command::shapes(Definitions::strict),
        events: E::Event::shapes(Definitions::default),
        rejections: E::Rejection::shapes(Definitions::default),
        reply: schema_of::<E::Reply>(),
        state: schema_of::<E>(),
        state_version: E::VERSION,
        state_from: E::older_shapes(),
    }
}

impl<E: Entity> HostedEntity for EntityType<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn check(&self, command: &str, body: &[u8]) -> Result<(), Refusal> {
        read_command::<E::Command>(command, body).map(drop)
    }

    fn marked(&self, command: &str, entity_id: &str, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let mut command: E::Command = read_command(command, body)?;
        E::Command::bind(&mut command, &Binding::of_entity(E::NAME, entity_id, None));
        let marked = marking(|| encode_payload(&command)).map_err(|error| broken(format!("the command does not encode: {error}")))?;
        Ok(Some(marked).filter(|marked| is_marked(marked)))
    }

    fn fresh(&self) -> Box<dyn LiveEntity> {
        Live::<E>::fresh()
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        let state = decode_state::<E>(state).map_err(unreadable::<E>)?;
        Ok(Box::new(Live { state }))
    }

    fn rebase(&self, build: &str, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        let state = match state_version(build) {
            Some(then) if then == E::VERSION => return self.restore(state),
            Some(then) if then < E::VERSION => older_state::<E>(then, state),
            _ => Err(format!("the baseline is of the state {build}, and the component has v{}; deploy the newer build", E::VERSION)),
        };
        Ok(Box::new(Live { state: state.map_err(unreadable::<E>)? }))
    }

    fn state_build(&self) -> &str {
        &self.build
    }

    fn raised(&self, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        let event: E::Event = decode_event(event).map_err(|error| unreadable::<E>(error.message))?;
        encode_event(E::NAME, &event).map_err(|message| Unreadable { message })
    }

    fn lowered(&self, event: StoredEvent<'_>, version: u16) -> Result<Option<Vec<u8>>, Unreadable> {
        decode_lowered::<E::Event>(event, version).map_err(|error| unreadable::<E>(error.message))
    }

    fn raised_command(&self, command: StoredEvent<'_>) -> Result<Vec<u8>, Unreadable> {
        if command.version == self.description.command_version(command.name) {
            return Ok(command.payload.to_vec());
        }
        let about = |problem: String| Unreadable { message: format!("command {}/{} {problem}", E::NAME, command.name) };
        let raised: E::Command = decode_waited(command).map_err(about)?;
        encode_payload(&raised).map_err(|error| about(format!("does not encode: {error}")))
    }

    fn bound(&self, entity_id: &str, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        let mut event: E::Event = decode_event(event).map_err(|error| unreadable::<E>(error.message))?;
        E::Event::bind(&mut event, &Binding::of_entity(E::NAME, entity_id, None));
        encode_event(E::NAME, &event).map_err(|message| Unreadable { message })
    }

    fn description(&self) -> &EntityDescription {
        &self.description
    }
}

/// A state in memory.
pub(crate) struct Live<E> {
    state: E,
}

impl<E: Entity> Live<E> {
    /// Without events.
    pub(crate) fn fresh() -> Box<dyn LiveEntity> {
        Box::new(Self { state: E::default() })
    }

    /// Tags and applies events whose payloads are encoded already. One event is checked before it is applied; behind several, a bad
    /// tag shows when the first ones are in, so the state's JSON is kept to put it back.
    fn apply(&mut self, events: Vec<E::Event>, encoded: &mut [EncodedEvent]) -> Result<(), Refusal> {
        let before = if events.len() > 1 { encode_state(&self.state).map_err(broken)? } else { Vec::new() };
        for (at, (event, encoded)) in events.iter().zip(encoded).enumerate() {
            match checked_tags(self.state.tags(event)) {
                Ok(tags) => encoded.tags = tags,
                Err(error) => {
                    if at > 0 {
                        self.state = decode_state(&before).map_err(broken)?;
                    }
                    return Err(broken(error));
                }
            }
            self.state.evolve(event);
        }
        Ok(())
    }
}

impl<E: Entity> LiveEntity for Live<E> {
    fn decide(&mut self, command: &str, body: &[u8], context: &CommandContext) -> Result<Accepted, Refusal> {
        let mut command: E::Command = read_command(command, body)?;
        let binding = Binding::of_entity(E::NAME, &context.entity_id, Some(context.erasures));
        E::Command::bind(&mut command, &binding);
        let decision = self.state.decide(command, context).map_err(|mut rejection| {
            E::Rejection::bind(&mut rejection, &binding);
            rejected(&rejection)
        })?;
        let (mut events, mut reply) = decision.into_parts();
        E::Reply::bind(&mut reply, &binding);
        events.iter_mut().for_each(|event| E::Event::bind(event, &binding));
        let reply = encode_reply(&reply)?;
        let encoded: Result<Vec<_>, _> = events.iter().map(|event| encode_event(E::NAME, event)).collect();
        let mut encoded = encoded.map_err(broken)?;
        self.apply(events, &mut encoded)?;
        Ok(Accepted { events: encoded, reply })
    }

    fn evolve(&mut self, event: StoredEvent<'_>) -> Result<(), Unreadable> {
        let event: E::Event = decode_event(event).map_err(|error| unreadable::<E>(error.message))?;
        self.state.evolve(&event);
        Ok(())
    }

    fn state(&self) -> Result<Vec<u8>, Unreadable> {
        encode_state(&self.state).map_err(unreadable::<E>)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        &mut self.state
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.state)
    }
}

/// A state of an older version, through the type that is named for it.
fn older_state<E: Entity>(then: u16, state: &[u8]) -> Result<E, String> {
    let now = E::VERSION;
    let nameless = || {
        let remedy = format!("name a type that reads it: `#[state(version = {now}, from = ..)]`");
        format!("the baseline is of the state's version v{then}, and the component has v{now}; {remedy}")
    };
    let read = E::older(then, state).ok_or_else(nameless)?;
    read.map_err(|error| format!("the baseline is of the state's version v{then}, and does not fit: {error}"))
}

fn unreadable<E: Entity>(message: String) -> Unreadable {
    Unreadable { message: format!("{}: {message}", E::NAME) }
}
