//! States, histories, ids and health.

use serde_json::{Value as Json, json};

use crate::shop::Shop;

#[tokio::test]
async fn a_state_has_version_and_time() {
    let shop = Shop::open().await;
    shop.add("c1", "a", 2).await;
    let answer = shop.get("/v1/entities/cart/c1").await;
    assert_eq!(answer.status, 200);
    assert_eq!((&answer.json["type"], &answer.json["id"], &answer.json["sequence"]), (&json!("cart"), &json!("c1"), &json!(1)));
    assert_eq!(answer.json["state"]["items"], json!({ "a": 2 }));
    assert_eq!((answer.header("etag"), answer.header("cache-control")), (Some("\"1\""), Some("no-cache")));
    assert_eq!(shop.get("/v1/entities/cart/c1?stale=ok").await.json, answer.json);
}

#[tokio::test]
async fn a_state_that_is_known_is_not_sent_again() {
    let shop = Shop::open().await;
    shop.add("c1", "a", 1).await;
    for (tag, status) in [("\"1\"", 304), ("W/\"1\"", 304), ("\"7\", \"1\"", 304), ("*", 304), ("\"2\"", 200)] {
        let answer = shop.ask("GET", "/v1/entities/cart/c1", &[("if-none-match", tag)], "").await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some("\"1\"")), "{tag}");
        assert_eq!(answer.json.is_null(), status == 304, "{tag}");
    }
}

#[tokio::test]
async fn states_of_the_past_are_there() {
    let shop = Shop::open().await;
    shop.add("c1", "a", 1).await;
    shop.add("c1", "b", 1).await;
    let first = shop.get("/v1/entities/cart/c1?sequence=1").await;
    assert_eq!((first.status, &first.json["state"]["items"]), (200, &json!({ "a": 1 })));
    let at = first.json["time"].as_str().unwrap();
    let then = shop.get(&format!("/v1/entities/cart/c1?at={at}")).await;
    assert_eq!(then.json["sequence"], 1, "{}", then.json);
    let now = shop.get("/v1/entities/cart/c1?at=2999-01-01T00:00:00%2B01:00").await;
    assert_eq!(now.json["sequence"], 2);
}

/// All items over all pages, and how many pages there were.
async fn pages(shop: &Shop, first: &str) -> (Vec<Json>, usize) {
    let (mut items, mut count, mut next) = (Vec::new(), 0, Some(first.to_owned()));
    while let Some(path) = next {
        let answer = shop.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        items.extend(answer.json["items"].as_array().unwrap().iter().cloned());
        next = answer.json["next"].as_str().map(str::to_owned);
        assert_eq!(answer.header("link").map(str::to_owned), next.as_ref().map(|next| format!("<{next}>; rel=\"next\"")));
        assert_eq!(answer.header("headwater-cursor"), answer.json["cursor"].as_str());
        count += 1;
    }
    (items, count)
}

#[tokio::test]
async fn a_history_comes_in_pages() {
    let shop = Shop::open().await;
    for sku in ["a", "b", "c", "d", "e"] {
        shop.add("x%2Fy", sku, 1).await;
    }
    let (items, count) = pages(&shop, "/v1/entities/cart/x%2Fy/events?limit=2").await;
    assert_eq!((items.len(), count), (5, 3));
    for (index, event) in items.iter().enumerate() {
        assert_eq!(event["sequence"], json!((index + 1).to_string()));
    }
    assert_eq!(
        (&items[0]["type"], &items[0]["subject"], &items[0]["source"]),
        (&json!("shop.cart.item-added"), &json!("x/y"), &json!("/shop"))
    );
    assert_eq!((&items[0]["command"], &items[0]["tags"]), (&json!("add-item"), &json!(["sku:a"])));
    assert_eq!(items[0]["data"], json!({ "sku": "a", "quantity": 1 }));
    let (whole, count) = pages(&shop, "/v1/entities/cart/x%2Fy/events").await;
    assert_eq!((whole, count), (items, 1));
    let (rest, _) = pages(&shop, "/v1/entities/cart/x%2Fy/events?after=5").await;
    assert!(rest.is_empty(), "a reader that is up to date gets an empty page");
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_too() {
    let shop = Shop::open().await;
    let long = "x".repeat(900_000);
    for _ in 0..12 {
        shop.add("c1", &long, 1).await;
    }
    let (items, count) = pages(&shop, "/v1/entities/cart/c1/events").await;
    assert_eq!((items.len(), count), (12, 3), "five of these pass 4 MiB");
}

#[tokio::test]
async fn ids_come_in_pages_and_in_order() {
    let shop = Shop::open().await;
    for id in ["c2", "c%2F1", "c3", "a"] {
        shop.add(id, "x", 1).await;
    }
    let (items, count) = pages(&shop, "/v1/entities/cart?limit=3").await;
    assert_eq!((items, count), (vec![json!("a"), json!("c/1"), json!("c2"), json!("c3")], 2));
    let (rest, _) = pages(&shop, "/v1/entities/cart?after=c%2F1").await;
    assert_eq!(rest, [json!("c2"), json!("c3")]);
}

#[tokio::test]
async fn heads_are_answered_without_a_body() {
    let shop = Shop::open().await;
    shop.add("c1", "a", 1).await;
    for path in ["/v1/entities/cart/c1", "/livez", "/v1/streams/shop", "/v1/streams/shop?live=true"] {
        let answer = shop.ask("HEAD", path, &[], "").await;
        assert_eq!((answer.status, answer.json), (200, Json::Null), "{path}");
    }
}

#[tokio::test]
async fn health_is_told() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/livez").await.json, json!({ "status": "alive" }));
    assert_eq!(shop.get("/readyz").await.json, json!({ "status": "ready" }));
    let verbose = shop.get("/readyz?verbose").await;
    assert_eq!((&verbose.json["detail"]["service"], &verbose.json["detail"]["accepting"]), (&json!("shop"), &json!(true)));
}
