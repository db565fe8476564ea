//! Recorded events as CloudEvents 1.0 in the JSON format, each on one line.
//!
//! JSON payloads go into `data` as the bytes they were recorded as; all others into `data_base64`.

use journal::{ContentType, Cursor, Recorded};
use runtime::Shaped;

use crate::{calendar, json};

/// Who reads: a stream leaves the service, a history stays with those who may read the entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The attributes that every CloudEvent of a stream has.
    Stream,
    /// Also who asked, with which command, and the tags.
    History,
}

/// Writes one event of a declared stream, without a line end.
pub(crate) fn write_public(
    out: &mut Vec<u8>,
    (service, stream, version): (&str, &str, u16),
    event: &Recorded,
    shaped: &Shaped,
    cursor: Cursor,
) {
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":");
    json::plain(out, event.id);
    out.extend_from_slice(b",\"source\":");
    json::plain(out, format_args!("/{service}"));
    text(out, "type", &[service, ".", stream, ".", shaped.name].concat());
    text(out, "subject", event.entity.id());
    text(out, "time", &calendar::text(event.time));
    if shaped.data.is_some() {
        text(out, "datacontenttype", "application/json");
        text(out, "dataschema", &format!("/v1/streams/{stream}/schemas/{}/{version}", shaped.name));
    }
    text(out, "entitytype", event.entity.kind());
    text(out, "sequence", &event.sequence.to_string());
    out.extend_from_slice(b",\"cursor\":");
    json::plain(out, cursor);
    context(out, event, Audience::Stream);
    if let Some(data) = &shaped.data {
        out.extend_from_slice(b",\"data\":");
        json::verbatim(out, data);
    }
    out.push(b'}');
}

/// Writes one event, without a line end.
pub(crate) fn write(out: &mut Vec<u8>, service: &str, event: &Recorded, cursor: Cursor, audience: Audience) {
    let kind = event.entity.kind();
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":");
    json::plain(out, event.id);
    out.extend_from_slice(b",\"source\":");
    json::plain(out, format_args!("/{service}"));
    text(out, "type", &[service, ".", kind, ".", &event.name].concat());
    text(out, "subject", event.entity.id());
    text(out, "time", &calendar::text(event.time));
    text(out, "datacontenttype", media_type(event.content));
    text(out, "dataschema", &format!("/v1/schemas/{kind}/{}/{}", event.name, event.version));
    text(out, "entitytype", kind);
    text(out, "sequence", &event.sequence.to_string());
    out.extend_from_slice(b",\"cursor\":");
    json::plain(out, cursor);
    context(out, event, audience);
    data(out, event);
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    json::string(out, name);
    out.push(b':');
    json::string(out, value);
}

fn context(out: &mut Vec<u8>, event: &Recorded, audience: Audience) {
    let context = &event.context;
    let everywhere =
        [("correlationid", &context.correlation_id), ("causationid", &context.causation_id), ("traceparent", &context.traceparent)];
    for (name, value) in everywhere {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    if audience == Audience::Stream {
        return;
    }
    if let Some(principal) = &context.principal {
        text(out, "principal", principal);
    }
    text(out, "command", &event.command_name);
    if !event.tags.is_empty() {
        let tags: Vec<&str> = event.tags.iter().map(journal::Tag::as_str).collect();
        out.extend_from_slice(b",\"tags\":");
        json::value(out, &tags.into());
    }
}

fn data(out: &mut Vec<u8>, event: &Recorded) {
    if event.content == ContentType::Json {
        out.extend_from_slice(b",\"data\":");
        json::verbatim(out, &event.payload);
    } else {
        out.extend_from_slice(b",\"data_base64\":");
        json::base64(out, &event.payload);
    }
}

fn media_type(content: ContentType) -> &'static str {
    match content {
        ContentType::Json => "application/json",
        ContentType::Cbor => "application/cbor",
        ContentType::Protobuf => "application/protobuf",
        ContentType::Other(_) => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use journal::{CommandId, CommitId, Context, EntityKey, EventFlags, EventId, LineageId, Tag, Timestamp};
    use serde_json::Value as Json;

    use super::*;

    fn event(content: ContentType, payload: &'static [u8]) -> Recorded {
        Recorded {
            position: 9,
            id: EventId { commit: CommitId([7; 16]), index: 2 },
            entity: EntityKey::new("cart", "c\"1").unwrap(),
            sequence: 3,
            time: Timestamp::from_micros(1),
            command: CommandId([1; 16]),
            command_name: "add-item".into(),
            context: Arc::new(Context { correlation_id: Some("corr".into()), principal: Some("ann".into()), ..Context::default() }),
            name: "item-added".into(),
            version: 2,
            content,
            flags: EventFlags::default(),
            tags: vec![Tag::new("sku:a").unwrap()],
            payload: payload.into(),
        }
    }

    fn parsed(event: &Recorded, audience: Audience) -> Json {
        let mut out = Vec::new();
        write(&mut out, "shop", event, Cursor::from_parts(LineageId([1; 16]), event.position), audience);
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_stream_shows_the_public_attributes() {
        let json = parsed(&event(ContentType::Json, b"{\"sku\":\n\"a\"}"), Audience::Stream);
        let expected = serde_json::json!({
            "specversion": "1.0", "id": "07070707-0707-0707-0707-070707070707.2", "source": "/shop", "type": "shop.cart.item-added",
            "subject": "c\"1", "time": "1970-01-01T00:00:00.000001Z", "datacontenttype": "application/json",
            "dataschema": "/v1/schemas/cart/item-added/2", "entitytype": "cart", "sequence": "3",
            "cursor": Cursor::from_parts(LineageId([1; 16]), 9).to_string(), "correlationid": "corr", "data": {"sku": "a"},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_history_shows_who_and_with_which_command() {
        let json = parsed(&event(ContentType::Cbor, b"foob"), Audience::History);
        assert_eq!((&json["principal"], &json["command"], &json["tags"][0]), (&"ann".into(), &"add-item".into(), &"sku:a".into()));
        assert_eq!((&json["datacontenttype"], &json["data_base64"]), (&"application/cbor".into(), &"Zm9vYg==".into()));
    }
}
