//! Schemas on their way into `components`: what stood in a schema's own `$defs` moves beside it, and references follow.

use serde_json::{Map, Value as Json};

const LOCAL: &str = "#/$defs/";

pub(super) struct Schemas(Map<String, Json>);

impl Schemas {
    pub(super) fn new() -> Self {
        Self(Map::new())
    }

    /// Adds a schema under a name; its definitions go under `{name}.{definition}`.
    pub(super) fn add(&mut self, name: &str, schema: &Json) {
        let mut schema = schema.clone();
        let definitions = schema.as_object_mut().and_then(|object| {
            object.remove("$schema");
            object.remove("$defs")
        });
        point(&mut schema, name);
        self.0.insert(name.to_owned(), schema);
        if let Some(Json::Object(definitions)) = definitions {
            for (definition, mut schema) in definitions {
                point(&mut schema, name);
                self.0.insert(component_name(name, &definition), schema);
            }
        }
    }

    pub(super) fn into_map(self) -> Map<String, Json> {
        self.0
    }
}

/// Points local references at where the definitions went.
fn point(schema: &mut Json, owner: &str) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::String(reference)) = object.get_mut("$ref")
                && let Some(definition) = reference.strip_prefix(LOCAL)
            {
                *reference = format!("#/components/schemas/{}", component_name(owner, definition));
            }
            object.values_mut().for_each(|inner| point(inner, owner));
        }
        Json::Array(items) => items.iter_mut().for_each(|inner| point(inner, owner)),
        _ => {}
    }
}

/// Component names hold letters, digits, `.`, `-` and `_` only (OpenAPI 3.1, section 4.8.7.1).
fn component_name(owner: &str, definition: &str) -> String {
    let definition: String =
        definition.chars().map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' }).collect();
    format!("{owner}.{definition}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn definitions_move_and_references_follow() {
        let mut schemas = Schemas::new();
        schemas.add(
            "cart.state",
            &json!({
                "properties": { "items": { "items": { "$ref": "#/$defs/Item<u8>" } } },
                "$defs": { "Item<u8>": { "properties": { "price": { "$ref": "#/$defs/Price" } } }, "Price": { "type": "string" } },
            }),
        );
        let expected = json!({
            "cart.state": { "properties": { "items": { "items": { "$ref": "#/components/schemas/cart.state.Item_u8_" } } } },
            "cart.state.Item_u8_": { "properties": { "price": { "$ref": "#/components/schemas/cart.state.Price" } } },
            "cart.state.Price": { "type": "string" },
        });
        assert_eq!(Json::Object(schemas.into_map()), expected);
    }
}
