//! What processors emit, and what they remember.

use component::hosted::StoredEvent;
use component::{Processor, decode, decode_payload, hosted_processor};
use journal::{EntityKey, Selection};

use super::Testkit;

impl Testkit {
    /// Everything that a processor has emitted for a key, in its present shape.
    ///
    /// # Panics
    /// When an event cannot be read.
    #[must_use]
    #[track_caller]
    pub fn emitted<P: Processor>(&self, processor: P, key: &str) -> Vec<P::Event> {
        let output = hosted_processor(processor).output();
        let entity = EntityKey::new(P::NAME, key).unwrap_or_else(|error| panic!("`{key}` is no key of {}: {error}", P::NAME));
        let recorded = self.simulation().recorded(Selection::Entity { entity, from_sequence: 1 });
        let read = |event: &journal::Recorded| {
            let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
            let raised = output.raised(stored).map_err(|error| error.message)?;
            decode_payload(raised.name, &raised.payload).map_err(|error| error.to_string())
        };
        recorded.iter().map(|event| read(event).unwrap_or_else(|words| panic!("{}/{key}: {words}", P::NAME))).collect()
    }

    /// What a processor remembers of a key, as it is durable; the default when it knows nothing of it.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn remembered<P: Processor>(&self, key: &str) -> P::State {
        let key = EntityKey::new(P::NAME, key).unwrap_or_else(|error| panic!("`{key}` is no key of {}: {error}", P::NAME));
        let sight = self.simulation().ask(move |runtime| {
            let key = key.clone();
            Box::pin(async move { runtime.processor_key(P::NAME, &key).await })
        });
        let sight = sight.unwrap_or_else(|error| panic!("{}: {error}", P::NAME));
        let Some(state) = sight.state else { return P::State::default() };
        decode(state.to_string().as_bytes()).unwrap_or_else(|error| panic!("what {} remembers does not decode: {error}", P::NAME))
    }
}
