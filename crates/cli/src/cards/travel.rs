//! The check for a card that is in two places at once, as far as planes go.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater::prelude::*;

use super::check::{AlertEvent, Check, LATE_SECONDS, alert_once, by_card};
use super::payment::{PAYMENTS, Payment};

/// How far apart two payments may be within the window.
const KILOMETRES_MAX: u32 = 2_000;
const SCORE: u32 = 100;
const TWO_HOURS: Sliding =
    Sliding::of(Duration::from_secs(7_200)).every(Duration::from_secs(60)).late_by(Duration::from_secs(LATE_SECONDS));

const COUNTRIES: [&str; 10] = ["BR", "DE", "ES", "FR", "GB", "JP", "NO", "SG", "US", "ZA"];
/// Kilometres from capital to capital along the great circle. Whole numbers: a fold must come to the same on every machine.
const KILOMETRES: [&[u32]; 10] = [
    &[],
    &[9_590],
    &[7_737, 1_869],
    &[8_724, 877, 1_053],
    &[8_792, 931, 1_263, 343],
    &[17_679, 8_917, 10_763, 9_713, 9_559],
    &[9_908, 838, 2_387, 1_341, 1_153, 8_406],
    &[16_522, 9_917, 11_381, 10_729, 10_848, 5_314, 10_049],
    &[6_796, 6_710, 6_088, 6_165, 5_897, 10_904, 6_232, 15_538],
    &[7_886, 8_821, 8_063, 8_685, 9_026, 13_503, 9_657, 8_638, 13_031],
];

/// See the module.
pub(crate) struct Travel {
    pub(crate) start: Start,
}

/// What it remembers of a card.
#[derive(Debug, Default, State)]
pub(crate) struct Seen {
    countries: Windows<BTreeSet<String>>,
    over: bool,
}

impl Processor for Travel {
    const NAME: &'static str = "travel";
    type State = Seen;
    type Event = AlertEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.topic(PAYMENTS, by_card, Self::see)
    }

    fn clock(&self) -> EventClock {
        EventClock::Own
    }

    fn start(&self) -> Start {
        self.start
    }
}

impl Check for Travel {
    const ACTION: &'static str = "block-card-by-travel";
}

impl Travel {
    fn see(&self, seen: &mut Seen, payment: Message<Payment>, ctx: &mut ProcessorContext<AlertEvent>) {
        let here = &payment.data.country;
        let added = TWO_HOURS.add(&mut seen.countries, ctx, |countries| {
            countries.insert(here.clone());
        });
        if added.is_late() {
            return;
        }
        let others = TWO_HOURS.over(&seen.countries, ctx).flatten();
        let furthest = others.filter_map(|there| kilometres(here, there)).max();
        let over = furthest.filter(|kilometres| *kilometres > KILOMETRES_MAX).map(Decimal::from);
        alert_once(&mut seen.over, over, SCORE, &payment, ctx);
    }
}

/// From one country to another; `None` where one of them is not known, or both are the same.
fn kilometres(one: &str, other: &str) -> Option<u32> {
    let place = |name: &str| COUNTRIES.iter().position(|country| *country == name);
    let (one, other) = (place(one)?, place(other)?);
    KILOMETRES[one.max(other)].get(one.min(other)).copied()
}
