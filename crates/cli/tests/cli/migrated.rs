//! A journal that is moved between a directory and a database, killed in the middle, refused when it does not fit; and the shop that goes on.

mod back;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::compacted::{ARGUMENTS, check_knows, shop_at_rest};
use super::postgres::{engine, play};
use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stderr, stdout};

const COMMANDS_AT_ONCE: u64 = 1_000;
/// Long enough on a busy machine; what is waited for comes far sooner.
const PATIENCE: Duration = Duration::from_secs(60);

fn migrate(directory: &Directory, from: &str, to: &str) -> Output {
    run(directory, ["migrate", "--json", "--from", from, "--to", to])
}

fn json(output: &Output) -> Json {
    check_code(output, 0);
    json_lines(&stdout(output)).remove(0)
}

fn root(directory: &Directory, data: &str) -> String {
    let output = run(directory, ["journal", "root", "--data", data]);
    check_code(&output, 0);
    stdout(&output).trim().to_owned()
}

/// The answer of a database, as a text.
fn ask(sql: &str) -> String {
    let url = std::env::var("HEADWATER_TEST_POSTGRES").expect("there is a server");
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max().expect("a version is installed");
    let mut psql = Command::new(format!("/usr/lib/postgresql/{newest}/bin/psql"));
    let output = psql.args([&url, "-qAtXc", sql]).output().expect("psql runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The schema of an engine.
fn schema(engine: &str) -> String {
    format!("headwater_{}", engine.rsplit('=').next().expect("the engine names its service").replace('-', "_"))
}

/// Some thousands of carts with an item each, in `data`.
async fn many_carts(directory: &Directory, thousands: u64) {
    let mut shop = Shop::start(directory, &["--empty"]);
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    for from in (0..thousands).map(|number| number * COMMANDS_AT_ONCE) {
        let command = |number: u64| json!({ "id": format!("c{number}"), "command": "add-item", "key": format!("k{number}"), "body": { "sku": "mug", "quantity": 1 } });
        let body: String = (from..from + COMMANDS_AT_ONCE).map(|number| format!("{}\n", command(number))).collect();
        let mut headers = command_headers(None).expect("there is no key");
        headers.insert("content-type", HeaderValue::from_static("application/x-ndjson"));
        let answer = client.request(Method::POST, "/v1/entities/cart:batch", headers, Bytes::from(body)).await.expect("the shop runs");
        assert!(answer.status.is_success());
    }
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

/// Begins a migration and kills it once some of it is there, and not all; how much was.
fn kill_in_the_middle(directory: &Directory, to: &str, from: u64) -> u64 {
    let mut child = headwater(directory).args(["migrate", "--from", "embedded:data", "--to", to]).spawn().expect("the binary starts");
    let position = || ask(&format!("SELECT position FROM {}.head", schema(to))).parse().unwrap_or(0);
    let there = loop {
        let there: u64 = position();
        if there > from {
            break there;
        }
        assert!(child.try_wait().expect("the process is ours").is_none(), "it ended before it was killed");
    };
    child.kill().expect("the process is ours");
    child.wait().expect("it ended");
    there
}

/// Of all of them; one whose place is lost would wait for a person.
fn consumer_states(directory: &Directory, shop: &Shop) -> Vec<String> {
    let listed = stdout(&run(directory, ["consumer", "list", "--json", "--url", &shop.url]));
    let states: Vec<String> =
        json_lines(&listed).iter().map(|consumer| consumer["state"].as_str().expect("it has a state").to_owned()).collect();
    assert!(!states.is_empty() && states.iter().all(|state| matches!(&**state, "starting" | "working" | "elsewhere")), "{listed}");
    states
}

fn refused(output: &Output, exit: i32, code: &str, words: &str) {
    check_code(output, exit);
    let told = stderr(output);
    assert!(told.contains(code) && told.contains(words), "{told}");
}

#[test]
fn a_day_that_was_moved_to_a_database_comes_to_the_same_totals_and_goes_on() {
    let (directory, elsewhere, to) = (Directory::new(), Directory::new(), engine("migrated"));
    let played = play(&directory, None);
    let moved = json(&migrate(&directory, "embedded:data", &to));
    assert_eq!(moved["root"], root(&directory, "data"), "{moved}");
    assert!(moved["registers"].as_u64() >= Some(1) && moved["were_there"] == 0, "{moved}");
    let again = play(&elsewhere, Some(&to));
    assert_eq!((&again["played"]["accepted"], &again["totals"]), (&0.into(), &played["totals"]), "nothing is played twice");
    let mut shop = Shop::start_on(&elsewhere, &to, &["--empty"]);
    while consumer_states(&elsewhere, &shop).iter().any(|state| state != "working") {}
    let sent = run(&elsewhere, ["send", "cart", "new", "add-item", r#"{"sku":"mug","quantity":1}"#, "--json", "--url", &shop.url]);
    assert_eq!(json(&sent)["sequence"], 1);
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
    refused(&migrate(&directory, "embedded:data", &to), 1, "HW0074", "has a journal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_was_killed_goes_on_where_it_was_and_no_service_starts_on_half_of_it() {
    let (directory, to) = (Directory::new(), engine("killed"));
    many_carts(&directory, 12).await;
    let first = kill_in_the_middle(&directory, &to, 0);
    let start = headwater(&directory).env("HEADWATER_ENGINE", &to).args(["demo", "--alone", "--exit", "--listen", "127.0.0.1:0"]).output();
    refused(&start.expect("the binary runs"), 1, "HW0074", "run the same `migrate` again");
    let second = kill_in_the_middle(&directory, &to, first);
    let moved = json(&migrate(&directory, "embedded:data", &to));
    let (events, there) = (moved["events"].as_u64(), moved["were_there"].as_u64());
    assert!(there >= Some(second) && there < events, "{second} were there at least: {moved}");
    assert_eq!(moved["root"], root(&directory, "data"));
    let mut shop = Shop::start_on(&directory, &to, &["--empty"]);
    let count = run(&directory, ["entity", "list", "cart", "--url", &shop.url]);
    assert_eq!(stdout(&count).lines().count() as u64, 12 * COMMANDS_AT_ONCE);
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_has_changed_in_half_of_a_migration_is_found_and_nothing_starts_on_it() {
    let (directory, to) = (Directory::new(), engine("changed"));
    many_carts(&directory, 12).await;
    kill_in_the_middle(&directory, &to, 0);
    ask(&format!("UPDATE {}.event SET payload = payload || ' ' WHERE position = 7", schema(&to)));
    refused(&migrate(&directory, "embedded:data", &to), 1, "HW0074", "another root");
    let start = headwater(&directory).env("HEADWATER_ENGINE", &to).args(["demo", "--alone", "--exit", "--listen", "127.0.0.1:0"]).output();
    refused(&start.expect("the binary runs"), 1, "HW0074", "a part of a migration");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_has_let_go_of_comes_along_as_what_remains_and_goes_back_too() {
    let (directory, to) = (Directory::new(), engine("gone"));
    let (sent, _) = shop_at_rest(&directory).await;
    let moved = json(&migrate(&directory, "embedded:data", &to));
    assert!(moved["gone"].as_u64() > Some(2 * COMMANDS_AT_ONCE), "{moved}");
    assert_eq!(moved["root"], root(&directory, "data"));
    let back = json(&migrate(&directory, &to, "embedded:back"));
    let hash = |moved: &Json| moved["root"].as_str().and_then(|root| root.split(':').next().map(str::to_owned));
    let counts = |moved: &Json| ["commits", "commands", "events", "gone", "registers"].map(|count| moved[count].clone());
    assert_eq!((hash(&back), counts(&back)), (hash(&moved), counts(&moved)));
    assert_eq!(root(&directory, "back").split(':').next().map(str::to_owned), hash(&moved));
    check_knows(&directory, Shop::start_on(&directory, &to, &ARGUMENTS), sent);
    check_knows(&directory, Shop::start(&directory, &[&ARGUMENTS[..], &["--data", "back"]].concat()), sent);
}

#[test]
fn a_source_that_is_in_use_or_damaged_and_a_target_with_a_journal_are_refused() {
    let (directory, to) = (Directory::new(), engine("refused"));
    play(&directory, None);
    let mut shop = Shop::start(&directory, &["--empty"]);
    refused(&migrate(&directory, "embedded:data", &to), 1, "HW0065", "data");
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
    refused(&migrate(&directory, "embedded:nowhere", &to), 4, "", "nowhere");
    refused(&migrate(&directory, "embedded:data", "nats://db/x"), 78, "HW0068", "--to");
    refused(&migrate(&directory, &to, "embedded:new"), 1, "HW0074", "has no journal");
    check_code(&run(&directory, ["backup", "copy"]), 0);
    refused(&migrate(&directory, "embedded:copy", &to), 1, "HW0074", "is a backup");
    flip_a_bit(&directory.path().join("data"));
    refused(&migrate(&directory, "embedded:data", &to), 6, "HW0067", "segment");
    assert_eq!(ask(&format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", schema(&to))), "0", "nothing was begun");
}

/// In the middle of what the first segment holds: in a byte that is not zero, because what fills a block up behind a frame is no part of it.
fn flip_a_bit(data: &Path) {
    let first = data.join("0000000001.segment");
    let mut bytes = std::fs::read(&first).expect("it can be read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("it holds something");
    let middle = bytes[..used / 2].iter().rposition(|byte| *byte != 0).expect("it holds more than its end");
    bytes[middle] ^= 1;
    std::fs::write(first, bytes).expect("it can be written");
}
