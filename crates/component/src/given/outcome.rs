//! What came of a command in a test, as text: the side that is compared with what the test expects.

use serde_json::Value as Json;

use super::difference::side_by_side;
use crate::host::recording::{encode_event, encode_reply, rejected};
use crate::hosted::{EncodedEvent, Refusal, Rejected, StoredEvent};
use crate::personal::mark::revealed;
use crate::tag::Tag;
use crate::value::Value;
use crate::variants::{Event, Rejection};

/// What came of a command, and what was asked.
pub(crate) struct Outcome {
    pub(crate) asked: String,
    pub(crate) result: Result<Recorded, Refusal>,
}

/// An accepted command.
pub(crate) struct Recorded {
    pub(crate) events: Vec<EncodedEvent>,
    pub(crate) reply: Vec<u8>,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn expect_events(&self, expected: &[EncodedEvent]) {
        self.expect(&events_text(expected), |recorded| events_text(&recorded.events));
    }

    #[track_caller]
    pub(crate) fn expect_rejection(&self, expected: &impl Rejection) {
        self.expect(&refusal_text(&rejected(expected)), |recorded| format!("accepted\n{}", events_text(&recorded.events)));
    }

    #[track_caller]
    pub(crate) fn expect_reply(&self, expected: &impl Value) {
        let expected = encode_reply(expected).unwrap_or_else(|refusal| panic!("{}", refusal_text(&refusal)));
        self.expect(&format!("reply {}", pretty(&expected)), |recorded| format!("reply {}", pretty(&recorded.reply)));
    }

    #[track_caller]
    pub(crate) fn expect_tags(&self, expected: impl IntoIterator<Item = Tag>) {
        let expected: Vec<String> = expected.into_iter().map(|tag| tag.as_str().to_owned()).collect();
        self.expect(&tags_text(&expected), |recorded| {
            let tags: Vec<String> = recorded.events.iter().flat_map(|event| event.tags.clone()).collect();
            tags_text(&tags)
        });
    }

    #[track_caller]
    fn expect(&self, expected: &str, accepted: impl Fn(&Recorded) -> String) {
        let actual = self.result.as_ref().map_or_else(refusal_text, accepted);
        assert!(expected == actual, "{}\n\n{}", self.asked, side_by_side(expected, &actual));
    }
}

/// Events of a test as they would be stored.
#[track_caller]
pub(crate) fn encode_all<E: Event>(kind: &str, events: Vec<E>) -> Vec<EncodedEvent> {
    events.iter().map(|event| encode_event(kind, event).unwrap_or_else(|message| panic!("{message}"))).collect()
}

/// An encoded event as it comes back.
pub(crate) fn stored(event: &EncodedEvent) -> StoredEvent<'_> {
    StoredEvent { name: event.name, version: event.version, payload: &event.payload }
}

/// `cart: add-item {"sku":"mug"}`.
pub(crate) fn asked(who: &str, what: &str, body: &[u8]) -> String {
    format!("when {who}: {what} {}", String::from_utf8_lossy(body))
}

fn events_text(events: &[EncodedEvent]) -> String {
    if events.is_empty() {
        return "no events".to_owned();
    }
    let texts = events.iter().map(|event| format!("{} version {}\n{}", event.name, event.version, pretty(&event.payload)));
    texts.collect::<Vec<_>>().join("\n")
}

fn tags_text(tags: &[String]) -> String {
    if tags.is_empty() { "no tags".to_owned() } else { tags.join("\n") }
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Rejected(Rejected { code, message, data }) => {
            format!("rejected {code}: {message}\n{}", pretty(data.to_string().as_bytes()))
        }
        Refusal::UnknownCommand { known } => format!("unknown command; there are {}", known.join(", ")),
        Refusal::Syntax { message } => format!("not JSON: {message}"),
        Refusal::Invalid { pointer, message } => format!("invalid at `{pointer}`: {message}"),
        Refusal::Broken { message } => format!("broken: {message}"),
    }
}

fn pretty(json: &[u8]) -> String {
    match serde_json::from_slice::<Json>(&revealed(json)) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(json).into_owned(),
    }
}
