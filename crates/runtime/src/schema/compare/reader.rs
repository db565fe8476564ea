//! Whether a schema reads one case of what is written.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value as Json};

use super::words::{at_least, at_most, list, shown};
use super::writer::{Case, Kind, kinds, named_values};
use super::{Comparison, Misfit, NO_SUCH_MEMBER, Place, REQUIRED, target};
use crate::limits::{SCHEMA_COMPARISONS_MAX, SCHEMA_DEPTH_MAX};

/// Keywords that restrict nothing, or that are looked at by their names below.
const UNDERSTOOD: [&str; 41] = [
    "$ref",
    "$defs",
    "definitions",
    "$id",
    "allOf",
    "anyOf",
    "oneOf",
    "type",
    "const",
    "enum",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "contentEncoding",
    "contentMediaType",
    "description",
    "title",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
];

static ANYTHING: Json = Json::Bool(true);
static NOTHING: Json = Json::Bool(false);

impl<'a> Comparison<'a> {
    /// Whether a schema reads a case, with everything that it is combined of.
    pub(super) fn read(&mut self, reader: &'a Json, case: &Case<'a>, place: &Place) -> Vec<Misfit> {
        self.comparisons += 1;
        if self.comparisons > SCHEMA_COMPARISONS_MAX || place.depth > SCHEMA_DEPTH_MAX {
            return place.misfit("a schema too large or too deep to compare", "another one");
        }
        let Json::Object(members) = reader else {
            return if *reader == NOTHING { place.misfit("nothing", shown(case)) } else { Vec::new() };
        };
        let mut found = self.read_own(members, case, place);
        if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
            match target(self.reader, reference) {
                Ok(target) => found.extend(self.read(target, case, &place.within())),
                Err(problem) => found.extend(place.misfit(problem, shown(case))),
            }
        }
        for part in members.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            found.extend(self.read(part, case, &place.within()));
        }
        if let Some(parts) = members.get("anyOf").and_then(Json::as_array) {
            found.extend(self.read_one_of(parts, case, place));
        }
        if let Some(parts) = members.get("oneOf").and_then(Json::as_array) {
            let overlap = || place.misfit("exactly one of alternatives that may overlap", shown(case));
            found.extend(if self.are_disjoint(parts) { self.read_one_of(parts, case, place) } else { overlap() });
        }
        found
    }

    /// One alternative reads all of the case; else the nearest one says why not.
    fn read_one_of(&mut self, parts: &'a [Json], case: &Case<'a>, place: &Place) -> Vec<Misfit> {
        let mut nearest: Option<Vec<Misfit>> = None;
        for part in parts {
            let assumed = self.assumed.clone();
            let found = self.read(part, case, &place.within());
            if found.is_empty() {
                return found;
            }
            // What was assumed for an alternative that does not fit holds for no other one.
            self.assumed = assumed;
            let is_here = |misfit: &Misfit| place.is_of(misfit);
            let is_nearer = nearest.as_ref().is_none_or(|nearest| nearest.iter().any(is_here) && !found.iter().any(is_here));
            if is_nearer {
                nearest = Some(found);
            }
        }
        match nearest {
            Some(found) if parts.len() == 1 || !found.iter().any(|misfit| place.is_of(misfit)) => found,
            _ => place.misfit(list(parts), shown(case)),
        }
    }

    /// What a schema itself restricts.
    fn read_own(&mut self, members: &'a Map<String, Json>, case: &Case<'a>, place: &Place) -> Vec<Misfit> {
        let reader = Reader { members };
        let allowed = reader.kinds();
        if !allowed.iter().any(|kind| case.kind.is_within(*kind)) {
            return place.misfit(allowed.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or "), shown(case));
        }
        let mut found = reader.unknown_keywords(case, place);
        found.extend(reader.values(case, place));
        match (case.kind, case.value) {
            (Kind::Null | Kind::Boolean, _) => {}
            (Kind::Integer | Kind::Number, _) => found.extend(reader.number(case, place)),
            (Kind::String, _) => found.extend(reader.text(case, place)),
            (Kind::Array | Kind::Object, Some(value)) => found.extend(reader.whole(value, place)),
            (Kind::Array, None) => found.extend(self.array(&reader, case, place)),
            (Kind::Object, None) => found.extend(self.object(&reader, case, place)),
        }
        found
    }

    fn array(&mut self, reader: &Reader<'a>, case: &Case<'a>, place: &Place) -> Vec<Misfit> {
        let mut found = reader.counts(("minItems", "maxItems", "items"), (case, 0, None), place);
        let is_unique = |value: &Json| *value == Json::Bool(true);
        if reader.get("uniqueItems").is_some_and(is_unique) && !case.said("uniqueItems").any(is_unique) {
            found.extend(place.misfit("no item twice", "items that may repeat"));
        }
        let longest = case.said("maxItems").filter_map(Json::as_u64).min().unwrap_or(u64::MAX);
        let firsts = [reader.get("prefixItems")].into_iter().flatten().chain(case.said("prefixItems"));
        let firsts = firsts.filter_map(Json::as_array).map(Vec::len).max().unwrap_or(0);
        for at in 0..firsts {
            let written: Vec<&Json> = case.facts.iter().map(|fact| item(fact, at)).collect();
            if (at as u64) < longest && !written.contains(&&NOTHING) {
                found.extend(self.compare(reader.item(at), &written, &place.child("prefixItems", at)));
            }
        }
        let written: Vec<&Json> = case.facts.iter().map(|fact| item(fact, firsts)).collect();
        if (firsts as u64) < longest && !written.contains(&&NOTHING) {
            found.extend(self.compare(reader.item(firsts), &written, &place.part("items")));
        }
        found
    }

    fn object(&mut self, reader: &Reader<'a>, case: &Case<'a>, place: &Place) -> Vec<Misfit> {
        let written = Members::of(case);
        let mut found = reader.counts(
            ("minProperties", "maxProperties", "members"),
            (case, written.required.len() as u64, written.is_closed().then_some(written.named.len() as u64)),
            place,
        );
        for name in reader.strings("required") {
            if !written.required.contains(&name) {
                found.extend(place.child("properties", name).misfit(REQUIRED, written.lack_of(name)));
            }
        }
        let known = reader.get("properties").and_then(Json::as_object);
        for (name, schema) in known.into_iter().flatten() {
            let member = written.member(case, name);
            if !member.is_empty() {
                found.extend(self.compare(schema, &member, &place.child("properties", name)));
            }
        }
        let others = reader.get("additionalProperties").unwrap_or(&ANYTHING);
        let unknown = written.named.iter().filter(|name| known.is_none_or(|known| !known.contains_key(**name)));
        for name in unknown {
            let (at, member) = (place.child("properties", name), written.member(case, name));
            match others {
                Json::Bool(true) => {}
                Json::Bool(false) => found.extend(at.misfit(NO_SUCH_MEMBER, format!("a member `{name}`"))),
                schema => found.extend(self.compare(schema, &member, &at)),
            }
        }
        if !written.is_closed() {
            found.extend(match others {
                Json::Bool(true) => Vec::new(),
                Json::Bool(false) => place.misfit("no other members", "members of any name"),
                schema => self.compare(schema, &written.others, &place.part("additionalProperties")),
            });
        }
        found.extend(reader.names(case, &written, place));
        found
    }

    /// Whether no value fits two of them, as far as can be seen.
    fn are_disjoint(&self, parts: &'a [Json]) -> bool {
        let pairs = parts.iter().enumerate().flat_map(|(at, one)| parts[at + 1..].iter().map(move |other| (one, other)));
        pairs.into_iter().all(|(one, other)| self.exclude_each_other(self.led(one), self.led(other)))
    }

    fn led(&self, schema: &'a Json) -> &'a Json {
        let reference = schema.get("$ref").and_then(Json::as_str);
        reference.and_then(|reference| target(self.reader, reference).ok()).unwrap_or(schema)
    }

    fn exclude_each_other(&self, one: &'a Json, other: &'a Json) -> bool {
        if let (Some(ones), Some(others)) = (named_values(one), named_values(other)) {
            return ones.iter().all(|value| !others.contains(value));
        }
        let of = |schema: &'a Json| named_values(schema).map_or_else(|| kinds(schema), |values| values.into_iter().map(Kind::of).collect());
        let (ones, others) = (of(one), of(other));
        if ones.iter().all(|kind| !others.iter().any(|other| kind.is_within(*other) || other.is_within(*kind))) {
            return true;
        }
        (ones, others) == (vec![Kind::Object], vec![Kind::Object])
            && (needs_what_other_refuses(one, other) || needs_what_other_refuses(other, one))
    }
}

/// Whether an object must have a member that the other one does not take.
fn needs_what_other_refuses(one: &Json, other: &Json) -> bool {
    let reader = Reader {
        members: match one {
            Json::Object(members) => members,
            _ => return false,
        },
    };
    let is_closed = other.get("additionalProperties") == Some(&NOTHING);
    reader.strings("required").into_iter().any(|name| is_closed && other.get("properties").is_none_or(|known| known.get(name).is_none()))
}

/// The schema of the item at a place.
fn item(schema: &Json, at: usize) -> &Json {
    let first = schema.get("prefixItems").and_then(|items| items.get(at));
    first.or_else(|| schema.get("items")).unwrap_or(&ANYTHING)
}

/// The members of an object that is written.
struct Members<'a> {
    named: Vec<&'a str>,
    required: Vec<&'a str>,
    /// What holds for members that are not named, where there may be any.
    others: Vec<&'a Json>,
    is_open: bool,
}

impl<'a> Members<'a> {
    fn of(case: &Case<'a>) -> Self {
        let names = |keyword| case.said(keyword).filter_map(Json::as_array).flatten().filter_map(Json::as_str);
        let named: std::collections::BTreeSet<&str> = case
            .said("properties")
            .filter_map(Json::as_object)
            .flat_map(|known| known.keys().map(String::as_str))
            .chain(names("required"))
            .collect();
        let others: Vec<&Json> = case.said("additionalProperties").collect();
        let is_shaped = case.said("properties").next().is_some();
        // A writer writes what its shape names, and nothing else.
        let is_open = if others.is_empty() { !is_shaped } else { !others.contains(&&NOTHING) };
        let others = if others.is_empty() { vec![&ANYTHING] } else { others };
        Self { named: named.into_iter().collect(), required: names("required").collect(), others, is_open }
    }

    fn is_closed(&self) -> bool {
        !self.is_open
    }

    /// What holds for a member; nothing when it is never written.
    fn member(&self, case: &Case<'a>, name: &str) -> Vec<&'a Json> {
        let own: Vec<&Json> = case.said("properties").filter_map(|known| known.get(name)).collect();
        if !own.is_empty() {
            return if own.contains(&&NOTHING) { Vec::new() } else { own };
        }
        if self.is_open || self.named.contains(&name) { self.others.clone() } else { Vec::new() }
    }

    fn lack_of(&self, name: &str) -> &'static str {
        if self.is_open || self.named.contains(&name) { "a member that may be missing" } else { "no such member" }
    }
}

/// The own keywords of a schema that reads.
struct Reader<'a> {
    members: &'a Map<String, Json>,
}

impl<'a> Reader<'a> {
    fn get(&self, keyword: &str) -> Option<&'a Json> {
        self.members.get(keyword)
    }

    fn strings(&self, keyword: &str) -> Vec<&'a str> {
        self.get(keyword).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let named = |name: &Json| name.as_str().and_then(Kind::named);
        match self.get("type") {
            None => vec![Kind::Null, Kind::Boolean, Kind::Number, Kind::String, Kind::Array, Kind::Object],
            Some(Json::Array(names)) => names.iter().filter_map(named).collect(),
            Some(name) => named(name).into_iter().collect(),
        }
    }

    fn item(&self, at: usize) -> &'a Json {
        let first = self.get("prefixItems").and_then(|items| items.get(at));
        first.or_else(|| self.get("items")).unwrap_or(&ANYTHING)
    }

    /// What is not understood must be said by the writer, too.
    fn unknown_keywords(&self, case: &Case<'_>, place: &Place) -> Vec<Misfit> {
        let strange = self.members.iter().filter(|(keyword, _)| !UNDERSTOOD.contains(&keyword.as_str()) && !keyword.starts_with("x-"));
        let unsaid = strange.filter(|(keyword, value)| !case.says(keyword, value));
        unsaid.flat_map(|(keyword, _)| place.misfit(format!("with `{keyword}`, which cannot be compared"), shown(case))).collect()
    }

    fn values(&self, case: &Case<'_>, place: &Place) -> Vec<Misfit> {
        let constant = self.get("const").into_iter();
        let Some(values) = self.get("enum").and_then(Json::as_array).map(|values| values.iter().collect::<Vec<_>>()).or_else(|| {
            let constant: Vec<_> = constant.collect();
            (!constant.is_empty()).then_some(constant)
        }) else {
            return Vec::new();
        };
        if case.value.is_some_and(|value| values.contains(&value)) {
            return Vec::new();
        }
        place.misfit(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "), shown(case))
    }

    /// A whole array or object that is named: it is not looked into.
    fn whole(&self, value: &Json, place: &Place) -> Vec<Misfit> {
        let is_restricted =
            self.members.keys().any(|keyword| !matches!(keyword.as_str(), "type" | "const" | "enum" | "description" | "title"));
        if is_restricted { place.misfit("a restricted value", value.to_string()) } else { Vec::new() }
    }

    fn number(&self, case: &Case<'_>, place: &Place) -> Vec<Misfit> {
        let mut found = Vec::new();
        let low =
            case.value.and_then(Json::as_number).map_or_else(|| bound(case, ["minimum", "exclusiveMinimum"], Ordering::Greater), exactly);
        let high =
            case.value.and_then(Json::as_number).map_or_else(|| bound(case, ["maximum", "exclusiveMaximum"], Ordering::Less), exactly);
        for (keyword, is_exclusive) in [("minimum", false), ("exclusiveMinimum", true)] {
            let Some(wanted) = self.get(keyword).and_then(Json::as_number) else { continue };
            if !low.as_ref().is_some_and(|low| low.is_inside(wanted, is_exclusive, Ordering::Greater)) {
                found.extend(place.misfit(
                    at_least(wanted, is_exclusive),
                    low.as_ref().map_or("any number below".into(), |low| at_least(low.number, low.is_exclusive)),
                ));
            }
        }
        for (keyword, is_exclusive) in [("maximum", false), ("exclusiveMaximum", true)] {
            let Some(wanted) = self.get(keyword).and_then(Json::as_number) else { continue };
            if !high.as_ref().is_some_and(|high| high.is_inside(wanted, is_exclusive, Ordering::Less)) {
                found.extend(place.misfit(
                    at_most(wanted, is_exclusive),
                    high.as_ref().map_or("any number above".into(), |high| at_most(high.number, high.is_exclusive)),
                ));
            }
        }
        if let Some(step) = self.get("multipleOf")
            && !case.says("multipleOf", step)
            && !(case.kind == Kind::Integer && step.as_u64() == Some(1))
        {
            found.extend(place.misfit(format!("multiples of {step}"), shown(case)));
        }
        if self.get("format").is_some_and(|said| said == "float") && case.said("format").any(|said| said == "double") {
            found.extend(place.misfit("numbers of 32 bits", "numbers of 64 bits"));
        }
        found
    }

    fn text(&self, case: &Case<'_>, place: &Place) -> Vec<Misfit> {
        let length = case.value.and_then(Json::as_str).map(|text| text.chars().count() as u64);
        let mut found = self.counts(("minLength", "maxLength", "characters"), (case, length.unwrap_or(0), length), place);
        for keyword in ["pattern", "format"] {
            if let Some(wanted) = self.get(keyword).filter(|wanted| !case.says(keyword, wanted)) {
                let written = case.said(keyword).next().map_or_else(|| "any text".to_owned(), |said| format!("{keyword} {said}"));
                found.extend(place.misfit(format!("{keyword} {wanted}"), written));
            }
        }
        found
    }

    /// How many there are of something: at least and at most, as the reader wants it and as it is known of what is written.
    fn counts(
        &self,
        (least, most, what): (&str, &str, &str),
        (case, low, high): (&Case<'_>, u64, Option<u64>),
        place: &Place,
    ) -> Vec<Misfit> {
        let mut found = Vec::new();
        let low = case.said(least).filter_map(Json::as_u64).max().unwrap_or(0).max(low);
        if let Some(wanted) = self.get(least).and_then(Json::as_u64).filter(|wanted| *wanted > low) {
            found.extend(place.misfit(format!("{wanted} {what} or more"), format!("{low} or more")));
        }
        let high = case.said(most).filter_map(Json::as_u64).chain(high).min();
        if let Some(wanted) = self.get(most).and_then(Json::as_u64).filter(|wanted| high.is_none_or(|high| high > *wanted)) {
            found.extend(
                place.misfit(
                    format!("{wanted} {what} or fewer"),
                    high.map_or("any number of them".into(), |high| format!("{high} or fewer")),
                ),
            );
        }
        found
    }

    fn names(&self, case: &Case<'_>, written: &Members<'_>, place: &Place) -> Vec<Misfit> {
        match self.get("propertyNames") {
            Some(wanted)
                if *wanted != ANYTHING && !case.says("propertyNames", wanted) && !(written.is_closed() && written.named.is_empty()) =>
            {
                place.misfit(format!("names of members with {wanted}"), "names of another sort")
            }
            _ => Vec::new(),
        }
    }
}

/// A bound of a number that is written.
struct Bound<'a> {
    number: &'a Number,
    is_exclusive: bool,
}

impl Bound<'_> {
    /// Whether everything within this bound is within the other one; `inner` is where it lies then.
    fn is_inside(&self, wanted: &Number, is_exclusive: bool, inner: Ordering) -> bool {
        match compared(self.number, wanted) {
            Ordering::Equal => self.is_exclusive || !is_exclusive,
            other => other == inner,
        }
    }
}

fn exactly(number: &Number) -> Option<Bound<'_>> {
    Some(Bound { number, is_exclusive: false })
}

/// The strictest bound that the facts say.
fn bound<'a>(case: &Case<'a>, keywords: [&str; 2], stricter: Ordering) -> Option<Bound<'a>> {
    let said = |at: usize| case.said(keywords[at]).filter_map(Json::as_number).map(move |number| Bound { number, is_exclusive: at == 1 });
    let all: Vec<Bound<'a>> = said(0).chain(said(1)).collect();
    all.into_iter().reduce(|one, other| {
        let order = compared(other.number, one.number);
        if order == stricter || (order == Ordering::Equal && other.is_exclusive) { other } else { one }
    })
}

fn compared(one: &Number, other: &Number) -> Ordering {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal),
    }
}
