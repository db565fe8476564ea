//! Subscriptions: the stream of another service, as a topic of this one.

use crate::hosted::SubscriptionDescription;

/// Another service's stream as a topic of this one: its events are messages, and whatever reads the topic reads them.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Value)] struct OrderPlaced { sku: String }
/// // In the service: `.topic_of::<OrderPlaced>("orders").subscribe(orders())`
/// fn orders() -> Subscription {
///     Subscription::to("order", "orders").types(["placed"])
/// }
/// # assert_eq!(orders().described().topic, "orders");
/// ```
///
/// The messages are kept in this service's own journal, in order per entity of the other service, each of them once and for ever: either
/// service may be down while the other works. The address of the other service is configuration: `[peers] order = "http://.."`.
#[derive(Clone, Debug)]
#[must_use = "a subscription does nothing until a service has it: `.subscribe(orders())`"]
pub struct Subscription(SubscriptionDescription);

impl Subscription {
    /// To a stream of a peer, from its first event on, into the topic of the stream's name.
    pub fn to(peer: &'static str, stream: &'static str) -> Self {
        Self(SubscriptionDescription { peer, stream, topic: stream, types: Vec::new(), version: None, from_now: false })
    }

    /// Into the topic of this name instead.
    pub fn into_topic(mut self, topic: &'static str) -> Self {
        self.0.topic = topic;
        self
    }

    /// Only events of these public names.
    pub fn types(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.0.types = names.into_iter().collect();
        self
    }

    /// In this version of the stream; the peer refuses when it has another one. Without it, in whichever the peer has.
    pub fn version(mut self, version: u16) -> Self {
        self.0.version = Some(version);
        self
    }

    /// From where the stream is when this service first reaches the peer. What happened before that is not taken.
    pub fn from_now(mut self) -> Self {
        self.0.from_now = true;
        self
    }

    /// What it is, for the runtime.
    #[must_use]
    pub fn described(self) -> SubscriptionDescription {
        self.0
    }
}
