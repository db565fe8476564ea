//! Destinations in the description: how those are whom actions call.

use serde_json::{Map, Value as Json, json};

use super::general::{get, page, reference};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Destination", &destination());
    let page = page(reference("schemas", "Destination"), "the destinations");
    let list = get("How those are whom actions call", "admin", "destinations", &[], &[], page);
    paths.insert("/v1/admin/destinations".to_owned(), json!({ "get": list }));
}

fn destination() -> Json {
    let moment = || json!({ "type": ["string", "null"], "format": "date-time" });
    let count = || json!({ "type": "integer" });
    json!({ "type": "object", "required": ["destination", "state", "calls", "failures", "in_flight", "waiting", "not_tried"],
        "properties": {
            "destination": { "type": "string", "description": "scheme, host and port" },
            "state": { "enum": ["closed", "open", "half-open", "resting"] },
            "calls": { "type": "integer", "description": "ended within the window of its policy" },
            "failures": count(), "in_flight": count(), "waiting": count(),
            "not_tried": { "type": "integer", "description": "calls that were not made, since the process began" },
            "since": moment(), "next_try": moment(), "cause": { "type": ["string", "null"] },
    } })
}
