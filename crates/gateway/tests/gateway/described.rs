//! The OpenAPI document: as it was agreed, and whole in itself.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::shop::Shop;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.snapshot.json");
/// Set to write the snapshot anew.
const UPDATE: &str = "HEADWATER_UPDATE_SNAPSHOTS";

#[tokio::test]
async fn the_description_is_the_one_that_was_agreed() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json;
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(SNAPSHOT, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
    }
    let agreed: Json = serde_json::from_str(&std::fs::read_to_string(SNAPSHOT).unwrap()).unwrap();
    assert!(document == agreed, "the description differs from its snapshot; look at the diff after a run with {UPDATE}=1");
}

fn references<'a>(json: &'a Json, found: &mut BTreeSet<&'a str>) {
    match json {
        Json::Object(object) => {
            found.extend(object.get("$ref").and_then(Json::as_str));
            object.values().for_each(|inner| references(inner, found));
        }
        Json::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("references stay inside");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_code_has_a_response() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json;
    for code in gateway::problem::CODES {
        let description = document["components"]["responses"][code.status.to_string()]["description"].as_str();
        assert!(description.is_some_and(|text| text.contains(code.number)), "{}", code.number);
    }
}
