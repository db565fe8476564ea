//! What is sealed, what is opened, and what a machine may do to the key store meanwhile.

use component::hosted::{CommandContext, EntityHandle};
use component::{Command, Decision, Entity, Event, Personal, State, Value, hosted, hosted_topic_of, nothing};
use journal::EntityKey;
use journal::sim::{SimClock, SimDisk, SimRandom};

use super::*;
use crate::testing::at_once;

struct Machine {
    disk: SimDisk,
    random: Arc<SimRandom>,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), random: Arc::new(SimRandom::new(seed)) }
    }

    fn try_open(&self) -> Result<Subjects, KeyStoreError> {
        let (random, clock) = (Arc::clone(&self.random) as Arc<dyn Random>, Arc::new(SimClock::new()));
        Subjects::open(Arc::new(self.disk.clone()), random, clock, Arc::new(|_| {}))
    }

    fn open(&self) -> Subjects {
        self.try_open().unwrap()
    }

    /// The power goes, and comes back.
    fn crash(&mut self) {
        self.disk = self.disk.crash();
    }

    fn bytes(&self) -> Vec<u8> {
        let file = self.disk.open("subjects.keys").unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }
}

fn entity(id: &str) -> EntityKey {
    EntityKey::new("customer", id).unwrap()
}

fn mark(at: u64, value: &str) -> String {
    format!("{{\"name\":{{\"$personal\":{{\"subject\":null,\"at\":{at},\"value\":{value}}}}}}}")
}

fn sealed(subjects: &Subjects, id: &str, at: u64) -> Vec<u8> {
    let entity = entity(id);
    subjects.seal(&Place::Event(&entity, "registered"), mark(at, "\"Ann\"").as_bytes()).unwrap().unwrap()
}

fn opened(subjects: &Subjects, id: &str, event: &str, json: &[u8], form: Form) -> String {
    let entity = entity(id);
    let opened = subjects.opened(&Place::Event(&entity, event), json, form).unwrap().unwrap_or_else(|| json.to_vec());
    String::from_utf8(opened).unwrap()
}

fn plain(subjects: &Subjects, id: &str, json: &[u8]) -> String {
    opened(subjects, id, "registered", json, Form::Plain)
}

fn destroy(subjects: &Subjects, id: &str) -> usize {
    let hash = SubjectHash::of("", &format!("customer/{id}"));
    let keys = subjects.keys().of(hash);
    subjects.keys().destroy(hash, &keys, 0).unwrap()
}

const ANN: &str = r#"{"name":"Ann"}"#;

#[test]
fn what_is_sealed_shows_nothing_and_opens_as_it_was() {
    let subjects = Machine::new(1).open();
    let json = sealed(&subjects, "c1", 0);
    let text = String::from_utf8_lossy(&json);
    assert!(!text.contains("Ann") && !text.contains("c1") && !text.contains("$personal"), "{text}");
    assert_eq!(plain(&subjects, "c1", &json), ANN);
    let marked = r#"{"name":{"$personal":{"subject":"customer/c1","at":0,"value":"Ann"}}}"#;
    assert_eq!(opened(&subjects, "c1", "registered", &json, Form::Marked), marked);
    assert_ne!(sealed(&subjects, "c1", 0), json, "the same value under the same key is another text");
}

#[test]
fn a_sealed_value_opens_at_its_own_place_only() {
    let subjects = Machine::new(1).open();
    let json = sealed(&subjects, "c1", 0);
    for (id, event) in [("c2", "registered"), ("c1", "renamed")] {
        assert_eq!(opened(&subjects, id, event, &json, Form::Plain).as_bytes(), json, "{id} {event}");
    }
    let two = [&b"["[..], &json, b",", &json, b"]"].concat();
    let text = plain(&subjects, "c1", &two);
    assert!(text.starts_with(r#"[{"name":"Ann"},{"name":{"$sealed""#), "the second one is the first one's copy: {text}");
}

#[test]
fn a_key_is_durable_before_anything_is_sealed_with_it() {
    for seed in 0..50 {
        let mut machine = Machine::new(seed);
        let mut kept = Vec::new();
        for round in 0..4 {
            let subjects = machine.open();
            kept.extend((0..3).map(|at| format!("c{round}{at}")).map(|id| (sealed(&subjects, &id, 0), id)));
            drop(subjects);
            machine.crash();
        }
        let subjects = machine.open();
        for (json, id) in &kept {
            assert_eq!(plain(&subjects, id, json), ANN, "seed {seed}, {id}");
        }
    }
}

#[test]
fn a_store_that_loses_power_at_any_call_opens_again_with_what_it_has_sealed() {
    for nth in 0..24 {
        let mut machine = Machine::new(nth);
        machine.disk.cut_power_at(nth);
        let mut kept = None;
        if let Ok(subjects) = machine.try_open() {
            let (entity, json) = (entity("c1"), mark(0, "\"Ann\""));
            kept = subjects.seal(&Place::Event(&entity, "registered"), json.as_bytes()).ok().flatten();
        }
        machine.crash();
        let subjects = machine.try_open().unwrap_or_else(|error| panic!("call {nth}: {error}"));
        if let Some(json) = kept {
            assert_eq!(plain(&subjects, "c1", &json), ANN, "call {nth}");
        }
        let json = sealed(&subjects, "c2", 0);
        assert_eq!(plain(&subjects, "c2", &json), ANN, "call {nth}");
    }
}

#[test]
fn a_destroyed_key_is_nowhere_in_the_file_and_stays_destroyed() {
    let mut machine = Machine::new(3);
    let subjects = machine.open();
    let (ann, bob) = (sealed(&subjects, "c1", 0), sealed(&subjects, "c2", 0));
    let secret = {
        let keys = subjects.keys();
        let id = keys.of(SubjectHash::of("", "customer/c1"))[0];
        let Opening::With(key) = keys.opening(id) else { panic!("it is there") };
        key.secret
    };
    assert!(machine.bytes().windows(32).any(|window| window == secret));
    assert_eq!((destroy(&subjects, "c1"), destroy(&subjects, "c1")), (1, 0));
    drop(subjects);
    for _ in 0..2 {
        machine.crash();
        assert!(!machine.bytes().windows(32).any(|window| window == secret));
        let subjects = machine.open();
        assert_eq!(plain(&subjects, "c1", &ann), r#"{"name":null}"#);
        assert_eq!(plain(&subjects, "c2", &bob), ANN);
    }
}

#[test]
fn what_was_read_before_an_erasure_is_not_sealed_again_and_what_comes_after_it_is() {
    let subjects = Machine::new(4).open();
    sealed(&subjects, "c1", 0);
    let before = subjects.begun_erasures();
    destroy(&subjects, "c1");
    assert_eq!(sealed(&subjects, "c1", before), br#"{"name":null}"#);
    let json = sealed(&subjects, "c1", subjects.begun_erasures());
    assert_eq!(plain(&subjects, "c1", &json), ANN);
    // Another subject's erasure is none of its business.
    let json = sealed(&subjects, "c2", before);
    assert_eq!(plain(&subjects, "c2", &json), ANN);
}

#[test]
fn who_asks_how_many_erasures_have_begun_waits_for_no_sync() {
    let subjects = Machine::new(4).open();
    sealed(&subjects, "c1", 0);
    destroy(&subjects, "c1");
    // Somebody seals with a new key, or ends one, and the disk takes its time: whoever waited would wait for ever.
    let _syncing = subjects.keys();
    assert_eq!((subjects.begun_erasures(), subjects.erasures()), (1, 0));
    subjects.saw_through();
    assert_eq!(subjects.erasures(), 1);
}

#[test]
fn a_disk_that_fails_seals_nothing_with_a_new_key_and_says_so() {
    let machine = Machine::new(5);
    let subjects = machine.open();
    let kept = sealed(&subjects, "c1", 0);
    machine.disk.fail_call(machine.disk.calls() + 1, false);
    let (entity, json) = (entity("c2"), mark(0, "1"));
    for _ in 0..2 {
        let refused = subjects.seal(&Place::Event(&entity, "registered"), json.as_bytes());
        assert!(matches!(refused, Err(SealError::Keys(KeyStoreError::Disk(_)))), "the first error is final for new keys");
    }
    assert_eq!(plain(&subjects, "c1", &kept), ANN, "who has a key goes on");
}

#[test]
fn two_processes_do_not_share_a_store_and_what_is_none_is_refused() {
    let machine = Machine::new(6);
    let subjects = machine.open();
    assert_eq!(machine.try_open().err(), Some(KeyStoreError::InUse));
    sealed(&subjects, "c1", 0);
    drop(subjects);
    machine.disk.open("subjects.keys").unwrap().write_at(b"something", 0).unwrap();
    assert_eq!(machine.try_open().err(), Some(KeyStoreError::NotAStore));
}

#[test]
fn an_older_copy_of_the_store_is_no_erasure_and_an_erasure_over_it_ends_the_keys_that_come_back() {
    let (mut machine, journal) = (Machine::new(11), model());
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    let bob = sealed(&subjects, "c2", 0);
    let older = machine.disk.crash();
    let ann = sealed(&subjects, "c1", 0);
    let newest = machine.disk.crash();
    drop(subjects);

    machine.disk = older;
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    assert_eq!(plain(&subjects, "c2", &bob), ANN);
    let refused = subjects.opened(&Place::Event(&entity("c1"), "registered"), &ann, Form::Plain).unwrap_err().to_string();
    assert!(refused.starts_with("HW0092: the key store") && refused.contains("--keys-lost"), "{refused}");
    let erased = at_once(subjects.erase(&journal, ("", "customer/c1"), &crate::Decision::default()));
    assert_eq!(erased.map(|(keys, _)| keys).ok(), Some(0), "it is recorded nevertheless");
    drop(subjects);

    machine.disk = newest;
    let subjects = machine.open();
    assert_eq!(plain(&subjects, "c1", &ann), ANN, "the key is there again");
    settle(&subjects, &journal, None).unwrap();
    assert_eq!((plain(&subjects, "c1", &ann), plain(&subjects, "c2", &bob)), (r#"{"name":null}"#.to_owned(), ANN.to_owned()));
}

#[test]
fn keys_of_an_older_copy_are_lost_once_a_person_says_so() {
    let (mut machine, journal) = (Machine::new(12), model());
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    let store = format!("{:016x}", subjects.keys().store());
    let older = machine.disk.crash();
    let ann = sealed(&subjects, "c1", 0);
    drop(subjects);
    machine.disk = older;
    for lost in [Some(&store[..]), Some(&store[..]), None] {
        let subjects = machine.open();
        settle(&subjects, &journal, lost).unwrap();
        assert_eq!(plain(&subjects, "c1", &ann), r#"{"name":null}"#, "{lost:?}");
    }
}

#[test]
fn a_destruction_whose_sync_fails_is_not_done_and_is_done_again() {
    let (machine, journal) = (Machine::new(13), model());
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    let ann = sealed(&subjects, "c1", 0);
    let erase = || at_once(subjects.erase(&journal, ("", "customer/c1"), &crate::Decision::default()));
    // The read of its record, the write, and the sync.
    for call in 1..=3 {
        machine.disk.fail_call(machine.disk.calls() + call, false);
        assert!(matches!(erase(), Err(erase::EraseError::Keys(KeyStoreError::Disk(_)))), "call {call}");
    }
    assert_eq!(erase().unwrap().0, 1, "not: was erased before");
    assert_eq!(plain(&subjects, "c1", &ann), r#"{"name":null}"#);
    assert_eq!(erase().unwrap().0, 0);
}

#[test]
fn what_looks_sealed_already_is_not_sealed_beside_what_is_ours() {
    let subjects = Machine::new(14).open();
    let json = format!(r#"[{{"$sealed":"x"}},{}]"#, mark(0, "1"));
    let refused = subjects.seal(&Place::Event(&entity("c1"), "registered"), json.as_bytes());
    assert!(matches!(refused, Err(SealError::Invalid(_))));
}

fn model() -> journal::model::ModelJournal {
    journal::model::ModelJournal::new(Arc::new(SimClock::new()), Arc::new(SimRandom::new(9)))
}

fn settle(subjects: &Subjects, journal: &journal::model::ModelJournal, lost: Option<&str>) -> Result<u64, erase::KeysUnfit> {
    at_once(subjects.settle(journal, lost))
}

#[test]
fn an_erasure_that_a_kill_left_behind_its_event_is_carried_out_before_anybody_is_answered() {
    let (mut machine, journal) = (Machine::new(7), model());
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    let (ann, bob) = (sealed(&subjects, "c1", 0), sealed(&subjects, "c2", 0));
    // The key store as it is between the event and the end of the keys.
    let between = machine.disk.crash();
    assert_eq!(at_once(subjects.erase(&journal, ("", "customer/c1"), &crate::Decision::default())).unwrap().0, 1);
    // Data that come after it stay.
    let again = sealed(&subjects, "c1", subjects.begun_erasures());
    let later = machine.disk.crash();
    drop(subjects);
    machine.disk = between;
    let subjects = machine.open();
    assert_eq!(plain(&subjects, "c1", &ann), ANN, "the key is there again");
    assert!(settle(&subjects, &journal, None).unwrap() > 0);
    assert_eq!((plain(&subjects, "c1", &ann), plain(&subjects, "c2", &bob)), (r#"{"name":null}"#.to_owned(), ANN.to_owned()));
    let erased = at_once(subjects.erase(&journal, ("", "customer/c1"), &crate::Decision::default()));
    assert_eq!(erased.map(|(keys, _)| keys).ok(), Some(0), "again is safe");
    machine.disk = later;
    let subjects = machine.open();
    settle(&subjects, &journal, None).unwrap();
    assert_eq!((plain(&subjects, "c1", &ann), plain(&subjects, "c1", &again)), (r#"{"name":null}"#.to_owned(), ANN.to_owned()));
}

#[test]
fn who_was_never_known_cannot_be_erased() {
    let (machine, journal) = (Machine::new(8), model());
    let subjects = machine.open();
    for (subject, is_name) in [("customer/c9", true), ("customer", false), ("customer/", false), ("customer/a\nb", false)] {
        let refused = at_once(subjects.erase(&journal, ("", subject), &crate::Decision::default())).unwrap_err();
        assert_eq!(matches!(refused, erase::EraseError::UnknownSubject), is_name, "{subject}: {refused}");
        assert_eq!(matches!(refused, erase::EraseError::Invalid { .. }), !is_name, "{subject}: {refused}");
    }
}

#[test]
fn another_store_than_the_journals_is_refused_until_a_person_says_that_its_own_is_lost() {
    let (machine, other, journal) = (Machine::new(9), Machine::new(10), model());
    let (subjects, others) = (machine.open(), other.open());
    settle(&subjects, &journal, None).unwrap();
    let ann = sealed(&subjects, "c1", 0);
    let Err(erase::KeysUnfit::OtherStore { expected, .. }) = settle(&others, &journal, None) else { panic!("it is another one") };
    assert!(settle(&others, &journal, Some("0000000000000000")).is_err(), "a slip is no word");
    settle(&others, &journal, Some(&expected)).unwrap();
    settle(&others, &journal, None).unwrap();
    assert_eq!(plain(&others, "c1", &ann), r#"{"name":null}"#);
    assert!(settle(&subjects, &journal, None).is_err(), "the last word counts");
}

#[derive(Default, State)]
struct Order {}

#[derive(Command)]
enum OrderCommand {
    #[command("place")]
    Place { customer: String, name: Personal<String> },
}

#[derive(Event)]
enum OrderEvent {
    #[event("placed")]
    Placed {
        customer: String,
        #[personal(subject = "customer/{customer}")]
        to: Vec<Address>,
    },
}

#[derive(Value)]
struct Address {
    street: Personal<String>,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, _: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> {
        Ok(nothing())
    }

    fn evolve(&mut self, _: &OrderEvent) {}
}

#[test]
fn a_field_that_was_forgotten_to_say_whose_it_is_is_found_before_anything_is_kept() {
    let order: EntityHandle = hosted::<Order>();
    let (name, problem) = whose::unclear(&[order], &[]).unwrap();
    assert_eq!(name, "order");
    assert!(problem.starts_with("`placed.to.street` says whose personal data it is, and `place.name` does not; say"), "{problem}");
    let (name, problem) = whose::unclear(&[], &[hosted_topic_of::<Address>("moves")]).unwrap();
    assert!(name == "moves" && problem.starts_with("`moves.street` does not say whose"), "{problem}");
}
