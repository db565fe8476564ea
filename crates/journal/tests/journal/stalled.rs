//! A disk that takes half a minute for a sync (virtual time: the write is held, and the clock goes on): what waits is bounded, the journal
//! says that it is degraded and since when, readers go on, and nothing is lost.

use std::sync::{Arc, Mutex};

use headwater_journal::embedded::{EmbeddedJournal, Options, PlantedBug, Stepper, limits};
use headwater_journal::sim::{CallKind, SimClock, SimDisk, SimRandom};
use headwater_journal::{AppendErrorKind, Cursor, Journal, ReadMode, Selection};

use crate::crashes::{now, options, poll, read_all};
use crate::size;

const SECOND: i64 = 1_000_000;

struct Rig {
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    journal: Arc<EmbeddedJournal>,
    stepper: Stepper,
}

fn rig() -> Rig {
    let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SimClock::new()));
    let with_clock = Options { clock: Arc::clone(&clock) as _, ..options(&disk, Arc::new(SimRandom::new(1)), PlantedBug::None) };
    let (journal, stepper) = EmbeddedJournal::open_stepped(with_clock).unwrap();
    Rig { disk, clock, journal: Arc::new(journal), stepper }
}

fn count(journal: &EmbeddedJournal) -> usize {
    read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead)).unwrap().len()
}

#[test]
fn a_write_that_takes_half_a_minute_shows_the_journal_degraded_and_loses_nothing() {
    let Rig { clock, journal, stepper, disk } = rig();
    let first = journal.append(size::commit(1, 0, None));
    stepper.settle();
    now(first).unwrap().unwrap();
    let began = headwater_journal::seams::Clock::now(&*clock);
    let mut stalled = journal.append(size::commit(1, 1, None));
    let write = stepper.take(false).expect("there is work");

    clock.advance(5 * SECOND);
    assert_eq!(journal.degraded_since(), None, "five seconds are borne");
    clock.advance(25 * SECOND);
    assert_eq!(journal.degraded_since(), Some(began));
    assert_eq!((journal.poisoned(), journal.is_full()), (None, false));
    assert_eq!(count(&journal), 1, "readers go on with what is durable");
    let mut behind = journal.append(size::commit(1, 2, None));
    assert!(poll(&mut stalled).is_none() && poll(&mut behind).is_none(), "nobody is told what the disk has not said");

    let outcome = stepper.perform(&write);
    stepper.complete(write, outcome);
    assert_eq!(journal.degraded_since(), None);
    stepper.settle();
    assert!(poll(&mut stalled).unwrap().is_ok() && poll(&mut behind).unwrap().is_ok());
    drop((stalled, behind));
    drop((journal, stepper));
    let (journal, _) = crate::crashes::open(&Arc::new(disk.crash()), Arc::new(SimRandom::new(2)), PlantedBug::None).unwrap();
    assert_eq!(count(&journal), 3);
}

#[test]
fn behind_a_stalled_write_what_waits_is_bounded_and_the_refusal_names_the_bound() {
    let Rig { clock, journal, stepper, .. } = rig();
    let large = |number| {
        let mut commit = size::commit(1, number, None);
        commit.commands[0].events[0].payload = vec![7; 1_000_000].into();
        commit
    };
    let stalled = journal.append(size::commit(1, 0, None));
    let write = stepper.take(false).expect("there is work");
    clock.advance(30 * SECOND);
    let (mut waiting, mut refused) = (Vec::new(), Vec::new());
    for number in 1..=100 {
        let mut answer = journal.append(large(number));
        match poll(&mut answer) {
            None => waiting.push(answer),
            Some(answer) => refused.push(answer.unwrap_err()),
        }
    }
    assert!(waiting.len() * 1_000_000 <= limits::QUEUE_BYTES_MAX && waiting.len() > 60, "{} wait", waiting.len());
    for error in &refused {
        assert_eq!(error.kind(), AppendErrorKind::Unavailable);
        assert!(error.to_string().contains(&format!("{} bytes", limits::QUEUE_BYTES_MAX)), "{error}");
    }
    assert_eq!(waiting.len() + refused.len(), 100);
    let outcome = stepper.perform(&write);
    stepper.complete(write, outcome);
    stepper.settle();
    now(stalled).unwrap().unwrap();
    waiting.into_iter().for_each(|answer| drop(now(answer).unwrap().unwrap()));
}

/// Writers wait for the next segment too, when its file takes that long to make.
#[test]
fn upkeep_that_takes_half_a_minute_shows_the_journal_degraded() {
    let Rig { clock, journal, stepper, disk } = rig();
    let seen = Arc::new(Mutex::new(None));
    let (asked, told, hands) = (Arc::downgrade(&journal), Arc::clone(&seen), Arc::clone(&clock));
    disk.on_call(move |call| {
        if call.kind == CallKind::Sync {
            hands.advance(30 * SECOND);
            *told.lock().unwrap() = asked.upgrade().and_then(|journal| journal.degraded_since());
        }
    });
    let began = headwater_journal::seams::Clock::now(&*clock);
    assert!(stepper.upkeep(), "the next segment is wanted");
    disk.on_call(|_| {});
    assert_eq!(*seen.lock().unwrap(), Some(began));
    assert_eq!(journal.degraded_since(), None);
}
