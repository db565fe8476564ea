//! Consumers over HTTP: how they are, what they have parked, and what people decide about it.

use serde_json::{Value as Json, json};

use crate::shop::Shop;

const SAMPLE: &str = "/v1/admin/consumers/sample";

impl Shop {
    /// The consumer, once it is so.
    async fn consumer(&self, is_so: impl Fn(&Json) -> bool) -> Json {
        loop {
            let answer = self.get(SAMPLE).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            if is_so(&answer.json) {
                return answer.json;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn held(&self) -> Vec<Json> {
        let page = self.get(&format!("{SAMPLE}/held")).await;
        assert_eq!((page.status, &page.json["next"]), (200, &Json::Null), "{}", page.json);
        page.json["items"].as_array().unwrap().clone()
    }

    async fn decide(&self, act: &str, body: &Json) -> crate::shop::Answer {
        self.post(&format!("{SAMPLE}/{act}"), &[], &body.to_string()).await
    }
}

/// A shop with two carts that are parked, each with a payment behind its poison.
async fn parked() -> Shop {
    let shop = Shop::with_samples().await;
    for cart in ["c1", "c2"] {
        shop.add(cart, &format!("poison-{cart}"), 1).await;
        shop.post(&format!("/v1/entities/cart/{cart}/pay"), &[], "{}").await;
    }
    shop.consumer(|consumer| consumer["parked"] == 2).await;
    shop
}

async fn samples(shop: &Shop) -> Json {
    shop.get("/v1/entities/cart/samples").await.json["state"]["items"].clone()
}

#[tokio::test]
async fn a_consumer_tells_how_it_is() {
    let shop = Shop::with_samples().await;
    shop.add("c1", "a", 1).await;
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    // The sample is an event of a cart, too.
    while samples(&shop).await != json!({ "c1": 1 }) {}
    let idle = shop.consumer(|consumer| consumer["behind"] == 0 && consumer["state"] == "working").await;
    assert_eq!((&idle["state"], &idle["held"], &idle["parked"], &idle["under_way"]), (&json!("working"), &json!(0), &json!(0), &json!(0)));
    let nothing = json!({ "behind": 0, "oldest_undelivered_at": null, "oldest_held_at": null, "stalled": null });
    assert_eq!(sight(&idle), nothing);
    let list = shop.get("/v1/admin/consumers").await;
    let names: Vec<&Json> = list.json["items"].as_array().expect("a list").iter().map(|consumer| &consumer["consumer"]).collect();
    assert!(list.status == 200 && names.contains(&&json!("sample")), "{names:?}");
}

fn sight(consumer: &Json) -> Json {
    let names = ["behind", "oldest_undelivered_at", "oldest_held_at", "stalled"];
    names.into_iter().map(|name| (name.to_owned(), consumer[name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn parked_keys_have_the_age_of_their_oldest_event_and_are_no_stall() {
    let shop = parked().await;
    let consumer = shop.consumer(|consumer| consumer["behind"] == 0).await;
    let recorded = shop.get("/v1/entities/cart/c1/events").await.json["items"][0]["time"].clone();
    assert!(recorded.is_string(), "{recorded}");
    assert_eq!(sight(&consumer), json!({ "behind": 0, "oldest_undelivered_at": null, "oldest_held_at": recorded, "stalled": null }));
}

#[tokio::test]
async fn parked_keys_are_listed_with_their_cause_and_grouped_by_it() {
    let shop = parked().await;
    let held = shop.held().await;
    let first = &held[0];
    assert_eq!(
        (&first["type"], &first["id"], &first["state"], &first["sequence"]),
        (&json!("cart"), &json!("c1"), &json!("parked"), &json!(1))
    );
    assert_eq!((&first["cause"], &first["group"]), (&json!("poison-c1 17 is poison"), &json!("poison-# # is poison")));
    assert_eq!((&first["event_type"], &first["attempts"], &first["due"]), (&json!("cart/item-added"), &json!(1), &Json::Null));
    let groups = shop.get(&format!("{SAMPLE}/held?group=cause")).await;
    assert_eq!(groups.json["items"][0]["cause"], "poison-# # is poison");
    assert_eq!((&groups.json["items"][0]["parked"], groups.json["items"].as_array().unwrap().len()), (&json!(2), 1));
    let page = shop.get(&format!("{SAMPLE}/held?limit=1&state=parked")).await;
    assert_eq!(page.json["items"][0]["id"], "c1");
    let next = shop.get(page.json["next"].as_str().unwrap()).await;
    assert_eq!((&next.json["items"][0]["id"], &next.json["next"]), (&json!("c2"), &Json::Null));
    assert_eq!(shop.get(&format!("{SAMPLE}/held?state=held")).await.json["items"], json!([]));
}

#[tokio::test]
async fn a_discarded_event_lets_its_key_go_on() {
    let shop = parked().await;
    let event = shop.held().await[0]["event"].clone();
    let done = shop.decide("discard", &json!({ "type": "cart", "id": "c1", "event": event, "reason": "it was a test" })).await;
    assert_eq!((done.status, &done.json), (200, &json!({ "keys": 1 })));
    shop.consumer(|consumer| consumer["parked"] == 1 && consumer["held"] == 0).await;
    assert_eq!(samples(&shop).await, json!({ "c1": 1 }));
    let again = shop.decide("discard", &json!({ "type": "cart", "id": "c1", "event": event, "reason": "twice" })).await;
    assert_eq!((again.status, again.code()), (404, "HW0080"));
    let stale = shop.decide("discard", &json!({ "type": "cart", "id": "c2", "event": event, "reason": "another" })).await;
    assert_eq!((stale.status, stale.code()), (409, "HW0081"));
    assert_eq!(stale.json["event"], shop.held().await[0]["event"]);
}

#[tokio::test]
async fn an_edited_event_runs_with_its_new_payload() {
    let shop = parked().await;
    let event = shop.held().await[0]["event"].clone();
    let mended = json!({ "sku": "mended", "quantity": 1 });
    let dry = shop.decide("dry-run", &json!({ "type": "cart", "id": "c1" })).await;
    assert_eq!((&dry.json["outcome"], &dry.json["sends"]), (&json!("park"), &json!([])));
    let dry = shop.decide("dry-run", &json!({ "type": "cart", "id": "c1", "payload": mended })).await;
    assert_eq!((&dry.json["outcome"], &dry.json["cause"]), (&json!("done"), &Json::Null));
    assert_eq!(samples(&shop).await, Json::Null, "nothing took effect");
    let done = shop.decide("edit", &json!({ "type": "cart", "id": "c1", "event": event, "payload": mended })).await;
    assert_eq!(done.status, 200, "{}", done.json);
    shop.consumer(|consumer| consumer["parked"] == 1 && consumer["held"] == 0).await;
    assert_eq!(samples(&shop).await, json!({ "c1": 1 }));
    let history = shop.get("/v1/entities/cart/c1/events").await;
    assert_eq!(history.json["items"][0]["data"]["sku"], "poison-c1", "the event stays as it was");
}

#[tokio::test]
async fn a_dry_run_that_panics_or_hangs_says_so() {
    let shop = parked().await;
    for (sku, words) in [("panic", "panicked: on purpose"), ("hang", "no answer within 2 seconds")] {
        let body = json!({ "type": "cart", "id": "c1", "payload": { "sku": sku, "quantity": 1 } });
        let dry = shop.decide("dry-run", &body).await;
        let cause = dry.json["cause"].as_str().unwrap_or_default();
        assert!(dry.status == 200 && dry.json["outcome"] == "retry" && cause.contains(words), "{sku}: {}", dry.json);
    }
}

#[tokio::test]
async fn keys_run_again_one_by_cause_or_all() {
    let shop = parked().await;
    for (body, keys) in [
        (json!({ "type": "cart", "id": "c1" }), 1),
        (json!({ "cause": "poison-# # is poison", "per_second": 1000 }), 2),
        (json!({ "cause": "another" }), 0),
        (json!({}), 2),
    ] {
        let done = shop.decide("redrive", &body).await;
        assert_eq!((done.status, &done.json["keys"]), (200, &json!(keys)), "{body} {}", done.json);
        shop.consumer(|consumer| consumer["parked"] == 2).await;
    }
}

#[tokio::test]
async fn a_consumer_is_placed_again_and_its_effects_do_not_double() {
    let shop = Shop::with_samples().await;
    for cart in ["c1", "c2"] {
        shop.post(&format!("/v1/entities/cart/{cart}/pay"), &[], "{}").await;
    }
    while samples(&shop).await != json!({ "c1": 1, "c2": 1 }) {}
    let head = shop.head().await.to_string();
    for at in ["first", "2020-01-01T00:00:00Z"] {
        let done = shop.decide("place", &json!({ "at": at, "reason": "once more" })).await;
        assert_eq!(done.status, 200, "{}", done.json);
        shop.consumer(|consumer| consumer["cursor"].as_str() > Some(head.as_str())).await;
    }
    assert_eq!(samples(&shop).await, json!({ "c1": 1, "c2": 1 }));
}

#[tokio::test]
async fn decisions_that_say_too_little_or_too_much_are_refused() {
    let shop = parked().await;
    for (act, body, status, code) in [
        ("redrive", json!({ "type": "cart" }), 400, "HW0002"),
        ("redrive", json!({ "per_second": 0 }), 400, "HW0002"),
        ("redrive", json!({ "fast": true }), 400, "HW0002"),
        ("redrive", json!({ "type": "cart", "id": "none" }), 404, "HW0080"),
        ("discard", json!({ "type": "cart", "id": "c1", "event": "e" }), 400, "HW0002"),
        ("discard", json!({ "type": "Cart", "id": "c1", "event": "e", "reason": "r" }), 400, "HW0002"),
        ("edit", json!({ "type": "cart", "id": "c1", "event": "e" }), 400, "HW0002"),
        ("place", json!({}), 400, "HW0002"),
        ("place", json!({ "at": "somewhere" }), 400, "HW0002"),
        ("fly", json!({}), 404, "HW0010"),
    ] {
        let answer = shop.decide(act, &body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{act} {body}: {}", answer.json);
    }
    for path in ["/v1/admin/consumers/nobody", "/v1/admin/consumers/nobody/held"] {
        let answer = shop.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "HW0019"), "{path}");
    }
    for query in ["state=some", "group=event", "limit=0", "what=1"] {
        assert_eq!(shop.get(&format!("{SAMPLE}/held?{query}")).await.code(), "HW0004", "{query}");
    }
    assert_eq!(shop.held().await.len(), 2, "nothing was changed");
}
