//! An order: placed once, then line by line, as a till prints it.
//!
//! Quantities and prices may be zero or negative: returns, samples and written-off debts are lines too.

use headwater::prelude::*;

/// An order as far as its rules need it. The lines themselves are its events.
#[derive(Debug, Default, State)]
pub(crate) struct Order {
    placed: bool,
    cancelled: bool,
    customer: Option<String>,
    country: String,
    lines: u32,
    total: Decimal,
}

/// What a till does with an order.
#[derive(Command)]
pub(crate) enum OrderCommand {
    /// Opens the order.
    #[command("place")]
    Place {
        /// Who orders, when the till knows.
        customer: Option<String>,
        /// Where the customer lives.
        country: String,
        /// When the till opened it, as it wrote it.
        placed_at: String,
    },
    /// Adds the next line.
    #[command("add-line")]
    AddLine {
        /// The line's number within the order, from 1, without holes.
        line: u32,
        /// The article.
        sku: String,
        /// What the till calls it; may be empty.
        description: String,
        /// How many; negative for a return.
        quantity: i32,
        /// The price of one, exact.
        price: Decimal,
        /// When the till wrote the line, as it wrote it.
        at: String,
    },
    /// Calls the order off.
    #[command("cancel")]
    Cancel {
        /// Why.
        reason: String,
    },
}

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum OrderEvent {
    /// It was opened.
    #[event("placed")]
    Placed {
        /// Who orders, when the till knows.
        customer: Option<String>,
        /// Where the customer lives.
        country: String,
        /// When the till opened it.
        placed_at: String,
    },
    /// A line was added.
    #[event("line-added")]
    LineAdded {
        /// The line's number.
        line: u32,
        /// The article.
        sku: String,
        /// What the till calls it.
        description: String,
        /// How many.
        quantity: i32,
        /// The price of one.
        price: Decimal,
        /// When the till wrote the line.
        at: String,
    },
    /// It was called off.
    #[event("cancelled")]
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// Why an order refuses.
#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum OrderRejection {
    /// An order is opened once.
    #[rejection("already-placed", "the order is placed already")]
    AlreadyPlaced,
    /// Lines come after the opening.
    #[rejection("not-placed", "the order is not placed yet")]
    NotPlaced,
    /// A cancelled order does not change.
    #[rejection("cancelled", "the order is cancelled")]
    Cancelled,
    /// Lines come in order, each once.
    #[rejection("wrong-line", "the next line of the order is {next}")]
    WrongLine {
        /// The number that the next line must have.
        next: u32,
    },
    /// The sum is beyond what a decimal can hold.
    #[rejection("too-much", "the order's total would be too large")]
    TooMuch,
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
            OrderCommand::Place { customer, country, placed_at } => Ok(record(OrderEvent::Placed { customer, country, placed_at })),
            _ if !self.placed => Err(OrderRejection::NotPlaced),
            _ if self.cancelled => Err(OrderRejection::Cancelled),
            OrderCommand::Cancel { reason } => Ok(record(OrderEvent::Cancelled { reason })),
            OrderCommand::AddLine { line, .. } if line != self.lines + 1 => Err(OrderRejection::WrongLine { next: self.lines + 1 }),
            OrderCommand::AddLine { quantity, price, .. } if self.total_with(quantity, price).is_none() => Err(OrderRejection::TooMuch),
            OrderCommand::AddLine { line, sku, description, quantity, price, at } => {
                Ok(record(OrderEvent::LineAdded { line, sku, description, quantity, price, at }))
            }
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed { customer, country, .. } => {
                self.placed = true;
                self.customer.clone_from(customer);
                self.country.clone_from(country);
            }
            OrderEvent::LineAdded { line, quantity, price, .. } => {
                self.lines = *line;
                self.total = self.total_with(*quantity, *price).unwrap_or(self.total);
            }
            OrderEvent::Cancelled { .. } => self.cancelled = true,
        }
    }
}

impl Order {
    fn total_with(&self, quantity: i32, price: Decimal) -> Option<Decimal> {
        self.total.checked_add(price.checked_mul(Decimal::from(quantity))?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, OrderCommand, OrderEvent, OrderRejection};
    use headwater::prelude::*;

    fn placed() -> OrderEvent {
        OrderEvent::Placed { customer: None, country: "Malta".into(), placed_at: "2010-12-01 08:26:00".into() }
    }

    fn line(line: u32, quantity: i32, price: &str) -> OrderEvent {
        OrderEvent::LineAdded {
            line,
            sku: "85123A".into(),
            description: String::new(),
            quantity,
            price: price.parse().expect("a decimal"),
            at: "2010-12-01 08:26:00".into(),
        }
    }

    fn add_line(number: u32, quantity: i32, price: &str) -> OrderCommand {
        let OrderEvent::LineAdded { line, sku, description, quantity, price, at } = line(number, quantity, price) else {
            unreachable!("the function above gives a line")
        };
        OrderCommand::AddLine { line, sku, description, quantity, price, at }
    }

    #[test]
    fn an_order_is_placed_once_even_by_nobody() {
        let place = || OrderCommand::Place { customer: None, country: "Malta".into(), placed_at: "2010-12-01 08:26:00".into() };
        given::<Order>([]).when(place()).then([placed()]);
        given::<Order>([placed()]).when(place()).rejected(OrderRejection::AlreadyPlaced);
    }

    #[test]
    fn lines_follow_each_other_whatever_their_sign() {
        given::<Order>([placed()]).when(add_line(1, -6, "2.55")).then([line(1, -6, "2.55")]);
        given::<Order>([placed(), line(1, 1, "0.001")]).when(add_line(2, 1, "-11062.06")).then([line(2, 1, "-11062.06")]);
        given::<Order>([placed(), line(1, 1, "1")]).when(add_line(3, 1, "1")).rejected(OrderRejection::WrongLine { next: 2 });
        given::<Order>([]).when(add_line(1, 1, "1")).rejected(OrderRejection::NotPlaced);
    }

    #[test]
    fn a_total_that_cannot_be_exact_is_refused() {
        let most = "79228162514264337593543950335";
        given::<Order>([placed()]).when(add_line(1, 2, most)).rejected(OrderRejection::TooMuch);
    }

    #[test]
    fn a_cancelled_order_stays_as_it_is() {
        let cancelled = OrderEvent::Cancelled { reason: "too late".into() };
        given::<Order>([placed()]).when(OrderCommand::Cancel { reason: "too late".into() }).then([cancelled.clone()]);
        given::<Order>([placed(), cancelled]).when(add_line(1, 1, "1")).rejected(OrderRejection::Cancelled);
    }
}
