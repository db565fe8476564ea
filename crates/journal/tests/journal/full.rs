//! A disk without room: commits are refused as full, reads go on, nothing is poisoned, and it is over when there is room.

use std::sync::Arc;

use headwater_journal::embedded::PlantedBug;
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom};
use headwater_journal::{AppendErrorKind, Cursor, Journal, ReadMode, Selection};

use crate::crashes::{Run, now, open, read_all};

fn used(disk: &SimDisk) -> u64 {
    disk.list("").unwrap().iter().map(|name| disk.open(name).unwrap().len().unwrap()).sum()
}

#[test]
fn a_full_disk_refuses_and_recovers_again_and_again() {
    let disk = Arc::new(SimDisk::new(3));
    let mut run = Run::new(3, PlantedBug::None);
    let (mut acknowledged, mut refused) = (0, 0);
    for round in 0..6 {
        let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(round)), PlantedBug::None).unwrap();
        let events = |journal: &_| {
            let journal: &headwater_journal::embedded::EmbeddedJournal = journal;
            read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap().len()
        };
        stepper.settle();
        disk.set_capacity(Some(used(&disk)));
        let mut append = |journal| {
            let (_, answer) = run.append(journal);
            stepper.settle();
            now(answer).unwrap()
        };
        let before = events(&journal);
        let mut first_refusal = None;
        for number in 0..200 {
            match append(&journal) {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    assert_eq!(error.kind(), AppendErrorKind::Full, "{error}");
                    first_refusal.get_or_insert(number);
                    refused += 1;
                }
            }
        }
        assert!(first_refusal.is_some(), "200 commits fit a disk without room");
        assert_eq!(journal.poisoned(), None);
        let full = events(&journal);
        assert!(full >= before);
        assert!(journal.is_full(), "who asks is told");
        disk.set_capacity(None);
        append(&journal).expect("with room again, the very next commit is taken");
        assert!(events(&journal) > full);
        assert!(!journal.is_full());
    }
    assert!(acknowledged > 20 && refused > 20, "{acknowledged} {refused}");
}

#[test]
fn a_full_disk_does_not_keep_a_journal_from_opening() {
    let disk = Arc::new(SimDisk::new(4));
    let mut run = Run::new(4, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(1)), PlantedBug::None).unwrap();
    for _ in 0..60 {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    let count = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap().len();
    drop(journal);
    let crashed = Arc::new(disk.crash());
    let seals = crashed.list("").unwrap().into_iter().filter(|name| name.ends_with(".seal"));
    crashed.remove(&seals.max().expect("a full segment was sealed")).unwrap();
    crashed.set_capacity(Some(used(&crashed)));
    let (journal, _) = open(&crashed, Arc::new(SimRandom::new(2)), PlantedBug::None).unwrap();
    assert_eq!(read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap().len(), count);
}

/// The segment after the next one finds no room, the seal that is written behind it does: nobody was refused, so nobody hears of it.
#[test]
fn a_disk_is_called_full_only_when_a_commit_was_refused() {
    let disk = Arc::new(SimDisk::new(7));
    let mut run = Run::new(7, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(7)), PlantedBug::None).unwrap();
    stepper.settle();
    disk.set_capacity(Some(used(&disk) + 24 * 1024));
    let (mut taken, mut refused) = (0, 0);
    while refused < 3 {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        match now(answer).unwrap() {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error.kind(), AppendErrorKind::Full, "{error}");
                refused += 1;
            }
        }
        assert_eq!(journal.is_full(), refused > 0, "after {taken} commits were taken and {refused} were refused");
    }
    assert!(taken > 5, "{taken}");
}

/// Whoever only asks, as a probe of health does, lets the journal look for room: nobody has to risk a command for it.
#[test]
fn a_disk_with_room_again_is_no_more_full_although_nobody_appends() {
    let disk = Arc::new(SimDisk::new(5));
    let mut run = Run::new(5, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(5)), PlantedBug::None).unwrap();
    stepper.settle();
    disk.set_capacity(Some(used(&disk)));
    while !journal.is_full() {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        drop(now(answer).unwrap());
    }
    stepper.settle();
    assert!(journal.is_full(), "it has looked, and there is none");
    disk.set_capacity(None);
    assert!(journal.is_full(), "who asks is told what was found last, and lets it look again");
    stepper.settle();
    assert!(!journal.is_full());
}
