extern crate headwater_component as headwater;

use headwater::{Event, Personal};

#[derive(Event)]
enum OrderEvent {
    #[event("placed")]
    Placed { customer: String, #[personal(subject = "customer")] name: Personal<String> },
}

fn main() {}
