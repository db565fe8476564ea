//! What is read and what is written, in a few words for people.

use serde_json::{Number, Value as Json};

use super::writer::{Case, Kind, kinds, named_values};

/// Alternatives that are shown, at most.
const SHOWN_MAX: usize = 8;

/// A case of what is written.
pub(super) fn shown(case: &Case<'_>) -> String {
    match case.value {
        Some(value) => value.to_string(),
        None if case.kind == Kind::Object => members(case),
        None => case.kind.name().to_owned(),
    }
}

fn members(case: &Case<'_>) -> String {
    let names: Vec<&str> = case.said("required").filter_map(Json::as_array).flatten().filter_map(Json::as_str).take(SHOWN_MAX).collect();
    if names.is_empty() { "object".to_owned() } else { format!("object with {}", names.join(", ")) }
}

/// What some alternatives read.
pub(super) fn list(parts: &[Json]) -> String {
    let shown: Vec<String> = parts.iter().take(SHOWN_MAX).map(alternative).collect();
    let more = if parts.len() > SHOWN_MAX { " or others" } else { "" };
    format!("{}{more}", shown.join(" or "))
}

fn alternative(schema: &Json) -> String {
    if let Some(values) = named_values(schema) {
        return values.iter().take(SHOWN_MAX).map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    let required: Vec<&str> = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    if !required.is_empty() {
        return format!("object with {}", required.join(", "));
    }
    kinds(schema).iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")
}

pub(super) fn at_least(number: &Number, is_exclusive: bool) -> String {
    if is_exclusive { format!("more than {number}") } else { format!("{number} or more") }
}

pub(super) fn at_most(number: &Number, is_exclusive: bool) -> String {
    if is_exclusive { format!("less than {number}") } else { format!("{number} or less") }
}
