//! What waits for its run is sealed: erasures that come meanwhile, keys that are not there, and what is remembered of failures.

use journal::sim::SimDisk;

use super::*;
use crate::Decision;

/// A world with personal data, whose events each say `Ann`.
struct Sealing {
    world: World,
    disk: SimDisk,
    subjects: Arc<Subjects>,
}

/// What runs saw, in order.
type Seen = Arc<Mutex<Vec<String>>>;

impl Sealing {
    fn new() -> Self {
        let (world, disk) = (World::new(), SimDisk::new(1));
        let subjects = open(&world, &disk);
        Self { world, disk, subjects }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.world.journal) as Arc<dyn Journal>
    }

    /// The power goes, and the key store is as it is on this disk.
    fn reopen(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.subjects = open(&self.world, &self.disk);
    }

    fn process(&self, seed: u64, handler: impl Handler) -> Process {
        self.world.process_sealing(seed, (self.journal(), Some(Arc::clone(&self.subjects))), Arc::new(handler), 3)
    }

    /// An event of each of these subjects, about all of them.
    fn append(&self, process: &Process, key: &str, subjects: &[&str]) {
        let mark = |subject| format!("{{\"$personal\":{{\"subject\":\"{subject}\",\"at\":null,\"value\":\"Ann\"}}}}");
        let payload = format!("[{}]", subjects.iter().map(mark).collect::<Vec<_>>().join(","));
        let journal = veiled(&self.journal(), Some(&self.subjects), Form::Marked);
        self.world.append_over(&process.tasks, &*journal, ("thing", key), &payload);
    }

    fn erase(&self, process: &Process, subject: &str) {
        process.tasks.block_on(self.subjects.erase(&*self.journal(), ("", subject), &Decision::default())).unwrap();
        self.subjects.saw_through();
    }

    /// Whether any register has the text.
    fn registers_say(&self, process: &Process, text: &str) -> bool {
        let registers = process.tasks.block_on(self.world.journal.list("")).unwrap();
        registers.iter().any(|register| String::from_utf8_lossy(&register.value).contains(text))
    }
}

fn open(world: &World, disk: &SimDisk) -> Arc<Subjects> {
    let (random, clock) = (Arc::new(SimRandom::new(9)), Arc::clone(&world.clock) as Arc<dyn Clock>);
    let subjects = Subjects::open(Arc::new(disk.clone()), random, clock, Arc::new(|_| {})).unwrap();
    crate::testing::at_once(subjects.settle(&*world.journal, None)).unwrap();
    Arc::new(subjects)
}

/// Says what it sees, and ends when the gate is opened.
struct Gated {
    seen: Seen,
    gate: watch::Receiver<bool>,
    cause: Option<&'static str>,
}

impl Handler for Gated {
    fn run(&self, delivery: Delivery) -> Verdict {
        let event = match delivery.open() {
            Ok(event) => event,
            Err(failure) => return Box::pin(std::future::ready(Err(failure))),
        };
        self.seen.lock().unwrap().push(format!("{} {}", event.entity.id(), String::from_utf8_lossy(&event.payload)));
        let (mut gate, cause) = (self.gate.clone(), self.cause);
        Box::pin(async move {
            drop(gate.wait_for(|open| *open).await);
            cause.map_or(Ok(()), |cause| Err(Failure::Park { cause: cause.into() }))
        })
    }
}

fn gated(is_open: bool, cause: Option<&'static str>) -> (watch::Sender<bool>, Seen, Gated) {
    let ((open, gate), seen) = (watch::channel(is_open), Seen::default());
    (open, Arc::clone(&seen), Gated { seen, gate, cause })
}

fn seen(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().clone()
}

#[test]
fn what_waits_is_opened_when_it_runs_and_an_erasure_waits_for_what_has_begun() {
    let sealing = Sealing::new();
    let (gate, saw, handler) = gated(false, None);
    let process = sealing.process(1, handler);
    for key in ["a", "a", "b"] {
        sealing.append(&process, key, &["customer/ann"]);
    }
    process.tasks.run_ready();
    assert_eq!(seen(&saw).len(), 2, "a run of each key, and another that waits in its lane");
    sealing.erase(&process, "customer/ann");
    let (runs, passed) = (Arc::clone(&process.room.seams.runs), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&passed);
    process.tasks.spawn(Box::pin(async move {
        runs.passed().await;
        told.store(1, SeqCst);
    }));
    process.tasks.run_ready();
    assert_eq!(passed.load(SeqCst), 0, "two runs have begun before it");
    gate.send_replace(true);
    process.tasks.run_ready();
    assert_eq!(passed.load(SeqCst), 1);
    let mut all = seen(&saw);
    all.sort();
    assert_eq!(all, ["a [\"Ann\"]", "a [null]", "b [\"Ann\"]"]);
}

#[test]
fn what_a_failure_says_of_somebody_is_sealed_and_gone_with_any_of_them() {
    for (subjects, erased) in [(&["customer/ann"][..], "customer/ann"), (&["customer/ann", "customer/bob"], "customer/bob")] {
        let mut sealing = Sealing::new();
        let (_gate, _, handler) = gated(true, Some("nobody delivers to Ann"));
        let process = sealing.process(1, handler);
        sealing.append(&process, "a", subjects);
        process.tasks.run_ready();
        let cause = |process: &Process| process.tasks.block_on(process.room.held("watcher")).unwrap()[0].cause().to_owned();
        assert_eq!(cause(&process), "nobody delivers to Ann");
        assert!(!sealing.registers_say(&process, "Ann"));
        process.die();
        let disk = sealing.disk.crash();
        sealing.reopen(disk);
        let (_gate, _, handler) = gated(true, None);
        let process = sealing.process(2, handler);
        assert_eq!(cause(&process), "nobody delivers to Ann", "over a restart");
        sealing.erase(&process, erased);
        assert_eq!(cause(&process), "(it was about somebody who is erased)");
        // It is written anew from what is in memory.
        process
            .tasks
            .block_on(process.room.order("watcher", What::Redrive { selection: HeldSelection::default(), per_second: Some(1) }))
            .unwrap();
        assert!(!sealing.registers_say(&process, "Ann"));
        process.die();
    }
}

#[test]
fn a_failure_of_a_run_that_began_before_an_erasure_is_not_kept() {
    let sealing = Sealing::new();
    let (gate, saw, handler) = gated(false, Some("nobody delivers to Ann"));
    let process = sealing.process(1, handler);
    sealing.append(&process, "a", &["customer/ann"]);
    process.tasks.run_ready();
    assert_eq!(seen(&saw), ["a [\"Ann\"]"]);
    sealing.erase(&process, "customer/ann");
    gate.send_replace(true);
    process.tasks.run_ready();
    let held = process.tasks.block_on(process.room.held("watcher")).unwrap();
    assert_eq!(held[0].cause(), "(it was about somebody who is erased)");
}

#[test]
fn a_key_of_the_store_that_is_missing_holds_the_keys_that_need_it_and_no_other_until_it_is_back() {
    let mut sealing = Sealing::new();
    let (_gate, saw, handler) = gated(true, None);
    let process = sealing.process(1, handler);
    sealing.append(&process, "old", &["customer/old"]);
    process.tasks.run_ready();
    process.die();
    let older = sealing.disk.crash();
    let (_gate, _, handler) = gated(false, None);
    let process = sealing.process(2, handler);
    sealing.append(&process, "new", &["customer/new"]);
    sealing.append(&process, "old", &["customer/old"]);
    process.die();
    let newest = sealing.disk.crash();

    sealing.reopen(older);
    let (_open, saw_older, handler) = gated(true, None);
    let process = sealing.process(3, handler);
    process.seconds(3_600);
    assert_eq!(seen(&saw).len(), 1);
    let others = seen(&saw_older);
    assert!(!others.is_empty() && others.iter().all(|run| run == "old [\"Ann\"]"), "{others:?}");
    let held = process.tasks.block_on(process.room.held("watcher")).unwrap();
    assert_eq!((held.len(), &held[0].id[..], held[0].attempts, held[0].parked), (1, "new", 0, false));
    assert!(held[0].cause().starts_with("HW0092"), "{}", held[0].cause());
    process.die();

    sealing.reopen(newest);
    let (_gate, saw, handler) = gated(true, None);
    let process = sealing.process(4, handler);
    process.seconds(60);
    assert!(seen(&saw).contains(&"new [\"Ann\"]".to_owned()));
    assert_eq!(process.tasks.block_on(process.room.held("watcher")).unwrap().len(), 0);
}

#[test]
fn keys_that_wait_for_missing_ones_are_written_once_however_long_they_wait() {
    let mut sealing = Sealing::new();
    let older = sealing.disk.crash();
    let (_gate, _, handler) = gated(false, None);
    let process = sealing.process(1, handler);
    for key in ["a", "a", "b", "c"] {
        sealing.append(&process, key, &["customer/new"]);
    }
    process.die();
    sealing.reopen(older);
    let written = |process: &Process| -> Vec<_> {
        let held = process.tasks.block_on(sealing.world.journal.list("held/")).unwrap();
        held.into_iter().map(|register| (register.name, register.revision)).collect()
    };
    let mut once = Vec::new();
    for (seed, handler) in [(2, gated(true, None).2), (3, gated(true, None).2)] {
        let process = sealing.process(seed, handler);
        process.tasks.run_ready();
        let first = written(&process);
        assert_eq!(first.len(), 3);
        // Also by the next process.
        once = if once.is_empty() { first } else { once };
        process.seconds(6 * 3_600);
        assert_eq!(written(&process), once);
        let held = process.tasks.block_on(process.room.held("watcher")).unwrap();
        assert!(held.iter().all(|held| held.cause().starts_with("HW0092") && held.attempts == 0 && !held.parked), "{held:?}");
        process.die();
    }
}
