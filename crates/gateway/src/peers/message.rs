//! An event of a peer's stream as a message of a topic.
//!
//! Its cursor is the peer's own affair and is left out. `dataschema` is relative to the peer in a stream, and names it here.

use std::collections::BTreeMap;

use bytes::Bytes;
use runtime::{MessageData, TopicMessage};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTES_MAX};

pub(crate) fn read(text: &[u8], address: &str) -> Result<TopicMessage, String> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let data = members.remove("data").map(|data| MessageData::Json(Bytes::copy_from_slice(data.get().as_bytes())));
    let base64 = members.remove("data_base64").map(|data| serde_json::from_str(data.get()).map(MessageData::Base64));
    let data = data.or(base64.transpose().map_err(|_| "`data_base64` is no text")?);
    members.remove("specversion");
    members.remove("cursor");
    if members.len() > ATTRIBUTES_MAX {
        return Err(format!("it has more than {ATTRIBUTES_MAX} attributes"));
    }
    let mut attributes: BTreeMap<String, Json> = BTreeMap::new();
    for (name, value) in members {
        let value = scalar(&name, value)?;
        attributes.insert(name, value);
    }
    let mut text = |name: &str| match attributes.remove(name) {
        Some(Json::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(format!("`{name}` is missing")),
    };
    let (id, source) = (text("id")?, text("source")?);
    if !matches!(attributes.get("type"), Some(Json::String(_))) {
        return Err("`type` is missing".to_owned());
    }
    if let Some(Json::String(schema)) = attributes.get_mut("dataschema")
        && schema.starts_with('/')
    {
        *schema = format!("{address}{schema}");
    }
    Ok(TopicMessage { id, source, attributes: attributes.into_iter().collect(), data })
}

fn scalar(name: &str, value: &RawValue) -> Result<Json, String> {
    if name.len() > ATTRIBUTE_NAME_BYTES_MAX || value.get().len() > ATTRIBUTE_BYTES_MAX {
        return Err(format!("the attribute `{}` is too large", name.chars().take(ATTRIBUTE_NAME_BYTES_MAX).collect::<String>()));
    }
    match serde_json::from_str(value.get()) {
        Ok(Json::Array(_) | Json::Object(_)) | Err(_) => Err(format!("the attribute `{name}` is neither text, number nor truth value")),
        Ok(scalar) => Ok(scalar),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_becomes_a_message() {
        let event = json!({
            "specversion": "1.0", "id": "i.0", "source": "/order", "type": "order.orders.placed", "subject": "o1", "sequence": "3",
            "dataschema": "/v1/streams/orders/schemas/placed/1", "cursor": "hw1.x", "data": { "sku": "mug" },
        });
        let message = read(event.to_string().as_bytes(), "http://order:7430").unwrap();
        assert_eq!((&*message.id, &*message.source, message.text("subject")), ("i.0", "/order", Some("o1")));
        assert_eq!(message.text("dataschema"), Some("http://order:7430/v1/streams/orders/schemas/placed/1"));
        assert_eq!((message.text("cursor"), message.text("specversion")), (None, None));
        assert_eq!(message.data, Some(MessageData::Json(Bytes::from_static(b"{\"sku\":\"mug\"}"))));
    }

    #[test]
    fn what_is_none_is_refused() {
        for (event, words) in [
            (json!({ "source": "/a", "type": "t" }), "`id` is missing"),
            (json!({ "id": "1", "type": "t" }), "`source` is missing"),
            (json!({ "id": "1", "source": "/a" }), "`type` is missing"),
            (json!({ "id": "1", "source": "/a", "type": "t", "x": {} }), "neither"),
            (json!({ "id": "1", "source": "/a", "type": "t", "x": "y".repeat(ATTRIBUTE_BYTES_MAX) }), "too large"),
        ] {
            let problem = read(event.to_string().as_bytes(), "http://a").unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
