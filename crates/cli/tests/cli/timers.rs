//! Timers over kill -9: thousands are due while the process is killed, again and again; each takes effect once, and none early.
//!
//! The witness is outside of the process: it knows which timers it set and when they are due, and counts what they did.
//! `HEADWATER_TIMERS` sets how many: 5,000 in CI, 1,000 elsewhere unless it says otherwise.

use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use super::process::{Directory, Shop, check_code, run, stderr, stdout};

const SETTERS: usize = 16;
/// Kills while timers are due.
const KILLS: u64 = 6;

async fn ask(client: &mut Connection, method: Method, path: &str, body: &Json) -> Json {
    let (headers, body) = if body.is_null() {
        (HeaderMap::new(), Bytes::new())
    } else {
        (command_headers(None).expect("there is no key"), Bytes::from(body.to_string()))
    };
    let answer = client.request(method, path, headers, body).await.expect("the shop runs");
    let json = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    assert!(answer.status.is_success(), "{path}: {json}");
    json
}

/// Sets every `SETTERS`-th timer; they are due within a second of each other.
async fn set(url: String, first: usize, count: usize, due: &str) {
    let mut client = Connection::new(&url).expect("the URL fits");
    for at in (first..count).step_by(SETTERS) {
        let item = json!({ "sku": "mug", "quantity": 1 });
        let wish = json!({ "due": format!("{due}.{:03}Z", at % 1_000), "send": { "type": "cart", "id": format!("c{at}"), "command": "add-item", "body": item } });
        let answer = ask(&mut client, Method::PUT, &format!("/v1/timers/t{at}"), &wish).await;
        assert_eq!(answer["set"], true, "{answer}");
    }
}

async fn pending(url: &str) -> u64 {
    let mut client = Connection::new(url).expect("the URL fits");
    let status = ask(&mut client, Method::GET, "/v1/admin/timers", &Json::Null).await;
    assert_eq!(status["parked"], 0, "{status}");
    status["pending"].as_u64().expect("it is a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_that_are_due_while_the_process_is_killed_take_effect_once_each() {
    let default = if std::env::var_os("CI").is_some() { 5_000 } else { 1_000 };
    let count: usize = std::env::var("HEADWATER_TIMERS").ok().map_or(default, |count| count.parse().expect("it is a number"));
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    // Far enough that all are set before, and moved near once they are.
    let due = "2100-01-01T00:00:00";
    let setters: Vec<_> = (0..SETTERS).map(|first| tokio::spawn(set(shop.url.clone(), first, count, due))).collect();
    for setter in setters {
        setter.await.expect("it does not panic");
    }
    assert_eq!(pending(&shop.url).await, count as u64);
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    for at in 0..count {
        let moved = ask(&mut client, Method::POST, &format!("/v1/timers/t{at}/reschedule"), &json!({ "after_ms": 50 })).await;
        assert_eq!(moved["rescheduled"], true, "{moved}");
        if (at as u64 + 1).is_multiple_of(count as u64 / KILLS) {
            shop.kill();
            shop = Shop::start(&directory, &["--empty"]);
            client = Connection::new(&shop.url).expect("the URL fits");
        }
    }
    for round in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(3 + 17 * round)).await;
        shop.kill();
        shop = Shop::start(&directory, &["--empty"]);
    }
    while pending(&shop.url).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    for at in 0..count {
        let cart = ask(&mut client, Method::GET, &format!("/v1/entities/cart/c{at}"), &Json::Null).await;
        let timer = ask(&mut client, Method::GET, &format!("/v1/timers/t{at}"), &Json::Null).await;
        assert_eq!(
            (&cart["sequence"], &timer["state"], &timer["last"]["outcome"]),
            (&json!(1), &json!("fired"), &json!("accepted")),
            "{at}"
        );
        // Both are RFC 3339 in UTC with microseconds, which sort as texts.
        assert!(cart["time"].as_str() >= timer["due"].as_str(), "timer {at} was early: {cart} {timer}");
    }
    eprintln!("{} kills, {count} timers, 0 lost, 0 doubled, 0 early", 2 * KILLS);
}

#[test]
fn the_command_line_sets_shows_lists_moves_and_cancels_timers() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let timer = |arguments: &[&str]| run(&directory, ["timer"].iter().chain(arguments).chain(&["--url", &shop.url]));
    let far = "2100-01-01T00:00:00Z";
    let set = timer(&["set", "tidy-c1", "cart", "c1", "check-out", "--due", far]);
    check_code(&set, 0);
    assert_eq!(stderr(&set), "timer tidy-c1 is set: pending, due 2100-01-01T00:00:00.000000Z\n");
    assert!(stderr(&timer(&["set", "tidy-c1", "cart", "c1", "check-out", "--due", far])).contains("was so already"));
    let listed = stdout(&timer(&["list", "--prefix", "tidy-"]));
    assert_eq!(listed.lines().count(), 2, "{listed}");
    check_code(&timer(&["reschedule", "tidy-c1", "--due", "2099-01-01T00:00:00Z"]), 0);
    let shown = stdout(&timer(&["show", "tidy-c1"]));
    assert_eq!(shown, "tidy-c1 pending, due 2099-01-01T00:00:00.000000Z\nsends cart/c1 check-out {}\n");
    check_code(&timer(&["set", "nightly", "cart", "c1", "check-out", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"]), 0);
    assert!(stdout(&timer(&["show", "nightly"])).contains("by the schedule 30 2 * * * in Europe/Berlin\n"));
    check_code(&timer(&["cancel", "nightly"]), 0);
    check_code(&timer(&["redrive", "tidy-c1"]), 1);
    check_code(&timer(&["cancel", "tidy-c1"]), 0);
    check_code(&timer(&["show", "none"]), 4);
    check_code(&timer(&["set", "late", "cart", "c2", "add-item", r#"{"sku":"mug","quantity":1}"#, "--after-ms", "0"]), 0);
    while !stdout(&timer(&["show", "late", "--json"])).contains(r#""state":"fired""#) {}
    check_code(&timer(&["cancel", "late"]), 3);
    assert_eq!(stdout(&timer(&["status"])), "pending 0\nparked 0\nfiring 0\nresting 0\n");
    check_code(&timer(&["set", "t", "cart", "c1", "check-out"]), 2);
}
