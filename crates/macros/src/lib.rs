//! The derives of Headwater: `Event`, `Command`, `Rejection`, `State`, `Value`.
//!
//! They give durable names, versions, JSON and schemas, and name nothing but `::headwater::__private`. A mistake gives one short
//! message at its place, and an empty implementation besides, so that no further errors follow from it.
//! What the traits mean, and examples, stand with the traits in the `component` crate.

mod attribute;
mod fields;
mod model;
mod name;
mod subject;
mod value;
mod variants;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use attribute::Kind;

/// Makes an enum the events of an entity: `#[event("item-added")]`, `#[event("item-added", version = 2, from = ItemAddedV1)]`.
#[proc_macro_derive(Event, attributes(event, field, personal))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    variants::derive(Kind::Event, &parse_macro_input!(input as DeriveInput)).into()
}

/// Makes an enum the commands of an entity: `#[command("add-item")]`.
#[proc_macro_derive(Command, attributes(command, field, personal))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    variants::derive(Kind::Command, &parse_macro_input!(input as DeriveInput)).into()
}

/// Makes an enum the rejections of a rule: `#[rejection("out-of-stock", "only {left} left")]`.
#[proc_macro_derive(Rejection, attributes(rejection, field, personal))]
pub fn derive_rejection(input: TokenStream) -> TokenStream {
    variants::derive(Kind::Rejection, &parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a type the state of an entity: `#[state(version = 1)]`, which is the default.
#[proc_macro_derive(State, attributes(state, value, field, personal))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    value::derive_state(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct or an enum a type for fields, replies and inputs; the variants of an enum need `#[value("name")]`.
#[proc_macro_derive(Value, attributes(value, field, personal))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    value::derive_value(&parse_macro_input!(input as DeriveInput)).into()
}
