//! Workflows that actions start, signal and cancel: whatever is delivered twice, late or cut short, each is told once, in order.

use headwater::prelude::*;
use headwater::testkit::{Testkit, WorkflowState, seeds};

#[derive(Debug, Default, PartialEq, State)]
struct Meter {
    readings: u32,
}

#[derive(Command)]
enum MeterCommand {
    #[command("begin")]
    Begin,
    #[command("read")]
    Read { value: u32 },
    #[command("end")]
    End { in_order: bool },
}

#[derive(Debug, PartialEq, Event)]
enum MeterEvent {
    #[event("begun")]
    Begun,
    #[event("read")]
    Read { value: u32 },
    #[event("ended")]
    Ended { in_order: bool },
}

impl Entity for Meter {
    const NAME: &'static str = "meter";
    type Command = MeterCommand;
    type Event = MeterEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent>, Self::Rejection> {
        Ok(record(match command {
            MeterCommand::Begin => MeterEvent::Begun,
            MeterCommand::Read { value } => MeterEvent::Read { value },
            MeterCommand::End { in_order } => MeterEvent::Ended { in_order },
        }))
    }

    fn evolve(&mut self, _: &MeterEvent) {
        self.readings += 1;
    }
}

/// Gives all that it is told, until there is no more.
struct Tally;

impl Workflow for Tally {
    const NAME: &'static str = "tally";
    type Input = String;
    type Output = Vec<u32>;

    async fn run(&self, ctx: &WorkflowContext, _: String) -> Result<Vec<u32>, Failure> {
        let mut all = Vec::new();
        while let Some(value) = ctx.wait_for::<Option<u32>>("reading").await {
            all.push(value);
        }
        Ok(all)
    }

    fn signals() -> Signals {
        Signals::none().with::<Option<u32>>("reading")
    }
}

struct TellTally;

impl Action for TellTally {
    const NAME: &'static str = "tell-tally";
    const ENTITY: &'static str = "meter";
    type Event = MeterEvent;

    async fn run(&self, event: Recorded<MeterEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let tally = ctx.workflow::<Tally>(&event.entity_id);
        let is_taken = match event.event {
            MeterEvent::Begun => tally.start(&event.entity_id).await.map(|()| true)?,
            MeterEvent::Read { value } => tally.signal("reading", &Some(value)).await?,
            MeterEvent::Ended { in_order: true } => tally.signal("reading", &None::<u32>).await?,
            MeterEvent::Ended { in_order: false } => tally.cancel("the meter is broken").await?,
        };
        if is_taken { Ok(()) } else { Err(ActionError::park("nobody listens")) }
    }
}

fn service() -> Service {
    Service::new("meters").entity::<Meter>().workflow(Tally).action(TellTally)
}

#[test]
fn what_an_action_tells_a_workflow_is_told_once_and_in_order_under_all_faults() {
    let mut crashes = 0;
    for seed in seeds(40) {
        let meters = Testkit::new(service).seed(seed).duplicates().delays().reorder().crashes(0.02);
        for id in ["m1", "m2"] {
            meters.send::<Meter>(id, MeterCommand::Begin).unwrap();
            for value in 1..=5 {
                meters.send::<Meter>(id, MeterCommand::Read { value }).unwrap();
            }
            meters.send::<Meter>(id, MeterCommand::End { in_order: id == "m1" }).unwrap();
        }
        meters.settle();
        assert!(meters.parked().is_empty(), "seed {seed}: {:?}", meters.parked());
        assert_eq!(meters.workflow::<Tally>("m1").ended().unwrap(), [1, 2, 3, 4, 5], "seed {seed}");
        assert_eq!(meters.workflow::<Tally>("m2").state(), WorkflowState::Cancelled, "seed {seed}");
        crashes += meters.crash_count();
    }
    assert!(crashes > 20, "{crashes} crashes");
}

#[test]
fn an_action_is_told_when_nobody_listens() {
    let meters = Testkit::new(service);
    meters.send::<Meter>("never-begun", MeterCommand::Read { value: 1 }).unwrap();
    meters.send::<Meter>("ended", MeterCommand::Begin).unwrap();
    for _ in 0..2 {
        meters.send::<Meter>("ended", MeterCommand::End { in_order: true }).unwrap();
    }
    meters.send::<Meter>("never-begun-2", MeterCommand::End { in_order: false }).unwrap();
    meters.settle();
    let parked: Vec<_> = meters.parked().into_iter().map(|held| (held.entity, held.cause)).collect();
    assert_eq!(parked.len(), 3, "{parked:?}");
    assert!(parked.iter().all(|(_, cause)| cause.contains("nobody listens")), "{parked:?}");
}
