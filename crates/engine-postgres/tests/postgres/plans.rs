//! What a statement costs once the server has statistics of the tables: as much as it finds, whatever else the journal holds.
//!
//! The statements are prepared for any values, so the server plans them without knowing which. With statistics of a table in which most events are of
//! one type it takes a walk over positions for cheaper than the index that has what is asked for, and the walk is as long as the journal.

use headwater_engine_postgres::PostgresJournal;
use journal::{
    CommandId, CommandRecord, Commit, Cursor, EntityKey, EntityType, Journal as _, ReadMode, RegisterExpect, Registers as _, Selection,
    Tag, TagCondition, TagQuery, TagQueryItem,
};
use tokio_postgres::{Client, NoTls};

use crate::pages::notes;
use crate::server::Server;

/// Pages of the tables and indexes that one statement may look at, beside some for each row that it gives. Any walk over the journal that is made here
/// looks at more than four times as many.
const PAGES_MAX: i64 = 150;

const ENTITIES: usize = 500;
const ROUNDS: usize = 40;

fn key(kind: &str, number: usize) -> EntityKey {
    EntityKey::new(kind, &number.to_string()).unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

fn tagged(mut command: CommandRecord, tags: &[&str]) -> CommandRecord {
    command.events.iter_mut().for_each(|event| event.tags = tags.iter().map(|name| tag(name)).collect());
    command
}

fn only(commit: Commit) -> CommandRecord {
    commit.commands.into_iter().next().unwrap()
}

/// Five early events of a type and a tag that nothing later has, among twenty thousand of others.
async fn fill(node: &PostgresJournal) {
    for round in 0..ROUNDS {
        let command = |number: usize| {
            let tags = if (round + number).is_multiple_of(10) { &["of:common"][..] } else { &[] };
            tagged(only(notes(&key("note", number), &round.to_string(), 1)), tags)
        };
        node.append(Commit { commands: (0..ENTITIES).map(command).collect(), ..Commit::default() }).await.unwrap();
        if round == 0 {
            let rare = tagged(only(notes(&key("rarity", 0), "rare", 5)), &["of:rare", "of:common"]);
            node.append(Commit { commands: vec![rare], ..Commit::default() }).await.unwrap();
        }
    }
}

async fn count(node: &PostgresJournal, selection: Selection, from: Cursor) -> usize {
    let (mut events, mut found) = (node.read(selection, from, ReadMode::ToHead), 0);
    while let Some(event) = events.next_event().await {
        event.unwrap();
        found += 1;
    }
    found
}

fn query(types: &[&str], tags: &[&str]) -> TagQuery {
    let item = TagQueryItem { types: types.iter().map(|full| (*full).into()).collect(), tags: tags.iter().map(|name| tag(name)).collect() };
    TagQuery { items: vec![item] }
}

fn types(full: &str) -> Selection {
    Selection::Types(vec![full.into()])
}

async fn read_by_every_way(node: &PostgresJournal, late: Cursor) {
    let all = ENTITIES * ROUNDS + 5;
    assert_eq!(count(node, Selection::All, Cursor::BEGINNING).await, all);
    assert_eq!(count(node, Selection::Entity { entity: key("note", 7), from_sequence: 1 }, Cursor::BEGINNING).await, ROUNDS);
    assert_eq!(count(node, Selection::Entity { entity: key("note", 7), from_sequence: 39 }, Cursor::BEGINNING).await, 2);
    assert_eq!(count(node, types("note/noted"), late).await, ENTITIES);
    assert_eq!(count(node, types("rarity/noted"), Cursor::BEGINNING).await, 5);
    assert_eq!(count(node, types("rarity/noted"), late).await, 0);
    let slices = Selection::Slices { first: 0, last: 1023, types: Some(vec!["rarity/noted".into()]) };
    assert_eq!(count(node, slices, Cursor::BEGINNING).await, 5);
    for (types, tags, found) in [
        (&[][..], &["of:rare"][..], 5),
        (&[], &["of:rare", "of:common"], 5),
        (&["rarity/noted"], &["of:rare"], 5),
        (&["note/noted"], &["of:common", "of:rare"], 0),
        // A walk over all that has the tag, but not over the others.
        (&[], &["of:common"], ENTITIES * ROUNDS / 10 + 5),
    ] {
        assert_eq!(count(node, Selection::Tags(query(types, tags)), Cursor::BEGINNING).await, found);
    }
    assert_eq!(count(node, Selection::Tags(query(&[], &["of:rare"])), late).await, 0);
    assert_eq!(node.entity_head(&key("note", 7)).await.unwrap().map(|head| head.sequence), Some(ROUNDS as u64));
    assert!(node.find_command(&key("note", 7), CommandId::from_raw(b"7")).await.unwrap().is_some());
    let kind = EntityType::new("note").unwrap();
    let mut keys = node.entities(&kind, Some(key("note", 300)));
    assert!(keys.next().await.unwrap().is_ok());
    let mut read = node.read(Selection::All, late, ReadMode::ToHead);
    let event = read.next_event().await.unwrap().unwrap();
    node.cursor_at(event.time).await.unwrap();
}

async fn write_in_every_way(node: &PostgresJournal, late: Cursor) {
    node.append(notes(&key("note", 7), "again", 1)).await.unwrap();
    node.append(notes(&key("fresh", 7), "first", 1)).await.unwrap();
    for (types, tags, after) in [
        (&["rarity/noted"][..], &[][..], late),
        (&[], &["of:rare"], late),
        (&["rarity/noted"], &["of:common"], late),
        (&["never/noted"], &[], Cursor::BEGINNING),
        (&["never/noted"], &["of:rare"], Cursor::BEGINNING),
    ] {
        let condition = Some(TagCondition { query: query(types, tags), after });
        let id = format!("{types:?} {tags:?}");
        node.append(Commit { condition, ..notes(&key("note", 8), &id, 1) }).await.unwrap();
    }
    let revision = node.put("plans/a", RegisterExpect::Absent, "1".into()).await.unwrap();
    let revision = node.put("plans/a", RegisterExpect::Revision(revision), "2".into()).await.unwrap();
    assert!(node.get("plans/a").await.unwrap().is_some() && node.list("plans/").await.unwrap().len() == 1);
    node.delete("plans/a", revision).await.unwrap();
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_walks_over_the_journal_once_there_are_statistics_of_it() {
    let server = Server::start(&["shared_preload_libraries=pg_stat_statements", "autovacuum=off"]);
    let (service, admin) = (Server::service(), connect(server.url()).await);
    let node = server.node(&service).await;
    fill(&node).await;
    // In front of the last round.
    let late = node.lineage().cursor((ENTITIES * (ROUNDS - 1) + 5) as u64);
    admin.batch_execute("ANALYZE; CREATE EXTENSION pg_stat_statements").await.unwrap();
    // Its statements are prepared with the statistics.
    let node = server.node(&service).await;
    admin.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    read_by_every_way(&node, late).await;
    write_in_every_way(&node, late).await;
    let ask = "SELECT query, (shared_blks_hit + shared_blks_read) / calls, rows / calls FROM pg_stat_statements
        WHERE calls > 0 AND query ~* '^(select|with|insert|update|delete)' AND query !~ 'pg_stat_statements' ORDER BY 2 DESC";
    let rows = admin.query(ask, &[]).await.unwrap();
    let statements: Vec<(String, i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let walks: Vec<_> = statements.iter().filter(|(_, pages, rows)| *pages > PAGES_MAX + 4 * rows).collect();
    assert!(walks.is_empty(), "pages and rows a call: {walks:#?}");
    assert!(statements.len() > 20, "{} statements were seen", statements.len());
}
