//! Packed segments from outside: a pass of the scrub packs what is old, and nobody who reads, opens, verifies, cuts or copies the journal can
//! tell; killed or refused at any call, it leaves every event where it was; damage takes the events of its block only.

use std::sync::Arc;

use headwater_journal::embedded::limits::PACK_BEHIND;
use headwater_journal::embedded::{EmbeddedJournal, Options, PlantedBug, ReadOnlyJournal, Stepper, verify};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{DiskFault, SimDisk, SimRandom};
use headwater_journal::{CommandId, Cursor, EntityKey, Journal, ReadMode, Recorded, Selection};

use crate::crashes::{self, Run, now, read_all};
use crate::salvage::{Frame, content, frames_of};
use crate::sim::raw;

const SEGMENT: u64 = 16 * 1024;
const COMMITS: usize = 90;

fn opened(disk: &Arc<SimDisk>, seed: u64) -> Result<(EmbeddedJournal, Stepper), String> {
    let options = crashes::options(disk, Arc::new(SimRandom::new(seed)), PlantedBug::None);
    EmbeddedJournal::open_stepped(Options { segment_bytes: SEGMENT..=SEGMENT, ..options }).map_err(|error| error.to_string())
}

/// A closed journal of many segments with their roots, none of them packed, and its events.
fn unpacked() -> (Arc<SimDisk>, Vec<Arc<Recorded>>) {
    let disk = Arc::new(SimDisk::new(1));
    let mut run = Run::new(1, PlantedBug::None);
    let (journal, stepper) = opened(&disk, 1).unwrap();
    journal.set_packing(false);
    for _ in 0..COMMITS {
        let (_, answer) = run.append(&journal);
        stepper.settle();
        now(answer).unwrap().unwrap();
    }
    let marker = stepper.take_marker().expect("an idle log wants its marker");
    let outcome = stepper.perform(&marker);
    stepper.complete(marker, outcome);
    stepper.scrub();
    let events = all(&journal);
    drop((journal, stepper));
    (disk, events)
}

fn all(journal: &EmbeddedJournal) -> Vec<Arc<Recorded>> {
    read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap()
}

/// The same, after a pass that packs.
fn packed() -> (Arc<SimDisk>, Vec<Arc<Recorded>>) {
    let (disk, events) = unpacked();
    let (journal, stepper) = opened(&disk, 2).unwrap();
    stepper.scrub();
    drop((journal, stepper));
    (disk, events)
}

fn is_packed(disk: &SimDisk, name: &str) -> bool {
    content(disk, name).starts_with(b"HWPACKD")
}

fn segments(disk: &SimDisk, packed: bool) -> Vec<String> {
    let mut names = disk.list("").unwrap();
    names.retain(|name| name.ends_with(".segment") && is_packed(disk, name) == packed);
    names.sort();
    names
}

fn dynamic(disk: &Arc<SimDisk>) -> Arc<dyn Disk> {
    Arc::clone(disk) as _
}

/// A journal on this disk has exactly these events, whoever asks, and goes on.
#[track_caller]
fn check(disk: &Arc<SimDisk>, events: &[Arc<Recorded>], what: &str) {
    let verified = verify(&dynamic(disk), |_, _| {}).unwrap();
    assert_eq!((verified.damage, verified.events), (Vec::new(), events.len() as u64), "{what}");
    let (journal, stepper) = opened(disk, 3).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(all(&journal) == events, "{what}");
    for number in 0..6 {
        let entity = EntityKey::new("thing", &number.to_string()).unwrap();
        let own: Vec<_> = events.iter().filter(|event| event.entity == entity).cloned().collect();
        let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
        assert!(read_all(journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead)).unwrap() == own, "{what}: {entity}");
        assert_eq!(now(journal.entity_head(&entity)).unwrap().unwrap().map_or(0, |head| head.sequence), own.len() as u64, "{what}");
    }
    let mut more = Run::new(99, PlantedBug::None).commit();
    more.commands.iter_mut().for_each(|command| command.id = CommandId::from_raw(b"more"));
    let answer = journal.append(more);
    stepper.settle();
    now(answer).unwrap().unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn a_pass_packs_all_but_the_last_sealed_segments_and_nobody_can_tell() {
    let (disk, events) = unpacked();
    let (journal, stepper) = opened(&disk, 2).unwrap();
    // Readers that are on their way over the segments as they were.
    let mut before = journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    assert!(now(before.next()).unwrap().is_some());
    let (used, images) = (disk.used(), segments(&disk, false).iter().map(|name| content(&disk, name)).collect::<Vec<_>>());
    stepper.scrub();
    let status = journal.scrub_status().unwrap();
    let sealed = status.roots.1;
    assert!(sealed > 8 && status.packed.0 == sealed - PACK_BEHIND as u64, "{status:?}");
    assert_eq!((used - disk.used(), status.damage.len(), &status.not_packed), (status.packed.1, 0, &None));
    let names = segments(&disk, true);
    assert_eq!(names, (1..=status.packed.0).map(|number| format!("{number:010}.segment")).collect::<Vec<_>>());
    for (name, image) in names.iter().zip(&images) {
        assert!(raw::image(&content(&disk, name)) == *image, "{name} holds another image");
    }
    assert_eq!(read_all(before).unwrap().len(), events.len() - 1, "a reader goes on in the file that it had");
    assert!(all(&journal) == events);
    let files: Vec<_> = names.iter().map(|name| content(&disk, name)).collect();
    stepper.scrub();
    assert_eq!(journal.scrub_status().unwrap().packed, status.packed, "what is packed is not packed again");
    assert!(names.iter().map(|name| content(&disk, name)).collect::<Vec<_>>() == files);
    drop((journal, stepper));
    check(&disk, &events, "packed");
    assert!(!disk.list("").unwrap().iter().any(|name| name.ends_with(".tmp")));
}

#[test]
fn packing_that_is_switched_off_packs_nothing_and_reads_what_is_packed() {
    for (disk, events) in [unpacked(), packed()] {
        let before = segments(&disk, true);
        let (journal, stepper) = opened(&disk, 4).unwrap();
        journal.set_packing(false);
        stepper.scrub();
        let status = journal.scrub_status().unwrap();
        assert_eq!((segments(&disk, true), status.packed.0), (before.clone(), before.len() as u64));
        assert!(all(&journal) == events && status.damage.is_empty());
    }
}

/// The power goes at every call of a pass: whatever of it was durable, every event is there, and the next pass packs the rest.
#[test]
fn power_that_goes_at_any_call_of_a_pass_loses_nothing() {
    let (disk, events) = unpacked();
    let (mut some, mut left) = (0, 0);
    for call in (1..).step_by(7) {
        let copy = Arc::new(disk.crash());
        let (journal, stepper) = opened(&copy, 2).unwrap();
        copy.cut_power_at(copy.calls() + call);
        stepper.scrub();
        let cut = copy.fired().cut_off > 0;
        drop((journal, stepper));
        let after = Arc::new(copy.crash());
        after.heal();
        let there = segments(&after, true).len();
        some += usize::from(there > 0 && cut);
        left += usize::from(after.list("").unwrap().iter().any(|name| name == "packed.tmp"));
        check(&Arc::new(after.crash()), &events, &format!("call {call}"));
        let (journal, stepper) = opened(&after, 3).unwrap();
        stepper.scrub();
        let status = journal.scrub_status().unwrap();
        assert_eq!((status.packed.0, status.damage.len()), (status.roots.1 - PACK_BEHIND as u64, 0), "call {call}");
        assert!(!after.list("").unwrap().iter().any(|name| name == "packed.tmp"), "call {call}: what was left of it stays");
        if !cut {
            break;
        }
    }
    assert!(some > 10 && left > 0, "{some} {left}");
}

/// A disk that refuses one call of a pass: while a packed segment is being made nothing has happened; a rename or a sync of the directory is
/// final; and no event is lost either way.
#[test]
fn a_call_that_fails_while_packing_is_told_and_a_name_that_fails_is_final() {
    let (disk, events) = unpacked();
    let (mut told, mut stopped) = (0, 0);
    for call in (1..).step_by(3) {
        let copy = Arc::new(disk.crash());
        let (journal, stepper) = opened(&copy, 2).unwrap();
        let fault = if call % 2 == 1 { DiskFault::InputOutput } else { DiskFault::NoSpace };
        copy.fail_call_with(copy.calls() + call, false, fault);
        stepper.scrub();
        let failed = copy.failures() > 0;
        copy.heal();
        let status = journal.scrub_status().unwrap();
        told += usize::from(status.not_packed.is_some());
        stopped += usize::from(journal.poisoned().is_some());
        assert!(status.not_packed.is_none() || journal.poisoned().is_none(), "call {call}");
        assert!(all(&journal) == events, "call {call}");
        drop((journal, stepper));
        check(&Arc::new(copy.crash()), &events, &format!("call {call}"));
        if !failed {
            break;
        }
    }
    assert!(told > 10 && stopped > 3, "{told} told, {stopped} stopped");
}

#[test]
fn a_disk_without_room_packs_nothing_takes_no_room_and_goes_on() {
    let (disk, events) = unpacked();
    let (journal, stepper) = opened(&disk, 2).unwrap();
    let used = disk.used();
    disk.set_capacity(Some(used + 1_000));
    stepper.scrub();
    let status = journal.scrub_status().unwrap();
    assert!(status.packed.0 == 0 && status.not_packed.as_ref().is_some_and(|why| why.contains("0000000001.segment")), "{status:?}");
    assert!(journal.poisoned().is_none() && disk.used() == used && all(&journal) == events);
    disk.set_capacity(None);
    stepper.scrub();
    let status = journal.scrub_status().unwrap();
    assert!(status.packed.0 > 0 && status.not_packed.is_none(), "{status:?}");
}

/// The frames of a segment that a damaged byte of its packed file takes: those that touch its block.
fn hit<'a>(frames: &'a [Frame], name: &str, file: &[u8], offset: usize) -> Vec<&'a Frame> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (block_bytes, count) = (word(56) as u64, word(60));
    let mut at = 512 + 8 * count;
    for nth in 0..count {
        let stored = word(512 + 8 * nth);
        if (at..at + stored).contains(&offset) {
            let block = nth as u64 * block_bytes..(nth as u64 + 1) * block_bytes;
            let touches = |frame: &&Frame| frame.segment == name && frame.bytes.start < block.end && block.start < frame.bytes.end;
            return frames.iter().filter(touches).collect();
        }
        at += stored;
    }
    Vec::new()
}

#[test]
fn a_flipped_bit_takes_the_events_of_its_block_only_and_is_told() {
    let (disk, events) = packed();
    let frames = frames_of(&disk);
    let mut lossy = 0;
    for name in segments(&disk, true) {
        let file = content(&disk, &name);
        for offset in (0..file.len()).step_by(23) {
            let copy = Arc::new(disk.crash());
            copy.rot(&name, offset as u64, (offset % 8) as u8).unwrap();
            let what = format!("{name} byte {offset}");
            let hit = hit(&frames, &name, &file, offset);
            let lost = |event: &Arc<Recorded>| hit.iter().any(|frame| frame.positions.contains(&event.position));
            let expected: Vec<_> = events.iter().filter(|event| !lost(event)).cloned().collect();
            let journal = ReadOnlyJournal::open(dynamic(&copy), |_, _| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!journal.damage().is_empty(), "{what}: it went unnoticed");
            let commits = journal.commits(Cursor::BEGINNING).flatten();
            let read: Vec<_> = commits.flat_map(|commit| commit.events().map(Arc::new).collect::<Vec<_>>()).collect();
            assert!(read == expected, "{what}: {} events, not {}", read.len(), expected.len());
            lossy += usize::from(!hit.is_empty());
        }
    }
    assert!(lossy > 100, "{lossy}");
}

#[test]
fn what_rots_in_a_packed_segment_is_told_in_one_pass() {
    let (disk, events) = packed();
    let name = &segments(&disk, true)[2];
    let file = content(&disk, name);
    for offset in (0..file.len()).step_by(61) {
        let copy = Arc::new(disk.crash());
        let (journal, stepper) = opened(&copy, 2).unwrap();
        copy.rot(name, offset as u64, 1).unwrap();
        stepper.scrub();
        let status = journal.scrub_status().unwrap();
        assert!(status.damage.len() == 1 && status.damage[0].contains("segment 3"), "byte {offset}: {:?}", status.damage);
        drop((journal, stepper));
    }
    check(&disk, &events, "as it was");
}

#[test]
fn a_log_that_ends_in_a_packed_segment_is_refused() {
    let (disk, _) = packed();
    let last = segments(&disk, true).pop().unwrap();
    let copy = Arc::new(disk.crash());
    for name in copy.list("").unwrap() {
        let number = name.get(..10).filter(|_| name.ends_with(".segment") || name.ends_with(".seal"));
        if number.is_some_and(|number| *number >= last[..10]) && name != last {
            copy.remove(&name).unwrap();
        }
    }
    let refused = opened(&copy, 5).err().expect("it is refused");
    assert!(refused.contains(&last) && refused.contains("packed"), "{refused}");
}
