extern crate headwater_component as headwater;

use headwater::{Event, Personal};

#[derive(Event)]
enum OrderEvent {
    #[event("placed")]
    Placed { customer: String, #[personal(subject = "customer/{client}")] name: Personal<String> },
}

fn main() {}
