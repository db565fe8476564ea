extern crate headwater_component as headwater;

use headwater::State;

#[derive(Default, State)]
#[state(1)]
struct Cart {}

#[derive(Default, State)]
struct Shelf<T> {
    content: T,
}

fn main() {}
