//! Compaction over what goes wrong without damage, and beside damage: no descriptors, no room, a segment that cannot be read. Nothing but a
//! rename or a sync that fails ends the journal, a start comes up unaided on a full disk, and damage costs its own segment only.

use std::sync::{Arc, Mutex};

use headwater_journal::Journal as _;
use headwater_journal::seams::Disk as _;
use headwater_journal::sim::{CallKind, DiskFault, SimDisk};
use headwater_journal::{CompactRules, EntityType, KeepRule, Timestamp};

use crate::compacted::House;

const SEED: u64 = 11;

fn house() -> House {
    let mut house = House::new(SEED);
    house.grow(140);
    house.stepper.scrub();
    house
}

fn rules() -> CompactRules {
    let kind = EntityType::new("cart").unwrap();
    CompactRules { upto: u64::MAX, kinds: vec![KeepRule { kind, since: Timestamp::from_micros(i64::MAX), last: 0 }] }
}

/// The kinds of the calls that a compaction makes, in order.
fn calls() -> Vec<CallKind> {
    let house = house();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&seen);
    house.disk.on_call(move |call| kinds.lock().unwrap().push(call.kind));
    assert!(house.compact(&rules()).unwrap().rewritten > 1);
    house.disk.on_call(|_| {});
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// A start on a disk without any room: all is as it must be, and commits wait for room at most.
fn start_when_full(house: &mut House, what: &str) {
    let disk = Arc::new(house.disk.crash());
    disk.heal();
    disk.set_capacity(Some(disk.used()));
    house.open_again(Arc::clone(&disk), 5);
    assert_eq!(house.journal.poisoned(), None, "{what}");
    house.check(&[rules()]);
    disk.set_capacity(None);
    house.stepper.scrub();
    house.check(&[rules()]);
}

/// With room again, what was left is done, by a start and by the next compaction.
fn gets_on(house: &mut House, what: &str) {
    let root = house.root();
    let disk = Arc::new(house.disk.crash());
    house.open_again(disk, 6);
    house.compact(&rules()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(house.check(&[rules()]) > 0, "{what}");
    house.check_evidence(&root);
    let names = house.disk.list("").unwrap();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    assert!(count(".seal") + 2 >= count(".segment"), "{what}: {names:?}");
}

#[test]
fn a_lack_of_descriptors_at_any_call_of_a_compaction_leaves_the_journal_at_work() {
    let kinds = calls();
    let mut refused = 0;
    for nth in (1..=kinds.len() as u64).filter(|nth| matches!(kinds[*nth as usize - 1], CallKind::Open | CallKind::Create)) {
        for sticky in [false, true] {
            let mut house = house();
            house.disk.fail_call_with(house.disk.calls() + nth, sticky, DiskFault::NoDescriptors);
            refused += u64::from(house.compact(&rules()).is_err());
            assert_eq!(house.journal.poisoned(), None, "call {nth}, sticky: {sticky}");
            house.disk.heal();
            house.check(&[rules()]);
            house.grow(3);
            gets_on(&mut house, &format!("call {nth}, sticky: {sticky}"));
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_lack_of_room_at_any_call_of_a_compaction_keeps_no_start_from_coming_up() {
    let kinds = calls();
    let mut refused = 0;
    for nth in 1..=kinds.len() as u64 {
        let kind = kinds[nth as usize - 1];
        if matches!(kind, CallKind::Read | CallKind::Open | CallKind::List | CallKind::Length) {
            continue;
        }
        for sticky in [false, true] {
            let what = format!("call {nth} ({kind:?}), sticky: {sticky}");
            let mut house = house();
            house.disk.fail_call_with(house.disk.calls() + nth, sticky, DiskFault::NoSpace);
            refused += u64::from(house.compact(&rules()).is_err());
            let syncs_names = kinds[nth as usize - 1..].contains(&CallKind::SyncDirectory) && (sticky || kind == CallKind::SyncDirectory);
            assert!(house.journal.poisoned().is_none() || syncs_names, "{what}: {:?}", house.journal.poisoned());
            start_when_full(&mut house, &what);
            gets_on(&mut house, &what);
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn an_end_at_any_call_of_a_compaction_on_a_disk_that_is_full_by_then_keeps_no_start_from_coming_up() {
    for nth in 1..=calls().len() as u64 {
        let mut house = house();
        house.disk.cut_power_at(house.disk.calls() + nth);
        drop(house.compact(&rules()));
        start_when_full(&mut house, &format!("call {nth}"));
        gets_on(&mut house, &format!("call {nth}"));
    }
}

fn flip(disk: &SimDisk, number: u64) {
    disk.rot(&format!("{number:010}.segment"), 512 + 3000, 3).unwrap();
}

#[test]
fn a_damaged_segment_is_told_of_and_passed_by_and_the_rest_is_compacted() {
    for (damaged, before_its_root) in [(2, false), (2, true)] {
        let mut house = House::new(SEED);
        house.grow(200);
        if !before_its_root {
            house.stepper.scrub();
        }
        flip(&house.disk, damaged);
        let whole = {
            let mut other = House::new(SEED);
            other.grow(200);
            other.stepper.scrub();
            other.compact(&rules()).unwrap()
        };
        let done = house.compact(&rules()).unwrap();
        assert_eq!((done.segments, done.damaged), (whole.segments, 1), "{done:?} {whole:?}");
        assert!(done.rewritten + 1 >= whole.rewritten && done.rewritten > 1, "{done:?} {whole:?}");
        let told = house.journal.scrub_status().unwrap().damage;
        let about: Vec<&String> = told.iter().filter(|line| line.contains(&format!("segment {damaged}"))).collect();
        assert!(about.len() == 1 && about[0].contains("byte"), "{told:?}");
        assert_eq!(house.journal.poisoned(), None);
        let again = house.compact(&rules()).unwrap();
        assert_eq!((again.rewritten, again.damaged), (0, 1), "what is left is the same, and the others are done");
    }
}
