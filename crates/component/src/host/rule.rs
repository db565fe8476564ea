//! A rule behind the erased contract.

use std::marker::PhantomData;
use std::sync::Arc;

use super::recording::{broken, encode_event, encode_reply, rejected};
use crate::body::read_input;
use crate::hosted::{
    CommandContext, EncodedEvent, HostedOperation, OperationAccepted, OperationDescription, OperationHandle, OperationReads, OperationSeen,
    Refusal, StoredEvent,
};
use crate::limits::is_name;
use crate::personal::Binding;
use crate::rule::Rule;
use crate::tag::{Tag, TagError, checked_tags};
use crate::value::{Definitions, Value, schema_of};
use crate::variants::{Variants, decode_event};

/// A rule, ready for a service.
#[must_use]
pub fn hosted_rule<R: Rule>() -> OperationHandle {
    const { assert!(is_name(R::NAME), "the name of a rule must match [a-z][a-z0-9-]{{0,63}}") };
    const { assert!(is_name(R::ENTITY), "the name of an entity must match [a-z][a-z0-9-]{{0,63}}") };
    let description = OperationDescription {
        name: R::NAME,
        input: Definitions::strict().document(R::Input::schema),
        reply: schema_of::<R::Reply>(),
        rejections: R::Rejection::shapes(Definitions::default),
    };
    Arc::new(RuleType::<R> { description, rule: PhantomData })
}

struct RuleType<R> {
    description: OperationDescription,
    rule: PhantomData<fn() -> R>,
}

impl<R: Rule> HostedOperation for RuleType<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn reads(&self, body: &[u8]) -> Result<OperationReads, Refusal> {
        let sets = R::query(&read_input(body)?);
        if sets.is_empty() || sets.iter().any(|set| set.0.is_empty()) {
            return Err(broken(format!("rule {} asks for every event: its `query` must name tags in each set", R::NAME)));
        }
        let any_of: Result<_, _> = sets.into_iter().map(|set| checked_tags(set.0)).collect();
        Ok(OperationReads::Tagged { kind: R::ENTITY, any_of: any_of.map_err(refused::<R>)? })
    }

    fn decide(&self, body: &[u8], seen: OperationSeen<'_>, context: &CommandContext) -> Result<OperationAccepted, Refusal> {
        match seen {
            OperationSeen::Tagged(events) => {
                let mut input: R::Input = read_input(body)?;
                R::Input::bind(&mut input, &Binding::of_nobody(&context.entity_id, Some(context.erasures)));
                decide::<R>(input, events, context)
            }
            OperationSeen::Entities(_) => Err(broken(format!("rule {} was not given the events it asked for", R::NAME))),
        }
    }

    fn description(&self) -> &OperationDescription {
        &self.description
    }
}

fn decide<R: Rule>(input: R::Input, seen: &[StoredEvent<'_>], context: &CommandContext) -> Result<OperationAccepted, Refusal> {
    let mut state = R::State::default();
    for stored in seen {
        let event = decode_event(*stored).map_err(|error| broken(rule_message::<R>(&error.message)))?;
        R::evolve(&mut state, &event);
    }
    let decision = R::decide(input, &state, context).map_err(|rejection| rejected(&rejection))?;
    let reply = encode_reply(&decision.reply)?;
    let binding = Binding::of_entity(R::ENTITY, &decision.id, Some(context.erasures));
    let events: Result<Vec<_>, _> = decision.events.into_iter().map(|event| encode_tagged::<R>(event, &binding)).collect();
    let events = events.map_err(|message| broken(rule_message::<R>(&message)))?;
    let events = if events.is_empty() { Vec::new() } else { vec![(R::ENTITY, decision.id, events)] };
    Ok(OperationAccepted { events, reply })
}

fn encode_tagged<R: Rule>((mut event, tags): (R::Event, Vec<Tag>), binding: &Binding<'_>) -> Result<EncodedEvent, String> {
    R::Event::bind(&mut event, binding);
    let mut encoded = encode_event(R::ENTITY, &event)?;
    encoded.tags = checked_tags(tags)?;
    Ok(encoded)
}

/// The tags of a query come from the input alone: a value that cannot be one is the sender's.
fn refused<R: Rule>(error: TagError) -> Refusal {
    match error {
        TagError::Value(message) => Refusal::Invalid { pointer: String::new(), message },
        TagError::Name(message) => broken(rule_message::<R>(&message)),
    }
}

fn rule_message<R: Rule>(message: &str) -> String {
    format!("rule {}: {message}", R::NAME)
}
