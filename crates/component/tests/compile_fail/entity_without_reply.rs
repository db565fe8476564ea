extern crate headwater_component as headwater;

use headwater::{Command, CommandContext, Decision, Entity, Event, State, record};

#[derive(Default, State)]
struct Cart {}

#[derive(Command)]
enum CartCommand {
    #[command("pay")]
    Pay,
}

#[derive(Event)]
enum CartEvent {
    #[event("paid")]
    Paid,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Rejection = std::convert::Infallible;

    fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        Ok(record(CartEvent::Paid))
    }

    fn evolve(&mut self, _: &CartEvent) {}
}

fn main() {}
