//! Actions: an event of one entity becomes commands to others.
//!
//! When an order is placed, its parcel is packed. Nobody has to ask for it, and a crash in between loses nothing: the action runs at least
//! once for each event, and what it sends takes effect once, because its command ids follow from the event.
//!
//! ```text
//! cargo run -p headwater-examples --bin 06-action
//! cargo run -p headwater-examples --bin 06-action -- send order o1 place '{"pieces":3}'
//! cargo run -p headwater-examples --bin 06-action -- entity show parcel o1
//! ```

use headwater::prelude::*;

/// An order.
#[derive(Default, State)]
struct Order {
    placed: bool,
}

/// What an order can be asked.
#[derive(Command)]
enum OrderCommand {
    /// Orders so many pieces.
    #[command("place")]
    Place { pieces: u32 },
}

/// What can happen to an order.
#[derive(Event)]
enum OrderEvent {
    /// It was placed.
    #[event("placed")]
    Placed { pieces: u32 },
}

/// Why an order says no.
#[derive(Debug, Rejection)]
enum OrderRejection {
    /// An order is placed once.
    #[rejection("already-placed", "the order is placed already")]
    AlreadyPlaced,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, OrderRejection> {
        let OrderCommand::Place { pieces } = command;
        if self.placed { Err(OrderRejection::AlreadyPlaced) } else { Ok(record(OrderEvent::Placed { pieces })) }
    }

    fn evolve(&mut self, _: &OrderEvent) {
        self.placed = true;
    }
}

/// What is packed for an order. It takes any number of boxes: that there is one is not its rule.
#[derive(Debug, Default, PartialEq, State)]
struct Parcel {
    boxes: u32,
    pieces: u32,
}

/// What the packers do.
#[derive(Command)]
enum ParcelCommand {
    /// Adds a box.
    #[command("pack")]
    Pack { pieces: u32 },
}

/// What can happen to a parcel.
#[derive(Event)]
enum ParcelEvent {
    /// A box was added.
    #[event("packed")]
    Packed { pieces: u32 },
}

/// Why the packers do not.
#[derive(Rejection)]
enum ParcelRejection {
    /// There is nothing to pack.
    #[rejection("nothing", "there is nothing to pack")]
    Nothing,
}

impl Entity for Parcel {
    const NAME: &'static str = "parcel";
    type Command = ParcelCommand;
    type Event = ParcelEvent;
    type Reply = ();
    type Rejection = ParcelRejection;

    fn decide(&self, command: ParcelCommand, _: &CommandContext) -> Result<Decision<ParcelEvent>, ParcelRejection> {
        match command {
            ParcelCommand::Pack { pieces: 0 } => Err(ParcelRejection::Nothing),
            ParcelCommand::Pack { pieces } => Ok(record(ParcelEvent::Packed { pieces })),
        }
    }

    fn evolve(&mut self, event: &ParcelEvent) {
        let ParcelEvent::Packed { pieces } = event;
        self.boxes = self.boxes.saturating_add(1);
        self.pieces = self.pieces.saturating_add(*pieces);
    }
}

/// Packs a parcel for each order. `?` on what cannot be decided now tries again later; what a rule rejects is parked for a person.
struct PackParcel;

impl Action for PackParcel {
    const NAME: &'static str = "pack-parcel";
    const ENTITY: &'static str = "order";
    type Event = OrderEvent;

    async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let OrderEvent::Placed { pieces } = event.event;
        ctx.command::<Parcel>(event.entity_id, ParcelCommand::Pack { pieces }).await?;
        Ok(())
    }
}

fn service() -> Service {
    Service::new("action").entity::<Order>().entity::<Parcel>().action(PackParcel)
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::{Testkit, seeds};

    use super::*;

    #[test]
    fn a_placed_order_is_packed() {
        given_action(PackParcel)
            .when("o1", OrderEvent::Placed { pieces: 3 })
            .sends([command_to::<Parcel>("o1", ParcelCommand::Pack { pieces: 3 })]);
    }

    #[test]
    fn what_cannot_be_packed_now_is_packed_later_and_what_never_can_waits_for_a_person() {
        given_action(PackParcel).fails("the disk is full").when("o1", OrderEvent::Placed { pieces: 3 }).retries();
        given_action(PackParcel).rejects(ParcelRejection::Nothing).when("o1", OrderEvent::Placed { pieces: 0 }).parks();
    }

    /// Whatever is delivered twice, late, out of turn, or cut short by the end of the process.
    #[test]
    fn each_order_is_packed_once() {
        for seed in seeds(20) {
            let shop = Testkit::new(service).seed(seed).duplicates().delays().reorder().crashes(0.02);
            for order in 1..=5 {
                shop.send::<Order>(&format!("o{order}"), OrderCommand::Place { pieces: order }).expect("a first order");
            }
            shop.settle();
            for order in 1..=5 {
                assert_eq!(shop.state::<Parcel>(&format!("o{order}")), Some(Parcel { boxes: 1, pieces: order }));
            }
        }
    }

    #[test]
    fn an_order_that_cannot_be_packed_waits_for_a_person() {
        let shop = Testkit::new(service);
        for (order, pieces) in [("o1", 0), ("o2", 2)] {
            shop.send::<Order>(order, OrderCommand::Place { pieces }).expect("a first order");
        }
        shop.settle();
        let parked = shop.parked();
        assert_eq!(
            (parked.len(), &parked[0].entity[..], &parked[0].cause[..]),
            (1, "order/o1", "rejected: there is nothing to pack (nothing)")
        );
        assert_eq!(shop.state::<Parcel>("o2"), Some(Parcel { boxes: 1, pieces: 2 }), "the others flow");
    }
}
