//! Consumers of a service with several nodes over the model engine: who runs what, and what becomes of it when nodes come and go. Each node
//! has an executor of its own: one that is not moved on stands still like a process that is stopped.

mod joined;

use std::collections::BTreeSet;

use journal::{Fence, RegisterExpect};

use super::lease::Place;
use super::*;
use crate::limits::NODE_TIME;
use crate::node::parts;

/// Which node has run which event.
type Runs = Arc<Mutex<Vec<(u64, String, u64)>>>;

struct Noted {
    node: u64,
    runs: Runs,
    /// Whether runs fail for now.
    fails: Arc<AtomicUsize>,
    /// How long a run takes.
    tasks: Arc<Mutex<Option<Arc<SimTasks>>>>,
    time: Duration,
}

impl Handler for Noted {
    fn run(&self, delivery: Delivery) -> Verdict {
        let event = delivery.open().unwrap();
        self.runs.lock().unwrap().push((self.node, event.entity.id().to_owned(), event.sequence));
        let tasks = self.tasks.lock().unwrap().clone();
        let (time, fails) = (self.time, self.fails.load(SeqCst) > 0);
        Box::pin(async move {
            match tasks {
                Some(tasks) if !time.is_zero() => tasks.sleep(time).await,
                _ => {}
            }
            if fails { Err(Failure::Park { cause: "as planned".to_owned() }) } else { Ok(()) }
        })
    }
}

/// A world whose engine several nodes share.
fn shared_world() -> World {
    let clock = Arc::new(SimClock::new());
    let journal = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))).of_many_nodes();
    World::over(clock, journal)
}

fn node(world: &World, seed: u64, runs: &Runs, time: Duration) -> Process {
    node_that_may_fail(world, seed, (runs, &Arc::default()), time)
}

fn node_that_may_fail(world: &World, seed: u64, (runs, fails): (&Runs, &Arc<AtomicUsize>), time: Duration) -> Process {
    let tasks = Arc::new(Mutex::new(None));
    let handler = Noted { node: seed, runs: Arc::clone(runs), fails: Arc::clone(fails), tasks: Arc::clone(&tasks), time };
    let process = world.process_of(seed, Arc::new(handler), 3);
    *tasks.lock().unwrap() = Some(Arc::clone(&process.tasks));
    let room = Arc::downgrade(&process.room);
    process.room.attend(Arc::new(move |duty, share, what| {
        let room = room.upgrade();
        Box::pin(async move { room?.carry_out(&duty, share, what).await })
    }));
    process
}

/// Time passes on all of these.
fn pass(nodes: &[&Process], time: Duration) {
    let step = Duration::from_millis(50);
    for _ in 0..time.as_millis() / step.as_millis() {
        nodes.iter().for_each(|node| node.tasks.advance(step));
    }
}

fn append_all(world: &World, tasks: &SimTasks, keys: usize) {
    (0..keys).for_each(|key| world.append(tasks, &format!("key-{key}")));
}

fn run_by(runs: &Runs, node: u64) -> BTreeSet<(String, u64)> {
    runs.lock().unwrap().iter().filter(|run| run.0 == node).map(|(_, key, sequence)| (key.clone(), *sequence)).collect()
}

/// Who has how many shares.
fn owners(world: &World, tasks: &SimTasks) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for register in tasks.block_on(world.journal.list("consumer/")).unwrap() {
        let kept = lease::decode(&register).unwrap();
        assert!(parts(&register.name).1.is_some(), "{}", register.name);
        *owners.entry(kept.owner.unwrap_or_default()).or_default() += 1;
    }
    owners
}

/// Each key's events have begun in their order, whoever ran them, but for those that came again.
fn assert_in_order(runs: &Runs) {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    for (_, key, sequence) in runs.lock().unwrap().iter() {
        let last = reached.entry(key.clone()).or_default();
        assert!(*sequence <= *last + 1, "{key}: {sequence} after {last}");
        *last = (*last).max(*sequence);
    }
}

#[test]
fn nodes_share_the_slices_and_each_event_runs_on_one_of_them() {
    let (world, runs) = (shared_world(), Runs::default());
    let (one, two) = (node(&world, 1, &runs, Duration::ZERO), node(&world, 2, &runs, Duration::ZERO));
    pass(&[&one, &two], Duration::from_secs(5));
    let spread = owners(&world, &one.tasks);
    assert_eq!(spread, BTreeMap::from([("node-1".to_owned(), 8), ("node-2".to_owned(), 8)]));
    (0..3).for_each(|_| append_all(&world, &one.tasks, 50));
    pass(&[&one, &two], Duration::from_secs(5));
    let (first, second) = (run_by(&runs, 1), run_by(&runs, 2));
    assert_eq!((first.len() + second.len(), first.intersection(&second).count()), (150, 0));
    assert!(first.len() > 20 && second.len() > 20, "{} {}", first.len(), second.len());
    assert_eq!(runs.lock().unwrap().len(), 150, "none ran twice");
    assert_in_order(&runs);
}

#[test]
fn one_that_joins_gets_its_part_and_one_that_leaves_gives_it_up_and_nothing_runs_twice() {
    let (world, runs) = (shared_world(), Runs::default());
    let one = node(&world, 1, &runs, Duration::from_millis(20));
    pass(&[&one], Duration::from_secs(2));
    append_all(&world, &one.tasks, 40);
    pass(&[&one], Duration::from_millis(200));
    let two = node(&world, 2, &runs, Duration::from_millis(20));
    append_all(&world, &one.tasks, 40);
    pass(&[&one, &two], Duration::from_secs(5));
    append_all(&world, &one.tasks, 40);
    pass(&[&one, &two], Duration::from_secs(5));
    assert!(!run_by(&runs, 2).is_empty());
    one.room.seams().nodes.leave();
    one.room.stop();
    append_all(&world, &two.tasks, 40);
    pass(&[&one, &two], Duration::from_secs(3));
    one.tasks.block_on(one.room.drained());
    assert_eq!(owners(&world, &two.tasks), BTreeMap::from([("node-2".to_owned(), 16)]), "it need not be waited for");
    pass(&[&two], Duration::from_secs(3));
    assert_eq!(runs.lock().unwrap().len(), 160, "each event ran once");
    assert_in_order(&runs);
}

#[test]
fn what_a_node_had_that_was_killed_is_taken_over_in_time_and_no_event_is_lost() {
    let (world, runs) = (shared_world(), Runs::default());
    let (one, two) = (node(&world, 1, &runs, Duration::from_millis(100)), node(&world, 2, &runs, Duration::from_millis(100)));
    pass(&[&one, &two], Duration::from_secs(5));
    append_all(&world, &one.tasks, 60);
    pass(&[&one, &two], Duration::from_millis(200));
    one.die();
    append_all(&world, &two.tasks, 60);
    pass(&[&two], NODE_TIME + Duration::from_secs(2));
    assert_eq!(owners(&world, &two.tasks), BTreeMap::from([("node-2".to_owned(), 16)]));
    pass(&[&two], Duration::from_secs(60));
    let all: BTreeSet<(String, u64)> = runs.lock().unwrap().iter().map(|(_, key, sequence)| (key.clone(), *sequence)).collect();
    assert_eq!(all.len(), 120);
    assert_in_order(&runs);
}

#[test]
fn one_that_was_stopped_past_its_time_writes_nothing_when_it_goes_on() {
    let (world, runs) = (shared_world(), Runs::default());
    let (one, two) = (node(&world, 1, &runs, Duration::from_millis(100)), node(&world, 2, &runs, Duration::from_millis(100)));
    pass(&[&one, &two], Duration::from_secs(5));
    append_all(&world, &one.tasks, 60);
    pass(&[&one, &two], Duration::from_millis(200));
    // The first one stands still, and the second one goes on.
    append_all(&world, &two.tasks, 60);
    pass(&[&two], Duration::from_secs(60));
    let places = |tasks: &SimTasks| {
        let registers = tasks.block_on(world.journal.list("consumer/")).unwrap();
        let place = |register| lease::decode(register).unwrap();
        registers.iter().map(|register| (register.name.clone(), place(register).place.cursor.position())).collect::<BTreeMap<_, _>>()
    };
    let before = places(&two.tasks);
    let revisions = |tasks: &SimTasks| -> Vec<_> {
        tasks.block_on(world.journal.list("consumer/")).unwrap().into_iter().map(|register| register.revision).collect()
    };
    let stood = revisions(&two.tasks);
    // It is told of nothing, and finds out by itself: only its own runs of before end now.
    one.tasks.advance(Duration::from_millis(300));
    assert_eq!(revisions(&two.tasks), stood, "what it had begun is refused");
    pass(&[&one, &two], Duration::from_secs(30));
    let after = places(&two.tasks);
    assert!(before.iter().all(|(name, place)| after[name] >= *place), "{before:?} {after:?}");
    assert_eq!(owners(&world, &two.tasks).len(), 2, "it has its part again");
    let all: BTreeSet<(String, u64)> = runs.lock().unwrap().iter().map(|(_, key, sequence)| (key.clone(), *sequence)).collect();
    assert_eq!(all.len(), 120);
    assert_in_order(&runs);
}

#[test]
fn a_place_of_a_whole_consumer_becomes_one_of_each_share() {
    let (world, runs) = (shared_world(), Runs::default());
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    append_all(&world, &tasks, 10);
    let registers = Arc::clone(&world.journal) as Arc<dyn Registers>;
    tasks.block_on(lease::create(&registers, "watcher", Share::all(1), world.journal.lineage().cursor(10))).unwrap();
    let one = node(&world, 1, &runs, Duration::ZERO);
    append_all(&world, &one.tasks, 10);
    pass(&[&one], Duration::from_secs(5));
    assert_eq!(owners(&world, &one.tasks), BTreeMap::from([("node-1".to_owned(), 16)]));
    let again: BTreeSet<u64> = runs.lock().unwrap().iter().map(|(_, _, sequence)| *sequence).collect();
    assert_eq!((runs.lock().unwrap().len(), again), (10, BTreeSet::from([2])), "what is behind the place has run, and nothing else");
}

#[test]
fn a_share_is_not_taken_from_a_node_that_has_not_ended_what_it_has_begun() {
    let (world, runs) = (shared_world(), Runs::default());
    let one = node(&world, 1, &runs, Duration::from_secs(3));
    pass(&[&one], Duration::from_secs(2));
    append_all(&world, &one.tasks, 8);
    pass(&[&one], Duration::from_millis(100));
    let two = node(&world, 2, &runs, Duration::from_secs(3));
    pass(&[&one, &two], Duration::from_millis(2_500));
    assert!(run_by(&runs, 2).is_empty() && owners(&world, &two.tasks)["node-1"] >= 4, "runs of the first one are under way");
    pass(&[&one, &two], Duration::from_secs(30));
    assert_eq!(owners(&world, &two.tasks).len(), 2);
    assert_eq!(runs.lock().unwrap().len(), 8, "none ran twice");
}

#[test]
fn what_a_person_decides_at_one_node_is_carried_out_by_the_one_that_can() {
    let (world, runs, fails) = (shared_world(), Runs::default(), Arc::new(AtomicUsize::new(1)));
    let nodes = [1, 2].map(|seed| node_that_may_fail(&world, seed, (&runs, &fails), Duration::ZERO));
    let both = [&nodes[0], &nodes[1]];
    pass(&both, Duration::from_secs(5));
    append_all(&world, &nodes[0].tasks, 20);
    pass(&both, Duration::from_secs(5));
    let all = nodes[0].tasks.block_on(nodes[0].room.statuses_of_all()).unwrap();
    assert_eq!((all[0].parked, nodes[0].status().parked < 20), (20, true), "what others have parked is told too");
    fails.store(0, SeqCst);
    let done = ordered(&nodes[0], What::Redrive { selection: HeldSelection::default(), per_second: None });
    pass(&both, Duration::from_secs(5));
    assert!(matches!(*done.lock().unwrap(), Some(Ok(20))), "{:?}", done.lock().unwrap());
    assert!(nodes[0].held().is_empty());
    assert!(nodes[0].tasks.block_on(world.journal.list("relay/")).unwrap().is_empty());
}

#[test]
fn a_run_that_fails_once_another_node_has_its_share_holds_no_key() {
    let (world, runs, fails) = (shared_world(), Runs::default(), Arc::new(AtomicUsize::new(1)));
    let one = node_that_may_fail(&world, 1, (&runs, &fails), Duration::from_millis(100));
    let two = node(&world, 2, &runs, Duration::from_millis(100));
    pass(&[&one, &two], Duration::from_secs(5));
    append_all(&world, &one.tasks, 60);
    pass(&[&one, &two], Duration::from_millis(50));
    assert!(!run_by(&runs, 1).is_empty() && two.held().is_empty(), "its runs are under way, and have not failed yet");
    // It stands still, and the other one takes over and runs all.
    pass(&[&two], NODE_TIME + Duration::from_secs(20));
    assert_eq!(run_by(&runs, 2).len(), 60);
    // It goes on with what it had begun, which fails.
    one.tasks.advance(Duration::from_millis(300));
    assert_eq!(two.held().len(), 0, "nobody that has a share would know of these");
    fails.store(0, SeqCst);
    append_all(&world, &two.tasks, 60);
    pass(&[&one, &two], Duration::from_secs(20));
    let all: BTreeSet<(String, u64)> = runs.lock().unwrap().iter().map(|(_, key, sequence)| (key.clone(), *sequence)).collect();
    assert_eq!((all.len(), one.held().len(), owners(&world, &two.tasks).len()), (120, 0, 2), "every key goes on");
    assert_in_order(&runs);
}

#[test]
fn nothing_is_written_about_a_held_key_under_a_lease_that_another_one_has_taken() {
    let world = shared_world();
    let tasks = SimTasks::new(Arc::clone(&world.clock), 0);
    ["a", "b"].iter().for_each(|key| world.append(&tasks, key));
    let mut events = world.journal.read(Selection::All, Cursor::BEGINNING, journal::ReadMode::ToHead);
    let [a, b] = [(); 2].map(|()| {
        let event = tasks.block_on(events.next_event()).unwrap().unwrap();
        HeldKey::new(&event, world.journal.lineage(), 1, Timestamp::from_micros(0))
    });
    let (registers, name) = (Arc::clone(&world.registers) as Arc<dyn Registers>, "consumer/watcher/03");
    let place = Place::at(world.journal.lineage().cursor(0));
    let taken = |epoch, owner, expect| {
        let revision = tasks.block_on(registers.put(name, expect, lease::encode(epoch, Some(owner), &place))).unwrap();
        (revision, HeldRegisters::over(&registers, None, "watcher").under(Fence { register: name.to_owned(), epoch }))
    };
    let (revision, one) = taken(1, "node-1", RegisterExpect::Absent);
    let first = tasks.block_on(one.put(&thing("a"), None, &a)).unwrap();
    let held = tasks.block_on(one.put(&thing("a"), Some(first), &a)).unwrap();
    let (_, two) = taken(2, "node-2", RegisterExpect::Revision(revision));
    let refused = [
        ("a new one", tasks.block_on(one.put(&thing("b"), None, &b)).map(drop)),
        ("a run of one that was there", tasks.block_on(one.put(&thing("a"), Some(held), &a)).map(drop)),
        // Its later events wait behind it at the new owner: without the register they would be lost.
        ("the end of one that was there", tasks.block_on(one.delete(&thing("a"), held))),
    ];
    for (what, outcome) in refused {
        assert!(matches!(&outcome, Err(RegisterError::Fenced { register }) if register == name), "{what}: {outcome:?}");
    }
    assert_eq!(tasks.block_on(two.list()).unwrap(), [(held, a.clone())]);
    tasks.block_on(two.put(&thing("b"), None, &b)).unwrap();
    tasks.block_on(two.delete(&thing("a"), held)).unwrap();
}

#[test]
fn a_share_that_could_not_be_given_up_is_given_up_as_soon_as_it_can_be() {
    let (world, runs) = (shared_world(), Runs::default());
    let one = node(&world, 1, &runs, Duration::ZERO);
    append_all(&world, &one.tasks, 20);
    pass(&[&one], Duration::from_secs(3));
    let two = node(&world, 2, &runs, Duration::ZERO);
    world.registers.meets(Some(Trouble::Fails(LEASES)));
    pass(&[&one, &two], Duration::from_secs(3));
    world.registers.meets(None);
    append_all(&world, &one.tasks, 20);
    pass(&[&one, &two], Duration::from_secs(20));
    assert_eq!(owners(&world, &two.tasks), BTreeMap::from([("node-1".to_owned(), 8), ("node-2".to_owned(), 8)]));
    assert_eq!(runs.lock().unwrap().len(), 40, "none ran twice");
}

/// Counts the runs under way.
struct Counted {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
    tasks: Arc<Mutex<Option<Arc<SimTasks>>>>,
}

impl Handler for Counted {
    fn run(&self, _: Delivery) -> Verdict {
        let (now, tasks) = (Arc::clone(&self.now), self.tasks.lock().unwrap().clone().unwrap());
        self.runs.fetch_add(1, SeqCst);
        self.most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        Box::pin(async move {
            tasks.sleep(Duration::from_millis(100)).await;
            now.fetch_sub(1, SeqCst);
            Ok(())
        })
    }
}

#[test]
fn the_bound_on_runs_is_over_all_shares_of_a_node() {
    let world = shared_world();
    let (now, most, runs, tasks) =
        (Arc::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default());
    let counted = Counted { now, most: Arc::clone(&most), runs: Arc::clone(&runs), tasks: Arc::clone(&tasks) };
    let process = world.process_of(1, Arc::new(counted), 3);
    *tasks.lock().unwrap() = Some(Arc::clone(&process.tasks));
    append_all(&world, &process.tasks, 100);
    pass(&[&process], Duration::from_secs(10));
    assert_eq!((runs.load(SeqCst), most.load(SeqCst)), (100, 4), "the consumer may do four things at once, and has sixteen shares here");
}

#[test]
fn a_decision_about_one_key_is_carried_out_by_the_node_that_has_its_share() {
    let (world, runs, fails) = (shared_world(), Runs::default(), Arc::new(AtomicUsize::new(1)));
    let nodes = [1, 2].map(|seed| node_that_may_fail(&world, seed, (&runs, &fails), Duration::ZERO));
    let both = [&nodes[0], &nodes[1]];
    pass(&both, Duration::from_secs(5));
    append_all(&world, &nodes[0].tasks, 20);
    pass(&both, Duration::from_secs(2));
    let (of_the_other, _) = run_by(&runs, 2).into_iter().next().unwrap();
    fails.store(0, SeqCst);
    runs.lock().unwrap().clear();
    // The first one is asked about a key of the second one's, then of one that nobody holds.
    let redrive = |key: &str| What::Redrive { selection: HeldSelection { key: Some(thing(key)), cause: None }, per_second: None };
    let done = ordered(&nodes[0], redrive(&of_the_other));
    pass(&both, Duration::from_secs(2));
    assert!(matches!(*done.lock().unwrap(), Some(Ok(1))), "{:?}", done.lock().unwrap());
    assert_eq!(*runs.lock().unwrap(), [(2, of_the_other.clone(), 1)]);
    assert_eq!(nodes[0].held().len(), 19);
    let nothing = ordered(&nodes[0], redrive(&of_the_other));
    pass(&both, Duration::from_secs(2));
    assert!(matches!(*nothing.lock().unwrap(), Some(Err(OrderError::NotHeld))), "{:?}", nothing.lock().unwrap());
    assert!(nodes[0].tasks.block_on(world.journal.list("relay/")).unwrap().is_empty(), "nothing is left of the orders");
}

/// What comes of an order at a node.
fn ordered(node: &Process, what: What) -> Arc<Mutex<Option<Result<usize, OrderError>>>> {
    let (room, done) = (Arc::clone(&node.room), Arc::new(Mutex::new(None)));
    let told = Arc::clone(&done);
    node.tasks.spawn(Box::pin(async move {
        let ordered = room.order("watcher", what).await;
        *told.lock().unwrap() = Some(ordered);
    }));
    done
}
