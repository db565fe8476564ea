//! Parameters that came as texts, as a query string has them: each becomes what its field's schema says.

use component::hosted::QueryDescription;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::shape::{Schema, Shape};

/// A JSON object of named texts. What does not fit stays a text, for the strict reading behind this to refuse by name.
pub(super) fn typed(described: &QueryDescription, texts: &[(String, String)]) -> Vec<u8> {
    let fields = Schema::new(&described.input).fields().unwrap_or_default();
    let mut object = Map::new();
    for (name, text) in texts {
        let kind = fields.iter().find(|(field, _)| field == name).map(|(_, schema)| schema.kind());
        let value = match kind.map(|kind| (kind.shape, kind.nullable)) {
            Some((Shape::Text | Shape::Decimal, _)) | None => Json::String(text.clone()),
            Some((_, true)) if text.is_empty() => Json::Null,
            Some((shape, _)) => scalar(shape, text).unwrap_or_else(|| Json::String(text.clone())),
        };
        object.insert(name.clone(), value);
    }
    Json::Object(object).to_string().into_bytes()
}

fn scalar(shape: Shape, text: &str) -> Option<Json> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let value: Json = serde_json::from_str(raw.get()).ok()?;
    let fits = match shape {
        Shape::Integer | Shape::Number => value.is_number(),
        Shape::Boolean => value.is_boolean(),
        Shape::Nested => value.is_object() || value.is_array(),
        Shape::Text | Shape::Decimal | Shape::Any => true,
    };
    fits.then_some(value)
}

#[cfg(test)]
mod tests {
    use component::{Decimal, Value, schema_of};

    use super::*;

    #[derive(Value)]
    struct Input {
        sku: String,
        count: u32,
        price: Decimal,
        paid: Option<bool>,
        sizes: Vec<u8>,
    }

    fn check(texts: &[(&str, &str)], expected: &str) {
        let described = QueryDescription { name: "q", input: schema_of::<Input>(), row: Json::Null };
        let texts: Vec<_> = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(String::from_utf8(typed(&described, &texts)).unwrap(), expected);
    }

    #[test]
    fn a_text_becomes_what_its_field_is() {
        check(&[("sku", "7"), ("count", "7"), ("price", "7")], r#"{"count":7,"price":"7","sku":"7"}"#);
        check(&[("paid", "true"), ("sizes", "[1,2]")], r#"{"paid":true,"sizes":[1,2]}"#);
        check(&[("paid", "")], r#"{"paid":null}"#);
        check(&[("count", "many"), ("other", "1")], r#"{"count":"many","other":"1"}"#);
    }
}
