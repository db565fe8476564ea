//! Tests of actions over topics: a message goes in, commands come out.

use serde_json::{Value as Json, json};

use super::TEST_TIME_MICROS;
use super::action::{WhenAction, run_once};
use super::door::Answer;
use crate::host::hosted_topic_action;
use crate::hosted::DeliveredEvent;
use crate::topic::TopicAction;
use crate::value::{Value, encode};
use crate::variants::Rejection;

/// An action over a topic in a test. What it sends is accepted with an empty reply unless [`answers`](GivenTopicAction::answers)
/// says otherwise.
///
/// See [`TopicAction`] for an example.
#[must_use = "give it a message: `.when(data)`"]
pub fn given_topic_action<A: TopicAction>(action: A) -> GivenTopicAction<A> {
    let attributes = json!({ "specversion": "1.0", "id": "m1", "source": "/test", "type": A::TOPIC });
    GivenTopicAction { action, answers: Vec::new(), attributes }
}

/// See [`given_topic_action`].
pub struct GivenTopicAction<A> {
    action: A,
    answers: Vec<Answer>,
    attributes: Json,
}

impl<A: TopicAction> GivenTopicAction<A> {
    /// The message has this attribute, such as `subject` or an extension.
    #[must_use = "give it a message: `.when(data)`"]
    pub fn attribute(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.attributes[name] = value.into();
        self
    }

    /// The next thing that it sends is accepted with this reply.
    ///
    /// # Panics
    /// When the reply does not encode.
    #[track_caller]
    #[must_use = "give it a message: `.when(data)`"]
    pub fn answers(mut self, reply: impl Value) -> Self {
        self.answers.push(Answer::reply(&reply));
        self
    }

    /// The next thing that it sends is rejected so.
    #[must_use = "give it a message: `.when(data)`"]
    pub fn rejects(mut self, rejection: impl Rejection) -> Self {
        self.answers.push(Answer::rejection(&rejection));
        self
    }

    /// The next thing that it sends cannot be decided now.
    #[must_use = "give it a message: `.when(data)`"]
    pub fn fails(mut self, cause: impl Into<String>) -> Self {
        self.answers.push(Answer::failure(cause));
        self
    }

    /// The next call that it makes is answered with this status, and this value as JSON.
    ///
    /// # Panics
    /// When the value does not encode.
    #[track_caller]
    #[must_use = "give it a message: `.when(data)`"]
    pub fn answers_http(mut self, status: u16, value: impl Value) -> Self {
        self.answers.push(Answer::http(status, &value));
        self
    }

    /// The next call that it makes is not answered.
    #[must_use = "give it a message: `.when(data)`"]
    pub fn fails_http(mut self, cause: impl Into<String>) -> Self {
        self.answers.push(Answer::http_failure(cause));
        self
    }

    /// Runs it for a message with this data.
    ///
    /// # Panics
    /// When the data does not encode, or the action waits for something other than what it sends.
    #[track_caller]
    #[must_use = "say what comes of it: `.sends(..)`, `.retries()`, `.parks()` or `.skips()`"]
    pub fn when(mut self, data: A::Message) -> WhenAction {
        let data = encode(&data).unwrap_or_else(|error| panic!("the message does not encode: {error}"));
        self.attributes["data"] = serde_json::from_slice(&data).expect("what was encoded is JSON");
        let text = format!("when {}: {}", A::TOPIC, self.attributes);
        let delivered = DeliveredEvent {
            name: A::TOPIC.to_owned(),
            version: 1,
            payload: self.attributes.to_string().into(),
            id: "00000000-0000-7000-8000-000000000000.0".to_owned(),
            entity_id: A::TOPIC.to_owned(),
            tenant: String::new(),
            sequence: 1,
            time_micros: TEST_TIME_MICROS,
            correlation_id: None,
        };
        run_once(&hosted_topic_action(self.action), text, delivered, self.answers)
    }
}
