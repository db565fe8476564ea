//! Processors whose folds fail in every place that there is: what waits is folded once, in order, and nothing is said twice.
//!
//! The processor follows orders that come with its inputs, so that a test says what fails, and a switch says whether it is mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use headwater::prelude::*;
use headwater::testkit::{Testkit, hours, minutes, seconds};

#[derive(Default, State)]
struct Sensor {}

#[derive(Command)]
enum SensorCommand {
    #[command("tell")]
    Tell { key: String, value: i64, order: String },
}

#[derive(Event)]
enum SensorEvent {
    #[event("told")]
    Told { key: String, value: i64, order: String },
}

impl Entity for Sensor {
    const NAME: &'static str = "sensor";
    type Command = SensorCommand;
    type Event = SensorEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: SensorCommand, _: &CommandContext) -> Result<Decision<SensorEvent>, Self::Rejection> {
        let SensorCommand::Tell { key, value, order } = command;
        Ok(record(SensorEvent::Told { key, value, order }))
    }

    fn evolve(&mut self, _: &SensorEvent) {}
}

#[derive(Debug, Default, PartialEq, State)]
struct Seen {
    values: Vec<i64>,
    #[field(default)]
    ratio: f64,
    #[field(default)]
    ballast: String,
}

#[derive(Debug, Default, PartialEq, State)]
#[state(version = 2)]
struct SeenAnew {
    values: Vec<i64>,
}

#[derive(Debug, PartialEq, Event)]
enum SeenEvent {
    #[event("seen")]
    Seen { value: i64 },
    #[event("woken")]
    Woken { after: Vec<i64> },
}

#[derive(Clone, Default)]
struct Watch {
    mended: Arc<AtomicBool>,
}

const MINUTE: i64 = 60_000_000;

impl Processor for Watch {
    const NAME: &'static str = "watch";
    type State = Seen;
    type Event = SeenEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("sensor", |told: &Recorded<SensorEvent>| route(&told.event), Self::see)
    }

    fn wake(&self, seen: &mut Seen, ctx: &mut ProcessorContext<SeenEvent>) {
        assert!(self.is_mended() || !seen.values.contains(&13), "woken to thirteen");
        ctx.emit(SeenEvent::Woken { after: seen.values.clone() });
    }
}

/// A route that fails leaves the processor without a key.
fn route(told: &SensorEvent) -> String {
    let SensorEvent::Told { key, order, .. } = told;
    if order == "no-key" { String::new() } else { key.clone() }
}

impl Watch {
    fn is_mended(&self) -> bool {
        self.mended.load(SeqCst)
    }

    fn mend(&self) {
        self.mended.store(true, SeqCst);
    }

    fn see(&self, seen: &mut Seen, told: Recorded<SensorEvent>, ctx: &mut ProcessorContext<SeenEvent>) {
        let SensorEvent::Told { value, order, .. } = told.event;
        match &order[..] {
            "panic" => assert!(self.is_mended(), "told to"),
            "nan" if !self.is_mended() => seen.ratio = f64::NAN,
            "huge" if !self.is_mended() => seen.ballast = "x".repeat(300 * 1024),
            "wake" => ctx.wake_at(ctx.time() + MINUTE),
            _ => {}
        }
        seen.values.push(value);
        ctx.emit(SeenEvent::Seen { value });
    }
}

fn watched(watch: &Watch) -> Testkit {
    let watch = watch.clone();
    Testkit::new(move || Service::new("sensors").entity::<Sensor>().processor(watch.clone()))
}

fn tell(kit: &Testkit, sensor: &str, key: &str, value: i64, order: &str) {
    kit.send::<Sensor>(sensor, SensorCommand::Tell { key: key.into(), value, order: order.into() }).unwrap();
}

/// Everything it has said of a key; a wake is what it had seen by then, in one number.
fn said(kit: &Testkit, key: &str) -> Vec<i64> {
    let said = |event| match event {
        SeenEvent::Seen { value } => value,
        SeenEvent::Woken { after } => 1_000 + after.iter().sum::<i64>(),
    };
    kit.emitted(Watch::default(), key).into_iter().map(said).collect()
}

fn parked(kit: &Testkit) -> Vec<String> {
    kit.parked().iter().map(|held| format!("{}: {}", held.entity, held.cause)).collect()
}

/// Inputs of one step, the third of which makes a state that cannot be written.
#[test]
fn a_state_that_cannot_be_written_parks_its_key_at_the_input_that_made_it() {
    for order in ["nan", "huge"] {
        let watch = Watch::default();
        let kit = watched(&watch);
        for (value, order) in [(1, ""), (2, ""), (3, order), (4, ""), (5, "")] {
            kit.send_later::<Sensor>("s1", SensorCommand::Tell { key: "k".into(), value, order: order.into() }).unwrap();
            tell(&kit, "s2", "other", value, "");
        }
        kit.settle();
        assert_eq!((said(&kit, "k"), said(&kit, "other")), (vec![1, 2], vec![1, 2, 3, 4, 5]), "{order}: {:?}", parked(&kit));
        assert_eq!(kit.parked().len(), 1, "{order}");
        watch.mend();
        kit.redrive();
        kit.settle();
        assert_eq!((said(&kit, "k"), parked(&kit)), (vec![1, 2, 3, 4, 5], vec![]), "{order}");
    }
}

#[test]
fn a_wake_that_fails_parks_its_key_behind_what_was_folded() {
    let watch = Watch::default();
    let kit = watched(&watch);
    tell(&kit, "s1", "k", 13, "wake");
    kit.settle();
    kit.advance(minutes(2));
    kit.settle();
    assert_eq!(parked(&kit), ["watch/k: the processor panicked: woken to thirteen"]);
    tell(&kit, "s1", "k", 1, "wake");
    tell(&kit, "s1", "k", 2, "");
    kit.advance(hours(1));
    for _ in 0..2 {
        assert_eq!(kit.redrive(), 1);
        kit.settle();
        kit.crash();
        kit.settle();
        assert_eq!((said(&kit, "k"), kit.parked().len()), (vec![13], 1), "it fails again, and what waits goes on waiting");
    }
    watch.mend();
    kit.redrive();
    kit.settle();
    assert_eq!(said(&kit, "k"), [13, 1_013, 1, 2, 1_016], "each wake sees what had come by its own time");
    assert_eq!(parked(&kit), Vec::<String>::new());
}

/// The input of another key wakes this one, right behind its own last input.
#[test]
fn a_wake_that_an_input_brings_folds_nothing_twice() {
    struct Timed(Watch);
    impl Processor for Timed {
        const NAME: &'static str = "watch";
        type State = SeenAnew;
        type Event = SeenEvent;
        fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
            let route = |told: &Recorded<SensorEvent>| {
                let SensorEvent::Told { key, value, .. } = &told.event;
                Route::to(key.clone()).at(*value)
            };
            inputs.events("sensor", route, |_, seen: &mut SeenAnew, told, ctx| {
                let SensorEvent::Told { value, .. } = told.event;
                seen.values.push(value);
                ctx.wake_at(value + 10);
                ctx.emit(SeenEvent::Seen { value });
            })
        }
        fn wake(&self, seen: &mut SeenAnew, ctx: &mut ProcessorContext<SeenEvent>) {
            assert!(self.0.is_mended(), "woken");
            ctx.emit(SeenEvent::Woken { after: seen.values.clone() });
        }
        fn clock(&self) -> EventClock {
            EventClock::Own
        }
    }
    let watch = Watch::default();
    let timed = watch.clone();
    let kit = Testkit::new(move || Service::new("sensors").entity::<Sensor>().processor(Timed(timed.clone())));
    tell(&kit, "s1", "k", 5, "");
    tell(&kit, "s1", "x", 30, "");
    tell(&kit, "s1", "k", 31, "");
    kit.settle();
    assert_eq!((said(&kit, "k"), said(&kit, "x"), kit.parked().len()), (vec![5], vec![30], 1));
    watch.mend();
    kit.redrive();
    kit.settle();
    assert_eq!((said(&kit, "k"), parked(&kit)), (vec![5, 1_005, 31], vec![]));
}

#[test]
fn a_wake_that_fails_may_be_passed_over_and_not_edited() {
    let kit = watched(&Watch::default());
    tell(&kit, "s1", "k", 13, "wake");
    kit.advance(minutes(2));
    kit.settle();
    tell(&kit, "s1", "k", 1, "");
    kit.settle();
    kit.discard("watch", "watch", "k");
    kit.settle();
    assert_eq!((said(&kit, "k"), parked(&kit)), (vec![13, 1], vec![]));
}

/// The key waits, and so does an entity with events for it: whichever goes on first, every input is folded once.
#[test]
fn a_key_and_an_entity_that_wait_for_each_other_lose_nothing() {
    for keys_first in [true, false] {
        for late_entity in [true, false] {
            let watch = Watch::default();
            let kit = watched(&watch);
            if late_entity {
                tell(&kit, "s1", "k", 13, "panic");
                tell(&kit, "s2", "k", 2, "");
                tell(&kit, "s2", "k", 99, "no-key");
                tell(&kit, "s2", "k", 4, "");
            } else {
                tell(&kit, "s2", "k", 99, "no-key");
                tell(&kit, "s2", "k", 2, "");
                tell(&kit, "s1", "k", 13, "panic");
                tell(&kit, "s2", "k", 4, "");
            }
            kit.settle();
            assert_eq!(kit.parked().len(), 2, "{:?}", parked(&kit));
            watch.mend();
            let go_on = |key: bool| {
                if key {
                    kit.redrive();
                } else {
                    kit.discard("watch", "sensor", "s2");
                }
                kit.settle();
                kit.crash();
                kit.settle();
            };
            // A redrive is for both: the entity fails again, the key goes on.
            go_on(keys_first);
            go_on(!keys_first);
            kit.redrive();
            kit.settle();
            let mut seen = said(&kit, "k");
            seen.sort_unstable();
            assert_eq!((seen, parked(&kit)), (vec![2, 4, 13], vec![]), "keys first: {keys_first}, late entity: {late_entity}");
        }
    }
}

#[test]
fn keys_that_fail_again_are_tried_once_each() {
    let kit = watched(&Watch::default());
    for key in 0..6 {
        tell(&kit, "s1", &format!("k{key}"), key, "panic");
    }
    kit.settle();
    assert_eq!(kit.redrive(), 6);
    kit.settle();
    let runs: Vec<u32> = kit.held().iter().map(|held| held.attempts).collect();
    assert_eq!(runs, [2; 6]);
}

/// A service whose processor has its first shape, then a second one, then a third.
fn shapes(watch: &Watch, builds: &Arc<AtomicU32>) -> Testkit {
    struct Anew<const VERSION: u16>(Watch);
    macro_rules! anew {
        ($version:literal, $state:ty) => {
            impl Processor for Anew<$version> {
                const NAME: &'static str = "watch";
                type State = $state;
                type Event = SeenEvent;
                fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
                    let see = |this: &Self, seen: &mut $state, told: Recorded<SensorEvent>, ctx: &mut ProcessorContext<SeenEvent>| {
                        let SensorEvent::Told { value, order, .. } = told.event;
                        assert!(order != "panic-2" || $version != 2, "the second shape cannot");
                        assert!(order != "panic" || this.0.is_mended(), "told to");
                        if order == "wake" {
                            ctx.wake_at(ctx.time() + MINUTE);
                        }
                        seen.values.push(value);
                        ctx.emit(SeenEvent::Seen { value });
                    };
                    inputs.events("sensor", |told: &Recorded<SensorEvent>| route(&told.event), see)
                }
                fn wake(&self, seen: &mut $state, ctx: &mut ProcessorContext<SeenEvent>) {
                    ctx.emit(SeenEvent::Woken { after: seen.values.clone() });
                }
            }
        };
    }
    #[derive(Default, State)]
    #[state(version = 3)]
    struct SeenAgain {
        values: Vec<i64>,
    }
    anew!(2, SeenAnew);
    anew!(3, SeenAgain);
    let (watch, builds) = (watch.clone(), Arc::clone(builds));
    Testkit::new(move || {
        let service = Service::new("sensors").entity::<Sensor>();
        match builds.load(SeqCst) {
            0 => service.processor(watch.clone()),
            1 => service.processor(Anew::<2>(watch.clone())),
            _ => service.processor(Anew::<3>(watch.clone())),
        }
    })
}

#[test]
fn a_new_shape_wakes_nobody_twice() {
    let builds = Arc::default();
    let kit = shapes(&Watch::default(), &builds);
    tell(&kit, "s1", "k", 1, "wake");
    kit.advance(minutes(2));
    tell(&kit, "s1", "k", 2, "wake");
    kit.settle();
    kit.advance(seconds(30));
    builds.store(1, SeqCst);
    kit.restart();
    kit.settle();
    assert_eq!(said(&kit, "k"), [1, 1_001, 2]);
    kit.crash();
    kit.advance(minutes(2));
    kit.settle();
    assert_eq!(said(&kit, "k"), [1, 1_001, 2, 1_003], "what had not come yet comes once");
}

#[test]
fn two_new_shapes_in_a_row_say_what_was_parked_and_nothing_twice() {
    let (watch, builds) = (Watch::default(), Arc::default());
    let kit = shapes(&watch, &builds);
    for (key, value, order) in [("k", 1, ""), ("l", 1, "panic-2"), ("k", 2, "panic"), ("l", 2, ""), ("k", 3, "")] {
        tell(&kit, "s1", key, value, order);
    }
    kit.settle();
    assert_eq!((said(&kit, "k"), said(&kit, "l")), (vec![1], vec![1, 2]));
    watch.mend();
    builds.store(1, SeqCst);
    kit.restart();
    kit.settle();
    assert_eq!(parked(&kit), ["watch/l: the processor panicked: the second shape cannot"]);
    builds.store(2, SeqCst);
    kit.restart();
    kit.settle();
    tell(&kit, "s1", "l", 3, "");
    kit.crash();
    kit.settle();
    assert_eq!((said(&kit, "k"), said(&kit, "l"), parked(&kit)), (vec![1, 2, 3], vec![1, 2, 3], vec![]));
}

/// More keys are woken at once, with more to keep, than one commit takes.
#[test]
fn a_step_that_is_too_large_is_made_of_smaller_ones() {
    struct Heavy;
    #[derive(Default, State)]
    struct Ballast {
        ballast: String,
    }
    impl Processor for Heavy {
        const NAME: &'static str = "heavy";
        type State = Ballast;
        type Event = SeenEvent;
        fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
            inputs.events(
                "sensor",
                |told: &Recorded<SensorEvent>| route(&told.event),
                |_, ballast: &mut Ballast, _, ctx| {
                    ballast.ballast = "x".repeat(100 * 1024);
                    ctx.wake_at(1_800_000_000_000_000);
                },
            )
        }
        fn wake(&self, ballast: &mut Ballast, ctx: &mut ProcessorContext<SeenEvent>) {
            ctx.emit(SeenEvent::Seen { value: i64::try_from(ballast.ballast.len()).unwrap() });
        }
    }
    let kit = Testkit::new(|| Service::new("sensors").entity::<Sensor>().processor(Heavy));
    for key in 0..120 {
        tell(&kit, "s1", &format!("k{key}"), key, "");
    }
    kit.settle();
    kit.advance(hours(24 * 400));
    kit.settle();
    for key in 0..120 {
        assert_eq!(kit.emitted(Heavy, &format!("k{key}")), [SeenEvent::Seen { value: 102_400 }]);
    }
}

/// A time that is asked for again, after it has come, is another wake.
#[test]
fn a_time_may_be_asked_for_again() {
    struct Again;
    impl Processor for Again {
        const NAME: &'static str = "again";
        type State = SeenAnew;
        type Event = SeenEvent;
        fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
            inputs.events(
                "sensor",
                |told: &Recorded<SensorEvent>| route(&told.event),
                |_, seen: &mut SeenAnew, told, ctx| {
                    let SensorEvent::Told { value, .. } = told.event;
                    seen.values.push(value);
                    ctx.wake_at(7);
                },
            )
        }
        fn wake(&self, seen: &mut SeenAnew, ctx: &mut ProcessorContext<SeenEvent>) {
            ctx.emit(SeenEvent::Woken { after: seen.values.clone() });
        }
    }
    let kit = Testkit::new(|| Service::new("sensors").entity::<Sensor>().processor(Again)).delays();
    for value in 1..=20 {
        kit.send_later::<Sensor>("s1", SensorCommand::Tell { key: "k".into(), value, order: String::new() }).unwrap();
    }
    kit.settle();
    kit.advance(seconds(1));
    kit.settle();
    let woken: Vec<usize> = kit
        .emitted(Again, "k")
        .into_iter()
        .map(|event| match event {
            SeenEvent::Woken { after } => after.len(),
            SeenEvent::Seen { .. } => 0,
        })
        .collect();
    assert_eq!(woken, (1..=20).collect::<Vec<_>>());
}
