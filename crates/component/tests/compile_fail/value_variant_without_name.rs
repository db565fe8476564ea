extern crate headwater_component as headwater;

use headwater::Value;

#[derive(Value)]
enum Payment {
    #[value("cash")]
    Cash,
    Card { number: String },
}

fn main() {}
