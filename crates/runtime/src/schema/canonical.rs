//! What two schemas must have in common to be one shape: a canonical form, and its fingerprint.
//!
//! The words around a shape are left out (descriptions, titles, examples), and so is every order that means nothing: of members, of
//! required names, of alternatives, of types. Definitions are numbered as they are met, so that a type with another name is the same shape.
//! Comments that change, fields that move and types that are renamed make no new shape.

use std::collections::HashMap;

use journal::CommandId;
use serde_json::{Map, Value as Json, json};

/// Keywords that say something to people only.
pub(super) const WORDS: [&str; 9] =
    ["description", "title", "examples", "default", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Keywords whose members have names of somebody's own.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
/// Keywords that hold one schema.
const ONE: [&str; 11] = [
    "items",
    "additionalProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords that hold a list of schemas; where their order means nothing.
const LISTS: [(&str, bool); 4] = [("anyOf", false), ("oneOf", false), ("allOf", false), ("prefixItems", true)];
/// Keywords that hold a set of values.
const SETS: [&str; 3] = ["required", "enum", "type"];

/// The canonical form of a schema.
pub(crate) fn canonical(schema: &Json) -> Json {
    let mut walk = Walk { root: schema, numbers: HashMap::new(), order: Vec::new() };
    let mut form = walk.schema(schema);
    let mut definitions = Map::new();
    let mut at = 0;
    // A definition may meet further ones.
    while let Some(pointer) = walk.order.get(at).cloned() {
        let target = schema.pointer(&pointer).map_or(Json::Null, |target| walk.schema(target));
        definitions.insert(at.to_string(), target);
        at += 1;
    }
    if let (Json::Object(members), false) = (&mut form, definitions.is_empty()) {
        members.insert("$defs".to_owned(), Json::Object(definitions));
    }
    form
}

/// The fingerprint of a shape: 16 bytes of BLAKE3 over its canonical form, in hexadecimal digits.
pub(crate) fn fingerprint(schema: &Json) -> String {
    // Ids of commands are this very hash of a text.
    CommandId::from_raw(canonical(schema).to_string().as_bytes()).to_string()
}

/// The references of a schema that lead out of it: nobody fetches them.
pub(crate) fn remote_references(schema: &Json) -> Vec<&str> {
    match schema {
        Json::Object(members) => {
            let own = members.get("$ref").or_else(|| members.get("$dynamicRef")).and_then(Json::as_str);
            let own = own.filter(|reference| !reference.starts_with('#'));
            own.into_iter().chain(members.values().flat_map(remote_references)).collect()
        }
        Json::Array(items) => items.iter().flat_map(remote_references).collect(),
        _ => Vec::new(),
    }
}

struct Walk<'a> {
    root: &'a Json,
    /// By the pointer of a definition.
    numbers: HashMap<String, usize>,
    order: Vec<String>,
}

impl Walk<'_> {
    fn schema(&mut self, schema: &Json) -> Json {
        let Json::Object(members) = schema else { return schema.clone() };
        let mut form = Map::new();
        for (keyword, value) in members {
            let keyword = keyword.as_str();
            if WORDS.contains(&keyword) || DEFINITIONS.contains(&keyword) {
                continue;
            }
            form.insert(keyword.to_owned(), self.value(keyword, value));
        }
        Json::Object(form)
    }

    fn value(&mut self, keyword: &str, value: &Json) -> Json {
        match value {
            Json::String(reference) if keyword == "$ref" => self.reference(reference),
            Json::Object(members) if NAMED.contains(&keyword) => {
                Json::Object(members.iter().map(|(name, schema)| (name.clone(), self.schema(schema))).collect())
            }
            Json::Array(items) if SETS.contains(&keyword) => sorted(items.clone()),
            Json::Array(items) => match LISTS.into_iter().find(|(list, _)| *list == keyword) {
                Some((_, true)) => Json::Array(items.iter().map(|schema| self.schema(schema)).collect()),
                Some((_, false)) => self.alternatives(items),
                None => value.clone(),
            },
            schema if ONE.contains(&keyword) => self.schema(schema),
            other => other.clone(),
        }
    }

    /// In the order of what they say themselves; where they lead to is numbered in that order.
    fn alternatives(&mut self, items: &[Json]) -> Json {
        let mut items: Vec<&Json> = items.iter().collect();
        items.sort_by_cached_key(|schema| blind(schema).to_string());
        Json::Array(items.into_iter().map(|schema| self.schema(schema)).collect())
    }

    fn reference(&mut self, reference: &str) -> Json {
        let Some(pointer) = reference.strip_prefix('#') else { return json!(reference) };
        if pointer.is_empty() || self.root.pointer(pointer).is_none() {
            return json!(reference);
        }
        let next = self.order.len();
        let number = *self.numbers.entry(pointer.to_owned()).or_insert_with(|| {
            self.order.push(pointer.to_owned());
            next
        });
        json!(format!("#/$defs/{number}"))
    }
}

fn sorted(mut items: Vec<Json>) -> Json {
    items.sort_by_cached_key(ToString::to_string);
    Json::Array(items)
}

/// A schema without its words and without what its references are called.
fn blind(schema: &Json) -> Json {
    match schema {
        Json::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !WORDS.contains(&name.as_str()));
            Json::Object(kept.map(|(name, value)| (name.clone(), if name == "$ref" { json!("#") } else { blind(value) })).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(blind).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{fingerprint, remote_references};

    #[track_caller]
    fn same(one: &Json, other: &Json) {
        assert_eq!(fingerprint(one), fingerprint(other), "\n{one}\n{other}");
    }

    #[track_caller]
    fn other(one: &Json, other: &Json) {
        assert_ne!(fingerprint(one), fingerprint(other), "\n{one}\n{other}");
    }

    #[test]
    fn words_and_orders_make_no_other_shape() {
        let one = json!({ "type": "object", "description": "a", "required": ["a", "b"], "properties": {
            "a": { "type": ["string", "null"], "description": "b" }, "b": { "enum": ["x", "y"] } } });
        let same_one = json!({ "properties": { "b": { "enum": ["y", "x"], "title": "t" }, "a": { "type": ["null", "string"] } },
            "required": ["b", "a"], "type": "object" });
        same(&one, &same_one);
    }

    #[test]
    fn a_field_may_have_the_name_of_a_word() {
        let with = |kind: &str| json!({ "properties": { "description": { "type": kind }, "$ref": { "type": "string" } } });
        other(&with("string"), &with("integer"));
        other(&with("string"), &json!({ "properties": {} }));
    }

    #[test]
    fn names_of_definitions_make_no_other_shape_and_what_they_hold_does() {
        let of = |name: &str, kind: &str| json!({ "$ref": format!("#/$defs/{name}"), "$defs": { name: { "type": kind }, "Unused": {} } });
        same(&of("Cart", "object"), &of("Basket", "object"));
        other(&of("Cart", "object"), &of("Cart", "string"));
    }

    #[test]
    fn alternatives_may_be_in_any_order_and_lead_to_types_that_contain_themselves() {
        let tree = |swap: bool| {
            let (leaf, node) =
                (json!({ "const": "leaf" }), json!({ "properties": { "node": { "$ref": "#/$defs/T" } }, "required": ["node"] }));
            let alternatives = if swap { json!([node, leaf]) } else { json!([leaf, node]) };
            json!({ "$ref": "#/$defs/T", "$defs": { "T": { "oneOf": alternatives } } })
        };
        same(&tree(false), &tree(true));
    }

    #[test]
    fn what_means_something_makes_another_shape() {
        let base = json!({ "type": "integer", "minimum": 0 });
        other(&base, &json!({ "type": "integer", "minimum": 1 }));
        other(&base, &json!({ "type": "integer" }));
        other(&json!({ "prefixItems": [{ "type": "string" }, {}] }), &json!({ "prefixItems": [{}, { "type": "string" }] }));
    }

    #[test]
    fn references_that_lead_out_are_found() {
        let schema = json!({ "$ref": "#/$defs/A", "$defs": { "A": { "items": [{ "$ref": "https://example.org/a.json" }] } } });
        assert_eq!(remote_references(&schema), ["https://example.org/a.json"]);
    }
}
