//! Messages that an action publishes to topics of its own service.

use std::convert::Infallible;

use super::{ActionContext, CommandFailure, Keyed};
use crate::hosted::ActionTarget;
use crate::topic::Topic;
use crate::value::encode;

impl ActionContext {
    /// Publishes a message to a topic of the service, once however often the action runs; it is durable when this returns. Messages with
    /// the same key keep their order. It is known by its order among what this run sends, as [`command`](Self::command) is.
    ///
    /// The topic is one of those that the action says it [publishes](crate::Action::publishes) to.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Event)] enum OrderEvent { #[event("paid")] Paid { cents: u64 } }
    /// # #[derive(Value)] struct Receipt { order: String, cents: u64 }
    /// # struct Receipts;
    /// # impl Topic for Receipts { const NAME: &'static str = "receipts"; type Message = Receipt; }
    /// struct SendReceipt;
    ///
    /// impl Action for SendReceipt {
    ///     const NAME: &'static str = "send-receipt";
    ///     const ENTITY: &'static str = "order";
    ///     type Event = OrderEvent;
    ///
    ///     async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
    ///         let OrderEvent::Paid { cents } = event.event;
    ///         let order = event.entity_id;
    ///         ctx.publish::<Receipts>(&order, &Receipt { order: order.clone(), cents }).await?;
    ///         Ok(())
    ///     }
    ///
    ///     fn publishes() -> Topics {
    ///         Topics::none().with::<Receipts>()
    ///     }
    /// }
    ///
    /// given_action(SendReceipt)
    ///     .when("o1", OrderEvent::Paid { cents: 250 })
    ///     .sends([message_to::<Receipts>("o1", &Receipt { order: "o1".into(), cents: 250 })]);
    /// ```
    ///
    /// # Errors
    /// See [`CommandFailure`]; it is never rejected.
    pub async fn publish<T: Topic>(&self, key: impl Into<String>, message: &T::Message) -> Result<(), CommandFailure<Infallible>> {
        self.next().publish::<T>(key, message).await
    }
}

impl Keyed<'_> {
    /// As [`ActionContext::publish`].
    ///
    /// # Errors
    /// See [`CommandFailure`]; it is never rejected.
    pub async fn publish<T: Topic>(self, key: impl Into<String>, message: &T::Message) -> Result<(), CommandFailure<Infallible>> {
        (self.publishes)().check::<T>().map_err(CommandFailure::Unfit)?;
        self.send(ActionTarget::Topic { topic: T::NAME, key: key.into() }, encode(message)).await
    }
}
