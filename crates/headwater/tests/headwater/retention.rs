//! Retention of a whole service, under virtual time: what goes, what stays, and that nobody's answer changes by it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use headwater::prelude::*;
use headwater::testkit::{Testkit, days, seeds};
use headwater::{Running, SendError};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::personal::{asked, got};

#[derive(Debug, Default, PartialEq, State)]
struct Meter {
    count: u32,
    total: u64,
    owner: Personal<String>,
}

#[derive(Command)]
enum MeterCommand {
    #[command("read")]
    Read { value: u64 },
    #[command("own")]
    Own { owner: Personal<String> },
}

#[derive(Debug, PartialEq, Event)]
enum MeterEvent {
    #[event("taken")]
    Taken { value: u64 },
    #[event("owned")]
    Owned { owner: Personal<String> },
}

impl Entity for Meter {
    const NAME: &'static str = "meter";
    type Command = MeterCommand;
    type Event = MeterEvent;
    type Reply = u32;
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent, u32>, Self::Rejection> {
        Ok(match command {
            MeterCommand::Read { value } => record(MeterEvent::Taken { value }).reply(self.count + 1),
            MeterCommand::Own { owner } => record(MeterEvent::Owned { owner }).reply(self.count),
        })
    }

    fn evolve(&mut self, event: &MeterEvent) {
        match event {
            MeterEvent::Taken { value } => (self.count, self.total) = (self.count + 1, self.total + value),
            MeterEvent::Owned { owner } => self.owner = owner.clone(),
        }
    }
}

/// A later version of the component, under the same name.
macro_rules! later_meter {
    ($name:ident, $($field:tt)*) => {
        #[derive(Debug, Default, PartialEq, State)]
        struct $name { count: u32, total: u64, $($field)* }

        impl Entity for $name {
            const NAME: &'static str = "meter";
            type Command = MeterCommand;
            type Event = MeterEvent;
            type Reply = u32;
            type Rejection = std::convert::Infallible;

            fn decide(&self, _: MeterCommand, _: &CommandContext) -> Result<Decision<MeterEvent, u32>, Self::Rejection> {
                Ok(record(MeterEvent::Taken { value: 1 }).reply(self.count + 1))
            }

            fn evolve(&mut self, event: &MeterEvent) {
                if let MeterEvent::Taken { value } = event {
                    (self.count, self.total) = (self.count + 1, self.total + value);
                }
            }
        }
    };
}

later_meter!(WithDefault, #[field(default)] peak: u64,);
later_meter!(WithNew, peak: u64,);

#[derive(Debug, PartialEq, Value)]
struct Row {
    id: String,
    readings: u32,
}

fn readings() -> View {
    View::sqlite("readings")
        .table("CREATE TABLE reading (id TEXT PRIMARY KEY, readings INTEGER NOT NULL)")
        .on("meter/taken", "INSERT INTO reading VALUES (@id, 1) ON CONFLICT (id) DO UPDATE SET readings = readings + 1")
        .query::<(), Row>("all", "SELECT id, readings FROM reading ORDER BY id")
}

fn shop(keep: Keep) -> Testkit {
    Testkit::new(move || Service::new("shop").entity::<Meter>().view(readings()).retain::<Meter>(keep))
}

fn read(service: &Testkit, id: &str, key: &str, value: u64) -> Result<u32, SendError<std::convert::Infallible>> {
    service.keyed(key).send::<Meter>(id, MeterCommand::Read { value })
}

/// Thirty readings of each of these.
fn fill(service: &Testkit, meters: u32) {
    for meter in 0..meters {
        for at in 0..30 {
            assert_eq!(read(service, &format!("m{meter}"), &format!("k{at}"), u64::from(meter)).unwrap(), at + 1);
        }
    }
}

/// How many of its events are there, baselines not counted.
fn left(service: &Testkit, id: &str) -> usize {
    let log = service.log();
    log.lines().filter(|line| line.contains(&format!(" meter/{id}#")) && !line.contains("$baseline")).count()
}

fn code(answer: Result<u32, SendError<std::convert::Infallible>>) -> String {
    match answer {
        Err(SendError::Problem { code, .. }) => code,
        other => panic!("no problem: {other:?}"),
    }
}

#[test]
fn events_go_by_their_age_and_nobodys_answer_changes() {
    let service = shop(Keep::for_days(30));
    fill(&service, 10);
    service.advance(days(20));
    assert_eq!((left(&service, "m3"), read(&service, "m3", "k7", 3).unwrap()), (30, 8), "they are young");
    service.advance(days(20));
    let rows: Vec<Row> = service.query("readings", "all", ());
    assert_eq!((rows.len(), rows.iter().all(|row| row.readings == 30)), (10, true));
    for meter in 0..10_u64 {
        let id = format!("m{meter}");
        assert_eq!(left(&service, &id), 0, "{id}");
        let state = service.state::<Meter>(&id).unwrap();
        assert_eq!((state.count, state.total), (30, 30 * meter));
    }
    service.crash();
    assert_eq!(code(read(&service, "m3", "k7", 3)), "HW0023", "it took effect once, and its reply is gone");
    assert_eq!(service.state::<Meter>("m3").unwrap().count, 30);
    assert_eq!(read(&service, "m3", "new", 5).unwrap(), 31);
    service.restart();
    assert_eq!((service.state::<Meter>("m3").unwrap().total, left(&service, "m3")), (95, 1));
}

#[test]
fn the_last_events_stay_however_old_they_are() {
    let service = shop(Keep::for_days(1).and_last(12));
    fill(&service, 3);
    service.advance(days(9));
    // The baseline is one of the last twelve.
    assert_eq!(left(&service, "m0"), 11);
    service.crash();
    assert_eq!(service.state::<Meter>("m2").unwrap(), Meter { count: 30, total: 60, ..Meter::default() });
    assert_eq!(read(&service, "m2", "k29", 2).unwrap(), 30, "what stays has its reply");
}

#[test]
fn a_type_without_a_policy_keeps_everything() {
    let service = Testkit::new(|| Service::new("shop").entity::<Meter>().view(readings()));
    fill(&service, 1);
    service.advance(days(400));
    assert_eq!(left(&service, "m0"), 30);
}

#[test]
fn an_entity_that_goes_on_gets_one_baseline_for_many_events() {
    let service = shop(Keep::last(5));
    for at in 0..60 {
        read(&service, "m0", &format!("k{at}"), 1).unwrap();
        service.advance(days(1));
    }
    // The older ones are gone with what they stood for.
    assert_eq!(service.log().matches("$baseline").count(), 1, "{}", service.log());
    assert!((5..5 + 2 * 16).contains(&left(&service, "m0")), "{}", left(&service, "m0"));
    assert_eq!(service.state::<Meter>("m0").unwrap().count, 60);
}

#[test]
fn an_erased_subject_is_gone_from_baselines_too() {
    let service = shop(Keep::last(0));
    fill(&service, 1);
    service.keyed("own").send::<Meter>("m0", MeterCommand::Own { owner: Personal::new("Ann".to_owned()) }).unwrap();
    service.advance(days(3));
    assert_eq!(left(&service, "m0"), 0);
    service.crash();
    assert_eq!(service.state::<Meter>("m0").unwrap().owner.get().map(String::as_str), Some("Ann"));
    service.erase("meter/m0");
    service.crash();
    let state = service.state::<Meter>("m0").unwrap();
    assert_eq!((state.count, state.owner.get()), (30, None));
    assert!(!service.log().contains("Ann"));
}

/// Parks what it gets of one meter.
struct Bill;

impl Action for Bill {
    const NAME: &'static str = "bill";
    const ENTITY: &'static str = "meter";
    type Event = MeterEvent;

    async fn run(&self, event: Recorded<MeterEvent>, _: &ActionContext) -> Result<(), ActionError> {
        if event.entity_id == "m1" { Err(ActionError::park("the price is not known")) } else { Ok(()) }
    }
}

#[test]
fn nothing_goes_that_a_parked_key_waits_for() {
    let service = Testkit::new(|| Service::new("shop").entity::<Meter>().action(Bill).retain::<Meter>(Keep::last(0)));
    fill(&service, 3);
    service.advance(days(5));
    assert_eq!((left(&service, "m0"), left(&service, "m1"), left(&service, "m2")), (0, 30, 30));
    for _ in 0..30 {
        service.discard("bill", "meter", "m1");
        service.settle();
    }
    service.advance(days(2));
    assert_eq!((left(&service, "m1"), left(&service, "m2")), (0, 0));
}

#[test]
fn a_state_that_has_changed_takes_an_old_baseline_or_says_what_does_not_fit() {
    let version = Rc::new(Cell::new(1));
    let asked = Rc::clone(&version);
    let service = Testkit::new(move || match asked.get() {
        1 => Service::new("shop").entity::<Meter>().retain::<Meter>(Keep::last(0)),
        2 => Service::new("shop").entity::<WithDefault>(),
        _ => Service::new("shop").entity::<WithNew>(),
    });
    fill(&service, 1);
    service.advance(days(3));
    assert_eq!(left(&service, "m0"), 0);
    version.set(2);
    service.restart();
    assert_eq!(service.state::<WithDefault>("m0").unwrap(), WithDefault { count: 30, total: 0, peak: 0 });
    version.set(3);
    service.restart();
    let refused = service.keyed("x").send::<WithNew>("m0", MeterCommand::Read { value: 1 });
    let Err(SendError::Problem { code, detail }) = refused else { panic!("it was made up") };
    assert_eq!(code, "HW0101");
    assert!(detail.contains("meter/m0: the baseline at sequence 31") && detail.contains("`peak`"), "{detail}");
    version.set(1);
    service.restart();
    assert_eq!(service.state::<Meter>("m0").unwrap().count, 30);
}

#[test]
fn events_that_are_there_say_more_than_a_baseline_of_another_shape() {
    let version = Rc::new(Cell::new(1));
    let asked = Rc::clone(&version);
    // It keeps the last hundred, so that everything is there beside the baseline that follows from a policy of before.
    let service = Testkit::new(move || match asked.get() {
        1 => Service::new("shop").entity::<Meter>().action(Bill).retain::<Meter>(Keep::last(0)),
        _ => Service::new("shop").entity::<WithNew>(),
    });
    for at in 0..30 {
        read(&service, "m1", &format!("k{at}"), 1).unwrap();
    }
    service.advance(days(3));
    assert!(service.log().contains("$baseline") && left(&service, "m1") == 30, "the parked key keeps them");
    version.set(2);
    service.restart();
    assert_eq!(service.state::<WithNew>("m1").unwrap(), WithNew { count: 30, total: 30, peak: 0 });
}

#[test]
fn a_service_that_crashes_and_answers_late_keeps_every_state() {
    for seed in seeds(20) {
        let service = shop(Keep::for_time(Duration::from_secs(3_600)).and_last(2)).seed(seed).duplicates().delays().crashes(0.002);
        let mut witness = [0_u32; 4];
        for day in 0..8 {
            for (meter, count) in witness.iter_mut().enumerate() {
                for at in 0..6 {
                    let taken = read(&service, &format!("m{meter}"), &format!("k{day}-{at}"), 1);
                    *count += 1;
                    assert!(taken.as_ref().is_ok_and(|taken| taken == count), "seed {seed}: {taken:?}, not {count}");
                }
            }
            service.advance(Duration::from_secs(40_000));
        }
        for (meter, count) in witness.iter().enumerate() {
            let id = format!("m{meter}");
            assert_eq!(service.state::<Meter>(&id).unwrap().count, *count, "seed {seed}, {id}");
            assert!(left(&service, &id) < 40, "seed {seed}: {} events of {id} are there", left(&service, &id));
        }
    }
}

/// A service on a directory of its own, whose meters keep their last five events.
fn on_disk(directory: &Directory) -> Service {
    let service = Service::new("shop").entity::<Meter>().view(readings()).action(Nothing).retain::<Meter>(Keep::last(5));
    let data = directory.path().display().to_string();
    service.keys(format!("{data}/keys")).data(data).listen("127.0.0.1:0")
}

/// Sees every event.
struct Nothing;

impl Action for Nothing {
    const NAME: &'static str = "nothing";
    const ENTITY: &'static str = "meter";
    type Event = MeterEvent;

    async fn run(&self, _: Recorded<MeterEvent>, _: &ActionContext) -> Result<(), ActionError> {
        Ok(())
    }
}

const METERS: u64 = 16;
const READINGS: u64 = 300;

/// So many readings of each meter: more than a segment holds.
async fn read_all(running: &Running) {
    let mut senders = tokio::task::JoinSet::new();
    for meter in 0..METERS {
        let client = running.client().clone();
        senders.spawn(async move {
            for at in 0..READINGS {
                let sent = client.keyed(format!("k{at}")).send::<Meter>(&format!("m{meter}"), MeterCommand::Read { value: meter }).await;
                assert_eq!(sent.unwrap().reply, u32::try_from(at + 1).unwrap());
            }
        });
    }
    senders.join_all().await;
}

/// Wants a pass and waits for it.
pub(crate) async fn compact(running: &Running) -> Json {
    let (status, before) = asked(running, "/v1/admin/journal/compact", json!({})).await;
    assert_eq!(status, 200, "{before}");
    let wanted = before["retention"]["passes"].as_u64().unwrap() + 1;
    loop {
        let mut now = got(running, "/v1/admin/journal").await;
        assert_eq!(now["retention"]["problem"], Json::Null, "{now}");
        if now["retention"]["passes"].as_u64().unwrap() >= wanted {
            return now["retention"].take();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn check_all(running: &Running) {
    let mut rows = Vec::new();
    for _ in 0..500 {
        rows = running.client().query::<(), Row>("readings", "all", ()).await.unwrap().rows;
        if rows.iter().map(|row| u64::from(row.readings)).sum::<u64>() == METERS * READINGS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(rows.len() as u64 == METERS && rows.iter().all(|row| u64::from(row.readings) == READINGS), "{rows:?}");
    for meter in 0..METERS {
        let state = running.client().state::<Meter>(&format!("m{meter}")).await.unwrap().unwrap();
        assert_eq!((u64::from(state.count), state.total), (READINGS, READINGS * meter));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_events_go_and_states_views_and_ids_stay() {
    let directory = Directory::new();
    let running = on_disk(&directory).start().await.unwrap();
    let early = got(&running, "/v1/entities/meter").await["cursor"].clone();
    read_all(&running).await;
    check_all(&running).await;
    let first = compact(&running).await;
    assert!(first["baselines"].as_u64() >= Some(METERS), "{first}");
    // The baselines are in the segment that is being written: what is filled behind them seals it.
    let filler = "x".repeat(2_000);
    for at in 0..1_200 {
        let owner = MeterCommand::Own { owner: Personal::new(format!("{filler}{at}")) };
        running.client().send::<Meter>("filler", owner).await.unwrap();
    }
    let mut second = compact(&running).await;
    // The view reads the filler too, and retention waits for it.
    for _ in 0..500 {
        if second["waits"]["who"] != "view readings" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        second = compact(&running).await;
    }
    assert!(second["total"]["events"].as_u64() > Some(0), "{second}");
    check_all(&running).await;
    let gone = got(&running, "/v1/entities/meter/m3?sequence=7").await;
    assert_eq!((gone["code"].as_str(), gone["status"].as_u64()), (Some("HW0100"), Some(410)), "{gone}");
    assert!(gone["sequence"].as_u64() > Some(7) && gone["first"].is_string(), "{gone}");
    let gone = got(&running, "/v1/entities/meter/m3/events?after=6").await;
    assert_eq!(gone["code"].as_str(), Some("HW0100"), "{gone}");
    let gone = got(&running, &format!("/v1/streams/shop?after={}", early.as_str().unwrap())).await;
    assert_eq!((gone["code"].as_str(), gone["first"].is_string()), (Some("HW0022"), true), "no reader passes over what is gone: {gone}");
    let there = got(&running, "/v1/entities/meter/m3/events").await;
    assert!(there["items"].as_array().is_some_and(|items| !items.is_empty() && items.len() < 300), "{there}");
    running.stop().await;
    let running = on_disk(&directory).start().await.unwrap();
    check_all(&running).await;
    let again = running.client().keyed("k0").send::<Meter>("m3", MeterCommand::Read { value: 3 }).await;
    assert!(matches!(&again, Err(SendError::Problem { code, .. }) if code == "HW0023"), "{again:?}");
    check_all(&running).await;
    running.stop().await;
}

#[derive(Debug, PartialEq, Event)]
enum CounterEvent {
    #[event("counted")]
    Counted { count: u64 },
}

/// A processor that counts readings, in a state of this shape.
macro_rules! counter {
    ($processor:ident, $state:ident, $($field:tt)*) => {
        #[derive(Debug, Default, PartialEq, State)]
        struct $state { count: u64, $($field)* }

        struct $processor { start: i64 }

        impl Processor for $processor {
            const NAME: &'static str = "counter";
            type State = $state;
            type Event = CounterEvent;

            fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
                inputs.events("meter", |taken: &Recorded<MeterEvent>| Route::to(taken.entity_id.clone()), Self::count)
            }

            fn start(&self) -> Start {
                Start::At(self.start)
            }
        }

        impl $processor {
            fn count(&self, state: &mut $state, _: Recorded<MeterEvent>, ctx: &mut ProcessorContext<CounterEvent>) {
                state.count += 1;
                ctx.emit(CounterEvent::Counted { count: state.count });
            }
        }
    };
}

counter!(Counter, Count,);
counter!(LaterCounter, LaterCount, #[field(default)] peak: u64,);

#[test]
fn a_processor_that_begins_anew_begins_at_what_is_there() {
    let (version, start) = (Rc::new(Cell::new(1)), Rc::new(Cell::new(0)));
    let (asked, begins) = (Rc::clone(&version), Rc::clone(&start));
    let service = Testkit::new(move || {
        let shop = Service::new("shop").entity::<Meter>().retain::<Meter>(Keep::for_days(10));
        match asked.get() {
            1 => shop,
            2 => shop.processor(Counter { start: begins.get() }),
            _ => shop.processor(LaterCounter { start: begins.get() }),
        }
    });
    fill(&service, 1);
    service.advance(days(1));
    start.set(service.now_micros());
    (0..5).for_each(|at| assert!(read(&service, "m1", &format!("k{at}"), 1).is_ok()));
    version.set(2);
    service.restart();
    service.settle();
    assert_eq!(service.remembered::<Counter>("m1").count, 5);
    service.advance(days(30));
    assert_eq!((left(&service, "m0"), left(&service, "m1")), (0, 0));
    version.set(3);
    service.restart();
    assert_eq!(read(&service, "m1", "new", 1).unwrap(), 6);
    service.settle();
    assert_eq!(service.remembered::<LaterCounter>("m1"), LaterCount { count: 1, peak: 0 });
}
