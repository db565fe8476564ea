//! kill -9 with a witness outside: what the witness holds an acknowledgement for is there after the restart, exactly once,
//! and what it holds none for is there at most once, and exactly once when it is sent again. Every fourth command is only
//! accepted by its answer, and decided later: it must be decided, by whichever process comes after.
//!
//! `HEADWATER_KILL_ROUNDS` sets the rounds: 100 in CI, 15 elsewhere unless it says otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::process::{Directory, Shop};
use super::torture::settled;

const CONNECTIONS: u64 = 16;
const ENTITIES: u64 = 40;
const DECIDED_TRIES_MAX: u32 = 10_000;

/// A command that the witness has sent.
#[derive(Clone, Debug)]
struct Sent {
    entity: String,
    /// Its key, and the article that it adds: so the event tells which command left it.
    key: String,
    /// The sequence that was acknowledged; `None` when there was no answer.
    acknowledged: Option<u64>,
    /// To be decided later, and whether the shop said that it will be.
    later: bool,
    accepted: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_command_survives_kill_9_exactly_once() {
    let rounds = rounds();
    let directory = Directory::new();
    let mut witness = Witness::default();
    let mut dice = Dice(0x5eed_0000_0000_0001 ^ u64::from(std::process::id()));
    for round in 0..rounds {
        let mut shop = Shop::start(&directory, &["--empty"]);
        witness.check(&shop.url).await;
        let sent = load_and_kill(&mut shop, round, 30 + dice.below(120)).await;
        witness.sent.extend(sent);
    }
    let shop = Shop::start(&directory, &["--empty"]);
    witness.check(&shop.url).await;
    witness.check_everything(&shop.url).await;
    let acknowledged = witness.sent.iter().filter(|sent| sent.acknowledged.is_some()).count();
    assert!(acknowledged as u64 > rounds, "only {acknowledged} commands were acknowledged in {rounds} rounds: nothing was tested");
    eprintln!("{rounds} kills, {acknowledged} acknowledged commands, 0 lost, 0 doubled");
}

fn rounds() -> u64 {
    let default = if std::env::var_os("CI").is_some() { 100 } else { 15 };
    std::env::var("HEADWATER_KILL_ROUNDS").ok().map_or(default, |rounds| rounds.parse().expect("HEADWATER_KILL_ROUNDS is a number"))
}

/// Loads the shop with commands, and kills it under them.
async fn load_and_kill(shop: &mut Shop, round: u64, millis: u64) -> Vec<Sent> {
    let killed = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for connection in 0..CONNECTIONS {
        senders.spawn(send_until(shop.url.clone(), round, connection, Arc::clone(&killed)));
    }
    tokio::time::sleep(Duration::from_millis(millis)).await;
    shop.kill();
    killed.store(true, Ordering::Relaxed);
    senders.join_all().await.concat()
}

async fn send_until(url: String, round: u64, connection: u64, killed: Arc<AtomicBool>) -> Vec<Sent> {
    let mut client = Connection::new(&url).expect("the URL fits");
    let mut all = Vec::new();
    for number in 0.. {
        let entity = format!("k{}", (connection * 7 + number * 3 + round) % ENTITIES);
        let key = format!("{round}-{connection}-{number}");
        let mut sent = Sent { entity, key, acknowledged: None, later: number % 4 == 3, accepted: false };
        let answered = send(&mut client, &mut sent).await;
        all.push(sent);
        if !answered || killed.load(Ordering::Relaxed) {
            break;
        }
    }
    all
}

/// Sends a command and keeps what it was told; false when there was no answer.
async fn send(client: &mut Connection, sent: &mut Sent) -> bool {
    let path = format!("/v1/entities/cart/{}/add-item", sent.entity);
    let body = format!(r#"{{"sku":"{}","quantity":1}}"#, sent.key);
    let mut headers = command_headers(Some(&sent.key)).expect("the key fits");
    if sent.later {
        headers.insert("prefer", HeaderValue::from_static("respond-async"));
    }
    let Ok(response) = client.request(Method::POST, &path, headers, Bytes::from(body)).await else { return false };
    assert!(response.status.is_success(), "{}", String::from_utf8_lossy(&response.body));
    if sent.later {
        sent.accepted = true;
        return true;
    }
    let body: Json = serde_json::from_slice(&response.body).expect("an answer is JSON");
    keep(sent, &body);
    true
}

/// Keeps the sequence that was acknowledged.
fn keep(sent: &mut Sent, body: &Json) {
    let sequence = body["sequence"].as_u64().expect("an answer has a sequence");
    assert!(sent.acknowledged.is_none_or(|first| first == sequence), "{sent:?} was answered with {sequence} the second time");
    sent.acknowledged = Some(sequence);
}

/// Asks for what became of a command that was accepted, until it is decided.
async fn ask(client: &mut Connection, sent: &mut Sent) {
    let path = format!("/v1/entities/cart/{}/commands/{}", sent.entity, sent.key);
    for _ in 0..DECIDED_TRIES_MAX {
        let answer = client.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await.expect("the shop runs");
        assert!(answer.status.is_success(), "{sent:?} was accepted and is lost: {}", String::from_utf8_lossy(&answer.body));
        let body: Json = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        if body["status"] == "done" {
            return keep(sent, &body);
        }
        assert_eq!(body["status"], "pending", "{sent:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{sent:?} was accepted and is never decided");
}

/// What is known outside of the shop.
#[derive(Default)]
struct Witness {
    sent: Vec<Sent>,
    /// So many of `sent` are settled: checked after a restart.
    settled: usize,
    /// Events of each entity so far, by sequence: the keys that left them.
    seen: HashMap<String, Vec<String>>,
    cursor: Option<String>,
}

impl Witness {
    /// After a restart: reads on, finds every acknowledged command, and sends every unanswered one again.
    async fn check(&mut self, url: &str) {
        let mut unsettled = self.sent.split_off(self.settled);
        let mut client = Connection::new(url).expect("the URL fits");
        for sent in unsettled.iter_mut().filter(|sent| sent.accepted) {
            ask(&mut client, sent).await;
        }
        self.read_on(url).await;
        assert_eq!(self.violations(&unsettled), [""; 0]);
        for mut sent in unsettled {
            // The unanswered ones, and a few of the others: a second time must change nothing for either.
            if sent.acknowledged.is_none() || sent.key.ends_with("-0") || sent.key.ends_with("-3") {
                assert!(send(&mut client, &mut sent).await, "{sent:?} has no answer from a shop that runs");
            }
            if sent.later {
                ask(&mut client, &mut sent).await;
            }
            self.sent.push(sent);
        }
        self.settled = self.sent.len();
    }

    /// At the end: everything from the first event on, once more.
    async fn check_everything(&mut self, url: &str) {
        self.seen.clear();
        self.cursor = None;
        self.read_on(url).await;
        assert_eq!(self.violations(&self.sent), [""; 0]);
        assert!(self.sent.iter().all(|sent| sent.acknowledged.is_some()), "every command is answered by now");
        assert_eq!(self.counts().len(), self.sent.len(), "as many commands took effect as were sent");
    }

    /// What is not as it was promised: an acknowledged command that is lost or stands elsewhere, any command twice.
    fn violations(&self, commands: &[Sent]) -> Vec<String> {
        let counts = self.counts();
        let judge = |sent: &Sent| {
            let count = counts.get(sent.key.as_str()).copied().unwrap_or_default();
            match sent.acknowledged {
                _ if count > 1 => Some(format!("{} took effect {count} times", sent.key)),
                Some(_) if count == 0 => Some(format!("{} was acknowledged and is lost", sent.key)),
                Some(sequence) if !self.is_at(sent, sequence) => Some(format!("{} was acknowledged at another place", sent.key)),
                _ => None,
            }
        };
        commands.iter().filter_map(judge).collect()
    }

    fn is_at(&self, sent: &Sent, sequence: u64) -> bool {
        self.seen.get(&sent.entity).and_then(|keys| keys.get(sequence as usize - 1)) == Some(&sent.key)
    }

    fn counts(&self) -> HashMap<&str, u32> {
        let mut counts = HashMap::new();
        self.seen.values().flatten().for_each(|key| *counts.entry(key.as_str()).or_default() += 1);
        counts
    }

    /// Reads the stream from the cursor on; sequences must go on without a hole.
    async fn read_on(&mut self, url: &str) {
        let after = self.cursor.as_ref().map_or(String::new(), |cursor| format!("?after={cursor}"));
        let mut client = Connection::new(url).expect("the URL fits");
        let opened = client.stream(Method::GET, &format!("/v1/streams/shop{after}"), HeaderMap::new(), Bytes::new()).await;
        let mut lines = opened.expect("the shop answers").unwrap_or_else(|problem| panic!("{}", String::from_utf8_lossy(&problem.body)));
        while let Some(line) = lines.next().await.expect("the stream goes to its end") {
            let event: Json = serde_json::from_slice(&line).expect("an event is JSON");
            let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned();
            let keys = self.seen.entry(text("subject")).or_default();
            assert_eq!(text("sequence"), (keys.len() + 1).to_string(), "a hole or a double in {event}");
            keys.push(event["data"]["sku"].as_str().expect("the event has the key").to_owned());
            self.cursor = Some(text("cursor"));
        }
    }
}

/// Commands of a shopper: a cart of its own, filled and checked out. Gives the carts whose checkout was acknowledged, and tells of each.
async fn shop_until(url: String, round: u64, connection: u64, killed: Arc<AtomicBool>, told: mpsc::UnboundedSender<()>) -> Vec<String> {
    let mut client = Connection::new(&url).expect("the URL fits");
    let mut carts = Vec::new();
    for number in 0.. {
        let cart = format!("s{round}-{connection}-{number}");
        for (command, body) in [("add-item", r#"{"sku":"mug","quantity":2}"#), ("check-out", "{}")] {
            let path = format!("/v1/entities/cart/{cart}/{command}");
            let headers = command_headers(Some(command)).expect("the key fits");
            let Ok(response) = client.request(Method::POST, &path, headers, Bytes::from(body)).await else { return carts };
            assert!(response.status.is_success(), "{}", String::from_utf8_lossy(&response.body));
        }
        carts.push(cart);
        // Nobody hears of it once the first one has come.
        let _ = told.send(());
        if killed.load(Ordering::Relaxed) {
            break;
        }
    }
    carts
}

/// An action's effect: one parcel for each cart that is checked out, with one box in it, wherever the kills came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_checked_out_cart_gets_one_parcel() {
    let directory = Directory::new();
    let mut dice = Dice(0x5eed_0000_0000_0002 ^ u64::from(std::process::id()));
    let mut acknowledged = Vec::new();
    let rounds = rounds().div_ceil(5);
    for round in 0..rounds {
        let mut shop = Shop::start(&directory, &["--empty"]);
        let killed = Arc::new(AtomicBool::new(false));
        let (told, mut first) = mpsc::unbounded_channel();
        let mut shoppers = JoinSet::new();
        for connection in 0..CONNECTIONS {
            shoppers.spawn(shop_until(shop.url.clone(), round, connection, Arc::clone(&killed), told.clone()));
        }
        // On a slow machine the first one takes longer than all of this.
        first.recv().await.expect("there are shoppers");
        tokio::time::sleep(Duration::from_millis(30 + dice.below(150))).await;
        shop.kill();
        killed.store(true, Ordering::Relaxed);
        acknowledged.extend(shoppers.join_all().await.concat());
    }
    let shop = Shop::start(&directory, &["--empty"]);
    // A parcel over which three processes were killed is parked.
    settled(&shop.url).await;
    let mut witness = Parcels::default();
    for _ in 0..DECIDED_TRIES_MAX {
        witness = Parcels::read(&shop.url).await;
        if witness.packed.len() >= witness.checked_out.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(witness.violations(&acknowledged), [""; 0]);
    assert!(acknowledged.len() as u64 >= rounds, "only {} carts were checked out in {rounds} rounds", acknowledged.len());
    eprintln!("{rounds} kills, {} carts checked out, each packed once", witness.checked_out.len());
}

/// What the shop's events say of carts and parcels.
#[derive(Default)]
pub(crate) struct Parcels {
    checked_out: Vec<String>,
    packed: HashMap<String, u32>,
}

impl Parcels {
    pub(crate) async fn read(url: &str) -> Self {
        let mut client = Connection::new(url).expect("the URL fits");
        let path = "/v1/streams/shop?type=cart/checked-out&type=parcel";
        let opened = client.stream(Method::GET, path, HeaderMap::new(), Bytes::new()).await;
        let mut lines = opened.expect("the shop answers").unwrap_or_else(|problem| panic!("{}", String::from_utf8_lossy(&problem.body)));
        let mut seen = Self::default();
        while let Some(line) = lines.next().await.expect("the stream goes to its end") {
            let event: Json = serde_json::from_slice(&line).expect("an event is JSON");
            let subject = event["subject"].as_str().expect("an event has a subject").to_owned();
            if event["entitytype"] == "cart" {
                seen.checked_out.push(subject);
            } else {
                *seen.packed.entry(subject).or_default() += 1;
            }
        }
        seen
    }

    pub(crate) fn violations(&self, acknowledged: &[String]) -> Vec<String> {
        let lost = acknowledged.iter().filter(|cart| !self.checked_out.contains(cart)).map(|cart| format!("{cart} is lost"));
        let unpacked = self.checked_out.iter().filter(|cart| !self.packed.contains_key(*cart)).map(|cart| format!("{cart} has no parcel"));
        let doubled = self.packed.iter().filter(|(_, boxes)| **boxes != 1).map(|(cart, boxes)| format!("{cart} has {boxes} boxes"));
        lost.chain(unpacked).chain(doubled).collect()
    }
}

#[test]
fn the_parcels_witness_sees_what_is_lost_missing_or_doubled() {
    let seen = |packed: &[(&str, u32)]| Parcels {
        checked_out: vec!["a".into()],
        packed: packed.iter().map(|(cart, boxes)| ((*cart).to_owned(), *boxes)).collect(),
    };
    assert_eq!(seen(&[("a", 1)]).violations(&["a".into()]), [""; 0]);
    assert_eq!(seen(&[("a", 1)]).violations(&["b".into()]), ["b is lost"]);
    assert_eq!(seen(&[]).violations(&[]), ["a has no parcel"]);
    assert_eq!(seen(&[("a", 2)]).violations(&[]), ["a has 2 boxes"]);
}

/// The witness can see what it is there for.
#[test]
fn the_witness_sees_what_is_lost_doubled_or_moved() {
    let sent = |key: &str, acknowledged| Sent { entity: "k1".into(), key: key.into(), acknowledged, later: false, accepted: false };
    let check = |keys: &[&str], sent: &[Sent], expected: &[&str]| {
        let seen = HashMap::from([("k1".to_owned(), keys.iter().map(|key| (*key).to_owned()).collect())]);
        assert_eq!(Witness { seen, ..Witness::default() }.violations(sent), expected);
    };
    check(&["a", "b"], &[sent("a", Some(1)), sent("b", None), sent("c", None)], &[]);
    check(&["b"], &[sent("a", Some(1))], &["a was acknowledged and is lost"]);
    check(&["a", "a"], &[sent("a", Some(1))], &["a took effect 2 times"]);
    check(&["b", "b"], &[sent("b", None)], &["b took effect 2 times"]);
    check(&["b", "a"], &[sent("a", Some(1))], &["a was acknowledged at another place"]);
}

/// Marsaglia's xorshift64: when to kill.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
