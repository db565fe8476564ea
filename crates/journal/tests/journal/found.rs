//! What the harnesses have found in the engine: each as small as it can be, with what happened as its name.

use std::sync::Arc;

use headwater_journal::embedded::{EmbeddedJournal, PlantedBug, Stepper};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{CallKind, SimDisk, SimRandom, Survival};
use headwater_journal::{Cursor, Journal, ReadMode, RegisterExpect, Registers, Selection};

use crate::crashes::{now, open, read_all};
use crate::size;

fn reopen(disk: &Arc<SimDisk>, seed: u64) -> (EmbeddedJournal, Stepper) {
    open(disk, Arc::new(SimRandom::new(seed)), PlantedBug::None).unwrap()
}

fn count(journal: &EmbeddedJournal) -> usize {
    read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap().len()
}

/// Appends an event of so many bytes and settles the write, but does no upkeep after it.
fn append(journal: &EmbeddedJournal, stepper: &Stepper, number: u64, bytes: usize) {
    let mut commit = size::commit(1, number, None);
    commit.commands[0].events[0].payload = vec![7; bytes].into();
    let mut answer = journal.append(commit);
    while let Some(write) = stepper.take(false).or_else(|| stepper.upkeep().then(|| stepper.take(false)).flatten()) {
        let outcome = stepper.perform(&write);
        stepper.complete(write, outcome);
    }
    crate::crashes::poll(&mut answer).expect("it is settled").unwrap();
}

fn has(disk: &SimDisk, name: &str) -> bool {
    disk.list("").unwrap().iter().any(|other| other == name)
}

/// The seal of the last segment with frames was there and gave an input/output error once. The log went on in that segment, behind the
/// end that the seal names; a crash came before the segment was sealed anew, and the next opening believed the old seal and took everything
/// behind it for a torn tail. Found by the simulator, seed 19045.
#[test]
fn a_seal_that_could_not_be_read_once_is_not_believed_the_next_time() {
    let disk = Arc::new(SimDisk::new(1));
    let (journal, stepper) = reopen(&disk, 1);
    (0..4).for_each(|number| append(&journal, &stepper, number, 100));
    // Too large for what is left of the first segment: its seal names an end that has room behind it.
    append(&journal, &stepper, 4, 15_000);
    while stepper.upkeep() {}
    assert!(has(&disk, "0000000001.seal"));
    drop((journal, stepper));
    // The first frames of the second segment never came.
    let second = disk.open("0000000002.segment").unwrap();
    second.write_at(&vec![0; second.len().unwrap() as usize - 512], 512).unwrap();
    second.sync().unwrap();

    let disk = Arc::new(disk.crash_with(Survival::Nothing));
    let failing = Arc::clone(&disk);
    disk.on_call(move |call| {
        if call.kind == CallKind::Read && call.name.ends_with(".seal") {
            failing.fail_call(failing.calls() + 1, false);
        }
    });
    let (journal, stepper) = reopen(&disk, 2);
    disk.on_call(|_| {});
    assert!(disk.failures() > 0, "the seal was not read");
    assert_eq!(count(&journal), 4);
    append(&journal, &stepper, 100, 100);
    assert_eq!(count(&journal), 5);
    drop((journal, stepper));

    let (journal, _) = reopen(&Arc::new(disk.crash_with(Survival::Nothing)), 3);
    assert_eq!(count(&journal), 5);
}

/// A sync of the registers failed and dropped what it had not written, which the page cache went on showing. The next process read it
/// there, wrote behind it, and the power went: a valid record behind one that was never on the disk. Found by the simulator, seed 78.
#[test]
fn a_register_that_only_the_page_cache_has_is_on_the_disk_before_anything_is_written_behind_it() {
    let value = |byte: u8| bytes::Bytes::from(vec![byte; 3_000]);
    for seed in 0..32 {
        let disk = Arc::new(SimDisk::new(seed));
        let (journal, stepper) = reopen(&disk, 1);
        now(journal.put("a", RegisterExpect::Absent, value(1))).unwrap().unwrap();
        disk.fail_call(disk.calls() + 2, false);
        now(journal.put("b", RegisterExpect::Absent, value(2))).unwrap().unwrap_err();
        drop((journal, stepper));

        let (journal, stepper) = reopen(&disk, 2);
        let seen = now(journal.get("b")).unwrap().unwrap();
        now(journal.put("c", RegisterExpect::Absent, value(3))).unwrap().unwrap();
        drop((journal, stepper));

        let (journal, _) = reopen(&Arc::new(disk.crash_with(Survival::Nothing)), 3);
        assert_eq!(now(journal.get("b")).unwrap().unwrap(), seen, "seed {seed}");
        assert!(now(journal.get("c")).unwrap().unwrap().is_some(), "seed {seed}");
    }
}
