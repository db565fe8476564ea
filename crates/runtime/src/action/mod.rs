//! Actions: a consumer for each, whose runs send commands through a door of their own.
//!
//! The id of everything that a run sends derives from the action's name, the event's id, and the key or order that the action
//! gave it: a run that comes again sends the same commands, and promise 4 makes each of them take effect once. They carry the
//! event's correlation and name it as their cause.
//!
//! What it is not: a fence for calls to the outside; these are at least once.

mod preview;

use std::sync::Arc;

use component::hosted::{
    ActionDescription, ActionDoor, ActionHandle, ActionOutcome, ActionTarget, BoxedFuture, DeliveredEvent, Refusal, SendFailure,
    SentCommand,
};
use component::{DeliveryPolicy, Start};
use journal::{BoxFuture, Context, EntityKey, Recorded, Selection, Timestamp};

use crate::asked::AskedId;
use crate::delivery::{self, Consumer, Delivery, Failure, Handler, RetryPolicy};
use crate::entity::Entities;
use crate::operation::Operations;
use crate::request::{CommandError, CommandOutcome, CommandRequest, Expectation, OperationRequest};

pub(crate) use preview::dry_run;
pub use preview::{DryRun, DrySend};

/// The consumer of an action.
pub(crate) fn consumer(action: &ActionHandle, entities: &Arc<Entities>, operations: &Arc<Operations>) -> Consumer {
    let ActionDescription { name, entity, events, delivery } = action.description();
    let DeliveryPolicy { attempts_max, backoff_min, backoff_max, run_timeout, runs_max, start } = *delivery;
    Consumer {
        name: (*name).to_owned(),
        selection: Selection::Types(events.iter().map(|event| format!("{entity}/{event}").into()).collect()),
        start: match start {
            Start::Now => delivery::Start::Now,
            Start::First => delivery::Start::First,
            Start::At(micros) => delivery::Start::At(Timestamp::from_micros(micros)),
        },
        retry: RetryPolicy { attempts_max, backoff_min, backoff_max },
        run_timeout,
        runs_max: runs_max.max(1),
        handler: Arc::new(Runner { action: Arc::clone(action), entities: Arc::clone(entities), operations: Arc::clone(operations) }),
    }
}

struct Runner {
    action: ActionHandle,
    entities: Arc<Entities>,
    operations: Arc<Operations>,
}

impl Handler for Runner {
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>> {
        let Delivery { event, attempt } = delivery;
        let door = Door {
            consumer: self.action.description().name,
            entities: Arc::clone(&self.entities),
            operations: Arc::clone(&self.operations),
            event: Arc::clone(&event),
        };
        let run = self.action.run(delivered(&event), Arc::new(door), attempt);
        Box::pin(async move {
            match run.await {
                ActionOutcome::Done | ActionOutcome::Skip { .. } => Ok(()),
                ActionOutcome::Retry { cause } => Err(Failure::Retry { cause }),
                ActionOutcome::Park { cause } => Err(Failure::Park { cause }),
            }
        })
    }
}

/// An event as components get it.
pub(crate) fn delivered(event: &Recorded) -> DeliveredEvent {
    DeliveredEvent {
        name: (*event.name).to_owned(),
        version: event.version,
        payload: event.payload.clone(),
        id: event.id.to_string(),
        entity_id: event.entity.id().to_owned(),
        tenant: event.entity.tenant().to_owned(),
        sequence: event.sequence,
        time_micros: event.time.as_micros(),
        correlation_id: event.context.correlation_id.as_deref().map(str::to_owned),
    }
}

/// What one run may do.
struct Door {
    consumer: &'static str,
    entities: Arc<Entities>,
    operations: Arc<Operations>,
    event: Arc<Recorded>,
}

impl ActionDoor for Door {
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
        Box::pin(async move {
            match self.run(command).await {
                Ok(outcome) => Ok(outcome.reply.to_vec()),
                Err(error) => Err(failure(error)),
            }
        })
    }
}

impl Door {
    async fn run(&self, command: SentCommand) -> Result<CommandOutcome, CommandError> {
        let SentCommand { target, body, key } = command;
        let id = AskedId::Derived(format!("{}\0{}\0{key}", self.consumer, self.event.id));
        let context = Context { causation_id: Some(self.event.id.to_string().into()), ..(*self.event.context).clone() };
        let tenant = self.event.entity.tenant();
        match target {
            ActionTarget::Entity { kind, id: entity, command } => {
                let entity = EntityKey::with_tenant(tenant, kind, &entity)
                    .map_err(|error| CommandError::Refused(Refusal::Broken { message: format!("the {kind} {error}") }))?;
                let request =
                    CommandRequest { entity, command: command.to_owned(), body: body.into(), id: None, expect: Expectation::Any, context };
                self.entities.command_under(id, request).await
            }
            ActionTarget::Operation { name } => {
                let request =
                    OperationRequest { tenant: tenant.to_owned(), operation: name.to_owned(), body: body.into(), id: None, context };
                self.operations.run_under(&self.entities, id, request).await
            }
        }
    }
}

/// What the same command would be told again is refused; the rest may pass.
fn failure(error: CommandError) -> SendFailure {
    match error {
        CommandError::Refused(refusal) => SendFailure::Refused(refusal),
        CommandError::UnknownTarget { .. } | CommandError::Mismatch | CommandError::TooLarge { .. } | CommandError::ReplyGone => {
            SendFailure::Refused(Refusal::Broken { message: error.to_string() })
        }
        other => SendFailure::Failed { message: other.to_string() },
    }
}
