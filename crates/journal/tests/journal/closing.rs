//! A journal that is closed while commits are on their way: each of them is answered, and nobody hangs.

use std::sync::Arc;

use headwater_journal::Journal;
use headwater_journal::sim::{SimClock, SimDisk};

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
