//! The testkit: that it replays, that its faults happen, and that it fails where a service is wrong.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use headwater::prelude::*;
use headwater::testkit::{Testkit, minutes, seconds};
use headwater::{Outcome, SendError};

#[derive(Debug, Default, PartialEq, State)]
struct Order {
    lines: u32,
    placed: bool,
}

#[derive(Command)]
enum OrderCommand {
    #[command("add-line")]
    AddLine { pieces: u32 },
    #[command("place")]
    Place,
}

#[derive(Debug, PartialEq, Event)]
enum OrderEvent {
    #[event("line-added")]
    LineAdded { pieces: u32 },
    #[event("placed")]
    Placed { lines: u32 },
}

#[derive(Debug, PartialEq, Rejection)]
enum OrderRejection {
    #[rejection("placed", "the order is placed")]
    Placed,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = u32;
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent, u32>, OrderRejection> {
        match command {
            _ if self.placed => Err(OrderRejection::Placed),
            OrderCommand::AddLine { pieces } => Ok(record(OrderEvent::LineAdded { pieces }).reply(self.lines + 1)),
            OrderCommand::Place => Ok(record(OrderEvent::Placed { lines: self.lines }).reply(self.lines)),
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::LineAdded { .. } => self.lines += 1,
            OrderEvent::Placed { .. } => self.placed = true,
        }
    }
}

/// A parcel would take any number of boxes: that there is one is the delivery's promise.
#[derive(Debug, Default, PartialEq, State)]
struct Parcel {
    boxes: u32,
}

#[derive(Command)]
enum ParcelCommand {
    #[command("pack")]
    Pack,
}

#[derive(Debug, PartialEq, Event)]
enum ParcelEvent {
    #[event("packed")]
    Packed,
}

impl Entity for Parcel {
    const NAME: &'static str = "parcel";
    type Command = ParcelCommand;
    type Event = ParcelEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, _: ParcelCommand, _: &CommandContext) -> Result<Decision<ParcelEvent>, Self::Rejection> {
        Ok(record(ParcelEvent::Packed))
    }

    fn evolve(&mut self, _: &ParcelEvent) {
        self.boxes += 1;
    }
}

/// How an order becomes a parcel, rightly or wrongly.
#[derive(Clone)]
enum Pack {
    Once,
    /// Every run sends a command of its own: what deriving ids is there to prevent.
    EachRun(Arc<AtomicU64>),
    /// The first runs fail.
    After(Arc<AtomicU32>, u32),
}

impl Action for Pack {
    const NAME: &'static str = "pack";
    const ENTITY: &'static str = "order";
    type Event = OrderEvent;

    async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        if !matches!(event.event, OrderEvent::Placed { .. }) {
            return Ok(());
        }
        match self {
            Self::Once => ctx.command::<Parcel>(event.entity_id, ParcelCommand::Pack).await?,
            Self::EachRun(runs) => {
                ctx.keyed(runs.fetch_add(1, SeqCst)).command::<Parcel>(event.entity_id, ParcelCommand::Pack).await?;
            }
            Self::After(runs, failing) if runs.fetch_add(1, SeqCst) < *failing => return Err(ActionError::retry("the packers are away")),
            Self::After(..) => ctx.command::<Parcel>(event.entity_id, ParcelCommand::Pack).await?,
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Value)]
struct Boxes {
    boxes: u64,
}

fn service(pack: &Pack) -> Service {
    let packed = View::sqlite("packed")
        .table("CREATE TABLE parcel (id TEXT PRIMARY KEY, boxes INTEGER NOT NULL)")
        .on("parcel/packed", "INSERT INTO parcel VALUES (@id, 1) ON CONFLICT DO UPDATE SET boxes = boxes + 1")
        .query::<(), Boxes>("boxes", "SELECT coalesce(sum(boxes), 0) AS boxes FROM parcel");
    Service::new("shop").entity::<Order>().entity::<Parcel>().action(pack.clone()).view(packed)
}

fn shop(pack: Pack) -> Testkit {
    Testkit::new(move || service(&pack))
}

fn with_all_faults(pack: Pack, seed: u64) -> Testkit {
    shop(pack).seed(seed).duplicates().delays().reorder().crashes(0.01)
}

const ORDERS: u64 = 6;

/// Places some orders and looks at everything: the state of each, the events, and the rows.
fn place_orders(shop: &Testkit) {
    let ids: Vec<String> = (0..ORDERS).map(|order| format!("o{order}")).collect();
    for id in &ids {
        assert_eq!(shop.send::<Order>(id, OrderCommand::AddLine { pieces: 2 }), Ok(1));
        assert_eq!(shop.send::<Order>(id, OrderCommand::Place), Ok(1));
        assert_eq!(shop.send::<Order>(id, OrderCommand::Place), Err(SendError::Rejected(OrderRejection::Placed)));
    }
    shop.settle();
    for id in &ids {
        assert_eq!(shop.events::<Parcel>(id), [ParcelEvent::Packed], "{id}");
        assert_eq!(shop.state::<Order>(id), Some(Order { lines: 1, placed: true }), "{id}");
    }
    assert_eq!(shop.query::<_, Boxes>("packed", "boxes", ()), [Boxes { boxes: ORDERS }]);
    assert_eq!(shop.held(), []);
}

#[test]
fn a_service_runs_without_faults() {
    let shop = shop(Pack::Once);
    place_orders(&shop);
    assert_eq!((shop.crash_count(), shop.run_count()), (0, 2 * ORDERS), "a run for each event of an order");
    assert_eq!(shop.state::<Order>("nobody"), None);
}

#[test]
fn under_all_faults_each_order_is_packed_once() {
    let (mut crashes, mut runs) = (0, 0);
    for seed in headwater::testkit::seeds(50) {
        let shop = with_all_faults(Pack::Once, seed);
        place_orders(&shop);
        crashes += shop.crash_count();
        runs += shop.run_count();
    }
    // Faults that do not happen test nothing.
    assert!(crashes > 50, "{crashes} crashes");
    assert!(runs > 50 * 2 * ORDERS, "{runs} runs");
}

#[test]
fn each_fault_alone_does_no_harm_either() {
    for seed in headwater::testkit::seeds(10) {
        for shop in [shop(Pack::Once).duplicates(), shop(Pack::Once).delays(), shop(Pack::Once).reorder(), shop(Pack::Once).crashes(0.03)] {
            place_orders(&shop.seed(seed));
        }
    }
}

#[test]
fn an_action_that_derives_no_ids_is_caught() {
    let each_run = || Pack::EachRun(Arc::default());
    place_orders(&shop(each_run()));
    for fault in [Testkit::duplicates as fn(Testkit) -> Testkit, |shop| shop.crashes(0.04)] {
        let caught = (0..20).filter(|seed| {
            let shop = fault(shop(each_run()).seed(*seed));
            catch_unwind(AssertUnwindSafe(|| place_orders(&shop))).is_err()
        });
        let caught = caught.count();
        assert!(caught >= 5, "only {caught} of 20 seeds");
    }
}

#[test]
fn one_seed_is_one_run_to_the_byte() {
    let log = |seed| {
        let shop = with_all_faults(Pack::Once, seed);
        place_orders(&shop);
        shop.advance(minutes(5));
        (shop.log(), shop.crash_count(), shop.run_count(), shop.now_micros())
    };
    let first: Vec<_> = (1..=5).map(log).collect();
    for _ in 0..5 {
        assert_eq!((1..=5).map(log).collect::<Vec<_>>(), first);
    }
    let logs: BTreeSet<&String> = first.iter().map(|(log, ..)| log).collect();
    assert_eq!(logs.len(), 5, "five seeds, five runs");
}

#[test]
fn time_moves_only_when_it_is_told_to() {
    let failures = Arc::new(AtomicU32::new(0));
    let shop = shop(Pack::After(Arc::clone(&failures), 3));
    let begun = shop.now_micros();
    shop.send::<Order>("o1", OrderCommand::Place).unwrap();
    shop.settle();
    assert_eq!((shop.now_micros(), failures.load(SeqCst)), (begun, 1), "a retry that is due later is not waited for");
    let held = shop.held();
    assert_eq!((held.len(), held[0].parked, &held[0].cause[..]), (1, false, "the packers are away"));
    shop.advance(seconds(10));
    assert_eq!(shop.now_micros() - begun, 10_000_000);
    assert_eq!((shop.state::<Parcel>("o1"), shop.held().len()), (Some(Parcel { boxes: 1 }), 0));
}

#[test]
fn a_parked_key_is_named_and_can_be_redriven() {
    let failures = Arc::new(AtomicU32::new(0));
    let shop = shop(Pack::After(Arc::clone(&failures), 12));
    shop.send::<Order>("o1", OrderCommand::Place).unwrap();
    shop.advance(minutes(60));
    shop.settle();
    let parked: Vec<String> = shop.parked().iter().map(ToString::to_string).collect();
    assert_eq!(parked, ["order/o1 is parked in pack by its event 1 (order/placed) after 12 runs: the packers are away"]);
    assert_eq!(shop.redrive(), 1);
    shop.settle();
    assert_eq!((shop.parked(), shop.state::<Parcel>("o1")), (Vec::new(), Some(Parcel { boxes: 1 })));
}

#[test]
fn a_crash_takes_memory_and_leaves_the_journal() {
    let shop = shop(Pack::Once);
    for _ in 0..6 {
        shop.send::<Order>("o1", OrderCommand::AddLine { pieces: 1 }).unwrap();
        shop.crash();
    }
    shop.send::<Order>("o1", OrderCommand::Place).unwrap();
    shop.restart();
    shop.settle();
    assert_eq!(shop.crash_count(), 6, "a stop in order is no crash");
    assert_eq!(shop.state::<Order>("o1"), Some(Order { lines: 6, placed: true }));
    assert_eq!(shop.query::<_, Boxes>("packed", "boxes", ()), [Boxes { boxes: 1 }]);
}

#[test]
fn a_key_is_good_for_one_command() {
    let shop = shop(Pack::Once);
    let add = |pieces| shop.keyed("once").send::<Order>("o1", OrderCommand::AddLine { pieces });
    assert_eq!((add(1), add(1)), (Ok(1), Ok(1)));
    let Err(SendError::Problem { code, .. }) = add(2) else { panic!("another body under the same key") };
    assert_eq!(code, "HW0028");
    assert_eq!(shop.state::<Order>("o1"), Some(Order { lines: 1, placed: false }));
    let Err(SendError::Problem { code, .. }) = shop.send::<Order>("..", OrderCommand::Place) else { panic!("no id") };
    assert_eq!(code, "HW0005");
}

#[test]
fn a_command_that_is_decided_later_has_an_outcome() {
    let shop = shop(Pack::Once).delays().crashes(0.01);
    let placed = shop.send_later::<Order>("o1", OrderCommand::Place).unwrap();
    let refused = shop.send_later::<Order>("o1", OrderCommand::Place).unwrap();
    shop.settle();
    assert_eq!(shop.outcome::<Order>("o1", &placed), Ok(Some(Outcome::Done { reply: 0, sequence: 1 })));
    assert_eq!(shop.outcome::<Order>("o1", &refused), Err(SendError::Rejected(OrderRejection::Placed)));
    assert_eq!(shop.outcome::<Order>("o1", "never-sent"), Ok(None));
    assert_eq!(shop.events::<Parcel>("o1"), [ParcelEvent::Packed]);
}

#[test]
fn what_is_said_too_late_is_refused() {
    let shop = shop(Pack::Once);
    shop.settle();
    assert!(catch_unwind(AssertUnwindSafe(|| shop.seed(2))).is_err());
}

/// Not judged by the machine's speed: the figure is for people.
#[test]
fn a_thousand_services() {
    let begun = Instant::now();
    for seed in 0..1_000 {
        let shop = shop(Pack::Once).seed(seed);
        shop.send::<Order>("o1", OrderCommand::Place).unwrap();
        assert_eq!(shop.state::<Order>("o1"), Some(Order { lines: 0, placed: true }));
        shop.settle();
        assert_eq!(shop.query::<_, Boxes>("packed", "boxes", ()), [Boxes { boxes: 1 }]);
    }
    println!("1,000 services with two entities, an action and a view: {:?}", begun.elapsed());
}
