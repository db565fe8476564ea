//! What a writer may write, taken apart: every alternative of its schema, by the kind of its value.

use serde_json::Value as Json;

use super::{Comparison, target};
use crate::limits::{SCHEMA_ALTERNATIVES_MAX, SCHEMA_DEPTH_MAX};

/// The kinds of JSON values; whole numbers are their own, for readers that take no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// Without `integer`, which is a `number` where nothing is said.
const ANY: [Kind; 6] = [Kind::Null, Kind::Boolean, Kind::Number, Kind::String, Kind::Array, Kind::Object];

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    pub(super) fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Boolean,
            Json::Number(number) if number.is_f64() => Self::Number,
            Json::Number(_) => Self::Integer,
            Json::String(_) => Self::String,
            Json::Array(_) => Self::Array,
            Json::Object(_) => Self::Object,
        }
    }

    /// Whether every value of this kind is one of the other.
    pub(super) fn is_within(self, other: Self) -> bool {
        self == other || (self, other) == (Self::Integer, Self::Number)
    }
}

/// Values of one kind that a writer may write: those that fit all of some schemas.
#[derive(Clone, Debug)]
pub(super) struct Case<'a> {
    pub(super) kind: Kind,
    /// The one value, where the schema names it.
    pub(super) value: Option<&'a Json>,
    /// What holds for them; keywords that combine schemas are taken apart and stand here no more.
    pub(super) facts: Vec<&'a Json>,
}

impl<'a> Case<'a> {
    /// What the facts say under a keyword.
    pub(super) fn said<'c>(&'c self, keyword: &'c str) -> impl Iterator<Item = &'a Json> + use<'a, 'c> {
        self.facts.iter().filter_map(move |fact| fact.get(keyword))
    }

    /// Whether they say exactly this.
    pub(super) fn says(&self, keyword: &str, value: &Json) -> bool {
        self.said(keyword).any(|said| said == value)
    }
}

impl<'a> Comparison<'a> {
    /// Every case of what fits all of some schemas.
    pub(super) fn cases(&self, schemas: &[&'a Json]) -> Result<Vec<Case<'a>>, String> {
        let mut facts = vec![Vec::new()];
        for schema in schemas {
            facts = product(&facts, &self.alternatives(schema, 0)?)?;
        }
        let cases: Vec<Case<'a>> = facts.into_iter().flat_map(cases_of).collect();
        if cases.len() > SCHEMA_ALTERNATIVES_MAX {
            return Err(format!("more than {SCHEMA_ALTERNATIVES_MAX} alternatives"));
        }
        Ok(cases)
    }

    /// The schemas that hold together in each alternative. An alternative that is never written has none.
    fn alternatives(&self, schema: &'a Json, depth: usize) -> Result<Vec<Vec<&'a Json>>, String> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err("a reference that leads to itself".to_owned());
        }
        let Json::Object(members) = schema else {
            return Ok(if *schema == Json::Bool(false) { Vec::new() } else { vec![vec![schema]] });
        };
        let mut found = vec![vec![schema]];
        if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
            found = product(&found, &self.alternatives(target(self.writer, reference)?, depth + 1)?)?;
        }
        for part in members.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            found = product(&found, &self.alternatives(part, depth + 1)?)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(parts) = members.get(keyword).and_then(Json::as_array) else { continue };
            let mut all = Vec::new();
            for part in parts {
                all.extend(self.alternatives(part, depth + 1)?);
            }
            found = product(&found, &all)?;
        }
        Ok(found)
    }
}

/// Each of the ones with each of the others.
fn product<'a>(ones: &[Vec<&'a Json>], others: &[Vec<&'a Json>]) -> Result<Vec<Vec<&'a Json>>, String> {
    if ones.len().saturating_mul(others.len()) > SCHEMA_ALTERNATIVES_MAX {
        return Err(format!("more than {SCHEMA_ALTERNATIVES_MAX} alternatives"));
    }
    Ok(ones.iter().flat_map(|one| others.iter().map(move |other| [one.as_slice(), other].concat())).collect())
}

/// The values that fit all facts, by their kinds, or one by one where they are named.
fn cases_of(facts: Vec<&Json>) -> Vec<Case<'_>> {
    if let Some(values) = facts.iter().find_map(|fact| named_values(fact)) {
        let fits = |value: &&Json| {
            let kind = Kind::of(value);
            facts.iter().all(|fact| {
                kinds(fact).iter().any(|other| kind.is_within(*other)) && named_values(fact).is_none_or(|named| named.contains(value))
            })
        };
        let fitting: Vec<&Json> = values.into_iter().filter(fits).collect();
        return fitting.into_iter().map(|value| Case { kind: Kind::of(value), value: Some(value), facts: facts.clone() }).collect();
    }
    let mut kinds_left = ANY.to_vec();
    for fact in &facts {
        let said = kinds(fact);
        kinds_left = kinds_left.into_iter().filter_map(|kind| narrowed(kind, &said)).collect();
    }
    kinds_left.into_iter().map(|kind| Case { kind, value: None, facts: facts.clone() }).collect()
}

/// What is left of a kind where only some are allowed.
fn narrowed(kind: Kind, allowed: &[Kind]) -> Option<Kind> {
    if allowed.iter().any(|other| kind.is_within(*other)) {
        return Some(kind);
    }
    (kind == Kind::Number && allowed.contains(&Kind::Integer)).then_some(Kind::Integer)
}

/// The kinds that a schema itself allows.
pub(super) fn kinds(schema: &Json) -> Vec<Kind> {
    match schema.get("type") {
        Some(Json::String(name)) => Kind::named(name).into_iter().collect(),
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).filter_map(Kind::named).collect(),
        _ => ANY.to_vec(),
    }
}

/// The values that a schema names one by one.
pub(super) fn named_values(schema: &Json) -> Option<Vec<&Json>> {
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    schema.get("enum").and_then(Json::as_array).map(|values| values.iter().collect())
}
