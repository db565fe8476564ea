//! An action behind the erased contract.

use std::sync::Arc;

use super::recording::personal_events;
use crate::action::{Action, ActionContext, ActionError, Recorded, Verdict};
use crate::hosted::{ActionDescription, ActionDoor, ActionHandle, ActionOutcome, BoxedFuture, DeliveredEvent, HostedAction, StoredEvent};
use crate::limits::is_name;
use crate::variants::{Variants as _, decode_event};

/// An action, ready for a service.
#[must_use]
pub fn hosted_action<A: Action>(action: A) -> ActionHandle {
    const { assert!(is_name(A::NAME), "the name of an action must match [a-z][a-z0-9-]{{0,63}}") };
    const { assert!(is_name(A::ENTITY), "the name of an entity must match [a-z][a-z0-9-]{{0,63}}") };
    let description = ActionDescription {
        name: A::NAME,
        entity: A::ENTITY,
        events: A::Event::NAMES,
        personal: personal_events::<A::Event>(),
        publishes: A::publishes().descriptions(),
        delivery: action.delivery(),
    };
    Arc::new(ActionType { description, action: Arc::new(action) })
}

struct ActionType<A> {
    description: ActionDescription,
    action: Arc<A>,
}

impl<A: Action> HostedAction for ActionType<A> {
    fn description(&self) -> &ActionDescription {
        &self.description
    }

    fn run(&self, event: DeliveredEvent, door: Arc<dyn ActionDoor>, attempt: u32) -> BoxedFuture<'static, ActionOutcome> {
        let action = Arc::clone(&self.action);
        Box::pin(async move {
            let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
            let decoded = match decode_event(stored) {
                Ok(decoded) => decoded,
                Err(unreadable) => return ActionOutcome::Park { cause: format!("{}: {}", A::ENTITY, unreadable.message) },
            };
            let DeliveredEvent { id, entity_id, tenant, sequence, time_micros, correlation_id, .. } = event;
            let recorded = Recorded { event: decoded, id, entity_id, tenant, sequence, time_micros, correlation_id };
            let ctx = ActionContext::new(door, attempt, A::publishes);
            outcome(action.run(recorded, &ctx).await)
        })
    }
}

/// How a run ended, in the words of the erased contract.
pub(super) fn outcome(ended: Result<(), ActionError>) -> ActionOutcome {
    match ended {
        Ok(()) => ActionOutcome::Done,
        Err(ActionError(Verdict::Retry(cause))) => ActionOutcome::Retry { cause },
        Err(ActionError(Verdict::Park(cause))) => ActionOutcome::Park { cause },
        Err(ActionError(Verdict::Skip(reason))) => ActionOutcome::Skip { reason },
        Err(ActionError(Verdict::Later { cause, wait })) => ActionOutcome::Later { cause, wait },
    }
}
