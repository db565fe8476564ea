//! Calls to the outside, in a whole service under virtual time: what a destination gets to see, and what its trouble does to the events.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use headwater::prelude::*;
use headwater::testkit::{HttpAnswer, HttpRequest, Testkit, hours, minutes, seconds};
use headwater::{DestinationPolicy, DestinationState};

const PAY: &str = "https://pay.example";

#[derive(Debug, Default, PartialEq, State)]
struct Order {
    charge: Option<String>,
}

#[derive(Command)]
enum OrderCommand {
    #[command("place")]
    Place { cents: u64 },
    #[command("book")]
    Book { charge: String },
}

#[derive(Debug, PartialEq, Event)]
enum OrderEvent {
    #[event("placed")]
    Placed { cents: u64 },
    #[event("booked")]
    Booked { charge: String },
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> {
        Ok(record(match command {
            OrderCommand::Place { cents } => OrderEvent::Placed { cents },
            OrderCommand::Book { charge } => OrderEvent::Booked { charge },
        }))
    }

    fn evolve(&mut self, event: &OrderEvent) {
        if let OrderEvent::Booked { charge } = event {
            self.charge = Some(charge.clone());
        }
    }
}

#[derive(Value)]
struct Charge {
    order: String,
    cents: u64,
}

#[derive(Value)]
struct Charged {
    id: String,
}

struct ChargeOrder;

impl Action for ChargeOrder {
    const NAME: &'static str = "charge-order";
    const ENTITY: &'static str = "order";
    type Event = OrderEvent;

    async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let OrderEvent::Placed { cents } = event.event else { return Ok(()) };
        let charge = Charge { order: event.entity_id.clone(), cents };
        let reply = ctx.http().post("https://pay.example/charges").header("x-api-key", "secret").json(&charge).send().await?;
        let charged: Charged = reply.json()?;
        ctx.command::<Order>(event.entity_id, OrderCommand::Book { charge: charged.id }).await?;
        Ok(())
    }
}

fn service() -> Service {
    Service::new("shop").entity::<Order>().action(ChargeOrder)
}

fn shop() -> Testkit {
    Testkit::new(service)
}

/// Charges as somebody does who recognises a key.
fn charge(request: &HttpRequest) -> HttpAnswer {
    HttpAnswer::json(201, &Charged { id: format!("ch-{}", request.key()) })
}

fn place(shop: &Testkit, orders: usize) -> Vec<String> {
    let ids: Vec<String> = (0..orders).map(|order| format!("o{order}")).collect();
    for id in &ids {
        shop.send::<Order>(id, OrderCommand::Place { cents: 250 }).unwrap();
    }
    ids
}

#[test]
fn a_call_says_what_the_action_says_and_its_answer_becomes_a_command() {
    let shop = shop();
    shop.stub_http(PAY, charge);
    shop.send::<Order>("o1", OrderCommand::Place { cents: 250 }).unwrap();
    shop.settle();
    let calls = shop.http_calls("https://PAY.example:443");
    let Charge { order, cents } = calls[0].json();
    assert_eq!((calls.len(), calls[0].method(), calls[0].path(), order.as_str(), cents), (1, "POST", "/charges", "o1", 250));
    assert_eq!((calls[0].header("X-Api-Key"), calls[0].header("content-type")), (Some("secret"), Some("application/json")));
    assert_eq!(shop.state::<Order>("o1"), Some(Order { charge: Some(format!("ch-{}", calls[0].key())) }));
}

#[test]
fn under_all_faults_each_order_is_called_for_under_one_key_and_booked_once() {
    let (mut calls, mut crashes) = (0, 0);
    for seed in headwater::testkit::seeds(40) {
        let shop = shop().seed(seed).duplicates().delays().reorder().crashes(0.01);
        shop.stub_http(PAY, |request| charge(request).after(Duration::from_millis(300)));
        let ids = place(&shop, 6);
        shop.settle();
        shop.advance(minutes(10));
        shop.settle();
        let keys: BTreeSet<(String, String)> =
            shop.http_calls(PAY).iter().map(|call| (call.json::<Charge>().order, call.key().to_owned())).collect();
        assert_eq!(keys.len(), ids.len(), "one key an order: {keys:?}");
        assert_eq!(keys.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len(), ids.len(), "each its own");
        for (id, key) in &keys {
            assert_eq!(shop.events::<Order>(id)[1..], [OrderEvent::Booked { charge: format!("ch-{key}") }], "{id}");
        }
        calls += shop.http_calls(PAY).len();
        crashes += shop.crash_count();
    }
    assert!(calls > 40 * 6 && crashes > 40, "faults that do not happen test nothing: {calls} calls, {crashes} crashes");
}

/// A destination that a test can take down.
fn with_switch(shop: &Testkit, down: impl Fn() -> HttpAnswer + Send + Sync + 'static) -> Arc<AtomicBool> {
    let is_up = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_up);
    shop.stub_http(PAY, move |request| if switch.load(SeqCst) { charge(request) } else { down() });
    is_up
}

#[test]
fn a_destination_that_is_down_for_an_hour_parks_nobody_and_is_hardly_called() {
    for down in [|| HttpAnswer::fails("connection refused"), HttpAnswer::hangs, || HttpAnswer::status(503)] {
        for orders in [1, 300] {
            let shop = shop();
            let is_up = with_switch(&shop, down);
            let ids = place(&shop, orders);
            shop.settle();
            shop.advance(hours(1));
            assert_eq!((shop.parked(), shop.held().len()), (Vec::new(), orders));
            assert!(shop.held().iter().all(|held| held.attempts < 6), "trouble of the destination spends no attempts");
            let calls = shop.http_calls(PAY).len();
            assert!((50..600).contains(&calls), "{calls} calls in an hour");
            let status = &shop.destinations()[0];
            assert!(matches!(status.state, DestinationState::Open | DestinationState::HalfOpen), "{status:?}");
            assert!(shop.now_micros() - status.since.unwrap().as_micros() > 3_000_000_000, "{status:?}");
            is_up.store(true, SeqCst);
            shop.advance(minutes(10));
            shop.settle();
            assert_eq!(shop.held(), [], "and all is done once it is back");
            assert!(ids.iter().all(|id| shop.state::<Order>(id).unwrap().charge.is_some()));
            assert_eq!(shop.destinations()[0].state, DestinationState::Closed);
        }
    }
}

#[test]
fn an_order_that_is_refused_parks_with_what_was_said_and_the_others_go_on() {
    let shop = shop();
    shop.stub_http(PAY, |request| match request.json::<Charge>().order.as_str() {
        "o1" => HttpAnswer::text(422, "no such\ncustomer"),
        _ => charge(request),
    });
    place(&shop, 5);
    shop.settle();
    let parked: Vec<String> = shop.held().iter().map(ToString::to_string).collect();
    assert_eq!(
        parked,
        [
            "order/o1 is parked in charge-order by its event 1 (order/placed) after 1 runs: https://pay.example answered 422: no such customer"
        ]
    );
    assert!(shop.state::<Order>("o4").unwrap().charge.is_some());
}

#[test]
fn an_order_over_which_the_destination_always_fails_is_parked_although_the_breaker_opens() {
    let shop = shop();
    shop.stub_http(PAY, |request| match request.json::<Charge>().order.as_str() {
        "o0" => HttpAnswer::text(500, "division by zero"),
        _ => charge(request),
    });
    place(&shop, 1);
    shop.advance(hours(2));
    let parked = shop.parked();
    assert_eq!((parked.len(), parked[0].attempts, shop.http_calls(PAY).len()), (1, 12, 12));
    place(&shop, 3);
    shop.advance(minutes(2));
    assert!(shop.state::<Order>("o2").unwrap().charge.is_some());
}

#[test]
fn a_destination_that_asks_for_rest_gets_it() {
    let shop = shop();
    let is_up = with_switch(&shop, || HttpAnswer::status(429).retry_after(minutes(20)));
    place(&shop, 1);
    shop.settle();
    place(&shop, 50);
    shop.advance(minutes(19));
    assert_eq!(shop.http_calls(PAY).len(), 1);
    assert_eq!(shop.destinations()[0].state, DestinationState::Resting);
    is_up.store(true, SeqCst);
    shop.advance(minutes(10));
    shop.settle();
    assert_eq!(shop.held(), []);
}

#[test]
fn a_call_ends_before_its_run_does() {
    let shop = shop();
    shop.stub_http(PAY, |_| HttpAnswer::hangs());
    place(&shop, 1);
    shop.advance(seconds(11));
    assert_eq!(shop.held()[0].cause, "https://pay.example: no answer within 10 seconds");
    assert_eq!(shop.http_calls(PAY)[0].timeout(), seconds(10));
}

#[test]
fn a_rate_holds_over_all_orders() {
    let policy = DestinationPolicy { calls_per_second: Some(10), ..DestinationPolicy::default() };
    let shop = Testkit::new(move || service().destination(PAY, policy));
    shop.stub_http(PAY, charge);
    place(&shop, 60);
    shop.advance(seconds(2));
    let calls = shop.http_calls(PAY).len();
    assert!((10..=30).contains(&calls), "{calls} calls in two seconds");
    shop.advance(seconds(20));
    shop.settle();
    assert_eq!((shop.http_calls(PAY).len(), shop.held()), (60, vec![]));
}

#[test]
fn a_destination_without_a_stub_fails_the_test_with_the_stub_to_write() {
    let shop = shop();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        place(&shop, 1);
        shop.settle();
    }));
    let words = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(words.contains("calls https://pay.example, which has no stub") && words.contains("testkit.stub_http("), "{words}");
}

#[test]
fn a_destination_that_does_not_hold_together_does_not_start() {
    for (address, policy, words) in [
        ("pay.example", DestinationPolicy::default(), "is no address"),
        ("https://pay.example/charges", DestinationPolicy::default(), "more than scheme, host and port"),
        (PAY, DestinationPolicy { calls_at_once_max: 0, ..DestinationPolicy::default() }, "calls_at_once_max must be more than 0"),
    ] {
        let shop = Testkit::new(move || service().destination(address, policy));
        let failed = catch_unwind(AssertUnwindSafe(|| shop.settle())).unwrap_err().downcast::<String>().unwrap();
        assert!(failed.contains(words), "{failed}");
    }
}
