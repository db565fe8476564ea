//! Views: tables that follow the events, in SQL, and questions to them.
//!
//! A command changes one entity. Questions over many of them (what sells best? what did this customer buy?) are answered by rows that
//! are made from events: a little behind, never wrong, and made anew from the first event whenever you like.
//!
//! ```text
//! cargo run -p headwater-examples --bin 05-view-popular
//! cargo run -p headwater-examples --bin 05-view-popular -- send cart c1 add-item '{"sku":"mug","quantity":2,"price":"4.50"}'
//! cargo run -p headwater-examples --bin 05-view-popular -- view query popular top
//! cargo run -p headwater-examples --bin 05-view-popular -- view query popular in-cart cart=c1
//! curl -N -H 'accept: text/event-stream' localhost:7430/v1/views/popular/top
//! ```

use headwater::prelude::*;

/// A cart; this time its rule takes everything.
#[derive(Default, State)]
struct Cart {}

/// What a cart can be asked.
#[derive(Command)]
enum CartCommand {
    /// Puts some of an article in.
    #[command("add-item")]
    AddItem { sku: String, quantity: u32, price: Decimal },
    /// Takes an article out.
    #[command("remove-item")]
    RemoveItem { sku: String },
}

/// What can happen to a cart.
#[derive(Event)]
enum CartEvent {
    /// An article went in.
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32, price: Decimal },
    /// An article went out.
    #[event("item-removed")]
    ItemRemoved { sku: String },
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        Ok(match command {
            CartCommand::AddItem { sku, quantity, price } => record(CartEvent::ItemAdded { sku, quantity, price }),
            CartCommand::RemoveItem { sku } => record(CartEvent::ItemRemoved { sku }),
        })
    }

    fn evolve(&mut self, _: &CartEvent) {}
}

/// An article over all carts.
#[derive(Value)]
struct Popular {
    sku: String,
    pieces: u64,
    total: Decimal,
}

/// Which cart.
#[derive(Value)]
struct InCart {
    cart: String,
}

/// What is in it.
#[derive(Value)]
struct Line {
    sku: String,
    pieces: u64,
}

/// `:field` is the event's field, `@id` the cart's id. Money stays TEXT, and is counted with its digits.
fn popular() -> View {
    View::sqlite("popular")
        .about("What lies in carts, by article and by cart.")
        .table("CREATE TABLE line (cart TEXT, sku TEXT, pieces INTEGER NOT NULL, total TEXT NOT NULL, PRIMARY KEY (cart, sku))")
        .table("CREATE INDEX line_sku ON line (sku)")
        .on(
            "cart/item-added",
            "INSERT INTO line VALUES (@id, :sku, :quantity, decimal_mul(:price, :quantity))
             ON CONFLICT DO UPDATE SET pieces = pieces + excluded.pieces, total = decimal_add(total, excluded.total)",
        )
        .on("cart/item-removed", "DELETE FROM line WHERE cart = @id AND sku = :sku")
        .query::<(), Popular>(
            "top",
            "SELECT sku, sum(pieces) AS pieces, decimal_sum(total) AS total FROM line GROUP BY sku ORDER BY pieces DESC, sku LIMIT 10",
        )
        .query::<InCart, Line>("in-cart", "SELECT sku, pieces FROM line WHERE cart = :cart ORDER BY sku")
}

fn service() -> Service {
    Service::new("view-popular").entity::<Cart>().view(popular())
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    fn price() -> Decimal {
        "0.10".parse().expect("a decimal")
    }

    fn added(sku: &str, quantity: u32) -> CartEvent {
        CartEvent::ItemAdded { sku: sku.into(), quantity, price: price() }
    }

    #[test]
    fn articles_are_counted_over_all_carts() {
        given_view(popular())
            .events::<Cart>("c1", [added("mug", 1), added("mug", 2), added("cup", 5)])
            .events::<Cart>("c2", [added("mug", 3)])
            .query("top", ())
            .rows([
                Popular { sku: "mug".into(), pieces: 6, total: "0.60".parse().expect("a decimal") },
                Popular { sku: "cup".into(), pieces: 5, total: "0.50".parse().expect("a decimal") },
            ]);
    }

    #[test]
    fn what_went_out_is_not_in_the_cart() {
        given_view(popular())
            .events::<Cart>("c1", [added("mug", 1), added("cup", 2), CartEvent::ItemRemoved { sku: "mug".into() }])
            .query("in-cart", InCart { cart: "c1".into() })
            .rows([Line { sku: "cup".into(), pieces: 2 }]);
    }

    /// A query sees what was recorded before it, and the rows are made again when their process is gone.
    #[test]
    fn rows_follow_the_commands() {
        let shop = Testkit::new(service);
        for quantity in [1, 2] {
            let add = CartCommand::AddItem { sku: "mug".into(), quantity, price: price() };
            shop.send::<Cart>("c1", add).expect("a cart takes everything");
        }
        let pieces = || shop.query::<_, Line>("popular", "in-cart", InCart { cart: "c1".into() })[0].pieces;
        assert_eq!(pieces(), 3);
        shop.crash();
        assert_eq!(pieces(), 3);
    }
}
