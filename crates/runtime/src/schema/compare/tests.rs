//! What fits and what does not, rule by rule.

use serde_json::{Value as Json, json};

use super::misfits;

/// What reading comes to, as one text; empty when it fits.
fn read(reader: &Json, writer: &Json) -> String {
    misfits(reader, writer).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn fits(reader: Json, writer: Json) {
    assert_eq!(read(&reader, &writer), "", "\nreader {reader}\nwriter {writer}");
}

#[track_caller]
fn fails(reader: Json, writer: Json, why: &str) {
    assert_eq!(read(&reader, &writer), why, "\nreader {reader}\nwriter {writer}");
}

fn object(properties: Json, required: &[&str]) -> Json {
    json!({ "type": "object", "properties": properties, "required": required })
}

#[test]
fn an_optional_field_may_come_and_go() {
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let (one, two) = (object(json!({ "sku": text }), &["sku"]), object(json!({ "sku": text, "n": number }), &["sku"]));
    fits(two.clone(), one.clone());
    fits(one, two);
}

#[test]
fn a_required_field_may_not_come_and_may_go() {
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let (one, two) = (object(json!({ "sku": text }), &["sku"]), object(json!({ "sku": text, "n": number }), &["sku", "n"]));
    fails(two.clone(), one.clone(), "/properties/n: reads required, written no such member");
    fits(one.clone(), two.clone());
    fails(
        two,
        object(json!({ "sku": text, "n": number }), &["sku"]),
        "/properties/n: reads required, written a member that may be missing",
    );
}

#[test]
fn a_strict_reader_takes_no_member_that_it_does_not_know() {
    let text = json!({ "type": "string" });
    let mut strict = object(json!({ "sku": text }), &[]);
    strict["additionalProperties"] = json!(false);
    fails(strict.clone(), object(json!({ "sku": text, "n": {} }), &[]), "/properties/n: reads no such member, written a member `n`");
    fails(
        strict.clone(),
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        "/: reads no other members, written members of any name",
    );
    fits(strict, object(json!({ "sku": text }), &["sku"]));
}

#[test]
fn a_field_keeps_its_kind() {
    let of = |schema: Json| object(json!({ "a": schema }), &["a"]);
    fails(of(json!({ "type": "integer" })), of(json!({ "type": "string" })), "/properties/a: reads integer, written string");
    fails(of(json!({ "type": "integer" })), of(json!({ "type": "number" })), "/properties/a: reads integer, written number");
    fits(of(json!({ "type": "number" })), of(json!({ "type": "integer" })));
    fits(of(json!({ "type": ["integer", "null"] })), of(json!({ "type": "integer" })));
    fails(of(json!({ "type": "integer" })), of(json!({ "type": ["integer", "null"] })), "/properties/a: reads integer, written null");
    fits(of(json!({})), of(json!({ "type": "string" })));
    fails(of(json!(false)), of(json!({ "type": "string" })), "/properties/a: reads nothing, written string");
}

#[test]
fn numbers_keep_within_their_bounds() {
    let of = |low: i64, high: i64| json!({ "type": "integer", "minimum": low, "maximum": high });
    fits(of(-1, 300), of(0, 255));
    fails(of(0, 255), of(-1, 255), "/: reads 0 or more, written -1 or more");
    fails(of(0, 255), of(0, 256), "/: reads 255 or less, written 256 or less");
    fails(of(0, 255), json!({ "type": "integer", "minimum": 0 }), "/: reads 255 or less, written any number above");
    fails(json!({ "exclusiveMinimum": 0 }), json!({ "type": "number", "minimum": 0 }), "/: reads more than 0, written 0 or more");
    fits(json!({ "minimum": 0 }), json!({ "type": "number", "exclusiveMinimum": 0 }));
    // Beyond what a float holds exactly.
    let of = |high: u64| json!({ "type": "integer", "maximum": high });
    fails(of(u64::MAX - 1), of(u64::MAX), "/: reads 18446744073709551614 or less, written 18446744073709551615 or less");
    fails(
        json!({ "format": "float" }),
        json!({ "type": "number", "format": "double" }),
        "/: reads numbers of 32 bits, written numbers of 64 bits",
    );
    fits(json!({ "type": "number", "format": "double" }), json!({ "type": "number", "format": "float" }));
    fails(json!({ "multipleOf": 5 }), json!({ "type": "integer" }), "/: reads multiples of 5, written integer");
}

#[test]
fn texts_keep_their_length_and_their_form() {
    let text = json!({ "type": "string" });
    fits(text.clone(), json!({ "type": "string", "format": "decimal", "maxLength": 5 }));
    fails(json!({ "type": "string", "format": "decimal" }), text.clone(), "/: reads format \"decimal\", written any text");
    fails(json!({ "type": "string", "maxLength": 3 }), text.clone(), "/: reads 3 characters or fewer, written any number of them");
    fails(json!({ "type": "string", "minLength": 1 }), text.clone(), "/: reads 1 characters or more, written 0 or more");
    fails(json!({ "pattern": "^a" }), json!({ "type": "string", "pattern": "^b" }), "/: reads pattern \"^a\", written pattern \"^b\"");
    fits(json!({ "minLength": 1, "maxLength": 3 }), json!({ "enum": ["a", "abc"] }));
    fails(
        json!({ "type": "string", "maxLength": 2 }),
        json!({ "enum": ["a", "äbc"] }),
        "/: reads 2 characters or fewer, written 3 or fewer",
    );
}

#[test]
fn a_choice_may_grow_for_its_reader_only() {
    let of = |names: &[&str]| json!({ "type": "string", "enum": names });
    fits(of(&["a", "b"]), of(&["a"]));
    fails(of(&["a"]), of(&["a", "b"]), "/: reads \"a\", written \"b\"");
    fails(of(&["a"]), json!({ "type": "string" }), "/: reads \"a\", written string");
    fits(json!({ "type": "string" }), of(&["a"]));
    let tagged = |names: &[&str]| {
        let variant = |name: &&str| json!({ "type": "object", "properties": { *name: { "type": "integer" } }, "required": [name], "additionalProperties": false });
        json!({ "oneOf": names.iter().map(variant).collect::<Vec<_>>() })
    };
    fits(tagged(&["card", "cash"]), tagged(&["card"]));
    fails(tagged(&["card", "iban"]), tagged(&["cash"]), "/: reads object with card or object with iban, written object with cash");
}

#[test]
fn a_variant_says_where_inside_of_it_reading_fails() {
    let tagged = |kind: &str| {
        json!({ "oneOf": [{ "const": "cash" }, { "type": "object", "required": ["card"], "additionalProperties": false,
        "properties": { "card": { "type": kind } } }] })
    };
    fails(tagged("integer"), tagged("string"), "/properties/card: reads integer, written string");
}

#[test]
fn alternatives_that_overlap_are_not_trusted() {
    let overlapping = json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] });
    fails(overlapping.clone(), json!({ "type": "integer" }), "/: reads exactly one of alternatives that may overlap, written integer");
    fits(json!({ "anyOf": [{ "type": "integer" }, { "type": "number" }] }), json!({ "type": "integer" }));
}

#[test]
fn lists_tuples_and_maps_are_looked_into() {
    let list = |kind: &str| json!({ "type": "array", "items": { "type": kind } });
    fails(list("integer"), list("string"), "/items: reads integer, written string");
    let pair = json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "integer" }], "items": false, "minItems": 2, "maxItems": 2 });
    fits(json!({ "type": "array" }), pair.clone());
    fails(list("string"), pair.clone(), "/prefixItems/1: reads string, written integer");
    fails(
        pair,
        list("string"),
        "/: reads 2 items or fewer, written any number of them; /: reads 2 items or more, written 0 or more; \
        /items: reads nothing, written string; /prefixItems/1: reads integer, written string",
    );
    fails(json!({ "type": "array", "uniqueItems": true }), list("string"), "/: reads no item twice, written items that may repeat");
    let map = |kind: &str| json!({ "type": "object", "additionalProperties": { "type": kind } });
    fails(map("integer"), map("string"), "/additionalProperties: reads integer, written string");
    fails(object(json!({ "a": { "type": "integer" } }), &[]), map("string"), "/properties/a: reads integer, written string");
    fits(map("integer"), object(json!({ "a": { "type": "integer" } }), &[]));
}

#[test]
fn references_are_followed_also_into_themselves() {
    let tree = |value: &str| {
        json!({ "$ref": "#/$defs/T", "$defs": { "T": { "type": "object", "required": ["v"], "properties": {
        "v": { "type": value }, "next": { "anyOf": [{ "$ref": "#/$defs/T" }, { "type": "null" }] } } } } })
    };
    let other_name = json!({ "$ref": "#/$defs/Node", "$defs": { "Node": { "type": "object", "required": ["v"], "properties": {
        "v": { "type": "number" }, "next": { "anyOf": [{ "$ref": "#/$defs/Node" }, { "type": "null" }] } } } } });
    fits(other_name, tree("integer"));
    fails(
        tree("integer"),
        tree("string"),
        "/properties/next/properties/v: reads integer, written string; /properties/v: reads integer, written string",
    );
}

#[test]
fn references_that_lead_out_or_nowhere_are_never_compatible() {
    let remote = json!({ "$ref": "https://example.org/cart.json" });
    fails(
        json!({ "type": "string" }),
        remote.clone(),
        "/: reads what can be compared, written a reference out of the document, \
        `https://example.org/cart.json`, which is not fetched",
    );
    fails(
        remote,
        json!({ "type": "string" }),
        "/: reads a reference out of the document, `https://example.org/cart.json`, which is not fetched, written string",
    );
    fails(
        json!({ "$ref": "#/$defs/None" }),
        json!({ "type": "null" }),
        "/: reads a reference that leads nowhere, `#/$defs/None`, written null",
    );
    let looped = json!({ "$ref": "#" });
    assert!(read(&json!({ "type": "string" }), &looped).contains("leads to itself"), "{}", read(&json!({ "type": "string" }), &looped));
}

#[test]
fn what_is_not_understood_must_be_equal() {
    let strange = |name: &str| json!({ "type": "object", "not": { "required": [name] }, "minProperties": 1 });
    fails(strange("a"), strange("b"), "/: reads with `not`, which cannot be compared, written object");
    let wider = json!({ "type": ["object", "null"], "not": { "required": ["a"] } });
    fits(wider, strange("a"));
    // Of a writer it may stay: it only writes less.
    fits(json!({ "type": "object" }), strange("a"));
}

#[test]
fn all_of_several_schemas_hold_together() {
    let both = json!({ "allOf": [{ "type": "integer", "minimum": 0 }, { "maximum": 9 }] });
    fits(json!({ "type": "integer", "minimum": -5, "maximum": 9 }), both.clone());
    fails(both, json!({ "type": "integer", "minimum": 1 }), "/: reads 9 or less, written any number above");
}

#[test]
fn personal_values_stay_personal() {
    let plain = || object(json!({ "name": { "type": ["string", "null"] } }), &["name"]);
    let personal = || object(json!({ "name": { "type": ["string", "null"], "x-personal": true } }), &["name"]);
    fits(personal(), plain());
    fails(plain(), personal(), "/properties/name: reads a plain value, written a personal one, which is encrypted");
}

#[test]
fn a_comparison_without_end_is_given_up() {
    // Every level has alternatives of the level below: without a bound this is as many steps as there are paths.
    let mut definitions = serde_json::Map::new();
    for level in 0..60 {
        let below = json!({ "$ref": format!("#/$defs/L{}", level + 1) });
        let schema = json!({ "anyOf": [{ "properties": { "a": below } }, { "properties": { "a": below }, "minProperties": level }] });
        definitions.insert(format!("L{level}"), schema);
    }
    definitions.insert("L60".into(), json!({ "type": "string" }));
    let one = json!({ "$ref": "#/$defs/L0", "$defs": definitions });
    let mut other = one.clone();
    other["$defs"]["L60"] = json!({ "type": "integer" });
    assert_ne!(read(&one, &other), "");
}
