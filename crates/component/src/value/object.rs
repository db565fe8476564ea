//! Objects: how a derived struct or variant reads its fields.
//!
//! The derive writes one [`Object`] a shape, with a slot a field; everything else about reading an object is here, once.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeStruct, Serializer};

use super::Reading;

/// The slots of an object that is being read.
pub trait Object: Sized {
    /// What the fields make.
    type Built;
    /// The names of the fields.
    const NAMES: &'static [&'static str];

    /// All slots free.
    fn empty() -> Self;

    /// Reads the value of the field at this place in `NAMES`.
    ///
    /// # Errors
    /// When it does not fit, or was there before.
    fn fill<'de, A: MapAccess<'de>>(&mut self, field: usize, object: &mut A, reading: Reading) -> Result<(), A::Error>;

    /// Takes the slots.
    ///
    /// # Errors
    /// When a field is missing.
    fn build<E: serde::de::Error>(self) -> Result<Self::Built, E>;
}

/// Reads an object.
///
/// # Errors
/// When it is none, when a field is missing or does not fit, and, strictly, when a field is unknown.
pub fn read_object<'de, O: Object, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<O::Built, D::Error> {
    deserializer.deserialize_map(ObjectVisitor::<O>(reading, PhantomData))
}

/// Writes an object without fields.
///
/// # Errors
/// When the serializer fails.
pub fn empty_object<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_struct("", 0)?.end()
}

struct ObjectVisitor<O>(Reading, PhantomData<O>);

impl<'de, O: Object> Visitor<'de> for ObjectVisitor<O> {
    type Value = O::Built;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<O::Built, A::Error> {
        let mut slots = O::empty();
        while let Some(name) = object.next_key_seed(FieldName(O::NAMES))? {
            match name {
                Named::Known(field) => slots.fill(field, &mut object, self.0)?,
                Named::Unknown(name) if self.0 == Reading::Strict => {
                    object.next_value_seed(Refused(A::Error::unknown_field(&name, O::NAMES).to_string()))?;
                }
                Named::Unknown(_) => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        slots.build()
    }
}

/// A field's name, found in the list without an allocation.
#[derive(Clone, Copy)]
struct FieldName(&'static [&'static str]);

enum Named {
    Known(usize),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Named;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        let known = self.0.iter().position(|known| *known == name);
        Ok(known.map_or_else(|| Named::Unknown(name.to_owned()), Named::Known))
    }
}

/// Refuses a value unread: the error then stands at the value's path and not at its parent's.
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    /// Where the same key comes again: another reader of the same text might take the other value.
    pub(crate) fn duplicate_key() -> Self {
        Self("duplicate key".to_owned())
    }

    /// Where a key is one that the platform writes itself.
    pub(crate) fn reserved_key() -> Self {
        Self("the keys `$personal` and `$sealed` are the platform's own; choose another one".to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Refused {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(self.0))
    }
}
