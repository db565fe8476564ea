//! What stands beside the journal is lost, damaged, or put back from another time: the rows of views come back equal, the effects of
//! actions on entities are not doubled, and a place that is none is lost and said to be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::process::{Directory, Shop};

const COUNTRIES: [&str; 3] = ["Malta", "Norway", "Spain"];
const CUSTOMERS: usize = 7;
const LINES: usize = 4;
/// Rebuilds that are killed while they are under way.
const KILLED: u32 = 10;

/// A shop, and what is asked of it.
struct Watched<'a> {
    directory: &'a Directory,
    shop: Shop,
    client: Connection,
}

impl<'a> Watched<'a> {
    fn start(directory: &'a Directory) -> Self {
        let shop = Shop::start_logged(directory, &["--empty"]);
        let client = Connection::new(&shop.url).expect("the URL fits");
        Self { directory, shop, client }
    }

    /// Stops it in order.
    fn stop(mut self) {
        self.shop.signal("INT");
        assert_eq!(self.shop.ended(), Some(0), "{}", self.directory.log());
    }

    fn kill(mut self) {
        self.shop.kill();
    }

    async fn call(&mut self, method: Method, path: &str, media_type: &'static str, body: String) -> Vec<Json> {
        let mut headers = command_headers(None).expect("there is no key");
        headers.insert("content-type", HeaderValue::from_static(media_type));
        let answer = self.client.request(method, path, headers, Bytes::from(body)).await.expect("the shop runs");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status.is_success(), "{path}: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    async fn get(&mut self, path: &str) -> Json {
        let answer = self.client.request(Method::GET, path, HeaderMap::new(), Bytes::new()).await.expect("the shop runs");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn batch(&mut self, kind: &str, commands: Vec<Json>) {
        let body: String = commands.iter().map(|command| format!("{command}\n")).collect();
        let results = self.call(Method::POST, &format!("/v1/entities/{kind}:batch"), "application/x-ndjson", body).await;
        let refused: Vec<&Json> = results.iter().filter(|result| result["status"] != 200).collect();
        assert!(refused.is_empty() && results.len() == commands.len(), "{refused:?}");
    }

    /// Orders with some lines each.
    async fn fill(&mut self, orders: std::ops::Range<usize>) {
        let mut commands = Vec::new();
        for order in orders {
            let id = format!("o{order}");
            let placed = json!({ "customer": customer(order % CUSTOMERS), "country": COUNTRIES[order % 3], "placed_at": "2011-01-01" });
            commands.push(json!({ "id": id, "command": "place", "body": placed, "key": format!("{id} placed") }));
            for line in 1..=LINES {
                let body = json!({ "line": line, "sku": format!("p{}", (order + line) % 9), "description": "", "quantity": line,
                    "price": format!("{}.{:03}", order % 50, line * 7), "at": format!("2011-01-{:02}", 1 + order % 28) });
                commands.push(json!({ "id": id, "command": "add-line", "body": body, "key": format!("{id} {line}") }));
            }
        }
        self.batch("order", commands).await;
    }

    /// Carts that are filled and checked out.
    async fn check_out(&mut self, carts: std::ops::Range<usize>) {
        let of_cart = |cart: usize| {
            let id = format!("c{cart}");
            let add = json!({ "id": id, "command": "add-item", "body": { "sku": "mug", "quantity": 1 }, "key": format!("{id} add") });
            [add, json!({ "id": id, "command": "check-out", "key": format!("{id} check out") })]
        };
        self.batch("cart", carts.flat_map(of_cart).collect()).await;
    }

    /// All rows of all views, once they have seen everything.
    async fn rows(&mut self) -> BTreeMap<String, Json> {
        let head = self.get("/v1/admin/consumers").await["cursor"].as_str().expect("a list has a cursor").to_owned();
        let of_customers = (0..CUSTOMERS).map(|number| format!("orders/of-customer?customer={}", customer(number)));
        let days = COUNTRIES.iter().map(|country| format!("sales/days?country={country}"));
        let others = ["sales/by-country?", "products/top?"].map(str::to_owned);
        let mut all = BTreeMap::new();
        for query in of_customers.chain(days).chain(others) {
            let answer = self.get(&format!("/v1/views/{query}&seen={head}")).await;
            let rows = answer["items"].clone();
            assert!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "{query}: {answer}\n{}", self.directory.log());
            all.insert(query, rows);
        }
        all
    }

    /// The action's consumer, once it is so.
    async fn packing(&mut self, is_so: impl Fn(&Json) -> bool) -> Json {
        loop {
            let packing = self.get("/v1/admin/consumers/pack-parcel").await;
            if is_so(&packing) {
                return packing;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// How many boxes each parcel has, once the action has caught up.
    async fn boxes(&mut self) -> Vec<usize> {
        self.packing(|packing| packing["state"] == "working" && packing["behind"] == 0 && packing["under_way"] == 0).await;
        let path = "/v1/streams/shop?type=parcel";
        let opened = self.client.stream(Method::GET, path, HeaderMap::new(), Bytes::new()).await.expect("the shop answers");
        let mut lines = opened.unwrap_or_else(|problem| panic!("{}", String::from_utf8_lossy(&problem.body)));
        let mut boxes: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(line) = lines.next().await.expect("the stream goes to its end") {
            let event: Json = serde_json::from_slice(&line).expect("an event is JSON");
            *boxes.entry(event["subject"].as_str().expect("it has one").to_owned()).or_default() += 1;
        }
        boxes.into_values().collect()
    }
}

fn customer(number: usize) -> String {
    format!("customer-{number}")
}

fn data(directory: &Directory) -> PathBuf {
    directory.path().join("data")
}

/// The database of a view: there is one, whatever lies beside it.
fn database(directory: &Directory, view: &str) -> PathBuf {
    let files = fs::read_dir(data(directory).join("views")).expect("there are views").map(|file| file.expect("it is readable").path());
    let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    let found: Vec<PathBuf> = files.filter(|path| name(path).starts_with(&format!("{view}.")) && name(path).ends_with(".db")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_killed_at_random_points_leaves_the_rows_as_they_were() {
    let directory = Directory::new();
    let mut shop = Watched::start(&directory);
    for part in 0..8 {
        shop.fill(part * 500..(part + 1) * 500).await;
    }
    let before = shop.rows().await;
    let (mut killed, mut dice) = (0, u64::from(std::process::id()));
    for _ in 0..KILLED * 20 {
        for view in ["sales", "products", "orders"] {
            shop.call(Method::POST, &format!("/v1/admin/views/{view}/rebuild"), "application/json", String::new()).await;
        }
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        tokio::time::sleep(Duration::from_millis((dice >> 33) % 40)).await;
        let views = shop.get("/v1/views").await;
        shop.kill();
        killed += u32::from(views["items"].as_array().expect("there is a list").iter().any(|view| !view["rebuild"].is_null()));
        shop = Watched::start(&directory);
        assert_eq!(shop.rows().await, before);
        if killed == KILLED {
            break;
        }
    }
    assert_eq!(killed, KILLED, "rebuilds were over before they could be killed: nothing was tested");
    for view in ["sales", "products", "orders"] {
        shop.call(Method::POST, &format!("/v1/admin/views/{view}/rebuild"), "application/json", String::new()).await;
        while !shop.get(&format!("/v1/views/{view}")).await["rebuild"].is_null() {}
    }
    assert_eq!(shop.rows().await, before);
    shop.stop();
    for view in ["sales", "products", "orders"] {
        database(&directory, view);
    }
}

type Damage = (&'static str, fn(&Path));

/// What may have happened to a file while nobody looked.
const DAMAGES: [Damage; 5] = [
    ("deleted", |file| fs::remove_file(file).expect("it is there")),
    ("emptied", |file| fs::write(file, b"").expect("it can be written")),
    ("cut", |file| cut(file)),
    ("a flipped bit in the middle", |file| flip(file, 2)),
    ("a flipped bit near the end", |file| flip(file, 11)),
];

fn cut(file: &Path) {
    let bytes = fs::read(file).expect("it is there");
    fs::write(file, &bytes[..bytes.len() * 2 / 3 + 1]).expect("it can be written");
}

/// Flips a bit of the first byte that is none of a free page, from so many twelfths of the file on.
fn flip(file: &Path, twelfths: usize) {
    let mut bytes = fs::read(file).expect("it is there");
    let from = bytes.len() * twelfths / 12;
    let at = from + bytes[from..].iter().position(|byte| *byte != 0).expect("pages are filled from their end");
    bytes[at] ^= 4;
    fs::write(file, bytes).expect("it can be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_a_view_that_is_deleted_cut_or_damaged_comes_back_with_the_same_rows() {
    let directory = Directory::new();
    let mut shop = Watched::start(&directory);
    shop.fill(0..300).await;
    let before = shop.rows().await;
    for (what, damage) in DAMAGES {
        for view in ["sales", "orders"] {
            shop.stop();
            damage(&database(&directory, view));
            shop = Watched::start(&directory);
            assert_eq!(shop.rows().await, before, "{view}, {what}");
            let notes = shop.get(&format!("/v1/views/{view}")).await["notes"].to_string();
            assert!(notes.contains("from the first event"), "{view}, {what}: nobody saw it: {notes}");
        }
    }
    // And after a crash, with a log beside the file that is gone.
    shop.kill();
    fs::remove_file(database(&directory, "products")).expect("it is there");
    shop = Watched::start(&directory);
    assert_eq!(shop.rows().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_of_an_hour_ago_let_events_run_again_and_double_nothing() {
    let directory = Directory::new();
    let (registers, kept) = (data(&directory).join("registers.log"), directory.path().join("registers.kept"));
    let mut shop = Watched::start(&directory);
    shop.check_out(0..50).await;
    assert_eq!(shop.boxes().await, [1; 50]);
    shop.stop();
    fs::copy(&registers, &kept).expect("they are there");
    for (round, is_killed) in [(1, false), (2, true), (3, false)] {
        shop = Watched::start(&directory);
        shop.check_out(round * 50..(round + 1) * 50).await;
        shop.boxes().await;
        if is_killed {
            shop.kill()
        } else {
            shop.stop()
        }
        fs::copy(&kept, &registers).expect("they can be written");
        shop = Watched::start(&directory);
        let begun = shop.packing(|packing| packing["state"] == "working").await;
        assert_eq!(shop.boxes().await, vec![1; (round + 1) * 50], "{begun}");
        shop.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_newer_than_their_journal_are_refused_and_nothing_is_skipped() {
    let directory = Directory::new();
    let kept = directory.path().join("kept");
    let mut shop = Watched::start(&directory);
    shop.check_out(0..20).await;
    shop.fill(0..20).await;
    shop.boxes().await;
    shop.rows().await;
    shop.stop();
    copy_folder(&data(&directory), &kept);
    shop = Watched::start(&directory);
    shop.check_out(20..60).await;
    shop.fill(20..40).await;
    assert_eq!((shop.boxes().await.len(), orders(&shop.rows().await)), (60, 40));
    shop.stop();
    // The journal of then, under registers and views of now.
    fs::copy(data(&directory).join("registers.log"), kept.join("registers.log")).expect("they are there");
    fs::remove_dir_all(kept.join("views")).expect("they are there");
    copy_folder(&data(&directory).join("views"), &kept.join("views"));
    fs::remove_dir_all(data(&directory)).expect("it is there");
    fs::rename(&kept, data(&directory)).expect("it is the same device");

    shop = Watched::start(&directory);
    shop.check_out(60..160).await;
    let lost = shop.packing(|packing| !packing["stalled"].is_null()).await;
    assert_eq!((&lost["state"], &lost["cursor"]), (&json!("unplaced"), &Json::Null), "{lost}");
    let log = directory.log();
    assert!(log.contains("consumer pack-parcel: its place ") && log.contains("is none of this journal and is taken away"), "{log}");
    shop.call(Method::POST, "/v1/admin/consumers/pack-parcel/place", "application/json", r#"{"at":"first"}"#.into()).await;
    assert_eq!(shop.boxes().await, [1; 120], "those of then and those that came since, each once");
    assert_eq!(orders(&shop.rows().await), 20, "the views are those of this journal");
}

fn orders(rows: &BTreeMap<String, Json>) -> usize {
    let of_customers = rows.iter().filter(|(query, _)| query.starts_with("orders"));
    of_customers.map(|(_, rows)| rows.as_array().map_or(0, Vec::len)).sum()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it is readable");
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("it can be copied");
        }
    }
}
