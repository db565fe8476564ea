//! Topics and the actions over them behind the erased contract.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::action::outcome;
use super::recording::has_personal;
use crate::action::ActionContext;
use crate::body::{check_depth, read_message};
use crate::hosted::{
    ActionDescription, ActionDoor, ActionHandle, ActionOutcome, BoxedFuture, DeliveredEvent, HostedAction, HostedTopic, Refusal,
    TOPIC_TYPE, TopicDescription, TopicHandle, UNFIT,
};
use crate::limits::is_name;
use crate::personal::Binding;
use crate::personal::mark::marking;
use crate::topic::{Message, TopicAction};
use crate::value::{Value, decode, encode, schema_of};

/// A topic whose messages may hold anything.
#[must_use]
pub fn hosted_topic(name: &'static str) -> TopicHandle {
    Arc::new(Open(TopicDescription { name, schema: None }))
}

/// A topic whose messages hold JSON of this shape. Fields that it does not know are passed over: a sender may be newer.
#[must_use]
pub fn hosted_topic_of<T: Value>(name: &'static str) -> TopicHandle {
    let schema = schema_of::<T>();
    let is_personal = has_personal(&schema);
    let description = TopicDescription { name, schema: Some(schema) };
    Arc::new(Typed { description, is_personal, shape: PhantomData::<fn() -> T> })
}

struct Open(TopicDescription);

impl HostedTopic for Open {
    fn description(&self) -> &TopicDescription {
        &self.0
    }

    fn check(&self, json: Option<&[u8]>) -> Result<(), Refusal> {
        json.map_or(Ok(()), check_depth)
    }
}

struct Typed<T> {
    description: TopicDescription,
    is_personal: bool,
    shape: PhantomData<fn() -> T>,
}

impl<T: Value> HostedTopic for Typed<T> {
    fn description(&self) -> &TopicDescription {
        &self.description
    }

    fn check(&self, json: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(json) = json else {
            let message = format!("the topic `{}` takes JSON of its own shape, and this message has none", self.description.name);
            return Err(Refusal::Invalid { pointer: String::new(), message });
        };
        read_message::<T>(json).map(drop)
    }

    fn is_personal(&self) -> bool {
        self.is_personal
    }

    fn marked(&self, json: &[u8], stamp: Option<u64>) -> Result<Option<Vec<u8>>, Refusal> {
        if !self.is_personal {
            return Ok(None);
        }
        let mut message: T = read_message(json)?;
        T::bind(&mut message, &Binding::of_nobody("", stamp));
        let unfit = |error: serde_json::Error| Refusal::Invalid { pointer: String::new(), message: error.to_string() };
        marking(|| encode(&message)).map(Some).map_err(unfit)
    }
}

/// An action over a topic, ready for a service.
#[must_use]
pub fn hosted_topic_action<A: TopicAction>(action: A) -> ActionHandle {
    const { assert!(is_name(A::NAME), "the name of an action must match [a-z][a-z0-9-]{{0,63}}") };
    const { assert!(is_name(A::TOPIC), "the name of a topic must match [a-z][a-z0-9-]{{0,63}}") };
    let description = ActionDescription {
        name: A::NAME,
        entity: TOPIC_TYPE,
        events: const { &[A::TOPIC] },
        personal: if has_personal(&schema_of::<A::Message>()) { vec![A::TOPIC] } else { Vec::new() },
        publishes: A::publishes().descriptions(),
        delivery: action.delivery(),
    };
    Arc::new(TopicActionType { description, action: Arc::new(action) })
}

struct TopicActionType<A> {
    description: ActionDescription,
    action: Arc<A>,
}

impl<A: TopicAction> HostedAction for TopicActionType<A> {
    fn description(&self) -> &ActionDescription {
        &self.description
    }

    fn run(&self, event: DeliveredEvent, door: Arc<dyn ActionDoor>, attempt: u32) -> BoxedFuture<'static, ActionOutcome> {
        let action = Arc::clone(&self.action);
        Box::pin(async move {
            let message = match message(event) {
                Ok(message) => message,
                Err(problem) => return ActionOutcome::Park { cause: format!("topic {}: {problem}", A::TOPIC) },
            };
            outcome(action.run(message, &ActionContext::new(door, attempt, A::publishes)).await)
        })
    }
}

/// From a CloudEvent in its JSON form, which is how the journal keeps it.
pub(crate) fn message<T: Value>(event: DeliveredEvent) -> Result<Message<T>, String> {
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&event.payload).map_err(|error| format!("the message is not readable: {error}"))?;
    if let Some(why) = members.get(UNFIT) {
        return Err(format!("the message does not fit the topic: {}", serde_json::from_str::<String>(why.get()).unwrap_or_default()));
    }
    let data = members.remove("data").or_else(|| members.remove("data_base64")).unwrap_or(RawValue::NULL);
    let data = decode(data.get().as_bytes()).map_err(|error| format!("the data does not fit: {error}"))?;
    let mut text = |name: &str| members.remove(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let mut required = |name: &str| text(name).ok_or_else(|| format!("the message has no `{name}`"));
    let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
    let (subject, time) = (text("subject"), text("time"));
    members.remove("specversion");
    let attributes = members.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_str::<Json>(value.get()).ok()?)));
    Ok(Message {
        data,
        id,
        source,
        kind,
        subject,
        time,
        attributes: attributes.collect(),
        event_id: event.id,
        taken_micros: event.time_micros,
        correlation_id: event.correlation_id,
    })
}
