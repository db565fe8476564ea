extern crate headwater_component as headwater;

use headwater::Event;

#[derive(Event)]
enum CartEvent {
    #[event("Item Added")]
    ItemAdded,
    #[event("1st")]
    First,
}

fn main() {}
