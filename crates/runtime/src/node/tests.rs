//! Names of nodes, and who hears whom.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};

use super::*;
use crate::delivery::stopped;
use crate::limits::{NODE_FORGET, NODE_LOOK, NODE_TIME};
use crate::seams::sim::SimTasks;
use crate::testing::refusing::{Refusing, Trouble};

struct World {
    clock: Arc<SimClock>,
    model: Arc<ModelJournal>,
    told: Arc<Mutex<Vec<String>>>,
}

struct Node {
    tasks: Arc<SimTasks>,
    nodes: Arc<Nodes>,
    /// The engine as this node reaches it.
    engine: Arc<Refusing>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(SimClock::new());
        let model = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))).of_many_nodes();
        Self { clock, model: Arc::new(model), told: Arc::default() }
    }

    fn node(&self, name: &str, seed: u64) -> Node {
        self.node_by(&self.clock, name, seed)
    }

    /// One whose wall clock goes as this one: the world's goes on with each of its nodes.
    fn node_by(&self, clock: &Arc<SimClock>, name: &str, seed: u64) -> Node {
        let tasks = Arc::new(SimTasks::new(Arc::clone(clock), seed));
        let engine = Arc::new(Refusing::new(Arc::clone(&self.model) as Arc<dyn Registers>));
        let (told, registers) = (Arc::clone(&self.told), Arc::clone(&engine) as Arc<dyn Registers>);
        let notices = Arc::new(move |words: &str| told.lock().unwrap().push(words.to_owned())) as Notices;
        let (clock, random) = (Arc::clone(clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(seed)) as Arc<dyn Random>);
        let setup = NodeSetup { name: Some(name.to_owned()), address: Some(format!("http://{name}")), ..NodeSetup::default() };
        let spawns = Arc::clone(&tasks) as Arc<dyn Tasks>;
        let nodes = Arc::new(Nodes::new(setup, true, &registers, (&clock, &random), (&spawns, &notices)));
        tasks.block_on(nodes.begin()).unwrap();
        Node { tasks, nodes, engine }
    }
}

fn pass(nodes: &[&Node], seconds: u64) {
    for _ in 0..seconds * 10 {
        nodes.iter().for_each(|node| node.tasks.advance(Duration::from_millis(100)));
    }
}

impl Node {
    fn sees(&self) -> Vec<(String, bool)> {
        let sights = self.tasks.block_on(self.nodes.sights()).unwrap();
        sights.into_iter().map(|sight| (sight.name, sight.is_alive)).collect()
    }

    fn duty(&self) -> Post {
        self.nodes.post("one", Share::WHOLE)
    }
}

#[test]
fn one_that_stands_still_is_gone_for_the_others_and_forgotten_after_a_while() {
    let world = World::new();
    let (one, two) = (world.node("a", 1), world.node("b", 2));
    pass(&[&one, &two], 3);
    assert_eq!(two.sees(), [("a".to_owned(), true), ("b".to_owned(), true)]);
    pass(&[&two], 6);
    assert_eq!(two.sees(), [("a".to_owned(), false), ("b".to_owned(), true)]);
    pass(&[&two], NODE_FORGET.as_secs());
    assert_eq!(two.sees(), [("b".to_owned(), true)]);
    // Whoever was forgotten says again that it is there.
    pass(&[&one, &two], 3);
    assert_eq!(two.sees(), [("a".to_owned(), true), ("b".to_owned(), true)]);
    assert!(world.told.lock().unwrap().is_empty());
}

#[test]
fn of_two_processes_of_one_name_the_later_one_stays() {
    let world = World::new();
    let one = world.node("a", 1);
    let of_one = one.duty();
    pass(&[&one], 3);
    assert!(of_one.is_wanted());
    let two = world.node("a", 2);
    let of_two = two.duty();
    pass(&[&one, &two], 3);
    assert!(!of_one.is_wanted() && of_two.is_wanted());
    let told = world.told.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].starts_with("another process has begun as node a"), "{told:?}");
}

#[test]
fn one_that_nobody_has_heard_of_for_its_time_has_no_duty_until_it_is_heard_again() {
    let world = World::new();
    let (one, two) = (world.node("a", 1), world.node("b", 2));
    let duties = [one.duty(), two.duty()];
    pass(&[&one, &two], 3);
    assert_eq!(duties.iter().filter(|post| post.is_wanted()).count(), 1);
    let (owner, other) =
        if duties[0].is_wanted() { ((&one, &duties[0]), (&two, &duties[1])) } else { ((&two, &duties[1]), (&one, &duties[0])) };
    pass(&[other.0], 10);
    assert!(other.1.is_wanted());
    // It is heard again, and so it has what goes by its name.
    pass(&[owner.0, other.0], 3);
    assert!(owner.1.is_wanted() && !other.1.is_wanted());
}

/// A duty that the second one of two nodes is to have.
fn duty_of_the_second() -> String {
    let duties = (0..).map(|number| format!("duty-{number}"));
    duties.into_iter().find(|duty| spread::owner(&["a", "b"], duty, Share::WHOLE) == Some("b")).unwrap()
}

/// Who is at a duty.
type AtWork = Arc<Mutex<BTreeSet<String>>>;

impl Node {
    /// Does a duty whenever it is this node's, as long as what this gives is kept.
    fn does(&self, duty: &str, working: &AtWork) -> watch::Sender<bool> {
        let (stop, ends) = watch::channel(false);
        let (name, working) = (self.nodes.name.clone(), Arc::clone(working));
        let post = self.nodes.post(duty, Share::WHOLE);
        self.tasks.spawn(Box::pin(while_held(post, ends, move |mut ends, _| {
            let (name, working) = (name.clone(), Arc::clone(&working));
            async move {
                working.lock().unwrap().insert(name.clone());
                stopped(&mut ends).await;
                working.lock().unwrap().remove(&name);
            }
        })));
        stop
    }
}

fn names(working: &AtWork) -> Vec<String> {
    working.lock().unwrap().iter().cloned().collect()
}

#[test]
fn a_duty_that_could_not_be_given_up_is_given_up_as_soon_as_it_can_be() {
    let (world, duty, working) = (World::new(), duty_of_the_second(), AtWork::default());
    let one = world.node("a", 1);
    let _does = one.does(&duty, &working);
    pass(&[&one], 3);
    assert_eq!(names(&working), ["a"]);
    one.engine.meets(Some(Trouble::Fails(LEASES)));
    let two = world.node("b", 2);
    let _does_too = two.does(&duty, &working);
    pass(&[&one, &two], 5);
    assert!(names(&working).is_empty(), "it has ended, and its lease still says that the first one has it: {:?}", names(&working));
    one.engine.meets(None);
    pass(&[&one, &two], 3);
    assert_eq!(names(&working), ["b"]);
}

#[test]
fn one_that_is_not_heard_gives_up_what_it_has_before_others_take_it() {
    for trouble in [Trouble::Fails(""), Trouble::Hangs("")] {
        let (world, duty, working) = (World::new(), duty_of_the_second(), AtWork::default());
        let [one, two] = [("a", 1), ("b", 2)].map(|(name, seed)| world.node_by(&Arc::new(SimClock::new()), name, seed));
        let _do = [one.does(&duty, &working), two.does(&duty, &working)];
        let step = Duration::from_millis(100);
        let steps = |time: Duration| {
            for _ in 0..time.as_millis() / step.as_millis() {
                [&one, &two].iter().for_each(|node| node.tasks.advance(step));
                assert!(working.lock().unwrap().len() < 2, "both are at it");
            }
        };
        steps(Duration::from_secs(3));
        assert_eq!(names(&working), ["b"]);
        let beat = || one.tasks.block_on(world.model.get("node/b")).unwrap().map(|register| register.revision);
        let before = beat();
        while beat() == before {
            steps(step);
        }
        // It looks once more, and then the engine is away for it. Others may think that it is gone from its time behind the beat on.
        let looks_once = NODE_LOOK + step;
        steps(looks_once);
        two.engine.meets(Some(trouble));
        steps(NODE_TIME - looks_once - step * 5);
        assert_eq!(names(&working), ["b"], "it is heard by its last beat");
        steps(step * 5);
        assert!(names(&working).is_empty(), "{:?}", names(&working));
        steps(Duration::from_secs(2));
        assert_eq!(names(&working), ["a"], "the other one has it");
        two.engine.meets(None);
        steps(Duration::from_secs(5));
        assert_eq!(names(&working), ["b"], "it is heard again");
    }
}
