//! Two services, each with a journal of its own: what happens to orders leaves one of them as a public stream, and is a topic of the other,
//! without a broker. Either works while the other is down.
//!
//! ```text
//! cargo run -p headwater-examples --bin 13-streams -- --listen 127.0.0.1:7430 --data ./order-data
//! SERVICE=stock cargo run -p headwater-examples --bin 13-streams -- --listen 127.0.0.1:7431 --data ./stock-data --peer order=http://127.0.0.1:7430
//!
//! cargo run -p headwater-examples --bin 13-streams -- send order o1 place '{"sku":"mug","pieces":2,"margin_cents":90}'
//! cargo run -p headwater-examples --bin 13-streams -- stream list
//! cargo run -p headwater-examples --bin 13-streams -- stream status --url http://127.0.0.1:7431
//! cargo run -p headwater-examples --bin 13-streams -- entity show stock mug --url http://127.0.0.1:7431
//! ```
//!
//! Stop either of them for a while, place orders meanwhile, and start it again: nothing is missing, and nothing is there twice.

use std::collections::BTreeMap;

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
    Place { sku: String, pieces: u32, margin_cents: u64 },
}

/// What can happen to an order.
#[derive(Event)]
enum OrderEvent {
    /// It was placed.
    #[event("placed")]
    Placed { sku: String, pieces: u32, margin_cents: u64 },
}

/// Why an order says no.
#[derive(Debug, Rejection)]
enum OrderRejection {
    /// An order is placed once.
    #[rejection("already-placed", "the order is placed")]
    AlreadyPlaced,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, OrderRejection> {
        let OrderCommand::Place { sku, pieces, margin_cents } = command;
        if self.placed {
            return Err(OrderRejection::AlreadyPlaced);
        }
        Ok(record(OrderEvent::Placed { sku, pieces, margin_cents }))
    }

    fn evolve(&mut self, _: &OrderEvent) {
        self.placed = true;
    }
}

/// What others may know of a placed order: not the margin.
#[derive(Value)]
struct OrderPlaced {
    sku: String,
    pieces: u32,
}

/// What leaves the order service.
fn orders() -> Stream {
    Stream::new("orders").about("Orders, as others may know them.").event::<Order, OrderPlaced>("placed", |order| {
        let OrderEvent::Placed { sku, pieces, .. } = order.event;
        Some(OrderPlaced { sku: sku.clone(), pieces: *pieces })
    })
}

/// An article in stock, and for which orders how much of it is reserved.
#[derive(Debug, Default, PartialEq, State)]
struct Stock {
    reserved: BTreeMap<String, u32>,
}

/// What stock can be asked.
#[derive(Command)]
enum StockCommand {
    /// Puts pieces aside for an order.
    #[command("reserve")]
    Reserve { order: String, pieces: u32 },
}

/// What can happen to stock.
#[derive(Event)]
enum StockEvent {
    /// Pieces were put aside.
    #[event("reserved")]
    Reserved { order: String, pieces: u32 },
}

impl Entity for Stock {
    const NAME: &'static str = "stock";
    type Command = StockCommand;
    type Event = StockEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, Self::Rejection> {
        let StockCommand::Reserve { order, pieces } = command;
        Ok(record(StockEvent::Reserved { order, pieces }))
    }

    fn evolve(&mut self, event: &StockEvent) {
        let StockEvent::Reserved { order, pieces } = event;
        *self.reserved.entry(order.clone()).or_default() += pieces;
    }
}

/// Puts aside what was ordered.
struct Reserve;

impl TopicAction for Reserve {
    const NAME: &'static str = "reserve";
    const TOPIC: &'static str = "orders";
    type Message = OrderPlaced;

    async fn run(&self, message: Message<OrderPlaced>, ctx: &ActionContext) -> Result<(), ActionError> {
        let OrderPlaced { sku, pieces } = message.data;
        // The order is what the message is about.
        let order = message.subject.unwrap_or_default();
        ctx.command::<Stock>(sku, StockCommand::Reserve { order, pieces }).await?;
        Ok(())
    }
}

fn order_service() -> Service {
    Service::new("order").entity::<Order>().stream(orders())
}

fn stock_service() -> Service {
    Service::new("stock")
        .entity::<Stock>()
        .topic_of::<OrderPlaced>("orders")
        .subscribe(Subscription::to("order", "orders"))
        .topic_action(Reserve)
}

fn main() -> headwater::Exit {
    // Two programs in one file: a service is one binary of its own otherwise.
    if std::env::var("SERVICE").is_ok_and(|name| name == "stock") { stock_service().run() } else { order_service().run() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ordered_is_put_aside() {
        given_topic_action(Reserve)
            .when(OrderPlaced { sku: "mug".into(), pieces: 2 })
            .sends([command_to::<Stock>("mug", StockCommand::Reserve { order: String::new(), pieces: 2 })]);
    }

    #[test]
    fn an_order_is_placed_once() {
        let place = || OrderCommand::Place { sku: "mug".into(), pieces: 2, margin_cents: 90 };
        let placed = OrderEvent::Placed { sku: "mug".into(), pieces: 2, margin_cents: 90 };
        given::<Order>([placed]).when(place()).rejected(OrderRejection::AlreadyPlaced);
    }
}
