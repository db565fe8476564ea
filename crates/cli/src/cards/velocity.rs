//! The check for many payments in a short time: a stolen number is tried out quickly.

use std::time::Duration;

use headwater::prelude::*;

use super::check::{AlertEvent, Check, LATE_SECONDS, alert_once, by_card};
use super::payment::{PAYMENTS, Payment};

/// Payments within a minute that are still no reason.
const PAYMENTS_MAX: u32 = 5;
const SCORE: u32 = 40;
const MINUTE: Sliding = Sliding::of(Duration::from_secs(60)).every(Duration::from_secs(1)).late_by(Duration::from_secs(LATE_SECONDS));

/// See the module.
pub(crate) struct Velocity {
    pub(crate) start: Start,
}

/// What it remembers of a card.
#[derive(Debug, Default, State)]
pub(crate) struct Pace {
    payments: Windows<u32>,
    over: bool,
}

impl Processor for Velocity {
    const NAME: &'static str = "velocity";
    type State = Pace;
    type Event = AlertEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.topic(PAYMENTS, by_card, Self::count)
    }

    fn clock(&self) -> EventClock {
        EventClock::Own
    }

    fn start(&self) -> Start {
        self.start
    }
}

impl Check for Velocity {
    const ACTION: &'static str = "block-card-by-velocity";
}

impl Velocity {
    fn count(&self, pace: &mut Pace, payment: Message<Payment>, ctx: &mut ProcessorContext<AlertEvent>) {
        if MINUTE.add(&mut pace.payments, ctx, |count| *count += 1).is_late() {
            return;
        }
        let count: u32 = MINUTE.over(&pace.payments, ctx).sum();
        let over = (count > PAYMENTS_MAX).then(|| Decimal::from(count));
        alert_once(&mut pace.over, over, SCORE, &payment, ctx);
    }
}
