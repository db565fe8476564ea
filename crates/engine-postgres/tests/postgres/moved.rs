//! Whole histories that come in and go out: what they are afterwards, what is refused, and where a run that was ended goes on.

use std::sync::Arc;

use bytes::Bytes;
use headwater_engine_postgres::{FillError, Filling, History, OpenError, Options, Origin, PostgresJournal};
use journal::embedded::{GoneCommand, Part, Remains, RunningRoot, StoredCommand, StoredCommit};
use journal::seams::SystemRandom;
use journal::{
    AppendError, BASELINE, CommandId, CommandRecord, Commit, CommitId, ContentType, Context, Cursor, CursorError, DELETED, EntityKey,
    EventData, EventFlags, Fingerprint, Journal as _, Lineage, LineageId, ParentLineage, Position, ReadError, ReadMode, Recorded,
    Registers as _, Selection, Tag, TagQuery, TagQueryItem, Timestamp,
};
use tokio_postgres::NoTls;

use crate::server::Server;

fn key(id: &str) -> EntityKey {
    EntityKey::new("cart", id).unwrap()
}

fn id(raw: &str) -> CommandId {
    CommandId::from_raw(raw.as_bytes())
}

fn event(name: &str, payload: &str) -> EventData {
    EventData {
        name: name.into(),
        version: 3,
        content: ContentType::Cbor,
        flags: EventFlags(0),
        tags: vec![Tag::new("sku:mug").unwrap(), Tag::new("colour:red").unwrap()],
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// A command of an entity whose next sequence is `first`.
fn command(entity: &str, raw: &str, first: u64, events: &[&str]) -> StoredCommand {
    let context = Context { correlation_id: Some("c".into()), principal: Some(format!("{raw}'s").into()), ..Context::default() };
    let record = CommandRecord {
        entity: key(entity),
        id: id(raw),
        name: "change".into(),
        fingerprint: Some(Fingerprint([7; 16])),
        context,
        reply: Bytes::copy_from_slice(format!("reply to {raw}").as_bytes()),
        events: events.iter().map(|name| event(name, raw)).collect(),
    };
    StoredCommand { record, first_sequence: first, first_index: 0 }
}

fn commit(number: u8, first_position: Position, mut commands: Vec<StoredCommand>) -> Part {
    let mut index = 0;
    for command in &mut commands {
        command.first_index = index;
        index += command.record.events.len() as u16;
    }
    let time = Timestamp::from_micros(1_000_000 * i64::from(number));
    Part::Commit(StoredCommit { id: CommitId([number; 16]), time, first_position, commands })
}

/// What is left of a command with some events up to this position, `sequence` included.
fn gone(raw: &str, position: Position, sequence: u64, count: u32) -> Part {
    let command = GoneCommand {
        hash: id(raw).on(key("a").hash()),
        position,
        sequence,
        event_count: count,
        time: Timestamp::from_micros(5),
        name: "change".into(),
    };
    let first = position + 1 - u64::from(count);
    let leaves = (0..count).map(|number| [number as u8 + position as u8; 32]).collect();
    Part::Gone(Remains::of_file(first, leaves, vec![command]).unwrap())
}

/// A history with everything in it: events that are gone in front and in between, a baseline that stands for them, commands without events,
/// several entities in one commit, and one that is deleted.
fn parts() -> Vec<Part> {
    vec![
        gone("early", 3, 3, 3),
        commit(
            1,
            4,
            vec![command("z", "silent", 1, &[]), command("b", "first", 1, &["added", "added"]), command("a", "four", 4, &["added"])],
        ),
        gone("late", 8, 6, 2),
        commit(2, 9, vec![command("a", "stands", 7, &[BASELINE])]),
        commit(3, 10, vec![command("y", "silent too", 1, &[]), command("b", "ends", 3, &["added", DELETED])]),
        commit(4, 12, vec![command("c", "many", 1, &["added"; 900])]),
        commit(5, 912, vec![command("c", "more", 901, &["added"; 999])]),
        commit(6, 1_911, vec![command("c", "most", 1_900, &["added"; 1_000])]),
    ]
}

const HEAD: Position = 2_910;

fn source() -> Lineage {
    let older = ParentLineage { id: LineageId([8; 16]), fork: 9_999 };
    Lineage { id: LineageId([9; 16]), parents: vec![older], family_key: [4; 32] }
}

fn root(parts: &[Part]) -> [u8; 32] {
    let mut root = RunningRoot::default();
    parts.iter().for_each(|part| root.add(part));
    root.hash()
}

async fn begin(service: &str, parent: &Lineage, fork: Position, gone: u64) -> Result<Filling, FillError> {
    let random = SystemRandom::new().unwrap();
    Filling::begin(Server::shared().address(service), &random, Origin { parent, fork, gone }).await
}

async fn open(service: &str) -> Result<PostgresJournal, OpenError> {
    let options = Options::at(Server::shared().address(service)).unwrap();
    PostgresJournal::open(options).await
}

/// All of it, in one run.
async fn filled(service: &str) -> LineageId {
    let mut filling = begin(service, &source(), HEAD, 5).await.unwrap();
    for some in parts().chunks(3) {
        filling.put(some).await.unwrap();
    }
    assert_eq!(root(&all_of(&filling).await), root(&parts()));
    let registers = [("consumer/pack".to_owned(), Bytes::from_static(b"place")), ("held/x".to_owned(), Bytes::new())];
    filling.finish(&registers).await.unwrap()
}

async fn all_of(filling: &Filling) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    loop {
        let more = filling.parts(all.last().map_or(0, Part::last_position)).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

async fn read(journal: &PostgresJournal, selection: Selection, from: Cursor) -> Vec<Arc<Recorded>> {
    let (mut events, mut all) = (journal.read(selection, from, ReadMode::ToHead), Vec::new());
    while let Some(event) = events.next_event().await.transpose().unwrap() {
        all.push(event);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_came_in_is_what_it_was_and_goes_on() {
    let (_server, service) = (Server::shared(), Server::service());
    let lineage = filled(&service).await;
    let journal = open(&service).await.unwrap();
    assert_eq!((journal.lineage().id, journal.lineage().family_key), (lineage, [4; 32]));
    let parents: Vec<_> = journal.lineage().parents.iter().map(|parent| (parent.id.0[0], parent.fork)).collect();
    assert_eq!(parents, [(9, HEAD), (8, HEAD)]);
    let all = read(&journal, Selection::All, Cursor::BEGINNING).await;
    assert_eq!(all.len() as u64, HEAD - 5);
    assert_eq!((all[0].position, all[0].sequence, &*all[0].name, all[0].version), (4, 1, "added", 3));
    assert_eq!((all[3].position, all[3].sequence, &*all[3].name, all[3].time.as_micros()), (9, 7, BASELINE, 2_000_000));
    assert_eq!((all[2].context.principal.as_deref(), all[2].id.index, all[2].tags.len()), (Some("four's"), 2, 2));
    let tagged = TagQuery { items: vec![TagQueryItem { types: Vec::new(), tags: vec![Tag::new("sku:mug").unwrap()] }] };
    assert_eq!(read(&journal, Selection::Tags(tagged), Cursor::BEGINNING).await.len(), all.len());
    let of_a = read(&journal, Selection::Entity { entity: key("a"), from_sequence: 1 }, Cursor::BEGINNING).await;
    assert_eq!(of_a.iter().map(|event| event.sequence).collect::<Vec<_>>(), [4, 7]);
    assert!(journal.entity_head(&key("b")).await.unwrap().unwrap().deleted);
    assert_eq!(journal.entity_head(&key("y")).await.unwrap(), None);
    assert_eq!(journal.cursor_at(Timestamp::from_micros(2_000_000)).await.unwrap().position(), 8);
    assert_eq!(journal.get("consumer/pack").await.unwrap().unwrap().value, "place");
    let new = command("a", "new", 0, &["added"]).record;
    let committed = journal.append(Commit { commands: vec![new], ..Commit::default() }).await.unwrap();
    assert_eq!((committed.cursor.position(), committed.commands[0].sequence), (HEAD + 1, 8));
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_the_source_are_good_up_to_the_fork_and_in_front_of_what_is_gone_are_none() {
    let (_server, service) = (Server::shared(), Server::service());
    filled(&service).await;
    let journal = open(&service).await.unwrap();
    assert_eq!(read(&journal, Selection::All, source().cursor(HEAD - 1)).await.len(), 1);
    assert_eq!(read(&journal, Selection::All, source().cursor(7)).await[0].position, 9, "between events that are gone");
    let of = &journal;
    let refused = |from| async move { of.read(Selection::All, from, ReadMode::ToHead).next_event().await.unwrap().unwrap_err() };
    assert!(matches!(refused(source().cursor(2)).await, ReadError::Cursor(CursorError::Gone { .. })));
    assert!(matches!(refused(source().cursor(HEAD + 1)).await, ReadError::Cursor(CursorError::HistoryDiverged)));
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_took_effect_takes_none_again_also_when_it_is_gone() {
    let (_server, service) = (Server::shared(), Server::service());
    filled(&service).await;
    let journal = open(&service).await.unwrap();
    for (entity, raw, sequence, reply) in [
        ("a", "early", 3, None),
        ("a", "late", 6, None),
        ("a", "stands", 7, Some("reply to stands")),
        ("z", "silent", 0, Some("reply to silent")),
    ] {
        let again = journal.append(Commit { commands: vec![command(entity, raw, 0, &["added"]).record], ..Commit::default() }).await;
        let Err(AppendError::Duplicate { first, .. }) = again else { panic!("{raw}: {again:?}") };
        assert_eq!((first.sequence, first.reply.as_deref()), (sequence, reply.map(str::as_bytes)), "{raw}");
        assert_eq!(journal.find_command(&key(entity), id(raw)).await.unwrap().map(|found| found.sequence), Some(sequence), "{raw}");
    }
    assert_eq!(journal.find_command(&key("b"), id("early")).await.unwrap(), None, "another entity's");
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_a_history_is_not_opened_and_the_next_run_goes_on_behind_it() {
    let (_server, service) = (Server::shared(), Server::service());
    let mut first = begin(&service, &source(), HEAD, 5).await.unwrap();
    first.put(&parts()[..4]).await.unwrap();
    let own = first.lineage().id;
    assert!(matches!(begin(&service, &source(), HEAD, 5).await, Err(FillError::Open(OpenError::Taken { .. }))), "one at a time");
    drop(first);
    assert!(matches!(open(&service).await, Err(OpenError::Unfinished { .. })));
    assert!(matches!(History::open(Server::shared().address(&service)).await, Err(FillError::Open(OpenError::Unfinished { .. }))));
    let other = Lineage { id: LineageId([1; 16]), ..source() };
    assert!(matches!(begin(&service, &other, HEAD, 5).await, Err(FillError::Other { .. })), "another source");
    assert!(matches!(begin(&service, &source(), HEAD, 6).await, Err(FillError::Other { .. })), "the source was compacted");
    assert!(matches!(begin(&service, &source(), HEAD - 1, 5).await, Err(FillError::Other { .. })), "the source was cut");
    let mut again = begin(&service, &source(), HEAD, 5).await.unwrap();
    assert_eq!((again.reached(), again.lineage().id), (9, own));
    assert!(matches!(again.put(&parts()[3..]).await, Err(FillError::Damaged { .. })), "what is there already does not come next");
    again.put(&parts()[4..]).await.unwrap();
    assert_eq!(root(&all_of(&again).await), root(&parts()));
    again.finish(&[]).await.unwrap();
    assert!(matches!(begin(&service, &source(), HEAD, 5).await, Err(FillError::Taken { .. })));
    open(&service).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_goes_out_as_it_came_in_and_what_was_changed_or_is_missing_shows() {
    let (server, service) = (Server::shared(), Server::service());
    filled(&service).await;
    let history = History::open(server.address(&service)).await.unwrap();
    let mut all: Vec<Part> = Vec::new();
    while all.last().map_or(0, Part::last_position) < history.head() {
        all.extend(history.parts(all.last().map_or(0, Part::last_position)).await.unwrap());
    }
    assert_eq!(all, parts());
    assert_eq!(history.registers().await.unwrap().len(), 2);
    let (client, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let schema = server.address(&service).schema().to_owned();
    client
        .batch_execute(&format!("UPDATE {schema}.command SET reply = 'other' WHERE name = 'change' AND events = 2 AND sequence = 2"))
        .await
        .unwrap();
    assert_ne!(root(&history.parts(0).await.unwrap()), root(&parts()[..history.parts(0).await.unwrap().len()]));
    client.batch_execute(&format!("DELETE FROM {schema}.event WHERE position = 9")).await.unwrap();
    let reached = history.parts(0).await.unwrap().last().map(Part::last_position);
    assert_eq!(reached, Some(8));
    assert!(matches!(history.parts(8).await, Err(FillError::Damaged { .. })));
}
