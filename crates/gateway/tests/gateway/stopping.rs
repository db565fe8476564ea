//! A stop under load: what was acknowledged is there, what was refused is not, and the server comes to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::Options;
use http::Method;
use journal::{Cursor, ReadMode, Selection};

use crate::shop::{Shop, header_map, recorded};

#[derive(Default)]
struct Tally {
    accepted: BTreeSet<String>,
    refused: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

/// Sends one command after the other until the service is gone.
async fn load(shop: Arc<Shop>, worker: usize) -> Tally {
    let mut tally = Tally::default();
    let mut client = shop.client();
    for number in 0.. {
        let id = format!("w{worker}-{number}");
        let path = format!("/v1/entities/cart/{id}/pay");
        match client.request(Method::POST, &path, header_map(&[]), Bytes::new()).await {
            Ok(answer) if answer.status == 200 => drop(tally.accepted.insert(id)),
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                assert!(answer.status == 503 && body.contains("HW0041"), "{} {body}", answer.status);
                assert!(answer.headers.contains_key("retry-after"));
                assert_eq!(answer.headers["connection"], "close");
                tally.refused.insert(id);
                return tally;
            }
            Err(error) => {
                let target = if error.may_have_taken_effect() { &mut tally.unknown } else { &mut tally.refused };
                target.insert(id);
                return tally;
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing() {
    let mut shop = Shop::open().await;
    let journal = Arc::clone(&shop.journal);
    let stop = shop.take_stop();
    let shop = Arc::new(shop);
    let workers: Vec<_> = (0..8).map(|worker| tokio::spawn(load(Arc::clone(&shop), worker))).collect();
    while recorded(&journal).await < 200 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let mut all = Tally::default();
    for worker in workers {
        let tally = worker.await.unwrap();
        all.accepted.extend(tally.accepted);
        all.refused.extend(tally.refused);
        all.unknown.extend(tally.unknown);
    }
    Arc::into_inner(shop).expect("every worker is done").stopped().await;
    let mut found = BTreeSet::new();
    let mut events = journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    while let Some(event) = events.next_event().await {
        let entity = event.unwrap().entity.clone();
        if entity.kind() == "cart" {
            found.insert(entity.id().to_owned());
        }
    }
    assert!(all.accepted.len() >= 192);
    assert!(all.accepted.is_subset(&found), "an acknowledged command is gone");
    assert!(all.refused.is_disjoint(&found), "a refused command took effect");
    let unaccounted: Vec<_> = found.iter().filter(|id| !all.accepted.contains(*id) && !all.unknown.contains(*id)).collect();
    assert!(unaccounted.is_empty(), "{unaccounted:?}");
}

#[tokio::test]
async fn readiness_fails_at_once_and_live_streams_end() {
    let mut shop = Shop::open_with(Options { drain_linger: Duration::from_secs(5), ..Options::default() }).await;
    shop.add("c1", "a", 1).await;
    let mut lines = shop.stream("/v1/streams/shop?live=true", &[]).await;
    let mut events = shop.stream("/v1/streams/shop", &[("accept", "text/event-stream")]).await;
    assert!(lines.next().await.unwrap().is_some());
    shop.take_stop().send(()).unwrap();
    while events.next().await.unwrap().is_some() {}
    assert_eq!(lines.next().await.unwrap(), None);
    let ready = shop.get("/readyz?verbose").await;
    assert_eq!((ready.status, ready.code(), ready.header("connection")), (503, "HW0041", Some("close")));
    assert_eq!((&ready.json["reasons"][0], &ready.json["sight"]["stopping"]), (&"the service is stopping".into(), &true.into()));
    let refused = shop.ask("POST", "/v1/entities/cart/c1/pay", &[], "").await;
    assert_eq!((refused.status, refused.code(), refused.header("retry-after")), (503, "HW0041", Some("5")));
    assert_eq!(shop.get("/livez").await.status, 200, "stopping is no reason to be killed");
    assert_eq!(shop.get("/v1/entities/cart/c1").await.status, 200, "reads are answered to the end");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_at_the_deadline() {
    let drain = Duration::from_millis(50);
    let mut shop = Shop::open_with(Options { drain_linger: Duration::ZERO, drain_timeout: drain, ..Options::default() }).await;
    let mut half = tokio::net::TcpStream::connect(shop.address).await.unwrap();
    let head = b"POST /v1/entities/cart/c1/add-item HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut half, head).await.unwrap();
    // The server has it in its hands once a later connection is answered.
    assert_eq!(shop.get("/livez").await.status, 200);
    let journal = Arc::clone(&shop.journal);
    shop.take_stop().send(()).unwrap();
    shop.stopped().await;
    assert_eq!(recorded(&journal).await, 0);
}
