//! What holds a pass up, and what does not.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use component::hosted::CommandContext;
use component::{Action, ActionContext, ActionError, Command, Decision, Entity, Event, Recorded, State, hosted, hosted_action, record};
use journal::seams::Random;
use journal::sim::SimRandom;
use journal::{BASELINE, Context, EntityKey, ReadError, Selection};

use super::*;
use crate::Limits;
use crate::entity::tests::{Rig, person};
use crate::personal::runs::Runs;
use crate::request::{CommandRequest, Expectation};
use crate::seams::sim::SimTasks;
use crate::testing::{Components, Faults, HttpStubs, Simulation, at_once};

/// Retention of persons, of whom nothing is kept, over what the rig stands on.
fn retention(rig: &Rig) -> Retention {
    let journal = Arc::clone(&rig.gated) as Arc<dyn Journal>;
    let seams = Seams {
        runs: Runs::new(&journal, Some(&rig.subjects)),
        journal: Arc::clone(&journal),
        registers: Arc::clone(&rig.gated.model) as Arc<dyn Registers>,
        clock: Arc::clone(&rig.clock) as Arc<dyn Clock>,
        random: Arc::new(SimRandom::new(3)) as Arc<dyn Random>,
        tasks: Arc::new(SimTasks::new(Arc::clone(&rig.clock), 3)),
        notices: Arc::new(|_| {}),
        stall_after: Duration::from_secs(60),
        nodes: alone(rig),
    };
    Retention::new((journal, &seams), &rig.entities, (vec![("person", Keep::last(0))], Duration::from_secs(86_400)), Lost::default())
}

fn alone(rig: &Rig) -> Arc<Nodes> {
    let (registers, clock) = (Arc::clone(&rig.gated.model) as Arc<dyn Registers>, Arc::clone(&rig.clock) as Arc<dyn Clock>);
    let (random, tasks) =
        (Arc::new(SimRandom::new(3)) as Arc<dyn Random>, Arc::new(SimTasks::new(Arc::clone(&rig.clock), 3)) as Arc<dyn Tasks>);
    let says = Arc::new(|_: &str| {}) as Notices;
    Arc::new(Nodes::new(crate::NodeSetup::default(), false, &registers, (&clock, &random), (&tasks, &says)))
}

fn pass(retention: &Retention) -> Result<(), String> {
    let nobody_reads: Pins = Arc::new(|| Box::pin(std::future::ready(Ok(Vec::new()))));
    at_once(retention.pass(&nobody_reads))
}

fn baselines(rig: &Rig, who: &str) -> usize {
    rig.recorded(&person(who)).iter().filter(|event| &*event.name == BASELINE).count()
}

#[test]
fn a_key_that_is_missing_holds_its_entity_back_and_no_other() {
    let before = Rig::new(Limits::default());
    for who in ["ann", "cat"] {
        before.name(who, "Ann");
        before.name(who, "Anna");
    }
    let older = before.keys.crash();
    before.name("bob", "Bob");
    before.name("bob", "Robert");
    let rig = before.again(older, Limits::default());
    let retention = retention(&rig);
    pass(&retention).unwrap();
    let status = retention.status().unwrap();
    assert_eq!((status.passes, status.baselines, status.unreadable), (1, 2, 1));
    assert_eq!(["ann", "bob", "cat"].map(|who| baselines(&rig, who)), [1, 0, 1]);
}

#[test]
fn a_compaction_that_fails_may_have_taken_events_and_views_know_of_it() {
    let rig = Rig::new(Limits::default());
    rig.name("ann", "Ann");
    let retention = retention(&rig);
    pass(&retention).unwrap();
    assert!(retention.lost().is_empty(), "it took nothing");
    *rig.gated.compacts.lock().unwrap() = Err(ReadError::Unavailable { cause: "the disk fails".to_owned() });
    assert_eq!(pass(&retention).unwrap_err(), ReadError::Unavailable { cause: "the disk fails".to_owned() }.to_string());
    assert!(retention.lost().contains("person"));
}

#[derive(Default, State)]
struct Meter {}

#[derive(Command)]
enum MeterCommand {
    #[command("read")]
    Read,
}

#[derive(Event)]
enum MeterEvent {
    #[event("taken")]
    Taken,
}

impl Entity for Meter {
    const NAME: &'static str = "meter";
    type Command = MeterCommand;
    type Event = MeterEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, _: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent>, Self::Rejection> {
        Ok(record(MeterEvent::Taken))
    }

    fn evolve(&mut self, _: &MeterEvent) {}
}

struct Bill;

impl Action for Bill {
    const NAME: &'static str = "bill";
    const ENTITY: &'static str = "meter";
    type Event = MeterEvent;

    async fn run(&self, _: Recorded<MeterEvent>, _: &ActionContext) -> Result<(), ActionError> {
        Ok(())
    }
}

fn billing() -> Components {
    Components {
        service: "meters".to_owned(),
        entities: vec![hosted::<Meter>()],
        operations: Vec::new(),
        actions: vec![hosted_action(Bill)],
        processors: Vec::new(),
        topics: Vec::new(),
        streams: crate::StreamParts::default(),
        views: Vec::new(),
        workflows: Vec::new(),
        destinations: Vec::new(),
        retention: vec![("meter", Keep::last(0))],
        compatibility: Vec::new(),
    }
}

fn read_meter(service: &Simulation) {
    let read = service.ask(|runtime| {
        let entity = EntityKey::new("meter", "m").unwrap();
        let request = CommandRequest {
            entity,
            command: "read".to_owned(),
            body: "{}".into(),
            id: None,
            expect: Expectation::Any,
            context: Context::default(),
        };
        Box::pin(async move { runtime.command(request).await })
    });
    read.unwrap();
}

fn readings(service: &Simulation) -> usize {
    service.recorded(Selection::Types(vec!["meter/taken".into()])).len()
}

#[test]
fn nothing_goes_that_a_consumer_whose_place_is_lost_may_be_given() {
    let service = Simulation::new(1, Faults::default(), Arc::new(HttpStubs::default()), Box::new(billing)).unwrap();
    (0..4).for_each(|_| read_meter(&service));
    service.settle().unwrap();
    let registers = service.registers();
    let place = at_once(registers.get("consumer/bill")).unwrap().unwrap();
    service.restart();
    let lost = at_once(registers.get("consumer/bill")).unwrap().unwrap();
    assert!(lost.revision > place.revision);
    at_once(registers.delete("consumer/bill", lost.revision)).unwrap();
    service.crash();
    service.advance(Duration::from_secs(3 * 86_400));
    assert_eq!(readings(&service), 4);
    let status = service.ask(|runtime| Box::pin(async move { runtime.retention() })).unwrap();
    let waits = status.waits.unwrap().to_string();
    assert!(status.passes > 0 && waits.contains("consumer bill, whose place is lost"), "{waits}");

    service
        .ask(|runtime| {
            Box::pin(async move { runtime.place_consumer("bill", journal::Cursor::BEGINNING, crate::Decision::default()).await })
        })
        .unwrap();
    service.advance(Duration::from_secs(3 * 86_400));
    assert_eq!(readings(&service), 0);
}
