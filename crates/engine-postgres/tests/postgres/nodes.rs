//! What nodes of one service see of each other, and which servers are refused.

use std::sync::Arc;

use bytes::Bytes;
use headwater_engine_postgres::{Address, OpenError, Options, PostgresJournal};
use journal::{
    AppendError, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Expect, Fence,
    Journal as _, ReadMode, RegisterExpect, Registers as _, Selection, Tag, TagCondition, TagQuery, TagQueryItem,
};
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

fn note(entity: &EntityKey, id: &str) -> Commit {
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
        id: CommandId::from_raw(id.as_bytes()),
        name: "note".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::new(),
        events: vec![event],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

fn key(id: &str) -> EntityKey {
    EntityKey::new("note", id).unwrap()
}

pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn refused(url: &str, service: &str) -> OpenError {
    let address = Address::new(url, Some(service)).unwrap();
    let options = Options::at(address).unwrap();
    PostgresJournal::open(options).await.err().expect("this server is refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_commits_another_one_decides_on_and_its_readers_wake() {
    let (server, service) = (Server::shared(), Server::service());
    let (left, right) = (server.node(&service).await, server.node(&service).await);
    assert_eq!(left.lineage(), right.lineage());
    let mut live = right.read(Selection::All, Cursor::BEGINNING, ReadMode::Live);
    for number in 0..20 {
        let (writer, other) = if number % 2 == 0 { (&left, &right) } else { (&right, &left) };
        let committed = writer.append(note(&key("a"), &number.to_string()).expecting(number)).await.unwrap();
        assert_eq!(other.entity_head(&key("a")).await.unwrap().map(|head| head.sequence), Some(number + 1));
        let stale = other.append(note(&key("a"), &format!("stale {number}")).expecting(number)).await;
        assert!(matches!(stale, Err(AppendError::Conflict { .. })), "{stale:?}");
        let again = other.append(note(&key("a"), &number.to_string())).await;
        assert!(matches!(again, Err(AppendError::Duplicate { .. })), "{again:?}");
        assert_eq!(live.next_event().await.unwrap().unwrap().position, committed.cursor.position());
    }
}

trait Expecting {
    fn expecting(self, sequence: u64) -> Self;
}

impl Expecting for Commit {
    fn expecting(mut self, sequence: u64) -> Self {
        self.expect.push((key("a"), Expect::Head(sequence)));
        self
    }
}

/// Many nodes race to open a schema that is not there: one makes it, and all have the same history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_begin_one_history() {
    let (server, service) = (Server::shared(), Server::service());
    let open = || {
        let (server, service) = (Arc::clone(&server), service.clone());
        tokio::spawn(async move { server.node(&service).await.lineage().clone() })
    };
    let starts: Vec<_> = (0..8).map(|_| open()).collect();
    let mut lineages = Vec::new();
    for start in starts {
        lineages.push(start.await.unwrap());
    }
    lineages.dedup();
    assert_eq!(lineages.len(), 1);
}

/// A takeover waits for commits under the old epoch, and no commit under it comes after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_of_a_stale_owner_is_behind_the_takeover() {
    let (server, service) = (Server::shared(), Server::service());
    let (old, new) = (Arc::new(server.node(&service).await), server.node(&service).await);
    let owned = |epoch: u64| Bytes::copy_from_slice(&epoch.to_be_bytes());
    let mut revision = new.put("lease", RegisterExpect::Absent, owned(0)).await.unwrap();
    for epoch in 0..20_u64 {
        let owner = Arc::clone(&old);
        let appends = tokio::spawn(async move {
            let mut last = None;
            for number in 0_u64.. {
                let fence = Some(Fence { register: "lease".into(), epoch });
                match owner.append(Commit { fence, ..note(&key("owned"), &format!("{epoch}.{number}")) }).await {
                    Ok(committed) => last = Some(committed.cursor.position()),
                    Err(AppendError::Fenced { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            last
        });
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        revision = new.put("lease", RegisterExpect::Revision(revision), owned(epoch + 1)).await.unwrap();
        let taken_over = new.head().await.unwrap().position();
        assert!(appends.await.unwrap().is_none_or(|last| last <= taken_over), "a commit under epoch {epoch} is behind its takeover");
    }
}

/// Whoever stops in the middle of a transaction is thrown out by the server, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_with_the_lock_on_the_head_does_not_stop_the_others() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    let stopped = client(server.url()).await;
    let schema = server.address(&service).schema().to_owned();
    // As a node's session is set up, which then says nothing any more.
    stopped.batch_execute("SET idle_in_transaction_session_timeout = 300").await.unwrap();
    stopped.batch_execute(&format!("BEGIN; SELECT position FROM {schema}.head FOR UPDATE")).await.unwrap();
    assert_eq!(node.append(note(&key("a"), "1")).await.unwrap().commands[0].sequence, 1);
    assert!(stopped.batch_execute("COMMIT").await.is_err(), "the one that stopped was thrown out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_went_back_poisons_the_node_that_saw_more() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    for number in 0..3 {
        node.append(note(&key("a"), &number.to_string())).await.unwrap();
    }
    let schema = server.address(&service).schema().to_owned();
    client(server.url()).await.batch_execute(&format!("UPDATE {schema}.head SET position = position - 1")).await.unwrap();
    let refused = node.append(note(&key("a"), "more")).await;
    assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    assert!(node.poisoned().unwrap().contains("lost the last 1 events"), "{:?}", node.poisoned());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_missing_is_told_and_not_passed_over() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    for number in 0..5 {
        node.append(note(&key("a"), &number.to_string())).await.unwrap();
    }
    let schema = server.address(&service).schema().to_owned();
    client(server.url()).await.batch_execute(&format!("DELETE FROM {schema}.event WHERE position = 3")).await.unwrap();
    let mut events = node.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    let told = events.next_event().await.unwrap().unwrap_err().to_string();
    assert!(told.contains("position 3 is missing"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_newer_version_is_refused_and_left_alone() {
    let (server, service) = (Server::shared(), Server::service());
    drop(server.node(&service).await);
    let (schema, admin) = (server.address(&service).schema().to_owned(), client(server.url()).await);
    admin.batch_execute(&format!("INSERT INTO {schema}.migration (number, name) VALUES (99, 'later')")).await.unwrap();
    let told = refused(server.url(), &service).await.to_string();
    assert!(told.contains("version 99") && told.contains("use a newer version"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_would_lose_what_it_acknowledged_is_refused() {
    for (setting, wanted) in [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")] {
        let server = Server::start(&[&format!("{setting}=off")]);
        let told = refused(server.url(), "shop").await.to_string();
        assert!(told.contains(&format!("{setting} = off")) && told.contains(&format!("set {setting} = {wanted}")), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&format!("postgres://nobody@127.0.0.1:{port}/postgres"), "shop").await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
}

/// A service that knows of no other nodes is alone, and the next process of it comes when the one before is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_wants_to_be_alone_is() {
    let (server, service) = (Server::shared(), Server::service());
    let options = || Options { alone: true, ..Options::at(server.address(&service)).unwrap() };
    let first = PostgresJournal::open(options()).await.unwrap();
    let second = PostgresJournal::open(options()).await.err().expect("the first one is there");
    assert!(matches!(second, OpenError::Taken { .. }), "{second}");
    first.close().await;
    drop(first);
    PostgresJournal::open(options()).await.expect("the first one is gone");
}

/// The server proves who it is, to those who ask for it, on every connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_to_be_encrypted_is_and_strangers_are_not_trusted() {
    let server = Server::start(&["ssl=on"]);
    let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/certificate.pem");
    let trusting = format!("{}?sslmode=require&sslrootcert={roots}", server.url());
    let options = Options::at(Address::new(&trusting, Some("shop")).unwrap()).unwrap();
    let node = PostgresJournal::open(options).await.unwrap();
    node.append(note(&key("a"), "1")).await.unwrap();
    let sessions = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'headwater'";
    let row = client(server.url()).await.query_one(sessions, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1), "sessions, and those that are encrypted");
    assert!(row.get::<_, i64>(0) > 0);
    // The system does not know who has signed the certificate, and it is for 127.0.0.1 alone.
    let unknown = refused(&format!("{}?sslmode=require", server.url()), "shop").await;
    assert!(matches!(unknown, OpenError::Unreachable { .. }), "{unknown}");
    let other_name = refused(&trusting.replace("127.0.0.1", "localhost"), "shop").await;
    assert!(matches!(other_name, OpenError::Unreachable { .. }), "{other_name}");
}

/// How many rows the sessions of a test have read so far, once they have all ended: a session's counts are there when it is gone.
pub(crate) async fn rows_read(admin: &Client, schema: &str, application: &str) -> i64 {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    while admin.query_one(sessions, &[&application]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let read = "SELECT (SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE schemaname = $1)::bigint
        + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = $1)::bigint";
    admin.query_one(read, &[&schema]).await.unwrap().get(0)
}

/// Plans that are made before there are statistics must not walk over what there is: an append to an entity with a long past reads a few rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_append_reads_does_not_grow_with_the_past() {
    const PAST: usize = 2_000;
    let (server, service) = (Server::shared(), Server::service());
    let application = format!("counted-{service}");
    let address = Address::new(&format!("{}?application_name={application}", server.url()), Some(&service)).unwrap();
    let open = || async {
        let options = Options::at(address.clone()).unwrap();
        PostgresJournal::open(options).await.unwrap()
    };
    let tag = |text: &str| Tag::new(text).unwrap();
    let tagged = |id: &str| {
        let mut commit = note(&key("hot"), id);
        commit.commands[0].events[0].tags = vec![tag("all:1"), tag(&format!("one:{id}"))];
        commit
    };
    let (admin, node) = (client(server.url()).await, open().await);
    let appends: Vec<_> = (0..PAST).map(|number| node.append(tagged(&number.to_string()))).collect();
    for append in appends {
        append.await.unwrap();
    }
    node.close().await;
    drop(node);
    let before = rows_read(&admin, address.schema(), &application).await;
    let node = open().await;
    let query = TagQuery { items: vec![TagQueryItem { types: Vec::new(), tags: vec![tag("all:1"), tag("one:new")] }] };
    let condition = Some(TagCondition { query, after: Cursor::BEGINNING });
    node.append(Commit { condition, ..tagged("new") }).await.unwrap();
    assert_eq!(node.entity_head(&key("hot")).await.unwrap().map(|head| head.sequence), Some(PAST as u64 + 1));
    assert!(node.find_command(&key("hot"), CommandId::from_raw(b"7")).await.unwrap().is_some());
    node.close().await;
    drop(node);
    let read = rows_read(&admin, address.schema(), &application).await - before;
    // A hundred of the common tag, to find out that it is common, and a few of everything else.
    assert!(read < 400, "{read} rows were read for one append and two questions");
}
