//! Views that lie in a database: a service fills and serves them, and people read them with another client.

mod given;
mod killed;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::prelude::*;
use headwater::{Client, Exit, Failure, Running, SendError, SqlValue};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::personal::{asked, asked_by, until};

#[derive(Default, State)]
struct Cart {}

#[derive(Command)]
enum CartCommand {
    #[command("add")]
    Add { sku: String, quantity: u32, price: Decimal },
    #[command("look")]
    Look,
}

#[derive(Event)]
enum CartEvent {
    #[event("added")]
    Added { sku: String, quantity: u32, price: Decimal },
    #[event("looked")]
    Looked,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        Ok(match command {
            CartCommand::Add { sku, quantity, price } => record(CartEvent::Added { sku, quantity, price }),
            CartCommand::Look => record(CartEvent::Looked),
        })
    }

    fn evolve(&mut self, _: &CartEvent) {}
}

#[derive(Debug, PartialEq, Value)]
struct Item {
    sku: String,
    sold: u64,
    worth: Decimal,
    first: String,
}

#[derive(Value)]
struct Least {
    least: u64,
}

const TABLE: &str =
    "CREATE TABLE item (sku text PRIMARY KEY, sold bigint NOT NULL CHECK (sold < 1000), worth numeric NOT NULL, first timestamptz)";
const ADDED: &str = "INSERT INTO item VALUES (:sku, :quantity, :price::numeric * :quantity, @time)
    ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold, worth = item.worth + excluded.worth";

fn orders() -> View {
    View::postgres("orders")
        .table(TABLE)
        .on("cart/added", ADDED)
        .query::<(), Item>("all", "SELECT sku, sold, worth, to_char(first, 'YYYY') AS first FROM item ORDER BY sku")
        .query::<Least, String>("best", "SELECT sku FROM item WHERE sold >= :least ORDER BY sold DESC, sku")
}

/// A service of its own in the server that `cargo xtask test` has started.
struct Shop {
    name: String,
    directory: Directory,
}

impl Shop {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        server();
        let name = format!("views-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { name, directory: Directory::new() }
    }

    fn service(&self, view: View) -> Service {
        let data = self.directory.path().display().to_string();
        Service::new(self.name.as_str()).entity::<Cart>().view(view).listen("127.0.0.1:0").data(data)
    }

    async fn try_start(&self, view: View) -> Result<Running, Failure> {
        self.service(view).views_at(server()).start().await
    }

    async fn start(&self, view: View) -> Running {
        self.try_start(view).await.expect("the service starts")
    }

    /// As a person finds it: `shop_orders`.
    fn schema(&self) -> String {
        format!("{}_orders", self.name.replace('-', "_"))
    }

    /// SQL clients see its rows.
    async fn is_shown(&self) {
        until("what SQL clients see", async || self.psql("SELECT to_regclass('SHOP.item') IS NOT NULL") == ["t"]).await;
    }

    /// What somebody with psql sees.
    fn psql(&self, sql: &str) -> Vec<String> {
        psql(&sql.replace("SHOP", &self.schema()))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let all = format!("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{}')", self.schema());
        for schema in psql(&all) {
            psql(&format!("DROP SCHEMA {schema} CASCADE"));
        }
    }
}

fn server() -> String {
    std::env::var("HEADWATER_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("no PostgreSQL to test on: run `cargo xtask test`, which starts one, or name one in HEADWATER_TEST_POSTGRES")
    })
}

fn psql(sql: &str) -> Vec<String> {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|one| one.path()).collect();
    versions.sort();
    let program = versions.pop().map_or_else(|| PathBuf::from("psql"), |version| version.join("bin/psql"));
    let done = Process::new(program).args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &server(), "-c", sql]).output().unwrap();
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

async fn add(client: &Client, sku: &str, quantity: u32) -> String {
    let command = CartCommand::Add { sku: sku.to_owned(), quantity, price: "0.10".parse().unwrap() };
    client.send::<Cart>("c1", command).await.unwrap().cursor
}

async fn all(client: &Client) -> Vec<(String, u64, String)> {
    let rows = client.query::<(), Item>("orders", "all", ()).await.expect("it answers").rows;
    rows.into_iter().map(|item| (item.sku, item.sold, item.worth.to_string())).collect()
}

fn row(sku: &str, sold: u64, worth: &str) -> (String, u64, String) {
    (sku.to_owned(), sold, worth.to_owned())
}

async fn status(running: &Running) -> Json {
    asked_by(running, "GET /v1/views/orders", json!(null)).await.1
}

async fn is_live(running: &Running) {
    until("a view that is live", async || status(running).await["state"] == "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_fills_it_and_any_client_reads_it() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    add(running.client(), "mug", 2).await;
    add(running.client(), "cup", 1).await;
    let seen = running.client().seen(add(running.client(), "mug", 1).await);
    assert_eq!(all(&seen).await, [row("cup", 1, "0.10"), row("mug", 3, "0.30")]);
    let best = seen.query::<Least, String>("orders", "best", Least { least: 2 }).await.expect("it answers").rows;
    assert_eq!(best, ["mug"]);
    shop.is_shown().await;
    assert_eq!(shop.psql("SELECT sku, sold, worth FROM SHOP.item ORDER BY sku"), ["cup|1|0.10", "mug|3|0.30"]);
    assert_eq!(shop.psql("SELECT count(*), bool_and(complete) FROM SHOP._headwater"), ["1|t"]);
    let told = status(&running).await;
    assert!(told["schema"].as_str().unwrap().starts_with(&shop.schema()) && told["file"].is_null(), "{told}");
    running.stop().await;
    // It goes on where it was: nothing is counted twice.
    let running = shop.start(orders()).await;
    let seen = running.client().seen(add(running.client(), "cup", 1).await);
    assert_eq!(all(&seen).await, [row("cup", 2, "0.20"), row("mug", 3, "0.30")]);
    assert_eq!(status(&running).await["notes"], json!([]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_an_event_for_it_is_seen_all_the_same() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    add(running.client(), "mug", 1).await;
    let looked = running.client().send::<Cart>("c1", CartCommand::Look).await.unwrap().cursor;
    assert_eq!(all(&running.client().seen(&*looked)).await, [row("mug", 1, "0.10")]);
    // Other nodes look at the place, and so it is written although nothing came for the view.
    until("the place in the book", async || shop.psql("SELECT cursor FROM SHOP._headwater") == [looked.clone()]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_fills_beside_the_old_one_and_takes_over_when_it_has_caught_up() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    let cursor = add(running.client(), "mug", 2).await;
    all(&running.client().seen(cursor)).await;
    until("what SQL clients see", async || shop.psql("SELECT count(*) FROM SHOP._headwater WHERE shown") == ["1"]).await;
    running.stop().await;
    let wider = || {
        orders().table("CREATE TABLE sku (name text PRIMARY KEY)").on("cart/added", "INSERT INTO sku VALUES (:sku) ON CONFLICT DO NOTHING")
    };
    let running = shop.start(wider()).await;
    until("the new build", async || shop.psql("SELECT to_regclass('SHOP.sku') IS NOT NULL") == ["t"]).await;
    assert_eq!(shop.psql("SELECT sold FROM SHOP.item, SHOP.sku WHERE sku = name"), ["2"]);
    assert_eq!(shop.psql("SELECT count(*) FROM SHOP._headwater"), ["2"], "the old build is kept for who goes back");
    running.stop().await;
    // Nobody has used it for a while.
    shop.psql("UPDATE SHOP._headwater SET used = now() - interval '1 hour'");
    let running = shop.start(wider()).await;
    until("the old build's end", async || shop.psql("SELECT count(*) FROM SHOP._headwater") == ["1"]).await;
    let schemas = format!("SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, '{}')", shop.schema());
    until("the old schema's end", async || psql(&schemas) == ["2"]).await;
    assert_eq!(all(running.client()).await, [row("mug", 2, "0.20")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_makes_the_rows_anew_beside_those_that_serve() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    let cursor = add(running.client(), "mug", 2).await;
    all(&running.client().seen(cursor)).await;
    is_live(&running).await;
    shop.is_shown().await;
    let before = status(&running).await["schema"].clone();
    // Somebody has been at the rows.
    shop.psql("UPDATE SHOP.item SET sold = 700");
    let (code, begun) = asked(&running, "/v1/admin/views/orders/rebuild", json!(null)).await;
    assert_eq!((code, &begun["begun"]), (202, &json!(true)));
    until("the rebuild's end", async || {
        let told = status(&running).await;
        told["rebuild"].is_null() && told["schema"] != before && told["state"] == "live"
    })
    .await;
    assert_eq!(all(running.client()).await, [row("mug", 2, "0.20")]);
    assert_eq!(shop.psql("SELECT sold FROM SHOP.item"), ["2"]);
    until("one build", async || shop.psql("SELECT generation FROM SHOP._headwater") == ["2"]).await;
    let seen = running.client().seen(add(running.client(), "mug", 1).await);
    assert_eq!(all(&seen).await, [row("mug", 3, "0.30")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_it_cannot_take_stops_it_there_and_says_which_statement() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    for (sku, quantity) in [("mug", 1), ("cup", 2000), ("mug", 5)] {
        add(running.client(), sku, quantity).await;
    }
    until("a view that has stopped", async || status(&running).await["state"] == "stopped").await;
    let refused = running.client().query::<(), Item>("orders", "all", ()).await.err().unwrap();
    let SendError::Problem { code, detail: message, .. } = &refused else { panic!("{refused:?}") };
    assert!(code == "HW0039" && message.contains("on cart/added") && message.contains("item_sold_check"), "{message}");
    let rows = asked_by(&running, "GET /v1/views/orders/all?stale=ok", json!(null)).await.1;
    assert_eq!((&rows["items"][0]["sku"], &rows["items"][0]["sold"], &rows["items"][1]), (&json!("mug"), &json!(1), &Json::Null));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_history_are_not_served() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    let cursor = add(running.client(), "mug", 2).await;
    all(&running.client().seen(cursor)).await;
    running.stop().await;
    // The same service, with a journal that begins anew.
    let other = Shop { name: shop.name.clone(), directory: Directory::new() };
    let running = other.start(orders()).await;
    let seen = running.client().seen(add(running.client(), "cup", 1).await);
    assert_eq!(all(&seen).await, [row("cup", 1, "0.10")]);
    until("what SQL clients see", async || shop.psql("SELECT sku FROM SHOP.item") == ["cup"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_loses_and_doubles_nothing() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    shop.is_shown().await;
    let lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%SHOP%' AND pid <> pg_backend_pid()";
    for round in 1..=4 {
        let client = running.client().clone();
        let adds = tokio::spawn(async move {
            let mut cursor = String::new();
            for _ in 0..40 {
                cursor = add(&client, "mug", 1).await;
            }
            cursor
        });
        // Somewhere among them, at another place each time.
        until("some of them", async || shop.psql("SELECT coalesce(sum(sold), 0) FROM SHOP.item")[0] != ((round - 1) * 40).to_string())
            .await;
        shop.psql(lost);
        let seen = running.client().seen(adds.await.unwrap());
        until("all of it", async || seen.query::<(), Item>("orders", "all", ()).await.is_ok()).await;
        assert_eq!(all(&seen).await[0].1, round * 40);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_fills_it_and_sees_what_it_wrote() {
    let shop = Shop::new();
    let counted = View::postgres("orders")
        .table("CREATE TABLE item (sku text PRIMARY KEY, sold bigint, worth numeric, first timestamptz)")
        .code::<Cart>(1, |event, tables| {
            let CartEvent::Added { sku, quantity, price } = event.event else { return };
            let known = tables.first("SELECT sold FROM item WHERE sku = $1", &[sku.into()]);
            match known.as_deref() {
                Some([SqlValue::Integer(sold)]) => {
                    tables.run("UPDATE item SET sold = $2 WHERE sku = $1", &[sku.into(), (sold + i64::from(*quantity)).into()]);
                }
                _ => tables
                    .run("INSERT INTO item VALUES ($1, $2, $3, $4)", &[sku.into(), (*quantity).into(), (*price).into(), event.time.into()]),
            }
        })
        .query::<(), Item>("all", "SELECT sku, sold, worth, first::date::text AS first FROM item ORDER BY sku");
    let running = shop.start(counted).await;
    add(running.client(), "mug", 2).await;
    let seen = running.client().seen(add(running.client(), "mug", 3).await);
    assert_eq!(all(&seen).await, [row("mug", 5, "0.10")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_it_and_another_one_goes_on_when_one_leaves() {
    let (one, directory) = (Shop::new(), Directory::new());
    let other = Node { shop: &one, data: directory.path().display().to_string() };
    let first = Node { shop: &one, data: one.directory.path().display().to_string() };
    let mut nodes = vec![first.start().await, other.start().await];
    for (round, sku) in ["mug", "cup", "mug"].into_iter().enumerate() {
        let cursor = add(nodes[round % 2].client(), sku, 1).await;
        for node in &nodes {
            assert!(!all(&node.client().seen(&*cursor)).await.is_empty(), "both answer, whoever fills it");
        }
    }
    let expected = [row("cup", 1, "0.10"), row("mug", 2, "0.20")];
    assert_eq!(all(nodes[1].client()).await, expected);
    // Whichever has the duty, it is handed on both times.
    nodes.remove(0).stop().await;
    let cursor = add(nodes[0].client(), "mug", 1).await;
    assert_eq!(all(&nodes[0].client().seen(cursor)).await, [row("cup", 1, "0.10"), row("mug", 3, "0.30")]);
    nodes.push(first.start().await);
    nodes.remove(0).stop().await;
    let cursor = add(nodes[0].client(), "cup", 1).await;
    assert_eq!(all(&nodes[0].client().seen(cursor)).await, [row("cup", 2, "0.20"), row("mug", 3, "0.30")]);
    assert_eq!(one.psql("SELECT count(*) FROM SHOP._headwater"), ["1"], "it is one build for all");
    nodes.remove(0).stop().await;
    psql(&format!("DROP SCHEMA headwater_{} CASCADE", one.name.replace('-', "_")));
}

/// A process of the shop on the same engine.
struct Node<'a> {
    shop: &'a Shop,
    data: String,
}

impl Node<'_> {
    async fn start(&self) -> Running {
        let engine = format!("{}?service={}", server(), self.shop.name);
        let service = Service::new(self.shop.name.as_str()).entity::<Cart>().view(orders()).listen("127.0.0.1:0");
        service.engine(engine).data(self.data.clone()).start().await.expect("the node starts")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_query_tells_what_changes() {
    let shop = Shop::new();
    let running = shop.start(orders()).await;
    let cursor = add(running.client(), "mug", 2).await;
    all(&running.client().seen(cursor)).await;
    let address = running.url().trim_start_matches("http://").to_owned();
    let (told, tells) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        write!(stream, "GET /v1/views/orders/all HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n").unwrap();
        let (mut heard, mut bytes) = (String::new(), [0; 4096]);
        while !heard.contains("\"sold\":3") {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the stream ended: {heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            if heard.contains("caught-up") {
                // Once is enough.
                let _ = told.send(());
            }
        }
    });
    tells.recv().unwrap();
    add(running.client(), "mug", 1).await;
    tokio::task::spawn_blocking(move || reader.join()).await.unwrap().unwrap();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_have_it_is_refused_at_its_start() {
    let shop = Shop::new();
    let refused = shop.service(orders()).start().await.expect_err("there is no database");
    assert_eq!((refused.code(), refused.exit()), (Some("HW0153"), Exit::Configuration));
    assert!(refused.to_string().contains("view `orders`") && refused.to_string().contains("HEADWATER_VIEWS"), "{refused}");
    let refused = shop.service(orders()).views_at("postgres://shop:secret@127.0.0.1:1/db").start().await.expect_err("nobody is there");
    assert_eq!(refused.code(), Some("HW0150"));
    assert!(!refused.to_string().contains("secret"), "{refused}");
    for (view, words) in [
        (orders().on("cart/looked", "INSERT INTO item (skuu) VALUES (@id)"), "view `orders`, on cart/looked: column \"skuu\""),
        (orders().on("cart/added", "DELETE FROM item WHERE sku = :skuu"), "the event has no field `skuu`"),
        (orders().query::<(), String>("odd", "SELECT sku, sold FROM item"), "query `odd`: its row is a single value"),
        (orders().query::<(), Decimal>("real", "SELECT sold::float8 FROM item"), "NUMERIC"),
        (orders().query::<Least, String>("unused", "SELECT sku FROM item"), "its parameter `least` is not used"),
    ] {
        let refused = shop.try_start(view).await.expect_err("it does not hold together");
        assert_eq!((refused.code(), refused.exit()), (Some("HW0069"), Exit::Configuration), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}
