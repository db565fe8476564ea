extern crate headwater_component as headwater;

use headwater::{Value, WorkflowContext};

#[derive(Value)]
struct Receipt {
    order: String,
}

fn tell(ctx: &WorkflowContext) {
    ctx.publish::<Receipt>("o1", &Receipt { order: "o1".to_owned() });
}

fn main() {}
