//! Components with their types erased: all that the runtime sees of what users wrote.
//!
//! Bodies, replies, events and states are JSON bytes here. A remote component can stand behind the same traits.

mod call;
mod shape;
mod stream;
mod target;
mod workflow;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use serde_json::Value as Json;

pub use crate::personal::mark as personal_mark;
pub use call::{CallFailure, CallReply, SentCall};
pub use shape::{DeclaredShape, OlderShape, ShapeDescription};
pub use stream::{
    HostedStream, StreamDescription, StreamHandle, StreamItem, StreamLower, StreamLowering, StreamMap, StreamPlace, StreamShape,
    StreamTypeDescription, SubscriptionDescription, UNFIT,
};
pub use target::{ActionTarget, TimerDue, WorkflowAsk};
pub use workflow::{
    AskedKind, AskedOperation, FailureKind, HostedWorkflow, LiveWorkflow, Progress, RecordedOperation, Standing, StepOutcome, StepPolicy,
    StepRun, Told, WorkflowDescription, WorkflowFailure, WorkflowHandle, WorkflowPart, WorkflowStart,
};

use crate::action::{DeliveryPolicy, Start};
use crate::processor::EventClock;
use crate::view::{Tables, ViewEvent};

/// Who asks, and when: what a rule may know about its command.
#[derive(Clone, Debug, Default)]
pub struct CommandContext {
    /// The entity's id (for an operation, the id of its first entity).
    pub entity_id: String,
    /// The tenant; empty unless there are tenants.
    pub tenant: String,
    /// When the command is decided: microseconds since 1970, UTC. The commit's own time may be a little later.
    pub time_micros: i64,
    /// Who asked, when known.
    pub principal: Option<String>,
    /// Ties together everything that one request from outside set off.
    pub correlation_id: Option<String>,
    /// The sequence of the entity's last event before this command.
    pub sequence: u64,
    /// When the timer that sends the command was due: microseconds since 1970, UTC. `None` for a command that no timer sends.
    pub timer_due_micros: Option<i64>,
    /// How many erasures this process has seen: what is older than its subject's erasure is not recorded again.
    #[doc(hidden)]
    pub erasures: u64,
}

/// An event as it goes into the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// The variant's durable name.
    pub name: &'static str,
    /// The version of its shape.
    pub version: u16,
    /// Tags, `name:value`.
    pub tags: Vec<String>,
    /// One line of JSON.
    pub payload: Vec<u8>,
}

/// A stored event as it comes back.
#[derive(Clone, Copy, Debug)]
pub struct StoredEvent<'a> {
    /// The name it was stored under.
    pub name: &'a str,
    /// The version it was stored with.
    pub version: u16,
    /// Its JSON.
    pub payload: &'a [u8],
}

/// An accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its events, already applied to the state that decided.
    pub events: Vec<EncodedEvent>,
    /// Its reply as JSON.
    pub reply: Vec<u8>,
}

/// A rejection of the domain: part of the API, with the rule's own code.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The rule's code, such as `already-paid`.
    pub code: Cow<'static, str>,
    /// What happened, for people.
    pub message: String,
    /// The rejection's fields, as a JSON object.
    pub data: Json,
}

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The domain said no.
    Rejected(Rejected),
    /// The entity has no such command; `known` are the ones it has.
    UnknownCommand {
        /// The names it knows.
        known: Vec<&'static str>,
    },
    /// The body is not JSON.
    Syntax {
        /// What is wrong, with line and column.
        message: String,
    },
    /// The body is JSON but does not fit the command.
    Invalid {
        /// RFC 6901 pointer to the part, such as `/quantity`; empty for the whole.
        pointer: String,
        /// What is wrong with it.
        message: String,
    },
    /// The component broke its own contract (an event that does not encode, a tag that breaks its rule): our caller's bug.
    Broken {
        /// What it did.
        message: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejected) => formatter.write_str(&rejected.message),
            Self::UnknownCommand { known } => write!(formatter, "no such command; there are: {}", known.join(", ")),
            Self::Syntax { message } | Self::Broken { message } => formatter.write_str(message),
            Self::Invalid { pointer, message } if pointer.is_empty() => formatter.write_str(message),
            Self::Invalid { pointer, message } => write!(formatter, "{pointer}: {message}"),
        }
    }
}

/// The version in a state's build, `v2-00c0ffee00c0ffee`; `None` for a build that has none.
#[must_use]
pub fn state_version(build: &str) -> Option<u16> {
    build.strip_prefix('v')?.split_once('-')?.0.parse().ok()
}

/// A stored event or snapshot that the component cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What and why, such as `event cart/item-added version 3: unknown`.
    pub message: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Unreadable {}

/// The state of one entity in memory.
pub trait LiveEntity: Send {
    /// Decides a command; when it is accepted, the state is already the one after its events.
    ///
    /// # Errors
    /// See [`Refusal`]; the state is unchanged then.
    fn decide(&mut self, command: &str, body: &[u8], context: &CommandContext) -> Result<Accepted, Refusal>;

    /// Applies a stored event.
    ///
    /// # Errors
    /// When the component does not know the event or cannot read it.
    fn evolve(&mut self, event: StoredEvent<'_>) -> Result<(), Unreadable>;

    /// The state as one line of JSON.
    ///
    /// # Errors
    /// When the state does not encode.
    fn state(&self) -> Result<Vec<u8>, Unreadable>;

    /// The typed state, for operations.
    fn as_any(&mut self) -> &mut dyn Any;

    /// The typed state, taken out.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A type of entity.
pub trait HostedEntity: Send + Sync + 'static {
    /// Its durable name.
    fn name(&self) -> &'static str;

    /// Whether a command's name and body fit, without deciding it: what is accepted now and decided later is checked first.
    ///
    /// # Errors
    /// See [`Refusal`]; never `Rejected`.
    fn check(&self, command: &str, body: &[u8]) -> Result<(), Refusal>;

    /// A command's body with its personal values as marks, for who keeps it until it is decided; `None` when it has none.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn marked(&self, _command: &str, _entity_id: &str, _body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(None)
    }

    /// A state without events.
    fn fresh(&self) -> Box<dyn LiveEntity>;

    /// A state from a snapshot that `state` gave, of a component with the same `state_build`.
    ///
    /// # Errors
    /// When it does not decode: the caller replays instead.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable>;

    /// Names the shape of the state: its version and schema. A snapshot of another build is not used, but for those of an older version that
    /// `rebase` takes.
    fn state_build(&self) -> &str;

    /// A state from one that `state` gave, maybe long ago and of another `state_build`, when the events before it are gone. Nothing may be
    /// made up: what the state has now and had not then must have a default that the component declares.
    ///
    /// # Errors
    /// When it does not fit: which part, and why.
    fn rebase(&self, build: &str, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        if build == self.state_build() {
            return self.restore(state);
        }
        Err(Unreadable { message: format!("it is of the state {build}, and this component has {}", self.state_build()) })
    }

    /// A stored event in its present shape: an older one is raised, as `evolve` would see it.
    ///
    /// # Errors
    /// When the component does not know the event or cannot read it.
    fn raised(&self, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        let message = format!("event {}/{} version {}: this component does not raise old events", self.name(), event.name, event.version);
        Err(Unreadable { message })
    }

    /// The payload of a stored event in the version that a reader asks for: raised, or lowered, or as it is; `None` when it is left out for
    /// readers of that version. Personal values are as plain as they came.
    ///
    /// # Errors
    /// When the component does not know the event, cannot read it, or has no way to that version.
    fn lowered(&self, event: StoredEvent<'_>, version: u16) -> Result<Option<Vec<u8>>, Unreadable> {
        if event.version == version {
            return Ok(Some(event.payload.to_vec()));
        }
        let message = format!("event {}/{} version {}: there is no way to version {version}", self.name(), event.name, event.version);
        Err(Unreadable { message })
    }

    /// The body of a command that has waited since it was of this version, as it would be sent today: strict readers take it.
    ///
    /// # Errors
    /// When the component does not know the command, or cannot read it.
    fn raised_command(&self, command: StoredEvent<'_>) -> Result<Vec<u8>, Unreadable> {
        if command.version == self.description().command_version(command.name) {
            return Ok(command.payload.to_vec());
        }
        let message = format!("command {}/{} version {}: this component does not raise it", self.name(), command.name, command.version);
        Err(Unreadable { message })
    }

    /// As [`raised`](Self::raised), of an entity: its personal values know whose they are.
    ///
    /// # Errors
    /// When the component does not know the event or cannot read it.
    fn bound(&self, _entity_id: &str, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        self.raised(event)
    }

    /// Everything that describes it outside.
    fn description(&self) -> &EntityDescription;
}

/// A type of operation, over named entities or over tags.
pub trait HostedOperation: Send + Sync + 'static {
    /// Its durable name.
    fn name(&self) -> &'static str;

    /// What it needs to see before it decides.
    ///
    /// # Errors
    /// When the body does not fit.
    fn reads(&self, body: &[u8]) -> Result<OperationReads, Refusal>;

    /// Decides over the loaded states, in the order of `OperationReads::Entities`, or over the matching events.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn decide(&self, body: &[u8], seen: OperationSeen<'_>, context: &CommandContext) -> Result<OperationAccepted, Refusal>;

    /// Everything that describes it outside.
    fn description(&self) -> &OperationDescription;
}

/// What an operation needs to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationReads {
    /// The states of these entities, `(type, id)`; at least one; the first carries the command record.
    Entities(Vec<(&'static str, String)>),
    /// Every event of an entity type that has all the tags of any of the sets.
    Tagged {
        /// The entity type.
        kind: &'static str,
        /// Sets of `name:value` tags.
        any_of: Vec<Vec<String>>,
    },
}

/// What an operation sees.
pub enum OperationSeen<'a> {
    /// The states asked for, in that order.
    Entities(&'a mut [Box<dyn LiveEntity>]),
    /// The events asked for, in journal order.
    Tagged(&'a [StoredEvent<'a>]),
}

/// An accepted operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationAccepted {
    /// `(type, id, events)`, each entity once, those with events only.
    pub events: Vec<(&'static str, String, Vec<EncodedEvent>)>,
    /// Its reply as JSON.
    pub reply: Vec<u8>,
}

/// A boxed future, over std alone.
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An action.
pub trait HostedAction: Send + Sync + 'static {
    /// What it reads, and how it is delivered to.
    fn description(&self) -> &ActionDescription;

    /// Runs it for an event. What it does goes through the door.
    fn run(&self, event: DeliveredEvent, door: Arc<dyn ActionDoor>, attempt: u32) -> BoxedFuture<'static, ActionOutcome>;
}

/// An action, for the runtime and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionDescription {
    /// Its durable name.
    pub name: &'static str,
    /// The entity type whose events it reads; [`TOPIC_TYPE`] for an action over a topic.
    pub entity: &'static str,
    /// The names of these events.
    pub events: &'static [&'static str],
    /// Those of them that it reads with personal values.
    pub personal: Vec<&'static str>,
    /// The topics that it publishes to.
    pub publishes: Vec<TopicDescription>,
    /// How it is delivered to.
    pub delivery: DeliveryPolicy,
}

/// An event on its way to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredEvent {
    /// The name it was stored under.
    pub name: String,
    /// The version it was stored with.
    pub version: u16,
    /// Its JSON.
    pub payload: Bytes,
    /// Its id.
    pub id: String,
    /// The id of its entity.
    pub entity_id: String,
    /// The tenant.
    pub tenant: String,
    /// Its number within its entity.
    pub sequence: u64,
    /// When it was recorded: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// Ties together everything that one request from outside set off.
    pub correlation_id: Option<String>,
}

/// How a run of an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionOutcome {
    /// It is done.
    Done,
    /// It may succeed later.
    Retry {
        /// Why it failed.
        cause: String,
    },
    /// A person must decide.
    Park {
        /// Why.
        cause: String,
    },
    /// It is done, without an effect.
    Skip {
        /// Why.
        reason: String,
    },
    /// Somebody outside is spared for now: it runs again after this time, and that costs no attempt.
    Later {
        /// Why.
        cause: String,
        /// For how long.
        wait: Duration,
    },
}

/// What an action may do.
pub trait ActionDoor: Send + Sync {
    /// Sends a command and gives its reply as JSON. The same key in a later run of the same event is the same command.
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>>;

    /// Calls somebody outside and gives the whole answer, whatever its status. The same key in a later run is the same call.
    fn call(&self, call: SentCall) -> BoxedFuture<'_, Result<CallReply, CallFailure>>;
}

/// A command that an action sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCommand {
    /// To whom.
    pub target: ActionTarget,
    /// Its JSON.
    pub body: Vec<u8>,
    /// What it is known by within the event.
    pub key: String,
}

/// Why a command of an action was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum SendFailure {
    /// The component refused it.
    Refused(Refusal),
    /// It took effect in an earlier run, and its reply is no longer kept.
    ReplyGone,
    /// It could not be decided now.
    Failed {
        /// Why.
        message: String,
    },
    /// Whoever decides it is spared for now, or in trouble that is not the command's: it is sent again after this time, and that costs no
    /// attempt.
    Later {
        /// Why.
        message: String,
        /// For how long.
        wait: Duration,
    },
}

/// The one spelling of a destination that somebody has named by scheme, host and port alone.
///
/// # Errors
/// What is wrong with the name.
pub fn named_destination(address: &str) -> Result<String, String> {
    crate::http::named_destination(address)
}

/// A processor.
pub trait HostedProcessor: Send + Sync + 'static {
    /// What it reads and emits.
    fn description(&self) -> &ProcessorDescription;

    /// The entity type of what it emits: it has events and takes no commands.
    fn output(&self) -> EntityHandle;

    /// Decodes an event of this entity type, and says where it goes.
    ///
    /// # Errors
    /// When it does not decode, or its route does not fit the processor's clock.
    fn read(&self, entity: &str, event: DeliveredEvent) -> Result<ProcessorInput, String>;

    /// A key without inputs.
    fn fresh(&self) -> Box<dyn LiveKey>;

    /// A key from what [`LiveKey::state`] gave, of a processor with the same build.
    ///
    /// # Errors
    /// When it does not decode.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveKey>, Unreadable>;
}

/// A processor, for the runtime and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessorDescription {
    /// Its durable name, and the entity type of what it emits.
    pub name: &'static str,
    /// The entity types that it reads and the names of their events; [`TOPIC_TYPE`] with the names of topics.
    pub sources: Vec<(&'static str, Vec<&'static str>)>,
    /// Those of them that it reads with personal values.
    pub personal: Vec<(&'static str, Vec<&'static str>)>,
    /// Names the shape of its state: a state of another build is made anew.
    pub build: String,
    /// Which time it lives in.
    pub clock: EventClock,
    /// Where it begins when it is new.
    pub start: Start,
    /// Whether its state has personal values.
    pub is_personal: bool,
}

/// An input on its way to a key.
pub struct ProcessorInput {
    /// The key; `None` when the input does not matter.
    pub key: Option<String>,
    /// When it happened: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// The input with its fold, for the processor's own keys.
    pub(crate) folding: Box<dyn Any + Send>,
}

/// The moment of a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorMoment {
    /// When the input happened, or the time that was asked for.
    pub time_micros: i64,
    /// How far the processor's time has come.
    pub now_micros: i64,
}

/// What came of a fold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Events, in order.
    pub events: Vec<EncodedEvent>,
    /// Times at which the key wants to be woken.
    pub wakes: Vec<i64>,
}

/// The state of one key in memory. After an error or a panic it is not to be used any more.
pub trait LiveKey: Send {
    /// Takes an input in.
    ///
    /// # Errors
    /// When what it emits does not encode.
    fn fold(&mut self, key: &str, input: ProcessorInput, moment: ProcessorMoment) -> Result<Folded, String>;

    /// A time that it asked for has come.
    ///
    /// # Errors
    /// When what it emits does not encode.
    fn wake(&mut self, key: &str, moment: ProcessorMoment) -> Result<Folded, String>;

    /// The state as one line of JSON.
    ///
    /// # Errors
    /// When it does not encode.
    fn state(&self) -> Result<Vec<u8>, String>;
}

/// The platform's entity type that carries the messages of topics; the event's name is the topic's.
pub const TOPIC_TYPE: &str = "$topic";

/// A message out of the event that carries it.
///
/// # Errors
/// What is wrong with it.
pub fn topic_message<T: crate::Value>(event: DeliveredEvent) -> Result<crate::Message<T>, String> {
    crate::host::message(event)
}

/// A topic that a service has declared.
pub trait HostedTopic: Send + Sync {
    /// What it is.
    fn description(&self) -> &TopicDescription;

    /// Whether the data of a message fits; `None` for data that is not JSON.
    ///
    /// # Errors
    /// A refusal whose pointer begins at the data.
    fn check(&self, json: Option<&[u8]>) -> Result<(), Refusal>;

    /// Whether messages may have personal values.
    fn is_personal(&self) -> bool {
        false
    }

    /// Data with its personal values as marks; `None` when it has none. What its type does not know is left out: it might be personal too.
    /// `stamp` is how many erasures there had been when it was made, where that is not now.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn marked(&self, _json: &[u8], _stamp: Option<u64>) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(None)
    }
}

/// A topic, for OpenAPI and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicDescription {
    /// Its name.
    pub name: &'static str,
    /// The schema of its data; `None` when a message may hold anything.
    pub schema: Option<Json>,
}

/// An entity type, for OpenAPI and for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityDescription {
    /// Its durable name.
    pub name: &'static str,
    /// Its commands.
    pub commands: Vec<ShapeDescription>,
    /// Its events.
    pub events: Vec<ShapeDescription>,
    /// Its rejections.
    pub rejections: Vec<ShapeDescription>,
    /// Schema of its reply.
    pub reply: Json,
    /// Schema of its state.
    pub state: Json,
    /// The version of its state.
    pub state_version: u16,
    /// The shapes that states of older versions are read in.
    pub state_from: Vec<OlderShape>,
}

impl EntityDescription {
    /// The present version of a command's shape; 1 for one that is not there.
    #[must_use]
    pub fn command_version(&self, command: &str) -> u16 {
        self.commands.iter().find(|shape| shape.name == command).map_or(1, |shape| shape.version)
    }
}

/// An operation, for OpenAPI and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationDescription {
    /// Its durable name.
    pub name: &'static str,
    /// Schema of its input.
    pub input: Json,
    /// Schema of its reply.
    pub reply: Json,
    /// Its rejections.
    pub rejections: Vec<ShapeDescription>,
}

/// Shared handles, as a service registers them.
pub type EntityHandle = Arc<dyn HostedEntity>;
/// Shared handles, as a service registers them.
pub type ActionHandle = Arc<dyn HostedAction>;
/// Shared handles, as a service registers them.
pub type TopicHandle = Arc<dyn HostedTopic>;
/// Shared handles, as a service registers them.
pub type ProcessorHandle = Arc<dyn HostedProcessor>;
/// Shared handles, as a service registers them.
pub type OperationHandle = Arc<dyn HostedOperation>;
/// Shared handles, as a service registers them.
pub type ViewHandle = Arc<HostedView>;

/// A view: what it is made of. It is data, and code only where it is filled by code.
pub struct HostedView {
    pub(crate) description: ViewDescription,
    pub(crate) store: ViewStore,
    pub(crate) tables: Vec<String>,
    pub(crate) fills: Vec<ViewFill>,
    pub(crate) queries: Vec<ViewQuery>,
}

impl HostedView {
    /// Its durable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.description.name
    }

    /// Everything that describes it outside.
    #[must_use]
    pub fn description(&self) -> &ViewDescription {
        &self.description
    }

    /// Where its rows lie.
    #[must_use]
    pub fn store(&self) -> ViewStore {
        self.store
    }

    /// `CREATE` statements, in order.
    #[must_use]
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// What events do, in order.
    #[must_use]
    pub fn fills(&self) -> &[ViewFill] {
        &self.fills
    }

    /// What can be asked, in order; the same order as in the description.
    #[must_use]
    pub fn queries(&self) -> &[ViewQuery] {
        &self.queries
    }

    /// The same where a stand-in has its rows.
    #[must_use]
    pub fn stood_in_for(&self) -> ViewHandle {
        Arc::new(Self {
            description: self.description.clone(),
            store: ViewStore::StandIn,
            tables: self.tables.clone(),
            fills: self.fills.clone(),
            queries: self.queries.clone(),
        })
    }
}

/// Where the rows of a view lie, and whose SQL it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewStore {
    /// In a file of each node's own.
    Sqlite,
    /// In a database that all nodes share.
    Postgres,
    /// In a test without that database: its SQL, as far as SQLite takes it for the same.
    StandIn,
}

/// What events do to a view.
#[derive(Clone)]
pub enum ViewFill {
    /// A statement for one event.
    Sql(ViewStatement),
    /// Code for all events of an entity type.
    Code {
        /// The entity type.
        kind: &'static str,
        /// The version of the code.
        version: u32,
        /// The code.
        run: ViewCode,
    },
}

/// Code that fills a view: it reads the event and changes the tables. The error says why the event cannot be read.
pub type ViewCode = Arc<dyn Fn(StoredEvent<'_>, &ViewEvent<'_, ()>, &mut Tables<'_>) -> Result<(), String> + Send + Sync>;

/// A statement for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewStatement {
    /// `cart/item-added`.
    pub event: String,
    /// The statement.
    pub sql: String,
}

/// A question to a view.
#[derive(Clone)]
pub struct ViewQuery {
    /// Its durable name.
    pub name: &'static str,
    /// The statement.
    pub sql: String,
    /// Reads parameters strictly, and gives them as one JSON object in one spelling.
    pub read: fn(&[u8]) -> Result<Vec<u8>, Refusal>,
}

/// A view, for OpenAPI and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewDescription {
    /// Its durable name.
    pub name: &'static str,
    /// What it is for.
    pub summary: String,
    /// Its queries.
    pub queries: Vec<QueryDescription>,
}

/// A query, for OpenAPI and for people.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryDescription {
    /// Its durable name.
    pub name: &'static str,
    /// Schema of its parameters.
    pub input: Json,
    /// Schema of a row.
    pub row: Json,
}
