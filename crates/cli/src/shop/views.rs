//! What the shop can be asked: orders, sales by country and day, products.
//!
//! Money is summed as decimals, so that the views come to the same total as the events, to the last digit.

use headwater::prelude::*;

/// An order that is open.
#[derive(Value)]
struct OpenOrder {
    id: String,
    customer: Option<String>,
    country: String,
    placed_at: String,
    lines: u32,
    total: Decimal,
}

/// A stage of the board with one of the orders that came to it last, or with none.
#[derive(Value)]
struct OnBoard {
    /// `filling`, `placed`, `checked-out`, `packed` or `cancelled`.
    stage: String,
    /// How many orders are in this stage.
    orders: u64,
    id: Option<String>,
    customer: Option<String>,
    country: Option<String>,
    /// Pieces of the cart, once it is checked out.
    pieces: Option<u32>,
    lines: Option<u32>,
    total: Option<Decimal>,
    /// When it came to this stage.
    since: Option<String>,
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

/// Orders: the board of all as they move, those that are open, and a customer's.
///
/// Cart, order and parcel of one id are one row of the board, whichever comes first. A row only moves on: stages are numbers,
/// and the largest stays.
pub(super) fn orders() -> View {
    View::sqlite("orders")
        .about("Orders, each with its stage, its lines and its total.")
        .table(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, stage INTEGER NOT NULL, since TEXT NOT NULL, pieces INTEGER, customer TEXT,
             country TEXT, placed_at TEXT, lines INTEGER NOT NULL DEFAULT 0, total TEXT NOT NULL DEFAULT '0')",
        )
        .table("CREATE INDEX orders_customer ON orders (customer, placed_at)")
        .table("CREATE INDEX orders_open ON orders (placed_at, id) WHERE placed_at IS NOT NULL AND stage < 5")
        .table("CREATE INDEX orders_stage ON orders (stage, since, id)")
        .on("cart/item-added", "INSERT INTO orders (id, stage, since) VALUES (@id, 1, @time) ON CONFLICT DO NOTHING")
        .on("cart/checked-out", format!("INSERT INTO orders (id, stage, since, pieces) VALUES (@id, 3, @time, :pieces) {MOVES_ON}"))
        .on("parcel/packed", format!("INSERT INTO orders (id, stage, since, pieces) VALUES (@id, 4, @time, :pieces) {MOVES_ON}"))
        .on(
            "order/placed",
            format!(
                "INSERT INTO orders (id, stage, since, customer, country, placed_at) VALUES (@id, 2, @time, :customer, :country, :placed_at)
                 {MOVES_ON}, customer = excluded.customer, country = excluded.country, placed_at = excluded.placed_at"
            ),
        )
        .on(
            "order/line-added",
            "UPDATE orders SET lines = :line, total = decimal_add(total, decimal_mul(:price, :quantity)) WHERE id = @id",
        )
        .on("order/cancelled", "UPDATE orders SET stage = 5, since = @time WHERE id = @id")
        .query::<(), OnBoard>("board", BOARD)
        .query::<(), OpenOrder>(
            "open",
            "SELECT id, customer, country, placed_at, lines, total FROM orders WHERE placed_at IS NOT NULL AND stage < 5
             ORDER BY placed_at DESC, id DESC LIMIT 50",
        )
        .query::<OfCustomer, CustomersOrder>(
            "of-customer",
            "SELECT id, placed_at, lines, total, stage = 5 AS cancelled FROM orders WHERE customer = :customer ORDER BY placed_at, id",
        )
}

/// What an event does to a row that is there already.
const MOVES_ON: &str = "ON CONFLICT DO UPDATE SET since = iif(excluded.stage > stage, excluded.since, since),
     stage = max(stage, excluded.stage), pieces = ifnull(excluded.pieces, pieces)";

/// Of each stage the orders that came last, found through the index on stages: however many there are, only the counts walk over them.
const BOARD: &str =
    "WITH name (number, name) AS (VALUES (1, 'filling'), (2, 'placed'), (3, 'checked-out'), (4, 'packed'), (5, 'cancelled')),
     stage AS MATERIALIZED (SELECT number, name, (SELECT count(*) FROM orders WHERE stage = number) AS orders FROM name)
     SELECT name AS stage, stage.orders, id, customer, country, pieces, lines, total, since
     FROM stage LEFT JOIN orders
         ON id IN (SELECT newest.id FROM orders AS newest WHERE newest.stage = number ORDER BY newest.since DESC, newest.id DESC LIMIT 6)
     ORDER BY number, since DESC, id DESC";

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
    use std::collections::BTreeMap;

    use super::super::cart::{Cart, CartEvent};
    use super::super::order::{Order, OrderEvent};
    use super::super::parcel::{Parcel, ParcelEvent};
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

    fn on_board(stage: &str, orders: u64, id: Option<&str>, pieces: Option<u32>, lines: Option<u32>) -> OnBoard {
        OnBoard {
            stage: stage.into(),
            orders,
            id: id.map(str::to_owned),
            customer: None,
            country: lines.map(|_| "Malta".into()),
            pieces,
            lines: id.map(|_| lines.unwrap_or(0)),
            total: id.map(|_| decimal(if lines.is_some() { "4.5" } else { "0" })),
            since: id.map(|_| "1970-01-01T00:00:00.000000Z".into()),
        }
    }

    fn checked_out(order: u32, of: u64) -> OnBoard {
        let since = Some(format!("1970-01-01T00:00:{order:02}.000000Z"));
        OnBoard { since, ..on_board("checked-out", of, Some(&format!("o{order}")), Some(1), None) }
    }

    #[test]
    fn an_order_moves_over_the_board_and_never_back() {
        let checked_out = || CartEvent::CheckedOut { pieces: 5, items: BTreeMap::new() };
        let nothing = |stage| on_board(stage, 0, None, None, None);
        let filling = CartEvent::ItemAdded { sku: "mug".into(), quantity: 2 };
        let order = [placed(None, "Malta", "x"), line(1, 3, "1.5", "")];
        given_view(orders()).at(0).events::<Cart>("o1", [filling.clone()]).query("board", ()).rows([
            on_board("filling", 1, Some("o1"), None, None),
            nothing("placed"),
            nothing("checked-out"),
            nothing("packed"),
            nothing("cancelled"),
        ]);
        given_view(orders())
            .at(0)
            .events::<Parcel>("o1", [ParcelEvent::Packed { pieces: 5 }])
            .events::<Cart>("o1", [filling.clone(), checked_out()])
            .events::<Order>("o1", order)
            .events::<Cart>("o2", [checked_out()])
            .query("board", ())
            .rows([
                nothing("filling"),
                nothing("placed"),
                on_board("checked-out", 1, Some("o2"), Some(5), None),
                on_board("packed", 1, Some("o1"), Some(5), Some(1)),
                nothing("cancelled"),
            ]);
    }

    #[test]
    fn the_board_has_the_last_of_each_stage_and_counts_all() {
        let mut view = given_view(orders());
        for order in 0..20 {
            view = view
                .at(order * 1_000_000)
                .events::<Cart>(&format!("o{order}"), [CartEvent::CheckedOut { pieces: 1, items: BTreeMap::new() }]);
        }
        let shown = (14..20).rev().map(|order| checked_out(order, 20));
        let empty = |stage| on_board(stage, 0, None, None, None);
        let rows = [empty("filling"), empty("placed")].into_iter().chain(shown).chain([empty("packed"), empty("cancelled")]);
        view.query("board", ()).rows(rows);
    }

    #[test]
    fn orders_that_are_open_are_listed() {
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
