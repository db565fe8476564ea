//! Timers over HTTP: set, shown, listed, moved, cancelled, and every refusal.

use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop};

const FAR: &str = "2126-01-01T00:00:00.000000Z";

async fn put(shop: &Shop, name: &str, headers: &[(&str, &str)], body: &Json) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    shop.ask("PUT", &format!("/v1/timers/{name}"), &headers, &body.to_string()).await
}

fn wish(due: &str, cart: &str, command: &str) -> Json {
    json!({ "due": due, "send": { "type": "cart", "id": cart, "command": command } })
}

/// The timer once it is in this state.
async fn settled(shop: &Shop, name: &str, state: &str) -> Json {
    loop {
        let timer = shop.get(&format!("/v1/timers/{name}")).await.json;
        if timer["state"] == state {
            return timer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_timer_sends_its_command_and_says_how_that_ended() {
    let shop = Shop::open().await;
    let mut due = wish("2020-01-01T00:00:00Z", "c1", "add-item");
    due["send"]["body"] = json!({ "sku": "mug", "quantity": 2 });
    let set = put(&shop, "fill", &[("idempotency-key", "k1")], &due).await;
    assert_eq!((set.status, &set.json["set"]), (200, &json!(true)), "{:?}", set.json);
    assert_eq!(set.header("idempotency-key"), Some("k1"));
    let timer = settled(&shop, "fill", "fired").await;
    assert_eq!(timer["last"], json!({ "due": "2020-01-01T00:00:00.000000Z", "outcome": "accepted", "rejection": null }));
    assert_eq!(timer["send"]["body"], json!({ "sku": "mug", "quantity": 2 }));
    assert_eq!(shop.get("/v1/entities/cart/c1").await.json["state"]["items"]["mug"], 2);
    put(&shop, "fill", &[("idempotency-key", "k1")], &due).await;
    put(&shop, "pay", &[], &json!({ "after_ms": 0, "send": { "type": "cart", "id": "c1", "command": "pay" } })).await;
    settled(&shop, "pay", "fired").await;
    assert_eq!(shop.get("/v1/entities/cart/c1").await.json["sequence"], 2, "the same wish again sends nothing");
    put(&shop, "late", &[], &due).await;
    assert_eq!(settled(&shop, "late", "fired").await["last"]["rejection"], "already-paid");
}

#[tokio::test]
async fn a_timer_is_listed_moved_and_cancelled() {
    let shop = Shop::open().await;
    for (name, cart) in [("b/1", "c1"), ("a/2", "c2"), ("a/1", "c1")] {
        let answer = put(&shop, &name.replace('/', "%2F"), &[], &wish(FAR, cart, "pay")).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json);
    }
    let names = |answer: &Answer| answer.json["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    let page = shop.get("/v1/timers?limit=2").await;
    assert_eq!(names(&page), ["a/1", "a/2"]);
    assert_eq!(names(&shop.get(page.json["next"].as_str().unwrap()).await), ["b/1"]);
    assert_eq!(names(&shop.get("/v1/timers?prefix=a%2F&id=c1").await), ["a/1"]);
    assert!(names(&shop.get("/v1/timers?until=2100-01-01T00:00:00Z").await).is_empty());
    let moved = shop.post("/v1/timers/a%2F1/reschedule", &[], r#"{"due":"2099-01-01T00:00:00Z"}"#).await;
    assert_eq!((&moved.json["rescheduled"], &moved.json["timer"]["due"]), (&json!(true), &json!("2099-01-01T00:00:00.000000Z")));
    assert_eq!(names(&shop.get("/v1/timers?until=2100-01-01T00:00:00Z").await), ["a/1"]);
    let status = shop.get("/v1/admin/timers").await.json;
    assert_eq!(status, json!({ "pending": 3, "parked": 0, "firing": 0, "resting": 0, "trouble": null }));
    for expected in [true, false] {
        let cancelled = shop.ask("DELETE", "/v1/timers/a%2F1", &[], "").await;
        assert_eq!((&cancelled.json["cancelled"], &cancelled.json["timer"]["state"]), (&json!(expected), &json!("cancelled")));
    }
    assert_eq!(names(&shop.get("/v1/timers").await), ["a/2", "b/1"]);
    let late = shop.post("/v1/timers/a%2F1/reschedule", &[], r#"{"after_ms":1}"#).await;
    assert_eq!((late.status, &late.json["title"], &late.json["state"]), (409, &json!("timer-not-waiting"), &json!("cancelled")));
}

#[tokio::test]
async fn a_schedule_is_set_shown_and_set_again() {
    let shop = Shop::open().await;
    let nightly = json!({ "cron": "30 2 * * *", "zone": "Europe/Berlin", "send": { "type": "cart", "id": "c1", "command": "look" } });
    for expected in [true, false] {
        let answer = put(&shop, "nightly", &[], &nightly).await;
        assert_eq!((answer.status, &answer.json["set"]), (200, &json!(expected)), "{:?}", answer.json);
    }
    let timer = shop.get("/v1/timers/nightly").await.json;
    assert_eq!((&timer["cron"], &timer["zone"], &timer["state"]), (&json!("30 2 * * *"), &json!("Europe/Berlin"), &json!("pending")));
    let often = shop.post("/v1/timers/nightly/reschedule", &[], r#"{"every_ms":60000}"#).await.json;
    assert_eq!((&often["timer"]["every_ms"], often["timer"].get("cron")), (&json!(60_000), None));
}

#[tokio::test]
async fn a_wish_that_does_not_fit_is_refused_with_its_place() {
    let shop = Shop::open().await;
    let with_body = |body: Json| json!({ "due": FAR, "send": { "type": "cart", "id": "c1", "command": "add-item", "body": body } });
    for (body, status, title, place) in [
        (json!({ "due": FAR }), 400, "invalid-field", "/send"),
        (json!({ "send": { "type": "cart", "id": "c1", "command": "pay" } }), 400, "invalid-field", "/due"),
        (wish("tomorrow", "c1", "pay"), 400, "invalid-field", "/due"),
        (json!({ "due": FAR, "after_ms": 1, "send": { "type": "cart", "id": "c1", "command": "pay" } }), 400, "invalid-field", "/due"),
        (json!({ "cron": "0 9 * *", "send": { "type": "cart", "id": "c1", "command": "pay" } }), 400, "invalid-field", "0 9 * *"),
        (
            json!({ "cron": "0 9 * * *", "zone": "Mars", "send": { "type": "cart", "id": "c1", "command": "pay" } }),
            400,
            "invalid-field",
            "Mars",
        ),
        (json!({ "every_ms": 10, "send": { "type": "cart", "id": "c1", "command": "pay" } }), 400, "invalid-field", "at least 1"),
        (wish(FAR, "", "pay"), 400, "invalid-field", "/send/id"),
        (wish(FAR, "c1", "sing"), 404, "unknown-command", "/send/command: there is no such command; there are: "),
        (json!({ "due": FAR, "send": { "type": "gong", "id": "c1", "command": "pay" } }), 404, "unknown-entity-type", ""),
        (with_body(json!({ "sku": "mug", "quantity": "two" })), 400, "invalid-field", "/send/body/quantity"),
        (json!({ "due": FAR, "sned": {} }), 400, "invalid-field", ""),
    ] {
        let answer = put(&shop, "t", &[], &body).await;
        assert_eq!((answer.status, &answer.json["title"]), (status, &json!(title)), "{body}: {:?}", answer.json);
        assert!(answer.json["detail"].as_str().unwrap().contains(place), "{body}: {:?}", answer.json);
    }
    let body = wish(FAR, "c1", "pay");
    put(&shop, "t", &[("idempotency-key", "k")], &body).await;
    let other = put(&shop, "t", &[("idempotency-key", "k")], &wish(FAR, "c2", "pay")).await;
    assert_eq!((other.status, &other.json["title"]), (422, &json!("idempotency-key-reused")));
    for (method, path) in [("GET", "/v1/timers/none"), ("DELETE", "/v1/timers/none"), ("POST", "/v1/timers/none/redrive")] {
        assert_eq!(shop.ask(method, path, &[], "").await.json["title"], "timer-not-found", "{method}");
    }
    assert_eq!(shop.ask("POST", "/v1/timers/t/redrive", &[], "").await.json["title"], "timer-not-waiting");
    assert_eq!(shop.get("/v1/timers?state=fired").await.json["title"], "invalid-parameter");
    assert_eq!(shop.ask("POST", "/v1/timers/t", &[], "").await.status, 405);
}
