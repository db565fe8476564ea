//! Batches: a result a line in the order of the lines, whatever each line is.

use std::time::Duration;

use bytes::Bytes;
use gateway::Options;
use http::Method;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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

/// What a line is told: its number, its status, its code, and the pointer to what is wrong.
fn told(results: &[Json]) -> Vec<(u64, u64, &str, Option<&str>)> {
    let told = |result: &Json| (result["line"].as_u64().unwrap(), result["status"].as_u64().unwrap());
    let told = results.iter().map(|result| (told(result), result["code"].as_str(), result["errors"][0]["pointer"].as_str()));
    told.map(|((line, status), code, pointer)| (line, status, code.unwrap_or_default(), pointer)).collect()
}

#[tokio::test]
async fn a_line_beyond_its_bound_is_passed_over() {
    let shop = Shop::open().await;
    let bound = gateway::limits::BATCH_LINE_BYTES_MAX;
    let padded = |id: &str, bytes: usize| {
        let line = format!("{{\"id\":\"{id}\",\"command\":\"pay\"}}");
        format!("{line}{}", " ".repeat(bytes - line.len()))
    };
    let lines =
        [padded("c1", 40), padded("c2", bound + 1), padded("c3", bound), "x".repeat(3 * bound), padded("c4", 40), "x".repeat(bound + 1)];
    let results = run(&shop, &lines.join("\n")).await;
    let large = |line| (line, 413, "HW0025", None);
    let paid = |line| (line, 200, "", None);
    assert_eq!(told(&results), [paid(1), large(2), paid(3), large(4), paid(5), large(6)]);
    assert!(results[1]["detail"].as_str().unwrap().contains(&bound.to_string()), "{}", results[1]);
    assert_eq!(shop.recorded().await, 3);
}

#[tokio::test]
async fn the_body_of_a_line_is_held_to_its_bound() {
    let shop = Shop::open_with(Options { body_bytes_max: 100, ..Options::default() }).await;
    let add = |id: &str, bytes: usize| {
        let sku = "x".repeat(bytes - r#"{"sku":"","quantity":1}"#.len());
        format!("{{\"id\":\"{id}\",\"command\":\"add-item\",\"body\": {{\"sku\":\"{sku}\",\"quantity\":1}} }}\n")
    };
    let results = run(&shop, &[add("c1", 3_000), add("c2", 101), add("c3", 100)].concat()).await;
    assert_eq!(told(&results), [(1, 413, "HW0025", None), (2, 413, "HW0025", None), (3, 200, "", None)]);
    let detail = results[0]["detail"].as_str().unwrap();
    assert!(detail.contains("100 bytes") && detail.contains("body_bytes_max"), "{detail}");
    assert_eq!(shop.recorded().await, 1);
}

#[tokio::test]
async fn bytes_do_not_extend_the_time_of_a_line() {
    let shop = Shop::open_with(Options { body_read_timeout: Duration::from_millis(200), ..Options::default() }).await;
    let stream = TcpStream::connect(shop.address).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let head = "POST /v1/entities/cart:batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    let first = "{\"id\":\"c1\",\"command\":\"pay\"}\n";
    to.write_all(format!("{head}{:x}\r\n{first}\r\n", first.len()).as_bytes()).await.unwrap();
    // A byte at a time, for far longer than the bound: a server that takes them all sees the line's end and answers otherwise.
    let drip = tokio::spawn(async move {
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            to.write_all(b"1\r\nx\r\n").await?;
        }
        to.write_all(b"1\r\n\n\r\n0\r\n\r\n").await
    });
    let mut answer = Vec::new();
    let _reset = from.read_to_end(&mut answer).await;
    drip.abort();
    let answer = String::from_utf8_lossy(&answer);
    let results: Vec<Json> = answer.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Json::is_object).collect();
    assert_eq!(told(&results), [(1, 200, "", None), (2, 408, "HW0035", None)], "{answer}");
    assert!(results[1]["detail"].as_str().unwrap().contains("body_read_timeout"), "{answer}");
}

#[tokio::test]
async fn what_is_wrong_with_a_line_is_told_in_its_own_words() {
    let shop = Shop::open().await;
    let rows = [
        (r#"{"command":"pay"}"#, "HW0002", Some("/id"), "`id` is missing"),
        (r#"{"id":null,"command":"pay"}"#, "HW0002", Some("/id"), "`id` is missing"),
        (r#"{"id":"c1"}"#, "HW0002", Some("/command"), "`command` is missing"),
        (r#"{"id":7,"command":"pay"}"#, "HW0002", Some("/id"), "must be a text, not the number 7"),
        (r#"{"id":"c1","command":["pay"]}"#, "HW0002", Some("/command"), "must be a text, not an array"),
        (r#"{"id":"c1","command":"pay","key":true}"#, "HW0002", Some("/key"), "must be a text, not true"),
        (r#"{"id":"c1","command":"pay","if_match":"7"}"#, "HW0002", Some("/if_match"), "a whole number from 1"),
        (r#"{"id":"c1","command":"pay","if_match":-1}"#, "HW0002", Some("/if_match"), "not the number -1"),
        (r#"{"id":"c1","comand":"pay"}"#, "HW0002", Some("/comand"), "did you mean `command`?"),
        (r#"{"id":"c1","command":"pay","a/b~":1}"#, "HW0002", Some("/a~1b~0"), "unknown member `a/b~`"),
        (r#"{"id":"c1","id":"c2","command":"pay"}"#, "HW0002", Some("/id"), "there twice"),
        (r#"["c1","pay",{},"k1",1]"#, "HW0002", Some(""), "must be an object, not an array"),
        (r#"null"#, "HW0002", Some(""), "must be an object, not null"),
        (r#"{"id":"c1","command":"pay",}"#, "HW0001", None, "at byte 28"),
        (r#"{"colour":1,"id":"c1" "command":"pay"}"#, "HW0001", None, "the line is not JSON"),
        (r#"{"id":"c1","command":"pay"} {}"#, "HW0001", None, "the line is not JSON"),
        (r#"{"id":"\ud800","command":"pay"}"#, "HW0001", None, "the line is not JSON"),
    ];
    let lines: Vec<&str> = rows.iter().map(|(line, ..)| *line).collect();
    let results = run(&shop, &lines.join("\n")).await;
    assert_eq!(results.len(), rows.len());
    for ((line, code, pointer, words), (result, told)) in rows.iter().zip(results.iter().zip(told(&results))) {
        assert_eq!((told.1, told.2, told.3), (400, *code, *pointer), "{line}: {result}");
        let detail = result["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{line}: {detail}");
        assert!(!detail.contains("struct") && !detail.contains("line 1"), "{line}: {detail}");
    }
    assert_eq!(shop.recorded().await, 0);
}

#[tokio::test]
async fn members_may_be_escaped_and_null() {
    let shop = Shop::open().await;
    let line = r#" {"\u0069d":"c\u0031","command":"p\u0061y","body":null,"key":null,"if_match":null} "#;
    assert_eq!(told(&run(&shop, line).await), [(1, 200, "", None)]);
    assert_eq!(shop.get("/v1/entities/cart/c1").await.json["state"]["paid"], json!(true));
}

#[tokio::test]
async fn an_empty_batch_has_no_result() {
    let shop = Shop::open().await;
    assert!(run(&shop, "").await.is_empty());
    assert!(run(&shop, "\n \n").await.is_empty());
}
