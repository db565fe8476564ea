//! A cart: filled, emptied, checked out once.

use std::collections::BTreeMap;

use headwater::prelude::*;

/// What lies in a cart.
#[derive(Debug, Default, State)]
pub(crate) struct Cart {
    items: BTreeMap<String, u32>,
    checked_out: bool,
}

/// What a customer does with a cart.
#[derive(Command)]
pub(crate) enum CartCommand {
    /// Puts some of an article into the cart.
    #[command("add-item")]
    AddItem {
        /// The article.
        sku: String,
        /// How many, at least one.
        quantity: u32,
    },
    /// Takes an article out, all of it.
    #[command("remove-item")]
    RemoveItem {
        /// The article.
        sku: String,
    },
    /// Ends the shopping.
    #[command("check-out")]
    CheckOut,
}

/// What happened to a cart.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum CartEvent {
    /// An article went in.
    #[event("item-added")]
    ItemAdded {
        /// The article.
        sku: String,
        /// How many.
        quantity: u32,
    },
    /// An article went out.
    #[event("item-removed")]
    ItemRemoved {
        /// The article.
        sku: String,
    },
    /// The shopping ended.
    #[event("checked-out")]
    CheckedOut {
        /// How many pieces were in the cart.
        pieces: u32,
        /// Which articles, and how many of each; older events do not say it.
        #[field(default)]
        items: BTreeMap<String, u32>,
    },
}

/// Why a cart refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum CartRejection {
    /// Nothing changes after the checkout.
    #[rejection("already-checked-out", "the cart is checked out already")]
    AlreadyCheckedOut,
    /// There is nothing to check out.
    #[rejection("empty", "the cart is empty")]
    Empty,
    /// A quantity of nothing.
    #[rejection("no-quantity", "the quantity must be at least 1")]
    NoQuantity,
    /// A quantity beyond counting.
    #[rejection("too-many", "a cart holds at most {most} pieces of an article")]
    TooMany {
        /// How many it holds.
        most: u32,
    },
    /// The article is not in the cart.
    #[rejection("not-in-cart", "there is no {sku} in the cart")]
    NotInCart {
        /// The article.
        sku: String,
    },
}

/// Pieces of one article, at most.
const PIECES_MAX: u32 = 1_000_000;

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = CartRejection;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, CartRejection> {
        match command {
            _ if self.checked_out => Err(CartRejection::AlreadyCheckedOut),
            CartCommand::AddItem { quantity: 0, .. } => Err(CartRejection::NoQuantity),
            CartCommand::AddItem { sku, quantity } => self.add(sku, quantity),
            CartCommand::RemoveItem { sku } if self.items.contains_key(&sku) => Ok(record(CartEvent::ItemRemoved { sku })),
            CartCommand::RemoveItem { sku } => Err(CartRejection::NotInCart { sku }),
            CartCommand::CheckOut if self.items.is_empty() => Err(CartRejection::Empty),
            CartCommand::CheckOut => Ok(record(CartEvent::CheckedOut { pieces: self.pieces(), items: self.items.clone() })),
        }
    }

    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded { sku, quantity } => *self.items.entry(sku.clone()).or_default() += quantity,
            CartEvent::ItemRemoved { sku } => drop(self.items.remove(sku)),
            CartEvent::CheckedOut { .. } => self.checked_out = true,
        }
    }
}

impl Cart {
    fn add(&self, sku: String, quantity: u32) -> Result<Decision<CartEvent>, CartRejection> {
        let held = self.items.get(&sku).copied().unwrap_or_default();
        if quantity > PIECES_MAX - held {
            return Err(CartRejection::TooMany { most: PIECES_MAX });
        }
        Ok(record(CartEvent::ItemAdded { sku, quantity }))
    }

    fn pieces(&self) -> u32 {
        self.items.values().fold(0, |sum, quantity| sum.saturating_add(*quantity))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Cart, CartCommand, CartEvent, CartRejection, PIECES_MAX};
    use headwater::prelude::*;

    fn added(sku: &str, quantity: u32) -> CartEvent {
        CartEvent::ItemAdded { sku: sku.into(), quantity }
    }

    #[test]
    fn an_item_goes_in() {
        given::<Cart>([]).when(CartCommand::AddItem { sku: "mug".into(), quantity: 2 }).then([added("mug", 2)]);
    }

    #[test]
    fn no_pieces_are_no_item() {
        given::<Cart>([]).when(CartCommand::AddItem { sku: "mug".into(), quantity: 0 }).rejected(CartRejection::NoQuantity);
    }

    #[test]
    fn an_article_has_a_bound() {
        let command = CartCommand::AddItem { sku: "mug".into(), quantity: 1 };
        given::<Cart>([added("mug", PIECES_MAX)]).when(command).rejected(CartRejection::TooMany { most: PIECES_MAX });
    }

    #[test]
    fn only_what_is_in_the_cart_can_be_removed() {
        let remove = || CartCommand::RemoveItem { sku: "mug".into() };
        given::<Cart>([added("mug", 2)]).when(remove()).then([CartEvent::ItemRemoved { sku: "mug".into() }]);
        given::<Cart>([]).when(remove()).rejected(CartRejection::NotInCart { sku: "mug".into() });
    }

    #[test]
    fn the_checkout_counts_the_pieces_and_is_the_end() {
        let items = BTreeMap::from([("mug".to_owned(), 2), ("tea".to_owned(), 3)]);
        given::<Cart>([added("mug", 2), added("tea", 3)]).when(CartCommand::CheckOut).then([CartEvent::CheckedOut { pieces: 5, items }]);
        given::<Cart>([]).when(CartCommand::CheckOut).rejected(CartRejection::Empty);
        let closed = [added("mug", 1), CartEvent::CheckedOut { pieces: 1, items: BTreeMap::new() }];
        given::<Cart>(closed).when(CartCommand::CheckOut).rejected(CartRejection::AlreadyCheckedOut);
    }
}
