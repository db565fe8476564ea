extern crate headwater_component as headwater;

use headwater::Command;

const NAME: &str = "pay";

#[derive(Command)]
enum CartCommand {
    #[command(NAME)]
    Pay,
    #[command]
    Leave,
}

fn main() {}
