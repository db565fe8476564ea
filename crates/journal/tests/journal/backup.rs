//! Backups on simulated disks: taken beside a journal at work, gone on with, killed at every call, refused where they do not fit.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_journal::embedded::{
    BackedUp, Backup, BackupDisk, BackupError, EmbeddedJournal, Pace, PlantedBug, ReadOnlyJournal, Stepper, StoredCommit, Verified,
    back_up, root, verify_against,
};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{CallKind, SimDisk, SimRandom};
use headwater_journal::{Cursor, Journal as _, RegisterExpect, Registers as _, Timestamp};

use crate::crashes::{Run, now, open};

fn dynamic(disk: &Arc<SimDisk>) -> Arc<dyn Disk> {
    Arc::clone(disk) as _
}

/// A journal at work, which holds its directory's lock.
struct Source {
    disk: Arc<SimDisk>,
    run: Run,
    journal: EmbeddedJournal,
    stepper: Stepper,
}

impl Source {
    fn new(seed: u64) -> Self {
        let disk = Arc::new(SimDisk::new(seed));
        let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(seed)), PlantedBug::None).unwrap();
        Self { disk, run: Run::new(seed, PlantedBug::None), journal, stepper }
    }

    /// Appends commits; a register tells how far.
    fn grow(&mut self, commits: usize) {
        for _ in 0..commits {
            let (_, answer) = self.run.append(&self.journal);
            self.stepper.settle();
            let cursor = now(answer).unwrap().unwrap().cursor;
            let before = now(self.journal.get("place")).unwrap().unwrap();
            let expect = before.map_or(RegisterExpect::Absent, |register| RegisterExpect::Revision(register.revision));
            now(self.journal.put("place", expect, Bytes::from(cursor.to_string()))).unwrap().unwrap();
        }
        self.stepper.scrub();
    }

    fn marker(&self) {
        if let Some(marker) = self.stepper.take_marker() {
            let outcome = self.stepper.perform(&marker);
            self.stepper.complete(marker, outcome);
        }
    }

    fn back_up(&self, target: &Arc<SimDisk>) -> Result<BackedUp, BackupError> {
        back_up(&dynamic(&self.disk), &dynamic(target), Timestamp::from_micros(7), &mut |pace| {
            if pace == Pace::Wait {
                self.marker();
            }
        })
    }

    fn head(&self) -> Cursor {
        now(self.journal.head()).unwrap().unwrap()
    }
}

fn commits_of(journal: &ReadOnlyJournal, upto: Cursor) -> Vec<StoredCommit> {
    let commits: Vec<StoredCommit> = journal.commits(Cursor::BEGINNING).map(|commit| commit.unwrap()).collect();
    commits.into_iter().filter(|commit| commit.last_position() <= upto.position()).collect()
}

fn source_commits(source: &Source, upto: Cursor) -> Vec<StoredCommit> {
    let copy = Arc::new(source.disk.crash());
    commits_of(&ReadOnlyJournal::open(dynamic(&copy), |_, _| {}).unwrap(), upto)
}

/// The backup opens and is the source up to its head; its register is not ahead. Gives the head.
#[track_caller]
fn check(source: &Source, target: &Arc<SimDisk>) -> Cursor {
    let backup = Backup::open(dynamic(target), |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(commits_of(&backup.journal, backup.head), source_commits(source, backup.head));
    let (_, place) = backup.registers.iter().find(|(name, _)| name == "place").expect("the registers come along");
    let place: Cursor = std::str::from_utf8(place).unwrap().parse().unwrap();
    assert!(place.position() <= backup.head.position(), "a register is ahead: {place:?} of {:?}", backup.head);
    let wrapped: Arc<dyn Disk> = Arc::new(BackupDisk::open(dynamic(target)).unwrap());
    let verified = verify_against(&wrapped, Some(&backup.root), |_| {}).unwrap();
    assert_eq!((verified.damage, verified.found), (Vec::new(), Some(backup.head)));
    backup.head
}

fn verified(target: &Arc<SimDisk>) -> Verified {
    let wrapped: Arc<dyn Disk> = Arc::new(BackupDisk::open(dynamic(target)).unwrap());
    verify_against(&wrapped, None, |_| {}).unwrap()
}

#[test]
fn a_backup_beside_a_journal_at_work_has_all_that_was_acknowledged() {
    let mut source = Source::new(3);
    let target = Arc::new(SimDisk::new(4));
    let mut kept = 0;
    for round in 0..8 {
        source.grow(9);
        let backed = source.back_up(&target).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((backed.head, check(&source, &target)), (source.head(), source.head()), "round {round}");
        assert_eq!(backed.root, root(&dynamic(&Arc::new(source.disk.crash())), &mut || {}).unwrap());
        assert!(backed.segments.1 >= kept, "full segments are not copied again");
        kept = backed.segments.1;
        let again = source.back_up(&target).unwrap();
        assert_eq!((again.head, again.segments.0), (source.head(), 1), "only the last segment is copied when nothing is new");
    }
    assert!(kept > 2);
    assert!(target.list("").unwrap().iter().filter(|name| name.starts_with("registers.")).count() == 1);
}

/// The service goes on when the copying is over and the backup is not: its registers are then ahead of what was copied.
#[test]
fn a_register_that_goes_on_during_a_backup_is_not_ahead_in_it() {
    let mut source = Source::new(18);
    source.grow(12);
    let (disk, target) = (dynamic(&source.disk), Arc::new(SimDisk::new(19)));
    source.marker();
    let before = source.head();
    let source = Arc::new(Mutex::new(source));
    let grows = Arc::clone(&source);
    target.on_call(move |call| {
        if call.kind == CallKind::Sync {
            grows.lock().unwrap().grow(1);
        }
    });
    let backed = back_up(&disk, &dynamic(&target), Timestamp::from_micros(7), &mut |_| {}).unwrap();
    target.on_call(|_| {});
    let source = source.lock().unwrap();
    let at = |cursor: Cursor| cursor.position();
    assert!(at(backed.head) >= at(before) && at(backed.head) < at(source.head()));
    assert_eq!(check(&source, &target), backed.head);
}

/// A drive of the target that writes elsewhere and says nothing: a copy is read again before it counts, and what a backup says of itself has
/// a checksum.
#[test]
fn a_write_that_lands_elsewhere_in_the_target_is_found() {
    let mut source = Source::new(20);
    source.grow(12);
    source.marker();
    let (mut refused, mut told) = (0, 0);
    for nth in 1.. {
        let target = Arc::new(SimDisk::new(nth));
        target.misdirect_write(nth, 512);
        let backed = source.back_up(&target);
        if target.writes() < nth {
            break;
        }
        match (backed, Backup::open(dynamic(&target), |_, _| {})) {
            (Err(_), _) => refused += 1,
            (Ok(_), Err(_)) => told += 1,
            // Roots are derived: what is wrong with them a verification tells.
            (Ok(_), Ok(_)) if !verified(&target).damage.is_empty() => told += 1,
            (Ok(_), Ok(_)) => drop(check(&source, &target)),
        }
    }
    assert!(refused > 3, "{refused} refused, {told} told later");
}

#[test]
fn a_backup_is_no_data_directory() {
    let mut source = Source::new(3);
    source.grow(20);
    let target = Arc::new(SimDisk::new(4));
    source.back_up(&target).unwrap();
    assert!(open(&target, Arc::new(SimRandom::new(1)), PlantedBug::None).is_err(), "a service must not start on it");
    let read = ReadOnlyJournal::open(dynamic(&target), |_, _| {}).unwrap();
    assert!(read.identity_fault().is_some(), "read as a data directory, its identity is missing");
}

/// The target loses power at every call, in the first backup and in a later one: what was whole before is whole, and the next run completes.
#[test]
fn a_backup_that_is_killed_at_any_call_is_the_one_before_or_the_new_one() {
    let mut source = Source::new(5);
    source.grow(12);
    let first = Arc::new(SimDisk::new(6));
    source.back_up(&first).unwrap();
    let before = check(&source, &first);
    source.grow(12);
    let mut outcomes = [0; 3];
    for base in [None, Some(&first)] {
        for call in 1.. {
            let target = base.map_or_else(|| Arc::new(SimDisk::new(call)), |base| Arc::new(base.crash()));
            target.cut_power_at(call);
            let ended = source.back_up(&target).is_ok();
            let after = Arc::new(target.crash());
            match Backup::open(dynamic(&after), |_, _| {}) {
                Err(BackupError::Refused(_)) if base.is_none() => outcomes[0] += 1,
                Err(error) => panic!("call {call}: {error}"),
                Ok(_) => {
                    let head = check(&source, &after);
                    assert!(head == source.head() || base.is_some() && head == before, "call {call}: {head:?}");
                    outcomes[if head == source.head() { 2 } else { 1 }] += 1;
                }
            }
            let events = after.list("").unwrap().iter().any(|name| name.ends_with(".segment"));
            let opened = open(&Arc::new(after.crash()), Arc::new(SimRandom::new(1)), PlantedBug::None);
            assert!(!events || opened.is_err(), "call {call}: a service must not start on it");
            let again = Arc::new(after.crash());
            source.back_up(&again).unwrap_or_else(|error| panic!("call {call}: {error}"));
            assert_eq!(check(&source, &again), source.head(), "call {call}");
            if ended {
                break;
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_damaged_source_and_a_target_of_another_history_are_refused() {
    let mut source = Source::new(8);
    source.grow(20);
    let target = Arc::new(SimDisk::new(9));
    source.disk.rot("0000000001.segment", 512 + 100, 3).unwrap();
    let refused = source.back_up(&target).unwrap_err();
    assert!(matches!(refused, BackupError::Source(_)) && refused.to_string().contains("run verify"), "{refused}");
    assert!(Backup::open(dynamic(&target), |_, _| {}).is_err());

    let mut other = Source::new(10);
    other.grow(3);
    let refused = other.back_up(&target).unwrap_err();
    assert!(refused.to_string().contains("another history"), "{refused}");
    let strange = Arc::new(SimDisk::new(11));
    strange.create("letter.txt").unwrap();
    assert!(other.back_up(&strange).unwrap_err().to_string().contains("letter.txt"));
}

#[test]
fn a_source_that_is_older_than_its_backup_is_refused() {
    let mut source = Source::new(12);
    source.grow(6);
    let old = Arc::new(source.disk.crash());
    source.grow(30);
    let target = Arc::new(SimDisk::new(13));
    source.back_up(&target).unwrap();
    let head = check(&source, &target);
    let refused = back_up(&dynamic(&old), &dynamic(&target), Timestamp::from_micros(8), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("older copy"), "{refused}");
    assert_eq!(check(&source, &target), head);
}

#[test]
fn every_flipped_bit_of_a_backup_is_found_or_changes_nothing() {
    let mut source = Source::new(14);
    source.grow(10);
    let target = Arc::new(SimDisk::new(15));
    source.back_up(&target).unwrap();
    let whole = source_commits(&source, source.head());
    let mut found = 0;
    for name in target.list("").unwrap() {
        let length = target.open(&name).unwrap().len().unwrap();
        for offset in (0..length).step_by(41) {
            let copy = Arc::new(target.crash());
            copy.rot(&name, offset, (offset % 8) as u8).unwrap();
            match Backup::open(dynamic(&copy), |_, _| {}) {
                Err(_) => found += 1,
                Ok(backup) => assert_eq!(commits_of(&backup.journal, backup.head), whole, "{name} byte {offset}"),
            }
        }
    }
    assert!(found > 100, "only {found} flips were found");
}

/// Of a source that was stopped, and with a bit flipped anywhere: a backup has everything, or is refused; it never ends early.
#[test]
fn a_source_with_a_flipped_bit_is_backed_up_whole_or_not_at_all() {
    let mut source = Source::new(16);
    source.grow(16);
    source.marker();
    let whole = source_commits(&source, source.head());
    let mut refused = 0;
    for name in source.disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment")) {
        let length = source.disk.open(&name).unwrap().len().unwrap();
        for offset in (0..length).step_by(113) {
            let copy = Arc::new(source.disk.crash());
            copy.rot(&name, offset, (offset % 8) as u8).unwrap();
            let target = Arc::new(SimDisk::new(17));
            match back_up(&dynamic(&copy), &dynamic(&target), Timestamp::from_micros(9), &mut |_| {}) {
                Err(_) => refused += 1,
                Ok(backed) => {
                    assert_eq!(backed.head, source.head(), "{name} byte {offset}");
                    let backup = Backup::open(dynamic(&target), |_, _| {}).unwrap();
                    assert_eq!(commits_of(&backup.journal, backup.head), whole, "{name} byte {offset}");
                }
            }
        }
    }
    assert!(refused > 100, "only {refused} flips were found");
}
