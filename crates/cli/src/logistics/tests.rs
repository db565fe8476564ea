//! Shipments over days, under virtual time: what becomes of each, and that no piece and no lorry is ever lost to a crash.

use std::time::Duration;

use headwater::testkit::{Testkit, Workflow, WorkflowState, days, hours, minutes, seeds};

use super::carrier::{Carrier, CarrierCommand};
use super::delivery::{ANSWERED, Answer, CUSTOMS, Customs, Delivery, Order, Outcome};
use super::position::{POSITIONS, Position, Status};
use super::service;
use super::supplier::{Supplier, SupplierCommand};

const HOUR_MS: u64 = 3_600_000;
/// An hour of a world that is in a hurry: many crashes in a few days.
const SHORT_HOUR_MS: u64 = 10_000;
const SHORT_HOUR: Duration = Duration::from_millis(SHORT_HOUR_MS);
const MADE: u32 = 100;

fn world() -> Testkit {
    begun(Testkit::new(|| service(HOUR_MS)))
}

fn begun(world: Testkit) -> Testkit {
    world.send::<Supplier>("mill", SupplierCommand::Make { pieces: MADE }).expect("a mill makes flour");
    for carrier in ["swift", "steady"] {
        world.send::<Carrier>(carrier, CarrierCommand::Have { lorries: 10 }).expect("carriers have lorries");
    }
    world
}

fn order() -> Order {
    Order {
        shipper: "bakery".into(),
        supplier: "mill".into(),
        pieces: 5,
        carriers: vec!["swift".into(), "steady".into()],
        route: vec!["Basel".into(), "Lyon".into()],
        customs_at: Some("Basel".into()),
    }
}

fn start<'a>(world: &'a Testkit, id: &str) -> Workflow<'a, Delivery> {
    let delivery = world.workflow::<Delivery>(id);
    delivery.start(&order());
    world.settle();
    delivery
}

fn answer(delivery: &Workflow<'_, Delivery>, carrier: &str, accepts: bool) {
    delivery.signal(ANSWERED, &Answer { carrier: carrier.into(), accepts });
}

fn tell(world: &Testkit, id: &str, status: Status, place: &str) {
    world.publish(POSITIONS, id, Position { shipment: id.into(), status, place: place.into() });
    world.settle();
}

/// How it goes when nothing goes wrong, up to the door.
fn bring_to_the_door(world: &Testkit, id: &str) {
    let delivery = world.workflow::<Delivery>(id);
    world.advance(hours(1));
    answer(&delivery, "swift", true);
    world.advance(hours(20));
    tell(world, id, Status::PickedUp, "mill");
    world.advance(days(2));
    tell(world, id, Status::Arrived, "Basel");
    world.advance(days(4));
    delivery.signal(CUSTOMS, &Customs { releases: true });
    world.advance(days(1));
    tell(world, id, Status::Arrived, "Lyon");
}

/// Pieces that are ready, sold and lost; all of them are somewhere, and no lorry is kept.
fn at_rest(world: &Testkit) -> (u32, u32, u32) {
    world.settle();
    let supplier = world.state::<Supplier>("mill").expect("it is there");
    let Supplier { made, ready, promised, on_the_road, sold, lost } = supplier;
    assert!(promised.is_empty() && on_the_road.is_empty(), "{promised:?} {on_the_road:?}");
    for carrier in ["swift", "steady"] {
        let Carrier { shipments, .. } = world.state::<Carrier>(carrier).expect("it is there");
        assert!(shipments.is_empty(), "{carrier}: {shipments:?}");
    }
    assert_eq!((made, ready + sold + lost), (MADE, MADE));
    (ready, sold, lost)
}

#[test]
fn a_shipment_goes_through_customs_to_the_door() {
    let world = world();
    let delivery = start(&world, "s1");
    bring_to_the_door(&world, "s1");
    tell(&world, "s1", Status::Delivered, "Lyon");
    assert_eq!(delivery.ended(), Ok(Outcome::Delivered));
    assert_eq!(at_rest(&world), (95, 5, 0));
}

#[test]
fn a_carrier_that_does_not_answer_in_time_is_not_waited_for_and_its_late_yes_means_nothing() {
    let world = world();
    let delivery = start(&world, "s1");
    world.advance(hours(12) + minutes(1));
    answer(&delivery, "swift", true);
    world.settle();
    assert_eq!(delivery.why().as_deref(), Some("signal `answered`"), "steady is asked, and swift is too late");
    answer(&delivery, "steady", true);
    world.settle();
    let lorries = |carrier| world.state::<Carrier>(carrier).expect("it is there").shipments.len();
    assert_eq!((lorries("swift"), lorries("steady")), (0, 1));
}

#[test]
fn when_no_carrier_takes_it_everything_is_as_it_was() {
    let world = world();
    let delivery = start(&world, "s1");
    answer(&delivery, "swift", false);
    world.advance(hours(13));
    assert_eq!(delivery.ended().unwrap_err().code(), "no-carrier");
    assert_eq!(at_rest(&world), (MADE, 0, 0));
}

#[test]
fn a_carrier_without_lorries_is_passed_over() {
    let world = world();
    world.send::<Carrier>("swift", CarrierCommand::Have { lorries: 0 }).expect("they are sold");
    let delivery = start(&world, "s1");
    answer(&delivery, "steady", true);
    world.settle();
    assert_eq!(delivery.why().as_deref(), Some("signal `tracked`"));
}

#[test]
fn what_nobody_picks_up_in_two_days_stays_where_it_is() {
    let world = world();
    let delivery = start(&world, "s1");
    answer(&delivery, "swift", true);
    world.advance(days(2) + minutes(1));
    assert_eq!(delivery.ended().unwrap_err().code(), "not-picked-up");
    assert_eq!(at_rest(&world), (MADE, 0, 0));
}

#[test]
fn what_customs_does_not_let_pass_comes_back() {
    for decides in [false, true] {
        let world = world();
        let delivery = start(&world, "s1");
        answer(&delivery, "swift", true);
        tell(&world, "s1", Status::PickedUp, "mill");
        tell(&world, "s1", Status::Arrived, "Basel");
        if decides {
            delivery.signal(CUSTOMS, &Customs { releases: false });
        }
        world.advance(days(10) + minutes(1));
        assert_eq!(delivery.why().as_deref(), Some("signal `tracked`"), "it goes back");
        tell(&world, "s1", Status::Returned, "mill");
        assert_eq!(delivery.ended(), Ok(Outcome::Returned));
        assert_eq!(at_rest(&world), (MADE, 0, 0));
    }
}

#[test]
fn what_is_not_seen_any_more_is_lost() {
    let world = world();
    let delivery = start(&world, "s1");
    answer(&delivery, "swift", true);
    tell(&world, "s1", Status::PickedUp, "mill");
    world.advance(days(3) + minutes(1));
    assert_eq!(delivery.ended(), Ok(Outcome::Lost));
    assert_eq!(at_rest(&world), (95, 0, 5));
}

#[test]
fn what_is_called_off_on_the_way_is_undone_and_its_lorry_talks_to_nobody() {
    let world = world();
    let delivery = start(&world, "s1");
    answer(&delivery, "swift", true);
    tell(&world, "s1", Status::PickedUp, "mill");
    delivery.cancel();
    world.settle();
    assert_eq!(delivery.state(), WorkflowState::Cancelled);
    assert_eq!(at_rest(&world), (MADE, 0, 0));
    tell(&world, "s1", Status::Arrived, "Basel");
    assert!(world.parked().is_empty(), "{:?}", world.parked());
    let stage: Vec<super::views::Tracked> = world.query("tracking", "live", ());
    assert_eq!((stage.len(), &stage[0].stage[..]), (1, "arrived"));
}

/// Several shipments with different fates, whatever is delivered twice, late, or cut short.
#[test]
fn whatever_ends_the_process_every_piece_and_every_lorry_is_accounted_for() {
    let mut crashes = 0;
    for seed in seeds(20) {
        let world = begun(Testkit::new(|| service(SHORT_HOUR_MS)).seed(seed).duplicates().delays().reorder().crashes(0.01));
        for id in ["delivered", "damaged", "called-off", "unwanted"] {
            world.workflow::<Delivery>(id).start(&order());
        }
        world.settle();
        answer(&world.workflow("unwanted"), "swift", false);
        world.advance(13 * SHORT_HOUR);
        // The others were taken from swift, which said nothing, and went to steady.
        for id in ["damaged", "called-off"] {
            answer(&world.workflow(id), "steady", true);
        }
        answer(&world.workflow("delivered"), "steady", true);
        world.settle();
        for id in ["delivered", "damaged"] {
            tell(&world, id, Status::PickedUp, "mill");
        }
        world.workflow::<Delivery>("called-off").cancel();
        tell(&world, "delivered", Status::Arrived, "Basel");
        tell(&world, "damaged", Status::Damaged, "Jura");
        world.workflow::<Delivery>("delivered").signal(CUSTOMS, &Customs { releases: true });
        world.advance(24 * SHORT_HOUR);
        tell(&world, "delivered", Status::Arrived, "Lyon");
        tell(&world, "delivered", Status::Delivered, "Lyon");
        tell(&world, "damaged", Status::Returned, "mill");
        world.advance(24 * SHORT_HOUR);
        let ended = |id: &str| world.workflow::<Delivery>(id).ended().map_err(|failure| failure.code().to_owned());
        assert_eq!(ended("delivered"), Ok(Outcome::Delivered), "seed {seed}");
        assert_eq!(ended("damaged"), Ok(Outcome::Returned), "seed {seed}");
        assert_eq!(ended("called-off"), Err("cancelled".to_owned()), "seed {seed}");
        assert_eq!(ended("unwanted"), Err("no-carrier".to_owned()), "seed {seed}");
        assert_eq!(at_rest(&world), (95, 5, 0), "seed {seed}");
        crashes += world.crash_count();
    }
    assert!(crashes > 20, "{crashes} crashes");
}
