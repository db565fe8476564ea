//! Enums as values: how a derived enum reads its choice and describes it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};
use serde_json::{Value as Json, json};

use super::object::{Object, read_object};
use super::{Definitions, Reading};

/// An enum that is being read.
pub trait Choice: Sized {
    /// The durable names of the variants.
    const NAMES: &'static [&'static str];

    /// Reads the data of the variant at this place in `NAMES`.
    ///
    /// # Errors
    /// When it does not fit.
    fn choose<'de, A: VariantAccess<'de>>(variant: usize, data: A, reading: Reading) -> Result<Self, A::Error>;
}

/// Reads an enum: a text for a variant without data, an object of one field for one with data.
///
/// # Errors
/// When the variant is unknown or its data does not fit.
pub fn read_choice<'de, C: Choice, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<C, D::Error> {
    deserializer.deserialize_enum("", C::NAMES, ChoiceVisitor(reading, PhantomData))
}

/// Reads the named fields of a variant.
///
/// # Errors
/// As [`read_object`].
pub fn read_variant_fields<'de, O: Object, A: VariantAccess<'de>>(data: A, reading: Reading) -> Result<O::Built, A::Error> {
    data.newtype_variant_seed(ObjectSeed::<O>(reading, PhantomData))
}

/// A variant, for its schema.
pub struct Alternative {
    /// Its durable name.
    pub name: &'static str,
    /// Its doc comment.
    pub summary: &'static str,
    /// The schema of its data, when it has any.
    pub data: Option<fn(&mut Definitions) -> Json>,
}

impl Definitions {
    /// The schema of an enum.
    pub fn one_of(&mut self, summary: &str, alternatives: &[Alternative]) -> Json {
        let schema = if alternatives.iter().all(|alternative| alternative.data.is_none()) {
            let names: Vec<&str> = alternatives.iter().map(|alternative| alternative.name).collect();
            json!({ "type": "string", "enum": names })
        } else {
            let schemas: Vec<Json> = alternatives.iter().map(|alternative| self.alternative(alternative)).collect();
            json!({ "oneOf": schemas })
        };
        self.describe(schema, summary)
    }

    fn alternative(&mut self, alternative: &Alternative) -> Json {
        let name = alternative.name;
        let schema = match alternative.data {
            None => json!({ "const": name }),
            Some(data) => {
                json!({ "type": "object", "properties": { name: data(self) }, "required": [name], "additionalProperties": false })
            }
        };
        self.describe(schema, alternative.summary)
    }
}

struct ChoiceVisitor<C>(Reading, PhantomData<C>);

impl<'de, C: Choice> Visitor<'de> for ChoiceVisitor<C> {
    type Value = C;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "one of {}", C::NAMES.join(", "))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<C, A::Error> {
        let (variant, data) = access.variant_seed(ChoiceName(C::NAMES))?;
        C::choose(variant, data, self.0)
    }
}

#[derive(Clone, Copy)]
struct ChoiceName(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for ChoiceName {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for ChoiceName {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "one of {}", self.0.join(", "))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let found = self.0.iter().position(|known| *known == name);
        found.ok_or_else(|| E::unknown_variant(name, self.0))
    }
}

struct ObjectSeed<O>(Reading, PhantomData<O>);

impl<'de, O: Object> DeserializeSeed<'de> for ObjectSeed<O> {
    type Value = O::Built;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<O::Built, D::Error> {
        read_object::<O, D>(deserializer, self.0)
    }
}

/// The derive counts variants and fields itself: a place beyond them is its mistake.
pub fn beyond<E: serde::de::Error>() -> E {
    E::custom("the derive lost count of its parts")
}
