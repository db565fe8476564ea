extern crate headwater_component as headwater;

use headwater::Event;

struct Address {
    street: String,
}

#[derive(Event)]
enum ParcelEvent {
    #[event("sent")]
    Sent { to: Address, also_to: Vec<Address> },
}

fn main() {}
