extern crate headwater_component as headwater;

use headwater::{Event, Value};

#[derive(Value)]
struct PaidV1 {}

#[derive(Event)]
enum CartEvent {
    #[event("paid", version = 2, to = PaidV1)]
    Paid { by: String },
}

fn main() {}
