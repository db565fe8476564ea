//! Given, when, then: the test of a rule in one line.
//!
//! Everything goes the way it goes in a service: commands and events are encoded, decided by name and read again, so that a test of a
//! rule is a test of its shapes too. What is compared is JSON, so that your types need no `Debug` and no `PartialEq`.

mod action;
mod assertions;
mod difference;
mod door;
mod entities;
mod entity;
mod events;
mod outcome;
mod processor;
mod sending;
mod topic;

pub use action::{GivenAction, WhenAction, given_action};
pub use entities::{GivenEntities, WhenEntities, given_entities};
pub use entity::{Given, When, given};
pub use events::{GivenEvents, WhenEvents, given_events};
pub use processor::{GivenProcessor, given_processor};
pub use sending::{
    Sending, command_to, command_to_peer, http_delete, http_get, http_patch, http_post, http_put, operation_with, rule_with, timer_after,
    timer_at, timer_cancelled, timer_cron, timer_every,
};
pub use sending::{message_to, workflow_cancelled, workflow_signalled, workflow_started};
pub use topic::{GivenTopicAction, given_topic_action};

use crate::hosted::CommandContext;

/// When tests happen unless they say otherwise: the first moment of 2026, in microseconds since 1970.
const TEST_TIME_MICROS: i64 = 1_767_225_600_000_000;

fn test_context() -> CommandContext {
    CommandContext { entity_id: "1".to_owned(), time_micros: TEST_TIME_MICROS, ..CommandContext::default() }
}
