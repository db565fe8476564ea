//! One idea more: a shape that has changed. The cart of the first step has learnt quantities; it reads what was recorded before, and still writes
//! the old shape for a reader that asks for it.
//!
//! ```text
//! cargo run -p headwater-examples --bin 14-schemas
//! cargo run -p headwater-examples --bin 14-schemas -- send cart c1 add-item '{"sku":"apple","quantity":2}'
//! cargo run -p headwater-examples --bin 14-schemas -- schema list
//! cargo run -p headwater-examples --bin 14-schemas -- schema show cart/event/item-added
//! cargo run -p headwater-examples --bin 14-schemas -- schema record --out samples
//! cargo run -p headwater-examples --bin 14-schemas -- schema check samples
//! ```

use std::collections::BTreeMap;

use headwater::prelude::*;

/// What is in the cart.
#[derive(Debug, Default, PartialEq, State)]
struct Cart {
    items: BTreeMap<String, u32>,
}

/// What a cart is told.
#[derive(Command)]
enum CartCommand {
    /// Puts some of an article into it. A timer that was set before there were quantities fires in the new shape.
    #[command("add-item", version = 2, from = ItemV1)]
    AddItem { sku: String, quantity: u32 },
}

/// What happened to it.
#[derive(Debug, PartialEq, Event)]
enum CartEvent {
    /// Something was put into it.
    #[event("item-added", version = 2, from = ItemV1, to = ItemV1)]
    ItemAdded { sku: String, quantity: u32 },
}

/// As both were before there were quantities.
#[derive(Value)]
struct ItemV1 {
    sku: String,
}

impl From<ItemV1> for CartCommand {
    fn from(old: ItemV1) -> Self {
        Self::AddItem { sku: old.sku, quantity: 1 }
    }
}

impl From<ItemV1> for CartEvent {
    fn from(old: ItemV1) -> Self {
        Self::ItemAdded { sku: old.sku, quantity: 1 }
    }
}

/// Version 1 has a word for single items only: its readers do not get the others.
impl TryFrom<CartEvent> for ItemV1 {
    type Error = String;

    fn try_from(event: CartEvent) -> Result<Self, String> {
        match event {
            CartEvent::ItemAdded { sku, quantity: 1 } => Ok(Self { sku }),
            CartEvent::ItemAdded { sku, quantity } => Err(format!("{quantity} {sku}")),
        }
    }
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

fn shop() -> Service {
    // Others read these events with code of another day: each version keeps its shape in both directions.
    Service::new("shop").entity::<Cart>().compatibility("cart", Shapes::Events, Compatibility::FullTransitive)
}

fn main() -> headwater::Exit {
    shop().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    #[test]
    fn an_old_item_is_one_item_and_one_item_is_an_old_one() {
        let raised = CartEvent::from(ItemV1 { sku: "apple".into() });
        assert_eq!(raised, CartEvent::ItemAdded { sku: "apple".into(), quantity: 1 });
        assert_eq!(ItemV1::try_from(raised).map(|old| old.sku), Ok("apple".to_owned()));
        let two = CartEvent::ItemAdded { sku: "apple".into(), quantity: 2 };
        assert_eq!(ItemV1::try_from(two).map(|old| old.sku), Err("2 apple".to_owned()));
    }

    #[test]
    fn a_service_starts_again_on_the_shapes_that_it_has_registered() {
        let kit = Testkit::new(shop);
        kit.send::<Cart>("c1", CartCommand::AddItem { sku: "apple".into(), quantity: 2 }).unwrap();
        kit.restart();
        assert_eq!(kit.state::<Cart>("c1").unwrap().items["apple"], 2);
    }
}
