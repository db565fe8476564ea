//! What an action sends, as text: what a test expects is compared with what was sent.

use std::time::Duration;

use serde_json::Value as Json;

use crate::action::PeerEntity;
use crate::entity::Entity;
use crate::hosted::{ActionTarget, SentCall, SentCommand, TimerDue, WorkflowAsk};
use crate::operation::Operation;
use crate::rule::Rule;
use crate::topic::Topic;
use crate::value::{Value, encode};
use crate::variants::{Variants as _, encode_payload};
use crate::workflow::Workflow;

/// Something that an action sends: [`command_to`], [`command_to_peer`], [`operation_with`], [`rule_with`], [`message_to`], [`timer_after`], [`http_post`] and its siblings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    to: String,
    body: String,
}

/// A command to an entity.
#[track_caller]
#[must_use]
pub fn command_to<E: Entity>(id: &str, command: E::Command) -> Sending {
    let body = encode_payload(&command).unwrap_or_else(|error| panic!("command {} does not encode: {error}", command.name()));
    Sending::new(format!("{}/{id} {}", E::NAME, command.name()), &body)
}

/// A command to an entity of another service.
#[track_caller]
#[must_use]
pub fn command_to_peer<E: PeerEntity>(peer: &str, id: &str, command: E::Command) -> Sending {
    let body = encode_payload(&command).unwrap_or_else(|error| panic!("command {} does not encode: {error}", command.name()));
    let target = ActionTarget::Peer { peer: peer.to_owned(), kind: E::NAME, id: id.to_owned(), command: command.name() };
    Sending::new(target.words(), &body)
}

/// The input of an operation.
#[track_caller]
#[must_use]
pub fn operation_with<O: Operation>(input: &O::Input) -> Sending {
    Sending::new(format!("operation {}", O::NAME), &encode(input).unwrap_or_else(|error| panic!("the input does not encode: {error}")))
}

/// The input of a rule.
#[track_caller]
#[must_use]
pub fn rule_with<R: Rule>(input: &R::Input) -> Sending {
    Sending::new(format!("operation {}", R::NAME), &encode(input).unwrap_or_else(|error| panic!("the input does not encode: {error}")))
}

/// A timer that is due so long after the event.
#[track_caller]
#[must_use]
pub fn timer_after<E: Entity>(name: &str, time: Duration, id: &str, command: E::Command) -> Sending {
    timer::<E>(name, TimerDue::After(time), id, &command)
}

/// A timer that is due at this time: microseconds since 1970, UTC.
#[track_caller]
#[must_use]
pub fn timer_at<E: Entity>(name: &str, time_micros: i64, id: &str, command: E::Command) -> Sending {
    timer::<E>(name, TimerDue::At(time_micros), id, &command)
}

/// A timer that is due again and again, each time that this has passed.
#[track_caller]
#[must_use]
pub fn timer_every<E: Entity>(name: &str, period: Duration, id: &str, command: E::Command) -> Sending {
    timer::<E>(name, TimerDue::Every(period), id, &command)
}

/// A timer that is due again and again, by the wall clock of a time zone.
#[track_caller]
#[must_use]
pub fn timer_cron<E: Entity>(name: &str, line: &str, zone: &str, id: &str, command: E::Command) -> Sending {
    timer::<E>(name, TimerDue::Cron { line: line.to_owned(), zone: zone.to_owned() }, id, &command)
}

/// The beginning of a workflow.
#[track_caller]
#[must_use]
pub fn workflow_started<W: Workflow>(id: &str, input: &W::Input) -> Sending {
    told::<W>(id, WorkflowAsk::Start, input)
}

/// A signal to a workflow.
#[track_caller]
#[must_use]
pub fn workflow_signalled<W: Workflow>(id: &str, signal: &str, body: &impl Value) -> Sending {
    told::<W>(id, WorkflowAsk::Signal { signal: signal.to_owned() }, body)
}

/// The end of a workflow.
#[must_use]
pub fn workflow_cancelled<W: Workflow>(id: &str, why: &str) -> Sending {
    told::<W>(id, WorkflowAsk::Cancel, &why.to_owned())
}

/// A message to a topic.
#[track_caller]
#[must_use]
pub fn message_to<T: Topic>(key: &str, message: &T::Message) -> Sending {
    let body = encode(message).unwrap_or_else(|error| panic!("the message does not encode: {error}"));
    Sending::new(ActionTarget::Topic { topic: T::NAME, key: key.to_owned() }.words(), &body)
}

#[track_caller]
fn told<W: Workflow>(id: &str, ask: WorkflowAsk, body: &impl Value) -> Sending {
    let body = encode(body).unwrap_or_else(|error| panic!("what the workflow is told does not encode: {error}"));
    Sending::new(ActionTarget::Workflow { workflow: W::NAME, id: id.to_owned(), ask }.words(), &body)
}

/// The end of a timer.
#[must_use]
pub fn timer_cancelled(name: &str) -> Sending {
    Sending::new(ActionTarget::TimerEnd { name: name.to_owned() }.words(), b"null")
}

#[track_caller]
fn timer<E: Entity>(name: &str, due: TimerDue, id: &str, command: &E::Command) -> Sending {
    let body = encode_payload(command).unwrap_or_else(|error| panic!("command {} does not encode: {error}", command.name()));
    let target = ActionTarget::Timer { name: name.to_owned(), due, kind: E::NAME, id: id.to_owned(), command: command.name() };
    Sending::new(target.words(), &body)
}

impl Sending {
    fn new(to: String, body: &[u8]) -> Self {
        let json: Json = serde_json::from_slice(body).expect("what was encoded is JSON");
        Self { to, body: format!("{json:#}") }
    }

    pub(super) fn of_command(command: &SentCommand) -> Self {
        Self::new(command.target.words(), &command.body)
    }

    pub(super) fn of_call(call: &SentCall) -> Self {
        Self::call(call.method, &call.url).body_bytes(&call.body)
    }

    fn call(method: &str, url: &str) -> Self {
        Self { to: format!("{method} {url}"), body: String::new() }
    }

    /// The call has this value as its JSON body.
    ///
    /// # Panics
    /// When the value does not encode.
    #[track_caller]
    #[must_use]
    pub fn json(self, value: &impl Value) -> Self {
        self.body_bytes(&encode(value).unwrap_or_else(|error| panic!("the body does not encode: {error}")))
    }

    /// The call has this text as its body.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.body_bytes(text.as_bytes())
    }

    /// JSON is compared as JSON.
    fn body_bytes(mut self, body: &[u8]) -> Self {
        let json = serde_json::from_slice::<Json>(body);
        self.body = json.map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |json| format!("{json:#}"));
        self
    }

    pub(super) fn to(&self) -> &str {
        &self.to
    }

    pub(super) fn body(&self) -> &str {
        &self.body
    }
}

/// A `GET`, with its query.
#[must_use]
pub fn http_get(url: &str) -> Sending {
    Sending::call("GET", url)
}

/// A `POST`; its body is said with [`Sending::json`].
#[must_use]
pub fn http_post(url: &str) -> Sending {
    Sending::call("POST", url)
}

/// A `PUT`; its body is said with [`Sending::json`].
#[must_use]
pub fn http_put(url: &str) -> Sending {
    Sending::call("PUT", url)
}

/// A `PATCH`; its body is said with [`Sending::json`].
#[must_use]
pub fn http_patch(url: &str) -> Sending {
    Sending::call("PATCH", url)
}

/// A `DELETE`.
#[must_use]
pub fn http_delete(url: &str) -> Sending {
    Sending::call("DELETE", url)
}
