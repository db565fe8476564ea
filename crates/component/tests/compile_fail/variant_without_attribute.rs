extern crate headwater_component as headwater;

use headwater::Command;

#[derive(Command)]
enum CartCommand {
    AddItem { sku: String },
    #[command("pay")]
    Pay,
}

fn main() {}
