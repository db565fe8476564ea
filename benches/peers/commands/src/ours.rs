//! The cart as a Headwater service has it, alone: nothing follows from its events.

use std::collections::BTreeMap;
use std::path::Path;

use headwater::prelude::*;
use headwater::{Failure, Running};

#[derive(Default, State)]
struct Cart {
    items: BTreeMap<String, u32>,
}

#[derive(Command)]
enum CartCommand {
    #[command("add-item")]
    AddItem { sku: String, quantity: u32 },
}

#[derive(Event)]
enum CartEvent {
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32 },
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        let CartCommand::AddItem { sku, quantity } = command;
        Ok(record(CartEvent::ItemAdded { sku, quantity }))
    }

    fn evolve(&mut self, event: &CartEvent) {
        let CartEvent::ItemAdded { sku, quantity } = event;
        *self.items.entry(sku.clone()).or_default() += quantity;
    }
}

pub(crate) async fn start(data: &Path) -> Result<Running, Failure> {
    Service::new("carts").entity::<Cart>().listen("127.0.0.1:0").data(data.display().to_string()).start().await
}
