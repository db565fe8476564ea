//! Shared views in tests: on the server that the tests have, and where SQLite stands in for it.

use headwater::testkit::Testkit;

use super::*;

fn added(sku: &str, quantity: u32) -> CartEvent {
    CartEvent::Added { sku: sku.to_owned(), quantity, price: "0.10".parse().unwrap() }
}

fn item(sku: &str, sold: u64, worth: &str) -> Item {
    Item { sku: sku.to_owned(), sold, worth: worth.parse().unwrap(), first: "2026".to_owned() }
}

/// One that both databases take.
fn plain() -> View {
    View::postgres("plain")
        .table("CREATE TABLE item (sku text PRIMARY KEY, sold bigint NOT NULL)")
        .on("cart/added", "INSERT INTO item VALUES (:sku, :quantity) ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold")
        .query::<(), u64>("sold", "SELECT coalesce(sum(sold), 0) AS sold FROM item WHERE sku LIKE 'm%'")
}

#[test]
fn a_view_in_a_line_has_what_the_server_makes_of_it() {
    server();
    given_view(orders())
        .events::<Cart>("c1", [added("mug", 2), added("cup", 1), added("mug", 1)])
        .query("all", ())
        .rows([item("cup", 1, "0.10"), item("mug", 3, "0.30")])
        .query("best", Least { least: 2 })
        .rows(["mug".to_owned()])
        .query("worst", ())
        .refused("there is no query `worst`")
        .events::<Cart>("c2", added("mug", 2_000))
        .stops("item_sold_check");
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'given\\_%\\_orders%'";
    assert_eq!(psql(left), ["0"], "nothing stays on the server");
}

#[tokio::test]
async fn a_test_that_is_asynchronous_itself_may_try_one() {
    server();
    given_view(plain()).events::<Cart>("c1", [added("mug", 2), added("Mug", 5)]).query("sold", ()).rows([2_u64]);
}

#[test]
#[should_panic(expected = "does not exist")]
fn what_the_server_does_not_take_is_told_as_at_a_start() {
    server();
    given_view(plain().query::<(), u64>("other", "SELECT sold FROM stock")).query("sold", ()).rows([0_u64]);
}

fn shop_with(view: impl Fn() -> View + 'static) -> Testkit {
    let shop = Testkit::new(move || Service::new("shop").entity::<Cart>().view(view()));
    let add = |sku: &str, quantity| CartCommand::Add { sku: sku.to_owned(), quantity, price: "0.10".parse().unwrap() };
    shop.send::<Cart>("c1", add("mug", 2)).unwrap();
    shop.send::<Cart>("c1", add("Mug", 5)).unwrap();
    shop
}

#[test]
fn a_whole_service_in_a_test_has_its_shared_views_without_a_server() {
    let shop = shop_with(plain);
    shop.settle();
    assert_eq!(shop.query::<(), u64>("plain", "sold", ()), [2], "LIKE tells case apart, as on the server");
    shop.crash();
    assert_eq!(shop.query::<(), u64>("plain", "sold", ()), [2]);
}

#[test]
fn a_view_that_sqlite_does_not_keep_alike_is_left_out_of_a_whole_service() {
    let shop = shop_with(orders);
    shop.settle();
    assert!(shop.state::<Cart>("c1").is_some(), "the rest is there");
}

#[test]
#[should_panic(expected = "HEADWATER_TEST_POSTGRES")]
fn who_asks_such_a_view_is_told_why_it_is_not_there() {
    let _rows = shop_with(orders).query::<(), Item>("orders", "all", ());
}
