extern crate headwater_component as headwater;

use headwater::{CommandContext, Decision, Entity, record};

#[derive(Default)]
struct Cart {}

enum CartCommand {
    Pay,
}

enum CartEvent {
    Paid,
}

struct Receipt {}

enum CartRejection {}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = Receipt;
    type Rejection = CartRejection;

    fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent, Receipt>, CartRejection> {
        Ok(record(CartEvent::Paid).reply(Receipt {}))
    }

    fn evolve(&mut self, _: &CartEvent) {}
}

fn main() {}
