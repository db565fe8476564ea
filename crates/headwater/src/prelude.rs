//! Everything that a service is written with: `use headwater::prelude::*;`.

pub use component::{
    Action, ActionContext, ActionError, Command, CommandContext, CommandFailure, Decimal, Decision, DeliveryPolicy, Entities, Entity,
    EntityRef, Event, Operation, Recorded, Rejection, Rule, RuleDecision, Start, State, Tag, TagSet, Value, View, command_to, given,
    given_action, given_entities, given_events, nothing, operation_with, record, record_on, rule_with, tag,
};

pub use crate::given_view::given_view;
pub use crate::service::Service;
