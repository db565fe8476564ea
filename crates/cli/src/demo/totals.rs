//! The totals of all orders: a fold over the events that the service gives back, and nothing else.

use std::collections::HashSet;

use headwater::prelude::Decimal;
use headwater::{Exit, Failure};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// What all orders come to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Lines of orders.
    pub(super) lines: u64,
    /// Orders.
    pub(super) invoices: u64,
    customers: HashSet<String>,
    /// Quantity times price over all lines, exact.
    pub(super) total: Decimal,
    /// Events that were added up.
    pub(super) events: u64,
}

/// A CloudEvent, as far as the fold looks at it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    data: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Placed {
    customer: Option<String>,
}

#[derive(Deserialize)]
struct LineAdded {
    quantity: i32,
    price: Decimal,
}

impl Totals {
    /// Takes one line of the stream.
    ///
    /// # Errors
    /// When it is not an event of the shop, or the sum is beyond counting.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), Failure> {
        let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
        self.events += 1;
        let data = envelope.data.map_or("null", serde_json::value::RawValue::get);
        match &*envelope.kind {
            "shop.order.placed" => self.add_order(serde_json::from_str(data).map_err(|error| unreadable(&error))?),
            "shop.order.line-added" => self.add_line(&serde_json::from_str(data).map_err(|error| unreadable(&error))?)?,
            _ => {}
        }
        Ok(())
    }

    /// How many customers have ordered.
    pub(super) fn customers(&self) -> usize {
        self.customers.len()
    }

    /// As one JSON object; the total is a text, so that it stays exact.
    pub(super) fn to_json(&self) -> Json {
        json!({
            "lines": self.lines,
            "invoices": self.invoices,
            "customers": self.customers(),
            "total": self.total.to_string(),
            "events": self.events,
        })
    }

    fn add_order(&mut self, placed: Placed) {
        self.invoices += 1;
        self.customers.extend(placed.customer);
    }

    fn add_line(&mut self, line: &LineAdded) -> Result<(), Failure> {
        self.lines += 1;
        let amount = line.price.checked_mul(Decimal::from(line.quantity));
        let sum = amount.and_then(|amount| self.total.checked_add(amount));
        self.total = sum.ok_or_else(|| Failure::plain(Exit::Failed, "the total is too large to be exact"))?;
        Ok(())
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::plain(Exit::Failed, format!("the stream has a line that is no event of the shop: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Totals;

    fn fold(lines: &[&str]) -> Totals {
        let mut totals = Totals::default();
        for line in lines {
            totals.add(line.as_bytes()).expect("it is an event");
        }
        totals
    }

    #[test]
    fn lines_orders_customers_and_the_exact_sum() {
        let totals = fold(&[
            r#"{"type":"shop.order.placed","data":{"customer":"1","country":"Malta"}}"#,
            r#"{"type":"shop.order.placed","data":{"customer":"1"}}"#,
            r#"{"type":"shop.order.placed","data":{"customer":null}}"#,
            r#"{"type":"shop.order.line-added","data":{"quantity":3,"price":"0.001"}}"#,
            r#"{"type":"shop.order.line-added","data":{"quantity":-1,"price":"2.50"}}"#,
            r#"{"type":"shop.cart.checked-out","data":{"pieces":1}}"#,
        ]);
        let expected = r#"{"lines":2,"invoices":3,"customers":1,"total":"-2.497","events":6}"#;
        assert_eq!(totals.to_json(), serde_json::from_str::<serde_json::Value>(expected).expect("it is JSON"));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(Totals::default().add(b"{}").is_err());
    }
}
