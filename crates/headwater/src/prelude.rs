//! Everything that a service is written with: `use headwater::prelude::*;`.

pub use component::{
    Command, CommandContext, Decimal, Decision, Entities, Entity, EntityRef, Event, Operation, Rejection, Rule, RuleDecision, State, Tag,
    TagSet, Value, given, given_entities, given_events, nothing, record, record_on, tag,
};

pub use crate::service::Service;
