//! One idea more: messages from outside. A bank says what was paid; the topic takes each message once, however often the bank
//! sends it, and an action turns it into a command, and publishes a receipt on a topic of its own, for whoever reads it.
//!
//! ```text
//! cargo run -p headwater-examples --bin 07-topic
//! cargo run -p headwater-examples --bin 07-topic -- topic publish payments '{"order":"o1","cents":250}' --id p1 --subject o1
//! curl -H 'ce-specversion: 1.0' -H 'ce-id: p2' -H 'ce-source: /bank' -H 'ce-type: paid' -H 'ce-subject: o1' \
//!   -H 'content-type: application/json' -d '{"order":"o1","cents":250}' http://127.0.0.1:7430/v1/topics/payments
//! ```

use headwater::prelude::*;

/// An order, and what was paid for it.
#[derive(Default, State)]
struct Order {
    paid_cents: u64,
}

/// What an order is told.
#[derive(Command)]
enum OrderCommand {
    /// Money came in.
    #[command("pay")]
    Pay { cents: u64 },
}

/// What happened to an order.
#[derive(Event)]
enum OrderEvent {
    /// So much was paid.
    #[event("paid")]
    Paid { cents: u64 },
}

/// Why an order takes no money.
#[derive(Rejection)]
enum OrderRejection {
    /// Nothing is no payment.
    #[rejection("nothing-paid", "a payment is at least one cent")]
    NothingPaid,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, OrderRejection> {
        match command {
            OrderCommand::Pay { cents: 0 } => Err(OrderRejection::NothingPaid),
            OrderCommand::Pay { cents } => Ok(record(OrderEvent::Paid { cents })),
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        let OrderEvent::Paid { cents } = event;
        self.paid_cents += cents;
    }
}

/// What a message of the topic says. One that says something else is refused at the door.
#[derive(Value)]
struct Payment {
    order: String,
    cents: u64,
}

/// What the payer gets.
#[derive(Value)]
struct Receipt {
    order: String,
    cents: u64,
}

/// Where receipts are published.
struct Receipts;

impl Topic for Receipts {
    const NAME: &'static str = "receipts";
    type Message = Receipt;
}

/// Books what the bank says.
struct BookPayment;

impl TopicAction for BookPayment {
    const NAME: &'static str = "book-payment";
    const TOPIC: &'static str = "payments";
    type Message = Payment;

    async fn run(&self, message: Message<Payment>, ctx: &ActionContext) -> Result<(), ActionError> {
        let Payment { order, cents } = message.data;
        ctx.command::<Order>(&order, OrderCommand::Pay { cents }).await?;
        // Once the order has it. Receipts of one order keep their order.
        ctx.publish::<Receipts>(order.clone(), &Receipt { order, cents }).await?;
        Ok(())
    }

    fn publishes() -> Topics {
        Topics::none().with::<Receipts>()
    }
}

fn main() -> headwater::Exit {
    let topics = Service::new("shop").topic_of::<Payment>("payments").topic_of::<Receipt>(Receipts::NAME);
    topics.entity::<Order>().topic_action(BookPayment).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_booked_on_its_order() {
        let payment = Payment { order: "o1".into(), cents: 250 };
        given_topic_action(BookPayment).when(payment).sends([
            command_to::<Order>("o1", OrderCommand::Pay { cents: 250 }),
            message_to::<Receipts>("o1", &Receipt { order: "o1".into(), cents: 250 }),
        ]);
    }

    #[test]
    fn what_the_order_refuses_waits_for_a_person() {
        let nothing = Payment { order: "o1".into(), cents: 0 };
        given_topic_action(BookPayment).rejects(OrderRejection::NothingPaid).when(nothing).parks();
    }
}
