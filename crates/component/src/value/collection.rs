//! Values with parts: options, lists, sets, maps, tuples, arrays and boxes.
//!
//! They read and write their parts through [`Value`], so that strictness and the refusal of infinite numbers reach every depth.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::{Value as Json, json};

use super::object::Refused;
use super::schema::nullable;
use super::{Definitions, Reading, Seed, Value, Written};
use crate::personal::Binding;
use crate::personal::mark::is_reserved_name;

/// What can be the key of a map: a text or an integer (JSON writes it as a text).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the key of a map: use a `String` or an integer",
    label = "not a text and not an integer"
)]
pub trait Key: Serialize + DeserializeOwned + Ord + 'static {
    /// The schema of the key's text, when it is not just any text.
    fn names() -> Option<Json>;

    /// Whether it is a name of the platform's own.
    #[doc(hidden)]
    fn is_reserved(&self) -> bool {
        false
    }
}

macro_rules! keys {
    ($names:expr, $reserved:expr; $($key:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl Key for $key {
            fn names() -> Option<Json> {
                $names
            }

            fn is_reserved(&self) -> bool {
                $reserved(self)
            }
        }
    )*};
}

keys!(None, is_reserved_text; String, Box<str>, std::sync::Arc<str>);
keys!(Some(json!({ "pattern": "^[0-9]+$" })), is_number; u8, u16, u32, u64, usize);
keys!(Some(json!({ "pattern": "^-?[0-9]+$" })), is_number; i8, i16, i32, i64, isize);

fn is_reserved_text(key: &impl AsRef<str>) -> bool {
    is_reserved_name(key.as_ref())
}

fn is_number<T>(_: &T) -> bool {
    false
}

impl<T: Value> Value for Option<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        nullable(T::schema(definitions))
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&Written(value)),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        deserializer.deserialize_option(OptionVisitor(reading, PhantomData))
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        value.iter_mut().for_each(|part| T::bind(part, to));
    }
}

impl<T: Value> Value for Box<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        T::schema(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(value, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        T::read(deserializer, reading).map(Self::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::new)
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        T::bind(value, to);
    }
}

impl<T: Value> Value for Vec<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        json!({ "type": "array", "items": T::schema(definitions) })
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(Written))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(reading, PhantomData))
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        value.iter_mut().for_each(|part| T::bind(part, to));
    }
}

impl<T: Value + Ord> Value for BTreeSet<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        set_schema::<T>(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(Written))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        Vec::read(deserializer, reading).map(Self::from_iter)
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        *value = std::mem::take(value).into_iter().map(|part| bound(part, to)).collect();
    }
}

/// Written in order, so that the same set is the same text.
impl<T: Value + Ord + Hash> Value for HashSet<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        set_schema::<T>(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(BTreeSet::from_iter(value).into_iter().map(Written))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        Vec::read(deserializer, reading).map(Self::from_iter)
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        *value = std::mem::take(value).into_iter().map(|part| bound(part, to)).collect();
    }
}

impl<K: Key, V: Value> Value for BTreeMap<K, V> {
    fn schema(definitions: &mut Definitions) -> Json {
        map_schema::<K, V>(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(value.iter().map(|(key, value)| (key, Written(value))))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(reading, PhantomData))
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        value.values_mut().for_each(|part| V::bind(part, to));
    }
}

/// Written in order, so that the same map is the same text.
impl<K: Key + Hash, V: Value> Value for HashMap<K, V> {
    fn schema(definitions: &mut Definitions) -> Json {
        map_schema::<K, V>(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        let ordered = BTreeMap::from_iter(value);
        serializer.collect_map(ordered.into_iter().map(|(key, value)| (key, Written(value))))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        BTreeMap::read(deserializer, reading).map(Self::from_iter)
    }

    fn bind(value: &mut Self, to: &Binding<'_>) {
        value.values_mut().for_each(|part| V::bind(part, to));
    }
}

macro_rules! arrays {
    ($($length:literal)*) => {$(
        impl<T: Value> Value for [T; $length] {
            fn schema(definitions: &mut Definitions) -> Json {
                json!({ "type": "array", "items": T::schema(definitions), "minItems": $length, "maxItems": $length })
            }

            fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(value.iter().map(Written))
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
                let items: Vec<T> = Vec::read(deserializer, reading)?;
                items.try_into().map_err(|items: Vec<T>| D::Error::invalid_length(items.len(), &concat!($length, " items")))
            }

            fn bind(value: &mut Self, to: &Binding<'_>) {
                value.iter_mut().for_each(|part| T::bind(part, to));
            }
        }
    )*};
}

// serde has arrays up to 32 and no further.
arrays!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);

macro_rules! tuples {
    ($(($length:literal: $($part:ident $at:tt),*))*) => {$(
        impl<$($part: Value),*> Value for ($($part,)*) {
            fn schema(definitions: &mut Definitions) -> Json {
                let parts = [$($part::schema(definitions)),*];
                json!({ "type": "array", "prefixItems": parts, "items": false, "minItems": $length, "maxItems": $length })
            }

            fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut tuple = serializer.serialize_tuple($length)?;
                $(tuple.serialize_element(&Written(&value.$at))?;)*
                tuple.end()
            }

            fn read<'de, De: Deserializer<'de>>(deserializer: De, reading: Reading) -> Result<Self, De::Error> {
                deserializer.deserialize_tuple($length, TupleVisitor::<Self>(reading, PhantomData))
            }

            fn bind(value: &mut Self, to: &Binding<'_>) {
                $($part::bind(&mut value.$at, to);)*
            }
        }

        impl<'de, $($part: Value),*> Visitor<'de> for TupleVisitor<($($part,)*)> {
            type Value = ($($part,)*);

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!("an array of ", $length, " items"))
            }

            fn visit_seq<Items: SeqAccess<'de>>(self, mut items: Items) -> Result<Self::Value, Items::Error> {
                Ok(($(part::<$part, Items>(&mut items, self.0, $at, concat!($length, " items"))?,)*))
            }
        }
    )*};
}

tuples! {
    (1: A 0)
    (2: A 0, B 1)
    (3: A 0, B 1, C 2)
    (4: A 0, B 1, C 2, D 3)
    (5: A 0, B 1, C 2, D 3, E 4)
    (6: A 0, B 1, C 2, D 3, E 4, F 5)
}

fn part<'de, T: Value, A: SeqAccess<'de>>(items: &mut A, reading: Reading, at: usize, expected: &str) -> Result<T, A::Error> {
    items.next_element_seed(Seed::new(reading))?.ok_or_else(|| A::Error::invalid_length(at, &expected))
}

/// What lies in a set is not changed in its place.
fn bound<T: Value>(mut part: T, to: &Binding<'_>) -> T {
    T::bind(&mut part, to);
    part
}

fn set_schema<T: Value>(definitions: &mut Definitions) -> Json {
    json!({ "type": "array", "items": T::schema(definitions), "uniqueItems": true })
}

fn map_schema<K: Key, V: Value>(definitions: &mut Definitions) -> Json {
    let mut schema = json!({ "type": "object", "additionalProperties": V::schema(definitions) });
    if let Some(names) = K::names() {
        schema["propertyNames"] = names;
    }
    schema
}

struct OptionVisitor<T>(Reading, PhantomData<T>);

impl<'de, T: Value> Visitor<'de> for OptionVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::read(deserializer, self.0).map(Some)
    }
}

struct ListVisitor<T>(Reading, PhantomData<T>);

impl<'de, T: Value> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(Seed::new(self.0))? {
            read.push(item);
        }
        Ok(read)
    }
}

struct MapVisitor<K, V>(Reading, PhantomData<(K, V)>);

impl<'de, K: Key, V: Value> Visitor<'de> for MapVisitor<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some(key) = object.next_key::<K>()? {
            if self.0 == Reading::Strict && key.is_reserved() {
                object.next_value_seed(Refused::reserved_key())?;
            }
            if self.0 == Reading::Strict && read.contains_key(&key) {
                object.next_value_seed(Refused::duplicate_key())?;
            }
            read.insert(key, object.next_value_seed(Seed::new(self.0))?);
        }
        Ok(read)
    }
}

struct TupleVisitor<T>(Reading, PhantomData<T>);
