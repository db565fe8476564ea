extern crate headwater_component as headwater;

use headwater::Event;

#[derive(Event)]
struct Paid {
    amount: u32,
}

fn main() {}
