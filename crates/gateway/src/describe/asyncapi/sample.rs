//! A value that fits a schema of ours: what stands as an example in a description.
//!
//! It knows what our own schemas are made of, and no more: what it does not understand it leaves open, as the schema does. A schema that
//! refers to itself ends after some steps.

use serde_json::{Map, Value as Json, json};

const SCHEMAS: &str = "#/components/schemas/";
/// Schemas within each other, at most.
const DEPTH_MAX: u32 = 12;

/// A value of a schema; `schemas` are those that it may refer to.
pub(super) fn of(schema: &Json, schemas: &Map<String, Json>) -> Json {
    value(schema, schemas, DEPTH_MAX)
}

fn value(schema: &Json, schemas: &Map<String, Json>, depth: u32) -> Json {
    let Some(depth) = depth.checked_sub(1) else { return Json::Null };
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(SCHEMAS)) {
        return schemas.get(name).map_or(Json::Null, |schema| value(schema, schemas, depth));
    }
    if let Some(given) = schema.get("const").or_else(|| schema["enum"].get(0)).or_else(|| schema["examples"].get(0)) {
        return given.clone();
    }
    if let Some(all) = schema["allOf"].as_array() {
        return merged(all.iter().map(|part| value(part, schemas, depth)));
    }
    if let Some(first) = schema["oneOf"].get(0).or_else(|| schema["anyOf"].get(0)) {
        return value(first, schemas, depth);
    }
    match kind(schema) {
        Some("object") => object(schema, schemas, depth),
        Some("array") => array(schema, schemas, depth),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("string") => json!(text(schema)),
        Some("null") => Json::Null,
        _ => json!({}),
    }
}

/// The first of its types that is more than nothing.
fn kind(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        _ => schema.get("properties").map(|_| "object"),
    }
}

/// What is required, and what it says more of than its type.
fn object(schema: &Json, schemas: &Map<String, Json>, depth: u32) -> Json {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let wanted = properties.filter(|(name, property)| required.contains(&name.as_str()) || is_telling(property));
    Json::Object(wanted.map(|(name, property)| (name.clone(), value(property, schemas, depth))).collect())
}

fn is_telling(property: &Json) -> bool {
    property.get("$ref").is_some() || property.get("const").is_some()
}

fn array(schema: &Json, schemas: &Map<String, Json>, depth: u32) -> Json {
    if let Some(each) = schema["prefixItems"].as_array() {
        return each.iter().map(|item| value(item, schemas, depth)).collect();
    }
    let count = schema["minItems"].as_u64().unwrap_or(1).min(2);
    (0..count).map(|_| schema.get("items").map_or(Json::Null, |item| value(item, schemas, depth))).collect()
}

fn text(schema: &Json) -> &'static str {
    match schema["format"].as_str() {
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("date") => "2026-01-01",
        Some("uuid") => "0194191e-8a00-7000-8000-000000000000",
        Some("uri") => "https://example.org/",
        Some("uri-reference") => "/example",
        _ if schema.get("contentEncoding").is_some() => "AAAA",
        _ => "text",
    }
}

/// Later objects say more of the same; anything else stands for itself.
fn merged(parts: impl Iterator<Item = Json>) -> Json {
    parts.fold(json!({}), |whole, part| match (whole, part) {
        (Json::Object(mut whole), Json::Object(part)) => {
            whole.extend(part);
            Json::Object(whole)
        }
        (_, part) => part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_what_is_required_and_what_is_said() {
        let schemas = json!({ "Price": { "type": "integer", "minimum": 5 } });
        let schemas = schemas.as_object().unwrap();
        let schema = json!({ "allOf": [
            { "type": "object", "required": ["at", "kind"], "properties": {
                "at": { "type": "string", "format": "date-time" }, "kind": { "type": "string" }, "left-out": { "type": "string" } } },
            { "properties": { "kind": { "const": "sold" }, "price": { "$ref": "#/components/schemas/Price" } } },
        ] });
        assert_eq!(of(&schema, schemas), json!({ "at": "2026-01-01T00:00:00Z", "kind": "sold", "price": 5 }));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schemas = json!({ "Tree": { "type": "object", "required": ["child"], "properties": { "child": { "$ref": "#/components/schemas/Tree" } } } });
        let mut sample = &of(&json!({ "$ref": "#/components/schemas/Tree" }), schemas.as_object().unwrap());
        let mut depth = 0;
        while let Some(child) = sample.get("child") {
            (sample, depth) = (child, depth + 1);
        }
        assert!((3..20).contains(&depth), "{depth}");
    }
}
