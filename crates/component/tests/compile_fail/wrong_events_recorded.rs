extern crate headwater_component as headwater;

use headwater::{Command, Decision, Event, record};

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

fn decide() -> Decision<CartEvent> {
    record("paid")
}

fn main() {}
