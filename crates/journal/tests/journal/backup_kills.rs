//! Backups of a journal that is compacted and packed between two runs: whatever kills a run at whatever call, the directory holds the
//! backup before it, whole, or the new one. What is there is opened, compared part by part, verified and restored.

use std::sync::Arc;

use headwater_journal::embedded::limits::SEGMENT_BYTES;
use headwater_journal::embedded::{Backup, BackupDisk, BulkOptions, BulkWriter, Part, RunningRoot, back_up, verify_against};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{SimDisk, SimRandom};
use headwater_journal::{CompactRules, Cursor, EntityType, KeepRule, Timestamp};

use crate::compacted::{House, dynamic};

/// What a backup gives to whoever restores it.
#[derive(Clone, PartialEq)]
struct Held {
    head: Cursor,
    parts: Vec<Part>,
}

impl Held {
    fn gone(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Gone(_))).count()
    }
}

fn run(house: &House, target: &Arc<SimDisk>) -> Result<(), String> {
    // The journal is closed: what is copied is a directory at rest.
    let source = Arc::new(house.disk.crash());
    back_up(&dynamic(&source), &dynamic(target), Timestamp::from_micros(7), &mut |_| {}).map(drop).map_err(|error| error.to_string())
}

/// Opens what is there, verifies it, and restores it into a directory of its own.
fn held(target: &Arc<SimDisk>) -> Result<Held, String> {
    let copy = dynamic(&Arc::new(target.crash()));
    let backup = Backup::open(Arc::clone(&copy), |_, _| {}).map_err(|error| error.to_string())?;
    let (mut root, mut parts, mut there) = (RunningRoot::default(), Vec::new(), backup.journal.commits(Cursor::BEGINNING));
    while let Some(part) = there.next_part() {
        let part = part.map_err(|error| error.to_string())?;
        if part.last_position() > backup.head.position() {
            break;
        }
        root.add(&part);
        parts.push(part);
    }
    if root.hash() != backup.root.hash {
        return Err(format!("up to {} it has another root than it says", backup.head.position()));
    }
    restore(&backup, &parts)?;
    let shown: Arc<dyn Disk> = Arc::new(BackupDisk::open(copy).map_err(|error| error.to_string())?);
    let verified = verify_against(&shown, Some(&backup.root), |_| {}).map_err(|error| error.to_string())?;
    match verified.damage.first() {
        Some(damage) => Err(damage.clone()),
        None => Ok(Held { head: backup.head, parts }),
    }
}

fn restore(backup: &Backup, parts: &[Part]) -> Result<(), String> {
    let (disk, random) = (Arc::new(SimDisk::new(1)), Arc::new(SimRandom::new(2)));
    let parent = backup.journal.lineage().expect("its identity is whole");
    let options =
        BulkOptions { disk: dynamic(&disk), random, parent: (parent.clone(), backup.head.position()), segment_bytes: SEGMENT_BYTES };
    let mut writer = BulkWriter::begin(options).map_err(|error| error.to_string())?;
    parts.iter().try_for_each(|part| writer.put(part.clone())).map_err(|error| error.to_string())?;
    match writer.finish().map_err(|error| error.to_string())? == backup.head.position() {
        true => Ok(()),
        false => Err("what is restored ends elsewhere".to_owned()),
    }
}

/// Every event of carts that something stands for may go, and segments that are old are packed.
fn compact_and_pack(house: &House) {
    let rules = CompactRules {
        upto: u64::MAX,
        kinds: vec![KeepRule { kind: EntityType::new("cart").unwrap(), since: Timestamp::from_micros(i64::MAX), last: 0 }],
    };
    assert!(house.compact(&rules).unwrap().rewritten > 0);
    house.stepper.scrub();
}

/// Two states of a journal, the first one backed up: `spoil` does something to the backup before the second run.
fn check_kills(spoil: impl Fn(&SimDisk)) {
    let mut house = House::new(3);
    house.grow(60);
    let base = Arc::new(SimDisk::new(6));
    run(&house, &base).unwrap();
    let before = held(&base).unwrap();
    house.grow(220);
    compact_and_pack(&house);
    spoil(&base);
    let whole = Arc::new(base.crash());
    run(&house, &whole).unwrap();
    let new = held(&whole).unwrap();
    assert!(before.gone() == 0 && new.gone() > 0 && before.head != new.head);
    let names = whole.list("").unwrap().len();
    let mut outcomes = [0; 2];
    for call in 1.. {
        let target = Arc::new(base.crash());
        target.cut_power_at(call);
        let ended = run(&house, &target).is_ok();
        let after = Arc::new(target.crash());
        let found = held(&after).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert!(found == before || found == new, "call {call}: neither of the two");
        outcomes[usize::from(found == new)] += 1;
        // The next run gets on, and leaves nothing of the one that was killed.
        let next = Arc::new(after.crash());
        run(&house, &next).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert!(held(&next).unwrap_or_else(|error| panic!("call {call}, the next run: {error}")) == new);
        let left: Vec<String> = next.list("").unwrap().into_iter().filter(|name| !name.ends_with(".tmp")).collect();
        assert_eq!(left.len(), names, "call {call}: {left:?}");
        if ended {
            break;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_backup_behind_a_compaction_that_is_killed_at_any_call_is_the_one_before_or_the_new_one() {
    check_kills(|_| {});
}

/// Its full segments are there: none is copied again, because the source's may have been compacted since.
#[test]
fn a_backup_without_its_roots_makes_them_again_from_its_own_segments() {
    check_kills(|target| {
        target.remove("roots.log").unwrap();
        target.sync_directory().unwrap();
    });
}

#[test]
fn a_backup_of_version_1_is_gone_on_with_and_whole_at_any_call() {
    check_kills(make_version_1);
}

/// As version 1 wrote it: the last segment under its own name, and no word about where the log is.
fn make_version_1(target: &SimDisk) {
    let content = String::from_utf8(crate::salvage::content(target, "backup.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&content).unwrap();
    let (full, tail) = (told["log"]["full"].as_u64().unwrap(), told["log"]["tail"].as_str().unwrap());
    target.rename(tail, &format!("{:010}.segment", full + 1)).unwrap();
    let words = |sum: &str| {
        let text = ["lineage", "head", "root"].map(|name| format!("{name:?}:{}", told[name])).join(",");
        let (taken, registers) = (&told["taken_us"], &told["registers"]);
        format!(r#"{{"format":"headwater-backup","version":1,{text},"taken_us":{taken},"registers":{registers},"checksum":"{sum}"}}"#)
    };
    let sum = format!("{:08x}", crate::sim::raw::crc32c(words("").as_bytes()));
    let file = target.create("backup.json").unwrap();
    file.write_at(words(&sum).as_bytes(), 0).unwrap();
    file.sync().unwrap();
    target.sync_directory().unwrap();
}
