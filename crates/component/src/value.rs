//! Values: what may stand in a field of a command, an event, a rejection or a state, and what may be a reply or an input.
//!
//! A value has a JSON form, reads it back and describes it as JSON Schema 2020-12. Primitives, texts, options, collections,
//! [`Decimal`](crate::Decimal) and any JSON are values already; `#[derive(Value)]` makes one of your own struct or enum.
//! What is not here: names and versions of whole commands and events (see [`Variants`](crate::Variants)).

mod any;
mod collection;
pub(crate) mod enumeration;
mod object;
mod primitive;
pub(crate) mod schema;

use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, VariantAccess};
use serde::ser::{Serialize, SerializeStruct, SerializeStructVariant, Serializer};
use serde_json::Value as Json;

use crate::personal::Binding;
pub use collection::Key;
pub use object::{Object, empty_object, read_object};
pub use schema::{Definitions, Field, schema_of};

/// What to do with parts of a JSON text that a value has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Unknown fields and repeated keys are errors: for commands, where they are a mistake of the sender.
    Strict,
    /// Unknown fields are skipped: for events and states, which a newer build may have written.
    Tolerant,
}

/// A type that can be a field, a reply or an input.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// /// Where a parcel goes.
/// #[derive(Value)]
/// struct Address {
///     street: String,
///     #[field("postal-code")]
///     postal_code: String,
///     #[field(default)]
///     floor: u8,
/// }
///
/// #[derive(Value)]
/// enum Payment {
///     #[value("cash")]
///     Cash,
///     #[value("card")]
///     Card { last_four: String },
/// }
/// # assert_eq!(schema_of::<Address>()["$defs"]["Address"]["required"], serde_json::json!(["street", "postal-code"]));
/// ```
///
/// An enum without data travels as the variant's name, `"cash"`; a variant with data as `{"card": {"last_four": "4242"}}`.
/// A struct around a single field travels as that field.
///
/// The derive implements serde's `Serialize` and `Deserialize` too: do not derive them beside it.
/// A type of another crate becomes a value inside a struct of your own that implements `Serialize`, `Deserialize` and
/// [`schema`](Value::schema).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field or a reply: add `#[derive(Value)]` to it",
    label = "`Value` is not implemented for `{Self}`",
    note = "if `{Self}` is of another crate, put it into a struct of your own and implement `Value` for that"
)]
pub trait Value: Serialize + DeserializeOwned + 'static {
    /// The JSON Schema of the type; named types define themselves in `definitions` and give a reference.
    fn schema(definitions: &mut Definitions) -> Json;

    // What follows is for derives and collections. None of it takes `self`, so that importing `Value` adds no methods to any type.

    #[doc(hidden)]
    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    #[doc(hidden)]
    fn read<'de, D: Deserializer<'de>>(deserializer: D, _reading: Reading) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    /// What a missing field means, when it may be missing.
    #[doc(hidden)]
    fn absent() -> Option<Self> {
        None
    }

    #[doc(hidden)]
    fn put<S: SerializeStruct>(value: &Self, name: &'static str, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field(name, &Written(value))
    }

    #[doc(hidden)]
    fn put_in_variant<S: SerializeStructVariant>(value: &Self, name: &'static str, object: &mut S) -> Result<(), S::Error> {
        object.serialize_field(name, &Written(value))
    }

    #[doc(hidden)]
    fn write_variant<S: Serializer>(value: &Self, at: u32, name: &'static str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant("", at, name, &Written(value))
    }

    #[doc(hidden)]
    fn read_variant<'de, A: VariantAccess<'de>>(data: A, reading: Reading) -> Result<Self, A::Error> {
        data.newtype_variant_seed(Seed::new(reading))
    }

    #[doc(hidden)]
    fn fill<'de, A: MapAccess<'de>>(slot: &mut Option<Self>, name: &'static str, object: &mut A, reading: Reading) -> Result<(), A::Error> {
        if slot.is_some() {
            return object.next_value_seed(object::Refused(A::Error::duplicate_field(name).to_string()));
        }
        *slot = Some(object.next_value_seed(Seed::new(reading))?);
        Ok(())
    }

    #[doc(hidden)]
    fn settle<E: serde::de::Error>(slot: Option<Self>, name: &'static str) -> Result<Self, E> {
        slot.or_else(Self::absent).ok_or_else(|| E::missing_field(name))
    }

    /// Tells the personal values in it whose they are.
    #[doc(hidden)]
    fn bind(_value: &mut Self, _to: &Binding<'_>) {}

    #[doc(hidden)]
    fn field(name: &'static str, summary: &'static str, has_default: bool) -> Field {
        Field { name, summary, required: !has_default && Self::absent().is_none(), schema: Self::schema, subject: None }
    }
}

/// A value as serde writes it inside a collection.
pub(crate) struct Written<'a, T>(pub(crate) &'a T);

impl<T: Value> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(self.0, serializer)
    }
}

/// Reads a value inside a collection, as strictly as the whole.
pub(crate) struct Seed<T> {
    reading: Reading,
    value: PhantomData<fn() -> T>,
}

impl<T> Seed<T> {
    /// Reads as `reading` says.
    pub(crate) fn new(reading: Reading) -> Self {
        Self { reading, value: PhantomData }
    }
}

impl<T> Clone for Seed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seed<T> {}

impl<'de, T: Value> DeserializeSeed<'de> for Seed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer, self.reading)
    }
}

/// A value as one line of JSON.
///
/// # Errors
/// When it holds a number that JSON has no form for (infinite, not a number), or a hand-written `Serialize` fails.
pub fn encode<T: Value>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    encode_written(&Written(value))
}

/// A value from its JSON; unknown fields are skipped.
///
/// # Errors
/// When the bytes are not JSON or do not fit the type.
pub fn decode<T: Value>(json: &[u8]) -> Result<T, serde_json::Error> {
    decode_seed(Seed::new(Reading::Tolerant), json)
}

pub(crate) fn encode_written(written: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = Vec::with_capacity(128);
    serde_json::to_writer(&mut json, written)?;
    Ok(json)
}

pub(crate) fn decode_seed<'de, S: DeserializeSeed<'de>>(seed: S, json: &'de [u8]) -> Result<S::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}
