//! Messages of topics in a test: what comes in, and what the service has published itself.

use component::hosted::topic_message;
use component::{Message, Topic, Value, encode};
use journal::{Context, Recorded, Selection};
use runtime::testing::delivered;
use runtime::{MessageData, TopicMessage};
use serde_json::Value as Json;

use super::Testkit;

impl Testkit {
    /// Publishes a message with this data on a topic, as the client `/testkit` under an id of its own. `subject` is the key that keeps
    /// messages in order. The message is sent again when the process ends meanwhile, and where the faults say so.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn publish<T: Value>(&self, topic: &str, subject: &str, data: T) {
        let data = encode(&data).unwrap_or_else(|error| panic!("the message does not encode: {error}"));
        let message = TopicMessage {
            id: self.next_key(),
            source: "/testkit".to_owned(),
            attributes: vec![("subject".to_owned(), Json::from(subject)), ("type".to_owned(), Json::from(topic))],
            data: Some(MessageData::Json(data.into())),
        };
        let publish = || {
            let (name, message) = (topic.to_owned(), message.clone());
            let answers = self.simulation().ask(move |runtime| {
                let (name, message) = (name.clone(), message.clone());
                Box::pin(async move { runtime.publish(&name, vec![message], &Context::default()).await })
            });
            let answers = answers.unwrap_or_else(|error| panic!("{topic}: {error}"));
            for answer in answers {
                answer.unwrap_or_else(|error| panic!("{topic}: {error}"));
            }
        };
        publish();
        if self.simulation().sends_again() {
            publish();
        }
    }

    /// The messages of a topic with this key, in their order: what came in, and what the service has published itself.
    ///
    /// # Panics
    /// When a message cannot be read.
    #[must_use]
    #[track_caller]
    pub fn messages<T: Topic>(&self, key: &str) -> Vec<T::Message> {
        let recorded = self.simulation().recorded(Selection::Types(vec![format!("$topic/{}", T::NAME).into()]));
        let read =
            |event: &Recorded| topic_message::<T::Message>(delivered(event)).unwrap_or_else(|words| panic!("topic {}: {words}", T::NAME));
        recorded.iter().map(|event| read(event)).filter(|message| key_of(message) == Some(key)).map(|message| message.data).collect()
    }
}

fn key_of<T>(message: &Message<T>) -> Option<&str> {
    message.attributes.get("partitionkey").and_then(Json::as_str).or(message.subject.as_deref())
}
