//! Tests of processors: inputs go in, events come out, and time passes when the test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::TEST_TIME_MICROS;
use super::difference::side_by_side;
use super::outcome::encode_all;
use crate::host::hosted_processor;
use crate::hosted::{DeliveredEvent, EncodedEvent, Folded, LiveKey, ProcessorHandle, ProcessorMoment, TOPIC_TYPE};
use crate::personal::mark::revealed;
use crate::processor::{EventClock, Processor};
use crate::value::{Value, decode, encode};
use crate::variants::Event;

/// A processor in a test. It is the first moment of 2026, and stays so until [`pass`](GivenProcessor::pass); a processor whose clock
/// is [`EventClock::Own`] lives in the times of its inputs.
///
/// See [`Processor`] for an example.
#[must_use = "give it an input: `.event(entity, id, event)` or `.message(topic, data)`"]
pub fn given_processor<P: Processor>(processor: P) -> GivenProcessor<P> {
    GivenProcessor {
        processor: hosted_processor(processor),
        keys: BTreeMap::new(),
        wakes: BTreeSet::new(),
        recorded_micros: TEST_TIME_MICROS,
        now_micros: i64::MIN,
        inputs: 0,
        emitted: Vec::new(),
        said: String::new(),
        events: std::marker::PhantomData,
    }
}

/// See [`given_processor`].
pub struct GivenProcessor<P: Processor> {
    processor: ProcessorHandle,
    keys: BTreeMap<String, Box<dyn LiveKey>>,
    /// What keys want to be woken for.
    wakes: BTreeSet<(i64, String)>,
    recorded_micros: i64,
    now_micros: i64,
    inputs: u64,
    /// Since it was last asked.
    emitted: Vec<(String, EncodedEvent)>,
    said: String,
    events: std::marker::PhantomData<fn() -> P>,
}

impl<P: Processor> GivenProcessor<P> {
    /// An event of an entity happens.
    ///
    /// # Panics
    /// When the processor does not read it, or panics over it.
    #[track_caller]
    #[must_use = "say what comes of it: `.emits(..)` or `.emits_nothing()`"]
    pub fn event<E: Event>(self, entity: &str, id: &str, event: E) -> Self {
        let encoded = encode_all(entity, vec![event]).remove(0);
        self.input(entity, id, encoded.name, encoded.version, encoded.payload)
    }

    /// A message with this data comes to a topic.
    ///
    /// # Panics
    /// When the processor does not read it, or panics over it.
    #[track_caller]
    #[must_use = "say what comes of it: `.emits(..)` or `.emits_nothing()`"]
    pub fn message<T: Value>(self, topic: &str, data: T) -> Self {
        let data = encode(&data).unwrap_or_else(|error| panic!("the message does not encode: {error}"));
        let data: Json = serde_json::from_slice(&data).expect("what was encoded is JSON");
        let id = format!("m{}", self.inputs + 1);
        let event = json!({ "specversion": "1.0", "id": id, "source": "/test", "type": topic, "data": data });
        self.input(TOPIC_TYPE, topic, topic, 1, event.to_string().into_bytes())
    }

    #[track_caller]
    fn input(mut self, entity: &str, id: &str, name: &str, version: u16, payload: Vec<u8>) -> Self {
        self.inputs += 1;
        self.said = format!("when {entity}/{id}: {name} {}", String::from_utf8_lossy(&payload));
        let event = DeliveredEvent {
            name: name.to_owned(),
            version,
            payload: payload.into(),
            id: format!("00000000-0000-7000-8000-{:012}.0", self.inputs),
            entity_id: id.to_owned(),
            tenant: String::new(),
            sequence: self.inputs,
            time_micros: self.recorded_micros,
            correlation_id: None,
        };
        let input = self.processor.read(entity, event).unwrap_or_else(|problem| panic!("{}\n\n{problem}", self.said));
        self.reach(input.time_micros);
        let Some(key) = input.key.clone() else { return self };
        let moment = ProcessorMoment { time_micros: input.time_micros, now_micros: self.now_micros };
        self.on(&key, |live, key| live.fold(key, input, moment));
        self
    }

    /// So much time passes without an input.
    ///
    /// # Panics
    /// When the processor's clock is [`EventClock::Own`], which goes on with inputs only; or when it panics.
    #[track_caller]
    #[must_use = "say what comes of it: `.emits(..)` or `.emits_nothing()`"]
    pub fn pass(mut self, time: Duration) -> Self {
        let is_recorded = self.processor.description().clock == EventClock::Recorded;
        assert!(is_recorded, "the clock of {} goes on with its inputs: give it a later one", P::NAME);
        self.recorded_micros += i64::try_from(time.as_micros()).expect("a time that a test can wait for");
        self.said = format!("when {time:?} have passed");
        self.reach(self.recorded_micros);
        self
    }

    /// The processor's time comes as far as that; who asked for a time before it is woken.
    #[track_caller]
    fn reach(&mut self, moment: i64) {
        self.now_micros = self.now_micros.max(moment);
        while let Some((due, _)) = self.wakes.first()
            && *due <= self.now_micros
            && let Some((due, key)) = self.wakes.pop_first()
        {
            let moment = ProcessorMoment { time_micros: due, now_micros: self.now_micros };
            self.on(&key, |live, key| live.wake(key, moment));
        }
    }

    /// Each state goes through its JSON, as it does in a service.
    #[track_caller]
    fn on(&mut self, key: &str, fold: impl FnOnce(&mut dyn LiveKey, &str) -> Result<Folded, String>) {
        let mut live = self.keys.remove(key).unwrap_or_else(|| self.processor.fresh());
        let Folded { events, wakes } = fold(&mut *live, key).unwrap_or_else(|problem| panic!("{}\n\n{problem}", self.said));
        let state = live.state().unwrap_or_else(|problem| panic!("{}\n\n{problem}", self.said));
        let live = self.processor.restore(&state).unwrap_or_else(|problem| panic!("{}\n\n{problem}", self.said));
        self.keys.insert(key.to_owned(), live);
        self.wakes.extend(wakes.into_iter().map(|due| (due, key.to_owned())));
        self.emitted.extend(events.into_iter().map(|event| (key.to_owned(), event)));
    }

    /// It has emitted these since it was last asked, each for its key, in this order, and no others.
    ///
    /// # Panics
    /// When it emitted others.
    #[track_caller]
    pub fn emits<'a>(mut self, expected: impl IntoIterator<Item = (&'a str, P::Event)>) -> Self {
        let expected = expected.into_iter().map(|(key, event)| (key.to_owned(), encode_all(P::NAME, vec![event]).remove(0)));
        let (expected, actual) = (text(P::NAME, &expected.collect::<Vec<_>>()), text(P::NAME, &std::mem::take(&mut self.emitted)));
        assert!(expected == actual, "{}\n\n{}", self.said, side_by_side(&expected, &actual));
        self
    }

    /// It has emitted nothing since it was last asked.
    ///
    /// # Panics
    /// When it emitted something.
    #[track_caller]
    pub fn emits_nothing(self) -> Self {
        self.emits([])
    }

    /// Looks at what it remembers of a key; the default when it knows nothing of it.
    ///
    /// # Panics
    /// When `check` does.
    #[track_caller]
    pub fn state(self, key: &str, check: impl FnOnce(&P::State)) -> Self {
        let state = self.keys.get(key).map(|live| live.state().and_then(|json| decode(&json).map_err(|error| error.to_string())));
        check(&state.unwrap_or_else(|| Ok(P::State::default())).unwrap_or_else(|problem| panic!("{problem}")));
        self
    }
}

fn text(kind: &str, emitted: &[(String, EncodedEvent)]) -> String {
    let one = |(key, event): &(String, EncodedEvent)| {
        let payload: Json = serde_json::from_slice(&revealed(&event.payload)).unwrap_or_default();
        format!("{kind}/{key} {} version {}\n{payload:#}", event.name, event.version)
    };
    if emitted.is_empty() { "emits nothing".to_owned() } else { emitted.iter().map(one).collect::<Vec<_>>().join("\n") }
}
