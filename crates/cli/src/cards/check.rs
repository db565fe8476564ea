//! What all checks share: their names, and what an alert is.

use clap::ValueEnum;
use headwater::prelude::*;

use super::payment::Payment;

/// The checks that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckName {
    /// More than five payments of a card within a minute
    Velocity,
    /// More than 1,000 with a card within an hour
    Spending,
    /// Payments in two countries further than 2,000 km apart within two hours
    Travel,
}

impl CheckName {
    /// Its processor's name, which is the entity type of its alerts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Velocity => "velocity",
            Self::Spending => "spending",
            Self::Travel => "travel",
        }
    }

    /// What a figure of it means, to people.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Velocity => "payments within a minute",
            Self::Spending => "within an hour",
            Self::Travel => "km within two hours",
        }
    }
}

/// A processor that watches cards. Payments live in their own time: what is played again has the same windows.
pub(crate) trait Check: Processor<Event = AlertEvent> {
    /// The name of the action that tells a card.
    const ACTION: &'static str;
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Event)]
pub(crate) enum AlertEvent {
    /// A card has begun to be over the check's limit.
    #[event("alert")]
    Alert {
        /// The id of the payment that was too much.
        payment: String,
        /// When that payment was made.
        at_ms: i64,
        /// What was counted.
        figure: Decimal,
        /// How suspicious it is: 100 blocks a card.
        score: u32,
    },
}

/// How long after its window a payment may come and still count, in seconds.
pub(crate) const LATE_SECONDS: u64 = 600;

/// Each payment goes to its card, at its own time.
pub(crate) fn by_card(payment: &Message<Payment>) -> Route {
    Route::to(payment.data.card.clone()).at(payment.data.at_ms.saturating_mul(1_000))
}

/// Says it once when a card begins to be over a limit; again only after it was not.
pub(crate) fn alert_once(
    was_over: &mut bool,
    over: Option<Decimal>,
    score: u32,
    payment: &Message<Payment>,
    ctx: &mut ProcessorContext<AlertEvent>,
) {
    let begins = !std::mem::replace(was_over, over.is_some());
    if let Some(figure) = over.filter(|_| begins) {
        ctx.emit(AlertEvent::Alert { payment: payment.id.clone(), at_ms: payment.data.at_ms, figure, score });
    }
}
