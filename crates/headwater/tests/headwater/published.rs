//! Messages that actions publish: whatever is delivered twice, late or cut short, each is there once, in order.

use headwater::prelude::*;
use headwater::testkit::{Testkit, seeds};

#[derive(Debug, Default, PartialEq, State)]
struct Door {
    opened: u32,
}

#[derive(Command)]
enum DoorCommand {
    #[command("open")]
    Open { times: u32 },
}

#[derive(Debug, PartialEq, Event)]
enum DoorEvent {
    #[event("opened")]
    Opened { times: u32 },
}

impl Entity for Door {
    const NAME: &'static str = "door";
    type Command = DoorCommand;
    type Event = DoorEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: DoorCommand, _: &CommandContext) -> Result<Decision<DoorEvent>, Self::Rejection> {
        let DoorCommand::Open { times } = command;
        Ok(record(DoorEvent::Opened { times }))
    }

    fn evolve(&mut self, _: &DoorEvent) {
        self.opened += 1;
    }
}

#[derive(Debug, PartialEq, Value)]
struct Ring {
    door: String,
    number: u32,
}

struct Bell;

impl Topic for Bell {
    const NAME: &'static str = "bell";
    type Message = Ring;
}

/// Rings as often as the door was opened.
struct RingBell;

impl Action for RingBell {
    const NAME: &'static str = "ring-bell";
    const ENTITY: &'static str = "door";
    type Event = DoorEvent;

    async fn run(&self, event: Recorded<DoorEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let (door, DoorEvent::Opened { times }) = (event.entity_id, event.event);
        for number in 0..times {
            ctx.publish::<Bell>(&door, &Ring { door: door.clone(), number }).await?;
        }
        Ok(())
    }

    fn publishes() -> Topics {
        Topics::none().with::<Bell>()
    }
}

/// Publishes, and does not say so.
struct RingSecretly;

impl Action for RingSecretly {
    const NAME: &'static str = "ring-secretly";
    const ENTITY: &'static str = "door";
    type Event = DoorEvent;

    async fn run(&self, event: Recorded<DoorEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let ring = Ring { door: event.entity_id.clone(), number: 0 };
        Ok(ctx.publish::<Bell>(event.entity_id, &ring).await?)
    }
}

fn house() -> Service {
    Service::new("house").entity::<Door>().topic_of::<Ring>("bell").action(RingBell)
}

fn rings(door: &str, times: u32) -> Vec<Ring> {
    (0..times).map(|number| Ring { door: door.to_owned(), number }).collect()
}

#[test]
fn what_an_action_publishes_is_there_once_and_in_order_under_all_faults() {
    let mut crashes = 0;
    for seed in seeds(30) {
        let house = Testkit::new(house).seed(seed).duplicates().delays().reorder().crashes(0.02);
        for (door, times) in [("front", 3), ("back", 2), ("front", 1)] {
            house.send::<Door>(door, DoorCommand::Open { times }).unwrap();
        }
        house.settle();
        assert_eq!(
            house.messages::<Bell>("front"),
            [rings("front", 3), rings("front", 1)].into_iter().flatten().collect::<Vec<_>>(),
            "seed {seed}"
        );
        assert_eq!(house.messages::<Bell>("back"), rings("back", 2), "seed {seed}");
        crashes += house.crash_count();
    }
    assert!(crashes > 10, "{crashes} crashes");
}

#[test]
fn an_action_says_what_it_publishes() {
    let opened = || DoorEvent::Opened { times: 1 };
    given_action(RingBell).when("front", opened()).sends([message_to::<Bell>("front", &Ring { door: "front".into(), number: 0 })]);
    given_action(RingSecretly).when("front", opened()).parks();
}
