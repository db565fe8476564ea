//! Sight of delivery: how old the oldest undelivered event is, and who has stalled. Time is virtual.

use journal::{
    AppendError, Capabilities, Committed, EntityType, EventSource, Events, FoundCommand, Head, Keys, Lineage, Read, ReadError, ReadMode,
};
use tokio::sync::Semaphore;

use super::*;

const HOUR: u64 = 3_600;

impl World {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl Process {
    fn stall(&self) -> Option<String> {
        self.status().stalled.map(|stall| stall.cause)
    }
}

/// Runs wait for permits; the test gives them.
fn gated(gate: &Arc<Semaphore>) -> Script {
    let gate = Arc::clone(gate);
    Box::new(move |_, _| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.acquire().await.expect("it is never closed").forget();
            Ok(())
        })
    })
}

#[test]
fn the_oldest_undelivered_event_is_the_first_that_has_not_ended() {
    let (world, log, gate) = (World::new(), Log::default(), Arc::new(Semaphore::new(0)));
    let process = world.process(1, &log, gated(&gate));
    assert_eq!(process.status().oldest_undelivered_at, None);
    let first = world.now();
    world.append(&process.tasks, "a");
    process.seconds(5);
    let second = world.now();
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    assert_eq!(process.status().oldest_undelivered_at, Some(first));
    gate.add_permits(1);
    process.tasks.run_ready();
    assert_eq!(process.status().oldest_undelivered_at, Some(second));
    gate.add_permits(1);
    process.tasks.run_ready();
    let head = process.tasks.block_on(world.journal.head()).unwrap();
    assert_eq!((process.status().oldest_undelivered_at, process.status().behind(head)), (None, Some(0)));
}

#[test]
fn what_waits_behind_a_held_key_is_shown_apart_and_is_no_stall() {
    let (world, log) = (World::new(), Log::default());
    let parks: Script = Box::new(|_, _| Box::pin(std::future::ready(Err(Failure::Park { cause: "no".into() }))));
    let process = world.process(1, &log, parks);
    let first = world.now();
    world.append(&process.tasks, "a");
    process.seconds(5);
    for key in ["b", "a"] {
        world.append(&process.tasks, key);
    }
    process.seconds(HOUR);
    let status = process.status();
    assert_eq!((status.parked, status.oldest_undelivered_at, status.oldest_held_at), (2, None, Some(first)));
    assert_eq!((status.stalled, world.told()), (None, Vec::new()));
}

#[test]
fn the_oldest_held_event_is_forgotten_with_its_key() {
    let (world, log) = (World::new(), Log::default());
    let fails_once: Script = Box::new(|_, before| if before == 0 { retry("not yet") } else { ok() });
    let process = world.process(1, &log, fails_once);
    for _ in 0..3 {
        world.append(&process.tasks, "a");
    }
    process.tasks.run_ready();
    assert!(process.status().oldest_held_at.is_some());
    process.seconds(60);
    assert_eq!((process.status().held, process.status().oldest_held_at), (0, None));
}

#[test]
fn who_is_behind_and_moves_has_not_stalled() {
    let (world, log, gate) = (World::new(), Log::default(), Arc::new(Semaphore::new(0)));
    let process = world.process(1, &log, gated(&gate));
    for _ in 0..400 {
        world.append(&process.tasks, "a");
    }
    for _ in 0..300 {
        process.seconds(25);
        gate.add_permits(1);
    }
    assert!(process.status().under_way > 90);
    assert_eq!((process.status().stalled, world.told()), (None, Vec::new()));
}

#[test]
fn a_run_that_may_take_for_ever_never_stalls() {
    let world = World::new();
    let seams = world.process(1, &Log::default(), always_ok());
    let status = Arc::new(StatusCell::new("watcher"));
    let watched =
        Watched { name: "watcher".into(), selection: Selection::All, share: Share::WHOLE, run_time: Duration::MAX, is_elsewhere: false };
    let (stop, stopped) = watch::channel(false);
    seams.tasks.spawn(Box::pin(watch_progress((watched, Arc::clone(seams.room.seams()), Arc::clone(&status)), stopped)));
    seams.seconds(HOUR);
    assert_eq!(status.get().stalled, None);
    drop(stop);
}

#[test]
fn who_has_nothing_to_do_has_not_stalled() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    world.append(&process.tasks, "a");
    process.seconds(HOUR);
    for _ in 0..3 {
        world.append_to(&process.tasks, "other", "x");
    }
    process.seconds(HOUR);
    assert_eq!((process.stall(), world.told()), (None, Vec::new()));
}

#[test]
fn a_consumer_whose_clients_do_not_come_has_stalled_until_they_do() {
    let world = World::new();
    let (process, handler) = elsewhere(&world, 1);
    process.seconds(HOUR);
    let began = world.now();
    world.append(&process.tasks, "a");
    // The look of one that is idle comes within a minute.
    process.seconds(60 + 60 + 25);
    assert_eq!(process.stall(), None, "a run has its time on top of the bound");
    process.seconds(15);
    let stall = process.status().stalled.expect("nobody came");
    assert!(stall.since >= began, "an hour without work is none of the stall");
    let expected = "1 events wait for its clients, and none was acknowledged; the oldest is thing/happened of `a` (event ";
    assert!(stall.cause.starts_with(expected), "{}", stall.cause);
    process.seconds(HOUR);
    handler.answer(&process, "a", Ok(()));
    process.seconds(60);
    assert_eq!(process.stall(), None);
    let told = world.told();
    assert_eq!((told.len(), &told[0][..28], &told[1][..]), (2, "consumer watcher has stalled", "consumer watcher goes on"));
}

#[test]
fn what_goes_the_same_way_again_and_again_has_stalled() {
    let (world, log) = (World::new(), Log::default());
    let journal = Arc::new(Odd { model: Arc::clone(&world.journal), fault: Fault::FailsBehind(2) });
    let process = world.process_over(1, journal, Arc::new(Scripted { log: Arc::clone(&log), script: always_ok() }), 3);
    for _ in 0..4 {
        world.append(&process.tasks, "a");
    }
    process.seconds(300);
    assert_eq!(runs_of(&log, "a"), vec![1, 2]);
    assert_eq!(process.stall().as_deref(), Some("the journal is not available (the disk has gone); try again"));
}

#[test]
fn a_reader_that_is_given_nothing_although_there_is_something_has_stalled() {
    let (world, log) = (World::new(), Log::default());
    let journal = Arc::new(Odd { model: Arc::clone(&world.journal), fault: Fault::Silent });
    let process = world.process_over(1, journal, Arc::new(Scripted { log: Arc::clone(&log), script: always_ok() }), 3);
    let recorded = world.now();
    world.append(&process.tasks, "a");
    process.seconds(300);
    assert_eq!((process.status().state, process.status().oldest_undelivered_at), (ConsumerState::Working, Some(recorded)));
    assert_eq!(process.stall().as_deref(), Some("the journal gives it nothing, though there is something for it"));
}

#[test]
fn what_waits_behind_a_held_key_is_nothing_that_the_journal_owes() {
    let (world, log) = (World::new(), Log::default());
    let parks: Script = Box::new(|_, _| Box::pin(std::future::ready(Err(Failure::Park { cause: "no".into() }))));
    let process = world.process(1, &log, parks);
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    process.stop();
    let journal = Arc::new(Odd { model: Arc::clone(&world.journal), fault: Fault::Silent });
    let process = world.process_over(2, journal, Arc::new(Scripted { log: Arc::clone(&log), script: always_ok() }), 3);
    world.append(&process.tasks, "a");
    process.seconds(HOUR);
    assert_eq!((process.stall(), process.status().oldest_undelivered_at), (None, None));
    let recorded = world.now();
    world.append(&process.tasks, "b");
    process.seconds(300);
    assert!(process.stall().is_some());
    assert_eq!(process.status().oldest_undelivered_at, Some(recorded));
}

#[test]
fn a_lost_place_is_a_stall_at_once_and_ends_with_another_place() {
    let (world, log) = (World::new(), Log::default());
    let process = world.process(1, &log, always_ok());
    world.append(&process.tasks, "a");
    process.tasks.run_ready();
    process.stop();
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    let register = tasks.block_on(world.journal.get("consumer/watcher")).unwrap().unwrap();
    tasks.block_on(world.journal.delete("consumer/watcher", register.revision)).unwrap();
    let process = world.process(2, &log, always_ok());
    process.tasks.run_ready();
    assert_eq!(process.stall().as_deref(), Some("its place is lost; give it one with `consumer place watcher AT`"));
    process.tasks.block_on(process.room.place_at("watcher", Cursor::BEGINNING, why("it is known to be safe"))).unwrap();
    process.seconds(60);
    assert_eq!((process.stall(), runs_of(&log, "a")), (None, vec![1, 1]));
    assert_eq!(world.told().last().map(String::as_str), Some("consumer watcher goes on"));
}

#[test]
fn a_place_beyond_the_head_is_refused_and_not_waited_for() {
    let (world, log) = (World::new(), Log::default());
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    world.append(&tasks, "a");
    let newer = world.journal.lineage().cursor(4);
    let registers = Arc::clone(&world.journal) as Arc<dyn Registers>;
    tasks.block_on(lease::create(&registers, "watcher", Share::all(1), newer)).unwrap();
    let process = world.process(1, &log, always_ok());
    for _ in 0..9 {
        world.append(&process.tasks, "a");
    }
    process.seconds(HOUR);
    assert_eq!((runs(&log), process.status().state), (Vec::new(), ConsumerState::Unplaced), "nothing is skipped over");
    let told = world.told();
    let (of, remedy) = (
        "consumer watcher: its place ",
        " is none of this journal and is taken away; give it another one with `consumer place watcher AT`",
    );
    assert!(told[0].starts_with(of) && told[0].ends_with(remedy), "{told:?}");
    process.tasks.block_on(process.room.place_at("watcher", Cursor::BEGINNING, why("from the first"))).unwrap();
    process.seconds(1);
    assert_eq!(runs_of(&log, "a"), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_held_key_beyond_the_head_loses_the_place_and_no_event_is_skipped() {
    let (world, log) = (World::new(), Log::default());
    let refuses: Script = Box::new(|event, _| if event.sequence == 7 { retry("not yet") } else { ok() });
    let newer = World::new();
    let process = newer.process(1, &log, refuses);
    (0..7).for_each(|_| newer.append(&process.tasks, "x"));
    process.seconds(1);
    assert_eq!((process.held()[0].sequence, process.status().held), (7, 1));
    let held = process.tasks.block_on(newer.journal.list("held/")).unwrap().remove(0);
    process.stop();
    // The journal is one of before, and so is the place; the held key is of now.
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    (0..5).for_each(|_| world.append(&tasks, "x"));
    let registers = Arc::clone(&world.journal) as Arc<dyn Registers>;
    tasks.block_on(lease::create(&registers, "watcher", Share::all(1), world.journal.lineage().cursor(5))).unwrap();
    let (_, mut record) = held::read(&held).unwrap();
    record.cursor = world.journal.lineage().cursor(7).to_string();
    tasks.block_on(HeldRegisters::over(&registers, None, "watcher").put(&thing("x"), None, &record)).unwrap();
    log.lock().unwrap().clear();
    let process = world.process(2, &log, always_ok());
    (0..3).for_each(|_| world.append(&process.tasks, "x"));
    process.seconds(HOUR);
    assert_eq!((runs(&log), process.status().state), (Vec::new(), ConsumerState::Unplaced), "nothing is skipped over");
    process.tasks.block_on(process.room.place_at("watcher", world.journal.lineage().cursor(5), why("restored"))).unwrap();
    process.seconds(60);
    assert_eq!((runs_of(&log, "x"), process.held()), (vec![6, 7, 8], Vec::new()));
}

#[test]
fn all_places_beyond_the_head_are_lost_though_each_loss_is_recorded() {
    let (world, log) = (World::new(), Log::default());
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    world.append(&tasks, "a");
    let registers = Arc::clone(&world.journal) as Arc<dyn Registers>;
    for (consumer, beyond) in [("another", 9), ("watcher", 2)] {
        tasks.block_on(lease::create(&registers, consumer, Share::all(1), world.journal.lineage().cursor(beyond))).unwrap();
    }
    let process = world.process(1, &log, always_ok());
    process.seconds(1);
    let lost = world.told().into_iter().filter(|told| told.contains("is none of this journal")).count();
    assert_eq!((process.status().state, lost), (ConsumerState::Unplaced, 2));
}

#[test]
fn a_register_that_cannot_be_read_stops_its_own_consumer_only() {
    let (world, log) = (World::new(), Log::default());
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    for name in ["consumer/another", "held/another/00"] {
        tasks.block_on(world.journal.put(name, journal::RegisterExpect::Absent, Bytes::from_static(b"of a later version"))).unwrap();
    }
    let process = world.process(1, &log, always_ok());
    world.append(&process.tasks, "a");
    process.seconds(1);
    assert_eq!(runs_of(&log, "a"), [1]);
    process.stop();
    let lease = tasks.block_on(world.journal.get("consumer/watcher")).unwrap().unwrap();
    let broken = Bytes::from_static(b"of a later version");
    tasks.block_on(world.journal.put("consumer/watcher", journal::RegisterExpect::Revision(lease.revision), broken)).unwrap();
    let process = world.process(2, &log, always_ok());
    process.seconds(1);
    assert!(matches!(process.status().state, ConsumerState::Waiting { cause } if cause.contains("not readable by this version")));
}

#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// Live reads never give anything.
    Silent,
    /// Live reads fail behind so many events of the beginning.
    FailsBehind(u64),
}

/// The model, with an odd reader.
pub(super) struct Odd {
    pub(super) model: Arc<ModelJournal>,
    pub(super) fault: Fault,
}

struct OddEvents(Events, Fault);

impl EventSource for OddEvents {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async move {
            let Fault::FailsBehind(last) = self.1 else { return std::future::pending().await };
            match self.0.next().await? {
                Ok(Read::Event(event)) if event.sequence > last => Some(Err(ReadError::Unavailable { cause: "the disk has gone".into() })),
                read => Some(read),
            }
        })
    }
}

impl Journal for Odd {
    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        let events = self.model.read(selection, from, mode);
        if mode == ReadMode::Live { Events::new(OddEvents(events, self.fault)) } else { events }
    }

    fn lineage(&self) -> &Lineage {
        self.model.lineage()
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        self.model.append(commit)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        self.model.entity_head(entity)
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.model.head()
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        self.model.entities(kind, after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.model.cursor_at(time)
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        self.model.find_command(entity, id)
    }

    fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    fn poisoned(&self) -> Option<String> {
        self.model.poisoned()
    }
}
