//! Every way to ask wrongly: the answer is a problem with its code, never a status of 500 or above, and nothing is recorded.

use crate::shop::Shop;

type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str, Option<&'a str>);

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const ADD: &str = "/v1/entities/cart/c1/add-item";
const GOOD: &str = r#"{"sku":"a","quantity":1}"#;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const BODIES: &[Row] = &[
    ("POST", ADD, &[JSON], "{", 400, "HW0001", None),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",}", 400, "HW0001", None),
    ("POST", ADD, &[JSON], "not json", 400, "HW0001", None),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":1} {}", 400, "HW0001", None),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":\"1\"}", 400, "HW0002", Some("/quantity")),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":-1}", 400, "HW0002", Some("/quantity")),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":1.5}", 400, "HW0002", Some("/quantity")),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":4294967296}", 400, "HW0002", Some("/quantity")),
    ("POST", ADD, &[JSON], "{\"sku\":null,\"quantity\":1}", 400, "HW0002", Some("/sku")),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\"}", 400, "HW0002", Some("")),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"quantity\":1,\"colour\":2}", 400, "HW0002", None),
    ("POST", ADD, &[JSON], "{\"sku\":\"a\",\"sku\":\"b\",\"quantity\":1}", 400, "HW0002", None),
    ("POST", ADD, &[JSON], "[]", 400, "HW0002", Some("")),
    ("POST", ADD, &[JSON], "null", 400, "HW0002", Some("")),
    ("POST", ADD, &[JSON], "", 400, "HW0002", None),
    ("POST", ADD, &[], GOOD, 415, "HW0027", None),
    ("POST", ADD, &[("content-type", "text/plain")], GOOD, 415, "HW0027", None),
    ("POST", ADD, &[("content-type", "application/x-www-form-urlencoded")], "sku=a", 415, "HW0027", None),
    ("POST", ADD, &[("content-type", "application/json; charset=latin1")], GOOD, 415, "HW0027", None),
    ("POST", ADD, &[JSON, ("content-encoding", "gzip")], GOOD, 415, "HW0027", None),
    ("POST", "/v1/entities/cart/c1/pay", &[("content-type", "text/plain")], "{}", 415, "HW0027", None),
    ("POST", "/v1/operations/share", &[JSON], "{\"first\":\"a\",\"second\":1,\"sku\":\"a\"}", 400, "HW0002", Some("/second")),
    ("POST", "/v1/operations/share", &[JSON], "{\"first\":\"\",\"second\":\"b\",\"sku\":\"a\"}", 400, "HW0002", None),
    ("POST", "/v1/operations/share", &[JSON], "{\"first\":\"a\",\"second\":\"..\",\"sku\":\"a\"}", 400, "HW0002", None),
];

const HEADERS: &[Row] = &[
    ("POST", ADD, &[JSON, ("traceparent", "00-zz")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("traceparent", TRACE), ("traceparent", TRACE)], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, JSON], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("correlation-id", "")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("correlation-id", "a"), ("correlation-id", "b")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "7")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "W/\"7\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "*")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "\"1\", \"2\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "\"0\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "\"99999999999999999999\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "\"1\""), ("if-match", "\"1\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-none-match", "\"1\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-none-match", "*"), ("if-match", "\"1\"")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("if-match", "\"7\"")], GOOD, 412, "HW0024", None),
    ("POST", ADD, &[JSON, ("if-none-match", "*")], GOOD, 412, "HW0024", None),
    ("POST", ADD, &[JSON, ("headwater-sequence", "1")], GOOD, 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("headwater-tenant", "acme")], GOOD, 400, "HW0033", None),
    ("GET", "/v1/entities/cart/c1", &[("headwater-tenant", "acme")], "", 400, "HW0033", None),
    ("GET", "/v1/entities/cart/c1", &[("if-none-match", "1")], "", 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("origin", "https://elsewhere.example")], GOOD, 400, "HW0003", None),
    ("POST", "/v1/entities/cart/c1/pay", &[("sec-fetch-site", "cross-site")], "", 400, "HW0003", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "")], GOOD, 400, "HW0007", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "\"\"")], GOOD, 400, "HW0007", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "\"open")], GOOD, 400, "HW0007", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "\"a\"b")], GOOD, 400, "HW0007", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "a"), ("idempotency-key", "b")], GOOD, 400, "HW0007", None),
    ("POST", ADD, &[JSON, ("idempotency-key", "k1")], GOOD, 422, "HW0028", None),
    ("POST", "/v1/entities/cart/c1/pay", &[("idempotency-key", "k1")], "", 422, "HW0028", None),
    ("POST", "/v1/operations/share", &[JSON, ("if-match", "\"1\"")], "{}", 400, "HW0003", None),
    ("POST", "/v1/entities/cart:batch", &[NDJSON, ("idempotency-key", "a")], "", 400, "HW0003", None),
    ("POST", "/v1/entities/cart:batch", &[JSON], "{}", 415, "HW0027", None),
    ("GET", "/v1/streams/shop", &[("accept", "text/html")], "", 406, "HW0034", None),
    ("GET", "/v1/streams/shop", &[("last-event-id", "x")], "", 400, "HW0003", None),
    ("GET", "/v1/streams/shop", &[("accept", "text/event-stream"), ("last-event-id", "x")], "", 400, "HW0006", None),
];

const PATHS: &[Row] = &[
    ("GET", "/nowhere", &[], "", 404, "HW0010", None),
    ("GET", "/v1", &[], "", 404, "HW0010", None),
    ("GET", "/v1/entities", &[], "", 404, "HW0010", None),
    ("GET", "/V1/entities/cart", &[], "", 404, "HW0010", None),
    ("GET", "/v1/entities/cart/c1/commands/k1/x", &[], "", 404, "HW0010", None),
    ("GET", "/v1/streams/other", &[], "", 404, "HW0130", None),
    ("GET", "/v1/entities/crat", &[], "", 404, "HW0011", None),
    ("GET", "/v1/entities/$workflow/w1", &[], "", 404, "HW0011", None),
    ("POST", "/v1/entities/Cart/c1/add-item", &[JSON], GOOD, 404, "HW0011", None),
    ("POST", "/v1/entities/crat:batch", &[NDJSON], "", 404, "HW0011", None),
    ("POST", "/v1/entities/cart/c1/add-itme", &[JSON], GOOD, 404, "HW0012", None),
    ("POST", "/v1/entities/cart/c1/events", &[JSON], GOOD, 404, "HW0012", None),
    ("POST", "/v1/entities/cart/c1/ADD-ITEM", &[JSON], GOOD, 404, "HW0012", None),
    ("GET", "/v1/entities/cart/none", &[], "", 404, "HW0013", None),
    ("GET", "/v1/entities/cart/none/events", &[], "", 404, "HW0013", None),
    ("GET", "/v1/entities/cart/c1/commands/none", &[], "", 404, "HW0014", None),
    ("POST", "/v1/operations/shaer", &[JSON], "{}", 404, "HW0015", None),
    ("GET", ADD, &[], "", 405, "HW0016", None),
    ("PUT", ADD, &[JSON], GOOD, 405, "HW0016", None),
    ("DELETE", "/v1/entities/cart/c1", &[], "", 405, "HW0016", None),
    ("POST", "/v1/entities/cart", &[JSON], "{}", 405, "HW0016", None),
    ("POST", "/livez", &[], "", 405, "HW0016", None),
    ("OPTIONS", ADD, &[], "", 405, "HW0016", None),
    ("BREW", "/v1/entities/cart/c1/events", &[], "", 405, "HW0016", None),
    ("GET", "/v1/entities/cart/", &[], "", 400, "HW0005", None),
    ("POST", "/v1/entities/cart//add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/../add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/%2e%2E/add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/%/add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/%zz/add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/%ff/add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/a%00b/add-item", &[JSON], GOOD, 400, "HW0005", None),
    ("POST", "/v1/entities/cart/a%0d%0ab/add-item", &[JSON], GOOD, 400, "HW0005", None),
];

const PARAMETERS: &[Row] = &[
    ("POST", "/v1/entities/cart/c1/add-item?dry=true", &[JSON], GOOD, 400, "HW0004", None),
    ("GET", "/v1/entities/cart?limit=0", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?limit=1001", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?limit=ten", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?limit=+1", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?limit=1&limit=2", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?after=", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart?after=%zz", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?sequnce=1", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?sequence=0", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?sequence=1&at=2026-01-01T00:00:00Z", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?at=yesterday", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?stale=yes", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1?sequence=99", &[], "", 404, "HW0032", None),
    ("GET", "/v1/entities/cart/c1?at=1999-01-01T00:00:00Z", &[], "", 404, "HW0013", None),
    ("GET", "/v1/entities/cart/c1/events?after=99", &[], "", 404, "HW0032", None),
    ("GET", "/v1/entities/cart/c1/events?after=18446744073709551615", &[], "", 400, "HW0004", None),
    ("GET", "/v1/entities/cart/c1/commands/k1?x=1", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?after=nonsense", &[], "", 400, "HW0006", None),
    ("GET", "/v1/streams/shop?after=AQEBAQEBAQEBAQEBAQEBAQEAAAAAAAAACQ", &[], "", 409, "HW0021", None),
    ("GET", "/v1/streams/shop?live=perhaps", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?limit=0", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?type=Cart", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?type=cart/", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?key=cart", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?key=cart/c1&key=cart/c2", &[], "", 400, "HW0004", None),
    ("GET", "/v1/streams/shop?tag=sku", &[], "", 400, "HW0004", None),
    ("GET", "/readyz?verbos", &[], "", 400, "HW0004", None),
    ("GET", "/openapi.json?pretty", &[], "", 400, "HW0004", None),
];

async fn seeded() -> Shop {
    let shop = Shop::open().await;
    let first = shop.post(ADD, &[("idempotency-key", "k1")], r#"{"sku":"first","quantity":1}"#).await;
    assert_eq!(first.status, 200);
    shop
}

async fn check(rows: &[Row<'_>]) {
    let shop = seeded().await;
    let before = shop.head().await;
    for (method, path, headers, body, status, code, pointer) in rows {
        let answer = shop.ask(method, path, headers, body).await;
        let row = format!("{method} {path} {headers:?} {body}");
        assert_eq!((answer.status, answer.code()), (*status, *code), "{row}: {}", answer.json);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{row}");
        assert_eq!(answer.json["status"], *status, "{row}");
        assert!(answer.json["type"].as_str().is_some_and(|address| address.ends_with(code)), "{row}");
        assert!(answer.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{row}");
        if let Some(pointer) = pointer {
            assert_eq!(answer.json["errors"][0]["pointer"], *pointer, "{row}: {}", answer.json);
        }
        assert_eq!(shop.head().await, before, "{row}: something was recorded");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    check(BODIES).await;
}

#[tokio::test]
async fn bad_headers_are_refused() {
    check(HEADERS).await;
}

#[tokio::test]
async fn bad_paths_are_refused() {
    check(PATHS).await;
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    check(PARAMETERS).await;
}

#[tokio::test]
async fn depth_is_bounded() {
    let shop = seeded().await;
    let before = shop.head().await;
    for (depth, code) in [(65, "HW0002"), (100_000, "HW0002")] {
        let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let answer = shop.post(ADD, &[], &body).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{depth}");
    }
    assert_eq!(shop.head().await, before);
}

#[tokio::test]
async fn long_names_are_refused_where_they_stand() {
    let shop = seeded().await;
    let before = shop.head().await;
    let long = "x".repeat(257);
    for (path, headers, status, code) in [
        (format!("/v1/entities/cart/{long}/add-item"), vec![], 400, "HW0005"),
        (format!("/v1/entities/cart/c1/{long}"), vec![], 404, "HW0012"),
        (ADD.to_owned(), vec![("idempotency-key", long.as_str())], 400, "HW0007"),
        (ADD.to_owned(), vec![("correlation-id", long.as_str())], 400, "HW0003"),
    ] {
        let answer = shop.post(&path, &headers, GOOD).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}: {}", answer.json);
    }
    assert_eq!(shop.head().await, before);
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones_and_a_mistyped_name_its_neighbour() {
    let shop = seeded().await;
    assert_eq!(shop.get(ADD).await.header("allow"), Some("POST"));
    assert_eq!(shop.ask("PUT", "/v1/entities/cart/c1/events", &[], "").await.header("allow"), Some("GET, HEAD, POST"));
    for (path, near) in [("/v1/entities/crat/c1", "did you mean `cart`"), ("/v1/entities/cart/c1?sequnce=1", "did you mean `sequence`")] {
        let answer = shop.get(path).await;
        assert!(answer.json["detail"].as_str().unwrap().contains(near), "{}", answer.json);
    }
    let answer = shop.post("/v1/entities/cart/c1/add-itme", &[], GOOD).await;
    assert!(answer.json["detail"].as_str().unwrap().contains("did you mean `add-item`"), "{}", answer.json);
}
