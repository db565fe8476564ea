//! Each check at the edges of its window, and all of them in a whole service under faults, beside the model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use headwater::prelude::*;
use headwater::testkit::{Testkit, seeds};

use super::check::AlertEvent;
use super::generated::{Generated, payments};
use super::model::{self, Alert};
use super::payment::{PAYMENTS, Payment};
use super::spending::Spending;
use super::travel::Travel;
use super::velocity::Velocity;
use super::{Card, CheckName, service};

const ALL: [CheckName; 3] = [CheckName::Velocity, CheckName::Spending, CheckName::Travel];
const NOON_MS: i64 = 1_767_268_800_000;

fn paid(seconds: i64, country: &str, amount: &str) -> Payment {
    let amount = amount.parse().expect("a decimal");
    Payment { card: "c1".into(), merchant: "books".into(), country: country.into(), amount, at_ms: NOON_MS + seconds * 1_000 }
}

/// An alert of the `number`-th payment of a test.
fn alert(number: u32, seconds: i64, figure: &str, score: u32) -> (&'static str, AlertEvent) {
    let figure = figure.parse().expect("a decimal");
    ("c1", AlertEvent::Alert { payment: format!("m{number}"), at_ms: NOON_MS + seconds * 1_000, figure, score })
}

/// A check that payments come to at these seconds.
macro_rules! given_payments {
    ($check:expr, $seconds:expr) => {
        $seconds.into_iter().fold(given_processor($check), |given, second| given.message(PAYMENTS, paid(second, "DE", "1")))
    };
}

#[test]
fn velocity_counts_the_minute_up_to_the_payment() {
    let velocity = || Velocity { start: Start::Now };
    let six = given_payments!(velocity(), [0, 1, 2, 3, 4, 60]);
    let six = six.emits([alert(6, 60, "6", 40)]).message(PAYMENTS, paid(60, "DE", "1"));
    six.emits_nothing();
    given_payments!(velocity(), [0, 1, 2, 3, 4, 61]).emits_nothing();
}

#[test]
fn velocity_says_it_again_once_the_card_was_slow() {
    let given = given_payments!(Velocity { start: Start::Now }, [0, 0, 0, 0, 0, 0, 0]).emits([alert(6, 0, "6", 40)]);
    let given = [100, 200, 200, 200, 200, 200].into_iter().fold(given, |given, second| given.message(PAYMENTS, paid(second, "DE", "1")));
    given.emits_nothing().message(PAYMENTS, paid(200, "DE", "1")).emits([alert(14, 200, "6", 40)]);
}

#[test]
fn a_payment_that_comes_late_counts_in_its_own_minute_and_after_ten_minutes_not_at_all() {
    let given = given_payments!(Velocity { start: Start::Now }, [0, 0, 0, 0, 0, 600]).emits_nothing();
    let given = given.message(PAYMENTS, paid(0, "DE", "1")).emits([alert(7, 0, "6", 40)]);
    let given = given.message(PAYMENTS, paid(1_000, "DE", "1")).message(PAYMENTS, paid(300, "DE", "1")).emits_nothing();
    given.state("c1", |pace| assert!(!format!("{pace:?}").contains(&format!("{}", (NOON_MS + 300_000) * 1_000)), "{pace:?}"));
}

#[test]
fn spending_is_exact_to_the_last_digit() {
    let given = given_processor(Spending { start: Start::Now })
        .message(PAYMENTS, paid(0, "DE", "999.90"))
        .message(PAYMENTS, paid(3_600, "DE", "0.1"))
        .emits_nothing();
    given.message(PAYMENTS, paid(3_600, "DE", "0.001")).emits([alert(3, 3_600, "1000.001", 60)]);
    let given = given_processor(Spending { start: Start::Now }).message(PAYMENTS, paid(0, "DE", "999.90"));
    given.message(PAYMENTS, paid(3_660, "DE", "999.90")).emits_nothing();
}

#[test]
fn travel_is_two_countries_too_far_apart_within_two_hours() {
    let travel = || given_processor(Travel { start: Start::Now }).message(PAYMENTS, paid(0, "DE", "1"));
    travel().message(PAYMENTS, paid(7_200, "JP", "1")).emits([alert(2, 7_200, "8917", 100)]);
    travel().message(PAYMENTS, paid(7_260, "JP", "1")).emits_nothing();
    travel().message(PAYMENTS, paid(60, "ES", "1")).message(PAYMENTS, paid(60, "XX", "1")).emits_nothing();
}

fn publish(cards: &Testkit, stream: &[Generated]) {
    for generated in stream {
        cards.publish(PAYMENTS, &generated.payment.card, generated.payment.clone());
    }
}

/// All alerts, with the payment's place in the stream for its id: the testkit gives ids of its own.
fn raised(cards: &Testkit, stream: &[Generated]) -> Vec<Alert> {
    let all: BTreeSet<&str> = stream.iter().map(|generated| generated.payment.card.as_str()).collect();
    let mut raised = Vec::new();
    for card in all {
        raised.extend(of_card(cards.emitted(Velocity { start: Start::Now }, card), "velocity", card, stream));
        raised.extend(of_card(cards.emitted(Spending { start: Start::Now }, card), "spending", card, stream));
        raised.extend(of_card(cards.emitted(Travel { start: Start::Now }, card), "travel", card, stream));
    }
    raised.sort();
    raised
}

fn of_card(events: Vec<AlertEvent>, check: &str, card: &str, stream: &[Generated]) -> Vec<Alert> {
    let alert = |AlertEvent::Alert { at_ms, figure, .. }| {
        let is_meant = |generated: &&Generated| generated.payment.card == card && generated.payment.at_ms == at_ms;
        let payment = stream.iter().find(is_meant).expect("an alert names its payment").id.clone();
        (check.to_owned(), card.to_owned(), payment, figure.to_string())
    };
    events.into_iter().map(alert).collect()
}

/// Frauds and what the same cards pay besides: a short stream that has something to find.
fn short_stream(seed: u64) -> Vec<Generated> {
    let all: Vec<Generated> = payments(seed).take(4_000).collect();
    let suspects: BTreeSet<String> = model::alerts(&all, &["velocity", "spending", "travel"]).into_iter().map(|alert| alert.1).collect();
    let suspects: BTreeSet<String> = suspects.into_iter().take(8).collect();
    all.into_iter().filter(|generated| suspects.contains(&generated.payment.card)).collect()
}

#[test]
fn under_all_faults_the_alerts_are_those_of_the_model_and_cards_hear_each_once() {
    let mut crashes = 0;
    for seed in seeds(20) {
        let stream = short_stream(seed);
        let cards = Testkit::new(|| service(&ALL, Start::Now)).seed(seed).duplicates().delays().reorder().crashes(0.01);
        publish(&cards, &stream);
        cards.settle();
        let expected: Vec<Alert> = model::alerts(&stream, &["velocity", "spending", "travel"]).into_iter().collect();
        assert!(expected.len() >= 8, "seed {seed}: {} alerts are nothing to find", expected.len());
        assert_eq!(raised(&cards, &stream), expected, "seed {seed}");
        check_cards(&cards, &expected, seed);
        crashes += cards.crash_count();
    }
    assert!(crashes > 20, "{crashes} crashes");
}

fn check_cards(cards: &Testkit, expected: &[Alert], seed: u64) {
    let names: BTreeSet<&str> = expected.iter().map(|alert| alert.1.as_str()).collect();
    for card in names {
        let of_card = expected.iter().filter(|alert| alert.1 == card);
        let score: u32 = of_card.clone().map(|alert| score(&alert.0)).sum();
        let events = cards.events::<Card>(card);
        let is_suspicion = |event: &&super::card::CardEvent| matches!(event, super::card::CardEvent::Suspected { .. });
        assert_eq!(events.iter().filter(is_suspicion).count(), of_card.count(), "seed {seed}, {card}: told once of each");
        assert_eq!(cards.state::<Card>(card).is_some_and(|card| card.blocked), score >= 100, "seed {seed}, {card}");
    }
}

fn score(check: &str) -> u32 {
    match check {
        "velocity" => 40,
        "spending" => 60,
        _ => 100,
    }
}

#[test]
fn a_check_that_is_added_leaves_the_others_as_they_are() {
    for (seed, start) in seeds(10).zip([Start::Now, Start::First].into_iter().cycle()) {
        let (builds, stream) = (Arc::new(AtomicUsize::new(2)), short_stream(seed));
        let count = Arc::clone(&builds);
        let cards = Testkit::new(move || service(&ALL[..count.load(SeqCst)], start)).seed(seed).duplicates().delays().crashes(0.01);
        let (before, after) = stream.split_at(stream.len() / 2);
        publish(&cards, before);
        builds.store(3, SeqCst);
        cards.restart();
        publish(&cards, after);
        cards.settle();
        let mut expected = model::alerts(&stream, &["velocity", "spending"]);
        expected.extend(model::alerts(if start == Start::First { &stream } else { after }, &["travel"]));
        assert_eq!(raised(&cards, &stream), expected.into_iter().collect::<Vec<_>>(), "seed {seed}, {start:?}");
    }
}

#[test]
fn a_stream_is_the_same_however_far_it_is_read_and_has_fraud_of_every_sort() {
    let long: Vec<Generated> = payments(7).take(3_000).collect();
    assert!(payments(7).take(1_000).eq(long.iter().take(1_000).cloned()));
    assert!(long.windows(2).all(|pair| pair[0].payment.at_ms <= pair[1].payment.at_ms), "in the order of time");
    assert_ne!(payments(8).next().map(|first| first.payment), payments(7).next().map(|first| first.payment));
    for check in ["velocity", "spending", "travel"] {
        let count = model::alerts(&long, &[check]).len();
        assert!((2..60).contains(&count), "{check}: {count} alerts");
    }
}
