//! Several nodes of one shop on PostgreSQL: who does what, and what comes of it when they come, go and are killed.

mod partition;

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
use super::retail::{file, totals_of_all};

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

/// How often a node is killed under the retail file, of which so few see the first lines only: more in torture.
const KILLS: u32 = 2;
const LINES: &str = "20000";

fn kills() -> u32 {
    std::env::var("HEADWATER_RETAIL_KILLS").ok().map_or(KILLS, |kills| kills.parse().expect("HEADWATER_RETAIL_KILLS is a number"))
}

#[test]
fn the_retail_file_comes_to_its_totals_through_three_nodes_that_are_killed() {
    let Some(file) = file() else { return };
    let mut arguments = vec!["--retail", file.to_str().expect("the path is UTF-8")];
    if kills() <= KILLS {
        arguments.extend(["--limit", LINES]);
    }
    let (directory, engine) = (Directory::new(), engine("retail"));
    let names = ["a", "b", "c"];
    let mut nodes = names.map(|name| Shop::start_node(&directory, &engine, name, &[]));
    let mut play = headwater(&directory);
    play.args(["demo", "--json"]).args(&arguments);
    nodes.iter().for_each(|node| {
        play.args(["--at", &node.url]);
    });
    let mut playing = play.stderr(Stdio::null()).spawn().expect("the binary starts");
    let mut killed = 0;
    while killed < kills() && playing.try_wait().expect("it can be looked at").is_none() {
        std::thread::sleep(Duration::from_secs(2));
        let (victim, name) = (&mut nodes[killed as usize % 3], names[killed as usize % 3]);
        victim.kill();
        std::thread::sleep(Duration::from_secs(1));
        let address = victim.url.trim_start_matches("http://").to_owned();
        *victim = Shop::start_node_at(&address, &directory, &engine, name);
        killed += 1;
    }
    let ended = playing.wait().expect("it ends");
    assert!(ended.success());
    assert!(killed > 0, "it ended before anything was killed");
    eprintln!("{killed} kills");
    let totals = run(&directory, ["demo", "--retail-totals", &nodes[0].url, "--json"]);
    check_code(&totals, 0);
    let totals = &json_lines(&stdout(&totals))[0];
    let expected = if kills() > KILLS { totals_of_all() } else { totals_alone(&arguments) };
    assert_eq!(*totals, expected);
    // For good.
    nodes[1..].iter_mut().for_each(Shop::kill);
    wait_for_spread(&directory, &nodes[0].url, &["a"]);
}

/// What one process in a directory makes of it.
fn totals_alone(arguments: &[&str]) -> Json {
    let directory = Directory::new();
    let alone = run(&directory, [&["demo", "--alone", "--exit", "--json", "--listen", "127.0.0.1:0"], arguments].concat());
    check_code(&alone, 0);
    let last = json_lines(&stdout(&alone)).pop().expect("the last line has the totals");
    assert_eq!(last["totals"]["lines"], 20_000, "{last}");
    last["totals"].clone()
}

/// How often a node is stopped: more in torture.
fn rounds() -> u64 {
    std::env::var("HEADWATER_STOP_ROUNDS").ok().map_or(2, |rounds| rounds.parse().expect("HEADWATER_STOP_ROUNDS is a number"))
}

#[tokio::test]
async fn a_node_that_is_stopped_past_its_time_writes_nothing_stale_when_it_goes_on_and_the_others_go_on_meanwhile() {
    let (directory, engine) = (Directory::new(), engine("stopped"));
    let (one, two) = (Shop::start_node(&directory, &engine, "a", &[]), Shop::start_node(&directory, &engine, "b", &[]));
    wait_for_spread(&directory, &two.url, &["a", "b"]);
    for round in 0..rounds() {
        let sold = format!("s{round}");
        // It is stopped while it is at something: carts that are checked out set off parcels.
        let busy = tokio::spawn(check_out_many(one.url.clone(), format!("{sold}-a"), 40));
        tokio::time::sleep(Duration::from_millis(20 + 37 * round % 200)).await;
        one.signal("STOP");
        let begun = Instant::now();
        check_out_many(two.url.clone(), format!("{sold}-b"), 40).await;
        assert!(begun.elapsed() < PATIENCE, "commands go on at once");
        wait_for_spread(&directory, &two.url, &["b"]);
        eprintln!("its shares were taken over within {:.1} s", begun.elapsed().as_secs_f64());
        one.signal("CONT");
        busy.await.expect("its commands go on");
        wait_for_spread(&directory, &two.url, &["a", "b"]);
    }
    // Each cart that was checked out is one parcel, whoever packed it.
    let (carts, begun) = (rounds() * 80, Instant::now());
    loop {
        let parcels = count(&two.url, "parcel").await;
        assert!(parcels <= carts && begun.elapsed() < PATIENCE, "{parcels} parcels of {carts} carts");
        if parcels == carts {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Fills and checks out carts of these names, one after the other; what is not answered is sent again under its key.
async fn check_out_many(url: String, name: String, count: u32) {
    let mut connection = Connection::new(&url).expect("the URL fits");
    for number in 0..count {
        for (command, body) in [("add-item", r#"{"sku":"22423","quantity":1}"#), ("check-out", "{}")] {
            let path = format!("/v1/entities/cart/{name}-{number}/{command}");
            let key = format!("{name}-{number}-{command}");
            let mut tries = 0;
            loop {
                let headers = command_headers(Some(&key)).expect("the key fits");
                let answer = connection.request(Method::POST, &path, headers, Bytes::from(body)).await;
                if answer.is_ok_and(|answer| answer.status.is_success()) {
                    break;
                }
                tries += 1;
                assert!(tries < 200, "{path} is not taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How many entities of a type there are.
async fn count(url: &str, kind: &str) -> u64 {
    let mut connection = Connection::new(url).expect("the URL fits");
    let (mut count, mut path) = (0, format!("/v1/entities/{kind}?limit=1000"));
    loop {
        let page = call(&mut connection, Method::GET, &path, "").await;
        count += page["items"].as_array().map_or(0, |items| items.len() as u64);
        let Some(next) = page["next"].as_str() else { return count };
        path = next.to_owned();
    }
}

#[tokio::test]
async fn a_client_that_pulls_at_another_node_is_sent_to_the_one_that_hands_out() {
    let (directory, engine) = (Directory::new(), engine("pulls"));
    let nodes = ["a", "b"].map(|name| Shop::start_node(&directory, &engine, name, &["--advertise", &format!("http://127.0.0.1:1/{name}")]));
    wait_for_spread(&directory, &nodes[0].url, &["a", "b"]);
    let mut connections = nodes.each_ref().map(|node| Connection::new(&node.url).expect("the URL fits"));
    let setup = r#"{"types":["cart/item-added"],"start":"first"}"#;
    let headers = command_headers(None).expect("no key is no trouble");
    let made = connections[0].request(Method::PUT, "/v1/consumers/watch", headers.clone(), Bytes::from(setup)).await.expect("it answers");
    assert_eq!(made.status.as_u16(), 201, "{}", String::from_utf8_lossy(&made.body));
    call(&mut connections[1], Method::POST, "/v1/entities/cart/c/add-item", r#"{"sku":"s","quantity":1}"#).await;
    let begun = Instant::now();
    let (mut delivered, mut sent_on) = (0, 0);
    while delivered == 0 || sent_on == 0 {
        for connection in &mut connections {
            let body = Bytes::from(r#"{"max":1,"wait_seconds":1}"#);
            let pulled = connection.request(Method::POST, "/v1/consumers/watch/pull", headers.clone(), body).await.expect("it answers");
            let answer: Json = serde_json::from_slice(&pulled.body).expect("an answer is JSON");
            match pulled.status.as_u16() {
                200 => delivered += answer["deliveries"].as_array().map_or(0, Vec::len),
                307 => {
                    let there = pulled.headers["location"].to_str().expect("an address");
                    assert!(there.starts_with("http://127.0.0.1:1/") && there.ends_with("/v1/consumers/watch/pull"), "{there}");
                    sent_on += 1;
                }
                // It is on its way, or the other node has not heard of it yet.
                503 | 404 => {}
                other => panic!("{other}: {answer}"),
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{delivered} delivered, {sent_on} sent on");
    }
}
