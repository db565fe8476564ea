//! Each fault is seen happening, and what must not happen is seen not to.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::seams::{AlignedBuffer, Disk, DiskFile};

const SEEDS: u64 = 64;

fn sectors(byte: u8, count: usize) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::with_capacity(512 * count);
    buffer.extend(&vec![byte; 512 * count]);
    buffer
}

/// A file that is there for good, with this many sectors of zeros.
fn prepared(disk: &SimDisk, name: &str, count: usize) -> Box<dyn DiskFile> {
    let file = disk.create(name).unwrap();
    file.write_at(&vec![0; 512 * count], 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory().unwrap();
    file
}

fn content(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// The first byte of each sector, when a sector is one byte over and over.
fn marks(disk: &SimDisk, name: &str) -> Vec<u8> {
    let whole =
        |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]).then_some(sector[0]).expect("a sector is written whole or not at all");
    content(disk, name).chunks(512).map(whole).collect()
}

#[test]
fn synced_bytes_under_a_synced_name_survive() {
    let disk = SimDisk::new(1);
    prepared(&disk, "a", 2).write_durable_at(&sectors(7, 1), 512).unwrap();
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0, 7]);
}

#[test]
fn closing_syncs_nothing() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    file.write_at(&[7; 512], 0).unwrap();
    drop(file);
    assert_eq!(marks(&disk, "a"), [7], "the cache shows it");
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0]);
    assert_eq!(marks(&disk.crash_with(Survival::Everything), "a"), [7]);
}

#[test]
fn a_crash_keeps_any_subset_of_unsynced_sectors() {
    let mut seen = HashSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        prepared(&disk, "a", 3).write_at(&[7; 3 * 512], 0).unwrap();
        seen.insert(marks(&disk.crash(), "a"));
    }
    assert_eq!(seen.len(), 8, "all subsets of three sectors: {seen:?}");
}

#[test]
fn the_same_seed_crashes_the_same() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        prepared(&disk, "a", 16).write_at(&[7; 16 * 512], 0).unwrap();
        marks(&disk.crash(), "a")
    };
    assert!((0..SEEDS).all(|seed| run(seed) == run(seed)));
    assert!((1..SEEDS).any(|seed| run(seed) != run(0)));
}

#[test]
fn a_durable_write_outlives_what_was_unsynced_in_its_range_and_syncs_nothing_else() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = prepared(&disk, "a", 3);
        file.write_at(&[3; 3 * 512], 0).unwrap();
        file.write_durable_at(&sectors(7, 1), 512).unwrap();
        assert_eq!(marks(&disk.crash(), "a")[1], 7, "seed {seed}");
        assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0, 7, 0]);
    }
}

#[test]
fn a_length_is_lost_like_data() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 2);
    file.set_len(512).unwrap();
    assert_eq!(content(&disk.crash_with(Survival::Nothing), "a").len(), 1024);
    assert_eq!(content(&disk.crash_with(Survival::Everything), "a").len(), 512);
    file.write_durable_at(&sectors(7, 1), 1024).unwrap();
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0, 0, 7], "the hole is zeros");
}

#[test]
fn names_are_lost_without_a_directory_sync() {
    let disk = SimDisk::new(1);
    prepared(&disk, "old", 1);
    disk.create("new").unwrap().sync().unwrap();
    disk.rename("old", "renamed").unwrap();
    let lost = disk.crash_with(Survival::Nothing);
    assert_eq!(lost.list("").unwrap(), ["old"]);
    let mut kept = disk.crash_with(Survival::Everything).list("").unwrap();
    kept.sort();
    assert_eq!(kept, ["new", "renamed"]);
    disk.remove("new").unwrap();
    disk.sync_directory().unwrap();
    assert_eq!(disk.crash_with(Survival::Nothing).list("").unwrap(), ["renamed"]);
}

#[test]
fn a_rename_over_a_file_leaves_one_of_the_two() {
    let mut seen = HashSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        prepared(&disk, "a", 1);
        let next = disk.create("a.tmp").unwrap();
        next.write_at(&[7; 512], 0).unwrap();
        next.sync().unwrap();
        disk.rename("a.tmp", "a").unwrap();
        seen.insert(marks(&disk.crash(), "a")[0]);
    }
    assert_eq!(seen, HashSet::from([0, 7]));
}

#[test]
fn folders_are_listed_apart() {
    let disk = SimDisk::new(1);
    disk.create("a").unwrap();
    disk.create("inside/b").unwrap();
    assert_eq!(disk.list("").unwrap(), ["a"]);
    assert_eq!(disk.list("inside").unwrap(), ["b"]);
}

#[test]
fn the_nth_call_fails_once_or_from_then_on() {
    for (sticky, after) in [(false, true), (true, false)] {
        let disk = SimDisk::new(1);
        let file = prepared(&disk, "a", 1);
        disk.fail_call(disk.calls() + 2, sticky);
        assert!(file.sync().is_ok());
        assert!(file.sync().is_err());
        assert_eq!(file.sync().is_ok(), after, "sticky: {sticky}");
        assert_eq!(disk.failures(), if sticky { 2 } else { 1 });
        assert!(disk.crash().open("a").is_ok(), "a fault ends with the crash");
    }
}

#[test]
fn every_kind_of_call_can_fail() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    disk.fail_call(disk.calls() + 1, true);
    assert!(disk.list("").is_err() && disk.open("a").is_err() && disk.create("b").is_err() && disk.rename("a", "b").is_err());
    assert!(disk.remove("a").is_err() && disk.sync_directory().is_err() && disk.lock().is_err());
    assert!(file.read_at(&mut [0], 0).is_err() && file.write_at(&[1], 0).is_err() && file.write_durable_at(&sectors(1, 1), 0).is_err());
    assert!(file.sync().is_err() && file.len().is_err() && file.set_len(0).is_err());
    assert_eq!(disk.failures(), 13);
}

#[test]
fn a_failed_sync_loses_data_that_reads_go_on_showing() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = prepared(&disk, "a", 1);
        file.write_at(&[7; 512], 0).unwrap();
        disk.fail_call(disk.calls() + 1, false);
        assert!(file.sync().is_err());
        file.sync().expect("the second sync has nothing to write and says yes");
        assert_eq!(marks(&disk, "a"), [7]);
        lost += u64::from(marks(&disk.crash_with(Survival::Everything), "a") == [0]);
    }
    assert!((1..SEEDS).contains(&lost), "{lost}");
}

#[test]
fn a_failed_durable_write_may_be_there_in_part() {
    let mut seen = HashSet::new();
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = prepared(&disk, "a", 2);
        disk.fail_call(disk.calls() + 1, false);
        assert!(file.write_durable_at(&sectors(7, 2), 0).is_err());
        seen.insert(marks(&disk.crash_with(Survival::Nothing), "a"));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_power_cut_tears_durable_writes_that_are_under_way() {
    let mut seen = HashSet::new();
    for seed in 0..4 * SEEDS {
        let disk = SimDisk::new(seed);
        let file = prepared(&disk, "a", 4);
        disk.cut_power_now();
        assert!(file.write_durable_at(&sectors(7, 2), 1024).is_err());
        assert!(file.write_durable_at(&sectors(5, 2), 0).is_err());
        seen.insert(marks(&disk.crash(), "a"));
    }
    assert_eq!(seen.len(), 16, "any part of each of two writes: {seen:?}");
}

#[test]
fn the_power_goes_at_a_call() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    disk.cut_power_at(disk.calls() + 2);
    file.write_at(&[7; 512], 0).unwrap();
    assert!(file.sync().is_err() && file.sync().is_err());
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0]);
}

#[test]
fn a_full_disk_refuses_what_would_grow_and_nothing_else() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 2);
    disk.set_capacity(Some(1024));
    file.write_at(&[7; 512], 0).unwrap();
    file.write_durable_at(&sectors(7, 1), 512).unwrap();
    assert_eq!(file.write_at(&[7; 512], 1024).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_durable_at(&sectors(7, 1), 1024).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.set_len(1025).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.create("b").err().unwrap().kind(), ErrorKind::StorageFull);
    disk.set_capacity(Some(1500));
    assert_eq!(file.write_at(&[7; 512], 1024).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1500, "a short write");
    disk.set_capacity(None);
    file.write_at(&[7; 512], 1024).unwrap();
}

#[test]
fn a_fault_of_choice_says_so() {
    let disk = SimDisk::new(1);
    disk.fail_call_with(1, false, DiskFault::NoSpace);
    assert_eq!(disk.create("a").err().unwrap().kind(), ErrorKind::StorageFull);
    assert!(disk.create("a").is_ok());
}

#[test]
fn a_lost_write_is_acknowledged_and_not_done() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    disk.lose_write(disk.writes() + 1);
    file.write_durable_at(&sectors(7, 1), 0).unwrap();
    assert_eq!(marks(&disk, "a"), [0]);
    disk.lose_write(disk.writes() + 1);
    file.write_at(&[7; 512], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(marks(&disk, "a"), [7], "the cache does not know");
    assert_eq!(marks(&disk.crash(), "a"), [0]);
}

#[test]
fn a_misdirected_write_lands_elsewhere() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 3);
    disk.misdirect_write(disk.writes() + 1, 1024);
    file.write_durable_at(&sectors(7, 1), 0).unwrap();
    assert_eq!(marks(&disk.crash(), "a"), [0, 0, 7]);
}

#[test]
fn a_bit_rots_at_rest() {
    let disk = SimDisk::new(1);
    prepared(&disk, "a", 1);
    disk.rot("a", 100, 3).unwrap();
    assert_eq!(content(&disk, "a")[100], 8);
    assert_eq!(content(&disk.crash(), "a")[100], 8);
    assert_eq!(disk.rot("a", 512, 0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(disk.rot("b", 0, 0).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_drive_that_lies_loses_what_it_acknowledged() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    disk.lie_about_durable_writes(true);
    file.write_durable_at(&sectors(7, 1), 0).unwrap();
    assert_eq!(marks(&disk, "a"), [7]);
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0]);
    disk.lie_about_syncs(true);
    file.sync().unwrap();
    disk.create("b").unwrap();
    disk.sync_directory().unwrap();
    let after = disk.crash_with(Survival::Nothing);
    assert_eq!((marks(&after, "a"), after.open("b").is_err()), (vec![0], true));
}

#[test]
fn a_hook_sees_each_call_before_it_happens() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    let bytes = Arc::new(AtomicU64::new(0));
    let (seen, inside) = (Arc::clone(&bytes), disk.clone());
    disk.on_call(move |call| {
        if call.kind == CallKind::WriteDurable {
            assert_eq!((call.name, call.offset), ("a", 0));
            seen.fetch_add(call.bytes as u64, Ordering::SeqCst);
            // No lock is held: the hook may set a fault, or wait for another call.
            inside.lie_about_durable_writes(true);
        }
    });
    file.write_durable_at(&sectors(7, 1), 0).unwrap();
    assert_eq!(bytes.load(Ordering::SeqCst), 512);
    assert_eq!(marks(&disk.crash_with(Survival::Nothing), "a"), [0]);
}

#[test]
fn one_owner_at_a_time() {
    let disk = SimDisk::new(1);
    let lock = disk.lock().unwrap();
    assert_eq!(disk.lock().err().unwrap().kind(), ErrorKind::WouldBlock);
    assert!(disk.crash().lock().is_ok(), "a crash frees it");
    drop(lock);
    assert!(disk.lock().is_ok());
}

#[test]
fn files_behave_as_files() {
    let disk = SimDisk::new(1);
    let file = prepared(&disk, "a", 1);
    assert_eq!(file.read_at(&mut [0; 2], 511).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.write_durable_at(&sectors(1, 1), 7).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.open("b").err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(disk.create("a").unwrap().len().unwrap(), 0, "create empties");
    assert_eq!(content(&disk.crash_with(Survival::Nothing), "a").len(), 512, "which must be synced like all else");
    file.write_at(&[1], 9).unwrap();
    assert_eq!(content(&disk, "a"), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn the_clock_is_set_and_steps() {
    let clock = SimClock::stepping(Timestamp::from_micros(10), 5);
    assert_eq!((clock.now().as_micros(), clock.now().as_micros()), (10, 15));
    clock.set(Timestamp::from_micros(3));
    clock.advance(-1);
    assert_eq!(clock.now().as_micros(), 2);
    let still = SimClock::new();
    assert_eq!(still.now(), still.now());
}

#[test]
fn the_dice_are_splitmix() {
    // The first outputs for seed 1234567, as published with the algorithm's reference code.
    let dice = SimRandom::new(1_234_567);
    assert_eq!([dice.roll(), dice.roll(), dice.roll()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    let (left, right) = (SimRandom::new(7), SimRandom::new(7));
    let (mut one, mut other) = ([0; 21], [0; 21]);
    left.fill(&mut one);
    right.fill(&mut other);
    assert_eq!(one, other);
    assert_ne!(one, [0; 21]);
}

#[test]
fn the_inline_spawner_runs_work_and_keeps_threads() {
    let spawner = InlineSpawner::new();
    let (ran, count) = (Arc::new(AtomicU64::new(0)), |ran: &Arc<AtomicU64>| ran.load(Ordering::SeqCst));
    let add = |amount| {
        let ran = Arc::clone(&ran);
        Box::new(move || {
            ran.fetch_add(amount, Ordering::SeqCst);
        })
    };
    spawner.blocking(add(1));
    spawner.thread("later", add(10)).unwrap();
    assert_eq!(count(&ran), 1);
    let threads = spawner.take_threads();
    assert_eq!(threads[0].0, "later");
    threads.into_iter().for_each(|(_, work)| work());
    assert_eq!((count(&ran), spawner.take_threads().len()), (11, 0));
}
