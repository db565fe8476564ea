extern crate headwater_component as headwater;

use headwater::{State, Value};
use std::collections::BTreeMap;

#[derive(Value, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    x: i32,
    y: i32,
}

#[derive(Default, State)]
struct Board {
    stones: BTreeMap<Place, bool>,
}

fn main() {}
