//! The smallest service: a cart that takes items until it is paid.
//!
//! `decide` turns a command into events or says no; `evolve` turns events into state. Everything else is Headwater's.
//!
//! ```text
//! cargo run -p headwater-examples --bin 01-cart
//! cargo run -p headwater-examples --bin 01-cart -- send cart c1 add-item '{"sku":"mug","quantity":2}'
//! cargo run -p headwater-examples --bin 01-cart -- entity show cart c1
//! ```

use std::collections::BTreeMap;

use headwater::prelude::*;

/// What is in a cart.
#[derive(Default, State)]
struct Cart {
    items: BTreeMap<String, u32>,
    paid: bool,
}

/// What a cart can be asked.
#[derive(Command)]
enum CartCommand {
    /// Puts some of an article in.
    #[command("add-item")]
    AddItem { sku: String, quantity: u32 },
    /// Pays for all of it.
    #[command("pay")]
    Pay,
}

/// What can happen to a cart.
#[derive(Event)]
enum CartEvent {
    /// An article went in.
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32 },
    /// It was paid.
    #[event("paid")]
    Paid,
}

/// Why a cart says no.
#[derive(Debug, Rejection)]
enum CartRejection {
    /// A paid cart does not change.
    #[rejection("already-paid", "the cart is paid")]
    AlreadyPaid,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = CartRejection;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, CartRejection> {
        match command {
            _ if self.paid => Err(CartRejection::AlreadyPaid),
            CartCommand::AddItem { sku, quantity } => Ok(record(CartEvent::ItemAdded { sku, quantity })),
            CartCommand::Pay => Ok(record(CartEvent::Paid)),
        }
    }

    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded { sku, quantity } => {
                let held = self.items.entry(sku.clone()).or_default();
                *held = held.saturating_add(*quantity);
            }
            CartEvent::Paid => self.paid = true,
        }
    }
}

fn service() -> Service {
    Service::new("shop").entity::<Cart>()
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    #[test]
    fn an_item_goes_in() {
        given::<Cart>([])
            .when(CartCommand::AddItem { sku: "mug".into(), quantity: 2 })
            .then([CartEvent::ItemAdded { sku: "mug".into(), quantity: 2 }]);
    }

    #[test]
    fn a_paid_cart_does_not_change() {
        given::<Cart>([CartEvent::Paid]).when(CartCommand::Pay).rejected(CartRejection::AlreadyPaid);
    }

    /// The whole service in memory: what it has taken is still there after its process has ended.
    #[test]
    fn a_cart_outlives_its_process() {
        let shop = Testkit::new(service);
        for quantity in [2, 3] {
            shop.send::<Cart>("c1", CartCommand::AddItem { sku: "mug".into(), quantity }).expect("the cart is not paid");
        }
        shop.crash();
        shop.send::<Cart>("c1", CartCommand::Pay).expect("the cart is not paid");
        let cart = shop.state::<Cart>("c1").expect("the cart has events");
        assert_eq!((cart.items["mug"], cart.paid), (5, true));
    }
}
