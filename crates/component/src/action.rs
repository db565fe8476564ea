//! Actions: stateless reactions to events.

mod peer;
mod publish;
mod timer;
mod workflow;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::entity::Entity;
use crate::hosted::{ActionDoor, ActionTarget, Refusal, SendFailure, SentCommand};
use crate::http::Http;
use crate::operation::Operation;
use crate::rule::Rule;
use crate::topic::Topics;
use crate::value::{Value, decode, encode};
use crate::variants::{Event, Rejection, Variants as _, decode_payload, encode_payload};

pub use peer::{Peer, PeerEntity};
pub use timer::{DueTimer, Timer};
pub use workflow::ToldWorkflow;

/// A stateless reaction: an event of one entity type becomes commands to others, and calls to the outside.
///
/// It runs at least once for each event that it reads, in order per entity, entities side by side. Its commands take effect
/// once, however often it runs: their ids come from the action's name, the event's id, and their order or key. Calls to the outside
/// ([`ActionContext::http`]) are at least once.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Event)] enum OrderEvent { #[event("placed")] Placed { sku: String } }
/// # #[derive(Default, State)] struct Stock { taken: u64 }
/// # #[derive(Command)] enum StockCommand { #[command("take")] Take }
/// # #[derive(Event)] enum StockEvent { #[event("taken")] Taken }
/// # impl Entity for Stock {
/// #     const NAME: &'static str = "stock";
/// #     type Command = StockCommand; type Event = StockEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, _: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, Self::Rejection> { Ok(record(StockEvent::Taken)) }
/// #     fn evolve(&mut self, _: &StockEvent) { self.taken += 1; }
/// # }
/// struct TakeFromStock;
///
/// impl Action for TakeFromStock {
///     const NAME: &'static str = "take-from-stock";
///     const ENTITY: &'static str = "order";
///     type Event = OrderEvent;
///
///     async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
///         let OrderEvent::Placed { sku } = event.event;
///         ctx.command::<Stock>(sku, StockCommand::Take).await?;
///         Ok(())
///     }
/// }
///
/// given_action(TakeFromStock).when("o1", OrderEvent::Placed { sku: "mug".into() }).sends([command_to::<Stock>("mug", StockCommand::Take)]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an action: implement `Action` for it",
    label = "`Action` is not implemented for `{Self}`"
)]
pub trait Action: Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`: its consumer's. Its place in the journal is kept under it.
    const NAME: &'static str;
    /// The entity type whose events it reads.
    const ENTITY: &'static str;
    /// The events it reads: an enum of its own may leave out those that do not matter, and then it does not run for them.
    type Event: Event;

    /// Reacts to an event.
    ///
    /// # Errors
    /// See [`ActionError`]: `?` on any error tries again later.
    fn run(&self, event: Recorded<Self::Event>, ctx: &ActionContext) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// How it is delivered to.
    fn delivery(&self) -> DeliveryPolicy {
        DeliveryPolicy::default()
    }

    /// The topics that it publishes to. A service without one of them does not start, and to others it does not publish.
    fn publishes() -> Topics {
        Topics::none()
    }
}

/// An event as an action gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<E> {
    /// What happened.
    pub event: E,
    /// The event's id.
    pub id: String,
    /// The id of the entity that it happened to.
    pub entity_id: String,
    /// The tenant; empty unless there are tenants.
    pub tenant: String,
    /// The event's number within its entity.
    pub sequence: u64,
    /// When it was recorded: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Ties together everything that one request from outside set off.
    pub correlation_id: Option<String>,
}

/// How events are delivered to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// Runs of one event before its key is parked.
    pub attempts_max: u32,
    /// The wait after the first failed run; each further one doubles it, and jitter lengthens it by up to a quarter.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long one run may take before it is cut and counts as failed.
    pub run_timeout: Duration,
    /// Runs at once, at most; those of one entity never overlap. Entities that are held have half as many on top, and at least one, so
    /// that neither they nor the others wait for each other.
    pub runs_max: usize,
    /// Where it begins when it is new.
    pub start: Start,
}

impl Default for DeliveryPolicy {
    /// Twelve runs over some ten minutes, thirty seconds each, 256 at once, from now on.
    fn default() -> Self {
        Self {
            attempts_max: 12,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(300),
            run_timeout: Duration::from_secs(30),
            runs_max: 256,
            start: Start::Now,
        }
    }
}

/// Where a new component begins to read. Later it goes on where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At what is recorded from now on: what happened before it was written sets nothing off.
    #[default]
    Now,
    /// At the first event.
    First,
    /// At the first event of this time or later: microseconds since 1970, UTC.
    At(i64),
}

/// Why a run of an action did not succeed.
///
/// Any error becomes a retry with `?`; a rejected command becomes a park, for its rule would say the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionError(pub(crate) Verdict);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry(String),
    Park(String),
    Skip(String),
    /// Not the event's fault: it costs no attempt.
    Later {
        cause: String,
        wait: Duration,
    },
}

impl ActionError {
    /// It may succeed later: tried again with growing waits, then parked.
    pub fn retry(cause: impl fmt::Display) -> Self {
        Self(Verdict::Retry(cause.to_string()))
    }

    /// It will not succeed by itself: the entity's events wait until a person has decided.
    pub fn park(cause: impl fmt::Display) -> Self {
        Self(Verdict::Park(cause.to_string()))
    }

    /// The event is done with, for this reason.
    pub fn skip(reason: impl fmt::Display) -> Self {
        Self(Verdict::Skip(reason.to_string()))
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Verdict::Retry(cause) | Verdict::Park(cause) | Verdict::Skip(cause) | Verdict::Later { cause, .. }) = &self.0;
        formatter.write_str(cause)
    }
}

// It is no `Error` itself, so that every error can become one.
impl<E: std::error::Error> From<E> for ActionError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// Why a command of an action was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandFailure<R> {
    /// The rule said no.
    Rejected(R),
    /// The service does not take such a command: it would not take it later either.
    Unfit(String),
    /// It took effect in an earlier run of the event, and retention has let go of its reply. Who can do without it goes on; a reply that says
    /// nothing, `()`, is given again all the same.
    ReplyGone,
    /// It could not be decided now.
    Failed(String),
    /// The peer is not asked for now, or is in trouble of its own: with `?` the event waits so long, and spends no attempt. The command may
    /// have taken effect, and is recognised when it is sent again.
    Later {
        /// Why.
        cause: String,
        /// For how long.
        wait: Duration,
    },
}

/// What a run says that cannot go on without a reply that is gone.
const REPLY_GONE: &str = "the command took effect in an earlier run, and its reply is gone by retention; match `CommandFailure::ReplyGone` to go on without it, or discard the event";

impl<R: Rejection> From<CommandFailure<R>> for ActionError {
    fn from(failure: CommandFailure<R>) -> Self {
        match failure {
            CommandFailure::Rejected(rejection) => Self::park(format!("rejected: {} ({})", rejection.message(), rejection.name())),
            CommandFailure::Unfit(message) => Self::park(message),
            CommandFailure::ReplyGone => Self::park(REPLY_GONE),
            CommandFailure::Failed(message) => Self::retry(message),
            CommandFailure::Later { cause, wait } => Self(Verdict::Later { cause, wait }),
        }
    }
}

/// What an action may do. Everything it sends carries the event's correlation id and names the event as its cause.
pub struct ActionContext {
    door: Arc<dyn ActionDoor>,
    attempt: u32,
    publishes: fn() -> Topics,
    sent: AtomicU32,
}

impl ActionContext {
    pub(crate) fn new(door: Arc<dyn ActionDoor>, attempt: u32, publishes: fn() -> Topics) -> Self {
        Self { door, attempt, publishes, sent: AtomicU32::new(0) }
    }

    /// Which run of the event this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Sends a command to an entity and waits for its reply. It is known by its order among what this run sends: an action
    /// that may send other things the next time it runs says `keyed`.
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn command<E: Entity>(&self, id: impl Into<String>, command: E::Command) -> Result<E::Reply, CommandFailure<E::Rejection>> {
        self.next().command::<E>(id, command).await
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn operation<O: Operation>(&self, input: O::Input) -> Result<O::Reply, CommandFailure<O::Rejection>> {
        self.next().operation::<O>(input).await
    }

    /// Runs a rule.
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn rule<R: Rule>(&self, input: R::Input) -> Result<R::Reply, CommandFailure<R::Rejection>> {
        self.next().rule::<R>(input).await
    }

    /// Calls somebody outside over HTTP. The call is known by its order too, and carries an `Idempotency-Key` that is made of it; it is at
    /// least once all the same.
    pub fn http(&self) -> Http<'_> {
        self.next().http()
    }

    /// The same for one thing to send, known by a key instead of its order.
    #[must_use]
    pub fn keyed(&self, key: impl fmt::Display) -> Keyed<'_> {
        self.known_by(format!("k{key}"))
    }

    pub(crate) async fn send(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        self.door.send(command).await
    }

    fn next(&self) -> Keyed<'_> {
        self.known_by(format!("#{}", self.sent.fetch_add(1, Ordering::Relaxed)))
    }

    fn known_by(&self, key: String) -> Keyed<'_> {
        Keyed { door: &*self.door, key, publishes: self.publishes }
    }
}

/// One thing that an action sends, known by its key.
pub struct Keyed<'a> {
    door: &'a dyn ActionDoor,
    key: String,
    publishes: fn() -> Topics,
}

impl<'a> Keyed<'a> {
    /// As [`ActionContext::http`].
    pub fn http(self) -> Http<'a> {
        Http::new(self)
    }

    pub(crate) fn into_parts(self) -> (&'a dyn ActionDoor, String) {
        (self.door, self.key)
    }

    /// As [`ActionContext::command`].
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn command<E: Entity>(self, id: impl Into<String>, command: E::Command) -> Result<E::Reply, CommandFailure<E::Rejection>> {
        let target = ActionTarget::Entity { kind: E::NAME, id: id.into(), command: command.name() };
        self.send(target, encode_payload(&command)).await
    }

    /// As [`ActionContext::operation`].
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn operation<O: Operation>(self, input: O::Input) -> Result<O::Reply, CommandFailure<O::Rejection>> {
        self.send(ActionTarget::Operation { name: O::NAME }, encode(&input)).await
    }

    /// As [`ActionContext::rule`].
    ///
    /// # Errors
    /// See [`CommandFailure`].
    pub async fn rule<R: Rule>(self, input: R::Input) -> Result<R::Reply, CommandFailure<R::Rejection>> {
        self.send(ActionTarget::Operation { name: R::NAME }, encode(&input)).await
    }

    async fn send<T: Value, R: Rejection>(
        self,
        target: ActionTarget,
        body: Result<Vec<u8>, serde_json::Error>,
    ) -> Result<T, CommandFailure<R>> {
        let body = body.map_err(|error| CommandFailure::Unfit(format!("the command does not encode: {error}")))?;
        let reply = self.door.send(SentCommand { target, body, key: self.key }).await;
        match reply {
            Ok(reply) => decode(&reply).map_err(|error| CommandFailure::Unfit(format!("the reply does not decode: {error}"))),
            // A type without a size has one value.
            Err(SendFailure::ReplyGone) if size_of::<T>() == 0 => decode(b"null").map_err(|_| CommandFailure::ReplyGone),
            Err(SendFailure::ReplyGone) => Err(CommandFailure::ReplyGone),
            Err(SendFailure::Failed { message }) => Err(CommandFailure::Failed(message)),
            Err(SendFailure::Later { message, wait }) => Err(CommandFailure::Later { cause: message, wait }),
            Err(SendFailure::Refused(Refusal::Rejected(rejected))) => {
                let data = rejected.data.to_string();
                let decoded = decode_payload(&rejected.code, data.as_bytes());
                Err(decoded.map_or_else(|_| CommandFailure::Unfit(rejected.message), CommandFailure::Rejected))
            }
            Err(SendFailure::Refused(refusal)) => Err(CommandFailure::Unfit(refusal.to_string())),
        }
    }
}
