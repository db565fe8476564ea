//! The way of a cart that is checked out: its pieces are reserved in the stock service, it is paid in the payment service, and then it
//! goes. What fails on the way is undone in both. In the end its customer is written a letter.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater::prelude::*;

use super::articles::ARTICLES;
use super::dispatch::{Dispatch, DispatchCommand};
use super::payment::{Answered, PAYMENT, PAYMENTS, Payment, PaymentCommand};
use super::stock::{STOCK, Stock, StockCommand, StockRejection};

/// How long the bank has to answer: less than pieces are kept.
const PAYING: Duration = Duration::from_secs(15 * 60);

const PAID: &str = "paid";

/// What is in a cart.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Basket {
    pub(crate) items: BTreeMap<String, u32>,
}

/// What the customer is told in the end.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Letter {
    pub(crate) order: String,
    /// Why it does not come; nothing when it does.
    pub(crate) failed: Option<String>,
}

/// Letters, for whoever sends them: `PUT /v1/consumers/post` with `{"topic":"letters"}`.
pub(crate) struct Letters;

impl Topic for Letters {
    const NAME: &'static str = "letters";
    type Message = Letter;
}

/// See the module.
pub(crate) struct Shipping;

impl Workflow for Shipping {
    const NAME: &'static str = "shipping";
    type Input = Basket;
    /// How much was paid, in cents.
    type Output = u64;

    async fn run(&self, ctx: &WorkflowContext, basket: Basket) -> Result<u64, Failure> {
        let ended = send(ctx, &basket).await;
        let failed = ended.as_ref().err().map(|failure| failure.code().to_owned());
        ctx.publish::<Letters>(ctx.id(), &Letter { order: ctx.id().to_owned(), failed }).await?;
        ended
    }

    fn signals() -> Signals {
        Signals::none().with::<Answered>(PAID)
    }

    fn publishes() -> Topics {
        Topics::none().with::<Letters>()
    }
}

/// Everything up to the door. What of it has been done when it fails is undone.
async fn send(ctx: &WorkflowContext, basket: &Basket) -> Result<u64, Failure> {
    let order = ctx.id().to_owned();
    for (article, pieces) in &basket.items {
        let (article, pieces, of) = (article.clone(), *pieces, order.clone());
        let (released, released_of) = (article.clone(), order.clone());
        let is_kept = ctx
            .step("reserve", move |step| reserve(step, article.clone(), of.clone(), pieces))
            .undo("release", move |step, _| tell_stock(step, released.clone(), StockCommand::Release { order: released_of.clone() }))
            .await?;
        if !is_kept {
            return Err(Failure::new("out-of-stock", "there are not enough pieces"));
        }
    }
    let cents = basket.items.iter().map(|(article, pieces)| price_cents(article) * u64::from(*pieces)).sum();
    let (charged, called_off) = (order.clone(), order.clone());
    ctx.step("charge", move |step| tell_payment(step, charged.clone(), PaymentCommand::Charge { cents }))
        .undo("call-off", move |step, _| tell_payment(step, called_off.clone(), PaymentCommand::CallOff))
        .await?;
    match ctx.wait_for::<Answered>(PAID).timeout(PAYING).await {
        Some(Answered { paid: true }) => {}
        Some(Answered { paid: false }) => return Err(Failure::new("declined", "the bank does not pay")),
        None => return Err(Failure::new("not-paid", "the bank did not answer in a quarter of an hour")),
    }
    for article in basket.items.keys() {
        let (article, of) = (article.clone(), order.clone());
        ctx.step("take", move |step| tell_stock(step, article.clone(), StockCommand::Take { order: of.clone() })).await?;
    }
    let pieces = basket.items.values().fold(0, |sum: u32, pieces| sum.saturating_add(*pieces));
    ctx.command::<Dispatch>(order, DispatchCommand::Send { pieces, cents }).await?;
    Ok(cents)
}

/// Whether there are enough; they are kept for half an hour.
async fn reserve(step: StepContext, article: String, order: String, pieces: u32) -> Result<bool, ActionError> {
    match step.peer(STOCK).command::<Stock>(article, StockCommand::Reserve { order, pieces }).await {
        Err(CommandFailure::Rejected(StockRejection::OutOfStock { .. })) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

async fn tell_stock(step: StepContext, article: String, command: StockCommand) -> Result<(), ActionError> {
    Ok(step.peer(STOCK).command::<Stock>(article, command).await?)
}

async fn tell_payment(step: StepContext, order: String, command: PaymentCommand) -> Result<(), ActionError> {
    Ok(step.peer(PAYMENT).command::<Payment>(order, command).await?)
}

/// What one of it costs; nothing is known of what is not sold.
fn price_cents(sku: &str) -> u64 {
    ARTICLES.iter().find(|article| article.sku == sku).map_or(0, |article| u64::from(article.price_cents))
}

/// What of a cart begins it.
#[derive(Event)]
pub(crate) enum Closed {
    /// The shopping ended.
    #[event("checked-out")]
    CheckedOut {
        /// What was in the cart; older events do not say it.
        #[field(default)]
        items: BTreeMap<String, u32>,
    },
}

/// Begins the way of each cart that is checked out.
pub(crate) struct Ship;

impl Action for Ship {
    const NAME: &'static str = "ship";
    const ENTITY: &'static str = "cart";
    type Event = Closed;

    async fn run(&self, event: Recorded<Closed>, ctx: &ActionContext) -> Result<(), ActionError> {
        let Closed::CheckedOut { items } = event.event;
        if items.is_empty() {
            return Err(ActionError::skip("nobody knows what was in it"));
        }
        Ok(ctx.workflow::<Shipping>(event.entity_id).start(&Basket { items }).await?)
    }
}

/// Tells a cart's workflow what the bank has said.
pub(crate) struct TellShipping;

impl TopicAction for TellShipping {
    const NAME: &'static str = "tell-shipping";
    const TOPIC: &'static str = PAYMENTS;
    type Message = Answered;

    async fn run(&self, message: Message<Answered>, ctx: &ActionContext) -> Result<(), ActionError> {
        let order = message.subject.ok_or_else(|| ActionError::park("the payment has no subject, which is the order"))?;
        // Of one that is undone meanwhile, the payment was called off: nobody needs to know.
        let _is_taken = ctx.workflow::<Shipping>(order).signal(PAID, &message.data).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater::Service;
    use headwater::testkit::{Testkit, WorkflowState, minutes, seconds};

    use super::super::cart::{Cart, CartCommand};
    use super::super::dispatch::DispatchEvent;
    use super::super::payment::PaymentEvent;
    use super::super::{Peers, payment, stock, with_peers};
    use super::*;

    /// The shop, stock and payment, with ten blue mugs, of which somebody has just checked two out.
    struct World {
        shop: Testkit,
        stock: Testkit,
        payment: Testkit,
    }

    fn checked_out(payment: impl Fn() -> Service + 'static) -> World {
        let (stock, nowhere) = (Testkit::new(stock::service), || "http://nowhere.test".to_owned());
        let payment = Testkit::new(payment).beside(&stock);
        let shop = Testkit::new(move || with_peers(None, &Peers { stock: nowhere(), payment: nowhere() })).beside(&payment);
        stock.send::<Stock>("mug-blue", StockCommand::PutIn { pieces: 10 }).expect("pieces come in");
        shop.send::<Cart>("c1", CartCommand::AddItem { sku: "mug-blue".to_owned(), quantity: 2 }).expect("the cart is open");
        shop.send::<Cart>("c1", CartCommand::CheckOut).expect("the cart is filled");
        shop.settle();
        World { shop, stock, payment }
    }

    impl World {
        /// Pieces that are free, and pieces that are kept for somebody.
        fn mugs(&self) -> (u32, usize) {
            let mugs = self.stock.state::<Stock>("mug-blue").expect("there are some");
            (mugs.free, mugs.kept.len())
        }

        fn letters(&self) -> Vec<Option<String>> {
            self.shop.messages::<Letters>("c1").into_iter().map(|letter| letter.failed).collect()
        }
    }

    #[test]
    fn what_is_paid_for_leaves_and_the_customer_is_told() {
        let world = checked_out(payment::service);
        assert_eq!(world.shop.workflow::<Shipping>("c1").ended(), Ok(2 * 695));
        assert_eq!(world.shop.events::<Dispatch>("c1"), [DispatchEvent::Sent { pieces: 2, cents: 2 * 695 }]);
        assert_eq!((world.mugs(), world.letters()), ((8, 0), vec![None]));
    }

    #[test]
    fn what_nobody_pays_for_in_time_is_undone_everywhere_and_the_customer_is_told() {
        let world = checked_out(payment::without_bank);
        world.shop.advance(minutes(14));
        assert_eq!(world.shop.workflow::<Shipping>("c1").state(), WorkflowState::Waiting);
        assert_eq!((world.mugs(), world.letters()), ((8, 1), Vec::new()));
        world.shop.advance(minutes(1) + seconds(1));
        world.shop.settle();
        assert_eq!(world.shop.workflow::<Shipping>("c1").ended().unwrap_err().code(), "not-paid");
        assert_eq!((world.mugs(), world.letters()), ((10, 0), vec![Some("not-paid".to_owned())]));
        let requested = PaymentEvent::Requested { cents: 2 * 695 };
        assert_eq!(world.payment.events::<Payment>("c1"), [requested, PaymentEvent::CalledOff { cents: 0 }]);
        assert_eq!(world.shop.state::<Dispatch>("c1"), None);
    }

    #[test]
    fn what_is_checked_out_begins_its_way() {
        let items = BTreeMap::from([("mug-blue".to_owned(), 2)]);
        let basket = Basket { items: items.clone() };
        given_action(Ship).when("c1", Closed::CheckedOut { items }).sends([workflow_started::<Shipping>("c1", &basket)]);
        given_action(Ship).when("c1", Closed::CheckedOut { items: BTreeMap::new() }).skips();
    }
}
