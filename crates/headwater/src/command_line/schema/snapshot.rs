//! Snapshots: the shapes of a service as lines of JSON, the same that `GET /v1/admin/schemas` gives.

use journal::{Cursor, Timestamp};
use runtime::{Comparison, RegisteredShape, Registry, Rules, SchemaRefusal};
use serde_json::{Value as Json, json};

use crate::service::Service;

/// The file of a snapshot among samples.
pub(super) const FILE: &str = "schemas.ndjson";

/// The shapes that the code declares, as if each were registered.
pub(super) fn of_code(service: &Service) -> Vec<Json> {
    let (declared, rules) = (service.shape_sources().declared(), Rules::new(service.rules()));
    let registry = Registry::of_code(&declared);
    let item = |shape: &component::hosted::DeclaredShape| {
        let key = shape.key();
        let registered = registry.of(&key).iter();
        let registered: Vec<Json> = registered
            .map(|shape| json!({ "version": shape.version, "fingerprint": shape.fingerprint, "registered": null, "schema": shape.schema }))
            .collect();
        json!({ "shape": key, "version": shape.version, "rule": rules.of(shape).to_string(), "registered": registered })
    };
    declared.iter().map(item).collect()
}

/// What a journal might refuse, when there is none to ask: better told too early. A state matters where baselines are written.
pub(super) fn open(service: &Service, comparison: &Comparison) -> Vec<SchemaRefusal> {
    let is_kept = |refusal: &&SchemaRefusal| match refusal.key.strip_suffix("/state") {
        Some(kind) => service.retention().iter().any(|(name, _)| *name == kind),
        None => true,
    };
    comparison.open().filter(is_kept).cloned().collect()
}

/// Takes one line of a snapshot in; says what is wrong with one that is none.
pub(super) fn read(item: &Json, registry: &mut Registry) -> Result<(), String> {
    let key = item["shape"].as_str().ok_or("no snapshot: it has no `shape`")?;
    for registered in item["registered"].as_array().ok_or("no snapshot: it has no `registered`")? {
        let version = registered["version"].as_u64().and_then(|version| u16::try_from(version).ok());
        let fingerprint = registered["fingerprint"].as_str();
        let (Some(version), Some(fingerprint)) = (version, fingerprint) else {
            return Err(format!("no snapshot: a shape of `{key}` has no `version` or no `fingerprint`"));
        };
        let time = registered["registered"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        registry.add(
            key,
            RegisteredShape {
                version,
                fingerprint: fingerprint.to_owned(),
                schema: registered["schema"].clone(),
                registered: time.map(|time| Timestamp::from_micros(time.as_microsecond())),
                cursor: Cursor::BEGINNING,
            },
        );
    }
    Ok(())
}
