extern crate headwater_component as headwater;

use headwater::Event;

#[derive(Event)]
enum CartEvent {
    #[event("item-added")]
    ItemAdded(String, u32),
}

fn main() {}
