//! Which alerts a list of payments must lead to, written apart from the checks: for each payment it looks at all earlier ones of the
//! card, with no window and no state. It is slow, and easy to believe.

use std::collections::{BTreeMap, BTreeSet};

use headwater::prelude::*;

use super::generated::Generated;
use super::payment::Payment;

/// An alert: the check, the card, the payment that was too much, and what was counted.
pub(crate) type Alert = (String, String, String, String);

/// All alerts of these checks over payments that come in this order.
pub(crate) fn alerts(payments: &[Generated], checks: &[&str]) -> BTreeSet<Alert> {
    let mut cards: BTreeMap<&str, Vec<&Generated>> = BTreeMap::new();
    for generated in payments {
        cards.entry(&generated.payment.card).or_default().push(generated);
    }
    let mut alerts = BTreeSet::new();
    for (card, all) in cards {
        for (check, begins) in checks.iter().flat_map(|check| beginnings(check, &all).map(move |begins| (*check, begins))) {
            let (payment, figure) = begins;
            alerts.insert((check.to_owned(), card.to_owned(), payment.to_owned(), figure));
        }
    }
    alerts
}

/// Payments of one card that are over a check's limit where the one before was not.
fn beginnings<'a>(check: &'a str, all: &'a [&'a Generated]) -> impl Iterator<Item = (&'a str, String)> {
    let over = move |last: usize| over(check, &all[..=last]);
    (0..all.len()).filter_map(move |last| {
        let figure = over(last)?;
        let was_over = last > 0 && over(last - 1).is_some();
        (!was_over).then(|| (all[last].id.as_str(), figure))
    })
}

/// What a check finds in the last of these payments of one card.
fn over(check: &str, all: &[&Generated]) -> Option<String> {
    let now = &all.last()?.payment;
    match check {
        "velocity" => {
            let count = within(all, now, 60_000, 1_000).count();
            (count > 5).then(|| count.to_string())
        }
        "spending" => {
            let cents: i64 = within(all, now, 3_600_000, 60_000).map(|payment| cents(payment.amount)).sum();
            (cents > 100_000).then(|| format!("{}.{:02}", cents / 100, cents % 100))
        }
        _ => {
            let kilometres = within(all, now, 7_200_000, 60_000).map(|payment| kilometres(&payment.country, &now.country));
            kilometres.max().filter(|kilometres| *kilometres > 2_000).map(|kilometres| kilometres.to_string())
        }
    }
}

/// The payments in the time up to this one. Windows reach back to the beginning of a whole pane.
fn within<'a>(all: &'a [&'a Generated], now: &Payment, size_ms: i64, pane_ms: i64) -> impl Iterator<Item = &'a Payment> {
    let oldest_ms = (now.at_ms - size_ms) / pane_ms * pane_ms;
    all.iter().map(|generated| &generated.payment).filter(move |payment| payment.at_ms >= oldest_ms)
}

fn cents(amount: Decimal) -> i64 {
    let text = amount.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{part:0<2}").parse().expect("amounts are whole cents")
}

/// Between capitals, along the great circle of a sphere.
fn kilometres(one: &str, other: &str) -> i64 {
    let place = |country: &str| -> (f64, f64) {
        match country {
            "BR" => (-15.79, -47.88),
            "DE" => (52.52, 13.40),
            "ES" => (40.42, -3.70),
            "FR" => (48.86, 2.35),
            "GB" => (51.51, -0.13),
            "JP" => (35.68, 139.69),
            "NO" => (59.91, 10.75),
            "SG" => (1.35, 103.82),
            "US" => (38.91, -77.04),
            "ZA" => (-25.75, 28.19),
            _ => unreachable!("no till of ours stands in {country}"),
        }
    };
    let ((north, east), (other_north, other_east)) = (place(one), place(other));
    let haversine = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let cosines = north.to_radians().cos() * other_north.to_radians().cos();
    let part = haversine(other_north - north) + cosines * haversine(other_east - east);
    #[expect(clippy::cast_possible_truncation, reason = "the earth is small")]
    let kilometres = (2.0 * 6_371.0 * part.sqrt().asin()).round() as i64;
    kilometres
}
