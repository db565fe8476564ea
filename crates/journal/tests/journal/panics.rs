//! A panic inside the journal's threads is our own bug: the journal stops as after a disk error, and nobody hangs.

use std::sync::Arc;

use headwater_journal::Journal;
use headwater_journal::embedded::PlantedBug;
use headwater_journal::sim::{CallKind, SimClock, SimDisk};

use crate::crashes::Run;
use crate::engines::{TINY_SEGMENTS, open};

#[tokio::test]
async fn a_panic_in_a_thread_stops_the_journal_and_hangs_nobody() {
    let disk = SimDisk::new(1);
    let journal = open(&disk, 1, Arc::new(SimClock::new()), TINY_SEGMENTS);
    let mut run = Run::new(1, PlantedBug::None);
    run.append(&journal).1.await.unwrap();
    disk.on_call(|call| assert!(call.kind != CallKind::WriteDurable, "planted: a write panics"));
    let refused = run.append(&journal).1.await.unwrap_err();
    assert!(refused.to_string().contains("panicked"), "{refused}");
    assert!(journal.poisoned().is_some());
    run.append(&journal).1.await.unwrap_err();
    journal.close().await;
}
