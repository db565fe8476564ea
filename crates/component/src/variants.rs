//! What commands, events and rejections have in common: a closed set of variants, each with a durable name and a JSON payload.

use serde::de::Deserializer;
use serde::ser::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::hosted::{ShapeDescription, StoredEvent, Unreadable};
use crate::personal::Binding;
use crate::value::{Definitions, Reading, Value, decode, decode_seed, encode_written};

/// An enum whose variants have durable names. The derives implement it.
///
/// A variant's payload is a JSON object of its fields, `{}` when it has none; a variant around one value has that value's JSON.
pub trait Variants: Sized + 'static {
    /// The durable names, in the order of the variants.
    const NAMES: &'static [&'static str];

    /// The durable name of this variant.
    fn name(&self) -> &'static str;

    #[doc(hidden)]
    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error>;

    #[doc(hidden)]
    fn read<'de, D: Deserializer<'de>>(name: &str, payload: D, reading: Reading) -> Result<Self, D::Error>;

    /// Tells the personal values in it whose they are.
    #[doc(hidden)]
    fn bind(_value: &mut Self, _to: &Binding<'_>) {}

    #[doc(hidden)]
    fn shapes(definitions: fn() -> Definitions) -> Vec<ShapeDescription>;
}

/// The payload of a command, an event or a rejection as one line of JSON.
///
/// # Errors
/// When a field has no form in JSON, such as a float that is not finite.
pub fn encode_payload<T: Variants>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    encode_written(&Payload(value))
}

/// A command, an event or a rejection from its durable name and its payload; unknown fields are skipped.
///
/// # Errors
/// When the name is unknown or the payload does not fit.
pub fn decode_payload<T: Variants>(name: &str, payload: &[u8]) -> Result<T, serde_json::Error> {
    decode_seed(Named::<T>::new(name, Reading::Tolerant), payload)
}

/// The enum of what an entity can be asked. `#[derive(Command)]` implements it.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Command)]
/// enum CartCommand {
///     /// Puts some of an article into the cart.
///     #[command("add-item")]
///     AddItem { sku: String, quantity: u32 },
///     #[command("pay")]
///     Pay,
/// }
/// # assert_eq!(CartCommand::NAMES, ["add-item", "pay"]);
/// ```
///
/// Doc comments become descriptions in OpenAPI. A body with an unknown field is refused, a field with `#[field(default)]` may be
/// missing, as may an `Option`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command: add `#[derive(Command)]` to its enum",
    label = "`Command` is not implemented for `{Self}`"
)]
pub trait Command: Variants {}

/// The enum of what can happen to an entity. `#[derive(Event)]` implements it.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Event)]
/// enum CartEvent {
///     #[event("item-added", version = 2, from = ItemAddedV1)]
///     ItemAdded { sku: String, quantity: u32 },
///     #[event("paid")]
///     Paid,
/// }
///
/// /// As it was before there were quantities.
/// #[derive(Value)]
/// struct ItemAddedV1 { sku: String }
///
/// impl From<ItemAddedV1> for CartEvent {
///     fn from(old: ItemAddedV1) -> Self {
///         Self::ItemAdded { sku: old.sku, quantity: 1 }
///     }
/// }
/// # assert_eq!(CartEvent::Paid.version(), 1);
/// ```
///
/// `from = T` reads every version below through `T`, which converts into the enum; `from = [V1, V2]` names one type a version, from
/// version 1. Without `from` older versions are read in the present shape: enough when only optional fields came.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event: add `#[derive(Event)]` to its enum",
    label = "`Event` is not implemented for `{Self}`"
)]
pub trait Event: Variants {
    /// The version of each shape, in the order of `NAMES`.
    const VERSIONS: &'static [u16];

    /// The version of this variant's shape.
    fn version(&self) -> u16;

    /// Reads a version below the present one, where a type for it is named.
    #[doc(hidden)]
    fn older(stored: StoredEvent<'_>) -> Option<Result<Self, Unreadable>>;
}

/// The enum of why a rule says no. `#[derive(Rejection)]` implements it.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Rejection)]
/// enum StockRejection {
///     #[rejection("out-of-stock", "only {left} left")]
///     OutOfStock { left: u32 },
/// }
/// # assert_eq!(StockRejection::OutOfStock { left: 2 }.message(), "only 2 left");
/// ```
///
/// A rule that never says no has `std::convert::Infallible` for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a rejection: add `#[derive(Rejection)]` to its enum",
    label = "`Rejection` is not implemented for `{Self}`"
)]
pub trait Rejection: Variants {
    /// What happened, for people.
    fn message(&self) -> String;
}

/// What an entity knows of itself. `#[derive(State)]` implements it, and [`Value`] with it.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Default, State)]
/// #[state(version = 2)]
/// struct Cart { items: std::collections::BTreeMap<String, u32>, paid: bool }
/// # assert_eq!(Cart::VERSION, 2);
/// ```
///
/// A snapshot of another version or another shape is not used: the state is built from its events again. Raise the version when
/// `evolve` changed and the shape did not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state: add `#[derive(State)]` to it",
    label = "`State` is not implemented for `{Self}`"
)]
pub trait State: Value {
    /// The version of what `evolve` makes.
    const VERSION: u16;
}

/// A rule that never says no.
impl Variants for std::convert::Infallible {
    const NAMES: &'static [&'static str] = &[];

    fn name(&self) -> &'static str {
        match *self {}
    }

    fn write<S: Serializer>(value: &Self, _: S) -> Result<S::Ok, S::Error> {
        match *value {}
    }

    fn read<'de, D: Deserializer<'de>>(name: &str, _: D, _: Reading) -> Result<Self, D::Error> {
        Err(unknown_name(name, &[]))
    }

    fn shapes(_: fn() -> Definitions) -> Vec<ShapeDescription> {
        Vec::new()
    }
}

impl Rejection for std::convert::Infallible {
    fn message(&self) -> String {
        match *self {}
    }
}

/// A stored event in its present shape.
pub(crate) fn decode_event<E: Event>(stored: StoredEvent<'_>) -> Result<E, Unreadable> {
    let Some(at) = E::NAMES.iter().position(|name| *name == stored.name) else {
        return Err(unreadable(stored, "unknown to this build; deploy the build that records it, or keep its variant"));
    };
    let version = E::VERSIONS[at];
    if stored.version > version {
        return Err(unreadable(stored, format_args!("this build knows it up to version {version}; deploy the newer build")));
    }
    let older = if stored.version < version { E::older(stored) } else { None };
    older.unwrap_or_else(|| decode_payload(stored.name, stored.payload).map_err(|error| unreadable(stored, error)))
}

/// A stored event of an older shape.
#[doc(hidden)]
pub fn decode_older<T: Value>(stored: StoredEvent<'_>) -> Result<T, Unreadable> {
    decode(stored.payload).map_err(|error| unreadable(stored, error))
}

fn unreadable(stored: StoredEvent<'_>, why: impl std::fmt::Display) -> Unreadable {
    Unreadable { message: format!("event {} version {}: {why}", stored.name, stored.version) }
}

#[doc(hidden)]
pub fn unknown_name<E: serde::de::Error>(name: &str, known: &'static [&'static str]) -> E {
    E::unknown_variant(name, known)
}

/// One variant for a description.
#[doc(hidden)]
pub fn shape(
    name: &'static str,
    summary: &str,
    version: u16,
    definitions: Definitions,
    payload: impl FnOnce(&mut Definitions) -> Json,
) -> ShapeDescription {
    ShapeDescription { name, summary: summary.to_owned(), version, schema: definitions.document(payload) }
}

struct Payload<'a, T>(&'a T);

impl<T: Variants> Serialize for Payload<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(self.0, serializer)
    }
}

/// Reads the payload of the variant of a name.
pub(crate) struct Named<'a, T> {
    name: &'a str,
    reading: Reading,
    variants: std::marker::PhantomData<fn() -> T>,
}

impl<'a, T> Named<'a, T> {
    pub(crate) fn new(name: &'a str, reading: Reading) -> Self {
        Self { name, reading, variants: std::marker::PhantomData }
    }
}

impl<T> Clone for Named<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Named<'_, T> {}

impl<'de, T: Variants> serde::de::DeserializeSeed<'de> for Named<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(self.name, deserializer, self.reading)
    }
}
