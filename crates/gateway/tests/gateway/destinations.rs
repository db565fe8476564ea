//! Whom actions call, over HTTP; and callers who wait only so long.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::shop::Shop;

const DESTINATIONS: &str = "/v1/admin/destinations";

/// The destination, once it is as the test wants it.
async fn destination(shop: &Shop, name: &str, is_so: impl Fn(&Json) -> bool) -> Json {
    loop {
        let list = shop.get(DESTINATIONS).await;
        assert_eq!(list.status, 200);
        let found = list.json["items"].as_array().unwrap().iter().find(|item| item["destination"] == name);
        if let Some(found) = found.filter(|found| is_so(found)) {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_destination_with_a_name_is_listed_before_it_is_called() {
    let shop = Shop::open().await;
    let named = destination(&shop, "https://named.example", |_| true).await;
    assert_eq!((&named["state"], &named["calls"], &named["next_try"]), (&json!("closed"), &json!(0), &Json::Null));
    assert_eq!(shop.get("/v1/admin/destinations?x=1").await.code(), "HW0004");
}

#[tokio::test]
async fn an_action_calls_and_its_call_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shop = Shop::that_calls(address.clone()).await;
    shop.post("/v1/entities/cart/c1/pay", &[("correlation-id", "order-7")], "{}").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let (mut read, mut buffer) = (String::new(), [0; 4_096]);
    while !read.ends_with("\"c1\"") {
        let count = stream.read(&mut buffer).await.unwrap();
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(read.starts_with("POST /bell HTTP/1.1\r\n") && read.contains("correlation-id: order-7\r\n"), "{read}");
    let timeout = read.lines().find_map(|line| line.strip_prefix("headwater-timeout-ms: ")).unwrap();
    assert_eq!(timeout, "10000");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    let seen = destination(&shop, &address, |seen| seen["calls"] == 1).await;
    assert_eq!((&seen["failures"], &seen["in_flight"], &seen["state"]), (&json!(0), &json!(0), &json!("closed")));
}

#[tokio::test]
async fn a_destination_where_nobody_is_opens_its_breaker() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    let shop = Shop::that_calls(address.clone()).await;
    for cart in 0..8 {
        shop.post(&format!("/v1/entities/cart/c{cart}/pay"), &[], "{}").await;
    }
    let open = destination(&shop, &address, |seen| seen["state"] == "open").await;
    assert!(open["cause"].as_str().unwrap().contains("cannot be reached"), "{open}");
    assert!(open["since"].is_string() && open["next_try"].is_string(), "{open}");
    let held = shop.get("/v1/admin/consumers/ring/held").await;
    assert!(held.json["items"].as_array().unwrap().iter().all(|held| held["state"] == "held"), "{}", held.json);
}

#[tokio::test]
async fn a_dry_run_calls_nobody_and_says_whom_it_would_call() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    let shop = Shop::that_calls(address.clone()).await;
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    let calls = |seen: &Json| seen["calls"].as_u64().unwrap() + seen["not_tried"].as_u64().unwrap();
    destination(&shop, &address, |seen| seen["failures"].as_u64() >= Some(1)).await;
    let asked = json!({ "type": "cart", "id": "c1" }).to_string();
    let run = loop {
        let run = shop.post("/v1/admin/consumers/ring/dry-run", &[], &asked).await;
        if run.status == 200 {
            break run.json;
        }
    };
    assert_eq!(run["sends"], json!([{ "to": format!("POST {address}/bell"), "body": "c1" }]));
    assert_eq!(run["outcome"], "done");
    assert!(calls(&destination(&shop, &address, |_| true).await) < 20);
}

#[tokio::test]
async fn who_waits_only_so_long_is_told_so() {
    let shop = Shop::open().await;
    let pay = "/v1/entities/cart/c1/pay";
    let late = shop.post(pay, &[("headwater-timeout-ms", "0")], "{}").await;
    assert_eq!((late.status, late.code()), (504, "HW0053"));
    assert_eq!(shop.get("/v1/entities/cart/c1").await.status, 404, "nothing happened");
    let late = shop.post("/v1/operations/share", &[("headwater-timeout-ms", "0")], "{}").await;
    assert_eq!(late.code(), "HW0053");
    for bad in ["soon", "-1", "1.5", ""] {
        assert_eq!(shop.post(pay, &[("headwater-timeout-ms", bad)], "{}").await.code(), "HW0003", "{bad}");
    }
    assert_eq!(shop.post(pay, &[("headwater-timeout-ms", "60000")], "{}").await.status, 200);
    assert_eq!(shop.post(pay, &[("headwater-timeout", "60000")], "{}").await.code(), "HW0003", "another name of ours is refused");
}
