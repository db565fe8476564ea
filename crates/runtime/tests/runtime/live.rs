//! Live queries: shared by all who ask the same, told what changed, cut when they are too slow.

use std::sync::Arc;

use runtime::{LiveEvent, LiveQuery, LiveUpdate, RowChange};
use serde_json::{Value as Json, json};

use crate::store::{Store, asked, begin, journal, stock};

async fn live(store: &Store) -> LiveQuery {
    store.rows("stock/all").await;
    store.runtime.live(asked("stock/all"), None).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn snapshot(live: &mut LiveQuery) -> Json {
    match live.next().await {
        Some(LiveEvent::Snapshot(rows)) => rows.rows.iter().map(|row| serde_json::from_slice::<Json>(row).unwrap()).collect(),
        other => panic!("no snapshot: {other:?}"),
    }
}

async fn update(live: &mut LiveQuery) -> Arc<LiveUpdate> {
    match live.next().await {
        Some(LiveEvent::Update(update)) => update,
        other => panic!("no update: {other:?}"),
    }
}

async fn caught_up(live: &mut LiveQuery) {
    assert!(matches!(live.next().await, Some(LiveEvent::CaughtUp(_))));
}

#[tokio::test]
async fn ten_thousand_readers_share_one_run_and_its_bytes() {
    let store = begin(&journal(), None, vec![stock()]).await;
    store.moved("mug", 1).await;
    let mut readers = Vec::new();
    for _ in 0..10_000 {
        readers.push(live(&store).await);
    }
    for reader in &mut readers {
        assert_eq!(snapshot(reader).await, json!([{ "id": "mug", "count": 1, "moves": 1 }]));
        caught_up(reader).await;
    }
    store.moved("mug", 1).await;
    let first = update(&mut readers[0]).await;
    assert!(matches!(&first.changes[..], [RowChange::Row { at: 0, key, .. }] if *key == r#"{"id":"mug"}"#), "{first:?}");
    for reader in &mut readers[1..] {
        assert!(Arc::ptr_eq(&first, &update(reader).await), "the same update, made once");
    }
    store.end().await;
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_and_let_go() {
    let store = begin(&journal(), None, vec![stock()]).await;
    let mut slow = live(&store).await;
    let mut quick = live(&store).await;
    snapshot(&mut quick).await;
    caught_up(&mut quick).await;
    for at in 0..100 {
        store.moved("mug", 1).await;
        let update = update(&mut quick).await;
        let count = format!("\"count\":{}", at + 1);
        assert!(matches!(&update.changes[..], [RowChange::Row { row, .. }] if String::from_utf8_lossy(row).contains(&count)));
    }
    snapshot(&mut slow).await;
    caught_up(&mut slow).await;
    assert!(matches!(slow.next().await, Some(LiveEvent::Gap)));
    assert!(slow.next().await.is_none());
    store.end().await;
}

#[tokio::test]
async fn a_reader_that_comes_back_is_told_what_it_missed() {
    let store = begin(&journal(), None, vec![stock()]).await;
    let mut stays = live(&store).await;
    snapshot(&mut stays).await;
    caught_up(&mut stays).await;
    let mut places = Vec::new();
    for at in 0..5 {
        store.moved(&format!("good-{at}"), 1).await;
        places.push(update(&mut stays).await.cursor);
    }
    for (missed, place) in (0..5).rev().zip(&places) {
        let mut back = store.runtime.live(asked("stock/all"), Some(*place)).await.unwrap();
        for _ in 0..missed {
            update(&mut back).await;
        }
        caught_up(&mut back).await;
    }
    // A place that the run does not know: all rows.
    let mut stranger = store.runtime.live(asked("stock/all"), Some(journal::Cursor::BEGINNING)).await.unwrap();
    assert_eq!(snapshot(&mut stranger).await.as_array().unwrap().len(), 5);
    store.end().await;
    while stays.next().await.is_some() {}
}

#[tokio::test]
async fn a_run_ends_with_its_last_reader() {
    let store = begin(&journal(), None, vec![stock()]).await;
    for round in 0..2_000 {
        let input = runtime::QueryInput::Texts(vec![("count".into(), round.to_string())]);
        let request = runtime::QueryRequest { input, query: "at-least".into(), ..asked("stock/all") };
        drop(store.runtime.live(request, None).await.unwrap_or_else(|error| panic!("{round}: {error}")));
    }
    store.end().await;
}

#[tokio::test]
async fn a_reader_is_told_when_the_view_stops() {
    let store = begin(&journal(), None, vec![stock()]).await;
    let mut reader = live(&store).await;
    snapshot(&mut reader).await;
    caught_up(&mut reader).await;
    store.moved("mug", 5_000).await;
    match reader.next().await {
        Some(LiveEvent::Failed(error)) => assert!(error.to_string().contains("CHECK constraint failed"), "{error}"),
        other => panic!("not told: {other:?}"),
    }
    assert!(reader.next().await.is_none());
    store.end().await;
}
