//! Processors over HTTP: consumers with a memory, whose events are an entity type.

use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop};

const SOLD: &str = "/v1/admin/consumers/sold";

async fn until(shop: &Shop, path: &str, is_so: impl Fn(&Answer) -> bool) -> Json {
    loop {
        let answer = shop.get(path).await;
        if is_so(&answer) {
            return answer.json;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_processor_emits_is_an_entity_type() {
    let shop = Shop::with_sold().await;
    shop.add("c1", "mug", 2).await;
    shop.add("c2", "mug", 3).await;
    let state = until(&shop, "/v1/entities/sold/mug", |answer| answer.json["state"]["emitted"] == 2).await;
    assert_eq!(state["state"], json!({ "emitted": 2, "last": "counted" }));
    let history = shop.get("/v1/entities/sold/mug/events").await.json;
    let sold: Vec<&Json> = history["items"].as_array().unwrap().iter().map(|event| &event["data"]["sold"]).collect();
    assert_eq!(sold, [2, 5]);
    let refused = shop.post("/v1/entities/sold/mug/count", &[], "{}").await;
    assert_eq!((refused.status, &refused.json["code"]), (404, &json!("HW0012")), "it takes no commands: {}", refused.json);
}

#[tokio::test]
async fn what_a_processor_remembers_is_shown() {
    let shop = Shop::with_sold().await;
    shop.add("c1", "a/b", 2).await;
    let sight = until(&shop, &format!("{SOLD}/keys/a%2Fb"), |answer| answer.json["state"] != Json::Null).await;
    assert_eq!((&sight["key"], &sight["state"], &sight["parked"]), (&json!("a/b"), &json!({ "sold": 2 }), &Json::Null));
    assert!(sight["wakes"][0].as_str().is_some_and(|time| time.ends_with('Z')), "{sight}");
    let never = shop.get(&format!("{SOLD}/keys/never")).await.json;
    assert_eq!(never, json!({ "key": "never", "state": null, "wakes": [], "parked": null }));
    let refused = shop.get("/v1/admin/consumers/solt/keys/mug").await;
    assert_eq!((refused.status, &refused.json["code"]), (404, &json!("HW0019")), "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains("`sold`"), "{}", refused.json);
}

#[tokio::test]
async fn a_parked_key_is_looked_at_and_goes_on() {
    let shop = Shop::with_sold().await;
    for quantity in [1, 13, 2] {
        shop.add("c1", "poison", quantity).await;
    }
    let consumer = until(&shop, SOLD, |answer| answer.json["parked"] == 1).await;
    assert_eq!((&consumer["state"], &consumer["held"]), (&json!("working"), &json!(0)));
    let held = shop.get(&format!("{SOLD}/held")).await.json["items"][0].clone();
    let seen = ["type", "id", "state", "event_type", "cause"].map(|name| held[name].as_str().unwrap());
    assert_eq!(seen, ["sold", "poison", "parked", "cart/item-added", "the processor panicked: poison 13"]);
    let decide = async |act: &str, body: Json| shop.post(&format!("{SOLD}/{act}"), &[], &body.to_string()).await;
    let key = json!({ "type": "sold", "id": "poison" });
    let preview = decide("dry-run", key.clone()).await.json;
    assert_eq!(preview, json!({ "outcome": "park", "cause": "the processor panicked: poison 13", "sends": [] }));
    let edited = json!({ "type": "sold", "id": "poison", "payload": { "sku": "poison", "quantity": 12 } });
    let preview = decide("dry-run", edited.clone()).await.json;
    assert_eq!(preview["sends"], json!([{ "to": "sold/poison counted", "body": { "sold": 13 } }]));
    let placed = decide("place", json!({ "at": "first" })).await;
    assert_eq!(placed.status, 422, "a place without its state: {}", placed.json);
    let mut edited = edited;
    edited["event"] = held["event"].clone();
    assert_eq!(decide("edit", edited).await.json, json!({ "keys": 1 }));
    let sight = shop.get(&format!("{SOLD}/keys/poison")).await.json;
    assert_eq!((&sight["state"], &sight["parked"]), (&json!({ "sold": 15 }), &Json::Null));
    assert_eq!(decide("redrive", key).await.status, 404, "it is parked no more");
}
