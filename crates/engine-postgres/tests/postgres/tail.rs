//! Live readers that have caught up share what one of them would read.

use std::sync::Arc;

use bytes::Bytes;
use headwater_engine_postgres::{Address, Options, PostgresJournal};
use journal::{
    CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Events, Fingerprint, Journal as _,
    Read, ReadMode, Recorded, Selection, Tag,
};

use crate::nodes::{client, rows_read};
use crate::pages::notes;
use crate::server::Server;

fn key(id: &str) -> EntityKey {
    EntityKey::new("note", id).unwrap()
}

/// A live read of what comes from now on.
async fn tailer(node: &PostgresJournal, selection: Selection) -> Events {
    let head = node.head().await.unwrap();
    let mut events = node.read(selection, head, ReadMode::Live);
    until(&mut events, head.position()).await;
    events
}

/// The events up to a place that a read comes to.
async fn until(events: &mut Events, place: u64) -> Vec<Arc<Recorded>> {
    let mut seen = Vec::new();
    loop {
        let reached = match events.next().await.unwrap().unwrap() {
            Read::Event(event) => {
                seen.push(Arc::clone(&event));
                event.position
            }
            Read::Progress(cursor) => cursor.position(),
        };
        if reached >= place {
            return seen;
        }
    }
}

async fn recorded(node: &PostgresJournal) -> Vec<Arc<Recorded>> {
    let mut events = node.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    let mut all = Vec::new();
    while let Some(event) = events.next_event().await {
        all.push(event.unwrap());
    }
    all
}

/// Two commands on two entities, with all that an event can have.
fn rich(number: u16) -> Commit {
    let event = |index: u16| EventData {
        name: "noted".into(),
        version: number,
        content: ContentType::from_code(index as u8),
        flags: EventFlags(number),
        tags: ["b:2", "a:1", "a:1"].into_iter().take(usize::from(index)).map(|tag| Tag::new(tag).unwrap()).collect(),
        payload: Bytes::from(vec![7; usize::from(number * index)]),
    };
    let text = |text: &str| Some(Arc::from(format!("{text} {number}")));
    let command = |entity: EntityKey, events: u16| CommandRecord {
        id: CommandId::from_raw(format!("{} {number}", entity.id()).as_bytes()),
        entity,
        name: "note".into(),
        fingerprint: Some(Fingerprint([3; 16])),
        context: Context {
            correlation_id: text("correlation"),
            causation_id: None,
            traceparent: text("trace"),
            principal: Some("".into()),
        },
        reply: Bytes::from_static(b"noted"),
        events: (0..events).map(event).collect(),
    };
    let other = EntityKey::with_tenant("tenant", "other", &number.to_string()).unwrap();
    Commit { commands: vec![command(key("a"), 4), command(other, 3)], ..Commit::default() }
}

/// What this node commits comes to its readers from memory, and is what it is in the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_memory_is_what_was_written() {
    let (server, service) = (Server::shared(), Server::service());
    let (node, other) = (server.node(&service).await, server.node(&service).await);
    let mut tailers = [tailer(&node, Selection::All).await, tailer(&other, Selection::All).await];
    for number in 0..20 {
        let writer = if number % 5 == 4 { &other } else { &node };
        writer.append(rich(number)).await.unwrap();
    }
    let written = recorded(&node).await;
    for events in &mut tailers {
        assert_eq!(until(events, 140).await, written);
    }
}

/// Rows of events that the sessions of a node read for live readers of 600 new events, which it writes itself or another node does.
async fn rows_for(readers: u64, server: &Server, node_writes: bool) -> i64 {
    const COMMITS: u64 = 60;
    let (service, admin) = (Server::service(), client(server.url()).await);
    let address = Address::new(&format!("{}?application_name=tailed-{service}", server.url()), Some(&service)).unwrap();
    let schema = address.schema().to_owned();
    let options = Options::at(address).unwrap();
    let (node, other) = (PostgresJournal::open(options).await.unwrap(), server.node(&service).await);
    let half = Selection::Slices { first: 0, last: 511, types: Some(vec!["note/noted".into()]) };
    let mut tailers = Vec::new();
    for number in 0..readers {
        tailers.push(tailer(&node, if number % 2 == 0 { Selection::All } else { half.clone() }).await);
    }
    for number in 0..COMMITS {
        let writer = if node_writes { &node } else { &other };
        writer.append(notes(&key(&number.to_string()), &number.to_string(), 10)).await.unwrap();
    }
    for (number, events) in tailers.iter_mut().enumerate() {
        let seen = until(events, COMMITS * 10).await.len() as u64;
        assert!(if number % 2 == 0 { seen == COMMITS * 10 } else { (1..COMMITS * 10).contains(&seen) }, "reader {number}: {seen}");
    }
    node.close().await;
    other.close().await;
    drop((tailers, node, other));
    // A session's counts are there when it is gone.
    rows_read(&admin, &schema, &format!("tailed-{service}")).await;
    let read = "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'event'";
    admin.query_one(read, &[&schema]).await.unwrap().get(0)
}

/// Twenty readers of a node that does not write cost what one costs; those of the node that writes cost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_readers_of_a_node_read_an_event_once_for_all_of_them() {
    let server = Server::shared();
    // None, but for a batch that another task hears of before the one that has written it tells.
    let read = rows_for(20, &server, true).await;
    assert!(read < 300, "{read} rows of 600 events were read by the node that wrote them");
    // The statement looks at each of its rows twice, whoever it is for.
    let (one, twenty) = (rows_for(1, &server, false).await, rows_for(20, &server, false).await);
    assert!((1_200..1_800).contains(&one) && (1_200..1_800).contains(&twenty), "{one} and {twenty} rows of 600 events were looked at");
}

/// A reader that is far behind what is kept in memory misses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_dawdles_reads_on_where_it_was() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    let selections = [Selection::All, Selection::Types(vec!["note".into()]), Selection::Entity { entity: key("0"), from_sequence: 1 }];
    let mut tailers = Vec::new();
    for selection in selections {
        tailers.push((tailer(&node, selection.clone()).await, selection));
    }
    for number in 0..12 {
        node.append(notes(&key(&(number % 3).to_string()), &number.to_string(), 1_000)).await.unwrap();
    }
    let written = recorded(&node).await;
    for (events, selection) in &mut tailers {
        let wanted: Vec<_> = written.iter().filter(|event| selection.matches(event)).cloned().collect();
        assert!(until(events, 12_000).await == wanted, "{selection:?}");
    }
}

/// Whoever is at the tail hears of damage as everybody does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_missing_is_told_to_a_live_reader() {
    let (server, service) = (Server::shared(), Server::service());
    let (writer, node) = (server.node(&service).await, server.node(&service).await);
    let mut events = tailer(&node, Selection::All).await;
    let schema = server.address(&service).schema().to_owned();
    let lossy = format!(
        "CREATE FUNCTION {schema}.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.position = 3 THEN RETURN NULL; END IF; RETURN new; END';
        CREATE TRIGGER lose BEFORE INSERT ON {schema}.event FOR EACH ROW EXECUTE FUNCTION {schema}.lose()"
    );
    client(server.url()).await.batch_execute(&lossy).await.unwrap();
    writer.append(notes(&key("a"), "1", 5)).await.unwrap();
    let told = loop {
        if let Err(error) = events.next().await.unwrap() {
            break error.to_string();
        }
    };
    assert!(told.contains("position 3 is missing"), "{told}");
}
