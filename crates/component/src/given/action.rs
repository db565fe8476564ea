//! Tests of actions: an event goes in, commands come out.

use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use serde_json::Value as Json;

use super::TEST_TIME_MICROS;
use super::difference::side_by_side;
use super::outcome::encode_all;
use crate::action::Action;
use crate::entity::Entity;
use crate::host::hosted_action;
use crate::host::recording::rejected;
use crate::hosted::{ActionDoor, ActionHandle, ActionOutcome, ActionTarget, BoxedFuture, DeliveredEvent, SendFailure, SentCommand};
use crate::operation::Operation;
use crate::rule::Rule;
use crate::value::{Value, encode};
use crate::variants::{Rejection, Variants as _, encode_payload};

/// An action in a test. What it sends is accepted with an empty reply unless [`answers`](GivenAction::answers) says otherwise.
///
/// See [`Action`] for an example.
#[must_use = "give it an event: `.when(id, event)`"]
pub fn given_action<A: Action>(action: A) -> GivenAction<A> {
    GivenAction { action, answers: Vec::new() }
}

/// Something that an action sends: [`command_to`], [`operation_with`], [`rule_with`].
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

impl Sending {
    fn new(to: String, body: &[u8]) -> Self {
        let json: Json = serde_json::from_slice(body).expect("what was encoded is JSON");
        Self { to, body: format!("{json:#}") }
    }
}

/// What the next thing that is sent is told.
pub(super) type Answer = Result<Vec<u8>, SendFailure>;

/// See [`given_action`].
pub struct GivenAction<A> {
    action: A,
    answers: Vec<Answer>,
}

/// An action in a test, after an event.
#[derive(Debug)]
pub struct WhenAction {
    event: String,
    sent: Vec<Sending>,
    outcome: ActionOutcome,
}

impl<A: Action> GivenAction<A> {
    /// The next thing that it sends is accepted with this reply.
    ///
    /// # Panics
    /// When the reply does not encode.
    #[track_caller]
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn answers(mut self, reply: impl Value) -> Self {
        self.answers.push(Ok(encode(&reply).unwrap_or_else(|error| panic!("the reply does not encode: {error}"))));
        self
    }

    /// The next thing that it sends is rejected so.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn rejects(mut self, rejection: impl Rejection) -> Self {
        self.answers.push(Err(SendFailure::Refused(rejected(&rejection))));
        self
    }

    /// The next thing that it sends cannot be decided now.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn fails(mut self, cause: impl Into<String>) -> Self {
        self.answers.push(Err(SendFailure::Failed { message: cause.into() }));
        self
    }

    /// Runs it for an event of the entity with this id.
    ///
    /// # Panics
    /// When it waits for something other than what it sends.
    #[track_caller]
    #[must_use = "say what comes of it: `.sends(..)`, `.retries()`, `.parks()` or `.skips()`"]
    pub fn when(self, id: &str, event: A::Event) -> WhenAction {
        let encoded = encode_all(A::ENTITY, vec![event]).remove(0);
        let text = format!("when {}/{id}: {} {}", A::ENTITY, encoded.name, String::from_utf8_lossy(&encoded.payload));
        let delivered = DeliveredEvent {
            name: encoded.name.to_owned(),
            version: encoded.version,
            payload: encoded.payload.into(),
            id: "00000000-0000-7000-8000-000000000000.0".to_owned(),
            entity_id: id.to_owned(),
            tenant: String::new(),
            sequence: 1,
            time_micros: TEST_TIME_MICROS,
            correlation_id: None,
        };
        run_once(&hosted_action(self.action), text, delivered, self.answers)
    }
}

/// Runs an action for one event, against scripted answers.
#[track_caller]
pub(super) fn run_once(action: &ActionHandle, text: String, event: DeliveredEvent, answers: Vec<Answer>) -> WhenAction {
    let door = Arc::new(Door { answers: Mutex::new(answers.into_iter().rev().collect()), sent: Mutex::default() });
    let mut run = pin!(action.run(event, Arc::clone(&door) as Arc<dyn ActionDoor>, 1));
    let Poll::Ready(outcome) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("{text}\n\nthe action waits for something that a test of one action does not have; test the whole service")
    };
    let sent = std::mem::take(&mut *door.sent.lock().unwrap_or_else(PoisonError::into_inner));
    WhenAction { event: text, sent, outcome }
}

impl WhenAction {
    /// It sent these, in this order, and is done with the event.
    ///
    /// # Panics
    /// When it sent others, or failed.
    #[track_caller]
    pub fn sends(self, expected: impl IntoIterator<Item = Sending>) {
        let expected = sendings_text(&expected.into_iter().collect::<Vec<_>>());
        let actual = match &self.outcome {
            ActionOutcome::Done => sendings_text(&self.sent),
            outcome => format!("{}\nand {}", sendings_text(&self.sent), outcome_text(outcome)),
        };
        assert!(expected == actual, "{}\n\n{}", self.event, side_by_side(&expected, &actual));
    }

    /// It wants to try again.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn retries(self) {
        assert!(matches!(self.outcome, ActionOutcome::Retry { .. }), "{}\n\nit {}", self.event, outcome_text(&self.outcome));
    }

    /// It gives the event up, for a person to decide.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn parks(self) {
        assert!(matches!(self.outcome, ActionOutcome::Park { .. }), "{}\n\nit {}", self.event, outcome_text(&self.outcome));
    }

    /// It is done with the event without doing anything.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn skips(self) {
        assert!(matches!(self.outcome, ActionOutcome::Skip { .. }), "{}\n\nit {}", self.event, outcome_text(&self.outcome));
    }
}

fn sendings_text(sent: &[Sending]) -> String {
    if sent.is_empty() {
        return "sends nothing".to_owned();
    }
    sent.iter().map(|sending| format!("{}\n{}", sending.to, sending.body)).collect::<Vec<_>>().join("\n")
}

fn outcome_text(outcome: &ActionOutcome) -> String {
    match outcome {
        ActionOutcome::Done => "is done".to_owned(),
        ActionOutcome::Retry { cause } => format!("retries: {cause}"),
        ActionOutcome::Park { cause } => format!("parks: {cause}"),
        ActionOutcome::Skip { reason } => format!("skips: {reason}"),
    }
}

/// Remembers what goes through it.
struct Door {
    /// The next one is the last.
    answers: Mutex<Vec<Answer>>,
    sent: Mutex<Vec<Sending>>,
}

impl ActionDoor for Door {
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
        let to = match &command.target {
            ActionTarget::Entity { kind, id, command } => format!("{kind}/{id} {command}"),
            ActionTarget::Operation { name } => format!("operation {name}"),
        };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(Sending::new(to, &command.body));
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Box::pin(std::future::ready(answer.unwrap_or_else(|| Ok(b"null".to_vec()))))
    }
}
