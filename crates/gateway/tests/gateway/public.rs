//! Declared streams: what leaves under public names, in three shapes.

use serde_json::{Value as Json, json};

use crate::shop::Shop;

async fn lines(shop: &Shop, path: &str) -> Vec<Json> {
    let mut stream = shop.stream(path, &[]).await;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(serde_json::from_slice(&line).unwrap());
    }
    lines
}

async fn sample() -> Shop {
    let shop = Shop::open().await;
    for (id, sku) in [("c1", "a"), ("c2", "secret"), ("c1", "b")] {
        shop.add(id, sku, 1).await;
    }
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    shop
}

#[tokio::test]
async fn events_leave_under_their_public_names_and_what_is_filtered_out_does_not() {
    let shop = sample().await;
    let own = lines(&shop, "/v1/streams/shop").await;
    let events = lines(&shop, "/v1/streams/carts").await;
    let expected = json!({
        "specversion": "1.0", "id": own[0]["id"], "source": "/shop", "type": "shop.carts.item-taken", "subject": "c1",
        "time": own[0]["time"], "datacontenttype": "application/json", "dataschema": "/v1/streams/carts/schemas/item-taken/3",
        "entitytype": "cart", "sequence": "1", "cursor": own[0]["cursor"], "correlationid": own[0]["correlationid"], "data": { "article": "a" },
    });
    assert_eq!(events[0], expected);
    let told: Vec<_> = events.iter().map(|event| (event["type"].as_str().unwrap(), event["data"].clone())).collect();
    let item = |article: &str| ("shop.carts.item-taken", json!({ "article": article }));
    assert_eq!(told, [item("a"), item("b"), ("shop.carts.paid", Json::Null)]);
    assert!(events[2].get("dataschema").is_none(), "a notification has no data: {}", events[2]);
}

#[tokio::test]
async fn readers_choose_types_keys_tags_and_a_place() {
    let shop = sample().await;
    let events = lines(&shop, "/v1/streams/carts").await;
    let after = events[0]["cursor"].as_str().unwrap();
    for (parameters, expected) in [
        ("type=paid", &events[2..]),
        ("type=item-taken", &events[..2]),
        ("type=paid&type=item-taken", &events[..]),
        ("key=cart/c2", &[]),
        ("key=cart/c1", &events[..]),
        ("tag=sku:b", &events[1..2]),
        (&format!("after={after}"), &events[1..]),
        ("after=now", &[]),
        ("limit=1", &events[..1]),
        ("version=3", &events[..]),
    ] {
        assert_eq!(lines(&shop, &format!("/v1/streams/carts?{parameters}")).await, expected, "{parameters}");
    }
}

#[tokio::test]
async fn readers_of_an_older_version_get_what_it_has_a_word_for() {
    let shop = sample().await;
    shop.add("c3", "glass", 1).await;
    let events = lines(&shop, "/v1/streams/carts?version=2").await;
    let told: Vec<_> = events.iter().map(|event| (event["dataschema"].clone(), event["data"].clone())).collect();
    let item = |sku: &str| (json!("/v1/streams/carts/schemas/item-taken/2"), json!({ "sku": sku }));
    assert_eq!(told, [item("a"), item("b"), (Json::Null, Json::Null)]);
    let present = lines(&shop, "/v1/streams/carts?version=3&type=item-taken").await;
    assert_eq!(present.last().unwrap()["data"], json!({ "article": "glass" }));
    // Where `dataschema` leads.
    for (version, field) in [(2, "sku"), (3, "article")] {
        let schema = shop.get(&format!("/v1/streams/carts/schemas/item-taken/{version}")).await.json;
        let shape = schema["$defs"].as_object().and_then(|shapes| shapes.values().next()).unwrap_or(&schema);
        assert_eq!(shape["required"], json!([field]), "{schema}");
    }
    for path in ["/v1/streams/carts?version=1", "/v1/streams/carts/schemas/item-taken/1"] {
        let refused = shop.get(path).await.json;
        assert_eq!((&refused["code"], &refused["versions"]), (&json!("HW0131"), &json!([2, 3])), "{refused}");
    }
    let listed = shop.get("/v1/streams").await.json;
    let carts = listed["items"].as_array().unwrap().iter().find(|stream| stream["stream"] == "carts").unwrap();
    assert_eq!((&carts["version"], &carts["versions"]), (&json!(3), &json!([2, 3])));
}

#[tokio::test]
async fn a_document_has_the_state_after_its_event() {
    let shop = sample().await;
    let all = lines(&shop, "/v1/streams/cart-documents").await;
    let states: Vec<_> = all.iter().map(|event| event["data"].clone()).collect();
    let cart = |cart: &str, items: Json, paid: bool| json!({ "cart": cart, "items": items, "paid": paid });
    let expected = [
        cart("c1", json!({ "a": 1 }), false),
        cart("c2", json!({ "secret": 1 }), false),
        cart("c1", json!({ "a": 1, "b": 1 }), false),
        cart("c1", json!({ "a": 1, "b": 1 }), true),
    ];
    assert_eq!(states, expected);
    // Events in front of the reader's place, and those that a filter stops, are in the state all the same.
    assert_eq!(lines(&shop, "/v1/streams/cart-documents?tag=sku:b").await, all[2..3]);
    let path = format!("/v1/streams/cart-documents?after={}", all[2]["cursor"].as_str().unwrap());
    assert_eq!(lines(&shop, &path).await, all[3..]);
}

#[tokio::test]
async fn documents_of_more_entities_than_a_reader_remembers_are_whole() {
    let shop = Shop::open().await;
    let carts = runtime::limits::FOLDS_MAX + 50;
    let batch = |sku: &str| {
        (0..carts)
            .map(|cart| format!("{{\"id\":\"c{cart}\",\"command\":\"add-item\",\"body\":{{\"sku\":\"{sku}\",\"quantity\":1}}}}\n"))
            .collect::<String>()
    };
    for sku in ["a", "b", "a"] {
        let answer = shop.ask("POST", "/v1/entities/cart:batch", &[("content-type", "application/x-ndjson")], &batch(sku)).await;
        assert_eq!(answer.status, 200);
    }
    let documents = lines(&shop, "/v1/streams/cart-documents").await;
    assert_eq!(documents.len(), 3 * carts);
    for (round, items) in [json!({ "a": 1 }), json!({ "a": 1, "b": 1 }), json!({ "a": 2, "b": 1 })].iter().enumerate() {
        for document in &documents[round * carts..(round + 1) * carts] {
            assert_eq!(document["data"]["items"], *items, "{}", document["subject"]);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_made_ends_the_stream_with_a_problem() {
    let shop = Shop::open().await;
    for sku in ["a", "panic", "b"] {
        shop.add("c1", sku, 1).await;
    }
    let events = lines(&shop, "/v1/streams/carts").await;
    let codes: Vec<_> = events.iter().map(|event| (event["data"]["article"].as_str(), event["code"].as_str())).collect();
    assert_eq!(codes, [(Some("a"), None), (None, Some("HW0051"))], "nothing is left out silently");
}

#[tokio::test]
async fn streams_are_listed_with_their_types() {
    let shop = Shop::open().await;
    let list = shop.get("/v1/streams").await.json;
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["stream"].clone()).collect();
    assert_eq!(names, ["shop", "carts", "cart-documents"]);
    assert_eq!((&list["items"][1]["version"], &list["items"][1]["summary"]), (&json!(3), &json!("What happens to carts.")));
    let types = &list["items"][1]["types"];
    assert_eq!(
        (&types[1]["type"], &types[1]["shape"], &types[1]["dataschema"]),
        (&json!("shop.carts.paid"), &json!("notification"), &Json::Null)
    );
    let schema = shop.get(types[0]["dataschema"].as_str().unwrap()).await.json;
    assert!(schema.to_string().contains("\"article\":{\"type\":\"string\"}"), "{schema}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_is() {
    let shop = Shop::open().await;
    for (path, code, words) in [
        ("/v1/streams/cart", "HW0130", "did you mean `carts`"),
        ("/v1/streams/carts?type=payed", "HW0004", "did you mean `paid`"),
        ("/v1/streams/carts?version=7", "HW0131", "there are: 2, 3"),
        ("/v1/streams/shop?version=2", "HW0004", "write `cart/item-added:1`"),
        ("/v1/streams/carts/schemas/item-taken/7", "HW0131", "there are: 2, 3"),
        ("/v1/streams/carts/schemas/paid/3", "HW0130", "item-taken"),
    ] {
        let response = shop.get(path).await;
        assert_eq!(response.code(), code, "{path}");
        let detail = response.json["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{path}: {detail}");
    }
}
