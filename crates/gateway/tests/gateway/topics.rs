//! Topics: every mode in, every refusal, and what comes again.

use bytes::Bytes;
use http::Method;
use journal::{Cursor, ReadMode, Recorded, Selection};
use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop, header_map};

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
const PATH: &str = "/v1/topics/payments";

/// All messages that the journal holds, by entity id.
async fn messages(shop: &Shop) -> Vec<(String, Json)> {
    let selection = Selection::Types(vec!["$topic".into()]);
    let mut events = shop.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut found = Vec::new();
    while let Some(event) = events.next_event().await {
        let Recorded { entity, name, payload, .. } = &*event.unwrap();
        assert!(entity.id().starts_with(&format!("{name}/")), "{entity}");
        found.push((entity.id().to_owned(), serde_json::from_slice(payload).unwrap()));
    }
    found
}

fn payment(id: &str, order: &str) -> Json {
    json!({ "specversion": "1.0", "id": id, "source": "/bank", "type": "paid", "subject": order, "data": { "order": order, "cents": 250 } })
}

async fn structured(shop: &Shop, topic: &str, message: &Json) -> Answer {
    shop.ask("POST", &format!("/v1/topics/{topic}"), &[STRUCTURED], &message.to_string()).await
}

async fn batch(shop: &Shop, topic: &str, body: &str) -> Vec<Json> {
    let headers = header_map(&[("content-type", "application/cloudevents-batch+json; charset=utf-8")]);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let answer = shop.client().request(Method::POST, &format!("/v1/topics/{topic}"), headers, body).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
    answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn every_mode_keeps_the_whole_message() {
    let shop = Shop::open().await;
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/bank"),
        ("ce-type", "paid"),
        ("ce-subject", "\"o%201\""),
        ("ce-time", "2026-11-26T10:00:00.5Z"),
        ("ce-attempt", "7"),
    ];
    let answer = shop.ask("POST", PATH, &binary, "{\"order\":\"o 1\",\n\"cents\":250}").await;
    assert_eq!((answer.status, &answer.json["id"], &answer.json["replayed"]), (200, &json!("1"), &json!(false)), "{:?}", answer.json);
    assert_eq!(answer.header("headwater-cursor"), answer.json["cursor"].as_str());
    let mut second = payment("2", "o2");
    second["attempt"] = json!(8);
    second["unset"] = Json::Null;
    assert_eq!(structured(&shop, "payments", &second).await.status, 200);
    let third = json!([payment("3", "o1"), payment("4", "o2")]).to_string();
    assert_eq!(batch(&shop, "payments", &third).await.iter().filter(|line| line["status"] == 200).count(), 2);
    let mut expected_first = payment("1", "o 1");
    (expected_first["time"], expected_first["attempt"]) = (json!("2026-11-26T10:00:00.5Z"), json!("7"));
    expected_first["datacontenttype"] = json!("application/json");
    second.as_object_mut().unwrap().remove("unset");
    let expected = [
        ("payments/o 1".to_owned(), expected_first),
        ("payments/o2".to_owned(), second),
        ("payments/o1".to_owned(), payment("3", "o1")),
        ("payments/o2".to_owned(), payment("4", "o2")),
    ];
    assert_eq!(messages(&shop).await, expected);
}

#[tokio::test]
async fn any_data_is_kept_as_it_is() {
    let shop = Shop::open().await;
    let binary = |id, media_type| {
        [
            ("content-type", media_type),
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "/x"),
            ("ce-type", "t"),
            ("ce-partitionkey", "k"),
        ]
    };
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &binary("1", "text/plain; charset=utf-8"), "tea\nor coffee").await.status, 200);
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &binary("2", "image/png"), "\u{0}\u{1}").await.status, 200);
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &binary("3", "application/vnd.x+json"), "[1, 2.50]").await.status, 200);
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &binary("4", "application/json")[..], "").await.status, 200);
    let attributes = json!({ "specversion": "1.0", "source": "/x", "type": "t", "partitionkey": "k" });
    for (id, members) in [
        ("5", json!({ "datacontenttype": "text/plain", "data": "tea" })),
        ("6", json!({ "datacontenttype": "text/plain", "data_base64": "dGVh" })),
        ("7", json!({ "datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ==" })),
        ("8", json!({ "data": null })),
        ("9", json!({ "data_base64": "AAE=" })),
    ] {
        let mut message = attributes.clone();
        message["id"] = json!(id);
        message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let answer = structured(&shop, "notes", &message).await;
        assert_eq!(answer.status, 200, "{id}: {:?}", answer.json);
    }
    let data: Vec<Json> = messages(&shop)
        .await
        .into_iter()
        .map(|(id, message)| {
            assert_eq!(id, "notes/k");
            json!([message.get("data"), message.get("data_base64")])
        })
        .collect();
    let expected = json!([
        ["tea\nor coffee", null], [null, "AAE="], [[1, 2.5], null], [null, null], ["tea", null], ["tea", null], [{ "a": 1 }, null], [null, null],
        [null, "AAE="],
    ]);
    assert_eq!(json!(data), expected);
}

#[tokio::test]
async fn whatever_is_sent_three_times_is_taken_once() {
    let shop = Shop::open().await;
    let mut cursors = Vec::new();
    for round in 0..3 {
        let answer = structured(&shop, "payments", &payment("1", "o1")).await;
        assert_eq!((answer.status, &answer.json["replayed"]), (200, &json!(round > 0)));
        assert_eq!(answer.header("idempotent-replayed"), (round > 0).then_some("true"));
        cursors.push(answer.json["cursor"].clone());
        let all: Vec<Json> = (0..1_000).map(|number| payment(&format!("b{number}"), &format!("o{}", number % 7))).collect();
        let results = batch(&shop, "payments", &json!(all).to_string()).await;
        assert_eq!(results.len(), 1_000);
        for (index, result) in results.iter().enumerate() {
            let told = (&result["line"], &result["status"], &result["id"], &result["replayed"]);
            assert_eq!(told, (&json!(index + 1), &json!(200), &json!(format!("b{index}")), &json!(round > 0)));
        }
    }
    assert!(cursors.iter().all(|cursor| *cursor == cursors[0]), "a resend is answered with the first one's place");
    let messages = messages(&shop).await;
    assert_eq!(messages.len(), 1_001);
    for order in 0..7 {
        let of_key = messages.iter().filter(|(id, message)| *id == format!("payments/o{order}") && message["id"] != "1");
        let numbers: Vec<usize> = of_key.map(|(_, message)| message["id"].as_str().unwrap()[1..].parse().unwrap()).collect();
        assert!(numbers.len() > 100 && numbers.is_sorted(), "order {order}: {numbers:?}");
    }
}

#[tokio::test]
async fn the_same_message_may_be_spelled_otherwise_and_never_say_something_else() {
    let shop = Shop::open().await;
    assert_eq!(structured(&shop, "payments", &payment("1", "o1")).await.status, 200);
    let binary =
        [("content-type", "application/json"), ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/bank"), ("ce-type", "paid")];
    let spelled = "{ \"subject\":\"o1\", \"type\":\"paid\",\n\"source\":\"/bank\",\"id\":\"1\",\"specversion\":\"1.0\",\"data\": {\"cents\":250, \"order\":\"o1\"} }";
    let again = shop.ask("POST", PATH, &[STRUCTURED], spelled).await;
    assert_eq!((again.status, &again.json["replayed"]), (200, &json!(true)));
    // Another key, another data, another attribute: one id is one message, whatever its key.
    for (what, changed) in [("subject", json!("o2")), ("data", json!({ "order": "o1", "cents": 251 })), ("extra", json!("x"))] {
        let mut other = payment("1", "o1");
        other[what] = changed;
        let refused = structured(&shop, "payments", &other).await;
        assert_eq!((refused.status, refused.code(), &refused.json["errors"][0]["pointer"]), (422, "HW0028", &json!("/id")), "{what}");
    }
    let refused = shop.ask("POST", PATH, &binary, "{\"order\":\"o1\",\"cents\":250}").await;
    assert_eq!(refused.code(), "HW0028", "without its subject it is another message");
    let mut other_source = payment("1", "o1");
    other_source["source"] = json!("/other-bank");
    assert_eq!(structured(&shop, "payments", &other_source).await.json["replayed"], false);
    assert_eq!(structured(&shop, "notes", &payment("1", "o1")).await.json["replayed"], false, "another topic has its own messages");
    assert_eq!(messages(&shop).await.len(), 3);
}

#[tokio::test]
async fn a_batch_takes_what_is_fit_and_names_the_rest() {
    let shop = Shop::open().await;
    let mut bad_data = payment("2", "o1");
    bad_data["data"]["cents"] = json!("much");
    let mut no_id = payment("3", "o1");
    no_id.as_object_mut().unwrap().remove("id");
    let mut changed = payment("1", "o1");
    changed["data"]["cents"] = json!(9);
    let all = json!([payment("1", "o1"), bad_data, no_id, 7, payment("1", "o1"), changed, payment("4", "o1")]).to_string();
    let results = batch(&shop, "payments", &all).await;
    let told: Vec<_> = results
        .iter()
        .map(|result| {
            let pointer = result["errors"][0]["pointer"].as_str().unwrap_or_default();
            (result["line"].as_u64().unwrap(), result["status"].as_u64().unwrap(), result["code"].as_str().unwrap_or_default(), pointer)
        })
        .collect();
    let expected = [
        (1, 200, "", ""),
        (2, 400, "HW0002", "/1/data/cents"),
        (3, 400, "HW0002", "/2/id"),
        (4, 400, "HW0002", "/3"),
        (5, 200, "", ""),
        (6, 422, "HW0028", "/5/id"),
        (7, 200, "", ""),
    ];
    assert_eq!(told, expected);
    assert_eq!((&results[0]["replayed"], &results[4]["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(messages(&shop).await.len(), 2);
    assert!(batch(&shop, "payments", "[]").await.is_empty());
}

#[tokio::test]
async fn what_is_no_cloudevent_is_refused_by_name() {
    let shop = Shop::open().await;
    for (member, value, pointer) in [
        ("specversion", json!("0.3"), "/specversion"),
        ("specversion", Json::Null, "/specversion"),
        ("id", json!(""), "/id"),
        ("id", json!(7), "/id"),
        ("source", Json::Null, "/source"),
        ("source", json!("not a uri"), "/source"),
        ("type", Json::Null, "/type"),
        ("time", json!("yesterday"), "/time"),
        ("dataschema", json!("relative"), "/dataschema"),
        ("datacontenttype", json!("json"), "/datacontenttype"),
        ("subject", json!(""), "/subject"),
        ("My-Ext", json!("x"), "/My-Ext"),
        ("ext", json!({}), "/ext"),
        ("ext", json!(1.5), "/ext"),
        ("ext", json!("a\u{1}"), "/ext"),
        ("data_base64", json!("AA=="), "/data_base64"),
        ("datacontenttype", json!("text/plain"), "/data"),
        ("data", json!({ "order": "o1" }), "/data"),
        ("data", json!({ "order": "o1", "cents": -1 }), "/data/cents"),
        ("data", json!(7), "/data"),
    ] {
        let mut message = payment("1", "o1");
        message[member] = value;
        let refused = structured(&shop, "payments", &message).await;
        let told = (refused.status, refused.code(), refused.json["errors"][0]["pointer"].as_str());
        assert_eq!(told, (400, "HW0002", Some(pointer)), "{message}: {:?}", refused.json);
    }
    let mut without = payment("1", "o1");
    without.as_object_mut().unwrap().remove("data");
    assert_eq!(structured(&shop, "payments", &without).await.json["errors"][0]["pointer"], "/data");
    let twice = r#"{"specversion":"1.0","id":"1","id":"2","source":"/x","type":"t"}"#;
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &[STRUCTURED], twice).await.json["errors"][0]["pointer"], "/id");
    let deep = format!(r#"{{"specversion":"1.0","id":"1","source":"/x","type":"t","data":{}{}}}"#, "[".repeat(65), "]".repeat(65));
    assert_eq!(shop.ask("POST", "/v1/topics/notes", &[STRUCTURED], &deep).await.json["errors"][0]["pointer"], "/data");
    assert_eq!(messages(&shop).await.len(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_refused_with_its_code() {
    let shop = Shop::open().await;
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/x"), ("ce-type", "t")];
    let with = |more: &[(&'static str, &'static str)]| [&binary[..], more].concat();
    for (headers, body, code, part) in [
        (vec![("content-type", "application/json")], "{}", "HW0027", "ce-id"),
        (with(&[("content-type", "application/cloudevents+avro")]), "{}", "HW0027", "cloudevents"),
        (with(&[("content-type", "application/json"), ("content-encoding", "gzip")]), "{}", "HW0027", "content-encoding"),
        (with(&[("content-type", "application/json")]), "{", "HW0002", "/data"),
        (with(&[("content-type", "json")]), "{}", "HW0002", "/datacontenttype"),
        (with(&[("ce-datacontenttype", "text/plain")]), "", "HW0002", "/datacontenttype"),
        (with(&[("ce-my_ext", "x")]), "", "HW0002", "/my_ext"),
        (with(&[("ce-ext", "%zz")]), "", "HW0002", "/ext"),
        (with(&[("ce-ext", "\"a")]), "", "HW0002", "/ext"),
        (with(&[("ce-id", "2")]), "", "HW0003", "ce-id"),
        (with(&[("idempotency-key", "k")]), "", "HW0003", "idempotency-key"),
        (vec![STRUCTURED], "[", "HW0001", ""),
        (vec![STRUCTURED], "[]", "HW0002", "object"),
        (vec![("content-type", "application/cloudevents-batch+json")], "{}", "HW0002", "array"),
        (vec![("content-type", "application/cloudevents-batch+json")], "[", "HW0001", ""),
        (vec![("ce-id", "1")], "", "HW0002", "/specversion"),
    ] {
        let refused = shop.ask("POST", "/v1/topics/notes", &headers, body).await;
        let detail = refused.json.to_string();
        assert!(refused.code() == code && detail.contains(part), "{headers:?} {body}: {detail}");
    }
    let unknown = shop.ask("POST", "/v1/topics/paiments", &[STRUCTURED], "{}").await;
    assert_eq!((unknown.status, unknown.code()), (404, "HW0046"));
    assert!(unknown.json["detail"].as_str().unwrap().contains("did you mean `payments`"), "{:?}", unknown.json);
    assert_eq!(shop.post("/v1/topics/notes?live=true", &[], "{}").await.code(), "HW0004");
    assert_eq!(messages(&shop).await.len(), 0);
}

#[tokio::test]
async fn bounds_are_named_when_they_bite() {
    let shop = Shop::open().await;
    let many: Vec<Json> = (0..1_001).map(|number| payment(&number.to_string(), "o")).collect();
    let batch_type = [("content-type", "application/cloudevents-batch+json")];
    let refused = shop.ask("POST", PATH, &batch_type, &json!(many).to_string()).await;
    assert_eq!((refused.status, refused.code()), (413, "HW0025"));
    assert!(refused.json["detail"].as_str().unwrap().contains("1000"));
    let large = |bytes: usize| {
        let mut message = payment("1", "o1");
        message["data"] = json!("x".repeat(bytes));
        message
    };
    let refused = shop.ask("POST", "/v1/topics/notes", &batch_type, &json!([large(9 * 1024 * 1024)]).to_string()).await;
    assert_eq!((refused.status, refused.code()), (413, "HW0025"));
    assert_eq!(structured(&shop, "notes", &large(1024 * 1024)).await.status, 413);
    let results = batch(&shop, "notes", &json!([large(1024 * 1024), payment("2", "o1")]).to_string()).await;
    assert_eq!((&results[0]["code"], &results[1]["status"]), (&json!("HW0031"), &json!(200)), "one that is too large is refused alone");
    let mut crowded = payment("3", "o1");
    (0..70).for_each(|number| crowded[format!("e{number}")] = json!("x"));
    let refused = structured(&shop, "notes", &crowded).await;
    assert!(refused.json["detail"].as_str().unwrap().contains("64 attributes"), "{:?}", refused.json);
    let mut long = payment("3", "o1");
    long["ext"] = json!("x".repeat(8_193));
    assert!(structured(&shop, "notes", &long).await.json["detail"].as_str().unwrap().contains("8192"));
    assert_eq!(messages(&shop).await.len(), 1);
}

#[tokio::test]
async fn an_action_runs_for_each_message_once_however_often_it_is_sent() {
    let shop = Shop::open_with_action().await;
    for _ in 0..3 {
        for id in ["1", "2"] {
            assert_eq!(structured(&shop, "payments", &payment(id, "o1")).await.status, 200);
        }
    }
    let state = loop {
        let read = shop.get("/v1/entities/cart/paid-o1").await;
        if read.json["sequence"].as_u64() >= Some(2) {
            break read.json;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!((&state["sequence"], &state["state"]["items"]), (&json!(2), &json!({ "1": 250, "2": 250 })));
    let history = shop.get("/v1/entities/cart/paid-o1/events").await.json;
    assert_eq!((&history["items"][1]["correlationid"], history["items"][1]["causationid"].is_string()), (&json!("2"), true));
}

#[tokio::test]
async fn messages_are_no_part_of_the_stream_of_events() {
    let shop = Shop::open().await;
    assert_eq!(structured(&shop, "payments", &payment("1", "o1")).await.status, 200);
    shop.add("c1", "mug", 1).await;
    let mut lines = shop.stream("/v1/streams/shop", &[]).await;
    let first: Json = serde_json::from_slice(&lines.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(first["type"], "shop.cart.item-added");
}
