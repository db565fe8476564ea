//! The past: events of 200 bytes, each of a command of its own; entities come as if at random, one of them a thousand times, evenly over
//! the whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater::{Exit, Failure};
use journal::embedded::EmbeddedJournal;
use journal::{Commit, EntityKey, Journal as _};
use tokio::task::JoinSet;

use super::super::journal::{self as engine, load};

/// Events of the long entity.
pub(super) const LONG_EVENTS: u64 = 1_000;
/// Events under way at once, in commits of their size: many, so that they share frames.
const EVENTS_UNDER_WAY: u64 = 1_024;
/// Commits under way at once, however large they are.
const WRITERS_MIN: u64 = 4;

/// How much of it.
#[derive(Clone, Copy)]
pub(super) struct Past {
    pub(super) events: u64,
    pub(super) entities: u64,
    pub(super) commit_events: u64,
}

/// The entity that is loaded.
pub(super) fn long_entity() -> Result<EntityKey, Failure> {
    key("long")
}

/// One of the others.
pub(super) fn entity(number: u64) -> Result<EntityKey, Failure> {
    key(&format!("entity-{number}"))
}

fn key(id: &str) -> Result<EntityKey, Failure> {
    EntityKey::new("bench", id).map_err(|error| Failure::plain(Exit::Failed, error.to_string()))
}

/// Records them. The directory is made.
pub(super) async fn record(past: Past, directory: &Path) -> Result<(), Failure> {
    let journal = engine::open(directory)?;
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS_MIN.max(EVENTS_UNDER_WAY / past.commit_events) {
        writers.spawn(write(Arc::clone(&journal), past, Arc::clone(&next)));
    }
    while let Some(ended) = writers.join_next().await {
        ended.map_err(|_| Failure::plain(Exit::Failed, "a writer panicked; its message stands above"))??;
    }
    journal.close().await;
    Ok(())
}

async fn write(journal: Arc<EmbeddedJournal>, past: Past, next: Arc<AtomicU64>) -> Result<(), Failure> {
    loop {
        let first = next.fetch_add(past.commit_events, Ordering::Relaxed);
        if first >= past.events {
            return Ok(());
        }
        let numbers = first..past.events.min(first + past.commit_events);
        let commands: Result<Vec<_>, _> = numbers.map(|number| Ok(load::command(&past.entity(number)?, load::id(number), 1))).collect();
        journal.append(Commit { commands: commands?, ..Commit::default() }).await.map_err(load::refused)?;
    }
}

impl Past {
    fn entity(self, number: u64) -> Result<EntityKey, Failure> {
        if self.is_long(number) { long_entity() } else { entity(scattered(number) % self.entities) }
    }

    fn is_long(self, number: u64) -> bool {
        let distance = self.events / LONG_EVENTS;
        number.is_multiple_of(distance) && number / distance < LONG_EVENTS
    }
}

/// The finalizer of SplitMix64: neighbours end up far from each other, and evenly.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{LONG_EVENTS, Past, scattered};

    #[test]
    fn the_long_entity_has_its_events_whatever_the_size_of_the_past() {
        for events in [10_000, 12_345, 1_000_000] {
            let past = Past { events, entities: 7, commit_events: 1 };
            assert_eq!((0..events).filter(|number| past.is_long(*number)).count() as u64, LONG_EVENTS, "{events}");
        }
    }

    #[test]
    fn the_others_are_nearly_all_there() {
        let seen: HashSet<_> = (0..100_000).map(|number| scattered(number) % 10_000).collect();
        assert!(seen.len() > 9_900, "{}", seen.len());
    }
}
