//! Bounds of connections, heads and bodies, over raw sockets where a well-behaved client cannot reach them.

use std::time::Duration;

use gateway::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::shop::Shop;

/// Sends bytes, and reads until the server closes.
async fn exchange(shop: &Shop, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

/// All that comes until the server closes or resets.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _reset = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

fn short() -> Options {
    let time = Duration::from_millis(100);
    Options { header_read_timeout: time, body_read_timeout: time, idle_timeout: time, ..Options::default() }
}

#[tokio::test]
async fn a_slow_head_is_cut() {
    let shop = Shop::open_with(short()).await;
    for head in ["", "GET", "GET /livez HTTP/1.1\r\nhost: x\r\n"] {
        assert_eq!(exchange(&shop, head.as_bytes()).await, "", "{head}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let shop = Shop::open_with(short()).await;
    let answer = exchange(&shop, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_told_so() {
    let shop = Shop::open_with(short()).await;
    let head =
        "POST /v1/entities/cart/c1/add-item HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"sku\"";
    let answer = exchange(&shop, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("HW0035"), "{answer}");
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused_declared_or_not() {
    let shop = Shop::open_with(Options { body_bytes_max: 1_000, ..Options::default() }).await;
    let body = format!(r#"{{"sku":"{}","quantity":1}}"#, "x".repeat(100_000));
    let declared = shop.post("/v1/entities/cart/c1/add-item", &[], &body).await;
    assert_eq!((declared.status, declared.code()), (413, "HW0025"));
    assert!(declared.json["detail"].as_str().unwrap().contains("1000 bytes"), "{}", declared.json);
    let head = "POST /v1/entities/cart/c1/add-item HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = exchange(&shop, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("HW0025"), "{answer}");
    assert_eq!(shop.recorded().await, 0);
}

#[tokio::test]
async fn a_body_at_its_bound_is_taken() {
    let shop = Shop::open_with(Options { body_bytes_max: 1_000, ..Options::default() }).await;
    for (bytes, status) in [(1_000, 200), (1_001, 413)] {
        let body = format!("{{}}{}", " ".repeat(bytes - 2));
        assert_eq!(shop.post("/v1/entities/cart/c1/look", &[], &body).await.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn heads_beyond_their_bounds_are_refused_with_a_code() {
    let shop = Shop::open().await;
    let long = "x".repeat(9_000);
    let answer = shop.get(&format!("/v1/entities/cart?after={long}")).await;
    assert_eq!((answer.status, answer.code()), (414, "HW0026"));
    let answer = shop.ask("GET", "/livez", &[("x-a", &long), ("x-b", &long)], "").await;
    assert_eq!((answer.status, answer.code()), (431, "HW0030"));
    let many: Vec<String> = (0..70).map(|index| format!("x-{index}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let answer = shop.ask("GET", "/livez", &many, "").await;
    assert_eq!((answer.status, answer.code()), (431, "HW0030"));
}

#[tokio::test]
async fn what_is_not_http_is_refused_without_harm() {
    let shop = Shop::open().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /livez HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let answer = exchange(&shop, bytes).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(shop.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_connection_beyond_the_bound_is_told_so() {
    let shop = Shop::open_with(Options { connections_max: 1, ..Options::default() }).await;
    let mut first = shop.client();
    let live = first.request(http::Method::GET, "/livez", http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
    assert_eq!(live.status, 200);
    let refused = shop.get("/livez").await;
    assert_eq!((refused.status, refused.code(), refused.header("retry-after")), (503, "HW0040", Some("1")));
    assert!(refused.json["detail"].as_str().unwrap().contains("connections_max"), "{}", refused.json);
}

#[tokio::test]
async fn a_reader_that_reads_nothing_is_cut() {
    let patience = Duration::from_secs(600);
    let mut shop = Shop::open_with(Options { write_stall_timeout: Duration::from_millis(100), drain_timeout: patience, ..short() }).await;
    let long = "x".repeat(1_000_000);
    // More than two sockets hold between them.
    for _ in 0..24 {
        shop.add("c1", &long, 1).await;
    }
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    stream.write_all(b"GET /v1/streams/shop HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    shop.take_stop().send(()).unwrap();
    // The drain waits for this answer, which nobody takes: only the cut ends it.
    tokio::time::timeout(patience / 10, shop.stopped()).await.expect("the reader is cut");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let shop = Shop::open().await;
    let add = |sku| {
        format!(
            "POST /v1/entities/cart/c1/add-item HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{{\"sku\":\"{sku}\",\"quantity\":1}}"
        )
    };
    let requests = format!("{}{}GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", add('a'), add('b'));
    let answers = exchange(&shop, requests.as_bytes()).await;
    let at = |text: &str| answers.find(text).unwrap_or_else(|| panic!("{text} in {answers}"));
    assert!(at("\"sequence\":1") < at("\"sequence\":2") && at("\"sequence\":2") < at("alive"));
}

#[tokio::test]
async fn nobody_listening_is_an_error_without_effect() {
    let mut shop = Shop::open().await;
    let mut client = shop.client();
    shop.take_stop().send(()).unwrap();
    shop.stopped().await;
    let error = client.request(http::Method::GET, "/livez", http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), gateway::client::ClientErrorKind::Unreachable);
    assert!(!error.may_have_taken_effect(), "{error}");
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = gateway::client::Connection::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let cut = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
    });
    let error = client.request(http::Method::POST, "/x", http::HeaderMap::new(), "{}".into()).await.unwrap_err();
    cut.await.unwrap();
    assert!(error.may_have_taken_effect(), "{error}");
}

#[tokio::test]
async fn a_client_comes_back_when_its_idle_connection_was_closed() {
    let shop = Shop::open_with(short()).await;
    let mut client = shop.client();
    for _ in 0..3 {
        let live = client.request(http::Method::GET, "/livez", http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
        assert_eq!(live.status, 200);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
