//! Readers whose connection is cut at any byte, again and again: with the last place that they were told they come back to a whole journal,
//! with nothing lost and nothing twice.

use std::net::SocketAddr;

use gateway::client::Connection;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::shop::Shop;
use crate::websockets::raw::{Heard, Peer, UPGRADE};

const EVENTS: usize = 120;
/// It ends when all is told, so that the last line need not break.
const ADDRESS: &str = "/v1/streams/shop?live=false";
const SEEDS: u64 = 12;

/// Numbers that look random (Steele, Lea, Flood: SplitMix).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) % bound).unwrap()
    }
}

/// A line to a server that breaks after so many bytes of what comes back. Each serves one connection.
async fn line_of(bytes: usize, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
        let (mut from_near, mut to_near) = near.split();
        let (from_far, mut to_far) = far.split();
        let mut limited = from_far.take(bytes as u64);
        tokio::select! {
            _over = tokio::io::copy(&mut limited, &mut to_near) => {}
            _never = async {
                let _gone = tokio::io::copy(&mut from_near, &mut to_far).await;
                std::future::pending::<()>().await;
            } => {}
        }
        let _gone = to_near.flush().await;
    });
    address
}

async fn full() -> (Shop, Vec<String>) {
    let shop = Shop::open().await;
    for index in 0..EVENTS {
        let id = format!("c{}", index % 7);
        shop.add(&id, &"x".repeat(1 + index % 60), 1).await;
    }
    let mut all = Vec::new();
    let mut stream = shop.stream("/v1/streams/shop", &[]).await;
    while let Some(line) = stream.next().await.unwrap() {
        all.push(String::from_utf8(line.to_vec()).unwrap());
    }
    (shop, all)
}

/// What one connection of server-sent events gave before it broke: the data of whole events, and the last id.
async fn sse(address: SocketAddr, last: Option<&str>) -> (Vec<String>, Option<String>) {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("text/event-stream"));
    headers.extend(last.map(|id| (http::HeaderName::from_static("last-event-id"), HeaderValue::from_str(id).unwrap())));
    let mut client = Connection::new(&format!("http://{address}")).unwrap();
    let (mut events, mut told) = (Vec::new(), None);
    // Cut within the head of the answer, nothing has come.
    let Ok(Ok(mut stream)) = client.stream(Method::GET, ADDRESS, headers, bytes::Bytes::new()).await else {
        return (events, told);
    };
    let (mut id, mut is_event) = (None, true);
    // Our events have one line of data, their last; it is whole when its end has come, and with it the event.
    while let Ok(Some(line)) = stream.next().await {
        let line = String::from_utf8(line.to_vec()).unwrap();
        match line.split_once(": ") {
            Some(("id", text)) => id = Some(text.to_owned()),
            Some(("event", _)) => is_event = false,
            Some(("data", data)) => {
                events.extend(is_event.then(|| data.to_owned()));
                told = id.take().or(told);
                is_event = true;
            }
            _ => {}
        }
    }
    (events, told)
}

/// What one WebSocket gave before it broke.
async fn websocket(address: SocketAddr, last: Option<&str>) -> (Vec<String>, Option<String>) {
    let path = last.map_or_else(|| ADDRESS.to_owned(), |cursor| format!("{ADDRESS}&after={cursor}"));
    let (mut events, mut told) = (Vec::new(), None);
    let Some(mut peer) = Peer::ask(address, &path, &UPGRADE).await else { return (events, told) };
    peer.may_be_cut();
    while let Heard::Text(text) = peer.hear().await {
        let message: Json = serde_json::from_str(&text).unwrap();
        let cursor = message["cursor"].as_str().or(message["progress"]["cursor"].as_str()).expect("each message has a place");
        told = Some(cursor.to_owned());
        events.extend(message["specversion"].is_string().then_some(text));
    }
    (events, told)
}

/// Reads over lines that break, until all is there.
macro_rules! check_cuts {
    ($reader:path) => {
        let (shop, all) = full().await;
        let mut cuts = 0;
        for seed in 0..SEEDS {
            let mut dice = Dice(seed);
            let (mut got, mut last) = (Vec::new(), None::<String>);
            while got.len() < all.len() {
                // Long enough to bring something now and then, short enough to break anywhere: also within the head.
                let line = line_of(1 + dice.below(6_000), shop.address).await;
                let (events, told) = $reader(line, last.as_deref()).await;
                got.extend(events);
                last = told.or(last);
                cuts += 1;
            }
            assert_eq!(got, all, "seed {seed}");
        }
        assert!(cuts > 100, "{cuts}");
    };
}

#[tokio::test]
async fn server_sent_events_lose_and_repeat_nothing_over_cuts_at_any_byte() {
    check_cuts!(sse);
}

#[tokio::test]
async fn websockets_lose_and_repeat_nothing_over_cuts_at_any_byte() {
    check_cuts!(websocket);
}
