//! Failed tests of rules: each expectation can fail, and says how.

use headwater::{Command, CommandContext, Decision, Entity, Event, Rejection, State, given, nothing, record, tag};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Default, State)]
struct Clock {
    ticks: u64,
}

#[derive(Command)]
enum ClockCommand {
    #[command("tick")]
    Tick { times: u64 },
}

#[derive(Event)]
enum ClockEvent {
    #[event("ticked")]
    Ticked { at: i64, sequence: u64, by: Option<String> },
}

#[derive(Rejection)]
enum ClockRejection {
    #[rejection("too-fast", "no more than {most} at once")]
    TooFast { most: u64 },
}

impl Entity for Clock {
    const NAME: &'static str = "clock";
    type Command = ClockCommand;
    type Event = ClockEvent;
    type Reply = u64;
    type Rejection = ClockRejection;

    fn decide(&self, command: ClockCommand, context: &CommandContext) -> Result<Decision<ClockEvent, u64>, ClockRejection> {
        let ClockCommand::Tick { times } = command;
        match times {
            0 => Ok(nothing().reply(self.ticks)),
            1 => {
                let ticked = ClockEvent::Ticked { at: context.time_micros, sequence: context.sequence, by: context.principal.clone() };
                Ok(record(ticked).reply(self.ticks + 1))
            }
            _ => Err(ClockRejection::TooFast { most: 1 }),
        }
    }

    fn evolve(&mut self, _: &ClockEvent) {
        self.ticks += 1;
    }
}

const TICK: ClockCommand = ClockCommand::Tick { times: 1 };

fn ticked(at: i64, sequence: u64) -> ClockEvent {
    ClockEvent::Ticked { at, sequence, by: None }
}

/// What the test says when it fails.
#[track_caller]
fn message(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("the test should have failed");
    panic.downcast_ref::<String>().expect("a formatted message").clone()
}

#[test]
fn the_context_is_the_tests_own() {
    given::<Clock>([ticked(1, 0), ticked(2, 1)])
        .at(77)
        .when(TICK)
        .then([ticked(77, 2)])
        .at(78)
        .by("ada")
        .when(TICK)
        .then([ClockEvent::Ticked { at: 78, sequence: 3, by: Some("ada".into()) }])
        .replied(4);
}

#[test]
fn other_events_are_shown_side_by_side() {
    let said = message(|| drop(given::<Clock>([]).at(7).when(TICK).then([ticked(8, 0)])));
    let expected = r#"when clock: tick {"times":1}

    expected         | actual
    ticked version 1 | ticked version 1
    {                | {
  !   "at": 8,       |   "at": 7,
      "by": null,    |   "by": null,
      "sequence": 0  |   "sequence": 0
    }                | }
"#;
    assert_eq!(said, expected);
}

#[test]
fn every_expectation_can_fail() {
    let fast = || given::<Clock>([]).when(ClockCommand::Tick { times: 2 });
    let one = || given::<Clock>([]).at(1).when(TICK);
    assert!(message(|| drop(fast().then([]))).contains("rejected too-fast: no more than 1 at once"));
    assert!(message(|| drop(fast().replied(1))).contains("rejected too-fast"));
    assert!(message(|| drop(fast().rejected(ClockRejection::TooFast { most: 2 }))).contains(r#"!   "most": 2"#));
    assert!(message(|| drop(one().rejected(ClockRejection::TooFast { most: 1 }))).contains("accepted"));
    assert!(message(|| drop(one().then([]))).contains("no events"));
    assert!(message(|| drop(one().replied(2))).contains("reply 1"));
    assert!(message(|| drop(one().tagged([tag("a", "b")]))).contains("no tags"));
    assert!(message(|| drop(one().state(|clock| assert_eq!(clock.ticks, 9, "ticks")))).contains("ticks"));
}
