//! Encoding of what a component recorded, and of its state; what fails here is the component's mistake. Personal values are marks in all of
//! it: it is for the runtime, which knows what to do with them.

use serde_json::Value as Json;

use crate::depth;
use crate::hosted::{EncodedEvent, Refusal, Rejected};
use crate::limits::PAYLOAD_DEPTH_MAX;
use crate::personal::mark::{SCHEMA, marking};
use crate::value::{Definitions, Value, decode, encode};
use crate::variants::{Event, Rejection, encode_payload};

/// An event without its tags.
pub(crate) fn encode_event<E: Event>(kind: &str, event: &E) -> Result<EncodedEvent, String> {
    let payload = marking(|| encode_payload(event)).map_err(|error| format!("event {kind}/{} does not encode: {error}", event.name()))?;
    if depth::exceeds(&payload, PAYLOAD_DEPTH_MAX) {
        return Err(format!("event {kind}/{} nests deeper than {PAYLOAD_DEPTH_MAX} levels", event.name()));
    }
    Ok(EncodedEvent { name: event.name(), version: event.version(), tags: Vec::new(), payload })
}

pub(crate) fn encode_state<T: Value>(state: &T) -> Result<Vec<u8>, String> {
    let json = marking(|| encode(state)).map_err(|error| format!("the state does not encode: {error}"))?;
    if depth::exceeds(&json, PAYLOAD_DEPTH_MAX) {
        return Err(format!("the state nests deeper than {PAYLOAD_DEPTH_MAX} levels"));
    }
    Ok(json)
}

pub(crate) fn decode_state<T: Value>(json: &[u8]) -> Result<T, String> {
    decode(json).map_err(|error| format!("the state does not decode: {error}"))
}

pub(crate) fn encode_reply<T: Value>(reply: &T) -> Result<Vec<u8>, Refusal> {
    marking(|| encode(reply)).map_err(|error| broken(format!("the reply does not encode: {error}")))
}

pub(crate) fn rejected(rejection: &impl Rejection) -> Refusal {
    let data = marking(|| encode_payload(rejection)).and_then(|json| serde_json::from_slice::<Json>(&json));
    match data {
        Ok(data) => Refusal::Rejected(Rejected { code: rejection.name().into(), message: rejection.message(), data }),
        Err(error) => broken(format!("rejection {} does not encode: {error}", rejection.name())),
    }
}

pub(crate) fn broken(message: impl Into<String>) -> Refusal {
    Refusal::Broken { message: message.into() }
}

/// Whether a schema has a personal value in it.
pub(crate) fn has_personal(schema: &Json) -> bool {
    match schema {
        Json::Object(members) => members.get(SCHEMA) == Some(&Json::Bool(true)) || members.values().any(has_personal),
        Json::Array(items) => items.iter().any(has_personal),
        _ => false,
    }
}

/// The names of the events that have personal values.
pub(crate) fn personal_events<E: Event>() -> Vec<&'static str> {
    let shapes = E::shapes(Definitions::default);
    shapes.into_iter().filter(|shape| has_personal(&shape.schema)).map(|shape| shape.name).collect()
}

/// The shape of a state as a short text: its version, and a hash of its schema without descriptions.
pub(crate) fn state_build<T: Value>(version: u16) -> String {
    let schema = Definitions::plain().document(T::schema);
    format!("v{version}-{:016x}", fnv1a(schema.to_string().as_bytes()))
}

/// FNV-1a, 64 bits: stable for ever, and a collision costs no more than a snapshot that does not decode.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
