//! `Prefer: respond-async`: 202 with the address of the outcome, and the outcome there.

use serde_json::{Value as Json, json};

use crate::shop::Shop;

const ADD: &str = "/v1/entities/cart/c1/add-item";
const GOOD: &str = r#"{"sku":"a","quantity":1}"#;
const LATER: (&str, &str) = ("prefer", "respond-async");
const SOON: (&str, &str) = ("prefer", "respond-async, wait=30");

/// The outcome at an address once it is settled.
async fn outcome(shop: &Shop, address: &str) -> Json {
    loop {
        let answer = shop.get(address).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        if answer.json["status"] != "pending" {
            return answer.json;
        }
        assert_eq!(answer.header("retry-after"), Some("1"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_is_taken_now_and_its_outcome_found_later() {
    let shop = Shop::open().await;
    let taken = shop.post(ADD, &[LATER, ("idempotency-key", "a/b c")], GOOD).await;
    assert_eq!((taken.status, &taken.json["status"], &taken.json["key"]), (202, &json!("pending"), &json!("a/b c")));
    assert_eq!(taken.header("location"), Some("/v1/entities/cart/c1/commands/a%2Fb%20c"));
    assert_eq!(taken.header("location"), taken.json["outcome"].as_str());
    assert_eq!((taken.header("preference-applied"), taken.header("idempotency-key")), (Some("respond-async"), Some("a/b c")));
    assert_eq!(taken.header("etag"), None);
    let done = outcome(&shop, taken.header("location").unwrap()).await;
    assert_eq!((&done["status"], &done["command"], &done["reply"]), (&json!("done"), &json!("add-item"), &json!({ "kinds": 1 })));
    assert_eq!(done["sequence"], 1);
}

#[tokio::test]
async fn a_minted_key_is_told() {
    let shop = Shop::open().await;
    let taken = shop.post(ADD, &[LATER], GOOD).await;
    assert_eq!((taken.status, taken.header("idempotency-key")), (202, taken.json["key"].as_str()));
    assert_eq!(outcome(&shop, taken.json["outcome"].as_str().unwrap()).await["status"], "done");
}

#[tokio::test]
async fn with_a_wait_the_answer_is_the_one_of_a_common_command() {
    let shop = Shop::open().await;
    let done = shop.post(ADD, &[SOON, ("idempotency-key", "k1")], GOOD).await;
    assert_eq!((done.status, &done.json["reply"], done.header("etag")), (200, &json!({ "kinds": 1 }), Some("\"1\"")));
    assert_eq!(done.header("headwater-cursor"), done.json["cursor"].as_str());
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    let rejected = shop.post(ADD, &[SOON, ("idempotency-key", "k2")], GOOD).await;
    assert_eq!((rejected.status, rejected.code(), &rejected.json["rejection"]["code"]), (422, "HW0029", &json!("already-paid")));
}

#[tokio::test]
async fn a_rejection_is_kept_with_its_problem() {
    let shop = Shop::open().await;
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    let taken = shop.post(ADD, &[LATER], GOOD).await;
    let rejected = outcome(&shop, taken.json["outcome"].as_str().unwrap()).await;
    assert_eq!((&rejected["status"], &rejected["problem"]["code"]), (&json!("rejected"), &json!("HW0029")));
    assert_eq!(rejected["problem"]["rejection"]["code"], "already-paid");
    let stale = shop.post(ADD, &[LATER, ("if-match", "\"9\"")], GOOD).await;
    let failed = outcome(&shop, stale.json["outcome"].as_str().unwrap()).await;
    assert_eq!((&failed["problem"]["code"], &failed["problem"]["sequence"]), (&json!("HW0024"), &json!(1)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once_and_leaves_nothing() {
    let shop = Shop::open().await;
    for (path, headers, body, status, code) in [
        (ADD, &[LATER][..], r#"{"sku":"a"}"#, 400, "HW0002"),
        (ADD, &[LATER], "{", 400, "HW0001"),
        ("/v1/entities/cart/c1/fly", &[LATER], "{}", 404, "HW0012"),
        ("/v1/entities/ship/c1/fly", &[LATER], "{}", 404, "HW0011"),
        (ADD, &[LATER, ("idempotency-key", "")], GOOD, 400, "HW0007"),
        (ADD, &[("prefer", "respond-async, wait=soon")], GOOD, 400, "HW0003"),
    ] {
        let answer = shop.post(path, headers, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {body}");
    }
    assert_eq!(shop.recorded().await, 0);
    shop.post(ADD, &[LATER, ("idempotency-key", "k")], GOOD).await;
    let reused = shop.post(ADD, &[LATER, ("idempotency-key", "k")], r#"{"sku":"b","quantity":1}"#).await;
    assert_eq!((reused.status, reused.code()), (422, "HW0028"));
}

#[tokio::test]
async fn the_platforms_own_events_are_no_part_of_the_stream() {
    let shop = Shop::open().await;
    for key in ["1", "2"] {
        shop.post(ADD, &[SOON, ("idempotency-key", key)], GOOD).await;
    }
    let mut stream = shop.stream("/v1/streams/shop", &[]).await;
    let mut types = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        types.push(serde_json::from_slice::<Json>(&line).unwrap()["entitytype"].clone());
    }
    assert_eq!(types, [json!("cart"), json!("cart")]);
}
