//! What goes on while somebody is erased: processors, and other erasures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use component::hosted::{ActionHandle, CommandContext, ProcessorHandle};
use component::{
    Action, ActionContext, ActionError, Command, Decision, Entity, Event, Inputs, Personal, Processor, ProcessorContext, Recorded, Route,
    Start, State, hosted, hosted_action, hosted_processor, record,
};
use journal::seams::{Clock, ThreadSpawner};
use journal::sim::{SimDisk, SimRandom};
use journal::{Context, EntityKey, Journal, Registers};
use runtime::seams::TokioTasks;
use runtime::{CommandRequest, Decision as Why, EraseError, Erasure, Expectation, Limits, Moment, Parts, PlantedBug, Runtime};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::gate::Gate;
use crate::rig::{Started, model, waits};

#[derive(Default, State)]
struct Person {
    name: Personal<String>,
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
    }
}

/// Takes its time.
struct Visitor {
    begun: Arc<AtomicUsize>,
    gate: watch::Sender<bool>,
}

impl Action for Visitor {
    const NAME: &'static str = "visitor";
    const ENTITY: &'static str = "person";
    type Event = PersonEvent;

    async fn run(&self, _: Recorded<PersonEvent>, _: &ActionContext) -> Result<(), ActionError> {
        self.begun.fetch_add(1, SeqCst);
        drop(self.gate.subscribe().wait_for(|is_open| *is_open).await);
        Ok(())
    }
}

/// Everybody's names.
struct Register;

#[derive(Default, State)]
struct Names {
    names: Vec<Personal<String>>,
}

impl Processor for Register {
    const NAME: &'static str = "register";
    type State = Names;
    type Event = PersonEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("person", |_: &Recorded<PersonEvent>| Route::to("all".to_owned()), Self::enter)
    }

    fn start(&self) -> Start {
        Start::First
    }
}

impl Register {
    fn enter(&self, state: &mut Names, event: Recorded<PersonEvent>, _: &mut ProcessorContext<PersonEvent>) {
        let PersonEvent::Named { name } = event.event;
        state.names.push(name);
    }
}

async fn service(actions: Vec<ActionHandle>, processors: Vec<ProcessorHandle>) -> (Arc<Runtime>, Arc<Gate>) {
    let (journal, clock) = model();
    let gate = Arc::new(Gate::new(Arc::clone(&journal)));
    let parts = Parts {
        service: "people".into(),
        journal: Arc::clone(&gate) as Arc<dyn Journal>,
        registers: journal as Arc<dyn Registers>,
        entities: vec![hosted::<Person>()],
        operations: Vec::new(),
        actions,
        processors,
        topics: Vec::new(),
        streams: runtime::StreamParts::default(),
        clock: clock as Arc<dyn Clock>,
        random: Arc::new(SimRandom::new(5)),
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: None,
        views: Vec::new(),
        outgoing: None,
        destinations: Vec::new(),
        keys: Some(Arc::new(SimDisk::new(1))),
        keys_lost: None,
        retention: Vec::new(),
        compatibility: Vec::new(),
        shared_views: None,
        view_folder: None,
        timer_folder: None,
        workflow_folder: None,
        workflows: Vec::new(),
        notices: Arc::new(|_| {}),
        limits: Limits::default(),
        planted: PlantedBug::None,
        node: runtime::NodeSetup::default(),
    };
    let runtime = Arc::new(Runtime::new(parts).unwrap());
    runtime.begin().await.unwrap();
    (runtime, gate)
}

fn person(who: &str) -> EntityKey {
    EntityKey::new("person", who).unwrap()
}

async fn name(runtime: &Runtime, who: &str, name: &str) {
    let body = json!({ "name": name }).to_string().into();
    let (entity, command, expect) = (person(who), "name".to_owned(), Expectation::Any);
    runtime.command(CommandRequest { entity, command, body, id: None, expect, context: Context::default() }).await.unwrap();
}

async fn name_of(runtime: &Runtime, who: &str) -> Json {
    let read = runtime.state(&person(who), Moment::Now, false).await.unwrap().unwrap();
    serde_json::from_slice::<Json>(&read.state).unwrap()["name"].take()
}

fn erase(runtime: &Arc<Runtime>, who: &str) -> Started<Result<Erasure, EraseError>> {
    let (runtime, subject) = (Arc::clone(runtime), format!("person/{who}"));
    Box::pin(async move { runtime.erase("", &subject, Why::default()).await })
}

/// Lets everybody go on until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if holds().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what} does not come");
}

#[tokio::test]
async fn an_erasure_that_waits_for_runs_holds_up_no_other_which_waits_for_them_too() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
    let visitor = Visitor { begun: Arc::clone(&begun), gate: gate.clone() };
    let (runtime, _) = service(vec![hosted_action(visitor)], Vec::new()).await;
    name(&runtime, "ann", "Ann").await;
    until("the run", async || begun.load(SeqCst) == 1).await;
    let mut first = erase(&runtime, "ann");
    assert!(waits(&mut first).await);
    until("the first erasure", async || name_of(&runtime, "ann").await.is_null()).await;
    name(&runtime, "bob", "Bob").await;
    until("the other run", async || begun.load(SeqCst) == 2).await;
    let mut second = erase(&runtime, "bob");
    assert!(waits(&mut second).await);
    until("the second erasure", async || name_of(&runtime, "bob").await.is_null()).await;
    // A third, after which no run has begun, waits for those that the others wait for.
    let mut third = erase(&runtime, "bob");
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(waits(&mut first).await && waits(&mut second).await && waits(&mut third).await, "runs have names in their hands");
    }
    gate.send_replace(true);
    assert_eq!([first.await, second.await, third.await].map(|erasure| erasure.unwrap().keys), [1, 1, 0]);
}

#[tokio::test]
async fn a_processor_at_work_goes_on_over_an_erasure_without_beginning_again() {
    let (runtime, gate) = service(Vec::new(), vec![hosted_processor(Register)]).await;
    let names = async || {
        let sight = runtime.processor_key("register", &EntityKey::new("register", "all").unwrap()).await.unwrap();
        sight.state.map_or(Json::Null, |mut state| state["names"].take())
    };
    name(&runtime, "ann", "Ann").await;
    name(&runtime, "bob", "Bob").await;
    until("both names", async || names().await == json!(["Ann", "Bob"])).await;
    let begun = gate.listings("$processor");
    assert!(begun > 0, "a session that begins lists the keys");
    erase(&runtime, "ann").await.unwrap();
    name(&runtime, "cat", "Cat").await;
    until("the third name", async || names().await == json!([null, "Bob", "Cat"])).await;
    assert_eq!(gate.listings("$processor"), begun, "one session");
}
