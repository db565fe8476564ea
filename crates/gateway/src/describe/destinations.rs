//! Destinations and nodes in the description: how those are whom actions call, and who does what of the service.

use serde_json::{Map, Value as Json, json};

use super::general::{get, page, reference};
use super::schemas::Schemas;

pub(super) fn paths(schemas: &mut Schemas, paths: &mut Map<String, Json>) {
    schemas.add("Destination", &destination());
    let page = page(reference("schemas", "Destination"), "the destinations");
    let list = get("How those are whom actions call", "admin", "destinations", &[], &[], page);
    paths.insert("/v1/admin/destinations".to_owned(), json!({ "get": list }));
    schemas.add("Node", &node());
    let page = self::page(reference("schemas", "Node"), "the nodes");
    let list = get("The processes of this service, and what each of them does", "admin", "nodes", &[], &[], page);
    paths.insert("/v1/admin/nodes".to_owned(), json!({ "get": list }));
}

fn node() -> Json {
    let text = || json!({ "type": ["string", "null"] });
    let duty = json!({ "type": "object", "required": ["duty", "epoch"], "properties": {
        "duty": { "type": "string", "description": "such as consumer/bill-orders" },
        "share": { "type": ["integer", "null"], "description": "which share of the slices; null when it has all" },
        "epoch": { "type": "integer", "description": "how often it has changed hands" },
    } });
    json!({ "type": "object", "required": ["node", "state", "this", "roles", "duties"], "properties": {
        "node": { "type": "string" }, "state": { "enum": ["alive", "leaving", "gone"] },
        "this": { "type": "boolean", "description": "whether it is the one that answers" },
        "address": text(), "roles": { "type": "array", "items": { "enum": ["command", "view", "action", "workflow"] } },
        "started": { "type": ["string", "null"], "format": "date-time" }, "duties": { "type": "array", "items": duty },
    } })
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
