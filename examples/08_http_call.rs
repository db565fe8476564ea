//! Calls to the outside: an order is charged by a payment provider, over HTTP.
//!
//! A call is at least once: a crash may come between the provider's answer and what we make of it, and then it is made again. It carries the
//! same `Idempotency-Key` each time, by which the provider recognises it. While the provider is down its breaker is open: orders wait, and
//! none of them spends an attempt. `destination list` shows how it goes.
//!
//! ```text
//! cargo run -p headwater-examples --bin 08-http-call
//! cargo run -p headwater-examples --bin 08-http-call -- send order o1 place '{"cents":250}'
//! cargo run -p headwater-examples --bin 08-http-call -- destination list
//! ```
//!
//! Nobody answers at the address below, so that the last line shows what trouble looks like.

use headwater::prelude::*;

/// The provider.
const PROVIDER: &str = "http://127.0.0.1:7499";

/// An order.
#[derive(Debug, Default, PartialEq, State)]
struct Order {
    placed: bool,
    /// The provider's id of the charge, or that it did not take the card.
    paid: Option<String>,
    declined: bool,
}

/// What an order can be asked.
#[derive(Command)]
enum OrderCommand {
    /// Orders for so much.
    #[command("place")]
    Place { cents: u64 },
    /// Notes that it was charged.
    #[command("settle")]
    Settle { charge: String },
    /// Notes that it could not be.
    #[command("decline")]
    Decline,
}

/// What can happen to an order.
#[derive(Event)]
enum OrderEvent {
    /// It was placed.
    #[event("placed")]
    Placed { cents: u64 },
    /// It was charged.
    #[event("settled")]
    Settled { charge: String },
    /// It could not be.
    #[event("declined")]
    Declined,
}

/// Why an order says no.
#[derive(Debug, Rejection)]
enum OrderRejection {
    /// An order is placed once.
    #[rejection("already-placed", "the order is placed already")]
    AlreadyPlaced,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, OrderRejection> {
        match command {
            OrderCommand::Place { .. } if self.placed => Err(OrderRejection::AlreadyPlaced),
            OrderCommand::Place { cents } => Ok(record(OrderEvent::Placed { cents })),
            OrderCommand::Settle { charge } => Ok(record(OrderEvent::Settled { charge })),
            OrderCommand::Decline => Ok(record(OrderEvent::Declined)),
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed { .. } => self.placed = true,
            OrderEvent::Settled { charge } => self.paid = Some(charge.clone()),
            OrderEvent::Declined => self.declined = true,
        }
    }
}

/// What the action wants to know of an order's events; it does not run for the others.
#[derive(Event)]
enum Placed {
    /// It was placed.
    #[event("placed")]
    Placed { cents: u64 },
}

/// What the provider is asked.
#[derive(Value)]
struct Charge {
    order: String,
    cents: u64,
}

/// What it answers.
#[derive(Value)]
struct Charged {
    id: String,
}

/// Charges each order.
struct ChargeOrder;

impl Action for ChargeOrder {
    const NAME: &'static str = "charge-order";
    const ENTITY: &'static str = "order";
    type Event = Placed;

    async fn run(&self, event: Recorded<Placed>, ctx: &ActionContext) -> Result<(), ActionError> {
        let (Placed::Placed { cents }, order) = (event.event, event.entity_id);
        let charge = Charge { order: order.clone(), cents };
        let command = match ctx.http().post(format!("{PROVIDER}/charges")).json(&charge).send().await {
            Ok(reply) => OrderCommand::Settle { charge: reply.json::<Charged>()?.id },
            // A no that the provider means: for us an answer like any other.
            Err(HttpFailure::Status(reply)) if reply.status() == 402 => OrderCommand::Decline,
            // The rest decides by itself what becomes of the order: tried again, or parked for a person.
            Err(failure) => return Err(failure.into()),
        };
        ctx.command::<Order>(order, command).await?;
        Ok(())
    }
}

fn service() -> Service {
    let provider = DestinationPolicy { calls_at_once_max: 16, calls_per_second: Some(100), ..DestinationPolicy::default() };
    Service::new("http-call").entity::<Order>().action(ChargeOrder).destination(PROVIDER, provider)
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use headwater::testkit::{HttpAnswer, Testkit, hours, minutes, seeds};

    use super::*;

    fn charge() -> Charge {
        Charge { order: "o1".into(), cents: 250 }
    }

    #[test]
    fn a_placed_order_is_charged_and_settled() {
        given_action(ChargeOrder).answers_http(201, Charged { id: "ch1".into() }).when("o1", Placed::Placed { cents: 250 }).sends([
            http_post("http://127.0.0.1:7499/charges").json(&charge()),
            command_to::<Order>("o1", OrderCommand::Settle { charge: "ch1".into() }),
        ]);
    }

    #[test]
    fn a_no_of_the_provider_is_an_answer_and_nonsense_waits_for_a_person() {
        given_action(ChargeOrder)
            .answers_http(402, "insufficient funds".to_owned())
            .when("o1", Placed::Placed { cents: 250 })
            .sends([http_post("http://127.0.0.1:7499/charges").json(&charge()), command_to::<Order>("o1", OrderCommand::Decline)]);
        given_action(ChargeOrder).answers_http(503, ()).when("o1", Placed::Placed { cents: 250 }).retries();
        given_action(ChargeOrder).fails_http("connection refused").when("o1", Placed::Placed { cents: 250 }).retries();
        given_action(ChargeOrder).answers_http(400, ()).when("o1", Placed::Placed { cents: 250 }).parks();
        given_action(ChargeOrder).answers_http(200, 7_u32).when("o1", Placed::Placed { cents: 250 }).parks();
    }

    /// The provider sees a call again when the process has ended over it, and knows it by its key.
    #[test]
    fn each_order_is_charged_under_one_key() {
        for seed in seeds(20) {
            let shop = Testkit::new(service).seed(seed).duplicates().delays().crashes(0.02);
            shop.stub_http(PROVIDER, |request| HttpAnswer::json(201, &Charged { id: format!("ch-{}", request.key()) }));
            for order in ["o1", "o2", "o3"] {
                shop.send::<Order>(order, OrderCommand::Place { cents: 250 }).expect("a first order");
            }
            shop.settle();
            shop.advance(minutes(5));
            shop.settle();
            let keys: BTreeSet<String> = shop.http_calls(PROVIDER).iter().map(|call| call.key().to_owned()).collect();
            assert_eq!(keys.len(), 3);
            for order in ["o1", "o2", "o3"] {
                let paid = shop.state::<Order>(order).expect("it was placed").paid.expect("it was charged");
                assert!(keys.contains(paid.trim_start_matches("ch-")), "{paid}");
            }
        }
    }

    #[test]
    fn orders_wait_for_a_provider_that_is_down_and_none_is_parked() {
        let shop = Testkit::new(service);
        shop.stub_http(PROVIDER, |_| HttpAnswer::fails("connection refused"));
        for order in 0..50 {
            shop.send::<Order>(&format!("o{order}"), OrderCommand::Place { cents: 250 }).expect("a first order");
        }
        shop.advance(hours(1));
        assert_eq!((shop.held().len(), shop.parked().len()), (50, 0));
        shop.stub_http(PROVIDER, |_| HttpAnswer::json(201, &Charged { id: "ch1".into() }));
        shop.advance(minutes(5));
        assert_eq!(shop.held().len(), 0);
        assert!(shop.state::<Order>("o49").expect("it was placed").paid.is_some());
    }
}
