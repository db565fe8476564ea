extern crate headwater_component as headwater;

use headwater::Event;

#[derive(Event)]
enum CartEvent<T> {
    #[event("paid")]
    Paid(T),
}

fn main() {}
