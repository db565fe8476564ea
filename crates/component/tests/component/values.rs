//! Values: each shape written, read back, and described.

use headwater::{Decimal, Definitions, State, Value, decode, encode, schema_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Written as `json`, and the same after reading it back.
#[track_caller]
fn check<T: Value>(value: &T, json: Json) {
    let written = encode(value).unwrap();
    assert_eq!(serde_json::from_slice::<Json>(&written).unwrap(), json);
    let again = encode(&decode::<T>(&written).unwrap()).unwrap();
    assert_eq!(again, written);
}

#[test]
fn what_the_language_has() {
    check(&(1_u8, -2_i64, 'ä', true, "text".to_owned(), ()), json!([1, -2, "ä", true, "text", null]));
    check(&[Some(1.5_f64), None], json!([1.5, null]));
    check(&BTreeMap::from([(2_u32, vec!["b".to_owned()]), (1, vec![])]), json!({ "1": [], "2": ["b"] }));
    check(&BTreeSet::from([3, 1, 2]), json!([1, 2, 3]));
    check(&Box::new(Arc::<str>::from("shared")), json!("shared"));
    check(&json!({ "any": [null] }), json!({ "any": [null] }));
    check(&"0.10".parse::<Decimal>().unwrap(), json!("0.10"));
}

#[test]
fn unordered_collections_are_written_in_order() {
    let words: Vec<String> = ('a'..='z').map(String::from).collect();
    let set: HashSet<String> = words.iter().cloned().collect();
    let map: HashMap<String, u8> = words.iter().cloned().map(|word| (word, 0)).collect();
    assert_eq!(encode(&set).unwrap(), encode(&words).unwrap());
    assert_eq!(encode(&map).unwrap(), encode(&map.into_iter().collect::<BTreeMap<_, _>>()).unwrap());
}

#[test]
fn numbers_without_a_form_in_json_are_refused_at_every_depth() {
    for infinite in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        assert!(encode(&infinite).is_err());
        assert!(encode(&BTreeMap::from([(1_u8, vec![Some(infinite)])])).is_err());
        assert!(encode(&Choice::Deep { numbers: (infinite as f32, Box::new(1.0)) }).is_err());
    }
}

#[derive(Value)]
struct Nothing;

#[derive(Value)]
struct Sku(String);

/// A tree.
#[derive(Value)]
struct Node {
    /// What it is called.
    r#type: Sku,
    children: Vec<Self>,
    #[field("left-over", default)]
    rest: u8,
    note: Option<String>,
}

#[derive(Value)]
enum Currency {
    #[value("EUR")]
    Eur,
    #[value("USD")]
    Usd,
}

/// One of four.
#[derive(Value)]
enum Choice {
    #[value("plain")]
    Plain,
    #[value("one")]
    One(Box<Choice>),
    /// With numbers.
    #[value("deep")]
    Deep { numbers: (f32, Box<f64>) },
    #[value("empty")]
    Empty {},
}

#[test]
fn structs_and_enums_of_ones_own() {
    check(&Nothing, json!({}));
    check(&Sku("mug".to_owned()), json!("mug"));
    let leaf = || Node { r#type: Sku("leaf".to_owned()), children: Vec::new(), rest: 1, note: None };
    let leaf_json = json!({ "type": "leaf", "children": [], "left-over": 1, "note": null });
    check(&Node { children: vec![leaf(), leaf()], ..leaf() }, {
        let mut json = leaf_json.clone();
        json["children"] = json!([leaf_json, leaf_json]);
        json
    });
    check(&[Currency::Eur, Currency::Usd], json!(["EUR", "USD"]));
    check(&Choice::One(Box::new(Choice::Plain)), json!({ "one": "plain" }));
    check(&Choice::Deep { numbers: (0.5, Box::new(2.0)) }, json!({ "deep": { "numbers": [0.5, 2.0] } }));
    check(&Choice::Empty {}, json!({ "empty": {} }));
}

#[test]
fn optional_and_defaulted_fields_may_be_missing() {
    let node: Node = decode(br#"{"type":"leaf","children":[],"later":true}"#).unwrap();
    assert_eq!((node.rest, node.note), (0, None));
    let error = decode::<Node>(b"{\"children\":[]}").err().unwrap();
    assert!(error.to_string().starts_with("missing field `type`"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(decode::<[u8; 2]>(b"[1]").is_err());
    assert!(decode::<(u8, u8)>(b"[1]").is_err());
    assert!(decode::<(u8, u8)>(b"[1,2,3]").is_err());
    assert!(decode::<Currency>(b"\"GBP\"").is_err());
    assert!(decode::<BTreeMap<u8, u8>>(br#"{"300":1}"#).is_err());
    assert!(decode::<u8>(b"1 1").is_err());
}

#[test]
fn a_recursive_type_is_defined_once() {
    let schema = schema_of::<Node>();
    let expected = json!({
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "description": "A tree.",
                "properties": {
                    "type": { "$ref": "#/$defs/Sku", "description": "What it is called." },
                    "children": { "type": "array", "items": { "$ref": "#/$defs/Node" } },
                    "left-over": { "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 },
                    "note": { "type": ["string", "null"] },
                },
                "required": ["type", "children"],
            },
            "Sku": { "type": "string" },
        },
    });
    assert_eq!(schema, expected);
}

#[test]
fn enums_describe_their_variants() {
    assert_eq!(schema_of::<Currency>()["$defs"]["Currency"], json!({ "type": "string", "enum": ["EUR", "USD"] }));
    let schema = &schema_of::<Option<Choice>>();
    assert_eq!(schema["anyOf"], json!([{ "$ref": "#/$defs/Choice" }, { "type": "null" }]));
    let one_of = &schema["$defs"]["Choice"]["oneOf"];
    assert_eq!(one_of[0], json!({ "const": "plain" }));
    assert_eq!(one_of[1]["properties"]["one"], json!({ "$ref": "#/$defs/Choice" }));
    assert_eq!(one_of[2]["description"], "With numbers.");
    assert_eq!(one_of[3]["required"], json!(["empty"]));
}

mod elsewhere {
    #[derive(headwater::Value)]
    pub(super) struct Sku {
        pub(super) code: u8,
    }
}

#[test]
fn two_types_of_one_name_are_told_apart() {
    let schema = schema_of::<(Sku, elsewhere::Sku, Sku)>();
    let references: Vec<_> = schema["prefixItems"].as_array().unwrap().iter().map(|part| part["$ref"].as_str().unwrap()).collect();
    assert_eq!(references, ["#/$defs/Sku", "#/$defs/Sku2", "#/$defs/Sku"]);
    assert_eq!(schema["$defs"]["Sku2"]["properties"]["code"]["maximum"], 255);
    assert_eq!(elsewhere::Sku { code: 1 }.code, 1);
}

/// Made of another crate's type.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Wait(Duration);

impl Value for Wait {
    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "object" })
    }
}

#[test]
fn a_type_of_another_crate_stands_in_a_struct_of_ones_own() {
    check(&vec![Wait(Duration::from_secs(2))], json!([{ "secs": 2, "nanos": 0 }]));
    assert_eq!(schema_of::<Vec<Wait>>()["items"], json!({ "type": "object" }));
}

#[derive(Default, State)]
enum Order {
    #[default]
    #[value("new")]
    New,
    #[value("paid")]
    Paid { by: String },
}

#[test]
fn a_state_may_be_an_enum() {
    check(&Order::default(), json!("new"));
    check(&Order::Paid { by: "ada".to_owned() }, json!({ "paid": { "by": "ada" } }));
    assert_eq!(Order::VERSION, 1);
}

#[test]
fn floats_come_back_to_the_last_bit() {
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let float = f64::from_bits(bits);
        if float.is_finite() {
            let json = encode(&float).unwrap();
            assert_eq!(decode::<f64>(&json).unwrap().to_bits(), float.to_bits(), "{}", String::from_utf8_lossy(&json));
        }
    }
}
