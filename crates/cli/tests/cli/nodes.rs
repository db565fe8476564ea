//! Several nodes of one shop on PostgreSQL: who does what, and what comes of it when they come, go and are killed.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, Method};
use serde_json::Value as Json;

use super::postgres::engine;
use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stdout};
use super::retail::file;

/// Long enough for every share to be somebody's on a busy machine; what is waited for comes far sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of each node that is alive the number of shares of the shop's consumer.
fn spread(directory: &Directory, url: &str) -> BTreeMap<String, usize> {
    let listed = run(directory, ["nodes", "--json", "--url", url]);
    check_code(&listed, 0);
    let alive = json_lines(&stdout(&listed)).into_iter().filter(|node| node["state"] != "gone");
    let shares = |node: &Json| {
        let duties = node["duties"].as_array().into_iter().flatten();
        duties.filter(|duty| duty["duty"] == "consumer/pack-parcel").count()
    };
    alive.map(|node| (node["node"].as_str().unwrap_or_default().to_owned(), shares(&node))).collect()
}

#[track_caller]
fn wait_for_spread(directory: &Directory, url: &str, wanted: &[&str]) {
    let begun = Instant::now();
    loop {
        let spread = spread(directory, url);
        let is_whole = spread.values().sum::<usize>() == 16 && spread.values().all(|shares| *shares >= 16 / wanted.len() - 2);
        if is_whole && spread.keys().eq(wanted.iter()) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{spread:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn call(connection: &mut Connection, method: Method, path: &str, body: &str) -> Json {
    let headers = if method == Method::POST { command_headers(None).expect("no key is no trouble") } else { HeaderMap::new() };
    let answer = connection.request(method, path, headers, Bytes::from(body.to_owned())).await.expect("the node answers");
    serde_json::from_slice(&answer.body).expect("an answer is JSON")
}

#[tokio::test]
async fn any_node_takes_any_command_and_each_answer_is_true_of_what_the_others_have_recorded() {
    let (directory, engine) = (Directory::new(), engine("nodes"));
    let nodes = ["a", "b", "c"].map(|name| Shop::start_node(&directory, &engine, name, &[]));
    wait_for_spread(&directory, &nodes[0].url, &["a", "b", "c"]);
    let mut connections = nodes.each_ref().map(|node| Connection::new(&node.url).expect("the URL fits"));
    for number in 1..=30_usize {
        let item = format!(r#"{{"sku":"s{number}","quantity":1}}"#);
        let answer = call(&mut connections[number % 3], Method::POST, "/v1/entities/cart/c/add-item", &item).await;
        assert_eq!(answer["sequence"], number, "{answer}");
        let read = call(&mut connections[(number + 1) % 3], Method::GET, "/v1/entities/cart/c", "").await;
        assert_eq!(read["sequence"], number, "{read}");
    }
    let paid = call(&mut connections[0], Method::POST, "/v1/entities/cart/c/check-out", "{}").await;
    assert_eq!(paid["sequence"], 31, "{paid}");
    // Two of them have the cart in memory as it was before.
    for connection in &mut connections[1..] {
        let late = call(connection, Method::POST, "/v1/entities/cart/c/add-item", r#"{"sku":"late","quantity":1}"#).await;
        assert_eq!(late["title"], "rejected", "{late}");
    }
}

#[test]
fn a_node_that_joins_gets_its_part_and_one_that_leaves_is_not_waited_for() {
    let (directory, engine) = (Directory::new(), engine("rolling"));
    let mut first = Shop::start_node(&directory, &engine, "a", &[]);
    wait_for_spread(&directory, &first.url, &["a"]);
    let second = Shop::start_node(&directory, &engine, "b", &[]);
    wait_for_spread(&directory, &second.url, &["a", "b"]);
    first.signal("TERM");
    assert_eq!(first.ended(), Some(0));
    wait_for_spread(&directory, &second.url, &["b"]);
}

#[test]
fn a_node_with_some_roles_says_who_has_the_others() {
    let (directory, engine) = (Directory::new(), engine("roles"));
    let doors = Shop::start_node(&directory, &engine, "doors", &["--role", "command"]);
    let works = Shop::start_node(&directory, &engine, "works", &["--role", "action,workflow,view"]);
    let begun = Instant::now();
    while spread(&directory, &works.url) != BTreeMap::from([("doors".to_owned(), 0), ("works".to_owned(), 16)]) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", spread(&directory, &works.url));
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = run(&directory, ["view", "query", "products", "top", "--url", &doors.url]);
    assert_ne!(refused.status.code(), Some(0));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("HW0054"), "{told}");
}

#[test]
fn the_retail_file_comes_to_its_totals_through_three_nodes_that_are_killed() {
    let Some(file) = file() else { return };
    let file = file.to_str().expect("the path is UTF-8");
    let (directory, engine) = (Directory::new(), engine("retail"));
    let mut nodes = ["a", "b", "c"].map(|name| Shop::start_node(&directory, &engine, name, &[]));
    let mut play = headwater(&directory);
    play.args(["demo", "--json", "--limit", LIMIT, "--retail", file]);
    nodes.iter().for_each(|node| {
        play.args(["--at", &node.url]);
    });
    let mut playing = play.stderr(Stdio::null()).spawn().expect("the binary starts");
    for victim in [1, 2] {
        std::thread::sleep(Duration::from_secs(3));
        nodes[victim].kill();
    }
    let rest = &nodes[0].url;
    let ended = playing.wait().expect("it ends");
    assert!(ended.success());
    let totals = run(&directory, ["demo", "--retail-totals", rest, "--json"]);
    check_code(&totals, 0);
    let totals = &json_lines(&stdout(&totals))[0];
    assert_eq!(totals["lines"], 20_000, "{totals}");
    // Alone, in a directory, it comes to the same.
    let plain = Directory::new();
    let alone = run(&plain, ["demo", "--alone", "--exit", "--json", "--listen", "127.0.0.1:0", "--limit", LIMIT, "--retail", file]);
    check_code(&alone, 0);
    assert_eq!(*totals, json_lines(&stdout(&alone)).pop().expect("the last line has the totals")["totals"]);
    wait_for_spread(&directory, rest, &["a"]);
}

const LIMIT: &str = "20000";
