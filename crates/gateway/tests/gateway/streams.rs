//! Streams: NDJSON and server-sent events, filters, and coming back where one was.

use std::time::Duration;

use bytes::Bytes;
use gateway::Options;
use gateway::client::LineStream;
use serde_json::{Value as Json, json};

use crate::shop::Shop;

async fn lines(shop: &Shop, path: &str) -> Vec<Json> {
    let mut stream = shop.stream(path, &[]).await;
    assert_eq!(stream.headers()["content-type"], "application/x-ndjson");
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(serde_json::from_slice(&line).unwrap());
    }
    lines
}

async fn sample() -> Shop {
    let shop = Shop::open().await;
    for (id, sku) in [("c1", "a"), ("c2", "a"), ("c1", "b"), ("c3", "b")] {
        shop.add(id, sku, 1).await;
    }
    shop.post("/v1/entities/cart/c2/pay", &[], "{}").await;
    shop
}

fn subjects(events: &[Json]) -> Vec<&str> {
    events.iter().map(|event| event["subject"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_is_every_event_in_order() {
    let shop = sample().await;
    let events = lines(&shop, "/v1/streams/shop").await;
    assert_eq!(subjects(&events), ["c1", "c2", "c1", "c3", "c2"]);
    let first = &events[0];
    assert_eq!((&first["specversion"], &first["source"], &first["type"]), (&json!("1.0"), &json!("/shop"), &json!("shop.cart.item-added")));
    assert_eq!(
        (&first["entitytype"], &first["sequence"], &first["data"]),
        (&json!("cart"), &json!("1"), &json!({ "sku": "a", "quantity": 1 }))
    );
    assert_eq!(first["dataschema"], "/v1/schemas/cart/item-added/1");
    assert_eq!(events[4]["cursor"], shop.head().await.to_string());
}

#[tokio::test]
async fn a_stream_goes_on_after_a_cursor() {
    let shop = sample().await;
    let events = lines(&shop, "/v1/streams/shop").await;
    for (index, event) in events.iter().enumerate() {
        let rest = lines(&shop, &format!("/v1/streams/shop?after={}", event["cursor"].as_str().unwrap())).await;
        assert_eq!(rest, events[index + 1..]);
    }
    assert_eq!(lines(&shop, "/v1/streams/shop?limit=2").await, events[..2]);
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let shop = sample().await;
    for (filter, expected) in [
        ("type=cart", &["c1", "c2", "c1", "c3", "c2"][..]),
        ("type=cart/paid", &["c2"]),
        ("type=cart/paid&type=cart/item-added", &["c1", "c2", "c1", "c3", "c2"]),
        ("type=account", &[]),
        ("key=cart/c1", &["c1", "c1"]),
        ("key=cart%2Fc2&type=cart/paid", &["c2"]),
        ("tag=sku:b", &["c1", "c3"]),
        ("tag=sku:a&tag=sku:b", &[]),
        ("tag=sku:b&key=cart/c1", &["c1"]),
        ("tag=sku:a&type=cart/paid", &[]),
        ("tag=sku:b&limit=1", &["c1"]),
    ] {
        let events = lines(&shop, &format!("/v1/streams/shop?{filter}")).await;
        assert_eq!(subjects(&events), expected, "{filter}");
    }
}

#[tokio::test]
async fn a_live_stream_gets_what_comes() {
    let shop = sample().await;
    let after = shop.head().await;
    let mut stream = shop.stream(&format!("/v1/streams/shop?live=true&after={after}"), &[]).await;
    for id in ["d1", "d2"] {
        shop.add(id, "a", 1).await;
        let event: Json = serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
        assert_eq!(event["subject"], id);
    }
}

const SSE: (&str, &str) = ("accept", "text/event-stream");

/// The next server-sent event: its fields, up to its data.
async fn next_event(stream: &mut LineStream) -> (Option<String>, Option<String>, Json) {
    let (mut id, mut name) = (None, None);
    loop {
        let line = stream.next().await.unwrap().expect("the stream goes on");
        let line = String::from_utf8(line.to_vec()).unwrap();
        match line.split_once(": ") {
            Some(("id", text)) => id = Some(text.to_owned()),
            Some(("event", text)) => name = Some(text.to_owned()),
            Some(("data", text)) => return (id, name, serde_json::from_str(text).unwrap()),
            Some(("retry", _)) | None => {}
            Some(_) => panic!("{line}"),
        }
    }
}

#[tokio::test]
async fn server_sent_events_resume_by_their_id() {
    let shop = sample().await;
    let events = lines(&shop, "/v1/streams/shop").await;
    let mut last: Option<String> = None;
    for expected in &events {
        // Cut after each event: the id alone must be enough, and must win over the address the client began with.
        let mut headers = vec![SSE];
        headers.extend(last.as_deref().map(|id| ("last-event-id", id)));
        let address = format!("/v1/streams/shop{}", if last.is_some() { "?after=" } else { "" });
        let address = if last.is_some() { format!("{address}{}", events[4]["cursor"].as_str().unwrap()) } else { address };
        let mut stream = shop.stream(&address, &headers).await;
        assert_eq!(
            (&stream.headers()["content-type"], &stream.headers()["x-accel-buffering"]),
            (&"text/event-stream".parse().unwrap(), &"no".parse().unwrap())
        );
        let (id, name, event) = next_event(&mut stream).await;
        assert_eq!((id.as_deref(), name, &event), (expected["cursor"].as_str(), None, expected));
        last = id;
    }
}

#[tokio::test]
async fn a_sparse_filter_moves_on_by_progress() {
    let shop = Shop::open_with(Options { heartbeat: Duration::from_millis(20), ..Options::default() }).await;
    let mut stream = shop.stream("/v1/streams/shop?type=cart/paid", &[SSE]).await;
    shop.add("c1", "a", 1).await;
    let head = shop.head().await.to_string();
    let (id, name, data) = next_event(&mut stream).await;
    assert_eq!((id.as_deref(), name.as_deref(), data), (Some(head.as_str()), Some("progress"), json!({ "cursor": head })));
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    let (_, name, event) = next_event(&mut stream).await;
    assert_eq!((name, &event["type"]), (None, &json!("shop.cart.paid")));
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let shop = Shop::open_with(Options { heartbeat: Duration::from_millis(20), ..Options::default() }).await;
    let mut stream = shop.stream(&format!("/v1/streams/shop?after={}", shop.head().await), &[SSE]).await;
    let first: Option<Bytes> = stream.next().await.unwrap();
    assert_eq!(first.as_deref(), Some(&b"retry: 2000"[..]));
    assert_eq!(stream.next().await.unwrap().as_deref(), Some(&b":"[..]));
}

#[tokio::test]
async fn a_stream_that_is_not_live_ends() {
    let shop = sample().await;
    let mut stream = shop.stream("/v1/streams/shop?live=false&limit=100", &[SSE]).await;
    let mut data = 0;
    while let Some(line) = stream.next().await.unwrap() {
        data += usize::from(line.starts_with(b"data: {\"specversion\""));
    }
    assert_eq!(data, 5);
}
