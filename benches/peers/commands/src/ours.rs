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

/// Three steps that do nothing but be durable.
struct Three;

impl Workflow for Three {
    const NAME: &'static str = "three";
    type Input = u64;
    type Output = u64;

    async fn run(&self, ctx: &WorkflowContext, given: u64) -> Result<u64, headwater::prelude::Failure> {
        let first = ctx.step("first", move |_| async move { Ok(given + 1) }).await?;
        let second = ctx.step("second", move |_| async move { Ok(first + 1) }).await?;
        let third = ctx.step("third", move |_| async move { Ok(second + 1) }).await?;
        Ok(third)
    }
}

pub(crate) async fn start(data: &Path) -> Result<Running, Failure> {
    Service::new("carts").entity::<Cart>().workflow(Three).listen("127.0.0.1:0").data(data.display().to_string()).start().await
}
