//! Consumers of a journal that has moved back from an engine of many nodes to one of one process.

use journal::{Position, RegisterExpect};

use super::super::look::{Fault, Odd};
use super::*;
use crate::delivery::lease::Place;
use crate::delivery::shares::{join, split};

impl World {
    /// The same journal on an engine of one process.
    fn moved_back(&self) -> Self {
        Self::over(Arc::clone(&self.clock), self.journal.moved())
    }

    fn registers(&self) -> Arc<dyn Registers> {
        Arc::clone(&self.journal) as Arc<dyn Registers>
    }

    /// What the registers of places are called, and say.
    fn places(&self, tasks: &SimTasks) -> BTreeMap<String, Place> {
        let registers = tasks.block_on(self.journal.list("consumer/")).unwrap();
        registers.iter().map(|register| (register.name.clone(), lease::decode(register).unwrap().place)).collect()
    }

    fn put(&self, tasks: &SimTasks, name: &str, position: Position) {
        let value = lease::encode(7, Some("somebody"), &Place::at(self.journal.lineage().cursor(position)));
        tasks.block_on(self.journal.put(name, RegisterExpect::Absent, value)).unwrap();
    }
}

fn name_of(share: u16) -> String {
    format!("consumer/watcher/{share:02}")
}

/// A run of `slow` does not end, one of a key `bad-` fails and is due again, all others succeed.
fn slow_and_bad() -> Script {
    Box::new(|event, _| match event.entity.id() {
        "slow" => Box::pin(std::future::pending()),
        id if id.starts_with("bad-") => retry("not yet"),
        _ => ok(),
    })
}

/// How often each event has begun.
fn counts(log: &Log) -> BTreeMap<(String, u64), usize> {
    log.lock().unwrap().iter().fold(BTreeMap::new(), |mut counts, run| {
        *counts.entry(run.clone()).or_default() += 1;
        counts
    })
}

/// A consumer whose shares are at many places, of 20 keys that succeed, 5 that fail and 1 that does not end, with two events each; its process
/// is killed.
fn in_the_middle(world: &World) -> Log {
    let log = Log::default();
    let process = world.process_with(1, &log, slow_and_bad(), 100);
    process.seconds(2);
    for _ in 0..2 {
        world.append(&process.tasks, "slow");
        append_all(world, &process.tasks, 20);
        (0..5).for_each(|key| world.append(&process.tasks, &format!("bad-{key}")));
    }
    process.seconds(10);
    process.die();
    log
}

#[test]
fn shares_that_are_joined_go_on_where_each_was() {
    let before = shared_world();
    let log = in_the_middle(&before);
    let (good, world) = (counts(&log), before.moved_back());
    assert_eq!(good.iter().filter(|((key, _), times)| key.starts_with("key-") && **times == 1).count(), 40 - still_behind_slow());
    let process = world.process_with(2, &log, always_ok(), 100);
    append_all(&world, &process.tasks, 20);
    process.seconds(600);
    let status = process.status();
    assert_eq!((status.state, status.held, status.parked), (ConsumerState::Working, 0, 0));
    let counts = counts(&log);
    let keys = counts.iter().filter(|((key, _), _)| key.starts_with("key-"));
    assert_eq!(keys.map(|(_, times)| *times).collect::<Vec<_>>(), vec![1; 60], "each ran once: {counts:?}");
    for key in (0..5).map(|key| format!("bad-{key}")) {
        let runs: Vec<u64> = log.lock().unwrap().iter().filter(|run| run.0 == key).map(|run| run.1).collect();
        assert_eq!((runs.iter().rev().take(2).copied().collect::<Vec<_>>(), runs.iter().filter(|run| **run == 2).count()), (vec![2, 1], 1));
    }
    assert_eq!((counts[&("slow".to_owned(), 1)], counts[&("slow".to_owned(), 2)]), (2, 1), "what had not ended has run again");
    process.stop();
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    let head = tasks.block_on(world.journal.head()).unwrap();
    assert_eq!(world.places(&tasks), BTreeMap::from([("consumer/watcher".to_owned(), Place::at(head))]));
}

#[test]
fn a_held_key_is_drained_as_far_as_its_share_had_read_whatever_has_been_read_since() {
    let before = shared_world();
    let log = in_the_middle(&before);
    let (world, ran) = (before.moved_back(), log.lock().unwrap().len());
    // Retries are due by now, and the journal gives the consumer itself nothing.
    SimTasks::new(Arc::clone(&world.clock), 0).advance(Duration::from_secs(120));
    let silent = Odd { model: Arc::clone(&world.journal), fault: Fault::Silent };
    let process = world.process_over(2, Arc::new(silent), Arc::new(Scripted { log: Arc::clone(&log), script: always_ok() }), 100);
    process.seconds(60);
    let mut runs = log.lock().unwrap()[ran..].to_vec();
    runs.sort();
    let all = (0..5).flat_map(|key| [1, 2].map(|sequence| (format!("bad-{key}"), sequence)));
    assert_eq!((runs, process.status().held), (all.collect::<Vec<_>>(), 0));
}

/// Events of the keys that are in the share of `slow`, and waited for it.
fn still_behind_slow() -> usize {
    let share = |key: &str| EntityKey::new("thing", key).unwrap().slice() / 64;
    (0..20).filter(|key| share(&format!("key-{key}")) == share("slow")).count() * 2
}

#[test]
fn a_place_that_was_joined_and_has_not_caught_up_keeps_what_its_shares_have_done() {
    let (before, tasks) = (shared_world(), SimTasks::new(Arc::new(SimClock::new()), 0));
    append_all(&before, &tasks, 30);
    let reached = |share: u16| if share == 5 { 4 } else { 10 + Position::from(share) };
    (0..16).for_each(|share| before.put(&tasks, &name_of(share), reached(share)));
    let world = before.moved_back();
    tasks.block_on(join(&world.registers(), "watcher", &*world.journal)).unwrap();
    let places = world.places(&tasks);
    let (joined, lineage) = (&places["consumer/watcher"], world.journal.lineage());
    assert_eq!((places.len(), joined.cursor, joined.ahead.len()), (1, lineage.cursor(4), 15));
    tasks.block_on(split(&world.registers(), "watcher", 16)).unwrap();
    let places = world.places(&tasks);
    assert_eq!(places.len(), 16);
    for share in 0..16 {
        let place = &places[&name_of(share)];
        assert_eq!((place.cursor.position(), place.ahead.len()), (reached(share), 0), "share {share}");
    }
}

#[test]
fn a_process_that_ends_while_it_joins_is_followed_by_one_that_does_the_rest() {
    let (world, tasks) = (shared_world().moved_back(), SimTasks::new(Arc::new(SimClock::new()), 0));
    append_all(&world, &tasks, 30);
    // The whole one was made, and has gone on; some of the others are still there. Those of another consumer are no concern of this one.
    world.put(&tasks, "consumer/watcher", 20);
    (3..16).for_each(|share| world.put(&tasks, &name_of(share), 10));
    world.put(&tasks, "consumer/watchers/03", 10);
    tasks.block_on(join(&world.registers(), "watcher", &*world.journal)).unwrap();
    let places = world.places(&tasks);
    assert_eq!(places.keys().collect::<Vec<_>>(), ["consumer/watcher", "consumer/watchers/03"]);
    assert_eq!(places["consumer/watcher"].cursor.position(), 20);
}

#[test]
fn a_consumer_of_which_a_share_has_lost_its_place_waits_for_a_person() {
    let (before, log) = (shared_world(), Log::default());
    let process = before.process(1, &log, always_ok());
    process.seconds(5);
    append_all(&before, &process.tasks, 20);
    process.seconds(5);
    process.stop();
    let (world, tasks) = (before.moved_back(), SimTasks::new(Arc::clone(&before.clock), 0));
    let lost = tasks.block_on(world.journal.get(&name_of(9))).unwrap().unwrap();
    tasks.block_on(world.journal.delete(&lost.name, lost.revision)).unwrap();
    let process = world.process(2, &log, always_ok());
    process.seconds(5);
    assert_eq!((process.status().state, log.lock().unwrap().len()), (ConsumerState::Unplaced, 20));
    let room = Arc::clone(&process.room);
    let why = Decision::default();
    process.tasks.spawn(Box::pin(async move {
        room.place_at("watcher", Cursor::BEGINNING, why).await.unwrap();
    }));
    process.seconds(60);
    assert_eq!((process.status().state, log.lock().unwrap().len()), (ConsumerState::Working, 40), "from where that person says");
    assert_eq!(world.places(&process.tasks).keys().collect::<Vec<_>>(), ["consumer/watcher"]);
}

#[test]
fn what_a_share_has_done_in_another_journal_is_a_foreign_place() {
    let (world, tasks, log) = (shared_world().moved_back(), SimTasks::new(Arc::new(SimClock::new()), 0), Log::default());
    append_all(&world, &tasks, 5);
    let cursor = |position| world.journal.lineage().cursor(position);
    let place = Place { ahead: BTreeMap::from([(3, cursor(6))]), ..Place::at(cursor(2)) };
    tasks.block_on(world.journal.put("consumer/watcher", RegisterExpect::Absent, lease::encode(1, None, &place))).unwrap();
    let process = world.process(1, &log, always_ok());
    process.seconds(5);
    assert_eq!((process.status().state, log.lock().unwrap().len()), (ConsumerState::Unplaced, 0));
}
