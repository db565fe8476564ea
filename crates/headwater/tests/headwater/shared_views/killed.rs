//! A service that fills a shared view is killed under load, again and again: what SQL clients see then has each event once and none without
//! those before it, and in the end every event is there.

use super::*;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

const DATA: &str = "HEADWATER_TEST_SHARED_VIEW_DATA";
const NAME: &str = "HEADWATER_TEST_SHARED_VIEW_NAME";

/// Carts, each filled by a client of its own.
const CARTS: usize = 8;
/// Rows that a process adds before it is killed, at least.
const ROWS: usize = 200;

/// How often a process is killed: more in torture.
fn kills() -> usize {
    std::env::var("HEADWATER_VIEW_KILLS").ok().map_or(4, |kills| kills.parse().expect("HEADWATER_VIEW_KILLS is a number"))
}

/// A row for each event, which nothing keeps from being there twice.
fn added() -> View {
    View::postgres("orders")
        .table("CREATE TABLE added (cart text NOT NULL, sequence bigint NOT NULL)")
        .table("CREATE TABLE total (cart text PRIMARY KEY, events bigint NOT NULL)")
        .on("cart/added", "INSERT INTO added VALUES (@id, @sequence)")
        .on("cart/added", "INSERT INTO total VALUES (@id, 1) ON CONFLICT (cart) DO UPDATE SET events = total.events + 1")
        .query::<(), u64>("count", "SELECT count(*) FROM added")
}

/// What each of those does that is killed: it takes commands and fills, until then.
#[test]
fn a_process_that_fills() {
    let (Ok(data), Ok(name)) = (std::env::var(DATA), std::env::var(NAME)) else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let service = Service::new(name.as_str()).entity::<Cart>().view(added()).listen("127.0.0.1:0").data(data);
        let running = service.views_at(server()).start().await.unwrap();
        println!("\n{}", running.url());
        std::future::pending::<()>().await;
    });
}

/// One that is killed when it is let go of.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("the process is ours");
    }
}

/// Such a process, and where it listens.
fn process(shop: &Shop) -> (Victim, String) {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process.args(["--exact", "shared_views::killed::a_process_that_fills", "--quiet", "--nocapture"]);
    process.env(DATA, shop.directory.path()).env(NAME, &shop.name).stdout(Stdio::piped());
    let mut victim = Victim(process.spawn().unwrap());
    let mut lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
    let url = lines.find_map(|line| line.ok().filter(|line| line.starts_with("http://"))).expect("it says where it is");
    (victim, url)
}

/// Fills a cart until nobody answers; how many commands were acknowledged.
async fn fill(url: String, cart: usize) -> u64 {
    let (client, mut acknowledged) = (Client::new(url), 0);
    let command = || CartCommand::Add { sku: "mug".to_owned(), quantity: 1, price: "0.10".parse().unwrap() };
    while client.send::<Cart>(&format!("c{cart}"), command()).await.is_ok() {
        acknowledged += 1;
    }
    acknowledged
}

/// The schema that has the tables of the only build, and how many rows are in it.
fn filled(shop: &Shop) -> Option<(String, usize)> {
    if shop.psql("SELECT to_regclass('SHOP._headwater') IS NULL") == ["t"] {
        return None;
    }
    let schema = shop.psql("SELECT schema FROM SHOP._headwater").pop()?;
    let count = psql(&format!("SELECT count(*) FROM {schema}.added")).pop()?.parse().ok()?;
    Some((schema, count))
}

/// What nobody may ever see: an event twice, one of a cart without that before it, a total that is not that of the rows.
fn wrong(schema: &str) -> Vec<String> {
    psql(&format!(
        "SELECT cart, count(*), count(DISTINCT sequence), max(sequence), max(events) FROM {schema}.added FULL JOIN {schema}.total USING (cart)
        GROUP BY cart HAVING count(*) <> count(DISTINCT sequence) OR count(*) <> max(sequence) OR count(*) <> coalesce(max(events), 0)"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_while_it_fills_leaves_rows_and_place_that_agree() {
    let shop = Shop::new();
    let (mut reached, mut acknowledged) = (0, [0; CARTS]);
    for _ in 0..kills() {
        let (victim, url) = process(&shop);
        let filling: Vec<_> = (0..CARTS).map(|cart| tokio::spawn(fill(url.clone(), cart))).collect();
        until("further rows", async || filled(&shop).is_some_and(|(_, count)| count >= reached + ROWS)).await;
        drop(victim);
        for (count, cart) in acknowledged.iter_mut().zip(filling) {
            *count += cart.await.unwrap();
        }
        let (schema, count) = filled(&shop).unwrap();
        assert_eq!(wrong(&schema), [""; 0], "with {count} rows");
        reached = count;
    }
    let running = shop.try_start(added()).await.unwrap();
    let mut recorded = 0;
    for (cart, acknowledged) in acknowledged.into_iter().enumerate() {
        let looked = running.client().send::<Cart>(&format!("c{cart}"), CartCommand::Look).await.unwrap();
        let (count, seen) = (looked.sequence - 1, running.client().seen(looked.cursor));
        assert!(count >= acknowledged, "c{cart}: {count} of {acknowledged} acknowledged ones");
        recorded += count;
        // Whatever would come twice, or not at all, has by now.
        seen.query::<(), u64>("orders", "count", ()).await.unwrap();
    }
    assert_eq!(running.client().query::<(), u64>("orders", "count", ()).await.unwrap().rows, [recorded]);
    assert_eq!(wrong(&filled(&shop).unwrap().0), [""; 0]);
    running.stop().await;
}

/// The look at the rows sees what it is there for.
#[test]
fn what_is_wrong_with_rows_is_seen() {
    let shop = Shop::new();
    let schema = shop.schema();
    psql(&format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.added (cart text, sequence bigint); CREATE TABLE {schema}.total (cart text, events bigint);
        INSERT INTO {schema}.added VALUES ('twice', 1), ('twice', 1), ('hole', 1), ('hole', 3), ('total', 1), ('good', 1);
        INSERT INTO {schema}.total VALUES ('twice', 2), ('hole', 2), ('total', 2), ('good', 1)"
    ));
    let mut seen = wrong(&schema);
    seen.sort();
    assert_eq!(seen, ["hole|2|2|3|2", "total|1|1|1|2", "twice|2|1|1|2"]);
}
