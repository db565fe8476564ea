//! Topics: messages from outside and from the service itself, and the actions that react to them.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::future::Future;

use serde_json::Value as Json;

use crate::action::{ActionContext, ActionError, DeliveryPolicy};
use crate::hosted::TopicDescription;
use crate::limits::is_name;
use crate::value::{Value, schema_of};

/// A stateless reaction to the messages of a topic: like an [`Action`](crate::Action), but for what came from outside.
///
/// It runs at least once for each message, in order per key (the message's `partitionkey`, else its `subject`), keys side by
/// side. Its commands take effect once, however often it runs.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Default, State)] struct Order { paid: bool }
/// # #[derive(Command)] enum OrderCommand { #[command("pay")] Pay { cents: u64 } }
/// # #[derive(Event)] enum OrderEvent { #[event("paid")] Paid }
/// # impl Entity for Order {
/// #     const NAME: &'static str = "order";
/// #     type Command = OrderCommand; type Event = OrderEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, _: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> { Ok(record(OrderEvent::Paid)) }
/// #     fn evolve(&mut self, _: &OrderEvent) { self.paid = true; }
/// # }
/// #[derive(Value)]
/// struct Payment { order: String, cents: u64 }
///
/// struct BookPayment;
///
/// impl TopicAction for BookPayment {
///     const NAME: &'static str = "book-payment";
///     const TOPIC: &'static str = "payments";
///     type Message = Payment;
///
///     async fn run(&self, message: Message<Payment>, ctx: &ActionContext) -> Result<(), ActionError> {
///         let Payment { order, cents } = message.data;
///         ctx.command::<Order>(order, OrderCommand::Pay { cents }).await?;
///         Ok(())
///     }
/// }
///
/// given_topic_action(BookPayment)
///     .when(Payment { order: "o1".into(), cents: 250 })
///     .sends([command_to::<Order>("o1", OrderCommand::Pay { cents: 250 })]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an action over a topic: implement `TopicAction` for it",
    label = "`TopicAction` is not implemented for `{Self}`"
)]
pub trait TopicAction: Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`: its consumer's. Its place in the journal is kept under it.
    const NAME: &'static str;
    /// The topic that it reads.
    const TOPIC: &'static str;
    /// What the data of a message is: your own shape, or `serde_json::Value` for any. A message whose data does not fit is
    /// parked. Data that is neither JSON nor text comes as its base64 text.
    type Message: Value;

    /// Reacts to a message.
    ///
    /// # Errors
    /// See [`ActionError`]: `?` on any error tries again later.
    fn run(&self, message: Message<Self::Message>, ctx: &ActionContext) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// How it is delivered to.
    fn delivery(&self) -> DeliveryPolicy {
        DeliveryPolicy::default()
    }

    /// The topics that it publishes to. A service without one of them does not start, and to others it does not publish.
    fn publishes() -> Topics {
        Topics::none()
    }
}

/// A topic of the service that its own code publishes to: [`ActionContext::publish`], and `publish` of a workflow.
///
/// The service has it under the same name and with the same shape: `.topic_of::<Receipt>("receipts")`.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Value)]
/// struct Receipt { order: String, cents: u64 }
///
/// struct Receipts;
///
/// impl Topic for Receipts {
///     const NAME: &'static str = "receipts";
///     type Message = Receipt;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic: implement `Topic` for a type of its own, and give the message beside the key",
    label = "`Topic` is not implemented for `{Self}`"
)]
pub trait Topic: 'static {
    /// The topic's name, `[a-z][a-z0-9-]{0,63}`.
    const NAME: &'static str;
    /// What its messages say.
    type Message: Value;
}

/// The topics that a component publishes to.
#[derive(Default)]
#[must_use = "give them back from `publishes`"]
pub struct Topics(Vec<(TypeId, TopicDescription)>);

impl Topics {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// And this one.
    pub fn with<T: Topic>(mut self) -> Self {
        const { assert!(is_name(T::NAME), "the name of a topic must match [a-z][a-z0-9-]{{0,63}}") };
        let description = TopicDescription { name: T::NAME, schema: Some(schema_of::<T::Message>()) };
        self.0.push((TypeId::of::<T::Message>(), description));
        self
    }

    /// Why nothing is published to a topic that is not among them.
    pub(crate) fn check<T: Topic>(self) -> Result<(), String> {
        let message = TypeId::of::<T::Message>();
        let mut named = self.0.iter().filter(|(_, topic)| topic.name == T::NAME).map(|(said, _)| *said == message).peekable();
        if named.peek().is_none() {
            return Err(format!("it publishes to the topic `{}` and does not say so; add it to what `publishes` gives", T::NAME));
        }
        // What was checked at the start, personal values above all, is the type that it said.
        if named.any(|is_same| is_same) {
            return Ok(());
        }
        Err(format!("it publishes messages of another type to the topic `{}` than it says; give `publishes` the same one", T::NAME))
    }

    pub(crate) fn descriptions(self) -> Vec<TopicDescription> {
        self.0.into_iter().map(|(_, description)| description).collect()
    }
}

/// A message of a topic: a CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<T> {
    /// What it says.
    pub data: T,
    /// Its sender's id for it, unique within `source`.
    pub id: String,
    /// Who sent it: a URI reference.
    pub source: String,
    /// What sort of message it is: the CloudEvent's `type`.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened, as its sender says: an RFC 3339 text.
    pub time: Option<String>,
    /// All other attributes, extensions among them: texts, whole numbers and truth values.
    pub attributes: BTreeMap<String, Json>,
    /// The id of the event that carries it in the journal.
    pub event_id: String,
    /// When it was taken: microseconds since 1970, UTC.
    pub taken_micros: i64,
    /// Ties together everything that one request from outside set off.
    pub correlation_id: Option<String>,
}
