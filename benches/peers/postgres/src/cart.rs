//! The cart, as a Headwater service has it: nothing follows from its events. cqrs-es has the same beside it (`side::cqrs`).

use std::collections::BTreeMap;

use headwater::Service;
use headwater::prelude::*;

/// Bytes of an event's payload, as in the other benches.
const PAYLOAD_BYTES: usize = 200;
const SKU: &str = "mug-blue";

#[derive(Default, State)]
pub(crate) struct Cart {
    items: BTreeMap<String, u32>,
}

#[derive(Command)]
pub(crate) enum CartCommand {
    #[command("add-item")]
    AddItem { sku: String, quantity: u32, note: String },
}

#[derive(Event)]
pub(crate) enum CartEvent {
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32, note: String },
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
        let CartCommand::AddItem { sku, quantity, note } = command;
        Ok(record(CartEvent::ItemAdded { sku, quantity, note }))
    }

    fn evolve(&mut self, event: &CartEvent) {
        let CartEvent::ItemAdded { sku, quantity, .. } = event;
        *self.items.entry(sku.clone()).or_default() += quantity;
    }
}

/// A service of carts on an engine, with a directory for what is its own.
pub(crate) fn service(engine: &str, data: &std::path::Path) -> Service {
    Service::new("carts").entity::<Cart>().listen("127.0.0.1:0").engine(engine).data(data.display().to_string())
}

/// The id of a cart.
pub(crate) fn id(number: usize) -> String {
    format!("bench-{number}")
}

pub(crate) fn sku() -> String {
    SKU.to_owned()
}

/// A text by which an event has its size.
pub(crate) fn note() -> String {
    "n".repeat(PAYLOAD_BYTES - json("").len())
}

/// The body of a command, and the payload of its event.
pub(crate) fn body() -> String {
    json(&note())
}

fn json(note: &str) -> String {
    format!(r#"{{"sku":"{SKU}","quantity":1,"note":"{note}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::{CartEvent, PAYLOAD_BYTES, body, note, sku};

    #[test]
    fn the_body_of_a_command_is_what_its_event_is_written_as() {
        let written = component::encode_payload(&CartEvent::ItemAdded { sku: sku(), quantity: 1, note: note() }).expect("it encodes");
        assert_eq!((String::from_utf8(written).expect("JSON is text"), body().len()), (body(), PAYLOAD_BYTES));
    }
}
