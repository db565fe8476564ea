extern crate headwater_component as headwater;

use headwater::Event;

#[derive(Event)]
enum CartEvent {
    #[event("paid")]
    Paid,
    #[event("paid")]
    PaidAgain,
}

fn main() {}
