//! One idea more: a rejection carries data, and an accepted command a reply. Both are part of the interface, so the sender
//! learns what to do next without a second request.
//!
//! ```text
//! cargo run -p headwater-examples --bin 02-typed-rejections
//! cargo run -p headwater-examples --bin 02-typed-rejections -- send stock mug receive '{"quantity":3}'
//! cargo run -p headwater-examples --bin 02-typed-rejections -- send stock mug reserve '{"quantity":5}'   # exit code 3
//! ```

use headwater::prelude::*;

/// How much of an article there is.
#[derive(Default, State)]
struct Stock {
    available: u32,
}

/// What the store is asked.
#[derive(Command)]
enum StockCommand {
    /// Some were delivered.
    #[command("receive")]
    Receive { quantity: u32 },
    /// Keeps some for a customer.
    #[command("reserve")]
    Reserve { quantity: u32 },
}

/// What happened in the store.
#[derive(Event)]
enum StockEvent {
    /// Some came.
    #[event("received")]
    Received { quantity: u32 },
    /// Some are kept.
    #[event("reserved")]
    Reserved { quantity: u32 },
}

/// Why the store says no.
#[derive(Debug, Rejection)]
enum StockRejection {
    /// A quantity of nothing.
    #[rejection("no-quantity", "ask for at least 1")]
    NoQuantity,
    /// There are not so many; the sender may ask for fewer.
    #[rejection("not-enough", "there are only {available}, not {wanted}")]
    NotEnough { wanted: u32, available: u32 },
    /// There is no more room.
    #[rejection("full", "there is room for {room} more")]
    Full { room: u32 },
}

/// What the sender of an accepted command learns.
#[derive(Debug, PartialEq, Value)]
struct Left {
    available: u32,
}

impl Entity for Stock {
    const NAME: &'static str = "stock";
    type Command = StockCommand;
    type Event = StockEvent;
    type Reply = Left;
    type Rejection = StockRejection;

    fn decide(&self, command: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent, Left>, StockRejection> {
        match command {
            StockCommand::Receive { quantity: 0 } | StockCommand::Reserve { quantity: 0 } => Err(StockRejection::NoQuantity),
            StockCommand::Receive { quantity } => {
                let room = u32::MAX - self.available;
                let available = self.available.checked_add(quantity).ok_or(StockRejection::Full { room })?;
                Ok(record(StockEvent::Received { quantity }).reply(Left { available }))
            }
            StockCommand::Reserve { quantity } => {
                let missing = StockRejection::NotEnough { wanted: quantity, available: self.available };
                let available = self.available.checked_sub(quantity).ok_or(missing)?;
                Ok(record(StockEvent::Reserved { quantity }).reply(Left { available }))
            }
        }
    }

    fn evolve(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Received { quantity } => self.available += quantity,
            StockEvent::Reserved { quantity } => self.available -= quantity,
        }
    }
}

fn service() -> Service {
    Service::new("stock").entity::<Stock>()
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::SendError;
    use headwater::testkit::Testkit;

    use super::*;

    #[test]
    fn a_reservation_tells_what_is_left() {
        given::<Stock>([StockEvent::Received { quantity: 3 }])
            .when(StockCommand::Reserve { quantity: 2 })
            .then([StockEvent::Reserved { quantity: 2 }])
            .replied(Left { available: 1 });
    }

    #[test]
    fn a_refusal_tells_how_many_there_are() {
        given::<Stock>([StockEvent::Received { quantity: 3 }])
            .when(StockCommand::Reserve { quantity: 5 })
            .rejected(StockRejection::NotEnough { wanted: 5, available: 3 });
    }

    #[test]
    fn nothing_cannot_be_received_and_a_full_store_takes_no_more() {
        given::<Stock>([]).when(StockCommand::Receive { quantity: 0 }).rejected(StockRejection::NoQuantity);
        given::<Stock>([StockEvent::Received { quantity: u32::MAX }])
            .when(StockCommand::Receive { quantity: 1 })
            .rejected(StockRejection::Full { room: 0 });
    }

    /// A sender that heard no answer asks again under the same key, and gets the first one.
    #[test]
    fn a_reply_is_given_again_and_a_refusal_is_typed() {
        let store = Testkit::new(service);
        store.send::<Stock>("mug", StockCommand::Receive { quantity: 3 }).expect("there is room");
        let reserve = |key, quantity| store.keyed(key).send::<Stock>("mug", StockCommand::Reserve { quantity });
        assert_eq!(reserve("first", 2).ok(), Some(Left { available: 1 }));
        assert_eq!(reserve("first", 2).ok(), Some(Left { available: 1 }));
        let Err(SendError::Rejected(StockRejection::NotEnough { wanted, available })) = reserve("second", 2) else { panic!("one is left") };
        assert_eq!((wanted, available), (2, 1));
    }
}
