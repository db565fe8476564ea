//! Consumers over the model engine, under virtual time: order, failures, restarts and deaths, from seeds.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod decisions;
mod errands;
mod later;
mod sealed;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};
use journal::{BoxFuture, EntityKey, Recorded};

use bytes::Bytes;
use journal::{Capability, CommandId, CommandRecord, Commit, ContentType, Context, EventData, EventFlags};

use super::*;
use crate::NodeSetup;
use crate::personal::veil::veiled;
use crate::personal::{Form, Subjects};
use crate::seams::sim::SimTasks;
use crate::testing::refusing::{Refusing, Trouble};

mod look;
mod nodes;

type Verdict = BoxFuture<'static, Result<(), Failure>>;
type Script = Box<dyn Fn(&Arc<Recorded>, usize) -> Verdict + Send + Sync>;

/// What stays when a process ends.
struct World {
    clock: Arc<SimClock>,
    journal: Arc<ModelJournal>,
    /// The journal's, as processes reach them.
    registers: Arc<Refusing>,
    /// What operators were told.
    told: Arc<Mutex<Vec<String>>>,
}

/// Runs that have begun, as `(key, sequence)`, in order.
type Log = Arc<Mutex<Vec<(String, u64)>>>;

struct Scripted {
    log: Log,
    script: Script,
}

impl Handler for Scripted {
    fn run(&self, delivery: Delivery) -> Verdict {
        let event = match delivery.open() {
            Ok(event) => event,
            Err(failure) => return Box::pin(std::future::ready(Err(failure))),
        };
        let run = (event.entity.id().to_owned(), event.sequence);
        let mut log = self.log.lock().unwrap();
        let before = log.iter().filter(|other| **other == run).count();
        log.push(run);
        drop(log);
        (self.script)(&event, before)
    }
}

/// One process.
struct Process {
    tasks: Arc<SimTasks>,
    room: Arc<DeliveryRoom>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(SimClock::new());
        let journal = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7)));
        Self::over(clock, journal)
    }

    fn over(clock: Arc<SimClock>, journal: ModelJournal) -> Self {
        let journal = Arc::new(journal);
        let registers = Arc::new(Refusing::new(Arc::clone(&journal) as Arc<dyn Registers>));
        Self { clock, journal, registers, told: Arc::default() }
    }

    fn append(&self, tasks: &SimTasks, key: &str) {
        self.append_to(tasks, "thing", key);
    }

    fn append_to(&self, tasks: &SimTasks, kind: &str, key: &str) {
        self.append_over(tasks, &*self.journal, (kind, key), "{}");
    }

    fn append_over(&self, tasks: &SimTasks, journal: &dyn Journal, (kind, key): (&str, &str), payload: &str) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let event = EventData {
            name: "happened".into(),
            version: 1,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: Vec::new(),
            payload,
        };
        let mut id = [0; 16];
        let count = tasks.block_on(self.journal.head()).unwrap().position();
        id[..8].copy_from_slice(&count.to_be_bytes());
        let command = CommandRecord {
            entity: EntityKey::new(kind, key).unwrap(),
            id: CommandId(id),
            name: "do".into(),
            fingerprint: None,
            context: Context::default(),
            reply: Bytes::new(),
            events: vec![event],
        };
        tasks.block_on(journal.append(Commit { commands: vec![command], ..Commit::default() })).unwrap();
    }

    fn process(&self, seed: u64, log: &Log, script: Script) -> Process {
        self.process_with(seed, log, script, 3)
    }

    fn process_with(&self, seed: u64, log: &Log, script: Script, attempts_max: u32) -> Process {
        self.process_of(seed, Arc::new(Scripted { log: Arc::clone(log), script }), attempts_max)
    }

    fn process_of(&self, seed: u64, handler: Arc<dyn Handler>, attempts_max: u32) -> Process {
        self.process_over(seed, Arc::clone(&self.journal) as Arc<dyn Journal>, handler, attempts_max)
    }

    fn process_over(&self, seed: u64, journal: Arc<dyn Journal>, handler: Arc<dyn Handler>, attempts_max: u32) -> Process {
        self.process_sealing(seed, (journal, None), handler, attempts_max)
    }

    /// One whose events may be sealed.
    fn process_sealing(
        &self,
        seed: u64,
        (journal, subjects): (Arc<dyn Journal>, Option<Arc<Subjects>>),
        handler: Arc<dyn Handler>,
        attempts_max: u32,
    ) -> Process {
        let tasks = Arc::new(SimTasks::new(Arc::clone(&self.clock), seed));
        let told = Arc::clone(&self.told);
        let (clock, random) = (Arc::clone(&self.clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(seed)) as Arc<dyn Random>);
        let (spawns, says) = (Arc::clone(&tasks) as Arc<dyn Tasks>, Arc::new(|_: &str| {}) as Notices);
        let (registers, is_shared) = (Arc::clone(&self.registers) as Arc<dyn Registers>, journal.capabilities().has(Capability::ManyNodes));
        let setup = NodeSetup { name: Some(format!("node-{seed}")), ..NodeSetup::default() };
        let nodes = Arc::new(Nodes::new(setup, is_shared, &registers, (&clock, &random), (&spawns, &says)));
        tasks.block_on(nodes.begin()).unwrap();
        let room = DeliveryRoom::new(Seams {
            runs: Runs::new(&journal, subjects.as_ref()),
            journal: veiled(&journal, subjects.as_ref(), Form::Plain),
            registers: Arc::clone(&self.registers) as Arc<dyn Registers>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SimRandom::new(seed)),
            tasks: Arc::clone(&tasks) as Arc<dyn Tasks>,
            notices: Arc::new(move |words| told.lock().unwrap().push(words.to_owned())),
            stall_after: Duration::from_secs(60),
            nodes,
        });
        tasks.block_on(room.lose_foreign_places()).unwrap();
        room.begin(Consumer {
            name: "watcher".into(),
            selection: Selection::Types(vec!["thing".into()]),
            start: Start::First,
            retry: RetryPolicy { attempts_max, backoff_min: Duration::from_secs(1), backoff_max: Duration::from_secs(60) },
            run_timeout: Duration::from_secs(30),
            runs_max: 4,
            handler,
        });
        Process { tasks, room: Arc::new(room) }
    }
}

impl Process {
    fn seconds(&self, seconds: u64) {
        self.tasks.advance(Duration::from_secs(seconds));
    }

    fn status(&self) -> ConsumerStatus {
        self.room.statuses().remove(0)
    }

    /// Stops in order.
    fn stop(self) {
        self.room.stop();
        self.tasks.run_ready();
        self.seconds(60);
        self.tasks.block_on(self.room.drained());
    }

    /// Ends like a process that is killed.
    fn die(self) {
        self.tasks.abandon();
    }
}

fn ok() -> Verdict {
    Box::pin(std::future::ready(Ok(())))
}

fn retry(cause: &str) -> Verdict {
    Box::pin(std::future::ready(Err(Failure::Retry { cause: cause.into() })))
}

fn always_ok() -> Script {
    Box::new(|_, _| ok())
}

fn runs(log: &Log) -> Vec<(String, u64)> {
    log.lock().unwrap().clone()
}

fn runs_of(log: &Log, key: &str) -> Vec<u64> {
    log.lock().unwrap().iter().filter(|(other, _)| other == key).map(|(_, sequence)| *sequence).collect()
}

#[test]
fn every_event_runs_once_and_in_order() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    for round in 0..50 {
        world.append(&process.tasks, ["a", "b", "c"][round % 3]);
    }
    process.tasks.run_ready();
    assert_eq!(runs(&log).len(), 50);
    for (key, count) in [("a", 17), ("b", 17), ("c", 16)] {
        assert_eq!(runs_of(&log, key), (1..=count).collect::<Vec<_>>());
    }
    process.stop();
    let process = world.process(2, &log, always_ok());
    process.seconds(10);
    assert_eq!(runs(&log).len(), 50, "after an orderly stop nothing runs again");
}

#[test]
fn a_failing_key_waits_and_the_others_flow() {
    let (world, log) = (World::new(), Log::default());
    let fails_twice: Script = Box::new(|event, before| match (event.entity.id(), event.sequence) {
        ("bad", 2) if before < 2 => retry("not yet"),
        _ => ok(),
    });
    let process = world.process(1, &log, fails_twice);
    for _ in 0..4 {
        world.append(&process.tasks, "bad");
        world.append(&process.tasks, "good");
    }
    process.tasks.run_ready();
    assert_eq!((runs_of(&log, "bad"), runs_of(&log, "good")), (vec![1, 2], vec![1, 2, 3, 4]));
    assert_eq!((process.status().held, process.status().parked, process.status().under_way), (1, 0, 0));
    assert_eq!(process.status().cursor, Some(process.tasks.block_on(world.journal.head()).unwrap()), "the cursor goes on past a held key");
    process.seconds(2);
    assert_eq!(runs_of(&log, "bad"), vec![1, 2, 2]);
    world.append(&process.tasks, "bad");
    process.seconds(10);
    assert_eq!(runs_of(&log, "bad"), vec![1, 2, 2, 2, 3, 4, 5], "what waited follows in order");
    assert_eq!(process.status().held, 0);
    world.append(&process.tasks, "bad");
    process.tasks.run_ready();
    assert_eq!(runs_of(&log, "bad").last(), Some(&6));
}

#[test]
fn the_last_attempt_parks_the_key_for_good() {
    let (world, log) = (World::new(), Log::default());
    let never: fn() -> Script = || Box::new(|event, _| if event.entity.id() == "bad" { retry("never") } else { ok() });
    let process = world.process(1, &log, never());
    for key in ["bad", "good", "bad"] {
        world.append(&process.tasks, key);
    }
    process.seconds(600);
    assert_eq!((runs_of(&log, "bad"), runs_of(&log, "good")), (vec![1, 1, 1], vec![1]));
    assert_eq!((process.status().held, process.status().parked), (0, 1));
    process.stop();
    let process = world.process(2, &log, never());
    for key in ["good", "bad"] {
        world.append(&process.tasks, key);
    }
    process.seconds(600);
    assert_eq!((runs_of(&log, "bad").len(), runs_of(&log, "good")), (3, vec![1, 2]), "a parked key stays parked over a restart");
    let held = process.tasks.block_on(HeldRegisters::new(&process.room.seams, "watcher").list()).unwrap();
    let (_, held) = &held[0];
    assert_eq!((held.attempts, held.parked, held.sequence, held.cause()), (3, true, 1, "never"));
    assert_eq!(held.failures.iter().map(|failed| failed.attempt).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn whatever_a_handler_does_is_contained() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(
        1,
        &log,
        Box::new(|event, before| match (event.entity.id(), before) {
            ("panics-early", 0) => panic!("early"),
            ("panics-late", 0) => Box::pin(async { panic!("late") }),
            ("hangs", 0) => Box::pin(std::future::pending()),
            ("gives-up", _) => Box::pin(std::future::ready(Err(Failure::Park { cause: "no use".into() }))),
            _ => ok(),
        }),
    );
    let keys = ["panics-early", "panics-late", "hangs", "gives-up", "good"];
    keys.iter().for_each(|key| world.append(&process.tasks, key));
    process.tasks.run_ready();
    assert_eq!((process.status().parked, process.status().held, process.status().under_way), (1, 2, 3));
    process.seconds(120);
    assert_eq!((process.status().parked, process.status().held, process.status().under_way), (1, 0, 0));
    for (key, expected) in keys.into_iter().zip([2, 2, 2, 1, 1]) {
        assert_eq!(runs_of(&log, key).len(), expected, "{key}");
    }
}

#[test]
fn runs_of_one_key_never_overlap_and_no_more_run_than_may() {
    let (world, log) = (World::new(), Log::default());
    let (now, most) = (Arc::new(Mutex::new(BTreeMap::<String, usize>::new())), Arc::new(AtomicUsize::new(0)));
    let tasks_of: Arc<Mutex<Option<Arc<SimTasks>>>> = Arc::default();
    let script: Script = {
        let (now, most, tasks_of) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&tasks_of));
        Box::new(move |event, _| {
            let (now, most, key) = (Arc::clone(&now), Arc::clone(&most), event.entity.id().to_owned());
            let sleep = tasks_of.lock().unwrap().as_ref().unwrap().sleep(Duration::from_millis(event.position % 7 * 100));
            Box::pin(async move {
                {
                    let mut running = now.lock().unwrap();
                    *running.entry(key.clone()).or_default() += 1;
                    assert_eq!(running[&key], 1, "two runs of {key} overlap");
                    most.fetch_max(running.values().sum(), SeqCst);
                }
                sleep.await;
                *now.lock().unwrap().get_mut(&key).unwrap() -= 1;
                Ok(())
            })
        })
    };
    let process = world.process(3, &log, script);
    *tasks_of.lock().unwrap() = Some(Arc::clone(&process.tasks));
    for round in 0..60 {
        world.append(&process.tasks, &format!("k{}", round % 11));
    }
    process.seconds(600);
    assert_eq!((runs(&log).len(), most.load(SeqCst), process.status().held), (60, 4, 0));
}

#[test]
fn after_kills_at_any_point_each_key_has_seen_all_its_events_in_order() {
    for seed in 0..200 {
        let (world, log, dice) = (World::new(), Log::default(), SimRandom::new(seed));
        let mut appended = BTreeMap::<String, u64>::new();
        for life in 0..6u64 {
            let flaky: Script = {
                let dice = SimRandom::new(seed * 31 + life);
                Box::new(move |_, _| if dice.roll().is_multiple_of(5) { retry("dice") } else { ok() })
            };
            let process = world.process_with(seed * 7 + life, &log, flaky, u32::MAX);
            for _ in 0..dice.roll() % 30 {
                let key = format!("k{}", dice.roll() % 5);
                *appended.entry(key.clone()).or_default() += 1;
                world.append(&process.tasks, &key);
                if dice.roll() % 3 == 0 {
                    process.tasks.advance(Duration::from_millis(dice.roll() % 900));
                }
            }
            if dice.roll() % 4 == 0 { process.stop() } else { process.die() }
        }
        let last = world.process(seed, &log, always_ok());
        last.seconds(600);
        assert_eq!((last.status().held, last.status().parked), (0, 0), "seed {seed}");
        for (key, count) in appended {
            check_order(&runs_of(&log, &key), count, &format!("seed {seed}, {key}"));
        }
    }
}

/// Every event has run, and none before the one in front of it. It may have run again, with those behind it after it.
fn check_order(runs: &[u64], count: u64, what: &str) {
    let mut highest = 0;
    for sequence in runs {
        assert!(*sequence <= highest + 1, "{what}: {sequence} ran before {}: {runs:?}", highest + 1);
        highest = highest.max(*sequence);
    }
    assert_eq!(highest, count, "{what}: {runs:?}");
    assert_eq!(runs.last(), Some(&count).filter(|_| count > 0), "{what}: the last run is of an older event: {runs:?}");
}

#[test]
fn an_event_that_ends_its_process_is_parked_after_three() {
    let (world, log) = (World::new(), Log::default());
    // A run that never ends stands for one that takes the process with it.
    let deadly: fn() -> Script =
        || Box::new(|event, _| if event.entity.id() == "killer" { Box::pin(std::future::pending()) } else { ok() });
    let writer = SimTasks::new(Arc::clone(&world.clock), 0);
    for key in ["a", "b", "killer", "c", "killer", "a"] {
        world.append(&writer, key);
    }
    for life in 1..=3 {
        let process = world.process(life, &log, deadly());
        process.tasks.run_ready();
        assert_eq!(runs_of(&log, "killer").len() as u64, life, "once a life");
        process.die();
    }
    let process = world.process(9, &log, deadly());
    process.tasks.run_ready();
    assert_eq!(runs_of(&log, "killer"), [1, 1, 1], "not a fourth time");
    assert_eq!((process.status().parked, process.status().under_way), (1, 0));
    assert_eq!((runs_of(&log, "c").last(), runs_of(&log, "a").last()), (Some(&1), Some(&2)), "what stands behind it has run");
    process.stop();
    let process = world.process(10, &log, deadly());
    process.seconds(600);
    assert_eq!(runs_of(&log, "killer"), [1, 1, 1]);
}

#[test]
fn an_event_that_has_ended_is_not_blamed_for_processes_that_end_later() {
    let (world, log) = (World::new(), Log::default());
    let writer = SimTasks::new(Arc::clone(&world.clock), 0);
    world.append(&writer, "a");
    // No time passes, so that no cursor is written for its age.
    for life in 1..=6 {
        let process = world.process(life, &log, always_ok());
        process.tasks.run_ready();
        assert_eq!(process.status().parked, 0, "life {life}");
        process.die();
    }
    assert_eq!(runs_of(&log, "a"), [1, 1], "the first process left no word of it, the second did");
}

#[test]
fn a_cursor_that_is_due_while_an_event_runs_alone_is_waited_for_without_turning() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    process.tasks.run_ready();
    world.append(&process.tasks, "a");
    world.append_to(&process.tasks, "other", "x");
    process.tasks.run_ready();
    process.die();
    // Both take longer than the cursor's age; the second one is behind what the last process has begun, with nothing of this consumer's
    // in between.
    let tasks_of: Arc<Mutex<Option<Arc<SimTasks>>>> = Arc::default();
    let slow: Script = {
        let tasks_of = Arc::clone(&tasks_of);
        Box::new(move |_, _| {
            let sleep = tasks_of.lock().unwrap().as_ref().unwrap().sleep(Duration::from_secs(5));
            Box::pin(async move {
                sleep.await;
                Ok(())
            })
        })
    };
    let process = world.process(2, &log, slow);
    *tasks_of.lock().unwrap() = Some(Arc::clone(&process.tasks));
    process.tasks.run_ready();
    world.append(&process.tasks, "b");
    process.seconds(12);
    assert_eq!(runs(&log), [("a".to_owned(), 1), ("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(process.status().under_way, 0);
}

#[test]
fn a_held_key_that_ends_its_process_is_parked_after_three_as_well() {
    let (world, log) = (World::new(), Log::default());
    let deadly: fn() -> Script = || Box::new(|_, before| if before == 0 { retry("first") } else { Box::pin(std::future::pending()) });
    let writer = SimTasks::new(Arc::clone(&world.clock), 0);
    world.append(&writer, "killer");
    for life in 1..=3 {
        let process = world.process_with(life, &log, deadly(), u32::MAX);
        process.seconds(20);
        assert_eq!(runs_of(&log, "killer").len() as u64, life + 1);
        process.die();
    }
    let process = world.process_with(9, &log, deadly(), u32::MAX);
    process.seconds(600);
    assert_eq!((runs_of(&log, "killer").len(), process.status().parked), (4, 1));
}

#[test]
fn a_consumer_whose_register_is_lost_waits_for_an_operator() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    process.stop();
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    let register = tasks.block_on(world.journal.get("consumer/watcher")).unwrap().unwrap();
    tasks.block_on(world.journal.delete("consumer/watcher", register.revision)).unwrap();
    let process = world.process(2, &log, always_ok());
    process.seconds(600);
    assert_eq!((runs_of(&log, "a"), process.status().state), (vec![1], ConsumerState::Unplaced));
}

/// A process whose key `bad` is parked by its first event, with two more behind it.
fn parked(world: &World, log: &Log) -> Process {
    let refuses: Script = Box::new(|event, _| match (event.entity.id(), &event.payload[..]) {
        ("bad" | "worse", b"{}") if event.sequence == 1 => {
            Box::pin(std::future::ready(Err(Failure::Park { cause: format!("no use, {}", event.position) })))
        }
        _ => ok(),
    });
    let process = world.process(1, log, refuses);
    for key in ["bad", "worse", "bad", "good", "bad"] {
        world.append(&process.tasks, key);
    }
    process.tasks.run_ready();
    assert_eq!((process.status().parked, process.status().held), (2, 0));
    process
}

fn why(reason: &str) -> Decision {
    Decision { reason: reason.into(), context: Context::default() }
}

impl Process {
    fn held(&self) -> Vec<HeldKey> {
        self.tasks.block_on(self.room.held("watcher")).unwrap()
    }

    fn redrive(&self, selection: HeldSelection, per_second: Option<u32>) -> Result<usize, OrderError> {
        self.tasks.block_on(self.room.redrive("watcher", selection, per_second))
    }
}

fn thing(id: &str) -> EntityKey {
    EntityKey::new("thing", id).unwrap()
}

fn remembered(world: &World, tasks: &SimTasks) -> Vec<(String, Json)> {
    let selection = Selection::Types(vec!["$consumer".into()]);
    let mut events = world.journal.read(selection, Cursor::BEGINNING, journal::ReadMode::ToHead);
    let mut all = Vec::new();
    while let Some(event) = tasks.block_on(events.next_event()) {
        let event = event.unwrap();
        all.push(((*event.name).to_owned(), serde_json::from_slice(&event.payload).unwrap()));
    }
    all
}

#[test]
fn keys_of_one_cause_run_again_at_a_rate() {
    let (world, log) = (World::new(), Log::default());
    let process = parked(&world, &log);
    let groups: Vec<_> = process.held().iter().map(|held| cause_group(held.cause())).collect();
    assert_eq!(groups, ["no use, #", "no use, #"]);
    let none = HeldSelection { key: None, cause: Some("another".into()) };
    assert_eq!(process.redrive(none, None).unwrap(), 0);
    let both = HeldSelection { key: None, cause: Some(groups[0].clone()) };
    assert_eq!(process.redrive(both, Some(1)).unwrap(), 2);
    process.tasks.run_ready();
    assert_eq!(runs(&log).iter().filter(|(key, _)| key != "good").count(), 3, "one at once");
    process.seconds(1);
    assert_eq!(runs(&log).iter().filter(|(key, _)| key != "good").count(), 4, "the other a second later");
}

#[test]
fn a_discarded_event_lets_its_key_go_on() {
    let (world, log) = (World::new(), Log::default());
    let process = parked(&world, &log);
    let event = process.held()[0].event.clone();
    let stale = process.tasks.block_on(process.room.discard("watcher", thing("bad"), "another".into(), why("")));
    assert!(matches!(&stale, Err(OrderError::OtherEvent { event: now }) if *now == event), "{stale:?}");
    process.tasks.block_on(process.room.discard("watcher", thing("bad"), event.clone(), why("it was a test"))).unwrap();
    process.seconds(1);
    assert_eq!((runs_of(&log, "bad"), process.status().parked), (vec![1, 2, 3], 1));
    let (name, payload) = remembered(&world, &process.tasks).pop().unwrap();
    assert_eq!((name.as_str(), &payload), ("event-discarded", &serde_json::json!({ "event": event, "reason": "it was a test" })));
}

#[test]
fn an_edited_event_runs_with_its_new_payload_and_stays_as_it_was() {
    let (world, log) = (World::new(), Log::default());
    let process = parked(&world, &log);
    let event = process.held()[0].event.clone();
    let payload = serde_json::json!({ "mended": true });
    process.tasks.block_on(process.room.edit("watcher", thing("bad"), event, payload, why("a typing error"))).unwrap();
    process.seconds(1);
    assert_eq!((runs_of(&log, "bad"), process.status().parked), (vec![1, 1, 2, 3], 1));
    let first = Selection::Entity { entity: thing("bad"), from_sequence: 1 };
    let stored =
        process.tasks.block_on(world.journal.read(first, Cursor::BEGINNING, journal::ReadMode::ToHead).next_event()).unwrap().unwrap();
    assert_eq!(&stored.payload[..], b"{}");
}

#[test]
fn a_consumer_goes_back_to_where_a_person_places_it() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    for key in ["a", "b", "a"] {
        world.append(&process.tasks, key);
    }
    process.tasks.run_ready();
    process.tasks.block_on(process.room.place_at("watcher", Cursor::BEGINNING, why("once more"))).unwrap();
    process.tasks.run_ready();
    assert_eq!((runs_of(&log, "a"), runs_of(&log, "b")), (vec![1, 2, 1, 2], vec![1, 1]));
    let beyond = world.journal.lineage().cursor(1_000);
    assert!(process.tasks.block_on(process.room.place_at("watcher", beyond, why("too far"))).is_err());
    process.seconds(60);
    world.append(&process.tasks, "a");
    process.seconds(60);
    assert_eq!(runs_of(&log, "a").last(), Some(&3), "a place that is none changes nothing");
}

#[test]
fn a_lost_place_is_given_again() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    process.stop();
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    let register = tasks.block_on(world.journal.get("consumer/watcher")).unwrap().unwrap();
    tasks.block_on(world.journal.delete("consumer/watcher", register.revision)).unwrap();
    let process = world.process(2, &log, always_ok());
    let beyond = world.journal.lineage().cursor(1_000);
    let refused = process.tasks.block_on(process.room.place_at("watcher", beyond, why("too far")));
    assert!(matches!(refused, Err(OrderError::Place(_))), "{refused:?}");
    process.seconds(600);
    assert_eq!((runs_of(&log, "a"), process.status().state), (vec![1], ConsumerState::Unplaced), "it does not begin by itself");
    let head = process.tasks.block_on(world.journal.head()).unwrap();
    process.tasks.block_on(process.room.place_at("watcher", head, why("restored"))).unwrap();
    world.append(&process.tasks, "a");
    process.seconds(60);
    assert_eq!((runs_of(&log, "a"), process.status().state), (vec![1, 2], ConsumerState::Working));
}

#[test]
fn a_held_key_does_not_overtake_its_consumer() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(
        1,
        &log,
        Box::new(|event, before| match (event.entity.id(), before) {
            ("bad", 0) if event.sequence == 1 => retry("first"),
            ("slow", 0) if event.sequence == 1 => Box::pin(std::future::pending()),
            _ => ok(),
        }),
    );
    world.append(&process.tasks, "bad");
    for _ in 0..crate::limits::WINDOW_EVENTS_MAX {
        world.append(&process.tasks, "slow");
    }
    (0..2).for_each(|_| world.append(&process.tasks, "bad"));
    process.seconds(10);
    assert_eq!(runs_of(&log, "bad"), [1, 1], "the others are behind what the consumer has read");
    process.seconds(600);
    assert_eq!(runs_of(&log, "bad"), [1, 1, 2, 3]);
    assert_eq!(runs_of(&log, "slow").len(), crate::limits::WINDOW_EVENTS_MAX + 1);
}

#[test]
fn a_stop_waits_for_what_runs() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, Box::new(|_, before| if before == 0 { Box::pin(std::future::pending()) } else { ok() }));
    world.append(&process.tasks, "slow");
    process.tasks.run_ready();
    process.room.stop();
    process.tasks.run_ready();
    assert_eq!(process.status().state, ConsumerState::Working, "the run is cut by its own time, and not by the stop");
    process.stop();
    let process = world.process(2, &log, always_ok());
    process.seconds(5);
    assert_eq!(runs_of(&log, "slow"), [1, 1], "it was held, and is tried again");
}

/// What a handler elsewhere was offered, and how it is answered.
type Offered = (String, u64, u32, oneshot::Sender<Result<(), Failure>>);

/// A handler whose runs end when the test says so.
#[derive(Default)]
struct Elsewhere(Mutex<Vec<Offered>>);

impl Handler for Elsewhere {
    fn run(&self, delivery: Delivery) -> Verdict {
        let (answer, answered) = oneshot::channel();
        let Delivery { event, attempt } = delivery;
        let event = event.sealed();
        self.0.lock().unwrap().push((event.entity.id().to_owned(), event.sequence, attempt, answer));
        Box::pin(async move { answered.await.unwrap_or(Err(Failure::Withdrawn)) })
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn let_go(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Elsewhere {
    fn offered(&self) -> Vec<(String, u64, u32)> {
        let mut offered: Vec<_> =
            self.0.lock().unwrap().iter().map(|(key, sequence, attempt, _)| (key.clone(), *sequence, *attempt)).collect();
        offered.sort();
        offered
    }

    fn answer(&self, process: &Process, key: &str, result: Result<(), Failure>) {
        let mut offers = self.0.lock().unwrap();
        let at = offers.iter().position(|(other, ..)| other == key).unwrap();
        let (.., answer) = offers.remove(at);
        drop(offers);
        answer.send(result).unwrap();
        process.tasks.run_ready();
    }
}

fn elsewhere(world: &World, seed: u64) -> (Process, Arc<Elsewhere>) {
    let handler = Arc::new(Elsewhere::default());
    let process = world.process_of(seed, Arc::clone(&handler) as Arc<dyn Handler>, 3);
    process.tasks.run_ready();
    (process, handler)
}

fn offer(key: &str, sequence: u64, attempt: u32) -> (String, u64, u32) {
    (key.to_owned(), sequence, attempt)
}

#[test]
fn what_runs_elsewhere_has_its_own_time_and_ends_no_process() {
    let world = World::new();
    let (process, handler) = elsewhere(&world, 1);
    for key in ["a", "b", "a"] {
        world.append(&process.tasks, key);
    }
    process.seconds(3_600);
    assert_eq!(handler.offered(), [offer("a", 1, 1), offer("b", 1, 1)], "no timeout cuts what nobody has come for");
    process.die();
    for seed in 2..7 {
        let (process, handler) = elsewhere(&world, seed);
        assert_eq!(handler.offered(), [offer("a", 1, 1), offer("b", 1, 1)], "side by side, and as the first attempt");
        assert_eq!((process.status().held, process.status().parked), (0, 0));
        process.die();
    }
    let (process, handler) = elsewhere(&world, 7);
    handler.answer(&process, "a", Ok(()));
    assert_eq!(handler.offered(), [offer("a", 2, 1), offer("b", 1, 1)]);
}

#[test]
fn an_attempt_elsewhere_counts_when_it_has_failed() {
    let world = World::new();
    let (process, handler) = elsewhere(&world, 1);
    (0..2).for_each(|_| world.append(&process.tasks, "a"));
    process.tasks.run_ready();
    handler.answer(&process, "a", Err(Failure::RetryAfter { cause: "not now".into(), wait: Duration::from_secs(500) }));
    process.seconds(499);
    assert_eq!(handler.offered(), []);
    process.seconds(2);
    assert_eq!(handler.offered(), [offer("a", 1, 2)], "it waits as long as it was told");
    process.die();
    for seed in 2..7 {
        let (process, handler) = elsewhere(&world, seed);
        process.seconds(1);
        assert_eq!((handler.offered(), process.held()[0].attempts), (vec![offer("a", 1, 2)], 1), "an offer is no attempt");
        process.die();
    }
    let (process, handler) = elsewhere(&world, 7);
    process.seconds(1);
    for attempt in 2..=3 {
        assert_eq!(handler.offered(), [offer("a", 1, attempt)]);
        handler.answer(&process, "a", Err(Failure::RetryAfter { cause: "never".into(), wait: Duration::ZERO }));
        process.seconds(1);
    }
    assert_eq!((handler.offered(), process.status().parked), (vec![], 1), "the last attempt parks the key");
}

#[test]
fn a_stop_takes_back_what_is_elsewhere() {
    let world = World::new();
    let (process, handler) = elsewhere(&world, 1);
    for key in ["a", "b"] {
        world.append(&process.tasks, key);
    }
    process.tasks.run_ready();
    handler.answer(&process, "b", Err(Failure::RetryAfter { cause: "again".into(), wait: Duration::ZERO }));
    process.seconds(1);
    assert_eq!(handler.offered(), [offer("a", 1, 1), offer("b", 1, 2)]);
    process.room.stop();
    process.tasks.run_ready();
    process.tasks.block_on(process.room.drained());
    assert_eq!(process.status().state, ConsumerState::Stopped, "nobody is waited for");
    process.die();
    let (process, handler) = elsewhere(&world, 2);
    process.seconds(1);
    assert_eq!(handler.offered(), [offer("a", 1, 1), offer("b", 1, 2)]);
    // To go on elsewhere waits for nobody either.
    process.tasks.block_on(process.room.place_at("watcher", Cursor::BEGINNING, why("once more"))).unwrap();
    process.seconds(1);
    assert_eq!(handler.offered(), [offer("a", 1, 1), offer("b", 1, 2)]);
}
