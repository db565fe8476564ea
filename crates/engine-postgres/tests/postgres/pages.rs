//! Reads that are longer than a page, of selections that no index has as they are.

use std::sync::Arc;

use bytes::Bytes;
use headwater_engine_postgres::PostgresJournal;
use journal::{
    CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal as _, Read, ReadMode,
    Recorded, Selection,
};

use crate::server::Server;

/// A commit that leaves so many events on an entity.
pub(crate) fn notes(entity: &EntityKey, id: &str, count: usize) -> Commit {
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
        events: vec![event; count],
    };
    Commit { commands: vec![command], ..Commit::default() }
}

/// The events of a read to the head, and the places that it told of.
async fn read(node: &PostgresJournal, selection: Selection) -> (Vec<Arc<Recorded>>, Vec<u64>) {
    let mut running = node.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let (mut events, mut places) = (Vec::new(), Vec::new());
    while let Some(item) = running.next().await {
        match item.unwrap() {
            Read::Event(event) => events.push(event),
            Read::Progress(place) => places.push(place.position()),
        }
    }
    (events, places)
}

/// What one statement looks through ends in the middle of what is wanted, and of what is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_read_of_types_within_slices_gives_all_and_advances() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    let entities: Vec<EntityKey> = (0..12).map(|number| EntityKey::new("note", &number.to_string()).unwrap()).collect();
    for (round, entity) in (0..3).flat_map(|_| &entities).enumerate() {
        node.append(notes(entity, &round.to_string(), 400)).await.unwrap();
    }
    let own = entities[4].slice();
    let all = read(&node, Selection::All).await.0;
    for (first, last) in [(own, own), (0, 511), (512, 1023), (0, 1023)] {
        let selection = Selection::Slices { first, last, types: Some(vec!["note/noted".into()]) };
        let wanted: Vec<_> = all.iter().filter(|event| selection.matches(event)).cloned().collect();
        let (events, places) = read(&node, selection).await;
        assert!(!wanted.is_empty() && events == wanted, "{} of {} events of {first}..={last}", events.len(), wanted.len());
        assert!(places.is_sorted() && (first == 0 || !places.is_empty()), "{places:?}");
    }
}
