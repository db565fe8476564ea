//! Hosting: turns what users wrote into the erased contract of [`hosted`](crate::hosted).
//!
//! It encodes before it evolves, so that a refusal leaves a state as it was. It does not catch panics of user code: whoever calls it
//! does, and drops the state then.

mod action;
mod entity;
mod operation;
mod processor;
pub(crate) mod recording;
mod rule;
mod topic;
mod workflow;

pub use action::hosted_action;
pub(crate) use entity::Live;
pub use entity::hosted;
pub use operation::hosted_operation;
pub use processor::hosted_processor;
pub(crate) use recording::has_personal;
pub use rule::hosted_rule;
pub(crate) use topic::message;
pub use topic::{hosted_topic, hosted_topic_action, hosted_topic_of};
pub use workflow::hosted_workflow;
