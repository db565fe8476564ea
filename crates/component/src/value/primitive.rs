//! Values without parts: numbers, booleans, texts and nothing.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, Serializer};
use serde_json::{Value as Json, json};

use super::{Definitions, Reading, Value};

macro_rules! integers {
    ($($integer:ty = $format:literal),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Value for $integer {
            fn schema(_: &mut Definitions) -> Json {
                json!({ "type": "integer", "format": $format, "minimum": <$integer>::MIN, "maximum": <$integer>::MAX })
            }
        }
    )*};
}

integers!(u8 = "uint8", u16 = "uint16", u32 = "uint32", u64 = "uint64", usize = "uint64");
integers!(i8 = "int8", i16 = "int16", i32 = "int32", i64 = "int64", isize = "int64");

macro_rules! floats {
    ($($float:ty = $format:literal, $write:ident);*) => {$(
        #[diagnostic::do_not_recommend]
        impl Value for $float {
            fn schema(_: &mut Definitions) -> Json {
                json!({ "type": "number", "format": $format })
            }

            // JSON has no such numbers: serde_json would write null, and the event could never be read again.
            fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
                if value.is_finite() { serializer.$write(*value) } else { Err(S::Error::custom(format!("{value} has no form in JSON"))) }
            }
        }
    )*};
}

floats!(f32 = "float", serialize_f32; f64 = "double", serialize_f64);

macro_rules! texts {
    ($($text:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Value for $text {
            fn schema(_: &mut Definitions) -> Json {
                json!({ "type": "string" })
            }
        }
    )*};
}

texts!(String, Box<str>, Arc<str>);

#[diagnostic::do_not_recommend]
impl Value for char {
    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "string", "minLength": 1, "maxLength": 1 })
    }
}

#[diagnostic::do_not_recommend]
impl Value for bool {
    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "boolean" })
    }
}

/// Nothing: written as `null`, read from `null` or from an object without fields.
#[diagnostic::do_not_recommend]
impl Value for () {
    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "null" })
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NothingVisitor(reading))
    }

    fn absent() -> Option<Self> {
        Some(())
    }
}

struct NothingVisitor(Reading);

impl<'de> Visitor<'de> for NothingVisitor {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object without fields")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            if self.0 == Reading::Strict {
                return object.next_value_seed(super::object::Refused(A::Error::unknown_field(&name, &[]).to_string()));
            }
            object.next_value::<serde::de::IgnoredAny>()?;
        }
        Ok(())
    }
}
