//! kill -9 under retention, with a witness outside: carts lose their events, and no cart loses an item, gets one twice, or forgets a
//! command, whenever the process ends.
//!
//! `HEADWATER_KILL_ROUNDS` sets the rounds: 20 in CI, 6 elsewhere unless it says otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, Method};
use serde_json::Value as Json;
use tokio::task::JoinSet;

use super::process::{Directory, Shop};

const CARTS: u64 = 12;
const CONNECTIONS: u64 = 8;
/// Carts keep their last few events only.
const ARGUMENTS: [&str; 3] = ["--empty", "--keep-last", "3"];

/// A command, and what became of it as far as its sender knows. Its key is the article that it adds.
#[derive(Clone, Debug)]
struct Sent {
    cart: u64,
    key: String,
    acknowledged: Option<u64>,
}

fn rounds() -> u64 {
    let default = if std::env::var_os("CI").is_some() { 20 } else { 6 };
    std::env::var("HEADWATER_KILL_ROUNDS").ok().map_or(default, |rounds| rounds.parse().expect("HEADWATER_KILL_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cart_changes_by_retention_whenever_the_process_is_killed() {
    let (directory, rounds) = (Directory::new(), rounds());
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut shop = Shop::start(&directory, &ARGUMENTS);
        check(&shop.url, &mut all).await;
        let (stop, mut senders) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for connection in 0..CONNECTIONS {
            senders.spawn(send_until(shop.url.clone(), (round, connection), Arc::clone(&stop)));
        }
        let passes = tokio::spawn(compact_until(shop.url.clone(), Arc::clone(&stop)));
        tokio::time::sleep(Duration::from_millis(150 + 70 * (round % 7))).await;
        shop.kill();
        stop.store(true, SeqCst);
        all.extend(senders.join_all().await.concat());
        passes.await.expect("whoever asks for passes ends");
    }
    let shop = Shop::start(&directory, &ARGUMENTS);
    check(&shop.url, &mut all).await;
    let status = compact(&shop.url).await;
    assert!(status["baselines"].as_u64() > Some(0) || all.len() < 500, "nothing was tested: {status}");
    check(&shop.url, &mut all).await;
    eprintln!("{rounds} kills, {} commands, {} events gone in the last process: {status}", all.len(), status["total"]["events"]);
}

async fn send_until(url: String, (round, connection): (u64, u64), stop: Arc<AtomicBool>) -> Vec<Sent> {
    let mut client = Connection::new(&url).expect("the URL fits");
    let mut all = Vec::new();
    for number in 0.. {
        let mut sent = Sent { cart: (connection * 5 + number) % CARTS, key: format!("{round}-{connection}-{number}"), acknowledged: None };
        let answered = send(&mut client, &mut sent).await;
        all.push(sent);
        if !answered || stop.load(SeqCst) {
            break;
        }
    }
    all
}

/// Sends a command; false when there was no answer. One whose reply is gone took effect before.
async fn send(client: &mut Connection, sent: &mut Sent) -> bool {
    let path = format!("/v1/entities/cart/r{}/add-item", sent.cart);
    let headers = command_headers(Some(&sent.key)).expect("the key fits");
    let body = format!(r#"{{"sku":"{}","quantity":1}}"#, sent.key);
    let Ok(response) = client.request(Method::POST, &path, headers, Bytes::from(body)).await else { return false };
    let body: Json = serde_json::from_slice(&response.body).expect("an answer is JSON");
    let is_gone = response.status.as_u16() == 410 && body["code"] == "HW0023";
    assert!(response.status.is_success() || is_gone, "{body}");
    if !is_gone {
        let sequence = body["sequence"].as_u64().expect("an answer has a sequence");
        assert!(sent.acknowledged.is_none_or(|first| first == sequence), "{sent:?} was answered with {sequence} the second time");
        sent.acknowledged = Some(sequence);
    }
    true
}

/// One pass after the other, until the process is gone.
async fn compact_until(url: String, stop: Arc<AtomicBool>) {
    let mut client = Connection::new(&url).expect("the URL fits");
    while !stop.load(SeqCst) {
        let asked = client.request(Method::POST, "/v1/admin/journal/compact", HeaderMap::new(), Bytes::new()).await;
        if asked.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Wants a pass and waits for it.
async fn compact(url: &str) -> Json {
    let mut client = Connection::new(url).expect("the URL fits");
    let asked = client.request(Method::POST, "/v1/admin/journal/compact", HeaderMap::new(), Bytes::new()).await.expect("it runs");
    let before: Json = serde_json::from_slice(&asked.body).expect("an answer is JSON");
    let wanted = before["retention"]["passes"].as_u64().unwrap_or(0) + 1;
    loop {
        let answer = client.request(Method::GET, "/v1/admin/journal", HeaderMap::new(), Bytes::new()).await.expect("it runs");
        let mut now: Json = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        assert_eq!(now["retention"]["problem"], Json::Null, "{now}");
        if now["retention"]["passes"].as_u64() >= Some(wanted) {
            return now["retention"].take();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every unanswered command is sent again; then every cart has exactly what was sent, once.
async fn check(url: &str, all: &mut [Sent]) {
    let mut client = Connection::new(url).expect("the URL fits");
    for sent in all.iter_mut().filter(|sent| sent.acknowledged.is_none() || sent.key.ends_with("-0")) {
        assert!(send(&mut client, sent).await, "{sent:?} has no answer from a shop that runs");
    }
    let mut expected = HashMap::<u64, usize>::new();
    all.iter().for_each(|sent| *expected.entry(sent.cart).or_default() += 1);
    for (cart, count) in expected {
        let path = format!("/v1/entities/cart/r{cart}");
        let answer = client.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.expect("it runs");
        let body: Json = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        let items = body["state"]["items"].as_object().unwrap_or_else(|| panic!("no items in {body}"));
        assert_eq!(items.len(), count, "cart r{cart}");
        assert!(items.values().all(|quantity| *quantity == 1), "cart r{cart} has an item twice: {body}");
    }
}
