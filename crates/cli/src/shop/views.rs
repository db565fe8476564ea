//! What the shop can be asked: orders, sales by country and day, products.
//!
//! Money is summed as decimals, so that the views come to the same total as the events, to the last digit.

use headwater::prelude::*;

/// An order on the board.
#[derive(Value)]
struct OpenOrder {
    id: String,
    customer: Option<String>,
    country: String,
    placed_at: String,
    lines: u32,
    total: Decimal,
}

/// Whose orders.
#[derive(Value)]
struct OfCustomer {
    /// The customer.
    customer: String,
}

/// An order of a customer.
#[derive(Value)]
struct CustomersOrder {
    id: String,
    placed_at: String,
    lines: u32,
    total: Decimal,
    cancelled: bool,
}

/// Orders: the board of those that are open, and a customer's.
pub(super) fn orders() -> View {
    View::sqlite("orders")
        .about("Orders, each with its lines and its total.")
        .table(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT, country TEXT NOT NULL, placed_at TEXT NOT NULL,
             lines INTEGER NOT NULL, total TEXT NOT NULL, cancelled INTEGER NOT NULL)",
        )
        .table("CREATE INDEX orders_customer ON orders (customer, placed_at)")
        .table("CREATE INDEX orders_open ON orders (placed_at, id) WHERE NOT cancelled")
        .on("order/placed", "INSERT INTO orders VALUES (@id, :customer, :country, :placed_at, 0, '0', 0)")
        .on("order/line-added", "UPDATE orders SET lines = :line, total = decimal_add(total, decimal_mul(:price, :quantity)) WHERE id = @id")
        .on("order/cancelled", "UPDATE orders SET cancelled = 1 WHERE id = @id")
        .query::<(), OpenOrder>(
            "open",
            "SELECT id, customer, country, placed_at, lines, total FROM orders WHERE NOT cancelled ORDER BY placed_at DESC, id DESC LIMIT 50",
        )
        .query::<OfCustomer, CustomersOrder>(
            "of-customer",
            "SELECT id, placed_at, lines, total, cancelled FROM orders WHERE customer = :customer ORDER BY placed_at, id",
        )
}

/// What was sold.
#[derive(Value)]
struct Sales {
    country: String,
    lines: u64,
    pieces: i64,
    total: Decimal,
}

/// Which country.
#[derive(Value)]
struct InCountry {
    /// The country.
    country: String,
}

/// What was sold on a day.
#[derive(Value)]
struct DaySales {
    day: String,
    lines: u64,
    pieces: i64,
    total: Decimal,
}

/// Sales by country and day. A line does not say its country: the view remembers that of the order.
pub(super) fn sales() -> View {
    View::sqlite("sales")
        .about("Sales by country and day; returns count below zero.")
        .table("CREATE TABLE placed (id TEXT PRIMARY KEY, country TEXT NOT NULL) WITHOUT ROWID")
        .table(
            "CREATE TABLE sale (country TEXT, day TEXT, lines INTEGER NOT NULL, pieces INTEGER NOT NULL, total TEXT NOT NULL,
             PRIMARY KEY (country, day)) WITHOUT ROWID",
        )
        .on("order/placed", "INSERT INTO placed VALUES (@id, :country)")
        .on(
            "order/line-added",
            "INSERT INTO sale SELECT country, substr(:at, 1, 10), 1, :quantity, decimal_mul(:price, :quantity) FROM placed WHERE id = @id
             ON CONFLICT DO UPDATE SET lines = lines + 1, pieces = pieces + excluded.pieces, total = decimal_add(total, excluded.total)",
        )
        .query::<(), Sales>(
            "by-country",
            "SELECT country, sum(lines) AS lines, sum(pieces) AS pieces, decimal_sum(total) AS total FROM sale
             GROUP BY country ORDER BY total COLLATE decimal DESC",
        )
        .query::<InCountry, DaySales>("days", "SELECT day, lines, pieces, total FROM sale WHERE country = :country ORDER BY day")
        .query::<(), Decimal>("total", "SELECT decimal_sum(total) FROM sale")
}

/// A product with what it brought.
#[derive(Value)]
struct Product {
    sku: String,
    description: String,
    pieces: i64,
    total: Decimal,
}

/// Products by what they brought.
pub(super) fn products() -> View {
    View::sqlite("products")
        .about("Products by what they brought.")
        .table(
            "CREATE TABLE product (sku TEXT PRIMARY KEY, description TEXT NOT NULL, pieces INTEGER NOT NULL, total TEXT NOT NULL)
             WITHOUT ROWID",
        )
        .on(
            "order/line-added",
            "INSERT INTO product VALUES (:sku, :description, :quantity, decimal_mul(:price, :quantity))
             ON CONFLICT DO UPDATE SET pieces = pieces + excluded.pieces, total = decimal_add(total, excluded.total),
             description = iif(excluded.description = '', description, excluded.description)",
        )
        .query::<(), Product>(
            "top",
            "SELECT sku, description, pieces, total FROM product ORDER BY total COLLATE decimal DESC, sku LIMIT 10",
        )
}

#[cfg(test)]
mod tests {
    use super::super::order::{Order, OrderEvent};
    use super::*;

    fn placed(customer: Option<&str>, country: &str, placed_at: &str) -> OrderEvent {
        OrderEvent::Placed { customer: customer.map(str::to_owned), country: country.into(), placed_at: placed_at.into() }
    }

    fn line(line: u32, quantity: i32, price: &str, at: &str) -> OrderEvent {
        let price = decimal(price);
        OrderEvent::LineAdded { line, sku: "mug".into(), description: "a mug".into(), quantity, price, at: at.into() }
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn the_board_shows_what_is_open() {
        let order = |id: &str, total: &str, lines| OpenOrder {
            id: id.into(),
            customer: None,
            country: "Malta".into(),
            placed_at: "2010-12-01 08:26:00".into(),
            lines,
            total: decimal(total),
        };
        given_view(orders())
            .events::<Order>("o1", [placed(None, "Malta", "2010-12-01 08:26:00"), line(1, -6, "2.55", ""), line(2, 1, "0.001", "")])
            .events::<Order>("o2", [placed(None, "Malta", "2010-12-01 08:26:00"), OrderEvent::Cancelled { reason: "late".into() }])
            .events::<Order>("o3", [placed(None, "Malta", "2010-12-01 08:26:00")])
            .query("open", ())
            .rows([order("o3", "0", 0), order("o1", "-15.299", 2)]);
    }

    #[test]
    fn a_customer_sees_every_order_of_its_own() {
        given_view(orders())
            .events::<Order>("o1", [placed(Some("17850"), "Malta", "2010-12-02 08:26:00"), OrderEvent::Cancelled { reason: "late".into() }])
            .events::<Order>("o2", [placed(Some("13047"), "Malta", "2010-12-01 08:26:00")])
            .query("of-customer", OfCustomer { customer: "17850".into() })
            .rows([CustomersOrder {
                id: "o1".into(),
                placed_at: "2010-12-02 08:26:00".into(),
                lines: 0,
                total: decimal("0"),
                cancelled: true,
            }]);
    }

    #[test]
    fn sales_are_summed_exactly_by_country_and_day() {
        let day = |day: &str, lines, pieces, total: &str| DaySales { day: day.into(), lines, pieces, total: decimal(total) };
        given_view(sales())
            .events::<Order>(
                "o1",
                [placed(None, "Malta", "x"), line(1, 3, "0.1", "2010-12-01 08:26:00"), line(2, 1, "0.2", "2010-12-02 09:00:00")],
            )
            .events::<Order>("o2", [placed(None, "Malta", "x"), line(1, -1, "0.1", "2010-12-01 10:26:00")])
            .query("days", InCountry { country: "Malta".into() })
            .rows([day("2010-12-01", 2, 2, "0.2"), day("2010-12-02", 1, 1, "0.2")])
            .query("by-country", ())
            .rows([Sales { country: "Malta".into(), lines: 3, pieces: 3, total: decimal("0.4") }])
            .query("total", ())
            .rows([decimal("0.4")]);
    }

    #[test]
    fn products_are_ordered_by_what_they_brought() {
        let product = Product { sku: "mug".into(), description: "a mug".into(), pieces: 2, total: decimal("9.80") };
        given_view(products()).events::<Order>("o1", [line(1, 2, "4.90", "")]).query("top", ()).rows([product]);
    }
}
