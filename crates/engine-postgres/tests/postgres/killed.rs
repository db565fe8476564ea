//! A server that is killed under load: nothing acknowledged is lost, nothing takes effect twice, and who tails the journal skips nothing.
//!
//! Two nodes write, or one of them alone, each with a tailer, and one transaction in ten of theirs is late, rolled back, or committed without an answer; somebody else takes the lock on the head now and then, moves the head, dawdles, and rolls back. The
//! witness is this process: it remembers what was acknowledged, and where.
//!
//! `HEADWATER_POSTGRES_KILLS` sets how often (20 unless it says otherwise).

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater_engine_postgres::{Address, Options, PostgresJournal};
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Events, Journal as _,
    Position, Read, ReadMode, Recorded, Selection,
};
use tokio_postgres::NoTls;

use crate::proxy::Proxy;
use crate::server::Server;

const WRITERS: usize = 12;
const ENTITIES: u64 = 30;

fn kills() -> u32 {
    std::env::var("HEADWATER_POSTGRES_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(20)
}

/// What was acknowledged: the sequence and the place after each command.
#[derive(Default)]
struct Witness {
    acknowledged: Mutex<BTreeMap<CommandId, (EntityKey, u64, Position)>>,
    /// Outcomes that nobody knew, and answers that an earlier attempt had taken effect.
    unknown: AtomicU64,
    duplicates: AtomicU64,
    over: AtomicBool,
}

fn commit(entity: &EntityKey, id: CommandId) -> Commit {
    let event = EventData {
        name: "noted".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags(0),
        tags: Vec::new(),
        payload: Bytes::from_static(b"{}"),
    };
    let command = CommandRecord {
        entity: entity.clone(),
        id,
        name: "note".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"noted"),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

/// Sends one command after the other, each until it is known what came of it.
async fn write(node: Arc<PostgresJournal>, witness: Arc<Witness>, writer: usize) {
    let mut number = 0;
    while !witness.over.load(Ordering::SeqCst) {
        number += 1;
        let id = CommandId::from_raw(format!("{writer}.{number}").as_bytes());
        let entity = EntityKey::new("note", &(id.0[0] as u64 % ENTITIES).to_string()).unwrap();
        let (sequence, place) = until_known(&node, &witness, commit(&entity, id)).await;
        witness.acknowledged.lock().unwrap().insert(id, (entity, sequence, place));
    }
}

async fn until_known(node: &PostgresJournal, witness: &Witness, commit: Commit) -> (u64, Position) {
    loop {
        match node.append(commit.clone()).await {
            Ok(committed) => return (committed.commands[0].sequence, committed.cursor.position()),
            Err(AppendError::Duplicate { first, .. }) => {
                witness.duplicates.fetch_add(1, Ordering::Relaxed);
                return (first.sequence, first.cursor.position());
            }
            Err(AppendError::Unknown { .. }) => drop(witness.unknown.fetch_add(1, Ordering::Relaxed)),
            Err(AppendError::Unavailable { .. }) => {}
            Err(error) => panic!("a command that nothing speaks against was refused: {error}"),
        }
    }
}

/// Follows the journal from its beginning until it has seen a place; every position is there, in order.
async fn tail(mut events: Events, until: tokio::sync::watch::Receiver<Option<Position>>) -> Vec<Arc<Recorded>> {
    let mut seen: Vec<Arc<Recorded>> = Vec::new();
    let mut end = until.clone();
    loop {
        let reached = seen.last().map_or(0, |event| event.position);
        if until.borrow().is_some_and(|end| reached >= end) {
            return seen;
        }
        tokio::select! {
            item = events.next() => match item.expect("a live read goes on").expect("a live read bears a server that is away") {
                Read::Event(event) => {
                    assert_eq!(event.position, reached + 1, "a tailer skipped or repeated something");
                    seen.push(event);
                }
                Read::Progress(place) => assert!(place.position() <= reached, "a tailer was told that it had come further than it had"),
            },
            changed = end.changed() => changed.expect("the test goes on"),
        }
    }
}

/// Takes the lock on the head, moves the head, dawdles and rolls back, now and then.
async fn disturb(url: String, schema: String, witness: Arc<Witness>) {
    while !witness.over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else { continue };
        tokio::spawn(connection);
        let moved = format!("BEGIN; SELECT position FROM {schema}.head FOR UPDATE; UPDATE {schema}.head SET position = position + 7");
        if client.batch_execute(&moved).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(4)).await;
            // The server may be gone by now, which rolls back too.
            let _ = client.batch_execute("ROLLBACK").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_skipped_while_the_server_is_killed_under_load() {
    killed_under_load(2, kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_skipped_while_the_server_is_killed_under_load_of_a_node_that_writes_alone() {
    killed_under_load(1, kills() / 2).await;
}

/// Two nodes follow, and so many of them write.
async fn killed_under_load(writing: usize, kills: u32) {
    let (server, service) = (Arc::new(Server::start(&[])), Server::service());
    let (witness, mut nodes) = (Arc::new(Witness::default()), Vec::new());
    let proxy = Proxy::to(server.url()).await;
    for _ in 0..2 {
        nodes.push(Arc::new(node(&proxy.url(server.url()), &service).await));
    }
    let (end, until) = tokio::sync::watch::channel(None);
    let follow = |node: &Arc<PostgresJournal>| node.read(Selection::All, Cursor::BEGINNING, ReadMode::Live);
    let tailers: Vec<_> = nodes.iter().map(|node| tokio::spawn(tail(follow(node), until.clone()))).collect();
    let writer = |number: usize| tokio::spawn(write(Arc::clone(&nodes[number % writing]), Arc::clone(&witness), number));
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    let schema = server.address(&service).schema().to_owned();
    let disturbance = tokio::spawn(disturb(server.url().to_owned(), schema, Arc::clone(&witness)));
    for round in 0..kills {
        until_more(&witness, 100).await;
        // At another moment of a transaction each time.
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 137)).await;
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
        })
        .await
        .unwrap();
    }
    until_more(&witness, 100).await;
    witness.over.store(true, Ordering::SeqCst);
    for task in writers.into_iter().chain([disturbance]) {
        task.await.unwrap();
    }
    let head = nodes[0].head().await.unwrap().position();
    end.send_replace(Some(head));
    for tailer in tailers {
        check(&tailer.await.unwrap(), &witness);
    }
    proxy.check();
}

async fn node(url: &str, service: &str) -> PostgresJournal {
    PostgresJournal::open(Options::at(Address::new(url, Some(service)).unwrap()).unwrap()).await.unwrap()
}

/// Waits until so many more commands were acknowledged.
async fn until_more(witness: &Witness, more: usize) {
    let count = || witness.acknowledged.lock().unwrap().len();
    let wanted = count() + more;
    while count() < wanted {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What a tailer has seen, beside what the witness knows.
fn check(seen: &[Arc<Recorded>], witness: &Witness) {
    let acknowledged = witness.acknowledged.lock().unwrap();
    let ids: HashSet<CommandId> = seen.iter().map(|event| event.command).collect();
    assert_eq!(ids.len(), seen.len(), "a command took effect twice");
    assert_eq!(seen.len(), acknowledged.len(), "events, and commands that were acknowledged");
    let mut sequences: BTreeMap<&EntityKey, u64> = BTreeMap::new();
    for event in seen {
        let sequence = sequences.entry(&event.entity).or_default();
        *sequence += 1;
        assert_eq!(event.sequence, *sequence, "{}: the sequence has a hole", event.entity);
        let told = acknowledged.get(&event.command).expect("every command was acknowledged in the end");
        assert_eq!(*told, (event.entity.clone(), event.sequence, event.position), "what was acknowledged is not what is there");
    }
    let (unknown, duplicates) = (witness.unknown.load(Ordering::Relaxed), witness.duplicates.load(Ordering::Relaxed));
    // Whoever was never told that nobody knows has never sent a command twice.
    assert!(duplicates <= unknown, "{duplicates} commits were told to have taken effect before, {unknown} that nobody knows");
    println!("{} events; {unknown} outcomes were unknown and {duplicates} had taken effect before", seen.len());
}
