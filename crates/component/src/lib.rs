//! What users of Headwater write: entities, operations, rules, actions, processors, topics, views, their values, and the tests of all of them.
//!
//! You write how a command becomes events ([`Entity::decide`]) and how events become state ([`Entity::evolve`]); both are pure. The
//! derives give names, versions, JSON and schemas. [`given`] tests a rule in one line. [`hosted`](mod@hosted) is the same with its types
//! erased, which is all that the runtime sees.
//!
//! Not here: I/O of any kind, clocks, threads, the journal.

// The derives name `::headwater`, which is the crate that users add; inside this one that is this crate.
extern crate self as headwater;

mod action;
mod body;
mod compatibility;
mod decimal;
mod decision;
mod depth;
mod entity;
mod given;
mod host;
pub mod hosted;
mod http;
mod keep;
pub mod limits;
mod operation;
mod personal;
mod processor;
mod rule;
mod stream;
mod tag;
mod topic;
mod value;
mod variants;
mod view;
mod window;
mod workflow;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use action::{
    Action, ActionContext, ActionError, CommandFailure, DeliveryPolicy, DueTimer, Keyed, Peer, PeerEntity, Recorded, Start, Timer,
    ToldWorkflow,
};
pub use compatibility::{Compatibility, Shapes};
pub use decimal::{Decimal, DecimalError};
pub use decision::{Decision, IntoEvents, nothing, record};
pub use entity::Entity;
pub use given::{
    Given, GivenAction, GivenEntities, GivenEvents, GivenProcessor, GivenTopicAction, Sending, When, WhenAction, WhenEntities, WhenEvents,
    command_to, command_to_peer, given, given_action, given_entities, given_events, given_processor, given_topic_action, http_delete,
    http_get, http_patch, http_post, http_put, operation_with, rule_with, timer_after, timer_at, timer_cancelled, timer_cron, timer_every,
};
pub use given::{message_to, workflow_cancelled, workflow_signalled, workflow_started};
pub use host::{
    hosted, hosted_action, hosted_operation, hosted_processor, hosted_rule, hosted_topic, hosted_topic_action, hosted_topic_of,
    hosted_workflow,
};
pub use hosted::CommandContext;
pub use http::{Http, HttpCall, HttpFailure, HttpReply};
pub use keep::Keep;
pub use macros::{Command, Event, Rejection, State, Value};
pub use operation::{Entities, EntityRef, Operation};
pub use personal::{Personal, SubjectId};
pub use processor::{EventClock, Inputs, Processor, ProcessorContext, Route};
pub use rule::{Rule, RuleDecision, record_on};
pub use stream::{Stream, StreamEvent, Subscription};
pub use tag::{Tag, TagSet, tag};
pub use topic::{Message, Topic, TopicAction, Topics};
pub use value::{Definitions, Key, Value, decode, encode, schema_of};
pub use variants::{Command, Event, Rejection, State, Variants, decode_payload, encode_payload};
pub use view::{Change, SqlValue, Tables, View, ViewEvent};
pub use window::{Added, Session, Sliding, Tumbling, Window, Windows};
pub use workflow::{
    Child, CommandStep, Either, Failure, Signals, Step, StepContext, TimedWait, Wait, Workflow, WorkflowContext, join, join_all, race,
    race_all,
};
