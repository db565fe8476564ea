//! Payments that nobody has made: a stream from a seed, with fraud in it. The same seed is the same stream, however far it is read.

use std::collections::BTreeMap;

use super::payment::Payment;

/// Cards that pay.
const CARDS: u64 = 1_000;
/// One payment in so many begins a fraud.
const FRAUD_ONE_IN: u64 = 200;
/// The first moment of 2026.
const BEGIN_MS: i64 = 1_767_225_600_000;
const HOMES: [&str; 5] = ["DE", "ES", "FR", "GB", "NO"];
const ABROAD: [&str; 5] = ["BR", "JP", "SG", "US", "ZA"];
const MERCHANTS: [&str; 8] = ["bakery", "books", "cinema", "fuel", "grocer", "pharmacy", "shoes", "taxi"];

/// A payment with the id under which it is published, each time the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generated {
    pub(crate) id: String,
    pub(crate) payment: Payment,
}

/// The stream of a seed, in the order of time.
pub(crate) fn payments(seed: u64) -> impl Iterator<Item = Generated> {
    let mut till = Till { dice: Dice::new(seed), now_ms: BEGIN_MS, number: 0, planned: BTreeMap::new() };
    (0_u64..).map(move |number| Generated { id: format!("p{seed}-{number}"), payment: till.next() })
}

struct Till {
    dice: Dice,
    now_ms: i64,
    number: u64,
    /// What a fraud has still to do.
    planned: BTreeMap<(i64, u64), Payment>,
}

impl Till {
    fn next(&mut self) -> Payment {
        if let Some(first) = self.planned.first_entry()
            && first.key().0 <= self.now_ms
        {
            return first.remove();
        }
        let card = self.dice.below(CARDS);
        let amount = 100 + self.dice.below(9_900);
        let payment = self.payment(card, home(card), amount, self.now_ms);
        if self.dice.below(FRAUD_ONE_IN) == 0 {
            self.plan();
        }
        self.now_ms += 200 + i64::try_from(self.dice.below(1_800)).unwrap_or_default();
        payment
    }

    /// A fraud with a card that is chosen by chance: what it does comes between what others do.
    fn plan(&mut self) {
        let card = self.dice.below(CARDS);
        match self.dice.below(3) {
            0 => (1..=8).for_each(|step| self.later(card, home(card), 100 + 13 * step, step * 5)),
            1 => (1..=3).for_each(|step| self.later(card, home(card), 40_001 + 7 * step, step * 240)),
            _ => {
                let abroad = ABROAD[usize::try_from(self.dice.below(5)).unwrap_or_default()];
                self.later(card, home(card), 2_550, 1);
                self.later(card, abroad, 8_990, 900);
            }
        }
    }

    fn later(&mut self, card: u64, country: &str, cents: u64, seconds: u64) {
        let at_ms = self.now_ms + i64::try_from(seconds * 1_000).unwrap_or_default();
        let payment = self.payment(card, country, cents, at_ms);
        self.number += 1;
        self.planned.insert((at_ms, self.number), payment);
    }

    fn payment(&mut self, card: u64, country: &str, cents: u64, at_ms: i64) -> Payment {
        let merchant = MERCHANTS[usize::try_from(self.dice.below(8)).unwrap_or_default()];
        let amount = format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap_or_default();
        Payment { card: format!("card-{card:04}"), merchant: merchant.to_owned(), country: country.to_owned(), amount, at_ms }
    }
}

fn home(card: u64) -> &'static str {
    HOMES[usize::try_from(card % 5).unwrap_or_default()]
}

/// Marsaglia's xorshift64: chance enough for a till, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed.wrapping_mul(2).wrapping_add(1)))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
