//! Snapshots: they shorten a load, and no damage to them is ever seen.

use std::sync::Arc;

use journal::Journal;
use journal::model::ModelJournal;
use journal::seams::{Clock, Disk};
use journal::sim::{SimClock, SimDisk, SimRandom};
use runtime::{Limits, Moment, PlantedBug};

use crate::rig::{Plan, Rig, command, key, number, waits};

const FILE: &str = "snapshots.log";

fn plan(disk: &Arc<SimDisk>) -> Plan {
    let limits = Limits { snapshot_every_events: 10, ..Limits::default() };
    Plan { limits, disk: Some(Arc::clone(disk) as Arc<dyn Disk>), ..Plan::default() }
}

/// A service with 35 deposits of 1 on `a`.
async fn service(disk: &Arc<SimDisk>) -> Rig {
    let rig = plan(disk).rig();
    for _ in 0..35 {
        rig.deposit("a", 1).await;
    }
    rig
}

fn again(rig: &Rig, disk: &Arc<SimDisk>) -> Rig {
    plan(disk).rig_over(&rig.gate.inner, &rig.clock)
}

#[tokio::test]
async fn a_load_begins_at_the_newest_snapshot() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = service(&disk).await;
    let fresh = again(&rig, &disk);
    assert_eq!(fresh.balance("a").await, 35);
    assert_eq!(fresh.gate.take_reads(), [31]);
    assert_eq!(fresh.deposit("a", 1).await.sequence, 36);
}

#[tokio::test]
async fn time_travel_begins_at_a_snapshot_below_the_moment() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = service(&disk).await;
    for (sequence, from) in [(33, 31), (29, 1), (30, 0)] {
        rig.gate.take_reads();
        let read = rig.runtime.state(&key("a"), Moment::Sequence(sequence), false).await.unwrap().unwrap();
        assert_eq!((number(&read.state, "balance"), read.sequence), (sequence as i64, sequence));
        let reads: &[u64] = if from == 0 { &[] } else { &[from] };
        assert_eq!(rig.gate.take_reads(), reads, "sequence {sequence}");
    }
}

#[tokio::test]
async fn a_long_replay_leaves_a_snapshot() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = service(&disk).await;
    disk.remove(FILE).unwrap();
    for from in [1, 36] {
        let fresh = again(&rig, &disk);
        assert_eq!(fresh.balance("a").await, 35);
        let reads: &[u64] = if from == 36 { &[] } else { &[from] };
        assert_eq!(fresh.gate.take_reads(), reads);
    }
}

#[tokio::test]
async fn a_state_that_is_not_durable_is_not_kept() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = plan(&disk).rig();
    for _ in 0..8 {
        rig.deposit("a", 1).await;
    }
    rig.gate.close();
    let mut ninth = rig.start(command("a", "deposit", 1));
    let mut tenth = rig.start(command("a", "deposit", 1));
    assert!(waits(&mut ninth).await);
    assert!(waits(&mut tenth).await);
    rig.gate.release_one().await;
    assert_eq!(ninth.await.unwrap().sequence, 9);
    assert_eq!(disk.open(FILE).unwrap().len().unwrap(), 0);
    rig.gate.open().await;
    assert_eq!(tenth.await.unwrap().sequence, 10);
    assert!(disk.open(FILE).unwrap().len().unwrap() > 0);
}

/// A process ends with commits on their way, which never arrive; the next one decides otherwise. The balance that a third one loads, and
/// the one that it must.
async fn balances_after_a_crash(planted: PlantedBug) -> (i64, i64) {
    let disk = Arc::new(SimDisk::new(1));
    let rig = Plan { planted, ..plan(&disk) }.rig();
    for _ in 0..8 {
        rig.deposit("a", 1).await;
    }
    rig.gate.close();
    let mut lost = [rig.start(command("a", "deposit", 1)), rig.start(command("a", "deposit", 1))];
    for deposit in &mut lost {
        assert!(waits(deposit).await);
    }
    let second = Plan::default().rig_over(&rig.gate.inner, &rig.clock);
    for _ in 0..4 {
        second.deposit("a", 5).await;
    }
    (again(&rig, &disk).balance("a").await, second.balance("a").await)
}

#[tokio::test]
async fn a_snapshot_ahead_of_its_journal_is_caught() {
    let (loaded, right) = balances_after_a_crash(PlantedBug::None).await;
    assert_eq!((loaded, right), (28, 28));
    let (loaded, right) = balances_after_a_crash(PlantedBug::SnapshotAheadOfJournal).await;
    assert_ne!(loaded, right, "the planted mistake went unnoticed");
    println!("SnapshotAheadOfJournal caught at the first crash: a balance of {loaded} was loaded, and it is {right}");
}

#[tokio::test]
async fn no_damage_to_the_file_is_seen_in_a_state() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = service(&disk).await;
    let whole = content(&disk);
    assert!(whole.len() > 200, "{} bytes are too few to be three snapshots", whole.len());
    for offset in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[offset] ^= 1 << bit;
            check_damaged(&rig, &disk, &damaged, &format!("bit {bit} of byte {offset} flipped")).await;
        }
        check_damaged(&rig, &disk, &whole[..offset], &format!("cut at byte {offset}")).await;
    }
}

async fn check_damaged(rig: &Rig, disk: &Arc<SimDisk>, bytes: &[u8], what: &str) {
    let file = disk.create(FILE).unwrap();
    file.write_at(bytes, 0).unwrap();
    let fresh = again(rig, disk);
    assert_eq!(fresh.balance("a").await, 35, "{what}");
    assert_eq!(fresh.state("a").await.unwrap().sequence, 35, "{what}");
}

fn content(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open(FILE).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[tokio::test]
async fn a_snapshot_of_another_build_or_history_or_of_the_future_is_not_used() {
    let disk = Arc::new(SimDisk::new(1));
    let rig = service(&disk).await;
    let other_build = Plan { build: "build 2", ..plan(&disk) }.rig_over(&rig.gate.inner, &rig.clock);
    assert_eq!(other_build.balance("a").await, 35);
    assert_eq!(other_build.gate.take_reads(), [1]);

    let clock = Arc::new(SimClock::new());
    let random = || Arc::new(SimRandom::new(3));
    let lost_tail = ModelJournal::with_lineage(rig.gate.inner.lineage().clone(), Arc::clone(&clock) as Arc<dyn Clock>, random());
    let other_history = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, random());
    for (journal, events, what) in [(lost_tail, 5, "ahead of the journal"), (other_history, 40, "of another history")] {
        let journal = Arc::new(journal);
        let disk = Arc::new(SimDisk::new(1));
        service_on(&rig, &disk).await;
        let short = Plan::default().rig_over(&journal, &clock);
        for _ in 0..events {
            short.deposit("a", 100).await;
        }
        let fresh = plan(&disk).rig_over(&journal, &clock);
        assert_eq!(fresh.balance("a").await, 100 * events, "{what}");
    }
}

/// Code of a state's version 2, over what code of version 1 has left: so many entities with 35 events and a snapshot at the 30th.
async fn raised(build: &'static str, entities: usize) -> (Rig, Arc<SimDisk>) {
    let disk = Arc::new(SimDisk::new(1));
    let old = Plan { build: "v1-aa", ..plan(&disk) }.rig();
    old.runtime.begin().await.unwrap();
    for at in 0..entities {
        for _ in 0..35 {
            old.deposit(&format!("a{at}"), 1).await;
        }
    }
    let new = Plan { build, ..plan(&disk) }.rig_over(&old.gate.inner, &old.clock);
    new.runtime.begin().await.unwrap();
    new.gate.take_reads();
    (new, disk)
}

#[tokio::test]
async fn a_snapshot_of_an_older_version_is_raised_once_some_were_what_their_events_come_to() {
    let (rig, _disk) = raised("v2-bb", 6).await;
    for at in 0..6 {
        assert_eq!(rig.balance(&format!("a{at}")).await, 35);
        // The first three are made of their events too, and the others begin at their snapshots.
        let reads: &[u64] = if at < 3 { &[1, 31] } else { &[31] };
        assert_eq!(rig.gate.take_reads(), reads, "entity {at}");
    }
    assert_eq!(rig.deposit("a5", 1).await.sequence, 36);
    assert_eq!(rig.notices(), [] as [&str; 0]);
    // The past begins at them as well.
    rig.gate.take_reads();
    let read = rig.runtime.state(&key("a4"), Moment::Sequence(33), false).await.unwrap().unwrap();
    assert_eq!((number(&read.state, "balance"), rig.gate.take_reads()), (33, vec![31]));
}

#[tokio::test]
async fn a_conversion_that_is_wrong_is_named_and_events_are_replayed() {
    for (build, words) in [("v2-wrong", "is not what its events come to, at /balance"), ("v2-broken", "does not convert: no word for it")] {
        let (rig, _disk) = raised(build, 3).await;
        for at in 0..3 {
            assert_eq!(rig.balance(&format!("a{at}")).await, 35, "{build}");
        }
        let reads = rig.gate.take_reads();
        assert!(!reads.contains(&36) && reads.iter().filter(|from| **from == 1).count() == 3, "{build}: {reads:?}");
        let told = rig.notices();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("snapshots of account with the state v1-aa") && told[0].contains(words), "{told:?}");
        assert!(told[0].contains("account/a0 at sequence 30"), "{told:?}");
    }
}

#[tokio::test]
async fn a_snapshot_of_a_version_that_was_never_registered_or_is_newer_is_passed_by() {
    let disk = Arc::new(SimDisk::new(1));
    // It never began, so that nothing is registered.
    let old = Plan { build: "v1-aa", ..plan(&disk) }.rig();
    for _ in 0..35 {
        old.deposit("a", 1).await;
    }
    for build in ["v2-bb", "v1-cc"] {
        let new = Plan { build, ..plan(&disk) }.rig_over(&old.gate.inner, &old.clock);
        new.runtime.begin().await.unwrap();
        new.gate.take_reads();
        assert_eq!(new.balance("a").await, 35);
        assert_eq!(new.gate.take_reads(), [1], "{build}");
        assert_eq!(new.notices(), [] as [&str; 0]);
        // Its own snapshot would be in the way of the next one.
        service_of(&disk, &old).await;
    }
}

/// Writes the snapshots of the old code anew.
async fn service_of(disk: &Arc<SimDisk>, old: &Rig) {
    disk.remove(FILE).unwrap();
    let again = Plan { build: "v1-aa", ..plan(disk) }.rig_over(&old.gate.inner, &old.clock);
    assert_eq!(again.balance("a").await, 35);
}

/// Fills a disk with the snapshots of a journal that is there already.
async fn service_on(rig: &Rig, disk: &Arc<SimDisk>) {
    assert_eq!(again(rig, disk).balance("a").await, 35);
    assert!(!content(disk).is_empty());
}

#[tokio::test]
async fn the_file_is_written_anew_when_it_is_mostly_garbage() {
    let disk = Arc::new(SimDisk::new(1));
    let limits = Limits { snapshot_every_events: 1, ..Limits::default() };
    let rig = Plan { limits, ..plan(&disk) }.rig();
    rig.deposit("b", 7).await;
    for round in 0..60 {
        rig.run(command("a", "note", 60_000 + round)).await.unwrap();
    }
    let bytes = disk.open(FILE).unwrap().len().unwrap();
    assert!(bytes < 2 * 1024 * 1024, "{bytes} bytes for two snapshots of which one has 60,000");
    let fresh = again(&rig, &disk);
    assert_eq!(fresh.balance("b").await, 7);
    assert_eq!(number(&fresh.state("a").await.unwrap().state, "balance"), 0);
    assert_eq!(fresh.gate.take_reads(), [] as [u64; 0], "both are read from their snapshots");
}

#[tokio::test]
async fn without_room_there_are_no_snapshots_and_no_harm() {
    let disk = Arc::new(SimDisk::new(1));
    disk.set_capacity(Some(0));
    let rig = service(&disk).await;
    assert_eq!(rig.balance("a").await, 35);
    let fresh = again(&rig, &disk);
    assert_eq!(fresh.balance("a").await, 35);
}
