//! Everything that a service is written with: `use headwater::prelude::*;`.

pub use component::{
    Action, ActionContext, ActionError, Added, Child, Command, CommandContext, CommandFailure, Compatibility, Decimal, Decision,
    DeliveryPolicy, Either, Entities, Entity, EntityRef, Event, EventClock, Failure, HttpFailure, HttpReply, Inputs, Keep, Message,
    Operation, PeerEntity, Personal, Processor, ProcessorContext, Recorded, Rejection, Route, Rule, RuleDecision, Session, Shapes, Signals,
    Sliding, Start, State, StepContext, Stream, StreamEvent, SubjectId, Subscription, Tag, TagSet, TopicAction, Tumbling, Value, View,
    Window, Windows, Workflow, WorkflowContext, command_to, command_to_peer, given, given_action, given_entities, given_events,
    given_processor, given_topic_action, http_delete, http_get, http_patch, http_post, http_put, join, join_all, nothing, operation_with,
    race, race_all, record, record_on, rule_with, tag, timer_after, timer_at, timer_cancelled, timer_cron, timer_every,
};
pub use component::{ToldWorkflow, workflow_cancelled, workflow_signalled, workflow_started};
pub use component::{Topic, Topics, message_to};
pub use runtime::DestinationPolicy;

pub use gateway::Page;

pub use crate::given_view::given_view;
pub use crate::service::Service;
