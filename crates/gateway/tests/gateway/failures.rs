//! The service over the embedded engine, on a disk that runs full, fails or rots, or that holds what this build cannot read: what
//! HTTP says of it, and what is there after a restart.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gateway::Options;
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{self, EmbeddedJournal, PlantedBug};
use journal::seams::{BLOCK_BYTES, Disk, ThreadSpawner};
use journal::sim::{Call, CallKind, SimClock, SimDisk, SimRandom};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags};
use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop};

/// Segments so small that a few dozen commands go through several.
const TINY_SEGMENTS: RangeInclusive<u64> = 16 * 1024..=64 * 1024;
const CAUSE: &str = "simulated input/output error";

async fn serve(disk: &SimDisk, seed: u64, segment_bytes: RangeInclusive<u64>) -> Shop {
    let options = embedded::Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(seed)),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes,
        planted: PlantedBug::None,
    };
    Shop::over(Arc::new(EmbeddedJournal::open(options).unwrap()), Options::default()).await
}

/// An item's name, so long that its commit takes more than a block; the marker of an idle log takes one.
fn sku(name: &str) -> String {
    format!("{name:x<480}")
}

fn item(name: &str) -> String {
    json!({ "sku": sku(name), "quantity": 1 }).to_string()
}

/// Puts an item of the cart's own name into it.
async fn put(shop: &Shop, id: &str, key: Option<&str>) -> Answer {
    let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    shop.post(&format!("/v1/entities/cart/{id}/add-item"), &headers, &item(id)).await
}

async fn share(shop: &Shop, first: &str, second: &str) -> Answer {
    let body = json!({ "first": first, "second": second, "sku": sku("shared") });
    shop.post("/v1/operations/share", &[], &body.to_string()).await
}

async fn state(shop: &Shop, id: &str) -> Answer {
    shop.get(&format!("/v1/entities/cart/{id}")).await
}

/// The one line of a batch with one command.
async fn batch_line(shop: &Shop, id: &str) -> Json {
    let line = format!(r#"{{"id":"{id}","command":"add-item","body":{}}}"#, item(id));
    let answer = shop.ask("POST", "/v1/entities/cart:batch", &[("content-type", "application/x-ndjson")], &line).await;
    assert_eq!(answer.status, 200, "the whole is 200 whatever its lines say");
    answer.json
}

async fn lines(shop: &Shop, path: &str) -> Vec<Json> {
    let mut stream = shop.stream(path, &[]).await;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(serde_json::from_slice(&line).unwrap());
    }
    lines
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.json);
}

#[track_caller]
fn assert_ok(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.json);
}

// A disk without room.

const FULL: (u16, &str, Option<&str>) = (503, "HW0042", Some("30"));

fn told(answer: &Answer) -> (u16, &str, Option<&str>) {
    (answer.status, answer.code(), answer.header("retry-after"))
}

/// Sends commands until one is refused; its id, which is also its key, and all that were accepted.
async fn fill(shop: &Shop, round: usize) -> (String, Vec<String>) {
    let mut accepted = Vec::new();
    for number in 0..1_000 {
        let id = format!("r{round}-{number}");
        let answer = put(shop, &id, Some(&id)).await;
        if answer.status != 200 {
            assert_eq!(told(&answer), FULL, "{}", answer.json);
            return (id, accepted);
        }
        accepted.push(id);
    }
    panic!("a thousand commands fit a disk without room");
}

async fn check_full(shop: &Shop, refused: &str, accepted: &[String], events: usize) {
    assert_eq!(told(&put(shop, refused, Some(refused)).await), FULL);
    assert_eq!(told(&put(shop, &accepted[0], None).await), FULL, "an entity in memory");
    assert_eq!(told(&share(shop, "s1", "s2").await), FULL);
    let line = batch_line(shop, "b1").await;
    assert_eq!((&line["status"], &line["code"]), (&json!(503), &json!("HW0042")));

    assert_ok(&shop.get("/livez").await);
    let ready = shop.get("/readyz?verbose").await;
    assert_eq!(told(&ready), FULL);
    assert_eq!((&ready.json["sight"]["full"], &ready.json["sight"]["poisoned"]), (&json!(true), &Json::Null));

    for id in accepted {
        assert_eq!(state(shop, id).await.json["sequence"], 1);
    }
    assert_ok(&shop.get(&format!("/v1/entities/cart/{}/events", accepted[0])).await);
    assert_eq!(lines(shop, "/v1/streams/shop").await.len(), events);
    assert_problem(&state(shop, refused).await, 404, "HW0013");
    assert_problem(&shop.get(&format!("/v1/entities/cart/{refused}/commands/{refused}")).await, 404, "HW0014");
}

/// Waits for readiness by asking for it, which makes the engine look for room; no command is sent.
async fn become_ready(shop: &Shop) {
    for _ in 0..10_000 {
        let ready = shop.get("/readyz").await;
        if ready.status == 200 {
            return;
        }
        assert_problem(&ready, 503, "HW0042");
    }
    panic!("there is room, and the service does not see it");
}

#[tokio::test]
async fn a_full_disk_refuses_commands_and_is_over_without_a_restart() {
    let disk = SimDisk::new(1);
    let shop = serve(&disk, 1, TINY_SEGMENTS).await;
    let mut events = 0;
    for round in 0..4 {
        disk.set_capacity(Some(0));
        let (refused, accepted) = fill(&shop, round).await;
        events += accepted.len();
        check_full(&shop, &refused, &accepted, events).await;
        disk.set_capacity(None);
        if round % 2 == 1 {
            become_ready(&shop).await;
        }
        let again = put(&shop, &refused, Some(&refused)).await;
        assert_eq!((again.status, &again.json["sequence"], again.header("idempotent-replayed")), (200, &json!(1), None));
        events += 1;
        become_ready(&shop).await;
    }
    assert_eq!(lines(&serve(&disk.crash(), 2, TINY_SEGMENTS).await, "/v1/streams/shop").await.len(), events);
}

// A disk that fails.

/// A write of a command, and not of a marker.
fn is_commit(call: &Call<'_>) -> bool {
    call.kind == CallKind::WriteDurable && call.bytes > BLOCK_BYTES
}

/// The disk fails within the `nth` write of commands from now on (from 1), and stays so.
fn fail_in_commit(disk: &SimDisk, nth: usize) {
    let (hooked, left) = (disk.clone(), AtomicUsize::new(nth));
    disk.on_call(move |call| {
        if is_commit(call) && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            hooked.fail_call(hooked.calls() + 1, true);
        }
    });
}

/// The disk works again.
fn heal(disk: &SimDisk) {
    disk.fail_call(u64::MAX, false);
}

#[tokio::test]
async fn the_first_disk_error_is_final() {
    let disk = SimDisk::new(1);
    let shop = serve(&disk, 1, SEGMENT_BYTES).await;
    for id in ["c1", "c2", "c3"] {
        assert_ok(&put(&shop, id, None).await);
    }
    fail_in_commit(&disk, 1);
    let unknown = put(&shop, "c1", Some("k1")).await;
    assert_problem(&unknown, 504, "HW0045");
    assert_eq!((&unknown.json["key"], unknown.header("idempotency-key")), (&json!("k1"), Some("k1")));
    assert!(unknown.json["detail"].as_str().unwrap().contains(CAUSE));
    for healed in [false, true] {
        for refused in [put(&shop, "c1", Some("k1")).await, put(&shop, "c2", None).await, share(&shop, "c2", "new").await] {
            assert_problem(&refused, 503, "HW0043");
            assert_eq!(refused.header("retry-after"), None, "no retry helps before a restart; healed: {healed}");
        }
        assert_eq!(batch_line(&shop, "c2").await["code"], "HW0043");
        heal(&disk);
    }
    assert_ok(&shop.get("/livez").await);
    let ready = shop.get("/readyz").await;
    assert_problem(&ready, 503, "HW0043");
    assert!(ready.json["reasons"][0].as_str().unwrap().contains(CAUSE), "{}", ready.json);
}

/// What was durable is read; what nobody knows is refused by its name, and nobody waits for ever.
#[tokio::test]
async fn reads_after_a_disk_error_show_what_was_durable() {
    let disk = SimDisk::new(1);
    let shop = serve(&disk, 1, SEGMENT_BYTES).await;
    for id in ["c1", "c2"] {
        assert_ok(&put(&shop, id, None).await);
    }
    let mut live = shop.stream("/v1/streams/shop?live=true", &[]).await;
    fail_in_commit(&disk, 1);
    assert_problem(&put(&shop, "c1", Some("k1")).await, 504, "HW0045");
    assert_eq!(state(&shop, "c2").await.json["sequence"], 1);
    for path in ["/v1/entities/cart/c1", "/v1/entities/cart/c1?stale=ok", "/v1/entities/cart/c1/commands/k1"] {
        let unknown = shop.get(path).await;
        assert_eq!(told(&unknown), (503, "HW0043", None), "{path}: {}", unknown.json);
    }
    let history = shop.get("/v1/entities/cart/c1/events").await;
    assert_eq!((history.status, history.json["items"].as_array().unwrap().len()), (200, 1));
    assert_eq!(shop.get("/v1/entities/cart").await.json["items"], json!(["c1", "c2"]));
    assert_eq!(lines(&shop, "/v1/streams/shop").await.len(), 2);
    let mut told = Vec::new();
    while let Some(line) = live.next().await.unwrap() {
        told.push(serde_json::from_slice::<Json>(&line).unwrap());
    }
    assert_eq!((told.len(), &told[0]["subject"], &told[1]["subject"]), (3, &json!("c1"), &json!("c2")));
    assert_eq!(told[2]["code"], "HW0043", "a live stream ends, and says why");
}

#[tokio::test]
async fn a_disk_that_is_gone_leaves_what_is_in_memory() {
    let old = SimDisk::new(1);
    let shop = serve(&old, 1, SEGMENT_BYTES).await;
    for id in ["warm", "cold"] {
        assert_ok(&put(&shop, id, None).await);
    }
    let disk = old.crash();
    let shop = serve(&disk, 2, SEGMENT_BYTES).await;
    assert_ok(&state(&shop, "warm").await);
    disk.fail_call(1, true);
    assert_eq!(state(&shop, "warm").await.json["sequence"], 1);
    let cold = state(&shop, "cold").await;
    assert_problem(&cold, 500, "HW0052");
    assert!(cold.json["detail"].as_str().unwrap().contains(CAUSE), "{}", cold.json);
    assert_problem(&shop.get("/v1/streams/shop").await, 500, "HW0052");
    let command = put(&shop, "warm", None).await;
    // The marker of the idle log may have met the error first.
    assert!(matches!((command.status, command.code()), (504, "HW0045") | (503, "HW0043")), "{}", command.json);
    assert_problem(&shop.get("/readyz").await, 503, "HW0043");
    assert_ok(&shop.get("/livez").await);
}

/// One command whose write fails, and the same again under its key after a restart; whether the first one took effect.
async fn settle_unknown(seed: u64, key: Option<&str>) -> bool {
    let old = SimDisk::new(seed);
    let shop = serve(&old, seed, SEGMENT_BYTES).await;
    assert_ok(&put(&shop, "before", None).await);
    fail_in_commit(&old, 1);
    let unknown = put(&shop, "c1", key).await;
    assert_problem(&unknown, 504, "HW0045");
    let named = unknown.json["key"].as_str().unwrap();
    assert_eq!((Some(named), key.unwrap_or(named)), (unknown.header("idempotency-key"), named));

    let shop = serve(&old.crash(), seed, SEGMENT_BYTES).await;
    assert_eq!(state(&shop, "before").await.json["sequence"], 1);
    let took_effect = state(&shop, "c1").await.status == 200;
    let outcome = shop.get(&format!("/v1/entities/cart/c1/commands/{named}")).await;
    assert_eq!(outcome.status, if took_effect { 200 } else { 404 });
    for replayed in [took_effect, true] {
        let again = put(&shop, "c1", Some(named)).await;
        assert_eq!((again.status, &again.json["sequence"]), (200, &json!(1)), "seed {seed}: {}", again.json);
        assert_eq!(again.header("idempotent-replayed"), replayed.then_some("true"), "seed {seed}");
    }
    assert_eq!(state(&shop, "c1").await.json["state"]["items"], json!({ sku("c1"): 1 }), "seed {seed}");
    took_effect
}

#[tokio::test]
async fn an_unknown_outcome_is_answered_by_its_key_after_a_restart() {
    let mut took_effect = BTreeSet::new();
    for seed in 0..24 {
        let key = (seed % 2 == 0).then_some("k1");
        took_effect.insert((key.is_some(), settle_unknown(seed, key).await));
    }
    assert_eq!(took_effect.len(), 4, "keys given and minted, effects kept and lost: {took_effect:?}");
}

#[derive(Default)]
struct Tally {
    accepted: Vec<String>,
    unknown: Vec<String>,
    refused: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.unknown.extend(other.unknown);
        self.refused.extend(other.refused);
    }
}

/// Sends one command after the other until one has no outcome, and a few more. Each cart's name is its command's key.
async fn load(shop: Arc<Shop>, worker: usize) -> Tally {
    let mut tally = Tally::default();
    let mut after_error = 0;
    for number in 0.. {
        let id = format!("w{worker}-{number}");
        let answer = put(&shop, &id, Some(&id)).await;
        match (answer.status, answer.code()) {
            (200, _) => {
                assert_eq!(after_error, 0, "accepted after the error");
                tally.accepted.push(id);
                continue;
            }
            (504, "HW0045") if after_error == 0 => tally.unknown.push(id),
            (503, "HW0043") => tally.refused.push(id),
            _ => panic!("{id}: {} {}", answer.status, answer.json),
        }
        after_error += 1;
        if after_error == 4 {
            break;
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_error_under_load_loses_nothing_that_was_answered() {
    let old = SimDisk::new(7);
    // Nothing is sealed: no command needs the failing disk to be decided.
    let shop = Arc::new(serve(&old, 7, TINY_SEGMENTS).await);
    fail_in_commit(&old, 60);
    let workers: Vec<_> = (0..8).map(|worker| tokio::spawn(load(Arc::clone(&shop), worker))).collect();
    let mut all = Tally::default();
    for worker in workers {
        all.add(worker.await.unwrap());
    }
    assert!(all.accepted.len() >= 59 && !all.unknown.is_empty() && all.refused.len() >= 24);

    let shop = serve(&old.crash(), 8, TINY_SEGMENTS).await;
    for id in &all.accepted {
        assert_eq!(state(&shop, id).await.json["sequence"], 1, "{id} was acknowledged");
    }
    for id in &all.refused {
        assert_problem(&state(&shop, id).await, 404, "HW0013");
    }
    for id in all.unknown.iter().chain(&all.refused) {
        assert_eq!(put(&shop, id, Some(id)).await.json["sequence"], 1);
        assert_eq!(put(&shop, id, Some(id)).await.header("idempotent-replayed"), Some("true"));
    }
    let mut there: Vec<_> =
        lines(&shop, "/v1/streams/shop").await.iter().map(|event| event["subject"].as_str().unwrap().to_owned()).collect();
    let mut expected = [all.accepted, all.unknown, all.refused].concat();
    there.sort_unstable();
    expected.sort_unstable();
    assert_eq!(there, expected);
}

// Damage at rest.

const CARTS: usize = 120;

/// A service that was started again with this many carts of one event each; and the cursor after each.
async fn restarted() -> (SimDisk, Shop, Vec<String>) {
    let old = SimDisk::new(1);
    let shop = serve(&old, 1, TINY_SEGMENTS).await;
    let mut cursors = Vec::new();
    for number in 0..CARTS {
        let id = format!("c{number}");
        let answer = put(&shop, &id, Some(&id)).await;
        assert_ok(&answer);
        cursors.push(answer.json["cursor"].as_str().unwrap().to_owned());
    }
    let disk = old.crash();
    let shop = serve(&disk, 2, TINY_SEGMENTS).await;
    (disk, shop, cursors)
}

/// Flips a bit in the event of a cart, which lies in a sealed segment; the segment's number.
fn rot(disk: &SimDisk, id: &str) -> u64 {
    let wanted = format!("\"{id}x");
    let names = disk.list("").unwrap();
    for name in names.iter().filter(|name| name.ends_with(".segment")) {
        let file = disk.open(name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted.as_bytes()) else { continue };
        let number = name.trim_end_matches(".segment");
        assert!(names.contains(&format!("{number}.seal")), "{name} is not sealed");
        disk.rot(name, at as u64 + 1, 3).unwrap();
        return number.parse().unwrap();
    }
    panic!("{id} is on no segment");
}

fn subjects(events: &[Json]) -> Vec<String> {
    events.iter().map(|event| event["subject"].as_str().unwrap_or("no event").to_owned()).collect()
}

fn carts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("c{number}")).collect()
}

#[tokio::test]
async fn damage_is_named_where_it_is_met_and_nowhere_else() {
    let (disk, shop, cursors) = restarted().await;
    let segment = rot(&disk, "c30");
    assert_eq!(segment, 2);
    for path in ["", "?sequence=1", "?at=2030-01-01T00:00:00Z", "/events", "/commands/c30"] {
        let damaged = shop.get(&format!("/v1/entities/cart/c30{path}")).await;
        assert_problem(&damaged, 500, "HW0052");
        assert!(damaged.json["detail"].as_str().unwrap().contains("segment 2"), "{path}: {}", damaged.json);
    }
    for command in [put(&shop, "c30", None).await, put(&shop, "c30", Some("c30")).await, share(&shop, "c29", "c30").await] {
        assert_problem(&command, 500, "HW0052");
        assert!(command.json["detail"].as_str().unwrap().contains("the journal is damaged: segment 2"), "{}", command.json);
    }
    for id in carts(0..CARTS).iter().filter(|id| *id != "c30") {
        assert_ok(&state(&shop, id).await);
    }
    assert_eq!(shop.get("/v1/entities/cart?limit=1000").await.json["items"].as_array().unwrap().len(), CARTS);
    assert_eq!(put(&shop, "c31", None).await.json["sequence"], 2);
    assert_eq!(put(&shop, "c31", Some("c31")).await.header("idempotent-replayed"), Some("true"));
    let rest = lines(&shop, &format!("/v1/streams/shop?limit=89&after={}", cursors[30])).await;
    assert_eq!(subjects(&rest), carts(31..CARTS), "behind the damage all is whole");
    for path in ["/livez", "/readyz"] {
        assert_ok(&shop.get(path).await);
    }
}

/// A pass that is asked for now, once it has ended.
async fn scrubbed(shop: &Shop) -> Json {
    let before = shop.post("/v1/admin/journal/scrub", &[], "").await;
    assert_ok(&before);
    let count = |scrub: &Json| scrub["passes"].as_u64().unwrap();
    let wanted = count(&before.json["scrub"]) + 1 + u64::from(before.json["scrub"]["running"] == true);
    loop {
        let scrub = shop.get("/v1/admin/journal").await.json["scrub"].clone();
        if count(&scrub) >= wanted {
            return scrub;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_bit_that_rots_at_rest_is_told_before_anybody_reads_it_and_the_service_goes_on() {
    let (disk, shop, _) = restarted().await;
    let whole = scrubbed(&shop).await;
    assert_eq!((&whole["damage"], &whole["running"]), (&json!([]), &json!(false)));
    assert!(whole["roots"] == whole["sealed"] && whole["segments"].as_u64() > Some(1), "{whole}");
    let segment = rot(&disk, "c30");
    let damage = scrubbed(&shop).await["damage"].clone();
    assert!(damage.as_array().unwrap().len() == 1 && damage[0].as_str().unwrap().starts_with(&format!("segment {segment}:")), "{damage}");
    assert_ok(&shop.get("/readyz").await);
    assert_eq!(shop.get("/readyz?verbose=true").await.json["detail"]["damage_at_rest"], damage);
    assert_ok(&state(&shop, "c31").await);
    assert_problem(&shop.get("/v1/admin/journal?x=1").await, 400, "HW0004");
}

#[tokio::test]
async fn a_stream_that_meets_damage_ends_with_the_problem() {
    let (disk, shop, _) = restarted().await;
    rot(&disk, "c30");
    let events = lines(&shop, "/v1/streams/shop").await;
    let (last, whole) = events.split_last().unwrap();
    assert_eq!(subjects(whole), carts(0..30), "what is whole before the damage is given");
    assert_eq!((&last["code"], &last["status"]), (&json!("HW0052"), &json!(500)));
    assert_eq!(lines(&shop, "/v1/streams/shop?key=cart/c29").await.len(), 1);
    let alone = lines(&shop, "/v1/streams/shop?key=cart/c30").await;
    assert_eq!((alone.len(), &alone[0]["code"]), (1, &json!("HW0052")));

    let mut sse = shop.stream("/v1/streams/shop", &[("accept", "text/event-stream")]).await;
    let mut told = Vec::new();
    while let Some(line) = sse.next().await.unwrap() {
        told.push(String::from_utf8(line.to_vec()).unwrap());
    }
    let [.., name, data] = &told[..] else { panic!("{told:?}") };
    assert_eq!(name, "event: problem");
    assert!(data.contains("HW0052"), "{data}");
}

#[tokio::test]
async fn damage_in_the_first_event_is_the_answer_and_memory_goes_on() {
    let (disk, shop, _) = restarted().await;
    assert_ok(&state(&shop, "c0").await);
    rot(&disk, "c0");
    let told = lines(&shop, "/v1/streams/shop").await;
    assert_eq!((told.len(), &told[0]["code"]), (1, &json!("HW0052")));
    assert_problem(&shop.get("/v1/entities/cart/c0/events").await, 500, "HW0052");
    assert_eq!(state(&shop, "c0").await.json["sequence"], 1, "it is in memory");
    assert_eq!(put(&shop, "c0", None).await.json["sequence"], 2, "and needs no reading");
}

// What another build wrote.

fn foreign(id: &str, name: &str, version: u16, payload: &'static str) -> Commit {
    let event = EventData {
        name: name.into(),
        version,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: Vec::new(),
        payload: Bytes::from_static(payload.as_bytes()),
    };
    let command = CommandRecord {
        entity: EntityKey::new("cart", id).unwrap(),
        id: CommandId::from_raw(b"k1"),
        name: "add-item".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

#[tokio::test]
async fn an_event_that_this_build_cannot_read_is_unreadable_and_whole() {
    let shop = serve(&SimDisk::new(1), 1, SEGMENT_BYTES).await;
    let whole = r#"{"sku":"a","quantity":1}"#;
    let kinds = [("name", "item-lost", 1, whole), ("version", "item-added", 9, whole), ("fields", "item-added", 1, r#"{"colour":"red"}"#)];
    for (id, name, version, payload) in kinds {
        shop.journal.append(foreign(id, name, version, payload)).await.unwrap();
        let unreadable = state(&shop, id).await;
        assert_problem(&unreadable, 500, "HW0051");
        let detail = unreadable.json["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("cart/{id}")) && detail.contains(name), "{detail}");
        for command in [put(&shop, id, None).await, share(&shop, "well", id).await] {
            assert_problem(&command, 500, "HW0051");
        }
        let history = shop.get(&format!("/v1/entities/cart/{id}/events")).await;
        assert_eq!((history.status, &history.json["items"][0]["data"]), (200, &payload.parse().unwrap()), "the data is whole");
        assert_ok(&shop.get(&format!("/v1/entities/cart/{id}/commands/k1")).await);
    }
    assert_ok(&put(&shop, "well", None).await);
    assert_eq!(subjects(&lines(&shop, "/v1/streams/shop").await), ["name", "version", "fields", "well"]);
    assert_ok(&shop.get("/readyz").await);
}
