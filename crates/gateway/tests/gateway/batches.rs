//! Batches: a result a line in the order of the lines, whatever each line is.

use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};

use crate::shop::{Shop, header_map};

async fn run(shop: &Shop, lines: &str) -> Vec<Json> {
    let headers = header_map(&[("content-type", "application/x-ndjson")]);
    let body = Bytes::copy_from_slice(lines.as_bytes());
    let answer = shop.client().request(Method::POST, "/v1/entities/cart:batch", headers, body).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn every_line_has_its_result() {
    let shop = Shop::open().await;
    let lines = concat!(
        r#"{"id":"c1","command":"add-item","body":{"sku":"a","quantity":1},"key":"k1"}"#,
        "\n",
        r#"{"id":"c1","command":"add-item","body":{"sku":"a","quantity":1},"key":"k1"}"#,
        "\n",
        "\n",
        r#"{"id":"c1","command":"pay","if_match":7}"#,
        "\n",
        r#"{"id":"c1","command":"pay"}"#,
        "\r\n",
        r#"{"id":"c1","command":"add-item","body":{"sku":"a","quantity":1}}"#,
        "\n",
        r#"{"id":"c2","command":"add-item","body":{"sku":"a","quantity":"1"}}"#,
        "\n",
        "nonsense\n",
        r#"{"id":"..","command":"pay"}"#,
        "\n",
        r#"{"id":"c2","command":"pay","colour":1}"#,
        "\n",
        r#"{"id":"c2","command":"pay","if_match":0}"#,
        "\n",
        r#"{"id":"c2","command":"fly"}"#,
        "\n",
        r#"{"id":"c3","command":"pay"}"#,
    );
    let results = run(&shop, lines).await;
    let told: Vec<_> = results
        .iter()
        .map(|result| (result["line"].as_u64().unwrap(), result["status"].as_u64().unwrap(), result["code"].as_str().unwrap_or("")))
        .collect();
    let expected = [
        (1, 200, ""),
        (2, 200, ""),
        (4, 412, "HW0024"),
        (5, 200, ""),
        (6, 422, "HW0029"),
        (7, 400, "HW0002"),
        (8, 400, "HW0001"),
        (9, 400, "HW0002"),
        (10, 400, "HW0002"),
        (11, 400, "HW0002"),
        (12, 404, "HW0012"),
        (13, 200, ""),
    ];
    assert_eq!(told, expected);
    assert_eq!((&results[0]["key"], &results[0]["replayed"], &results[1]["replayed"]), (&json!("k1"), &Json::Null, &json!(true)));
    assert_eq!((&results[5]["errors"][0]["pointer"], &results[7]["errors"][0]["pointer"]), (&json!("/quantity"), &json!("/id")));
    assert!(results[3]["key"].as_str().is_some_and(|key| key.len() == 36), "a minted key is told");
}

#[tokio::test]
async fn order_is_kept_within_an_entity_over_many_lines() {
    let shop = Shop::open().await;
    let count = 3_000;
    let lines: String = (0..count)
        .map(|index| format!("{{\"id\":\"c{}\",\"command\":\"add-item\",\"body\":{{\"sku\":\"s{index}\",\"quantity\":1}}}}\n", index % 7))
        .collect();
    let results = run(&shop, &lines).await;
    assert_eq!(results.len(), count);
    for (index, result) in results.iter().enumerate() {
        let told = (&result["line"], &result["status"], &result["sequence"]);
        assert_eq!(told, (&json!(index + 1), &json!(200), &json!(index / 7 + 1)), "{result}");
    }
}

#[tokio::test]
async fn a_line_beyond_its_bound_ends_the_batch() {
    let shop = Shop::open().await;
    let long = "x".repeat(gateway::limits::BATCH_LINE_BYTES_MAX + 1);
    let lines = format!("{{\"id\":\"c1\",\"command\":\"pay\"}}\n{long}\n{{\"id\":\"c2\",\"command\":\"pay\"}}\n");
    let results = run(&shop, &lines).await;
    let told: Vec<_> = results.iter().map(|result| (&result["line"], &result["status"], &result["code"])).collect();
    assert_eq!(told, [(&json!(1), &json!(200), &Json::Null), (&json!(2), &json!(413), &json!("HW0025"))]);
}

#[tokio::test]
async fn an_empty_batch_has_no_result() {
    let shop = Shop::open().await;
    assert!(run(&shop, "").await.is_empty());
    assert!(run(&shop, "\n \n").await.is_empty());
}
