//! Streams over WebSockets: the handshake, the events, credit, signs of life, and every way in which a session ends.

pub(crate) mod raw;

use std::time::Duration;

use gateway::Options;
use serde_json::{Value as Json, json};

use crate::shop::Shop;
use raw::{BINARY, CLOSE, FIN, Heard, PING, Peer, TEXT, UPGRADE, head};

async fn sample() -> Shop {
    let shop = Shop::open().await;
    fill(&shop).await;
    shop
}

async fn fill(shop: &Shop) {
    for (id, sku) in [("c1", "a"), ("c2", "ä"), ("c1", "b"), ("c3", "b")] {
        shop.add(id, sku, 1).await;
    }
    shop.post("/v1/entities/cart/c2/pay", &[], "{}").await;
}

/// The lines of NDJSON, as they are.
async fn lines(shop: &Shop, path: &str) -> Vec<String> {
    let mut stream = shop.stream(path, &[]).await;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(String::from_utf8(line.to_vec()).unwrap());
    }
    lines
}

fn cursor(text: &str) -> String {
    let event: Json = serde_json::from_str(text).unwrap();
    event["cursor"].as_str().or(event["progress"]["cursor"].as_str()).expect("it has a place").to_owned()
}

#[tokio::test]
async fn messages_are_the_lines_of_ndjson() {
    let shop = sample().await;
    for path in ["/v1/streams/shop", "/v1/streams/carts", "/v1/streams/cart-documents", "/v1/streams/shop?type=cart/paid&key=cart/c2"] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let expected = lines(&shop, path).await;
        let (mut texts, code, _) = Peer::open(shop.address, &format!("{path}{separator}live=false")).await.goodbye().await;
        texts.retain(|text| !text.starts_with("{\"progress\""));
        assert_eq!((texts, code), (expected, 1000), "{path}");
    }
}

#[tokio::test]
async fn a_session_is_live_and_ends_after_its_limit() {
    let shop = sample().await;
    let mut peer = Peer::open(shop.address, &format!("/v1/streams/shop?limit=2&after={}", shop.head().await)).await;
    for id in ["d1", "d2"] {
        shop.add(id, "a", 1).await;
        assert_eq!(peer.json().await["subject"], id);
    }
    assert_eq!(peer.goodbye().await, (Vec::new(), 1000, "this is all".to_owned()));
}

#[tokio::test]
async fn who_begins_now_is_told_where_that_is() {
    let shop = sample().await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?after=now").await;
    assert_eq!(peer.json().await, json!({ "progress": { "cursor": shop.head().await.to_string() } }));
}

#[tokio::test]
async fn a_sparse_filter_moves_on_by_progress() {
    let shop = Shop::open_with(Options { heartbeat: Duration::from_millis(20), ..Options::default() }).await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?type=cart/paid").await;
    shop.add("c1", "a", 1).await;
    let head = shop.head().await.to_string();
    while peer.json().await != json!({ "progress": { "cursor": head } }) {}
    shop.post("/v1/entities/cart/c1/pay", &[], "{}").await;
    assert_eq!(peer.json().await["type"], "shop.cart.paid");
}

#[tokio::test]
async fn the_subprotocol_is_chosen_among_those_that_are_offered() {
    let shop = sample().await;
    let offer = [("sec-websocket-protocol", "soap, headwater.events.v1"), ("sec-websocket-protocol", "wamp")];
    let peer = Peer::open_with(shop.address, "/v1/streams/shop", &offer).await;
    assert!(peer.head.contains("sec-websocket-protocol: headwater.events.v1\r\n"), "{}", peer.head);
    let peer = Peer::open(shop.address, "/v1/streams/shop").await;
    assert!(!peer.head.contains("sec-websocket-protocol"), "{}", peer.head);
}

#[tokio::test]
async fn a_page_of_this_origin_is_served() {
    let shop = sample().await;
    for headers in [&[("origin", "http://shop.test")][..], &[("origin", "http://shop.test"), ("sec-fetch-site", "same-origin")]] {
        let _opened = Peer::open_with(shop.address, "/v1/streams/shop", headers).await;
    }
}

/// The handshake with some headers replaced, or left out when they are empty.
fn upgrade(changed: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let kept = UPGRADE.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    kept.chain(changed.iter().copied().filter(|(_, value)| !value.is_empty())).collect()
}

#[tokio::test]
async fn a_bad_handshake_is_a_problem_before_anything_is_switched() {
    let shop = sample().await;
    let far = "a".repeat(64);
    for (path, changed, status, code) in [
        ("", &[("origin", "http://evil.test")][..], 403, "HW0008"),
        ("", &[("origin", "null")], 403, "HW0008"),
        ("", &[("origin", "http://shop.test"), ("sec-fetch-site", "cross-site")], 403, "HW0008"),
        ("", &[("sec-websocket-version", "8")], 426, "HW0009"),
        ("", &[("sec-websocket-version", "")], 426, "HW0009"),
        ("", &[("connection", "keep-alive")], 400, "HW0003"),
        ("", &[("upgrade", "h2c")], 400, "HW0003"),
        ("", &[("upgrade", "")], 400, "HW0003"),
        ("", &[("sec-websocket-key", "")], 400, "HW0003"),
        ("", &[("sec-websocket-key", "c2hvcnQ=")], 400, "HW0003"),
        ("", &[("sec-websocket-protocol", "headwater.events.v2, soap")], 400, "HW0003"),
        ("", &[("last-event-id", "x")], 400, "HW0003"),
        ("?after=x", &[], 400, "HW0006"),
        ("?type=", &[], 400, "HW0004"),
        ("?credit=-1", &[], 400, "HW0004"),
        ("?credit=1000001", &[], 400, "HW0004"),
        ("?wait=1", &[], 400, "HW0004"),
        (far.as_str(), &[], 404, "HW0130"),
    ] {
        let mut peer = Peer::ask(shop.address, &format!("/v1/streams/shop{path}"), &upgrade(changed)).await.unwrap();
        assert!(peer.head.starts_with(&format!("http/1.1 {status} ")), "{path} {changed:?}: {}", peer.head);
        assert!(status != 426 || peer.head.contains("sec-websocket-version: 13\r\n"), "{}", peer.head);
        // The connection is HTTP still, and takes the next request.
        peer.send_bytes(b"GET /livez HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").await;
        let rest = peer.rest().await;
        assert!(rest.contains(code) && rest.contains("HTTP/1.1 200"), "{path} {changed:?}: {rest}");
    }
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let shop = sample().await;
    let bytes = head("/v1/streams/shop", &upgrade(&[("content-length", "2")])) + "{}";
    let peer = Peer::ask_with(shop.address, bytes.as_bytes()).await.unwrap();
    assert!(peer.head.starts_with("http/1.1 400 "), "{}", peer.head);
}

#[tokio::test]
async fn what_belongs_to_websockets_is_refused_elsewhere() {
    let shop = sample().await;
    let refused = shop.get("/v1/streams/shop?credit=1").await;
    assert_eq!((refused.status, refused.code()), (400, "HW0004"));
    // A method or a route that has none answers as if nothing had been asked.
    let listed = shop.ask("GET", "/v1/streams", &upgrade(&[]), "").await;
    assert_eq!(listed.status, 200);
}

#[tokio::test]
async fn credit_is_honoured_to_the_event() {
    let shop = sample().await;
    let expected = lines(&shop, "/v1/streams/shop").await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?credit=0").await;
    let mut got = peer.texts_before_pong(b"begin").await;
    assert_eq!(got, [""; 0]);
    for (round, granted) in [1, 2, 1].into_iter().enumerate() {
        peer.send_text(&json!({ "credit": granted }).to_string()).await;
        for _ in 0..granted {
            got.push(peer.text().await);
        }
        for turn in 0..3 {
            assert_eq!(peer.texts_before_pong(format!("{round}.{turn}").as_bytes()).await, [""; 0]);
        }
    }
    assert_eq!(got, expected[..4]);
    // What is not asked for yet stays here, with its place: the reader goes on with it elsewhere.
    let mut other = Peer::open(shop.address, &format!("/v1/streams/shop?live=false&after={}", cursor(&got[3]))).await;
    assert_eq!(other.goodbye().await.0, expected[4..]);
}

#[tokio::test]
async fn no_place_passes_an_event_that_waits_for_credit() {
    let shop = Shop::open_with(Options { heartbeat: Duration::from_millis(10), ..Options::default() }).await;
    fill(&shop).await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?credit=0&type=cart/paid").await;
    for _ in 0..5 {
        // A progress now would lead who resumes with it past the event.
        assert_eq!(peer.hear().await, Heard::Ping);
        peer.send(FIN | raw::PONG, b"").await;
    }
    peer.send_text("{\"credit\":1}").await;
    assert_eq!(peer.json().await["type"], "shop.cart.paid");
}

#[tokio::test]
async fn who_has_got_all_is_told_so_without_more_credit() {
    let shop = sample().await;
    let path = format!("/v1/streams/shop?live=false&credit={}", 5);
    let (texts, code, _) = Peer::open(shop.address, &path).await.goodbye().await;
    assert_eq!((texts.len(), code), (5, 1000));
}

#[tokio::test]
async fn a_message_may_come_in_parts_with_a_ping_between() {
    let shop = sample().await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?credit=0").await;
    peer.send(TEXT, b"{\"cre").await;
    peer.send(0, b"dit\"").await;
    assert_eq!(peer.texts_before_pong(b"between").await, [""; 0]);
    peer.send(FIN, b":1}").await;
    assert_eq!(peer.json().await["subject"], "c1");
}

#[tokio::test]
async fn what_means_nothing_is_told_so_and_ends_the_session() {
    let shop = sample().await;
    let (bytes_max, long) = (1024, vec![b' '; 1025]);
    for (what, path, frames, code) in [
        ("no JSON", "?credit=1", &[(FIN | TEXT, &b"hello"[..])][..], 1008),
        ("another word", "?credit=1", &[(FIN | TEXT, b"{\"credit\":1,\"more\":1}")], 1008),
        ("no credit", "?credit=1", &[(FIN | TEXT, b"{\"credit\":0}")], 1008),
        ("less credit", "?credit=1", &[(FIN | TEXT, b"{\"credit\":-1}")], 1008),
        ("too much", "?credit=1", &[(FIN | TEXT, b"{\"credit\":1000001}")], 1008),
        ("too much in sum", "?credit=0", &[(FIN | TEXT, b"{\"credit\":1000000}"), (FIN | TEXT, b"{\"credit\":1000000}")], 1008),
        ("without credit", "", &[(FIN | TEXT, b"{\"credit\":1}")], 1008),
        ("bytes", "", &[(FIN | BINARY, b"{}")], 1003),
        ("no UTF-8", "", &[(FIN | TEXT, b"\xc3\x28")], 1007),
        ("too long", "", &[(FIN | TEXT, &long)], 1009),
        ("too long in parts", "", &[(TEXT, &long[..bytes_max]), (FIN, b" ")], 1009),
        ("a reserved bit", "", &[(0x40 | FIN | TEXT, b"{}")], 1002),
        ("a reserved opcode", "", &[(FIN | 3, b"{}")], 1002),
        ("a part of nothing", "", &[(FIN, b"{}")], 1002),
        ("a ping in parts", "", &[(PING, b"{}")], 1002),
        ("a long ping", "", &[(FIN | PING, &[b'x'; 126])], 1002),
        ("half a goodbye", "", &[(FIN | CLOSE, b"\x03")], 1002),
    ] {
        let mut peer = Peer::open(shop.address, &format!("/v1/streams/shop{path}")).await;
        for (first, payload) in frames {
            peer.send(*first, payload).await;
        }
        let (_, told, reason) = peer.goodbye().await;
        assert_eq!(told, code, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_length_that_is_only_declared_costs_nothing() {
    let shop = sample().await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop").await;
    peer.send_bytes(&[FIN | TEXT, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]).await;
    assert_eq!(peer.goodbye().await.1, 1009);
}

#[tokio::test]
async fn frames_without_a_mask_are_refused() {
    let shop = sample().await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop").await;
    peer.send_bytes(&[FIN | TEXT, 2, b'{', b'}']).await;
    assert_eq!(peer.goodbye().await.1, 1002);
}

#[tokio::test]
async fn a_reader_that_says_goodbye_is_answered() {
    let shop = sample().await;
    for (payload, expected) in [(&b"\x03\xe8done"[..], (1000, "done")), (b"\x0f\xa0", (4000, "")), (b"", (1005, ""))] {
        let mut peer = Peer::open(shop.address, "/v1/streams/shop?after=now").await;
        let _progress = peer.text().await;
        peer.send(FIN | CLOSE, payload).await;
        assert_eq!(peer.hear().await, Heard::Close(expected.0, expected.1.to_owned()));
        assert_eq!(peer.hear().await, Heard::End);
    }
}

/// A session outlives both times that a request may take to begin.
fn lively() -> Options {
    let [heartbeat, idle_timeout, write_stall_timeout] = [10, 50, 100].map(Duration::from_millis);
    Options { heartbeat, idle_timeout, write_stall_timeout, header_read_timeout: Duration::from_millis(200), ..Options::default() }
}

#[tokio::test]
async fn a_reader_that_answers_pings_stays_and_one_that_does_not_is_told_goodbye() {
    let shop = Shop::open_with(lively()).await;
    let path = format!("/v1/streams/shop?after={}", shop.head().await);
    let mut lives = Peer::open(shop.address, &path).await;
    let mut silent = Peer::open(shop.address, &path).await;
    for _ in 0..50 {
        assert_eq!(lives.hear().await, Heard::Ping);
        lives.send(FIN | raw::PONG, b"").await;
    }
    let (texts, code, reason) = silent.goodbye().await;
    assert_eq!((texts, code, reason.as_str()), (Vec::new(), 1008, "no answer to a ping within 0.1 seconds"));
    shop.add("c1", "a", 1).await;
    assert_eq!(lives.json().await["subject"], "c1");
}

#[tokio::test]
async fn a_stop_says_that_the_service_restarts_and_waits_for_the_answer() {
    let mut shop = sample().await;
    let after = shop.head().await;
    let mut idle = Peer::open(shop.address, &format!("/v1/streams/shop?after={after}")).await;
    let mut without_credit = Peer::open(shop.address, "/v1/streams/shop?credit=0").await;
    assert_eq!(without_credit.texts_before_pong(b"open").await, [""; 0]);
    shop.take_stop().send(()).unwrap();
    for peer in [&mut idle, &mut without_credit] {
        let (texts, code, reason) = peer.goodbye().await;
        assert_eq!((texts, code), (Vec::new(), 1012), "{reason}");
    }
    shop.stopped().await;
}

#[tokio::test]
async fn a_stop_says_so_to_a_reader_that_would_have_ended_at_the_head_too() {
    let mut shop = sample().await;
    let mut peer = Peer::open(shop.address, "/v1/streams/shop?live=false&credit=1").await;
    let place = peer.json().await["cursor"].as_str().unwrap().to_owned();
    shop.take_stop().send(()).unwrap();
    let (texts, code, reason) = peer.goodbye().await;
    assert_eq!((texts, code), (Vec::new(), 1012), "{reason}");
    assert!(!place.is_empty(), "it has a place to come back to");
    shop.stopped().await;
}

#[tokio::test]
async fn a_stopping_service_takes_no_new_session() {
    let mut shop = Shop::open_with(Options { drain_linger: Duration::from_secs(5), ..Options::default() }).await;
    let mut first = Peer::open(shop.address, &format!("/v1/streams/shop?after={}", shop.head().await)).await;
    shop.take_stop().send(()).unwrap();
    assert_eq!(first.goodbye().await.1, 1012);
    let refused = Peer::ask(shop.address, "/v1/streams/shop", &UPGRADE).await.unwrap();
    assert!(refused.head.starts_with("http/1.1 503 "), "{}", refused.head);
    assert!(refused.rest().await.contains("HW0041"));
}

#[tokio::test]
async fn a_reader_that_does_not_answer_a_goodbye_holds_a_stop_up_no_longer_than_its_deadline() {
    let drain = Duration::from_millis(50);
    let mut shop = Shop::open_with(Options { drain_linger: Duration::ZERO, drain_timeout: drain, ..Options::default() }).await;
    let mut mute = Peer::open(shop.address, &format!("/v1/streams/shop?after={}", shop.head().await)).await;
    shop.take_stop().send(()).unwrap();
    shop.stopped().await;
    assert!(matches!(mute.hear().await, Heard::Close(1012, _)), "it was told all the same");
    assert_eq!(mute.hear().await, Heard::End);
}

#[tokio::test]
async fn a_read_that_fails_ends_with_its_problem() {
    let shop = Shop::open().await;
    for sku in ["a", "panic", "b"] {
        shop.add("c1", sku, 1).await;
    }
    let (mut texts, code, reason) = Peer::open(shop.address, "/v1/streams/carts").await.goodbye().await;
    let last: Json = serde_json::from_str(&texts.pop().unwrap()).unwrap();
    assert_eq!((&last["problem"]["code"], code, reason.as_str()), (&json!("HW0051"), 1011, "HW0051 unreadable"));
    texts.retain(|text| !text.starts_with("{\"progress\""));
    assert_eq!(texts.len(), 1, "nothing is left out silently, and nothing told behind it");
}

#[tokio::test]
async fn what_was_sent_along_with_the_handshake_is_heard() {
    let shop = sample().await;
    let mut bytes = head("/v1/streams/shop?credit=0", &UPGRADE).into_bytes();
    let grant = b"{\"credit\":1}";
    bytes.extend([FIN | TEXT, 0x80 | grant.len() as u8, 0, 0, 0, 0]);
    bytes.extend(grant);
    let mut peer = Peer::ask_with(shop.address, &bytes).await.unwrap();
    assert_eq!(peer.json().await["subject"], "c1");
}
