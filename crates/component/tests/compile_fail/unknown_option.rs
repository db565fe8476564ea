extern crate headwater_component as headwater;

use headwater::{Event, Value};

#[derive(Event)]
enum CartEvent {
    #[event("paid", since = 2)]
    Paid {
        #[field(skip)]
        by: String,
    },
}

#[derive(Value)]
struct Item {
    sku: String,
    #[field("sku")]
    other: String,
}

fn main() {}
