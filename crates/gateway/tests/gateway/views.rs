//! Views over HTTP: rows in each form, waiting for one's own write, live queries, refusals.

use serde_json::{Value as Json, json};

use crate::shop::Shop;

async fn filled() -> Shop {
    let shop = Shop::open().await;
    shop.add("c1", "mug", 2).await;
    shop.add("c2", "cup, blue", 3).await;
    shop
}

#[tokio::test]
async fn rows_come_as_json_lines_and_csv() {
    let shop = filled().await;
    let seen = shop.head().await.to_string();
    let path = format!("/v1/views/popular/top?seen={seen}");
    let answer = shop.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let items = json!([{ "sku": "cup, blue", "sold": 3 }, { "sku": "mug", "sold": 2 }]);
    assert_eq!(answer.json, json!({ "items": items, "next": null, "cursor": seen }));
    assert_eq!((answer.header("headwater-cursor"), answer.header("cache-control")), (Some(seen.as_str()), Some("no-cache")));
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(shop.ask("GET", &path, &[("if-none-match", tag)], "").await.status, 304);

    let lines = shop.text(&path, "application/x-ndjson").await;
    assert_eq!(lines, "{\"sku\":\"cup, blue\",\"sold\":3}\n{\"sku\":\"mug\",\"sold\":2}\n");
    assert_eq!(shop.text(&path, "text/csv").await, "sku,sold\r\n\"cup, blue\",3\r\nmug,2\r\n");
}

#[tokio::test]
async fn parameters_come_as_texts_or_as_json() {
    let shop = filled().await;
    let seen = shop.head().await;
    let got = shop.get(&format!("/v1/views/popular/at-least?count=3&seen={seen}")).await;
    let posted = shop.post("/v1/views/popular/at-least", &[], r#"{"count":3}"#).await;
    assert_eq!((got.status, &got.json), (200, &posted.json));
    assert_eq!(got.json["items"].as_array().unwrap().len(), 1);
    for (path, code, part) in [
        ("/v1/views/popular/at-least?count=many", "HW0004", "count"),
        ("/v1/views/popular/at-least", "HW0004", "count"),
        ("/v1/views/popular/at-least?count=1&sku=mug", "HW0004", "sku"),
        ("/v1/views/popular/at-least?count=1&count=2", "HW0004", "count"),
        ("/v1/views/popular/top?seen=elsewhere", "HW0006", "seen"),
        ("/v1/views/popular/top?stale=yes", "HW0004", "stale"),
        ("/v1/views/populer/top", "HW0017", "did you mean `popular`?"),
        ("/v1/views/populer", "HW0017", "did you mean `popular`?"),
        ("/v1/views/popular/tops", "HW0018", "did you mean `top`?"),
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.code(), code, "{path}: {}", answer.json);
        assert!(answer.json["detail"].as_str().unwrap().contains(part), "{path}: {}", answer.json);
    }
    let refused = shop.post("/v1/views/popular/at-least", &[], r#"{"count":"x"}"#).await;
    assert_eq!((refused.code(), &refused.json["errors"][0]["pointer"]), ("HW0002", &json!("/count")));
    assert_eq!(shop.ask("GET", "/v1/views/popular/top", &[("accept", "image/png")], "").await.code(), "HW0034");
}

#[tokio::test]
async fn one_sees_what_one_wrote() {
    let shop = Shop::open().await;
    for quantity in 1..=20 {
        let answer = shop.add("c1", "mug", 1).await;
        let seen = answer.json["cursor"].as_str().unwrap();
        let rows = shop.get(&format!("/v1/views/popular/top?seen={seen}")).await;
        assert_eq!(rows.json["items"], json!([{ "sku": "mug", "sold": quantity }]));
    }
}

#[tokio::test]
async fn views_tell_how_they_are_and_are_made_anew() {
    let shop = filled().await;
    shop.get(&format!("/v1/views/popular/top?seen={}", shop.head().await)).await;
    let list = shop.get("/v1/views").await.json;
    let view = shop.get("/v1/views/popular").await.json;
    assert_eq!(list["items"], json!([view]));
    assert_eq!((&view["state"], &view["behind"], &view["queries"]), (&json!("live"), &json!(0), &json!(["top", "at-least"])));
    let begun = shop.post("/v1/admin/views/popular/rebuild", &[], "").await;
    assert_eq!((begun.status, begun.header("location")), (202, Some("/v1/views/popular")));
    assert_eq!(begun.json, json!({ "view": "popular", "begun": true }));
    while !shop.get("/v1/views/popular").await.json["rebuild"].is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(shop.get("/v1/views/popular/top").await.json["items"].as_array().unwrap().len(), 2);
    let foreign = shop.post("/v1/admin/views/popular/rebuild", &[("origin", "https://elsewhere.example")], "").await;
    assert_eq!(foreign.code(), "HW0003");
}

/// A live query, event by event.
struct Live(gateway::client::LineStream);

impl Live {
    async fn open(shop: &Shop, after: Option<&str>) -> Self {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(after.map(|after| ("last-event-id", after)));
        Self(shop.stream("/v1/views/popular/top", &headers).await)
    }

    /// The next event's id, name and data.
    async fn next(&mut self) -> (Option<String>, String, Json) {
        let (mut id, mut name) = (None, String::new());
        loop {
            let line = self.0.next().await.unwrap().expect("the stream goes on");
            let line = std::str::from_utf8(&line).unwrap();
            match line.split_once(": ") {
                Some(("id", text)) => id = Some(text.to_owned()),
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("data", text)) => return (id, name, serde_json::from_str(text).unwrap()),
                _ => {}
            }
        }
    }

    async fn expect(&mut self, name: &str) -> (Option<String>, Json) {
        let (id, found, data) = self.next().await;
        assert_eq!(found, name, "{data}");
        (id, data)
    }
}

#[tokio::test]
async fn a_live_query_tells_what_changes_and_goes_on_where_a_reader_was() {
    let shop = filled().await;
    shop.get(&format!("/v1/views/popular/top?seen={}", shop.head().await)).await;
    let mut live = Live::open(&shop, None).await;
    let (_, snapshot) = live.expect("snapshot").await;
    assert_eq!(snapshot["items"].as_array().unwrap().len(), 2);
    assert_eq!(snapshot["keys"], json!([{ "sku": "cup, blue" }, { "sku": "mug" }]));
    live.expect("caught-up").await;

    shop.add("c3", "mug", 5).await;
    let (id, row) = live.expect("row").await;
    assert_eq!(row, json!({ "at": 0, "key": { "sku": "mug" }, "row": { "sku": "mug", "sold": 7 } }));
    shop.add("c3", "jar", 1).await;
    let (_, row) = live.expect("row").await;
    assert_eq!(row, json!({ "at": 2, "key": { "sku": "jar" }, "row": { "sku": "jar", "sold": 1 } }));

    let mut back = Live::open(&shop, id.as_deref()).await;
    assert_eq!(back.expect("row").await.1, row, "only what followed");
    back.expect("caught-up").await;

    shop.post("/v1/admin/views/popular/rebuild", &[], "").await;
    for reader in [&mut live, &mut back] {
        assert_eq!(reader.expect("reset").await.1["items"].as_array().unwrap().len(), 3);
    }
    shop.add("c3", "jar", 1).await;
    assert_eq!(live.expect("row").await.1["row"], json!({ "sku": "jar", "sold": 2 }));
}

#[tokio::test]
async fn queries_are_described() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json;
    let path = &document["paths"]["/v1/views/popular/at-least"];
    assert_eq!(path["get"]["parameters"][0]["name"], "count");
    assert_eq!(path["post"]["operationId"], "view.popular.at-least.post");
    assert!(document["components"]["schemas"]["view.popular.at-least.row"].is_object());
    assert!(document["paths"]["/v1/admin/views/{view}/rebuild"].is_object());
}

#[tokio::test]
async fn a_view_that_has_stopped_says_so_and_everything_else_goes_on() {
    let shop = filled().await;
    shop.add("c3", "mug", 1_000_000).await;
    let path = format!("/v1/views/popular/top?seen={}", shop.head().await);
    let refused = shop.get(&path).await;
    assert_eq!((refused.status, refused.code()), (503, "HW0039"), "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains("CHECK constraint failed: sold < 1000000"), "{}", refused.json);
    assert_eq!(refused.json["statement"], "on cart/item-added");
    let events = shop.get("/v1/entities/cart/c3/events").await;
    assert_eq!(events.json["items"][0]["id"], refused.json["event"]);
    let live = shop.ask("GET", "/v1/views/popular/top", &[("accept", "text/event-stream")], "").await;
    assert_eq!(live.code(), "HW0039");

    assert_eq!(shop.get("/v1/views/popular/top?stale=ok").await.json["items"].as_array().unwrap().len(), 2);
    let view = shop.get("/v1/views/popular").await.json;
    assert_eq!((&view["state"], &view["behind"]), (&json!("stopped"), &json!(1)));
    assert!(view["cause"].as_str().unwrap().contains("c3"), "{view}");
    while shop.get("/v1/views/popular").await.json["stalled"]["cause"] != view["cause"] {
        tokio::task::yield_now().await;
    }
    shop.add("c4", "jar", 1).await;
    assert_eq!(shop.get("/readyz").await.status, 200);
    assert_eq!(shop.get("/readyz?verbose=true").await.json["detail"]["views"], json!({ "popular": "stopped" }));
}
