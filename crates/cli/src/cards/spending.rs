//! The check for much money in a short time.

use std::time::Duration;

use headwater::prelude::*;

use super::check::{AlertEvent, Check, LATE_SECONDS, alert_once, by_card};
use super::payment::{PAYMENTS, Payment};

/// What may be spent within an hour.
const LIMIT: u32 = 1_000;
const SCORE: u32 = 60;
const HOUR: Sliding = Sliding::of(Duration::from_secs(3_600)).every(Duration::from_secs(60)).late_by(Duration::from_secs(LATE_SECONDS));

/// See the module.
pub(crate) struct Spending {
    pub(crate) start: Start,
}

/// What it remembers of a card.
#[derive(Debug, Default, State)]
pub(crate) struct Spent {
    amounts: Windows<Decimal>,
    over: bool,
}

impl Processor for Spending {
    const NAME: &'static str = "spending";
    type State = Spent;
    type Event = AlertEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.topic(PAYMENTS, by_card, Self::spend)
    }

    fn clock(&self) -> EventClock {
        EventClock::Own
    }

    fn start(&self) -> Start {
        self.start
    }
}

impl Check for Spending {
    const ACTION: &'static str = "block-card-by-spending";
}

impl Spending {
    fn spend(&self, spent: &mut Spent, payment: Message<Payment>, ctx: &mut ProcessorContext<AlertEvent>) {
        if HOUR.add(&mut spent.amounts, ctx, |sum| *sum += payment.data.amount).is_late() {
            return;
        }
        let sum: Decimal = HOUR.over(&spent.amounts, ctx).sum();
        alert_once(&mut spent.over, (sum > Decimal::from(LIMIT)).then_some(sum), SCORE, &payment, ctx);
    }
}
