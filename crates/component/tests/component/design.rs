//! The cart of the design page, with nothing but the derives shown there.

use headwater::hosted::{Accepted, EncodedEvent, Refusal, Rejected, StoredEvent};
use headwater::{Command, CommandContext, Decision, Entity, Event, Rejection, State, given, hosted, record};
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Default, State)]
struct Cart {
    items: BTreeMap<String, u32>,
    paid: bool,
}

#[derive(Command)]
enum CartCommand {
    #[command("add-item")]
    AddItem { sku: String, quantity: u32 },
    #[command("pay")]
    Pay,
}

#[derive(Event)]
enum CartEvent {
    #[event("item-added")]
    ItemAdded { sku: String, quantity: u32 },
    #[event("paid")]
    Paid,
}

#[derive(Rejection)]
enum CartRejection {
    #[rejection("already-paid", "the cart is paid")]
    AlreadyPaid,
}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    type Command = CartCommand;
    type Event = CartEvent;
    type Reply = ();
    type Rejection = CartRejection;
    fn decide(&self, command: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, CartRejection> {
        match command {
            _ if self.paid => Err(CartRejection::AlreadyPaid),
            CartCommand::AddItem { sku, quantity } => Ok(record(CartEvent::ItemAdded { sku, quantity })),
            CartCommand::Pay => Ok(record(CartEvent::Paid)),
        }
    }
    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded { sku, quantity } => *self.items.entry(sku.clone()).or_default() += quantity,
            CartEvent::Paid => self.paid = true,
        }
    }
}

fn mugs(quantity: u32) -> CartEvent {
    CartEvent::ItemAdded { sku: "mug".into(), quantity }
}

#[test]
fn the_rule_of_the_page_in_one_line() {
    given::<Cart>([CartEvent::Paid]).when(CartCommand::Pay).rejected(CartRejection::AlreadyPaid);
}

#[test]
fn a_cart_lives_from_the_first_item_to_the_payment() {
    given::<Cart>([])
        .when(CartCommand::AddItem { sku: "mug".into(), quantity: 2 })
        .then([mugs(2)])
        .replied(())
        .state(|cart| assert_eq!(cart.items["mug"], 2))
        .when(CartCommand::Pay)
        .then(CartEvent::Paid)
        .when(CartCommand::Pay)
        .rejected(CartRejection::AlreadyPaid)
        .state(|cart| assert!(cart.paid));
}

#[test]
fn an_accepted_command_gives_its_events_encoded_and_the_state_behind_them() {
    let mut cart = hosted::<Cart>().fresh();
    let accepted = cart.decide("add-item", br#"{"quantity":2,"sku":"mug"}"#, &CommandContext::default());
    let payload = br#"{"sku":"mug","quantity":2}"#.to_vec();
    let event = EncodedEvent { name: "item-added", version: 1, tags: Vec::new(), payload };
    assert_eq!(accepted, Ok(Accepted { events: vec![event], reply: b"null".to_vec() }));
    assert_eq!(cart.state().unwrap(), br#"{"items":{"mug":2},"paid":false}"#);
}

#[test]
fn a_command_without_fields_has_an_empty_payload_and_needs_no_body() {
    for body in ["", " \n", "null", "{}"] {
        let accepted = hosted::<Cart>().fresh().decide("pay", body.as_bytes(), &CommandContext::default()).unwrap();
        assert_eq!(accepted.events[0].payload, b"{}", "{body}");
    }
}

#[test]
fn a_rejection_carries_the_rules_code_and_leaves_the_state() {
    let mut cart = hosted::<Cart>().fresh();
    cart.evolve(StoredEvent { name: "paid", version: 1, payload: b"{}" }).unwrap();
    let before = cart.state().unwrap();
    let rejected = Rejected { code: "already-paid".into(), message: "the cart is paid".to_owned(), data: json!({}) };
    assert_eq!(cart.decide("pay", b"", &CommandContext::default()), Err(Refusal::Rejected(rejected)));
    assert_eq!(cart.state().unwrap(), before);
}

#[test]
fn a_snapshot_restores_the_state() {
    let cart = hosted::<Cart>();
    let state = br#"{"items":{"mug":2},"paid":true}"#;
    let mut restored = cart.restore(state).unwrap();
    assert_eq!(restored.state().unwrap(), state);
    assert!(restored.as_any().downcast_ref::<Cart>().unwrap().paid);
    assert!(restored.into_any().downcast::<Cart>().is_ok());
    let error = cart.restore(b"{}").err().unwrap();
    assert_eq!(error.message, "cart: the state does not decode: missing field `items` at line 1 column 2");
}

#[test]
fn the_description_has_every_shape() {
    let cart = hosted::<Cart>();
    let description = cart.description();
    assert_eq!(cart.name(), "cart");
    let names: Vec<_> =
        description.commands.iter().chain(&description.events).chain(&description.rejections).map(|shape| shape.name).collect();
    assert_eq!(names, ["add-item", "pay", "item-added", "paid", "already-paid"]);
    let quantity = json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX });
    let add = json!({
        "type": "object",
        "properties": { "sku": { "type": "string" }, "quantity": quantity },
        "required": ["sku", "quantity"],
        "additionalProperties": false,
    });
    assert_eq!(description.commands[0].schema, add);
    assert_eq!(description.commands[1].schema, json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    assert_eq!(description.events[1].schema, json!({ "type": "object", "properties": {} }));
    assert_eq!(description.rejections[0].summary, "the cart is paid");
    assert_eq!(description.reply, json!({ "type": "null" }));
    assert_eq!(description.state["$ref"], "#/$defs/Cart");
    assert_eq!(description.state["$defs"]["Cart"]["properties"]["items"]["additionalProperties"], quantity);
}
