//! Exports: what an import takes of the lines goes into a directory on a simulated disk, in two runs, the first of which is ended by a
//! power cut. Whatever the lines say, it is refused or it is there, as it was, and a service starts on it.

use std::sync::Arc;

use journal::embedded::{
    BulkOptions, BulkWriter, EmbeddedJournal, GoneCommand, ImportedPart, Left, LeftBehind, Options, Part, PlantedBug, ReadOnlyJournal,
};
use journal::sim::{InlineSpawner, SimClock, SimDisk, SimRandom, Survival};
use journal::{Cursor, Lineage};

const SEGMENT_BYTES: u64 = 4 * 1024;

/// Reads an export into an empty directory.
pub(crate) fn import(input: &[u8]) {
    let Some((parent, fork, parts)) = headwater::fuzzing::export(input) else { return };
    let parent = (parent, fork);
    let disk = SimDisk::new(1);
    // A history that cannot be gone on with is refused, as a start refuses it.
    let Ok(mut writer) = BulkWriter::begin(options(&disk, &parent)) else { return };
    let taken = parts.iter().take_while(|part| writer.append(part).is_ok()).count();
    // As a power cut leaves it: whole segments, and a part of the one at hand.
    let disk = disk.crash_with(Survival::Any);
    drop(writer);
    go_on(&disk, &parent, &parts[..taken]);
    compare(&parts[..taken], &disk);
    start(&disk.crash_with(Survival::Nothing));
}

fn options(disk: &SimDisk, parent: &(Lineage, u64)) -> BulkOptions {
    let (disk, random) = (Arc::new(disk.clone()), Arc::new(SimRandom::new(1)));
    BulkOptions { disk, random, parent: parent.clone(), segment_bytes: SEGMENT_BYTES..=4 * SEGMENT_BYTES }
}

/// What is left ends where a part does, and the rest is taken again.
fn go_on(disk: &SimDisk, parent: &(Lineage, u64), taken: &[ImportedPart]) {
    let LeftBehind::Beginning(mut left) = Left::find(options(disk, parent)).expect("what a power cut leaves can be read") else {
        panic!("a history that was begun is there")
    };
    while left.next_part().expect("what a power cut leaves is whole").is_some() {}
    let mut writer = left.go_on().expect("it was read to its end");
    let there = taken.iter().position(|part| part.first_position() == writer.next_position()).unwrap_or(taken.len());
    taken[there..].iter().for_each(|part| writer.append(part).expect("what was taken is taken again"));
    writer.finish().expect("nothing fails");
}

/// What was taken is there, and nothing else.
fn compare(taken: &[ImportedPart], disk: &SimDisk) {
    let journal = ReadOnlyJournal::open(Arc::new(disk.clone()), |_, _| {}).expect("a journal that was just written opens");
    assert!(journal.damage().is_empty(), "{}", journal.damage()[0]);
    let (mut commits, mut gone) = (Vec::new(), Gone::default());
    let mut stored = journal.commits(Cursor::BEGINNING);
    while let Some(part) = stored.next_part() {
        match part.expect("it is whole") {
            Part::Commit(commit) => commits.push(commit),
            Part::Gone(remains) => gone.add(remains.leaves(), remains.commands()),
        }
    }
    let (mut said_commits, mut said_gone) = (Vec::new(), Gone::default());
    for part in taken {
        match part {
            ImportedPart::Commit(commit) => said_commits.push(commit),
            ImportedPart::Gone(remains) => said_gone.add(remains.leaves(), remains.commands()),
        }
    }
    assert_eq!(commits.len(), said_commits.len(), "commits");
    assert!(commits.iter().zip(said_commits).all(|(stored, commit)| commit.is_stored_as(stored)));
    assert_eq!(gone, said_gone);
}

/// What remains, whichever sections it stands in.
#[derive(Debug, Default, PartialEq)]
struct Gone {
    leaves: Vec<[u8; 32]>,
    commands: Vec<GoneCommand>,
}

impl Gone {
    fn add(&mut self, leaves: &[[u8; 32]], commands: &[GoneCommand]) {
        self.leaves.extend_from_slice(leaves);
        self.commands.extend_from_slice(commands);
    }
}

fn start(disk: &SimDisk) {
    let options = Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(1)),
        spawner: Arc::new(InlineSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES..=4 * SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    drop(EmbeddedJournal::open_stepped(options).unwrap_or_else(|error| panic!("a service starts on it: {error}")));
}
