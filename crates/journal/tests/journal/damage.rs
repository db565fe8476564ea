//! Damage at rest: a bit flipped anywhere, a file cut anywhere. It is refused or it changes nothing; it is never taken for a torn
//! tail, and no wrong event is ever given. `HEADWATER_DAMAGE_STRIDE` sets every how many bytes a bit is flipped (29 unless it says otherwise).

use std::sync::Arc;

use headwater_journal::embedded::{EmbeddedJournal, OpenError, PlantedBug, verify};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom};
use headwater_journal::{Cursor, EntityKey, EntityType, Journal, Read, ReadError, ReadMode, Recorded, Selection, TagQuery, TagQueryItem};

use crate::crashes::{Run, now, open, read_all};
use crate::salvage::frames_of;

/// A closed journal of several segments, some sealed, with a marker at its end.
pub(crate) fn journal() -> (Arc<SimDisk>, Vec<Arc<Recorded>>) {
    let disk = Arc::new(SimDisk::new(1));
    let mut run = Run::new(1, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(1)), PlantedBug::None).unwrap();
    for _ in 0..40 {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    let marker = stepper.take_marker().expect("an idle log wants its marker");
    let outcome = stepper.perform(&marker);
    stepper.complete(marker, outcome);
    let events = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    drop(journal);
    (disk, events)
}

pub(crate) fn stride() -> u64 {
    std::env::var("HEADWATER_DAMAGE_STRIDE").ok().and_then(|stride| stride.parse().ok()).unwrap_or(29)
}

/// What came of opening a damaged copy.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    Same,
    /// The journal opened, and a read met the damage.
    ReadRefused,
}

fn try_copy(disk: &Arc<SimDisk>, events: &[Arc<Recorded>], what: &str) -> Outcome {
    match EmbeddedJournal::open_stepped(crate::crashes::options(disk, Arc::new(SimRandom::new(2)), PlantedBug::None)) {
        Err(OpenError::Disk(error)) => panic!("{what}: {error}"),
        Err(_) => Outcome::Refused,
        Ok((journal, _)) => match read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)) {
            Ok(read) if read == events => Outcome::Same,
            Ok(read) => panic!("{what}: {} events came back, {} were acknowledged", read.len(), events.len()),
            Err(_) => Outcome::ReadRefused,
        },
    }
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let (disk, events) = journal();
    let mut refused = 0;
    for name in disk.list("").unwrap() {
        let length = disk.open(&name).unwrap().len().unwrap();
        for offset in (0..length).step_by(stride() as usize) {
            let copy = Arc::new(disk.crash());
            let file = copy.open(&name).unwrap();
            let mut byte = [0];
            file.read_at(&mut byte, offset).unwrap();
            file.write_at(&[byte[0] ^ 1 << (offset % 8)], offset).unwrap();
            file.sync().unwrap();
            let outcome = try_copy(&copy, &events, &format!("{name} byte {offset}"));
            refused += u64::from(outcome != Outcome::Same);
            let derived = name.ends_with(".seal");
            assert!(!derived || outcome == Outcome::Same, "{name} byte {offset}: a damaged seal must be made again, and was {outcome:?}");
        }
    }
    assert!(refused > 100, "only {refused} flips were found");
}

#[test]
fn a_cut_file_is_found_or_changes_nothing() {
    let (disk, events) = journal();
    for name in disk.list("").unwrap() {
        let length = disk.open(&name).unwrap().len().unwrap();
        for keep in (0..length).step_by(997) {
            let copy = Arc::new(disk.crash());
            let file = copy.open(&name).unwrap();
            file.set_len(keep).unwrap();
            file.sync().unwrap();
            try_copy(&copy, &events, &format!("{name} cut to {keep}"));
        }
    }
}

#[test]
fn a_missing_file_is_found_or_changes_nothing() {
    let (disk, events) = journal();
    for name in disk.list("").unwrap() {
        let copy = Arc::new(disk.crash());
        copy.remove(&name).unwrap();
        copy.sync_directory().unwrap();
        let outcome = try_copy(&copy, &events, &format!("{name} removed"));
        // The registers' log is no part of the events; a segment made ahead holds none.
        assert!(outcome != Outcome::ReadRefused, "{name} removed: {outcome:?}");
    }
}

#[test]
fn verify_names_the_damage_and_healthy_ranges_stay_readable() {
    let (disk, events) = journal();
    let whole: Arc<dyn Disk> = Arc::new(disk.crash());
    let verified = verify(&whole, |_, _| {}).unwrap();
    assert_eq!((verified.damage, verified.events), (Vec::new(), events.len() as u64));

    let copy = Arc::new(disk.crash());
    let file = copy.open("0000000001.segment").unwrap();
    file.write_at(&[0xff; 64], 4096 + 100).unwrap();
    let dynamic: Arc<dyn Disk> = Arc::clone(&copy) as _;
    let verified = verify(&dynamic, |_, _| {}).unwrap();
    assert_eq!(verified.damage.len(), 1, "{:?}", verified.damage);
    assert!(verified.damage[0].contains("0000000001.segment"), "{:?}", verified.damage);

    let (journal, _) = open(&copy, Arc::new(SimRandom::new(3)), PlantedBug::None).unwrap();
    let error = read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap_err();
    assert!(error.contains("segment 1"), "{error}");
    let last = events.last().unwrap();
    let middle = journal.lineage().cursor(last.position - 5);
    let tail = read_all(journal.read(Selection::All, middle, ReadMode::ToHead)).unwrap();
    assert_eq!(tail.len(), 5);
}

/// A drive that says it has written and has not, or has written elsewhere: the journal opens with all that was acknowledged, or refuses.
#[test]
fn a_lost_or_misdirected_write_is_never_a_torn_tail() {
    let mut refused = 0;
    for nth in 1..80 {
        for misdirected in [false, true] {
            let disk = Arc::new(SimDisk::new(nth));
            if misdirected {
                disk.misdirect_write(nth, 2048)
            } else {
                disk.lose_write(nth)
            }
            let mut run = Run::new(5, PlantedBug::None);
            let Ok((journal, stepper)) = open(&disk, Arc::new(SimRandom::new(5)), PlantedBug::None) else { continue };
            let mut acknowledged = 0;
            for _ in 0..30 {
                let (_, answer) = run.append(&journal);
                stepper.settle();
                if let Ok(Ok(committed)) = now(answer) {
                    acknowledged = committed.cursor.position();
                }
            }
            if let Some(marker) = stepper.take_marker() {
                let outcome = stepper.perform(&marker);
                stepper.complete(marker, outcome);
            }
            drop(journal);
            let crashed = Arc::new(disk.crash());
            let Ok((journal, _)) = open(&crashed, Arc::new(SimRandom::new(6)), PlantedBug::None) else {
                refused += 1;
                continue;
            };
            match read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)) {
                Ok(events) => {
                    assert_eq!(events.last().map_or(0, |event| event.position), acknowledged, "write {nth}, misdirected {misdirected}")
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 10, "only {refused} of these writes were noticed");
}

/// The events a reader gets before it hears of damage.
fn prefix_of(journal: &EmbeddedJournal, selection: Selection) -> Vec<Arc<Recorded>> {
    let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut prefix = Vec::new();
    while let Some(Ok(item)) = now(events.next()).unwrap() {
        if let headwater_journal::Read::Event(event) = item {
            prefix.push(event);
        }
    }
    prefix
}

#[test]
fn a_reader_gets_what_is_whole_before_the_damage() {
    let (disk, events) = journal();
    let copy = Arc::new(disk.crash());
    copy.rot("0000000001.segment", 4096 + 100, 3).unwrap();
    let (journal, _) = open(&copy, Arc::new(SimRandom::new(3)), PlantedBug::None).unwrap();
    let prefix = prefix_of(&journal, Selection::All);
    assert!(!prefix.is_empty(), "events before the damaged frame are whole");
    assert_eq!(prefix, events[..prefix.len()]);
    let entity = prefix[0].entity.clone();
    let own = prefix_of(&journal, Selection::Entity { entity: entity.clone(), from_sequence: 1 });
    let expected: Vec<_> = events.iter().filter(|event| event.entity == entity).take(own.len()).cloned().collect();
    assert_eq!(own, expected);
}

/// Reads to the end, over damage: the events, and how often it was met.
fn read_over_damage(journal: &EmbeddedJournal, selection: &Selection) -> (Vec<Arc<Recorded>>, usize) {
    let (mut all, mut met, mut from) = (Vec::new(), 0, Cursor::BEGINNING);
    loop {
        let mut events = journal.read(selection.clone(), from, ReadMode::ToHead);
        let resume = loop {
            match now(events.next()).unwrap() {
                Some(Ok(Read::Event(event))) => all.push(event),
                Some(Ok(Read::Progress(_))) => {}
                Some(Err(ReadError::Damaged { resume: Some(resume), .. })) => break resume,
                Some(Err(error)) => panic!("{error}"),
                None => return (all, met),
            }
        };
        assert!(resume.position() > from.position(), "a reader that goes on gets on");
        (from, met) = (resume, met + 1);
    }
}

#[test]
fn a_reader_that_meets_damage_can_go_on_behind_it() {
    let (disk, events) = journal();
    let frames: Vec<_> = frames_of(&disk).into_iter().filter(|frame| frame.segment == "0000000001.segment").collect();
    for damaged in [vec![0], vec![3], vec![2, 3, 4], vec![1, 5], vec![frames.len() - 1]] {
        let copy = Arc::new(disk.crash());
        damaged.iter().for_each(|nth: &usize| copy.rot(&frames[*nth].segment, frames[*nth].bytes.start + 100, 3).unwrap());
        let lost = |event: &Recorded| damaged.iter().any(|nth| frames[*nth].positions.contains(&event.position));
        let (journal, _) = open(&copy, Arc::new(SimRandom::new(3)), PlantedBug::None).unwrap();
        let thing = EntityType::new("thing").unwrap();
        let entity = EntityKey::new("thing", "1").unwrap();
        let tag = events[0].tags[0].clone();
        for selection in [
            Selection::All,
            Selection::Entity { entity, from_sequence: 1 },
            Selection::Types(vec!["thing/e0".into()]),
            Selection::Types(vec![thing.as_str().into()]),
            Selection::Tags(TagQuery { items: vec![TagQueryItem { types: Vec::new(), tags: vec![tag] }] }),
        ] {
            let (read, met) = read_over_damage(&journal, &selection);
            let wanted: Vec<_> = events.iter().filter(|event| selection.matches(event)).collect();
            let hurt = wanted.iter().filter(|event| lost(event)).count();
            let expected: Vec<_> = wanted.into_iter().filter(|event| !lost(event)).cloned().collect();
            assert_eq!(read, expected, "{damaged:?} {selection:?}");
            assert_eq!(met > 0, hurt > 0, "{damaged:?} {selection:?}");
        }
    }
}

#[test]
fn segments_that_are_gone_are_missed() {
    let (disk, _) = journal();
    let segments: Vec<String> = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect();
    let with_data = |keep: &dyn Fn(&str) -> bool| {
        let copy = Arc::new(disk.crash());
        segments.iter().filter(|name| !keep(name)).for_each(|name| copy.remove(name).unwrap());
        copy.sync_directory().unwrap();
        copy
    };
    let all_gone = with_data(&|_| false);
    let only_first = with_data(&|name| name.starts_with("0000000001"));
    let without_second = with_data(&|name| !name.starts_with("0000000002"));
    for copy in [all_gone, only_first, without_second] {
        assert!(open(&copy, Arc::new(SimRandom::new(3)), PlantedBug::None).is_err());
        let dynamic: Arc<dyn Disk> = Arc::clone(&copy) as _;
        assert!(!verify(&dynamic, |_, _| {}).unwrap().damage.is_empty());
    }
}

#[test]
fn what_keeps_a_journal_from_opening_is_damage_to_verify() {
    let (disk, _) = journal();
    for name in ["lineage.json", "registers.log"] {
        let copy = Arc::new(disk.crash());
        copy.open(name).unwrap().write_at(b"garbage!", 0).unwrap();
        assert!(open(&copy, Arc::new(SimRandom::new(3)), PlantedBug::None).is_err(), "{name}");
        let dynamic: Arc<dyn Disk> = Arc::clone(&copy) as _;
        assert!(!verify(&dynamic, |_, _| {}).unwrap().damage.is_empty(), "{name}");
    }
}
