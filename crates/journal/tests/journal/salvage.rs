//! Reading a damaged directory without writing to it: whatever is wrong, it opens, gives every event whose frame is whole, and names
//! the others.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use headwater_journal::embedded::{LogByte, OpenError, PlantedBug, ReadOnlyJournal, verify};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{CallKind, SimDisk, SimRandom};
use headwater_journal::{Cursor, Journal as _, ReadError, ReadMode, Recorded, Selection};

use crate::crashes::{self, Run, open};
use crate::damage::{journal, stride};
use crate::sim::raw;

/// A frame as `docs/format.md` draws it, found without the engine.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) segment: String,
    pub(crate) bytes: Range<u64>,
    pub(crate) positions: Range<u64>,
}

pub(crate) fn content(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// All frames, in order.
pub(crate) fn frames_of(disk: &SimDisk) -> Vec<Frame> {
    let mut names: Vec<String> = disk.list("").unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect();
    names.sort();
    let mut frames = Vec::new();
    for segment in names {
        let bytes = raw::image(&content(disk, &segment));
        let word = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        let mut at = 512;
        while bytes.get(at..at + 4) == Some(b"HWFR") {
            let first = u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap());
            let length = word(at + 8);
            let positions = first..first + word(at + 48);
            frames.push(Frame { segment: segment.clone(), bytes: at as u64..at as u64 + length, positions });
            at += length.next_multiple_of(512) as usize;
        }
    }
    frames
}

fn read_only(disk: &Arc<SimDisk>) -> Result<ReadOnlyJournal, OpenError> {
    ReadOnlyJournal::open(Arc::clone(disk) as _, |_, _| {})
}

/// The events that it gives, and the places of the damage that it meets.
fn read_all(journal: &ReadOnlyJournal, after: Cursor) -> (Vec<Arc<Recorded>>, Vec<Option<Cursor>>) {
    let (mut events, mut met) = (Vec::new(), Vec::new());
    for item in journal.commits(after) {
        match item {
            Ok(commit) => events.extend(commit.events().map(Arc::new)),
            Err(ReadError::Damaged { resume, .. }) => met.push(resume),
            Err(error) => panic!("{error}"),
        }
    }
    (events, met)
}

/// The events of a disk on which nothing is damaged.
pub(crate) fn all_that_is_there(disk: &Arc<SimDisk>) -> Result<Vec<Arc<Recorded>>, String> {
    let journal = match read_only(disk) {
        Ok(journal) => journal,
        Err(OpenError::Absent) => return Ok(Vec::new()),
        Err(error) => return Err(format!("read-only open: {error}")),
    };
    match journal.damage() {
        [] => Ok(read_all(&journal, Cursor::BEGINNING).0),
        damage => Err(format!("damage that is none: {}", damage[0])),
    }
}

/// Everything but the events of the damaged frames is there, the damage says which those are, and one can go on behind each.
#[track_caller]
fn check(journal: &ReadOnlyJournal, events: &[Arc<Recorded>], damaged: &[&Frame], what: &str) {
    let lost: BTreeSet<u64> = damaged.iter().flat_map(|frame| frame.positions.clone()).collect();
    let expected: Vec<_> = events.iter().filter(|event| !lost.contains(&event.position)).cloned().collect();
    let (read, met) = read_all(journal, Cursor::BEGINNING);
    assert_eq!(read, expected, "{what}");
    assert_eq!(journal.event_count(), expected.len() as u64, "{what}");
    let named: BTreeSet<u64> = journal.damage().iter().flat_map(|range| range.lost.clone()).collect();
    assert_eq!(named, lost, "{what}: {:?}", journal.damage());
    let ranges: Vec<_> = journal.damage().iter().filter(|range| !range.lost.is_empty()).collect();
    assert_eq!(met, ranges.iter().map(|range| range.resume).collect::<Vec<_>>(), "{what}");
    for range in ranges {
        let behind: Vec<_> = expected.iter().filter(|event| event.position >= range.lost.end).cloned().collect();
        assert_eq!(range.resume.is_some(), !behind.is_empty(), "{what}");
        let Some(resume) = range.resume else { continue };
        assert_eq!(resume.position(), behind[0].position - 1, "{what}");
        assert_eq!(read_all(journal, resume).0, behind, "{what}");
    }
}

#[test]
fn every_event_outside_of_a_flipped_bit_is_given() {
    let (disk, events) = journal();
    let frames = frames_of(&disk);
    let mut lossy = 0;
    for name in disk.list("").unwrap() {
        let length = disk.open(&name).unwrap().len().unwrap();
        for offset in (0..length).step_by(stride() as usize) {
            let copy = Arc::new(disk.crash());
            copy.rot(&name, offset, (offset % 8) as u8).unwrap();
            let what = format!("{name} byte {offset}");
            let journal = read_only(&copy).unwrap_or_else(|error| panic!("{what}: {error}"));
            let hit: Vec<_> = frames.iter().filter(|frame| frame.segment == name && frame.bytes.contains(&offset)).collect();
            check(&journal, &events, &hit, &what);
            lossy += usize::from(hit.iter().any(|frame| !frame.positions.is_empty()));
            if let Some(range) = journal.damage().iter().find(|range| !range.lost.is_empty()) {
                let (from, to) = (range.from, range.to);
                let byte = LogByte { segment: name[..10].parse().unwrap(), byte: offset };
                assert!((from..to).contains(&byte), "{what}: {range}");
            }
            assert_eq!(journal.identity_fault().is_some(), name == "lineage.json", "{what}");
        }
    }
    assert!(lossy > 100, "only {lossy} flips hit a frame");
}

#[test]
fn a_flipped_bit_in_the_header_of_a_segment_is_damage_and_no_newer_format() {
    let (disk, events) = journal();
    for offset in 0..64 {
        let copy = Arc::new(disk.crash());
        copy.rot("0000000002.segment", offset, (offset % 7) as u8).unwrap();
        let what = format!("byte {offset}");
        check(&read_only(&copy).unwrap(), &events, &[], &what);
        assert_eq!(read_only(&copy).unwrap().damage().len(), 1, "{what}");
        let error = open(&copy, Arc::new(SimRandom::new(2)), PlantedBug::None).err().expect("it is refused");
        assert!(error.contains("header"), "{what}: {error}");
    }
}

#[test]
fn every_event_outside_of_several_damaged_frames_is_given() {
    let (disk, events) = journal();
    let frames = frames_of(&disk);
    let dice = SimRandom::new(7);
    for round in 0..300 {
        let copy = Arc::new(disk.crash());
        // The marker at the end stays: it is what says that the frames before it were durable.
        let hit: BTreeSet<usize> = (0..1 + dice.below(6)).map(|_| dice.below(frames.len() as u64 - 1) as usize).collect();
        let hit: Vec<&Frame> = hit.iter().map(|nth| &frames[*nth]).collect();
        for frame in &hit {
            let offset = frame.bytes.start + dice.below(frame.bytes.end - frame.bytes.start);
            copy.rot(&frame.segment, offset, 5).unwrap();
        }
        check(&read_only(&copy).unwrap(), &events, &hit, &format!("round {round}: {hit:?}"));
        assert!(
            open(&copy, Arc::new(SimRandom::new(2)), PlantedBug::None).is_err() || read_only(&copy).unwrap().damage().len() <= hit.len()
        );
    }
}

#[test]
fn a_file_that_is_cut_or_gone_takes_its_own_events_only() {
    let (disk, events) = journal();
    let frames = frames_of(&disk);
    let last = frames.last().unwrap().segment.clone();
    for name in disk.list("").unwrap().into_iter().filter(|name| *name != "lock") {
        let length = disk.open(&name).unwrap().len().unwrap();
        for keep in (0..length).step_by(997).map(Some).chain([None]) {
            let copy = Arc::new(disk.crash());
            match keep {
                Some(keep) => copy.open(&name).unwrap().set_len(keep).unwrap(),
                None => copy.remove(&name).unwrap(),
            }
            let what = format!("{name} cut to {keep:?}");
            let journal = read_only(&copy).unwrap_or_else(|error| panic!("{what}: {error}"));
            let kept = keep.unwrap_or(0) / 512 * 512;
            let hit: Vec<_> = frames.iter().filter(|frame| frame.segment == name && frame.bytes.end > kept).collect();
            let named = !journal.damage().is_empty();
            assert!(named || !name.ends_with(".segment") || keep.is_none() && hit.is_empty(), "{what}");
            if name < last || !name.ends_with(".segment") {
                check(&journal, &events, &hit, &what);
                continue;
            }
            // Nothing behind the last frames says that they were there; what is left is given all the same.
            let left = events.iter().filter(|event| !hit.iter().any(|frame| frame.positions.contains(&event.position)));
            assert_eq!(read_all(&journal, Cursor::BEGINNING).0, left.cloned().collect::<Vec<_>>(), "{what}");
        }
    }
}

/// A directory as a killed process leaves it: of two writes under way, the second is there whole and the first is not.
fn killed() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new(3));
    let mut run = Run::new(3, PlantedBug::None);
    let (journal, stepper) = open(&disk, Arc::new(SimRandom::new(3)), PlantedBug::None).unwrap();
    for _ in 0..30 {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        drop(answer);
    }
    let (_, _first) = run.append(&journal);
    let _never_written = stepper.take(true).expect("there is room");
    let (_, _second) = run.append(&journal);
    let written = stepper.take(true).expect("there is room");
    stepper.perform(&written).unwrap();
    Arc::new(disk.crash())
}

#[test]
fn reading_makes_no_write_call() {
    let (whole, _) = journal();
    let damaged = |name: &str, offset: u64| {
        let copy = Arc::new(whole.crash());
        copy.rot(name, offset, 2).unwrap();
        copy
    };
    let empty = Arc::new(SimDisk::new(9));
    let cases = [
        Arc::new(whole.crash()),
        killed(),
        damaged("0000000001.segment", 700),
        damaged("0000000001.segment", 20),
        damaged("0000000001.seal", 20),
        damaged("lineage.json", 20),
        damaged("registers.log", 1),
        empty,
    ];
    for (nth, disk) in cases.into_iter().enumerate() {
        let kinds = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&kinds);
        disk.on_call(move |call| {
            seen.lock().unwrap().insert(format!("{:?}", call.kind));
        });
        let before: Vec<_> = disk.list("").unwrap().iter().map(|name| content(&disk, name)).collect();
        kinds.lock().unwrap().clear();
        match read_only(&disk) {
            Ok(journal) => drop(read_all(&journal, Cursor::BEGINNING)),
            Err(error) => assert!(matches!(error, OpenError::Absent), "{nth}: {error}"),
        }
        verify(&(Arc::clone(&disk) as _), |_, _| {}).unwrap();
        let reads = [CallKind::List, CallKind::Open, CallKind::Read, CallKind::Length, CallKind::LockShared];
        let reads: BTreeSet<String> = reads.iter().map(|kind| format!("{kind:?}")).collect();
        let made = kinds.lock().unwrap().clone();
        assert!(made.is_subset(&reads) && made.len() > 2, "{nth}: {made:?}");
        assert_eq!(disk.list("").unwrap().iter().map(|name| content(&disk, name)).collect::<Vec<_>>(), before, "{nth}");
    }
}

#[test]
fn a_torn_tail_is_no_damage_to_a_reader() {
    let disk = killed();
    let (events, met) = {
        let journal = read_only(&disk).unwrap();
        assert!(journal.damage().is_empty(), "{:?}", journal.damage());
        assert!(journal.notes().iter().any(|note| note.contains("torn tail")), "{:?}", journal.notes());
        read_all(&journal, Cursor::BEGINNING)
    };
    assert!(met.is_empty());
    let (journal, _) = open(&disk, Arc::new(SimRandom::new(4)), PlantedBug::None).unwrap();
    assert_eq!(journal.report().aside.len(), 1);
    assert_eq!(crashes::read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap(), events);
}

#[test]
fn a_block_that_the_disk_does_not_give_is_damage_and_no_end() {
    let (disk, events) = journal();
    let frames = frames_of(&disk);
    let target = frames.iter().find(|frame| !frame.positions.is_empty() && frame.segment.starts_with("0000000002")).unwrap();
    let copy = Arc::new(disk.crash());
    copy.unreadable(&target.segment, target.bytes.start..target.bytes.start + 1).unwrap();
    let journal = read_only(&copy).unwrap();
    check(&journal, &events, &[target], "unreadable");
    assert!(journal.damage()[0].why.contains("does not give"), "{}", journal.damage()[0]);
}

#[test]
fn a_seal_alone_says_what_its_segment_had() {
    let (disk, events) = journal();
    let frames = frames_of(&disk);
    let copy = Arc::new(disk.crash());
    for frame in &frames[1..] {
        let zeros = vec![0; (frame.bytes.end - frame.bytes.start) as usize];
        copy.open(&frame.segment).unwrap().write_at(&zeros, frame.bytes.start).unwrap();
    }
    let later = |name: &String| name.ends_with(".seal") && !name.starts_with("0000000001");
    copy.list("").unwrap().iter().filter(|name| later(name)).for_each(|name| copy.remove(name).unwrap());
    let hit: Vec<_> = frames[1..].iter().filter(|frame| frame.segment.starts_with("0000000001")).collect();
    let known = hit.last().unwrap().positions.end;
    let known: Vec<_> = events.into_iter().filter(|event| event.position < known).collect();
    check(&read_only(&copy).unwrap(), &known, &hit, "zeros");
}

#[test]
fn readers_share_a_directory_and_a_writer_has_it_alone() {
    let (disk, _) = journal();
    let (first, second) = (read_only(&disk).unwrap(), read_only(&disk).unwrap());
    let locked = |disk: &Arc<SimDisk>| open(disk, Arc::new(SimRandom::new(2)), PlantedBug::None).err();
    assert!(locked(&disk).is_some_and(|error| error.contains("another process")));
    drop(first);
    assert!(locked(&disk).is_some());
    drop(second);
    let (writer, _) = open(&disk, Arc::new(SimRandom::new(2)), PlantedBug::None).unwrap();
    assert!(matches!(read_only(&disk).err(), Some(OpenError::Locked)));
    drop(writer);
    drop(read_only(&disk).unwrap());
}

#[test]
fn a_disk_without_locks_is_read_and_the_reader_says_so() {
    let (disk, events) = journal();
    disk.fail_call(disk.calls() + 1, false);
    let journal = read_only(&disk).unwrap();
    assert!(journal.notes()[0].contains("could not be locked"), "{:?}", journal.notes());
    check(&journal, &events, &[], "no lock");
}
