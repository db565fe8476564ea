//! A visitor of a shop whose disk is in trouble: puts items into carts, and looks at what is there.

use std::collections::BTreeMap;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use crate::process::{Directory, Shop};

/// An answer: its status and its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Json,
    pub(super) retry_after: bool,
}

impl Answer {
    /// The code of a problem; empty when it is none.
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Starts a shop with its data in a directory on the volume.
pub(super) fn shop(own: &Directory, data: &std::path::Path, more: &[&str]) -> Shop {
    let data = data.to_str().expect("the test's own paths are UTF-8");
    Shop::start_at(own, "127.0.0.1:0", &[&["--empty", "--data", data], more].concat())
}

/// Puts an item into a cart of its own; the key of the command is the cart's name.
pub(super) async fn put(client: &mut Connection, cart: &str, sku_bytes: usize) -> Answer {
    let headers = command_headers(Some(cart)).expect("the key fits");
    let body = json!({ "sku": format!("{cart:x<sku_bytes$}"), "quantity": 1 }).to_string();
    ask(client, Method::POST, &format!("/v1/entities/cart/{cart}/add-item"), headers, body).await
}

pub(super) async fn get(client: &mut Connection, path: &str) -> Answer {
    ask(client, Method::GET, path, HeaderMap::new(), String::new()).await
}

async fn ask(client: &mut Connection, method: Method, path: &str, headers: HeaderMap, body: String) -> Answer {
    let answer = client.request(method, path, headers, Bytes::from(body)).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    let body = serde_json::from_slice(&answer.body).unwrap_or(Json::Null);
    Answer { status: answer.status.as_u16(), body, retry_after: answer.headers.contains_key("retry-after") }
}

/// How often each cart has an event, read from the first event on.
pub(super) async fn carts(url: &str) -> BTreeMap<String, u32> {
    let mut client = Connection::new(url).expect("the URL fits");
    let opened = client.stream(Method::GET, "/v1/streams/shop?type=cart", HeaderMap::new(), Bytes::new()).await;
    let mut lines = opened.expect("the shop answers").unwrap_or_else(|problem| panic!("{}", String::from_utf8_lossy(&problem.body)));
    let mut carts = BTreeMap::new();
    while let Some(line) = lines.next().await.expect("the stream goes to its end") {
        let event: Json = serde_json::from_slice(&line).expect("an event is JSON");
        *carts.entry(event["subject"].as_str().expect("an event has a subject").to_owned()).or_default() += 1;
    }
    carts
}

/// What is not as it was promised: every accepted cart has one event, and nobody else has any.
pub(super) fn violations(carts: &BTreeMap<String, u32>, accepted: &[String]) -> Vec<String> {
    let lost = accepted.iter().filter(|cart| !carts.contains_key(*cart)).map(|cart| format!("{cart} was accepted and is lost"));
    let doubled = carts.iter().filter(|(_, count)| **count > 1).map(|(cart, count)| format!("{cart} took effect {count} times"));
    let refused = carts.keys().filter(|cart| !accepted.contains(cart)).map(|cart| format!("{cart} was refused and is there"));
    lost.chain(doubled).chain(refused).take(8).collect()
}

#[test]
fn a_visitor_sees_what_is_lost_doubled_or_there_although_it_was_refused() {
    let carts = |all: &[(&str, u32)]| all.iter().map(|(cart, count)| ((*cart).to_owned(), *count)).collect();
    let accepted = ["a".to_owned()];
    assert_eq!(violations(&carts(&[("a", 1)]), &accepted), [""; 0]);
    assert_eq!(violations(&carts(&[]), &accepted), ["a was accepted and is lost"]);
    assert_eq!(violations(&carts(&[("a", 2)]), &accepted), ["a took effect 2 times"]);
    assert_eq!(violations(&carts(&[("a", 1), ("b", 1)]), &accepted), ["b was refused and is there"]);
}
