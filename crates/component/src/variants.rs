//! What commands, events and rejections have in common: a closed set of variants, each with a durable name and a JSON payload.

use serde::de::Deserializer;
use serde::ser::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::hosted::{OlderShape, ShapeDescription, StoredEvent, Unreadable};
use crate::personal::Binding;
use crate::value::{Definitions, Reading, Value, decode, decode_seed, encode, encode_written, schema_of};

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
///
/// A command that waits (of a timer, or accepted to be decided later) is kept with its version. `#[command("pay", version = 2, from = PayV1)]`
/// reads those that wait in the old shape, as [`Event`] does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command: add `#[derive(Command)]` to its enum",
    label = "`Command` is not implemented for `{Self}`"
)]
pub trait Command: Variants {
    /// The version of each shape, in the order of `NAMES`.
    const VERSIONS: &'static [u16];

    /// Reads a version below the present one, where a type for it is named.
    #[doc(hidden)]
    fn older(stored: StoredEvent<'_>) -> Option<Result<Self, serde_json::Error>>;
}

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
///
/// `to = T` (or `to = [V1, V2]`) writes an older version for readers that ask for one: `T: TryFrom<CartEvent>`. What does not convert is
/// left out for them.
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
    fn older(stored: StoredEvent<'_>) -> Option<Result<Self, serde_json::Error>>;

    /// The payload in a version below the present one, where a type for it is named; the inner `None` leaves the event out.
    #[doc(hidden)]
    fn lower(self, version: u16) -> Option<Result<Option<Vec<u8>>, serde_json::Error>>;
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
///
/// A state that stands for events which are gone (a baseline) is the truth, and must be read: `#[state(version = 2, from = CartV1)]` reads
/// those of version 1 through `CartV1`, which converts into the state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state: add `#[derive(State)]` to it",
    label = "`State` is not implemented for `{Self}`"
)]
pub trait State: Value {
    /// The version of what `evolve` makes.
    const VERSION: u16;

    /// Reads a version below the present one, where a type for it is named.
    #[doc(hidden)]
    fn older(_version: u16, _state: &[u8]) -> Option<Result<Self, serde_json::Error>> {
        None
    }

    /// The shapes of older versions, where types for them are named.
    #[doc(hidden)]
    fn older_shapes() -> Vec<OlderShape> {
        Vec::new()
    }
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
    older.unwrap_or_else(|| decode_payload(stored.name, stored.payload)).map_err(|error| unreadable(stored, error))
}

/// A stored event in the version that a reader asked for; `None` when it is left out for those.
pub(crate) fn decode_lowered<E: Event>(stored: StoredEvent<'_>, version: u16) -> Result<Option<Vec<u8>>, Unreadable> {
    if stored.version == version {
        return Ok(Some(stored.payload.to_vec()));
    }
    let event: E = decode_event(stored)?;
    let present = event.version();
    let lowered = if version == present { Some(encode_payload(&event).map(Some)) } else { event.lower(version) };
    let no_way =
        || unreadable(stored, format_args!("there is no way to version {version}; this build has version {present} and names no `to`"));
    lowered.ok_or_else(no_way)?.map_err(|error| unreadable(stored, error))
}

/// A command that has waited, in its present shape.
pub(crate) fn decode_waited<C: Command>(stored: StoredEvent<'_>) -> Result<C, String> {
    let Some(at) = C::NAMES.iter().position(|name| *name == stored.name) else {
        return Err(format!("no such command; there are: {}", C::NAMES.join(", ")));
    };
    let version = C::VERSIONS[at];
    if stored.version > version {
        return Err(format!("is of version {}, and this build knows it up to version {version}; deploy the newer build", stored.version));
    }
    let older = if stored.version < version { C::older(stored) } else { None };
    let read = older.unwrap_or_else(|| decode_payload(stored.name, stored.payload));
    read.map_err(|error| format!("of version {} does not fit: {error}", stored.version))
}

/// A stored event or command of an older shape.
#[doc(hidden)]
pub fn decode_older<T: Value>(stored: StoredEvent<'_>) -> Result<T, serde_json::Error> {
    decode(stored.payload)
}

/// A stored state of an older shape.
#[doc(hidden)]
pub fn decode_state_as<T: Value>(state: &[u8]) -> Result<T, serde_json::Error> {
    decode(state)
}

/// An event in an older shape; `None` when it does not convert into it.
#[doc(hidden)]
pub fn encode_lower<E, T: Value + TryFrom<E>>(event: E) -> Result<Option<Vec<u8>>, serde_json::Error> {
    T::try_from(event).ok().map(|older| encode(&older)).transpose()
}

/// The shape of some older versions.
#[doc(hidden)]
#[must_use]
pub fn older_shape<T: Value>(first: u16, last: u16) -> OlderShape {
    OlderShape { first, last, schema: schema_of::<T>() }
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
    let schema = definitions.document(payload);
    ShapeDescription { name, summary: summary.to_owned(), version, schema, ..ShapeDescription::default() }
}

impl ShapeDescription {
    /// The same, with a type that reads these older versions.
    #[doc(hidden)]
    #[must_use]
    pub fn read_as<T: Value>(mut self, first: u16, last: u16) -> Self {
        self.from.push(older_shape::<T>(first, last));
        self
    }

    /// The same, with a type that it is lowered to for these older versions.
    #[doc(hidden)]
    #[must_use]
    pub fn written_as<T: Value>(mut self, first: u16, last: u16) -> Self {
        self.to.push(older_shape::<T>(first, last));
        self
    }
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
