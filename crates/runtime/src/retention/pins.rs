//! What retention must wait for: the durable places of everybody who has still to read.
//!
//! The registers know those of consumers, also of consumers that the service does not have any more: they may come back. Of a held or parked key it is the
//! event that holds it. Views and processors tell theirs themselves.

use std::sync::Arc;

use journal::{Cursor, Lineage, Position, Registers};

use super::status::RetentionWait;
use crate::delivery::kept_places;

/// Somebody who has still to read, and the last position that he needs no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Such as `consumer bill-orders`.
    pub(crate) who: String,
    /// Up to here everything has been read.
    pub(crate) read: Position,
}

impl Pin {
    /// At a place behind which is what is still to be read.
    pub(crate) fn behind(who: String, cursor: Cursor) -> Self {
        Self { who, read: cursor.position() }
    }

    /// At an event that is still to be read: the place after it is given.
    pub(crate) fn at(who: String, cursor: Cursor) -> Self {
        Self { who, read: cursor.position().saturating_sub(1) }
    }

    /// A consumer whose place is lost may be given any.
    pub(crate) fn of_unplaced(consumer: &str) -> Self {
        Self { who: format!("consumer {consumer}, whose place is lost"), read: 0 }
    }

    pub(super) fn wait(&self, lineage: &Lineage) -> RetentionWait {
        let cursor = if self.read == 0 { Cursor::BEGINNING } else { lineage.cursor(self.read) };
        RetentionWait { who: self.who.clone(), cursor }
    }
}

/// The places that the registers know. Which of these consumers are there is said by `known`.
pub(crate) async fn of_registers(registers: &Arc<dyn Registers>, known: &[String]) -> Result<Vec<Pin>, String> {
    let places = kept_places(registers).await.map_err(|error| error.to_string())?;
    let who = |consumer: &str, what: &str| {
        let remedy = if known.iter().any(|known| known == consumer) {
            String::new()
        } else {
            format!(", which this service does not have any more; `consumer forget {consumer}` lets go of its place")
        };
        format!("{what}{consumer}{remedy}")
    };
    let pin = |(consumer, held, cursor): (String, Option<String>, Cursor)| match held {
        None => Pin::behind(who(&consumer, "consumer "), cursor),
        Some(key) => Pin::at(who(&consumer, &format!("the held key {key} of consumer ")), cursor),
    };
    Ok(places.into_iter().map(pin).collect())
}

/// The lowest one.
pub(super) fn lowest(pins: Vec<Pin>) -> Option<Pin> {
    pins.into_iter().min_by_key(|pin| pin.read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use journal::model::ModelJournal;
    use journal::seams::Clock;
    use journal::sim::{SimClock, SimRandom};
    use journal::{Journal, RegisterExpect};

    use super::*;
    use crate::testing::at_once;

    fn registers() -> Arc<ModelJournal> {
        Arc::new(ModelJournal::new(Arc::new(SimClock::new()) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))))
    }

    fn put(model: &ModelJournal, name: &str, value: Vec<u8>) {
        at_once(model.put(name, RegisterExpect::Absent, value.into())).unwrap();
    }

    fn consumer(model: &ModelJournal, name: &str, position: Position) {
        let cursor = model.lineage().cursor(position);
        let json = serde_json::json!({ "cursor": cursor.to_string(), "ceiling": cursor.to_string() }).to_string();
        put(model, &format!("consumer/{name}"), [&1_u64.to_be_bytes()[..], json.as_bytes()].concat());
    }

    #[test]
    fn the_lowest_place_counts_and_says_whose_it_is() {
        let model = registers();
        consumer(&model, "bill", 90);
        consumer(&model, "old", 80);
        let registers = Arc::clone(&model) as Arc<dyn Registers>;
        let pins = at_once(of_registers(&registers, &["bill".to_owned()])).unwrap();
        let pin = lowest(pins).unwrap();
        assert_eq!(pin.read, 80);
        let words = pin.wait(model.lineage()).to_string();
        assert!(words.starts_with("retention waits for consumer old, which this service does not have any more"), "{words}");
        assert!(words.contains("`consumer forget old`") && words.ends_with(&model.lineage().cursor(80).to_string()), "{words}");
    }

    #[test]
    fn the_event_that_holds_a_key_is_still_to_be_read() {
        let model = registers();
        consumer(&model, "bill", 90);
        let held = serde_json::json!({
            "type": "cart", "id": "c1", "event": "e", "event_type": "cart/paid", "sequence": 3, "cursor": model.lineage().cursor(40).to_string(),
            "attempts": 1, "parked": true, "due_micros": 0, "since_micros": 0, "failures": [],
        });
        put(&model, "held/bill/00", held.to_string().into_bytes());
        let registers = Arc::clone(&model) as Arc<dyn Registers>;
        let pin = lowest(at_once(of_registers(&registers, &["bill".to_owned()])).unwrap()).unwrap();
        assert_eq!((pin.read, pin.who.as_str()), (39, "the held key cart/c1 of consumer bill"));
    }

    #[test]
    fn a_place_that_cannot_be_read_lets_nothing_go() {
        let model = registers();
        put(&model, "consumer/bill", b"what?".to_vec());
        let registers = Arc::clone(&model) as Arc<dyn Registers>;
        assert!(at_once(of_registers(&registers, &[])).is_err());
        let model = self::registers();
        put(&model, "held/bill/00", b"what?".to_vec());
        let registers = Arc::clone(&model) as Arc<dyn Registers>;
        assert!(at_once(of_registers(&registers, &[])).is_err());
    }
}
