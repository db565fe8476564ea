//! Names of nodes, and who hears whom.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};

use super::*;
use crate::limits::NODE_FORGET;
use crate::seams::sim::SimTasks;

struct World {
    clock: Arc<SimClock>,
    model: Arc<ModelJournal>,
    told: Arc<Mutex<Vec<String>>>,
}

struct Node {
    tasks: Arc<SimTasks>,
    nodes: Arc<Nodes>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(SimClock::new());
        let model = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))).of_many_nodes();
        Self { clock, model: Arc::new(model), told: Arc::default() }
    }

    fn node(&self, name: &str, seed: u64) -> Node {
        let tasks = Arc::new(SimTasks::new(Arc::clone(&self.clock), seed));
        let (told, registers) = (Arc::clone(&self.told), Arc::clone(&self.model) as Arc<dyn Registers>);
        let notices = Arc::new(move |words: &str| told.lock().unwrap().push(words.to_owned())) as Notices;
        let (clock, random) = (Arc::clone(&self.clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(seed)) as Arc<dyn Random>);
        let setup = NodeSetup { name: Some(name.to_owned()), address: Some(format!("http://{name}")), ..NodeSetup::default() };
        let spawns = Arc::clone(&tasks) as Arc<dyn Tasks>;
        let nodes = Arc::new(Nodes::new(setup, true, &registers, (&clock, &random), (&spawns, &notices)));
        tasks.block_on(nodes.begin()).unwrap();
        Node { tasks, nodes }
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
