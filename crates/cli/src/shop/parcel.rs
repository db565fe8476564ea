//! A parcel for each cart that is checked out, packed by an action.

use headwater::prelude::*;

/// What a parcel holds.
#[derive(Debug, Default, State)]
pub(crate) struct Parcel {
    boxes: u32,
    pieces: u64,
}

/// What the packers do.
#[derive(Command)]
pub(crate) enum ParcelCommand {
    /// Adds a box.
    #[command("pack")]
    Pack {
        /// How many pieces are in it.
        pieces: u32,
    },
}

/// What happened to a parcel.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum ParcelEvent {
    /// A box was added.
    #[event("packed")]
    Packed {
        /// How many pieces are in it.
        pieces: u32,
    },
}

impl Entity for Parcel {
    const NAME: &'static str = "parcel";
    type Command = ParcelCommand;
    type Event = ParcelEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: ParcelCommand, _: &CommandContext) -> Result<Decision<ParcelEvent>, Self::Rejection> {
        let ParcelCommand::Pack { pieces } = command;
        Ok(record(ParcelEvent::Packed { pieces }))
    }

    fn evolve(&mut self, event: &ParcelEvent) {
        let ParcelEvent::Packed { pieces } = event;
        self.boxes += 1;
        self.pieces += u64::from(*pieces);
    }
}

/// What of a cart sets the packers off; the action does not run for anything else.
#[derive(Event)]
pub(crate) enum CartClosed {
    /// The shopping ended.
    #[event("checked-out")]
    CheckedOut {
        /// How many pieces were in the cart.
        pieces: u32,
    },
}

/// Packs a parcel of its own for each cart that is checked out. The rule of a parcel would take a second box: that there is one
/// is the delivery's promise.
pub(crate) struct PackParcel;

impl Action for PackParcel {
    const NAME: &'static str = "pack-parcel";
    const ENTITY: &'static str = "cart";
    type Event = CartClosed;

    async fn run(&self, event: Recorded<CartClosed>, ctx: &ActionContext) -> Result<(), ActionError> {
        let CartClosed::CheckedOut { pieces } = event.event;
        ctx.command::<Parcel>(event.entity_id, ParcelCommand::Pack { pieces }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater::prelude::*;

    use super::{CartClosed, PackParcel, Parcel, ParcelCommand};

    #[test]
    fn a_checked_out_cart_is_packed() {
        let packed = command_to::<Parcel>("c1", ParcelCommand::Pack { pieces: 5 });
        given_action(PackParcel).when("c1", CartClosed::CheckedOut { pieces: 5 }).sends([packed]);
    }

    #[test]
    fn what_cannot_be_decided_now_is_tried_again() {
        given_action(PackParcel).fails("the disk is full").when("c1", CartClosed::CheckedOut { pieces: 5 }).retries();
    }
}
