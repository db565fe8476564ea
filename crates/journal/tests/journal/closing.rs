//! A journal that is closed while commits are on their way: each of them is answered, and nobody hangs, readers neither.

use std::sync::Arc;

use headwater_journal::sim::{SimClock, SimDisk};
use headwater_journal::{Cursor, Journal, Read, ReadError, ReadMode, Selection};

use crate::engines::{TINY_SEGMENTS, open};
use crate::size;

const ROUNDS: u64 = 500;

/// A commit that no segment has room for yet needs upkeep, which must not end before the commit was looked at.
#[tokio::test]
async fn a_commit_that_needs_another_segment_is_answered_although_the_journal_is_closed_at_once() {
    for round in 0..ROUNDS {
        let journal = open(&SimDisk::new(round), round, Arc::new(SimClock::new()), TINY_SEGMENTS);
        let mut large = size::commit(1, round, None);
        let event = large.commands[0].events[0].clone();
        large.commands[0].events = vec![event; 180];
        let answer = journal.append(large);
        let small = journal.append(size::commit(2, round, None));
        journal.close().await;
        answer.await.expect("it was taken before the close");
        small.await.expect("it was taken before the close");
    }
}

#[tokio::test]
async fn a_live_reader_at_the_head_hears_that_the_journal_is_closed() {
    let journal = open(&SimDisk::new(1), 1, Arc::new(SimClock::new()), TINY_SEGMENTS);
    journal.append(size::commit(1, 1, None)).await.expect("there is room");
    let mut events = journal.read(Selection::All, Cursor::BEGINNING, ReadMode::Live);
    let reader = tokio::spawn(async move {
        loop {
            match events.next().await {
                Some(Ok(Read::Event(_) | Read::Progress(_))) => {}
                end => return end,
            }
        }
    });
    // It waits at the head by now, or comes there behind the close: both must end.
    tokio::task::yield_now().await;
    journal.close().await;
    let end = reader.await.expect("the reader does not panic");
    assert!(matches!(end, Some(Err(ReadError::Unavailable { .. }))), "{end:?}");
}
