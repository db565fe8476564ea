//! What must come of the plan, worked out without the shop: integers of thousandths, no SQL, no decimals.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::plan::{Kind, Plan, customer, product};

/// An order's lines, thousandths, and whether it was called off.
pub(super) type OrderRow = (u64, i64, bool);
/// Lines, pieces and thousandths.
pub(super) type SaleRow = (u64, i64, i64);
/// Pieces and thousandths.
pub(super) type ProductRow = (i64, i64);

/// What must be there, or what is.
#[derive(Default)]
pub(super) struct Expected {
    /// By customer and order.
    pub(super) orders: BTreeMap<(String, String), OrderRow>,
    /// By country and day.
    pub(super) sales: BTreeMap<(String, String), SaleRow>,
    pub(super) products: BTreeMap<String, ProductRow>,
    /// The boxes of each parcel, by their pieces.
    pub(super) parcels: BTreeMap<String, Vec<u64>>,
    /// The messages of each key, in their order.
    pub(super) messages: BTreeMap<String, Vec<String>>,
    /// Events by their type.
    pub(super) events: BTreeMap<String, u64>,
}

impl Expected {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut expected = Self::default();
        for chunk in 0..plan.chunks {
            Plan::lanes(Kind::Orders).for_each(|lane| expected.orders(plan, lane, chunk));
            Plan::lanes(Kind::Carts).for_each(|lane| expected.carts(plan, lane, chunk));
            for (key, id) in Plan::lanes(Kind::Messages).flat_map(|lane| plan.messages(lane, chunk)) {
                expected.messages.entry(key).or_default().push(id);
            }
        }
        expected
    }

    fn orders(&mut self, plan: &Plan, lane: u64, chunk: u64) {
        for (order, id) in plan.orders(lane, chunk) {
            let (customer, country, _) = plan.placed(lane, chunk, order);
            let mut row = (0, 0, plan.is_cancelled(chunk, order));
            for line in plan.lines(lane, chunk, order) {
                let sum = line.quantity * line.thousandths;
                row = (line.number, row.1 + sum, row.2);
                let sale = self.sales.entry((country.to_owned(), format!("2011-11-{:02}", line.day))).or_default();
                *sale = (sale.0 + 1, sale.1 + line.quantity, sale.2 + sum);
                let product = self.products.entry(product(line.product)).or_default();
                *product = (product.0 + line.quantity, product.1 + sum);
            }
            self.count("order/placed", 1);
            self.count("order/line-added", row.0);
            self.count("order/cancelled", u64::from(row.2));
            self.orders.insert((customer, id), row);
        }
    }

    fn carts(&mut self, plan: &Plan, lane: u64, chunk: u64) {
        for (id, pieces) in plan.carts(lane, chunk) {
            self.count("cart/item-added", 2);
            self.count("cart/checked-out", 1);
            self.count("parcel/packed", 1);
            self.parcels.insert(id, vec![pieces.iter().sum()]);
        }
    }

    pub(super) fn count(&mut self, of: &str, events: u64) {
        if events > 0 {
            *self.events.entry(of.to_owned()).or_default() += events;
        }
    }

    pub(super) fn message_count(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }

    /// How much that is, for people.
    pub(super) fn sums(&self) -> String {
        let (events, messages) = (self.events.values().sum::<u64>(), self.message_count());
        format!("{} events: {} orders, {} parcels, {messages} messages", events + messages as u64, self.orders.len(), self.parcels.len())
    }

    /// What is there and must not be, or is not and must.
    pub(super) fn violations(&self, seen: &Self) -> Vec<String> {
        let mut all = differences("order of", &self.orders, &seen.orders);
        all.extend(differences("sales of", &self.sales, &seen.sales));
        all.extend(differences("product", &self.products, &seen.products));
        all.extend(differences("parcel", &self.parcels, &seen.parcels));
        all.extend(differences("messages of", &self.messages, &seen.messages));
        all.extend(differences("events", &self.events, &seen.events));
        all
    }
}

/// The first few of them.
fn differences<K: Ord + Debug, V: PartialEq + Debug>(what: &str, expected: &BTreeMap<K, V>, seen: &BTreeMap<K, V>) -> Vec<String> {
    let wrong = expected.iter().filter(|(key, value)| seen.get(key) != Some(value));
    let wrong = wrong.map(|(key, value)| format!("{what} {key:?}: {:?} instead of {value:?}", seen.get(key)));
    let surplus = seen.iter().filter(|(key, _)| !expected.contains_key(key));
    wrong.chain(surplus.map(|(key, value)| format!("{what} {key:?}: {value:?} instead of nothing"))).take(5).collect()
}

/// The witness can see what it is there for.
#[test]
fn the_torture_witness_sees_what_is_missing_double_or_wrong() {
    let plan = Plan::new(7, 5_000);
    let expected = Expected::of(&plan);
    let check = |change: &dyn Fn(&mut Expected), word: &str| {
        let mut seen = Expected::of(&plan);
        change(&mut seen);
        let found = expected.violations(&seen);
        assert!(found.len() == usize::from(!word.is_empty()) && found.iter().all(|found| found.starts_with(word)), "{word}: {found:?}");
    };
    check(&|_| {}, "");
    check(&|seen| drop(seen.orders.pop_first()), "order of");
    check(&|seen| seen.orders.first_entry().expect("there are orders").get_mut().1 += 1, "order of");
    check(&|seen| seen.sales.first_entry().expect("there are sales").get_mut().0 += 1, "sales of");
    check(&|seen| seen.products.first_entry().expect("there are products").get_mut().0 -= 1, "product");
    check(&|seen| seen.parcels.first_entry().expect("there are parcels").get_mut().push(2), "parcel");
    check(&|seen| drop(seen.parcels.insert("nobody's".into(), vec![1])), "parcel");
    check(&|seen| seen.messages.values_mut().find(|ids| ids.len() > 1).expect("keys have several").swap(0, 1), "messages of");
    check(&|seen| seen.count("parcel/packed", 1), "events");
    assert!(customer(0) != customer(1) && plan.chunks > 3, "the plan is no trifle");
}
