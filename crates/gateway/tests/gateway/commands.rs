//! Commands and operations that are understood: replies, conditions, repetition, rejections, and a rule that panics.

use serde_json::{Value as Json, json};

use crate::engine;
use crate::shop::Shop;

const ADD: &str = "/v1/entities/cart/c1/add-item";
const GOOD: &str = r#"{"sku":"a","quantity":1}"#;

#[tokio::test]
async fn an_accepted_command_gives_reply_version_and_place() {
    let shop = Shop::open().await;
    let answer = shop.post(ADD, &[], GOOD).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["reply"], json!({ "kinds": 1 }));
    // What is on a disk says nothing of it; the model is not.
    let durability = if engine::is_model() { json!("memory") } else { Json::Null };
    assert_eq!((&answer.json["sequence"], &answer.json["durability"]), (&json!(1), &durability));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("headwater-cursor"), answer.json["cursor"].as_str());
    assert_eq!(answer.header("headwater-cursor"), Some(shop.head().await.to_string().as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    let key = answer.header("idempotency-key").unwrap();
    assert_eq!((key.len(), &key[14..15]), (36, "7"), "a minted key is a UUIDv7");
}

#[tokio::test]
async fn a_command_without_fields_needs_no_body() {
    let shop = Shop::open().await;
    let answer = shop.ask("POST", "/v1/entities/cart/c1/pay", &[], "").await;
    assert_eq!((answer.status, &answer.json["sequence"]), (200, &json!(1)));
}

#[tokio::test]
async fn a_command_without_events_changes_no_version() {
    let shop = Shop::open().await;
    let fresh = shop.post("/v1/entities/cart/c1/look", &[], "{}").await;
    assert_eq!((fresh.status, &fresh.json["sequence"], fresh.header("etag")), (200, &json!(0), None));
    shop.add("c1", "a", 1).await;
    let answer = shop.post("/v1/entities/cart/c1/look", &[], "{}").await;
    assert_eq!((answer.header("etag"), &answer.json["reply"]), (Some("\"1\""), &json!({ "kinds": 1 })));
}

#[tokio::test]
async fn ids_may_hold_what_a_path_may_not() {
    let shop = Shop::open().await;
    for id in ["a/b", "100%", "*>", "...", "é ü", "a+b", "?#&"] {
        let encoded = gateway::client::encode(id);
        shop.add(&encoded, "a", 1).await;
        let state = shop.get(&format!("/v1/entities/cart/{encoded}")).await;
        assert_eq!((state.status, &state.json["id"]), (200, &json!(id)));
    }
}

#[tokio::test]
async fn the_same_key_gives_the_first_reply_again() {
    let shop = Shop::open().await;
    for key in ["k1", "\"quoted \\\"key\\\"\""] {
        let first = shop.post(ADD, &[("idempotency-key", key)], GOOD).await;
        shop.add("c1", "between", 1).await;
        let again = shop.post(ADD, &[("idempotency-key", key)], GOOD).await;
        assert_eq!((first.status, again.status), (200, 200));
        assert_eq!((&first.json["reply"], &first.json["sequence"]), (&again.json["reply"], &again.json["sequence"]));
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
        assert_eq!(again.header("idempotency-key"), Some(key));
    }
}

#[tokio::test]
async fn a_quoted_key_and_a_raw_one_are_the_same() {
    let shop = Shop::open().await;
    shop.post(ADD, &[("idempotency-key", "k1")], GOOD).await;
    let again = shop.post(ADD, &[("idempotency-key", "\"k1\"")], GOOD).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn an_outcome_can_be_asked_for() {
    let shop = Shop::open().await;
    let first = shop.post(ADD, &[("idempotency-key", "a/b c")], GOOD).await;
    let outcome = shop.get("/v1/entities/cart/c1/commands/a%2Fb%20c").await;
    assert_eq!(outcome.status, 200, "{}", outcome.json);
    assert_eq!(outcome.json["status"], "done");
    assert_eq!((&outcome.json["command"], &outcome.json["reply"]), (&json!("add-item"), &first.json["reply"]));
    assert_eq!((&outcome.json["sequence"], &outcome.json["cursor"]), (&json!(1), &first.json["cursor"]));
    assert!(outcome.json["time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn conditions_hold_or_say_where_the_entity_is() {
    let shop = Shop::open().await;
    let new = shop.post(ADD, &[("if-none-match", "*")], GOOD).await;
    let at = shop.post(ADD, &[("if-match", "\"1\"")], GOOD).await;
    assert_eq!((new.status, at.status), (200, 200));
    let failed = shop.post(ADD, &[("if-match", "\"1\"")], GOOD).await;
    assert_eq!((failed.status, failed.code(), failed.header("etag")), (412, "HW0024", Some("\"2\"")));
    assert_eq!(failed.json["sequence"], 2);
    let absent = shop.post("/v1/entities/cart/none/add-item", &[("if-match", "\"1\"")], GOOD).await;
    assert_eq!((absent.status, absent.header("etag"), &absent.json["sequence"]), (412, None, &json!(0)));
}

#[tokio::test]
async fn a_rejection_carries_the_rules_own_code() {
    let shop = Shop::open().await;
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    let answer = shop.post(ADD, &[], GOOD).await;
    assert_eq!((answer.status, answer.code(), &answer.json["title"]), (422, "HW0029", &json!("rejected")));
    assert_eq!(answer.json["rejection"]["code"], "already-paid");
    assert_eq!(answer.json["detail"], "the cart is paid");
}

#[tokio::test]
async fn a_panicking_rule_is_an_internal_error_and_the_connection_lives() {
    let shop = Shop::open().await;
    let mut client = shop.client();
    let path = "/v1/entities/cart/c1/break";
    let broken = client.request(http::Method::POST, path, http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
    assert_eq!(broken.status, 500);
    assert!(!broken.headers.contains_key("connection"));
    let live = client.request(http::Method::GET, "/livez", http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
    assert_eq!(live.status, 200);
}

#[tokio::test]
async fn an_operation_runs_over_several_entities() {
    let shop = Shop::open().await;
    let body = r#"{"first":"c1","second":"c2","sku":"a"}"#;
    let answer = shop.post("/v1/operations/share", &[("idempotency-key", "o1")], body).await;
    assert_eq!((answer.status, &answer.json["reply"]), (200, &json!({ "kinds": 1 })), "{}", answer.json);
    assert_eq!((answer.header("etag"), answer.header("idempotency-key")), (None, Some("o1")));
    for id in ["c1", "c2"] {
        assert_eq!(shop.get(&format!("/v1/entities/cart/{id}")).await.json["sequence"], 1);
    }
    shop.post("/v1/entities/cart/c2/pay", &[], "{}").await;
    let rejected = shop.post("/v1/operations/share", &[], body).await;
    assert_eq!((rejected.status, &rejected.json["rejection"]["code"]), (422, &json!("already-paid")));
}

#[tokio::test]
async fn context_is_kept_with_the_events() {
    let shop = Shop::open().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    shop.post(ADD, &[("traceparent", trace), ("correlation-id", "visit-7")], GOOD).await;
    let history = shop.get("/v1/entities/cart/c1/events").await;
    let event = &history.json["items"][0];
    assert_eq!((&event["traceparent"], &event["correlationid"]), (&json!(trace), &json!("visit-7")));
}

#[tokio::test]
async fn a_page_of_the_same_origin_may_send() {
    let shop = Shop::open().await;
    let origin = format!("http://{}", shop.address);
    for headers in [&[("origin", origin.as_str())][..], &[("sec-fetch-site", "same-origin")], &[("sec-fetch-site", "none")]] {
        assert_eq!(shop.post(ADD, headers, GOOD).await.status, 200, "{headers:?}");
    }
}
