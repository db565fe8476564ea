//! Tests of actions: an event goes in, commands and calls come out.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::TEST_TIME_MICROS;
use super::difference::side_by_side;
use super::door::{Answer, Door};
use super::outcome::encode_all;
use super::sending::Sending;
use crate::action::Action;
use crate::host::hosted_action;
use crate::hosted::{ActionDoor, ActionHandle, ActionOutcome, DeliveredEvent};
use crate::value::Value;
use crate::variants::Rejection;

/// An action in a test. What it sends is accepted with an empty reply unless [`answers`](GivenAction::answers) says otherwise, and what it
/// calls answers 200 unless [`answers_http`](GivenAction::answers_http) does.
///
/// See [`Action`] for an example.
#[must_use = "give it an event: `.when(id, event)`"]
pub fn given_action<A: Action>(action: A) -> GivenAction<A> {
    GivenAction { action, answers: Vec::new() }
}

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
        self.answers.push(Answer::reply(&reply));
        self
    }

    /// The next thing that it sends is rejected so.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn rejects(mut self, rejection: impl Rejection) -> Self {
        self.answers.push(Answer::rejection(&rejection));
        self
    }

    /// The next thing that it sends took effect in an earlier run, and its reply is gone by retention.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn has_no_reply_any_more(mut self) -> Self {
        self.answers.push(Answer::reply_gone());
        self
    }

    /// The next thing that it sends cannot be decided now.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn fails(mut self, cause: impl Into<String>) -> Self {
        self.answers.push(Answer::failure(cause));
        self
    }

    /// The next call that it makes is answered with this status, and this value as JSON.
    ///
    /// # Panics
    /// When the value does not encode.
    #[track_caller]
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn answers_http(mut self, status: u16, value: impl Value) -> Self {
        self.answers.push(Answer::http(status, &value));
        self
    }

    /// The next call that it makes is not answered.
    #[must_use = "give it an event: `.when(id, event)`"]
    pub fn fails_http(mut self, cause: impl Into<String>) -> Self {
        self.answers.push(Answer::http_failure(cause));
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
    let door = Arc::new(Door::new(answers));
    let mut run = pin!(action.run(event, Arc::clone(&door) as Arc<dyn ActionDoor>, 1));
    let Poll::Ready(outcome) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("{text}\n\nthe action waits for something that a test of one action does not have; test the whole service")
    };
    let sent = door.take_sent();
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
        assert!(
            matches!(self.outcome, ActionOutcome::Retry { .. } | ActionOutcome::Later { .. }),
            "{}\n\nit {}",
            self.event,
            outcome_text(&self.outcome)
        );
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
    sent.iter().map(|sending| format!("{}\n{}", sending.to(), sending.body())).collect::<Vec<_>>().join("\n")
}

fn outcome_text(outcome: &ActionOutcome) -> String {
    match outcome {
        ActionOutcome::Done => "is done".to_owned(),
        ActionOutcome::Retry { cause } | ActionOutcome::Later { cause, .. } => format!("retries: {cause}"),
        ActionOutcome::Park { cause } => format!("parks: {cause}"),
        ActionOutcome::Skip { reason } => format!("skips: {reason}"),
    }
}
