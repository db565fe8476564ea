//! Consumers of clients: set up, pulled, acknowledged by hand, and what happens when they are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::Options;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::engine;
use crate::shop::{Answer, Shop};

const PATH: &str = "/v1/consumers/books";

async fn put(shop: &Shop, body: &Json) -> Answer {
    shop.ask("PUT", PATH, &[("content-type", "application/json")], &body.to_string()).await
}

async fn call(shop: &Shop, what: &str, body: &Json) -> Answer {
    shop.post(&format!("{PATH}/{what}"), &[], &body.to_string()).await
}

async fn set_up(shop: &Shop, more: Json) {
    let mut body = json!({ "topic": "notes" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = put(shop, &body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.json);
}

async fn publish(shop: &Shop, id: &str, key: &str) {
    let headers = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/x"), ("ce-type", "note"), ("ce-subject", key)];
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &headers, "").await.status, 200);
}

/// Pulls until something comes.
async fn pull(shop: &Shop, max: usize) -> Vec<Json> {
    let pulled = call(shop, "pull", &json!({ "max": max, "wait_seconds": 20 })).await;
    assert_eq!(pulled.status, 200, "{:?}", pulled.json);
    pulled.json["deliveries"].as_array().unwrap().clone()
}

async fn one(shop: &Shop) -> Json {
    let mut pulled = pull(shop, 1).await;
    assert_eq!(pulled.len(), 1);
    pulled.remove(0)
}

/// What is there at once.
async fn nothing_comes(shop: &Shop) -> bool {
    call(shop, "pull", &json!({ "max": 256 })).await.json["deliveries"] == json!([])
}

async fn ack(shop: &Shop, pulled: &[Json]) -> Answer {
    let ids: Vec<&Json> = pulled.iter().map(|delivery| &delivery["delivery"]).collect();
    call(shop, "ack", &json!({ "deliveries": ids })).await
}

fn ids(pulled: &[Json]) -> Vec<&str> {
    pulled.iter().map(|delivery| delivery["event"]["id"].as_str().unwrap()).collect()
}

async fn until(shop: &Shop, is_so: impl Fn(&Json) -> bool) -> Json {
    loop {
        let seen = shop.get(PATH).await.json;
        if is_so(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_consumer_is_set_up_shown_changed_and_deleted() {
    let shop = Shop::open().await;
    assert_eq!(shop.get(PATH).await.code(), "HW0019");
    let setup = json!({ "topic": "notes", "ack_seconds": 7, "start": "now" });
    let created = put(&shop, &setup).await;
    let shown = (&created.json["name"], &created.json["topic"], &created.json["ack_seconds"], &created.json["attempts_max"]);
    assert_eq!((created.status, shown), (201, (&json!("books"), &json!("notes"), &json!(7), &json!(12))));
    assert_eq!(put(&shop, &setup).await.status, 200, "the same wish again changes nothing");
    publish(&shop, "1", "a").await;
    let first = one(&shop).await;
    assert_eq!(ids(std::slice::from_ref(&first)), ["1"]);
    let changed = put(&shop, &json!({ "topic": "notes", "ack_seconds": 9, "start": "now" })).await;
    assert_eq!((changed.status, &changed.json["ack_seconds"]), (200, &json!(9)));
    assert_eq!(ack(&shop, &[first]).await.code(), "HW0049", "what was out when it changed comes again");
    assert_eq!(ids(&pull(&shop, 9).await), ["1"]);
    let moved = put(&shop, &json!({ "topic": "notes", "ack_seconds": 9, "start": "first" })).await;
    assert_eq!((moved.status, moved.code()), (409, "HW0047"));
    assert_eq!(shop.ask("DELETE", PATH, &[], "").await.status, 200);
    assert_eq!((shop.get(PATH).await.code(), shop.ask("DELETE", PATH, &[], "").await.code()), ("HW0019", "HW0019"));
    assert_eq!(call(&shop, "pull", &json!({})).await.code(), "HW0019");
    set_up(&shop, json!({ "start": "first" })).await;
    assert_eq!(ids(&pull(&shop, 9).await), ["1"], "a new one of the same name begins where it says");
}

#[tokio::test]
async fn a_consumer_begins_where_it_is_told() {
    let shop = Shop::open().await;
    publish(&shop, "1", "a").await;
    let cursor = shop.head().await.to_string();
    publish(&shop, "2", "b").await;
    let times = (json!({ "time": "2000-01-01T00:00:00Z" }), json!({ "time": "2900-01-01T00:00:00Z" }));
    let starts = [(json!("first"), 1), (json!({ "cursor": cursor }), 2), (times.0, 1), (times.1, 3), (json!("now"), 4)];
    for (round, (start, first)) in starts.into_iter().enumerate() {
        set_up(&shop, json!({ "start": start })).await;
        if round >= 3 {
            publish(&shop, &first.to_string(), "c").await;
        }
        assert_eq!(one(&shop).await["event"]["id"], json!(first.to_string()), "{start}");
        assert_eq!(shop.ask("DELETE", PATH, &[], "").await.status, 200);
    }
}

#[tokio::test]
async fn what_a_client_wants_is_checked() {
    let shop = Shop::open().await;
    for (body, pointer) in [
        (json!({}), "/topic"),
        (json!({ "topic": "note" }), "/topic"),
        (json!({ "topic": "notes", "types": ["cart"] }), "/types"),
        (json!({ "types": [] }), "/types"),
        (json!({ "types": ["cart", "crat"] }), "/types/1"),
        (json!({ "types": ["cart/item-add"] }), "/types/0"),
        (json!({ "types": ["$topic/notes"] }), "/types/0"),
        (json!({ "topic": "notes", "colour": 1 }), "/colour"),
        (json!({ "topic": "notes", "start": "then" }), "/start"),
        (json!({ "topic": "notes", "start": { "time": "soon" } }), "/start/time"),
        (json!({ "topic": "notes", "start": { "time": "2000-01-01T00:00:00Z", "cursor": "x" } }), "/start"),
        (json!({ "topic": "notes", "ack_seconds": 0 }), "/ack_seconds"),
        (json!({ "topic": "notes", "ack_seconds": 3601 }), "/ack_seconds"),
        (json!({ "topic": "notes", "attempts_max": 1001 }), "/attempts_max"),
        (json!({ "topic": "notes", "in_flight_max": 1025 }), "/in_flight_max"),
        (json!([]), ""),
    ] {
        let refused = put(&shop, &body).await;
        let told = (refused.code(), refused.json["errors"][0]["pointer"].as_str());
        assert_eq!(told, ("HW0002", Some(pointer)), "{body}: {:?}", refused.json);
    }
    assert_eq!(put(&shop, &json!({ "topic": "notes", "start": { "cursor": "x" } })).await.code(), "HW0006");
    let named = shop.ask("PUT", "/v1/consumers/Books", &[("content-type", "application/json")], "{\"topic\":\"notes\"}").await;
    assert_eq!(named.code(), "HW0005");
    set_up(&shop, json!({})).await;
    for (what, body, pointer) in [
        ("pull", json!({ "max": 257 }), "/max"),
        ("pull", json!({ "wait_seconds": 21 }), "/wait_seconds"),
        ("ack", json!({}), "/deliveries"),
        ("ack", json!({ "deliveries": [] }), "/deliveries"),
        ("nack", json!({ "deliveries": ["x"] }), "/cause"),
        ("nack", json!({ "deliveries": ["x"], "cause": "c", "retry_after_seconds": 86_401 }), "/retry_after_seconds"),
        ("extend", json!({ "deliveries": ["x"] }), "/seconds"),
        ("extend", json!({ "deliveries": ["x"], "seconds": 3_601 }), "/seconds"),
    ] {
        let refused = call(&shop, what, &body).await;
        assert_eq!((refused.code(), refused.json["errors"][0]["pointer"].as_str()), ("HW0002", Some(pointer)), "{what} {body}");
    }
    let acting = Shop::open_with_action().await;
    let taken = acting.ask("PUT", "/v1/consumers/book-payment", &[("content-type", "application/json")], "{\"topic\":\"notes\"}").await;
    assert_eq!((taken.status, taken.code()), (409, "HW0047"));
}

#[tokio::test]
async fn a_key_has_one_delivery_out_at_a_time_and_in_order() {
    let shop = Shop::open().await;
    set_up(&shop, json!({})).await;
    for (id, key) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")] {
        publish(&shop, id, key).await;
    }
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(pull(&shop, 9).await);
    }
    assert_eq!((ids(&out), out[0]["attempt"].as_u64()), (vec!["1", "3"], Some(1)));
    assert_eq!(out[0]["event"], json!({ "specversion": "1.0", "id": "1", "source": "/x", "type": "note", "subject": "a" }));
    assert!(nothing_comes(&shop).await, "the later ones of the key wait");
    assert_eq!(ack(&shop, &out[..1]).await.json, json!({ "deliveries": 1 }));
    let next = one(&shop).await;
    assert_eq!(next["event"]["id"], "2");
    let stale = ack(&shop, &[out[0].clone(), next]).await;
    assert_eq!((stale.status, stale.code(), &stale.json["deliveries"]), (410, "HW0049", &json!([out[0]["delivery"]])));
    assert_eq!(one(&shop).await["event"]["id"], "4", "the other one was acknowledged all the same");
}

#[tokio::test]
async fn the_bound_of_what_is_out_is_kept() {
    let shop = Shop::open().await;
    set_up(&shop, json!({ "in_flight_max": 2 })).await;
    for id in ["1", "2", "3"] {
        publish(&shop, id, id).await;
    }
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(pull(&shop, 9).await);
    }
    assert!(nothing_comes(&shop).await);
    assert_eq!(ack(&shop, &out).await.status, 200);
    assert_eq!(one(&shop).await["event"]["id"], "3");
}

#[tokio::test]
async fn events_of_entities_are_pulled_as_the_stream_has_them() {
    let shop = Shop::open().await;
    let answer = put(&shop, &json!({ "types": ["cart/item-added"] })).await;
    assert_eq!((answer.status, &answer.json["types"]), (201, &json!(["cart/item-added"])));
    shop.add("c1", "mug", 2).await;
    shop.post("/v1/entities/cart/c1/pay", &[], "").await;
    let pulled = one(&shop).await;
    let mut lines = shop.stream("/v1/streams/shop", &[]).await;
    let first: Json = serde_json::from_slice(&lines.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(pulled["event"], first);
    assert_eq!(ack(&shop, &[pulled]).await.status, 200);
    assert!(nothing_comes(&shop).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_compete_share_the_messages_and_keep_the_order_of_each_key() {
    let shop = Arc::new(Shop::open().await);
    set_up(&shop, json!({})).await;
    let all: Vec<Json> = (0..400)
        .map(|number| json!({ "specversion": "1.0", "id": format!("{number:03}"), "source": "/x", "type": "n", "subject": format!("k{}", number % 10) }))
        .collect();
    let batch = [("content-type", "application/cloudevents-batch+json")];
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &batch, &json!(all).to_string()).await.status, 200);
    let seen: Arc<std::sync::Mutex<Vec<(String, String)>>> = Arc::default();
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let (shop, seen) = (Arc::clone(&shop), Arc::clone(&seen));
        clients.spawn(async move {
            while seen.lock().unwrap().len() < 400 {
                let pulled = call(&shop, "pull", &json!({ "max": 3, "wait_seconds": 1 })).await.json["deliveries"].clone();
                let pulled = pulled.as_array().unwrap().clone();
                for delivery in &pulled {
                    assert_eq!(delivery["attempt"], 1);
                    let text = |name: &str| delivery["event"][name].as_str().unwrap().to_owned();
                    seen.lock().unwrap().push((text("subject"), text("id")));
                }
                if !pulled.is_empty() {
                    assert_eq!(ack(&shop, &pulled).await.status, 200);
                }
            }
        });
    }
    clients.join_all().await;
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, id) in seen.lock().unwrap().iter() {
        by_key.entry(key.clone()).or_default().push(id.clone());
    }
    assert_eq!(by_key.len(), 10);
    for (key, ids) in by_key {
        assert!(ids.len() == 40 && ids.is_sorted(), "{key}: {ids:?}");
    }
}

#[tokio::test]
async fn a_refused_delivery_comes_again_and_is_parked_after_the_last_attempt() {
    let shop = Shop::open().await;
    set_up(&shop, json!({ "attempts_max": 3 })).await;
    for (id, key) in [("1", "bad"), ("2", "bad"), ("3", "good")] {
        publish(&shop, id, key).await;
    }
    for attempt in 1..=3 {
        let delivery = loop {
            let delivery = one(&shop).await;
            if delivery["event"]["subject"] == "bad" {
                break delivery;
            }
            assert_eq!(ack(&shop, &[delivery]).await.status, 200, "the other key flows");
        };
        assert_eq!((&delivery["event"]["id"], &delivery["attempt"]), (&json!("1"), &json!(attempt)));
        let word = json!({ "deliveries": [delivery["delivery"]], "cause": "no use", "retry_after_seconds": 0 });
        assert_eq!(call(&shop, "nack", &word).await.status, 200);
        assert_eq!(call(&shop, "nack", &word).await.code(), "HW0049");
    }
    until(&shop, |seen| seen["parked"] == 1 && seen["waiting"].as_u64() == Some(0) && seen["in_flight"].as_u64() == Some(0)).await;
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_comes_again() {
    let shop = Shop::open().await;
    set_up(&shop, json!({ "ack_seconds": 1 })).await;
    publish(&shop, "1", "a").await;
    let first = one(&shop).await;
    let second = one(&shop).await;
    assert_eq!((&second["event"]["id"], &second["attempt"]), (&json!("1"), &json!(2)));
    assert_ne!(first["delivery"], second["delivery"]);
    let late = ack(&shop, &[first]).await;
    assert_eq!((late.status, late.code()), (410, "HW0049"));
    let longer = json!({ "deliveries": [second["delivery"]], "seconds": 60 });
    assert_eq!(call(&shop, "extend", &longer).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(ack(&shop, &[second]).await.status, 200, "its time was extended");
    until(&shop, |seen| seen["held"] == 0 && seen["in_flight"] == 0).await;
}

#[tokio::test]
async fn what_nobody_pulls_is_no_attempt() {
    let shop = Shop::open().await;
    set_up(&shop, json!({ "ack_seconds": 1 })).await;
    publish(&shop, "1", "a").await;
    until(&shop, |seen| seen["waiting"] == 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(one(&shop).await["attempt"], 1);
}

#[tokio::test]
async fn a_restart_keeps_consumers_and_what_they_acknowledged() {
    let journal = engine::open().await;
    let mut shop = Shop::over(Arc::clone(&journal), Options::default()).await;
    set_up(&shop, json!({ "attempts_max": 2 })).await;
    for (id, key) in [("1", "a"), ("2", "b"), ("3", "c"), ("4", "a")] {
        publish(&shop, id, key).await;
    }
    let mut out = Vec::new();
    while out.len() < 3 {
        out.extend(pull(&shop, 9).await);
    }
    assert_eq!(ack(&shop, &out[..1]).await.status, 200);
    until(&shop, |seen| seen["in_flight"] == 2 && seen["waiting"] == 1).await;
    for _ in 0..4 {
        drop(shop.take_stop());
        shop.stopped().await;
        shop = Shop::over(Arc::clone(&journal), Options::default()).await;
        // A process that ends over a delivery is no attempt of the client's.
        until(&shop, |seen| seen["waiting"] == 3).await;
    }
    let mut again = Vec::new();
    while again.len() < 3 {
        again.extend(pull(&shop, 9).await);
    }
    assert!(again.iter().all(|delivery| delivery["attempt"] == 1), "{again:?}");
    assert_eq!(ids(&again), ["2", "3", "4"]);
    assert_eq!(ack(&shop, &out[1..]).await.json["deliveries"], json!([out[1]["delivery"], out[2]["delivery"]]));
    assert_eq!(ack(&shop, &again).await.status, 200);
}

#[tokio::test]
async fn a_consumer_whose_place_is_lost_says_so() {
    let journal = engine::open().await;
    let mut shop = Shop::over(Arc::clone(&journal), Options::default()).await;
    set_up(&shop, json!({})).await;
    publish(&shop, "1", "a").await;
    drop(shop.take_stop());
    shop.stopped().await;
    let register = journal.get("consumer/books").await.unwrap().unwrap();
    journal.delete("consumer/books", register.revision).await.unwrap();
    let shop = Shop::over(journal, Options::default()).await;
    until(&shop, |seen| seen["state"] == "unplaced").await;
    let refused = call(&shop, "pull", &json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "HW0048"));
}

#[tokio::test]
async fn a_pull_waits_for_what_comes_and_ends_with_the_service() {
    let mut shop = Shop::open().await;
    set_up(&shop, json!({})).await;
    let (pulled, ()) = tokio::join!(one(&shop), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish(&shop, "1", "a").await;
    });
    assert_eq!(pulled["event"]["id"], "1");
    let stop = shop.take_stop();
    let (pulled, ()) = tokio::join!(pull(&shop, 1), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stop);
    });
    assert!(pulled.is_empty(), "a stop does not wait for those who wait");
    shop.stopped().await;
}
