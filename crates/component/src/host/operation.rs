//! An operation behind the erased contract.

use std::marker::PhantomData;
use std::sync::Arc;

use super::recording::{broken, encode_reply, rejected};
use crate::body::read_input;
use crate::hosted::{
    CommandContext, HostedOperation, LiveEntity, OperationAccepted, OperationDescription, OperationHandle, OperationReads, OperationSeen,
    Refusal,
};
use crate::limits::is_name;
use crate::operation::{Entities, EntityRef, Operation};
use crate::personal::Binding;
use crate::value::{Definitions, Value, schema_of};
use crate::variants::Variants;

/// An operation, ready for a service.
#[must_use]
pub fn hosted_operation<O: Operation>() -> OperationHandle {
    const { assert!(is_name(O::NAME), "the name of an operation must match [a-z][a-z0-9-]{{0,63}}") };
    let description = OperationDescription {
        name: O::NAME,
        input: Definitions::strict().document(O::Input::schema),
        reply: schema_of::<O::Reply>(),
        rejections: O::Rejection::shapes(Definitions::default),
    };
    Arc::new(OperationType::<O> { description, operation: PhantomData })
}

struct OperationType<O> {
    description: OperationDescription,
    operation: PhantomData<fn() -> O>,
}

impl<O: Operation> HostedOperation for OperationType<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn reads(&self, body: &[u8]) -> Result<OperationReads, Refusal> {
        let named = named::<O>(&read_input(body)?)?;
        Ok(OperationReads::Entities(named.into_iter().map(|entity| (entity.kind, entity.id)).collect()))
    }

    fn decide(&self, body: &[u8], seen: OperationSeen<'_>, context: &CommandContext) -> Result<OperationAccepted, Refusal> {
        let mut input: O::Input = read_input(body)?;
        O::Input::bind(&mut input, &Binding::of_nobody(&context.entity_id, Some(context.erasures)));
        let named = named::<O>(&input)?;
        match seen {
            OperationSeen::Entities(states) if states.len() == named.len() => decide::<O>(input, named, states, context),
            _ => Err(broken(format!("operation {} was not given the entities it asked for", O::NAME))),
        }
    }

    fn description(&self) -> &OperationDescription {
        &self.description
    }
}

/// Each entity once, in the order they were named first.
fn named<O: Operation>(input: &O::Input) -> Result<Vec<EntityRef>, Refusal> {
    let mut named: Vec<EntityRef> = Vec::new();
    for entity in O::entities(input) {
        if !named.contains(&entity) {
            named.push(entity);
        }
    }
    if named.is_empty() {
        return Err(broken(format!("operation {} names no entity: its `entities` must give at least one", O::NAME)));
    }
    Ok(named)
}

fn decide<O: Operation>(
    input: O::Input,
    named: Vec<EntityRef>,
    states: &mut [Box<dyn LiveEntity>],
    context: &CommandContext,
) -> Result<OperationAccepted, Refusal> {
    let seats = named.into_iter().zip(states).map(|(entity, state)| (entity.kind, entity.id, state.as_any()));
    let mut entities = Entities::new(seats, context.erasures);
    let reply = O::decide(input, &mut entities, context).map_err(|rejection| rejected(&rejection));
    match reply.and_then(|reply| encode_reply(&reply)) {
        Ok(reply) => Ok(OperationAccepted { events: entities.finish().map_err(broken)?, reply }),
        Err(refusal) => {
            entities.put_back().map_err(broken)?;
            Err(refusal)
        }
    }
}
