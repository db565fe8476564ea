//! Entities with personal values over a journal that holds commits back: what an erasure may do while a state is in hand.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod first;
mod nodes;

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use component::hosted::CommandContext;
use component::{Command, Decision, Entity, Event, Personal, State, hosted, record};
use journal::model::ModelJournal;
use journal::seams::Clock;
use journal::sim::{SimClock, SimDisk, SimRandom};
use journal::{
    AppendError, BASELINE, BoxFuture, Capabilities, CommandId, Commit, Committed, CompactRules, Compacted, Cursor, EntityKey, EntityType,
    Events, FoundCommand, Head, Keys, Lineage, LineageId, ReadMode, Recorded, Selection, Timestamp,
};
use tokio::sync::oneshot;

use super::snapshots::PlantedBug;
use super::*;
use crate::asked::AskedId;
use crate::delivery::Decision as Why;
use crate::entity::baseline::Rebased;
use crate::personal::veil::veiled;
use crate::personal::{Form, Subjects};
use crate::request::{CommandRequest, Expectation};
use crate::testing::at_once;

/// What is to happen at a moment that no test could hit otherwise.
type Trap = Box<dyn FnOnce() + Send>;

/// A person, and a label that its state has made of the name: that says neither whose it is nor how old.
#[derive(Default, State)]
struct Person {
    name: Personal<String>,
    label: Personal<String>,
}

#[derive(Command)]
enum PersonCommand {
    #[command("name")]
    Name { name: Personal<String> },
}

#[derive(Event)]
enum PersonEvent {
    #[event("named")]
    Named { name: Personal<String> },
}

impl Entity for Person {
    const NAME: &'static str = "person";
    type Command = PersonCommand;
    type Event = PersonEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: PersonCommand, _: &CommandContext) -> Result<Decision<PersonEvent>, Self::Rejection> {
        let PersonCommand::Name { name } = command;
        Ok(record(PersonEvent::Named { name }))
    }

    fn evolve(&mut self, event: &PersonEvent) {
        let PersonEvent::Named { name } = event;
        self.name = name.clone();
        self.label = name.get().map_or_else(Personal::erased, |name| Personal::new(format!("Dear {name}")));
    }
}

thread_local! {
    static WHEN_IT_LEAVES: RefCell<Option<Trap>> = const { RefCell::new(None) };
}

/// An entity that leaves the cache when another one comes: then the trap closes.
#[derive(Default, State)]
struct Bystander {
    weight: u32,
}

impl Drop for Bystander {
    fn drop(&mut self) {
        if self.weight > 0
            && let Some(trap) = WHEN_IT_LEAVES.with_borrow_mut(Option::take)
        {
            trap();
        }
    }
}

#[derive(Command)]
enum BystanderCommand {
    #[command("come")]
    Come { weight: u32 },
}

#[derive(Event)]
enum BystanderEvent {
    #[event("came")]
    Came { weight: u32 },
}

impl Entity for Bystander {
    const NAME: &'static str = "bystander";
    type Command = BystanderCommand;
    type Event = BystanderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: BystanderCommand, _: &CommandContext) -> Result<Decision<BystanderEvent>, Self::Rejection> {
        let BystanderCommand::Come { weight } = command;
        Ok(record(BystanderEvent::Came { weight }))
    }

    fn evolve(&mut self, event: &BystanderEvent) {
        let BystanderEvent::Came { weight } = event;
        self.weight = *weight;
    }
}

/// The model, with commits that may be held back.
pub(crate) struct Gated {
    pub(crate) model: Arc<ModelJournal>,
    /// Senders release commits, once there are some.
    held: Mutex<Option<Vec<oneshot::Sender<()>>>>,
    /// Closes with the next look at a head, behind it.
    trap: Mutex<Option<Trap>>,
    /// How often a head was looked at, an entity read, and a commit sent.
    looked: AtomicUsize,
    read: AtomicUsize,
    appended: AtomicUsize,
    /// What a compaction comes to.
    pub(crate) compacts: Mutex<Result<Option<Compacted>, ReadError>>,
}

impl Gated {
    pub(crate) fn of(model: Arc<ModelJournal>) -> Self {
        Self {
            model,
            held: Mutex::default(),
            trap: Mutex::default(),
            looked: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            appended: AtomicUsize::new(0),
            compacts: Mutex::new(Ok(None)),
        }
    }

    /// From now on commits wait.
    pub(crate) fn close(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    pub(crate) fn open(&self) {
        self.held.lock().unwrap().take().into_iter().flatten().for_each(|held| held.send(()).unwrap());
    }
}

impl Journal for Gated {
    fn lineage(&self) -> &Lineage {
        self.model.lineage()
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        self.appended.fetch_add(1, Relaxed);
        let mut held = self.held.lock().unwrap();
        let Some(waiting) = held.as_mut() else { return self.model.append(commit) };
        let (release, released) = oneshot::channel();
        waiting.push(release);
        Box::pin(async move {
            released.await.unwrap();
            self.model.append(commit).await
        })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        self.read.fetch_add(usize::from(matches!(selection, Selection::Entity { .. })), Relaxed);
        self.model.read(selection, from, mode)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        self.looked.fetch_add(1, Relaxed);
        let head = at_once(self.model.entity_head(entity));
        let trap = self.trap.lock().unwrap().take();
        trap.into_iter().for_each(|trap| trap());
        Box::pin(std::future::ready(head))
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
        None
    }

    fn compact(&self, _: CompactRules) -> BoxFuture<'_, Result<Option<Compacted>, ReadError>> {
        Box::pin(std::future::ready(self.compacts.lock().unwrap().clone()))
    }
}

/// Entities, and what they stand on.
pub(crate) struct Rig {
    pub(crate) gated: Arc<Gated>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) keys: SimDisk,
    pub(crate) subjects: Arc<Subjects>,
    pub(crate) entities: Arc<Entities>,
}

impl Rig {
    pub(crate) fn new(limits: Limits) -> Self {
        let clock = Arc::new(SimClock::new());
        let model = Arc::new(ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))));
        let gated = Arc::new(Gated { compacts: Mutex::new(Ok(Some(Compacted::default()))), ..Gated::of(model) });
        Self::over(gated, clock, SimDisk::new(1), limits)
    }

    /// Another process over the same journal, with the keys of this disk.
    pub(crate) fn again(&self, keys: SimDisk, limits: Limits) -> Self {
        Self::over(Arc::clone(&self.gated), Arc::clone(&self.clock), keys, limits)
    }

    fn over(gated: Arc<Gated>, clock: Arc<SimClock>, keys: SimDisk, limits: Limits) -> Self {
        let random = Arc::new(SimRandom::new(9));
        let subjects =
            Subjects::open(Arc::new(keys.clone()), random.clone(), Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(|_| {})).unwrap();
        at_once(subjects.settle(&*gated.model, None)).unwrap();
        let subjects = Arc::new(subjects);
        let journal = veiled(&(Arc::clone(&gated) as Arc<dyn Journal>), Some(&subjects), Form::Marked);
        let mint = Mint { clock: Arc::clone(&clock) as Arc<dyn Clock>, random, subjects: Some(Arc::clone(&subjects)) };
        let kinds = vec![Kind::new(hosted::<Person>()), Kind::new(hosted::<Bystander>())];
        let snapshots = Snapshots::open(Arc::new(SimDisk::new(2)), LineageId([1; 16]), Some(Arc::clone(&subjects)), PlantedBug::None);
        let entities = Arc::new(Entities::new(journal, mint, kinds, snapshots.ok(), limits));
        Self { gated, clock, keys, subjects, entities }
    }

    fn command(&self, entity: &EntityKey, command: &str, body: &str) -> Started<Result<CommandOutcome, CommandError>> {
        let (entities, entity, command) = (Arc::clone(&self.entities), entity.clone(), command.to_owned());
        let body = body.to_owned().into();
        Box::pin(async move {
            let context = journal::Context::default();
            let request = CommandRequest { entity, command, body, id: None, expect: Expectation::Any, context };
            entities.command(request).await
        })
    }

    pub(crate) fn name(&self, who: &str, name: &str) {
        at_once(self.command(&person(who), "name", &format!("{{\"name\":\"{name}\"}}"))).unwrap();
    }

    /// An erasure that has ended the keys, and has not forgotten what is in memory yet.
    fn begin_to_erase(&self, who: &str) {
        begin_to_erase(&self.subjects, &self.gated.model, who);
    }

    /// What the journal has of an entity, as it lies there.
    pub(crate) fn recorded(&self, entity: &EntityKey) -> Vec<Arc<Recorded>> {
        let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
        let mut events = self.gated.model.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        std::iter::from_fn(|| at_once(events.next_event())).map(Result::unwrap).collect()
    }
}

type Started<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn begin_to_erase(subjects: &Subjects, model: &ModelJournal, who: &str) {
    at_once(subjects.erase(model, ("", &format!("person/{who}")), &Why::default())).unwrap();
}

pub(crate) fn person(who: &str) -> EntityKey {
    EntityKey::new("person", who).unwrap()
}

/// Drives a future as far as it goes by itself.
fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn a_baseline_that_an_erasure_overtakes_says_nothing_of_whom_it_erases() {
    let rig = Rig::new(Limits::default());
    rig.name("ann", "Ann");
    rig.begin_to_erase("ann");
    assert_eq!(at_once(rig.entities.baseline("person", &person("ann"))).unwrap(), Rebased::Written);
    let events = rig.recorded(&person("ann"));
    let baseline = events.last().unwrap();
    let payload = String::from_utf8(baseline.payload.to_vec()).unwrap();
    assert!(&*baseline.name == BASELINE && payload.contains(r#""name":null,"label":null"#), "{payload}");
}

#[test]
fn a_baseline_of_a_state_that_is_young_enough_keeps_what_the_state_has_made_of_others() {
    let rig = Rig::new(Limits::default());
    rig.name("ann", "Ann");
    rig.begin_to_erase("ann");
    rig.subjects.saw_through();
    rig.entities.cache.forget_all();
    rig.name("ann", "Ann again");
    assert_eq!(at_once(rig.entities.baseline("person", &person("ann"))).unwrap(), Rebased::Written);
    rig.entities.cache.forget_all();
    let state = at_once(rig.entities.state_now(rig.entities.kind("person").unwrap(), &person("ann"), false)).unwrap().unwrap();
    let state = String::from_utf8(crate::request::shown_bytes(state.state).to_vec()).unwrap();
    assert_eq!(state, r#"{"name":"Ann again","label":"Dear Ann again"}"#);
}

#[test]
fn a_snapshot_that_an_erasure_overtakes_says_nothing_of_whom_it_erases() {
    let rig = Rig::new(Limits { snapshot_every_events: 1, ..Limits::default() });
    rig.name("ann", "Ann");
    rig.gated.close();
    let mut renaming = rig.command(&person("ann"), "name", r#"{"name":"Anna"}"#);
    assert!(poll(renaming.as_mut()).is_none(), "its snapshot waits for the commit");
    rig.begin_to_erase("ann");
    rig.gated.open();
    at_once(renaming).unwrap();
    let snapshots = rig.entities.snapshots.as_ref().unwrap();
    let kept = snapshots.get(&person("ann"), rig.entities.kind("person").unwrap().state_build()).unwrap();
    assert_eq!(String::from_utf8(kept.state).unwrap(), r#"{"name":null,"label":null}"#);
}

#[test]
fn a_load_that_an_erasure_overtakes_waits_for_the_commit_that_began_on_its_first_state() {
    let before = Rig::new(Limits::default());
    before.name("ann", "Ann");
    before.name("bob", "Bob");
    let rig = before.again(before.keys.crash(), Limits { cached_bytes_max: 1, ..Limits::default() });
    let seat = || rig.entities.seat(rig.entities.kind("person").unwrap(), &person("ann")).unwrap();
    let (seat, other) = (seat(), seat());
    let bystander = EntityKey::new("bystander", "b").unwrap();
    at_once(rig.command(&bystander, "come", r#"{"weight":1}"#)).unwrap();

    // An erasure begins while the state is read,
    let (subjects, model) = (Arc::clone(&rig.subjects), Arc::clone(&rig.gated.model));
    *rig.gated.trap.lock().unwrap() = Some(Box::new(move || begin_to_erase(&subjects, &model, "bob")));
    // and a command is decided on the state before the load has noticed.
    let (entities, gated) = (Arc::clone(&rig.entities), Arc::clone(&rig.gated));
    WHEN_IT_LEAVES.set(Some(Box::new(move || {
        gated.close();
        let (name, body) = ("name".into(), r#"{"name":"Anna"}"#.into());
        let asked = Asked::new((name, body), AskedId::Client(None), journal::Context::default(), gated.lineage(), &entities.mint).unwrap();
        assert!(matches!(entities.decide(&other, &asked, Expectation::Any), attempt::Step::Taken(_)));
    })));
    let mut loading = pin!(rig.entities.ready(&seat));
    assert!(poll(loading.as_mut()).is_none(), "it must not read past a commit that has its place");
    assert!(WHEN_IT_LEAVES.take().is_none(), "the bystander has left");
    rig.gated.open();
    poll(loading.as_mut()).unwrap().unwrap();
    assert_eq!(seat.lock().live().unwrap().sequence(), 2);
}
