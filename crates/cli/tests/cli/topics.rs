//! Topics over kill -9: a client that sends everything three times across the kills leaves each message once, and a consumer
//! whose clients pull through them gets every message at least once, in order per key.
//!
//! `HEADWATER_KILL_ROUNDS` sets the rounds: 25 in CI, 5 elsewhere unless it says otherwise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::Method;
use serde_json::{Value as Json, json};

use super::process::{Directory, Shop, check_code, run, stdout};

const KEYS: usize = 7;
const PULLERS: usize = 3;
const BATCH: usize = 500;

/// Messages that came, in the order in which they did: their key and id.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

async fn ask(client: &mut Connection, method: Method, path: &str, media_type: &'static str, body: &Json) -> Option<(u16, Bytes)> {
    let mut headers = command_headers(None).expect("there is no key");
    headers.insert("content-type", http::HeaderValue::from_static(media_type));
    let answer = client.request(method, path, headers, Bytes::from(body.to_string())).await.ok()?;
    Some((answer.status.as_u16(), answer.body))
}

fn message(id: &str) -> Json {
    let number: usize = id.rsplit('-').next().and_then(|number| number.parse().ok()).expect("ids end in a number");
    json!({ "specversion": "1.0", "id": id, "source": "/witness", "type": "notice", "subject": format!("k{}", number % KEYS), "data": { "id": id } })
}

/// Sends new messages one by one until it is killed; gives all that it tried.
async fn publish_until(url: String, round: u64, killed: Arc<AtomicBool>) -> Vec<String> {
    let mut client = Connection::new(&url).expect("the URL fits");
    let mut sent = Vec::new();
    while !killed.load(Ordering::Relaxed) {
        let id = format!("{round}-{}", sent.len());
        sent.push(id.clone());
        for _ in 0..2 {
            let Some((status, body)) =
                ask(&mut client, Method::POST, "/v1/topics/notices", "application/cloudevents+json", &message(&id)).await
            else {
                return sent;
            };
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        }
    }
    sent
}

/// Sends them again, in their order.
async fn resend(url: &str, ids: &[String]) {
    let mut client = Connection::new(url).expect("the URL fits");
    for part in ids.chunks(BATCH) {
        let batch: Vec<Json> = part.iter().map(|id| message(id)).collect();
        let answer = ask(&mut client, Method::POST, "/v1/topics/notices", "application/cloudevents-batch+json", &json!(batch)).await;
        let (_, body) = answer.expect("the shop runs");
        let lines: Vec<Json> = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert!(lines.len() == part.len() && lines.iter().all(|line| line["status"] == 200), "{lines:?}");
    }
}

/// Pulls and acknowledges until told to stop or killed.
async fn pull_until(url: String, consumer: &'static str, seen: Seen, stop: Arc<AtomicBool>) {
    let mut client = Connection::new(&url).expect("the URL fits");
    let path = format!("/v1/consumers/{consumer}");
    while !stop.load(Ordering::Relaxed) {
        let wanted = json!({ "max": 5, "wait_seconds": 1 });
        let Some((status, body)) = ask(&mut client, Method::POST, &format!("{path}/pull"), "application/json", &wanted).await else {
            return;
        };
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let pulled: Json = serde_json::from_slice(&body).expect("an answer is JSON");
        let pulled = pulled["deliveries"].as_array().expect("there is a list").clone();
        if pulled.is_empty() {
            continue;
        }
        for delivery in &pulled {
            let text = |name: &str| delivery["event"][name].as_str().expect("it is a message of ours").to_owned();
            seen.lock().expect("nobody panics with it").push((text("subject"), text("id")));
        }
        let ids: Vec<&Json> = pulled.iter().map(|delivery| &delivery["delivery"]).collect();
        if ask(&mut client, Method::POST, &format!("{path}/ack"), "application/json", &json!({ "deliveries": ids })).await.is_none() {
            return;
        }
    }
}

async fn set_up(url: &str, consumer: &str) {
    let mut client = Connection::new(url).expect("the URL fits");
    let setup = json!({ "topic": "notices", "start": "first", "ack_seconds": 60 });
    let (status, body) =
        ask(&mut client, Method::PUT, &format!("/v1/consumers/{consumer}"), "application/json", &setup).await.expect("it runs");
    assert!(matches!(status, 200 | 201), "{}", String::from_utf8_lossy(&body));
}

/// Lets clients of a consumer pull until so many different messages were seen.
async fn pull_all(url: &str, consumer: &'static str, seen: &Seen, count: usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let pullers: Vec<_> =
        (0..PULLERS).map(|_| tokio::spawn(pull_until(url.to_owned(), consumer, Arc::clone(seen), Arc::clone(&stop)))).collect();
    while firsts(seen).values().map(Vec::len).sum::<usize>() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for puller in pullers {
        puller.await.expect("it does not panic");
    }
}

/// The messages of each key in the order in which they first came.
fn firsts(seen: &Seen) -> BTreeMap<String, Vec<String>> {
    let mut firsts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut known = std::collections::HashSet::new();
    for (key, id) in seen.lock().expect("nobody panics with it").iter() {
        if known.insert(id.clone()) {
            firsts.entry(key.clone()).or_default().push(id.clone());
        }
    }
    firsts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_survive_kill_9_once_each_and_every_one_is_delivered_in_order() {
    let default = if std::env::var_os("CI").is_some() { 25 } else { 5 };
    let rounds: u64 = std::env::var("HEADWATER_KILL_ROUNDS").ok().map_or(default, |rounds| rounds.parse().expect("it is a number"));
    let directory = Directory::new();
    let (seen, mut sent) = (Seen::default(), Vec::new());
    for round in 0..rounds {
        let mut shop = Shop::start(&directory, &["--empty"]);
        set_up(&shop.url, "inbox").await;
        resend(&shop.url, &sent).await;
        let killed = Arc::new(AtomicBool::new(false));
        let publisher = tokio::spawn(publish_until(shop.url.clone(), round, Arc::clone(&killed)));
        let pullers: Vec<_> =
            (0..PULLERS).map(|_| tokio::spawn(pull_until(shop.url.clone(), "inbox", Arc::clone(&seen), Arc::clone(&killed)))).collect();
        tokio::time::sleep(Duration::from_millis(200 + 37 * (round % 5))).await;
        shop.kill();
        killed.store(true, Ordering::Relaxed);
        sent.extend(publisher.await.expect("it does not panic"));
        for puller in pullers {
            puller.await.expect("it does not panic");
        }
    }
    let shop = Shop::start(&directory, &["--empty"]);
    for _ in 0..3 {
        resend(&shop.url, &sent).await;
    }
    pull_all(&shop.url, "inbox", &seen, sent.len()).await;
    set_up(&shop.url, "audit").await;
    let audit = Seen::default();
    pull_all(&shop.url, "audit", &audit, sent.len()).await;
    let count = audit.lock().expect("nobody panics with it").len();
    assert_eq!(count, sent.len(), "each message is in the journal once");
    assert_eq!(firsts(&seen), firsts(&audit), "every message came, and in the order of its key");
    assert!(sent.len() as u64 > rounds * 5, "only {} messages in {rounds} rounds: nothing was tested", sent.len());
    let came = seen.lock().expect("nobody panics with it").len();
    eprintln!("{rounds} kills, {} messages, 0 lost, 0 doubled in the journal; {} deliveries came again", sent.len(), came - sent.len());
}

#[test]
fn the_command_line_publishes_a_message_once() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let publish = |more: &[&'static str]| {
        let arguments = ["topic", "publish", "notices", r#"{"a":1}"#, "--url", &shop.url, "--id", "n/1 %", "--subject", "straße", "--json"];
        let arguments: Vec<String> = arguments.iter().chain(more).map(|text| (*text).to_owned()).collect();
        run(&directory, arguments)
    };
    let first = publish(&[]);
    check_code(&first, 0);
    let answer: Json = serde_json::from_str(&stdout(&first)).expect("it is JSON");
    assert_eq!((&answer["id"], &answer["source"], &answer["replayed"]), (&json!("n/1 %"), &json!("/command-line"), &json!(false)));
    let again: Json = serde_json::from_str(&stdout(&publish(&[]))).expect("it is JSON");
    assert_eq!(again["replayed"], true);
    check_code(&publish(&["--type", "other"]), 1);
    check_code(&run(&directory, ["topic", "publish", "notes", "{}", "--url", &shop.url]), 4);
}
