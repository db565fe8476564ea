//! The OpenAPI and AsyncAPI documents: as they were agreed, and whole in themselves.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::shop::Shop;

/// What is described, and how that was agreed.
const DOCUMENTS: [(&str, &str); 2] = [
    ("/openapi.json", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.snapshot.json")),
    ("/asyncapi.json", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/asyncapi.snapshot.json")),
];
/// Set to write the snapshots anew.
const UPDATE: &str = "HEADWATER_UPDATE_SNAPSHOTS";

#[tokio::test]
async fn the_descriptions_are_those_that_were_agreed() {
    let shop = Shop::open().await;
    for (path, snapshot) in DOCUMENTS {
        let document = shop.get(path).await.json;
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(snapshot, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        }
        let agreed: Json = serde_json::from_str(&std::fs::read_to_string(snapshot).unwrap()).unwrap();
        assert!(document == agreed, "{path} differs from its snapshot; look at the diff after a run with {UPDATE}=1");
    }
}

#[tokio::test]
async fn a_stream_over_a_websocket_is_described_with_all_that_it_takes_and_tells() {
    let shop = Shop::open().await;
    let document = shop.get("/asyncapi.json").await.json;
    let mut streams = 0;
    for (name, channel) in document["channels"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("stream")) {
        let takes: BTreeSet<&str> =
            channel["bindings"]["ws"]["query"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(takes, BTreeSet::from(["after", "credit", "key", "limit", "live", "tag", "type", "version"]), "{name}");
        for word in ["progress", "problem", "credit"] {
            assert!(channel["messages"].get(format!("reader.{word}")).is_some(), "{name}: {word}");
        }
        streams += 1;
    }
    assert!(streams > 1, "the service's own stream, and one that is declared");
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
    for (path, _) in DOCUMENTS {
        let document = shop.get(path).await.json;
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("references stay inside");
            assert!(document.pointer(pointer).is_some(), "{path}: {reference}");
        }
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
