//! Actions: a consumer for each, whose runs send commands through a door of their own.
//!
//! The id of everything that a run sends derives from the action's name, the event's id, and the key or order that the action
//! gave it: a run that comes again sends the same commands, and promise 4 makes each of them take effect once. They carry the
//! event's correlation and name it as their cause.
//!
//! Calls to the outside go through `destination`, under an id that is made the same way.
//!
//! What it is not: a fence for calls to the outside; these are at least once.

mod peer;
mod preview;
mod timers;
mod topics;
mod workflows;

use std::sync::{Arc, Weak};

use std::time::Duration;

use component::hosted::{
    ActionDescription, ActionDoor, ActionHandle, ActionOutcome, ActionTarget, BoxedFuture, CallFailure, CallReply, DeliveredEvent, Refusal,
    SendFailure, SentCall, SentCommand,
};
use component::{DeliveryPolicy, Start};
use journal::{BoxFuture, CommandId, Context, EntityKey, Recorded, Selection, Timestamp};

use crate::asked::AskedId;
use crate::delivery::{self, Consumer, Delivery, Failure, Handler, RetryPolicy};
use crate::destination::{Ask, Destinations, OutgoingCall};
use crate::entity::Entities;
use crate::limits::RUN_MARGIN_DIVISOR;
use crate::operation::Operations;
use crate::personal::runs::Waiting;
use crate::request::{CommandError, CommandOutcome, CommandRequest, Expectation, OperationRequest};
use crate::seams::Tasks;
use crate::stream::Peers;
use crate::timer::Timers;
use crate::topic::Topics;
use crate::workflow::Workflows;

pub(crate) use preview::dry_run;
pub use preview::{DryRun, DrySend};

/// What runs of actions reach.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) entities: Arc<Entities>,
    pub(crate) operations: Arc<Operations>,
    pub(crate) destinations: Arc<Destinations>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) topics: Arc<Topics>,
    /// They reach for it too.
    pub(crate) workflows: Weak<Workflows>,
    pub(crate) tasks: Arc<dyn Tasks>,
}

/// The consumer of an action.
pub(crate) fn consumer(action: &ActionHandle, reach: &Reach) -> Consumer {
    let ActionDescription { name, entity, events, delivery, .. } = action.description();
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
        handler: Arc::new(Runner { action: Arc::clone(action), reach: reach.clone() }),
    }
}

struct Runner {
    action: ActionHandle,
    reach: Reach,
}

impl Handler for Runner {
    fn run(&self, delivery: Delivery) -> BoxFuture<'static, Result<(), Failure>> {
        let attempt = delivery.attempt;
        let event = match delivery.open() {
            Ok(event) => event,
            Err(failure) => return Box::pin(std::future::ready(Err(failure))),
        };
        let ActionDescription { name, delivery: policy, .. } = self.action.description();
        // What the run does ends a little before the run is cut, so that it may still say what became of it.
        let time = policy.run_timeout - policy.run_timeout / RUN_MARGIN_DIVISOR;
        let deadline = self.reach.tasks.elapsed().saturating_add(time);
        let context = Context { causation_id: Some(event.id.to_string().into()), ..(*event.context).clone() };
        let source = Source {
            id: format!("{name}\0{}", event.id),
            tenant: event.entity.tenant().to_owned(),
            time: event.time,
            context,
            waiting: Some(delivery.event),
        };
        let door = Door { reach: self.reach.clone(), source, attempt, deadline };
        let run = self.action.run(delivered(&event), Arc::new(door), attempt);
        Box::pin(async move {
            match run.await {
                ActionOutcome::Done | ActionOutcome::Skip { .. } => Ok(()),
                ActionOutcome::Retry { cause } => Err(Failure::Retry { cause }),
                ActionOutcome::Park { cause } => Err(Failure::Park { cause }),
                ActionOutcome::Later { cause, wait } => Err(Failure::Later { cause, wait }),
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

/// On whose behalf a run sends.
pub(crate) struct Source {
    /// What the ids of all that it sends begin with: the same at every run.
    pub(crate) id: String,
    pub(crate) tenant: String,
    /// The moment from which time counts: the same at every run.
    pub(crate) time: Timestamp,
    /// Who and why.
    pub(crate) context: Context,
    /// The event as it waited, of a run over one: it knows whose values the run has been shown, and how old they are. What the run sends
    /// is as old.
    pub(crate) waiting: Option<Waiting>,
}

/// What one run may do.
pub(crate) struct Door {
    pub(crate) reach: Reach,
    pub(crate) source: Source,
    pub(crate) attempt: u32,
    /// When the run has no time left, as [`Tasks::elapsed`] tells time.
    pub(crate) deadline: Duration,
}

impl ActionDoor for Door {
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
        Box::pin(async move {
            let time = self.deadline.saturating_sub(self.reach.tasks.elapsed());
            // What has been handed to the journal goes on; the next run sends the same command and is told what became of it.
            tokio::select! {
                biased;
                answer = self.run(command) => answer,
                () = self.reach.tasks.sleep(time) => Err(SendFailure::Failed { message: "the run had no time left for the reply".into() }),
            }
        })
    }

    fn call(&self, call: SentCall) -> BoxedFuture<'_, Result<CallReply, CallFailure>> {
        let SentCall { method, destination, url, headers, body, timeout, key } = call;
        let context = &self.source.context;
        let call = OutgoingCall {
            method,
            destination,
            url,
            headers,
            body,
            key: CommandId::from_raw(self.id(&key).as_bytes()).to_string(),
            traceparent: context.traceparent.clone(),
            correlation_id: context.correlation_id.clone(),
            timeout: Duration::ZERO,
        };
        let ask = Ask { call, timeout, deadline: self.deadline, is_retry: self.attempt > 1 };
        Box::pin(self.reach.destinations.call(ask))
    }
}

impl Door {
    /// What the run is told. Why it fails may quote whoever is in it.
    fn shown(&self, answer: Result<CommandOutcome, CommandError>) -> Result<Vec<u8>, SendFailure> {
        if let Some(waiting) = &self.source.waiting {
            match &answer {
                Ok(outcome) => waiting.shows(&outcome.reply),
                Err(CommandError::Refused(Refusal::Rejected(rejected))) => waiting.shows(rejected.data.to_string().as_bytes()),
                Err(_) => {}
            }
        }
        answer.map(|outcome| outcome.reply.to_vec()).map_err(failure)
    }

    /// The same at every run.
    fn id(&self, key: &str) -> String {
        format!("{}\0{key}", self.source.id)
    }

    fn asked_id(&self, key: &str) -> AskedId {
        AskedId::Derived(self.id(key), self.source.waiting.as_ref().map_or(u64::MAX, |waiting| waiting.whose().at))
    }

    async fn run(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        match command.target {
            ActionTarget::Timer { .. } | ActionTarget::TimerEnd { .. } => self.timer(command).await,
            ActionTarget::Peer { .. } => self.to_peer(command).await,
            ActionTarget::Workflow { .. } => self.workflow(command).await,
            ActionTarget::Topic { .. } => self.publish(command).await,
            ActionTarget::Entity { .. } | ActionTarget::Operation { .. } => {
                let answer = self.command(command).await;
                self.shown(answer)
            }
        }
    }

    async fn command(&self, command: SentCommand) -> Result<CommandOutcome, CommandError> {
        let SentCommand { target, body, key } = command;
        let (id, context, tenant) = (self.asked_id(&key), self.source.context.clone(), &*self.source.tenant);
        match target {
            ActionTarget::Entity { kind, id: entity, command } => {
                let entity = EntityKey::with_tenant(tenant, kind, &entity)
                    .map_err(|error| CommandError::Refused(Refusal::Broken { message: format!("the {kind} {error}") }))?;
                let request =
                    CommandRequest { entity, command: command.to_owned(), body: body.into(), id: None, expect: Expectation::Any, context };
                self.reach.entities.command_under(id, request).await
            }
            ActionTarget::Operation { name } => {
                let request =
                    OperationRequest { tenant: tenant.to_owned(), operation: name.to_owned(), body: body.into(), id: None, context };
                self.reach.operations.run_under(&self.reach.entities, id, request).await
            }
            _ => unreachable!("others have ways of their own"),
        }
    }
}

/// What the same command would be told again is refused; the rest may pass. One whose reply is gone is done.
fn failure(error: CommandError) -> SendFailure {
    match error {
        CommandError::Refused(refusal) => SendFailure::Refused(refusal),
        CommandError::ReplyGone => SendFailure::ReplyGone,
        CommandError::UnknownTarget { .. } | CommandError::Mismatch | CommandError::TooLarge { .. } => {
            SendFailure::Refused(Refusal::Broken { message: error.to_string() })
        }
        other => SendFailure::Failed { message: other.to_string() },
    }
}
