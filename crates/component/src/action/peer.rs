//! Commands to the entities of other services.

use super::{ActionContext, CommandFailure, Keyed};
use crate::entity::Entity;
use crate::hosted::ActionTarget;
use crate::value::Value;
use crate::variants::{Command, Rejection, Variants as _, encode_payload};

/// What one service may ask of another's entity: its commands and what they answer, without its rule. Every [`Entity`] is one; a service
/// that has only the types of its peer writes them down so:
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// struct Stock;
///
/// #[derive(Command)]
/// enum StockCommand { #[command("reserve")] Reserve { order: String, pieces: u32 } }
///
/// #[derive(Rejection)]
/// enum StockRejection { #[rejection("out-of-stock", "only {left} left")] OutOfStock { left: u32 } }
///
/// impl PeerEntity for Stock {
///     const NAME: &'static str = "stock";
///     type Command = StockCommand;
///     type Reply = ();
///     type Rejection = StockRejection;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no entity of a peer: implement `PeerEntity` for it, or use the peer's own `Entity`",
    label = "`PeerEntity` is not implemented for `{Self}`"
)]
pub trait PeerEntity {
    /// The durable name of its type.
    const NAME: &'static str;
    /// What it can be asked.
    type Command: Command;
    /// What an accepted command answers.
    type Reply: Value;
    /// Why it says no.
    type Rejection: Rejection;
}

impl<E: Entity> PeerEntity for E {
    const NAME: &'static str = E::NAME;
    type Command = E::Command;
    type Reply = E::Reply;
    type Rejection = E::Rejection;
}

/// Another service, about to be sent a command.
#[must_use = "say what is sent: `.command::<Stock>(id, command)`"]
pub struct Peer<'a> {
    keyed: Keyed<'a>,
    name: String,
}

impl ActionContext {
    /// Speaks to another service; where it is says the configuration. The command that follows is known by its order among what this run
    /// sends, as [`command`](Self::command) is, and takes effect once at the peer however often it is sent.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Event)] enum OrderEvent { #[event("placed")] Placed { sku: String } }
    /// # struct Stock;
    /// # #[derive(Command)] enum StockCommand { #[command("take")] Take }
    /// # impl PeerEntity for Stock {
    /// #     const NAME: &'static str = "stock"; type Command = StockCommand; type Reply = (); type Rejection = std::convert::Infallible;
    /// # }
    /// struct TakeFromStock;
    ///
    /// impl Action for TakeFromStock {
    ///     const NAME: &'static str = "take-from-stock";
    ///     const ENTITY: &'static str = "order";
    ///     type Event = OrderEvent;
    ///
    ///     async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
    ///         let OrderEvent::Placed { sku } = event.event;
    ///         ctx.peer("stock").command::<Stock>(sku, StockCommand::Take).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// given_action(TakeFromStock)
    ///     .when("o1", OrderEvent::Placed { sku: "mug".into() })
    ///     .sends([command_to_peer::<Stock>("stock", "mug", StockCommand::Take)]);
    /// ```
    pub fn peer(&self, name: impl Into<String>) -> Peer<'_> {
        self.next().peer(name)
    }
}

impl<'a> Keyed<'a> {
    /// As [`ActionContext::peer`].
    pub fn peer(self, name: impl Into<String>) -> Peer<'a> {
        Peer { keyed: self, name: name.into() }
    }
}

impl Peer<'_> {
    /// Sends a command to an entity of the peer and waits for its reply. When none comes, nobody knows yet whether it took effect: the next
    /// run sends it under the same key, and is told.
    ///
    /// # Errors
    /// See [`CommandFailure`]. A peer that is down is [`Later`](CommandFailure::Later): with `?` the event waits, and no attempt is spent.
    pub async fn command<E: PeerEntity>(
        self,
        id: impl Into<String>,
        command: E::Command,
    ) -> Result<E::Reply, CommandFailure<E::Rejection>> {
        let target = ActionTarget::Peer { peer: self.name, kind: E::NAME, id: id.into(), command: command.name() };
        self.keyed.send(target, encode_payload(&command)).await
    }
}
