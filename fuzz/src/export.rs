//! Exports: what an import takes of the lines goes into an engine on a simulated disk. Whatever the lines say, it is refused or it is there,
//! as it was, after a restart.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use journal::embedded::{EmbeddedJournal, Options, PlantedBug, ReadOnlyJournal, Stepper};
use journal::sim::{InlineSpawner, SimClock, SimDisk, SimRandom, Survival};
use journal::{AppendError, Commit, Committed, Cursor, EventData, Journal as _, Lineage};

const SEGMENT_BYTES: u64 = 64 * 1024;

/// Reads an export into an empty journal.
pub(crate) fn import(input: &[u8]) {
    let Some((parent, fork, commits)) = headwater::fuzzing::export(input) else { return };
    let disk = SimDisk::new(1);
    // A history that cannot be gone on with is refused, as a start refuses it.
    let Some((journal, stepper)) = open(&disk, parent, fork) else { return };
    let mut taken = Vec::new();
    for commit in commits {
        if append(&journal, &stepper, commit.clone()).is_err() {
            break;
        }
        taken.push(commit);
    }
    drop((journal, stepper));
    compare(&taken, &disk.crash_with(Survival::Nothing));
}

fn open(disk: &SimDisk, parent: Lineage, fork: u64) -> Option<(EmbeddedJournal, Stepper)> {
    let options = Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(1)),
        spawner: Arc::new(InlineSpawner::new()),
        parent: Some((parent, fork)),
        segment_bytes: SEGMENT_BYTES..=SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    EmbeddedJournal::open_stepped(options).ok()
}

fn append(journal: &EmbeddedJournal, stepper: &Stepper, commit: Commit) -> Result<Committed, AppendError> {
    let mut answer = journal.append(commit);
    stepper.settle();
    match Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a settled commit has no answer"),
    }
}

/// What was taken is there, and nothing else.
fn compare(taken: &[Commit], disk: &SimDisk) {
    let journal = ReadOnlyJournal::open(Arc::new(disk.clone()), |_, _| {}).expect("a journal that was just written opens");
    assert!(journal.damage().is_empty(), "{}", journal.damage()[0]);
    let there: Vec<_> = journal.commits(Cursor::BEGINNING).map(|commit| commit.expect("it is whole")).collect();
    assert_eq!(there.len(), taken.len(), "commits");
    let mut times = HashMap::new();
    for (stored, commit) in there.iter().zip(taken) {
        let origin = commit.origin.as_ref().expect("an import says where a commit comes from");
        // An entity's time does not go back, whatever the lines say.
        let before = commit.commands.iter().filter_map(|command| times.get(&command.entity)).max();
        let time = before.copied().unwrap_or(origin.time).max(origin.time);
        assert_eq!((stored.id, stored.time), (origin.id, time));
        times.extend(commit.commands.iter().filter(|command| !command.events.is_empty()).map(|command| (&command.entity, time)));
        let said = commit.commands.iter().flat_map(|command| command.events.iter().map(move |event| (&command.entity, event)));
        assert_eq!(stored.event_count(), said.clone().count() as u64);
        for (event, (entity, data)) in stored.events().zip(said) {
            let EventData { name, version, content, flags, tags, payload } = data;
            assert_eq!((&event.name, event.version, event.content, &event.entity), (name, *version, *content, entity));
            assert_eq!((&event.tags[..], &event.payload, event.flags), (&tags[..], payload, *flags));
        }
    }
}
