//! Damage at scale: every bit of every file of a small journal flipped, every file cut at every byte, and bits anywhere in a large one. All
//! of it is found or does no harm: no event is wrong, none that was durable is taken for a torn tail, an index is made again, and what is
//! whole is given.
//!
//! `HEADWATER_FLIPS` sets how many bits of the large journal are flipped, `HEADWATER_SIM_SEED` seeds the choice.

use std::sync::Arc;

use headwater_journal::embedded::{EmbeddedJournal, OpenError, Options, PlantedBug};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom, Survival};
use headwater_journal::{Cursor, Journal, Read, ReadError, ReadMode, Recorded, RegisterExpect, Registers, Selection};

use crate::crashes::{Dice, Run, now};
use crate::salvage::frames_of;
use crate::sim::setting;

const FLIPS: u64 = 5_000;
const SMALL_SEGMENT: u64 = 16 * 1024;
const SMALL_COMMITS: u64 = 16;
const REGISTERS: [&str; 2] = ["lease/a", "place/b"];

/// A journal that was closed, and what is in it.
struct Closed {
    disk: Arc<SimDisk>,
    events: Vec<Arc<Recorded>>,
}

fn options(disk: &Arc<SimDisk>, seed: u64, segment_bytes: u64) -> Options {
    Options {
        segment_bytes: segment_bytes..=segment_bytes,
        ..crate::crashes::options(disk, Arc::new(SimRandom::new(seed)), PlantedBug::None)
    }
}

fn closed(commits: u64, segment_bytes: u64) -> Closed {
    let disk = Arc::new(SimDisk::new(1));
    let mut run = Run::new(1, PlantedBug::None);
    let (journal, stepper) = EmbeddedJournal::open_stepped(options(&disk, 1, segment_bytes)).unwrap();
    for number in 0..commits {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        now(answer).unwrap().unwrap();
        if number == commits / 2 {
            for name in REGISTERS {
                now(journal.put(name, RegisterExpect::Absent, vec![7; 40].into())).unwrap().unwrap();
            }
        }
    }
    let marker = stepper.take_marker().expect("an idle log wants its marker");
    let outcome = stepper.perform(&marker);
    stepper.complete(marker, outcome);
    let events = crate::crashes::read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap();
    drop((journal, stepper));
    Closed { disk: Arc::new(disk.crash_with(Survival::Everything)), events }
}

/// What came of opening and reading a damaged copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// A reader was told of it; all else was given.
    Told,
    Same,
}

/// Opens a damaged copy and reads around a position, over the damage.
fn outcome(copy: &Arc<SimDisk>, events: &[Arc<Recorded>], around: std::ops::Range<usize>, what: &dyn Fn() -> String) -> Outcome {
    let journal = match EmbeddedJournal::open_stepped(options(copy, 2, SMALL_SEGMENT)) {
        Ok((journal, _)) => journal,
        Err(OpenError::Disk(error)) => panic!("{}: {error}", what()),
        Err(_) => return Outcome::Refused,
    };
    for name in REGISTERS {
        let value = now(journal.get(name)).unwrap().unwrap().map(|register| register.value);
        assert!(value.as_ref().is_none_or(|value| *value == vec![7; 40]), "{}: a wrong register", what());
        assert!(value.is_some() || what().starts_with("registers.log cut"), "{}: a register is lost", what());
    }
    let lineage = events.first().map(|_| journal.lineage().id).expect("a journal with events");
    let mut from = if around.start == 0 { Cursor::BEGINNING } else { Cursor::from_parts(lineage, around.start as u64) };
    let (mut given, mut told) = (around.start, false);
    'over_damage: loop {
        let mut reader = journal.read(Selection::All, from, ReadMode::ToHead);
        while given < around.end {
            match now(reader.next()).unwrap() {
                Some(Ok(Read::Event(event))) => {
                    let expected = &events[event.position as usize - 1];
                    assert!(event == *expected, "{}: a wrong event at position {}", what(), event.position);
                    assert!(told || event.position as usize == given + 1, "{}: position {} was passed by", what(), given + 1);
                    given = event.position as usize;
                }
                Some(Ok(Read::Progress(_))) => {}
                Some(Err(ReadError::Damaged { resume: Some(resume), .. })) if resume.position() > from.position() => {
                    (from, told) = (resume, true);
                    given = given.max(resume.position() as usize);
                    continue 'over_damage;
                }
                Some(Err(_)) => return Outcome::Told,
                None => break,
            }
        }
        assert!(told || given >= around.end, "{}: {given} events came back, {} were acknowledged", what(), around.end);
        return if told { Outcome::Told } else { Outcome::Same };
    }
}

fn length(disk: &SimDisk, name: &str) -> u64 {
    disk.open(name).unwrap().len().unwrap()
}

/// What a flipped bit may come to, by the file it is in.
fn check(name: &str, outcome: Outcome, what: &dyn Fn() -> String) {
    let allowed = match name {
        _ if name.ends_with(".seal") => outcome == Outcome::Same,
        "lineage.json" => outcome == Outcome::Refused,
        "registers.log" => outcome != Outcome::Told,
        _ => true,
    };
    assert!(allowed, "{}: {outcome:?}", what());
}

#[test]
fn every_flipped_bit_of_a_small_journal_is_found_or_does_no_harm() {
    let Closed { disk, events } = closed(SMALL_COMMITS, SMALL_SEGMENT);
    let frames = frames_of(&disk);
    let (mut flips, mut found, mut bytes) = (0u64, 0u64, 0);
    for name in disk.list("").unwrap() {
        bytes += length(&disk, &name);
        for (offset, bit) in (0..length(&disk, &name)).flat_map(|offset| (0..8).map(move |bit| (offset, bit))) {
            let copy = Arc::new(disk.crash());
            copy.rot(&name, offset, bit).unwrap();
            let what = || format!("{name}, byte {offset}, bit {bit}");
            let outcome = outcome(&copy, &events, 0..events.len(), &what);
            check(&name, outcome, &what);
            let in_a_frame =
                frames.iter().any(|frame| frame.segment == name && frame.bytes.contains(&offset) && !frame.positions.is_empty());
            assert!(!in_a_frame || outcome != Outcome::Same, "{}: it went unnoticed", what());
            flips += 1;
            found += u64::from(outcome != Outcome::Same);
        }
    }
    println!("{bytes} bytes, {flips} flips: {found} found, {} without harm, no wrong event", flips - found);
    assert!((64 * 1024..96 * 1024).contains(&bytes) && found > flips / 4, "{bytes} bytes");
}

#[test]
fn every_file_of_a_small_journal_cut_at_every_byte_is_found_or_does_no_harm() {
    let Closed { disk, events } = closed(SMALL_COMMITS, SMALL_SEGMENT);
    let (mut cuts, mut found) = (0u64, 0u64);
    for name in disk.list("").unwrap() {
        for keep in 0..length(&disk, &name) {
            let copy = Arc::new(disk.crash());
            let file = copy.open(&name).unwrap();
            file.set_len(keep).unwrap();
            file.sync().unwrap();
            // (Nothing outside of the registers' log says how long it was: cut between two records, it is a shorter one.)
            let what = || format!("{name} cut to {keep}");
            let outcome = outcome(&copy, &events, 0..events.len(), &what);
            check(&name, outcome, &what);
            assert!(!name.ends_with(".segment") || outcome == Outcome::Refused, "{}: {outcome:?}", what());
            cuts += 1;
            found += u64::from(outcome != Outcome::Same);
        }
    }
    println!("{cuts} cuts: {found} found, {} without harm, no wrong event", cuts - found);
    assert!(found > cuts / 2);
}

#[test]
fn bits_flipped_anywhere_in_a_large_journal_are_found_or_do_no_harm() {
    let (seed, wanted) = (setting("HEADWATER_SIM_SEED", 0), setting("HEADWATER_FLIPS", FLIPS));
    let Closed { disk, events } = closed(1_000, 64 * 1024);
    let frames = frames_of(&disk);
    let names = disk.list("").unwrap();
    let total: u64 = names.iter().map(|name| length(&disk, name)).sum();
    let mut dice = Dice(seed);
    let (mut found, mut healthy) = (0u64, 0u64);
    for _ in 0..wanted {
        let (mut offset, bit) = (dice.roll(total), dice.roll(8) as u8);
        let name = names.iter().find(|name| {
            let here = offset < length(&disk, name);
            offset -= if here { 0 } else { length(&disk, name) };
            here
        });
        let name = name.expect("an offset below the sum of all");
        let copy = Arc::new(disk.crash());
        copy.rot(name, offset, bit).unwrap();
        let what = || format!("{name}, byte {offset}, bit {bit}");
        // Around the frame that was hit, or somewhere else, which must be readable all the same.
        let hit = frames.iter().find(|frame| frame.segment == *name && frame.bytes.contains(&offset) && !frame.positions.is_empty());
        let middle = hit.map_or_else(|| dice.index(events.len()), |frame| frame.positions.start as usize);
        let around = middle.saturating_sub(10)..(middle + 20).min(events.len());
        let outcome = outcome(&copy, &events, around, &what);
        check(name, outcome, &what);
        assert!(hit.is_none() || outcome != Outcome::Same, "{}: it went unnoticed", what());
        found += u64::from(outcome != Outcome::Same);
        healthy += u64::from(hit.is_none() && outcome == Outcome::Same);
    }
    println!("seed {seed}: {total} bytes, {wanted} flips: {found} found, {healthy} reads beside them as they were, no wrong event");
    assert!(found > wanted / 4);
}
