extern crate headwater_component as headwater;

use headwater::{Event, Personal};

#[derive(Event)]
enum OrderEvent {
    #[event("placed")]
    Placed { customer: Vec<u8>, #[personal(subject = "customer/{customer}")] name: Personal<String> },
}

fn main() {}
