//! One idea more: work that takes days, written as one function. An order takes its pieces from stock, is charged, waits until somebody has
//! packed it, and is sent. Whatever ends the process, it goes on where it was; when it fails, what it has done is undone, the last first.
//!
//! ```text
//! cargo run -p headwater-examples --bin 12-workflow
//! cargo run -p headwater-examples --bin 12-workflow -- send stock mug put-in '{"pieces":10}'
//! cargo run -p headwater-examples --bin 12-workflow -- workflow start fulfilment o1 '{"sku":"mug","pieces":2,"cents":1900}'
//! cargo run -p headwater-examples --bin 12-workflow -- workflow timeline fulfilment o1
//! cargo run -p headwater-examples --bin 12-workflow -- workflow cancel fulfilment o1
//! cargo run -p headwater-examples --bin 12-workflow -- entity show stock mug
//! ```
//!
//! Nobody answers at the provider's address below: the order waits at its charge, and when it is cancelled, at the refund.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater::prelude::*;

/// The provider of payments.
const PROVIDER: &str = "http://127.0.0.1:7499";

/// How long somebody has to pack an order.
const PACKING_TIME: Duration = Duration::from_secs(2 * 24 * 3_600);

/// An article in stock.
#[derive(Debug, Default, PartialEq, State)]
struct Stock {
    /// Pieces that nobody has taken.
    free: u32,
    /// Pieces that are kept for an order.
    reserved: BTreeMap<String, u32>,
}

/// What is done with an article.
#[derive(Clone, Command)]
enum StockCommand {
    /// Pieces come in.
    #[command("put-in")]
    PutIn { pieces: u32 },
    /// Keeps pieces for an order.
    #[command("reserve")]
    Reserve { order: String, pieces: u32 },
    /// Lets them go again, if there are any.
    #[command("release")]
    Release { order: String },
    /// They leave the house.
    #[command("send-off")]
    SendOff { order: String },
}

/// What can happen to an article.
#[derive(Event)]
enum StockEvent {
    /// Pieces came in.
    #[event("put-in")]
    PutIn { pieces: u32 },
    /// Pieces are kept for an order.
    #[event("reserved")]
    Reserved { order: String, pieces: u32 },
    /// They are free again.
    #[event("released")]
    Released { order: String },
    /// They have left the house.
    #[event("sent-off")]
    SentOff { order: String },
}

/// Why it says no.
#[derive(Debug, Rejection)]
enum StockRejection {
    /// There is not enough.
    #[rejection("too-few", "there are only {free} left")]
    TooFew { free: u32 },
    /// Nothing is kept for this order.
    #[rejection("not-reserved", "nothing is kept for this order")]
    NotReserved,
}

impl Entity for Stock {
    const NAME: &'static str = "stock";
    type Command = StockCommand;
    type Event = StockEvent;
    type Reply = ();
    type Rejection = StockRejection;

    fn decide(&self, command: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, StockRejection> {
        match command {
            StockCommand::PutIn { pieces } => Ok(record(StockEvent::PutIn { pieces })),
            StockCommand::Reserve { pieces, .. } if pieces > self.free => Err(StockRejection::TooFew { free: self.free }),
            StockCommand::Reserve { order, pieces } => Ok(record(StockEvent::Reserved { order, pieces })),
            StockCommand::Release { order } if self.reserved.contains_key(&order) => Ok(record(StockEvent::Released { order })),
            // It undoes what may never have been done.
            StockCommand::Release { .. } => Ok(nothing()),
            StockCommand::SendOff { order } if self.reserved.contains_key(&order) => Ok(record(StockEvent::SentOff { order })),
            StockCommand::SendOff { .. } => Err(StockRejection::NotReserved),
        }
    }

    fn evolve(&mut self, event: &StockEvent) {
        match event {
            StockEvent::PutIn { pieces } => self.free += pieces,
            StockEvent::Reserved { order, pieces } => {
                self.free -= pieces;
                self.reserved.insert(order.clone(), *pieces);
            }
            StockEvent::Released { order } => self.free += self.reserved.remove(order).unwrap_or_default(),
            StockEvent::SentOff { order } => drop(self.reserved.remove(order)),
        }
    }
}

/// What somebody has ordered.
#[derive(Clone, Debug, Value)]
struct Order {
    sku: String,
    pieces: u32,
    cents: u64,
}

/// What the packers say.
#[derive(Value)]
struct Packed {
    tracking: String,
}

/// What the provider is asked, to charge and to give back.
#[derive(Clone, Value)]
struct Bill {
    order: String,
    cents: u64,
}

/// From the order to the parcel.
struct Fulfilment;

impl Workflow for Fulfilment {
    const NAME: &'static str = "fulfilment";
    type Input = Order;
    /// Where the parcel can be followed.
    type Output = String;

    async fn run(&self, ctx: &WorkflowContext, order: Order) -> Result<String, Failure> {
        let Order { sku, pieces, cents } = order;
        let id = ctx.id().to_owned();
        ctx.command::<Stock>(&sku, StockCommand::Reserve { order: id.clone(), pieces })
            .undo_command::<Stock>("release", &sku, StockCommand::Release { order: id.clone() })
            .await?;

        let bill = Bill { order: id.clone(), cents };
        let refunded = bill.clone();
        let is_paid = ctx
            .step("charge", move |step| charge(step, bill.clone()))
            .attempts(8)
            .undo("refund", move |step, is_paid| refund(step, refunded.clone(), is_paid))
            .await?;
        if !is_paid {
            return Err(Failure::new("declined", "the card was not taken"));
        }

        let Some(packed) = ctx.wait_for::<Packed>("packed").timeout(PACKING_TIME).await else {
            return Err(Failure::new("not-packed", "nobody packed it in two days"));
        };
        ctx.command::<Stock>(&sku, StockCommand::SendOff { order: id }).await?;
        Ok(packed.tracking)
    }

    fn signals() -> Signals {
        Signals::none().with::<Packed>("packed")
    }
}

/// Charges; whether the card was taken. A no that the provider means is an answer, everything else is tried again or fails.
async fn charge(step: StepContext, bill: Bill) -> Result<bool, ActionError> {
    match step.http().post(format!("{PROVIDER}/charges")).json(&bill).send().await {
        Ok(_) => Ok(true),
        Err(HttpFailure::Status(reply)) if reply.status() == 402 => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Gives back what was charged. Without a result nobody knows whether it was: the provider looks for it by the order.
async fn refund(step: StepContext, bill: Bill, is_paid: Option<bool>) -> Result<(), ActionError> {
    if is_paid != Some(false) {
        step.http().post(format!("{PROVIDER}/refunds")).json(&bill).send().await?;
    }
    Ok(())
}

fn service() -> Service {
    Service::new("fulfilment").entity::<Stock>().workflow(Fulfilment)
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use headwater::testkit::{HttpAnswer, HttpRequest, Testkit, WorkflowState, days, hours, minutes, seeds};

    use super::*;

    /// A provider that charges an order once, whatever it is asked how often, and knows what it has.
    #[derive(Clone, Default)]
    struct Provider(Arc<Mutex<BTreeMap<String, i64>>>);

    impl Provider {
        fn answer(&self, request: &HttpRequest) -> HttpAnswer {
            let bill: Bill = request.json();
            let mut has = self.0.lock().unwrap();
            match request.path() {
                "/charges" if bill.cents > 100_000 => return HttpAnswer::status(402),
                // Under one key it is one charge, and what was given back is not charged any more.
                "/charges" => drop(has.entry(bill.order).or_insert(bill.cents.try_into().unwrap())),
                _ => drop(has.insert(bill.order, 0)),
            }
            HttpAnswer::status(200)
        }

        fn has(&self, order: &str) -> i64 {
            self.0.lock().unwrap().get(order).copied().unwrap_or_default()
        }
    }

    fn start<'a>(house: &'a Testkit, id: &str, pieces: u32, cents: u64) -> headwater::testkit::Workflow<'a, Fulfilment> {
        let order = house.workflow::<Fulfilment>(id);
        order.start(&Order { sku: "mug".into(), pieces, cents });
        order
    }

    /// A house with ten mugs, and a provider that answers.
    fn house(change: impl FnOnce(Testkit) -> Testkit) -> (Testkit, Provider) {
        let (house, provider) = (change(Testkit::new(service)), Provider::default());
        let answers = provider.clone();
        house.stub_http(PROVIDER, move |request| answers.answer(request));
        house.send::<Stock>("mug", StockCommand::PutIn { pieces: 10 }).expect("pieces come in");
        (house, provider)
    }

    fn free(house: &Testkit) -> (u32, usize) {
        let stock = house.state::<Stock>("mug").expect("there are mugs");
        (stock.free, stock.reserved.len())
    }

    fn packed() -> Packed {
        Packed { tracking: "t1".into() }
    }

    #[test]
    fn an_order_that_is_paid_and_packed_leaves_the_house() {
        let (house, provider) = house(|house| house);
        let order = start(&house, "o1", 2, 1_900);
        house.settle();
        assert_eq!((order.state(), order.why().as_deref()), (WorkflowState::Waiting, Some("signal `packed`")));
        assert_eq!((free(&house), provider.has("o1")), ((8, 1), 1_900));
        house.advance(days(1));
        order.signal("packed", &packed());
        house.settle();
        assert_eq!(order.ended().as_deref(), Ok("t1"));
        assert_eq!((free(&house), provider.has("o1")), ((8, 0), 1_900));
    }

    #[test]
    fn a_card_that_is_not_taken_lets_the_pieces_go() {
        let (house, provider) = house(|house| house);
        let order = start(&house, "o1", 2, 200_000);
        house.settle();
        assert_eq!(order.ended().unwrap_err().code(), "declined");
        assert_eq!((free(&house), provider.has("o1")), ((10, 0), 0));
        assert!(house.http_calls(PROVIDER).iter().all(|call| call.path() == "/charges"), "there is nothing to give back");
    }

    #[test]
    fn what_is_not_there_is_neither_kept_nor_charged() {
        let (house, provider) = house(|house| house);
        let order = start(&house, "o1", 11, 1_900);
        house.settle();
        assert_eq!(order.ended().unwrap_err().code(), "too-few");
        assert_eq!((free(&house), provider.has("o1")), ((10, 0), 0));
    }

    #[test]
    fn what_nobody_packs_in_two_days_is_given_back() {
        let (house, provider) = house(|house| house);
        let order = start(&house, "o1", 2, 1_900);
        house.advance(days(2) - minutes(1));
        assert_eq!(order.state(), WorkflowState::Waiting);
        house.crash();
        house.advance(hours(1));
        house.settle();
        assert_eq!(order.ended().unwrap_err().code(), "not-packed");
        assert_eq!((free(&house), provider.has("o1")), ((10, 0), 0));
    }

    #[test]
    fn an_order_that_is_cancelled_while_nobody_knows_whether_it_is_charged_is_given_back() {
        let (house, provider) = house(|house| house);
        house.stub_http(PROVIDER, |_| HttpAnswer::hangs());
        let order = start(&house, "o1", 2, 1_900);
        house.advance(hours(1));
        assert_eq!((order.state(), free(&house)), (WorkflowState::Running, (8, 1)), "while the provider is down, it waits");
        order.cancel();
        house.advance(minutes(1));
        assert_eq!((order.state(), free(&house)), (WorkflowState::Undoing, (8, 1)), "the provider may have charged it");
        let answers = provider.clone();
        house.stub_http(PROVIDER, move |request| answers.answer(request));
        house.advance(hours(1));
        assert_eq!((order.state(), free(&house), provider.has("o1")), (WorkflowState::Cancelled, (10, 0), 0));
        assert!(house.http_calls(PROVIDER).iter().any(|call| call.path() == "/refunds"));
    }

    /// Whatever is cut short, each order has all of its effects, or none.
    #[test]
    fn in_the_middle_of_anything_the_process_may_end() {
        let mut crashes = 0;
        for seed in seeds(20) {
            let (house, provider) = house(|house| house.seed(seed).delays().crashes(0.02));
            for (id, cents) in [("sent", 1_900), ("declined", 200_000), ("called-off", 700)] {
                start(&house, id, 2, cents);
            }
            house.settle();
            house.advance(minutes(10));
            house.workflow::<Fulfilment>("called-off").cancel();
            house.workflow::<Fulfilment>("sent").signal("packed", &packed());
            house.settle();
            house.advance(minutes(10));
            let ended = |id: &str| house.workflow::<Fulfilment>(id).ended().map_err(|failure| failure.code().to_owned());
            assert_eq!(ended("sent").as_deref(), Ok("t1"), "seed {seed}");
            assert_eq!((ended("declined"), ended("called-off")), (Err("declined".into()), Err("cancelled".into())), "seed {seed}");
            assert_eq!((provider.has("sent"), provider.has("declined"), provider.has("called-off")), (1_900, 0, 0), "seed {seed}");
            assert_eq!(free(&house), (8, 0), "seed {seed}");
            crashes += house.crash_count();
        }
        assert!(crashes > 0, "without crashes this would test something else");
    }
}
