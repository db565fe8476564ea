//! Everything that a service is written with: `use headwater::prelude::*;`.

pub use component::{
    Command, CommandContext, Decimal, Decision, Entities, Entity, EntityRef, Event, Operation, Rejection, Rule, RuleDecision, State, Tag,
    TagSet, Value, View, given, given_entities, given_events, nothing, record, record_on, tag,
};

pub use crate::given_view::given_view;
pub use crate::service::Service;
