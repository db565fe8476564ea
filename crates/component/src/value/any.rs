//! Any JSON as a value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use super::object::Refused;
use super::{Definitions, Reading, Seed, Value};
use crate::personal::mark::is_reserved_name;

#[diagnostic::do_not_recommend]
impl Value for Json {
    fn schema(_: &mut Definitions) -> Json {
        json!({})
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        match reading {
            Reading::Strict => deserializer.deserialize_any(StrictVisitor),
            Reading::Tolerant => Self::deserialize(deserializer),
        }
    }
}

/// Like `serde_json`'s own, but a repeated key is an error: whoever reads the same text elsewhere might see the other value.
struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(Seed::<Json>::new(Reading::Strict))? {
            read.push(item);
        }
        Ok(Json::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut read = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if is_reserved_name(&name) {
                object.next_value_seed(Refused::reserved_key())?;
            }
            if read.contains_key(&name) {
                object.next_value_seed(Refused::duplicate_key())?;
            }
            let value = object.next_value_seed(Seed::<Json>::new(Reading::Strict))?;
            read.insert(name, value);
        }
        Ok(Json::Object(read))
    }
}
