//! A processor behind the erased contract.

use std::any::Any;
use std::sync::Arc;

use super::recording::{decode_state, encode_event, encode_state, has_personal, personal_events, state_build};
use super::topic::message;
use crate::action::Recorded;
use crate::hosted::{
    DeliveredEvent, EncodedEvent, EntityDescription, EntityHandle, Folded, HostedEntity, HostedProcessor, LiveEntity, LiveKey,
    ProcessorDescription, ProcessorHandle, ProcessorInput, ProcessorMoment, Refusal, StoredEvent, TOPIC_TYPE, Unreadable,
};
use crate::limits::is_name;
use crate::personal::Binding;
use crate::processor::{ErasedSource, EventClock, EventsOf, Folding, Inputs, Processor, ProcessorContext, Route, TopicOf};
use crate::value::{Definitions, Value, schema_of};
use crate::variants::{Event, State as _, Variants as _, decode_event, decode_lowered};

/// A processor, ready for a service.
#[must_use]
pub fn hosted_processor<P: Processor>(processor: P) -> ProcessorHandle {
    const { assert!(is_name(P::NAME), "the name of a processor must match [a-z][a-z0-9-]{{0,63}}") };
    let sources = P::inputs(Inputs::new()).sources;
    let description = ProcessorDescription {
        name: P::NAME,
        sources: sources.iter().map(|source| source.reads()).collect(),
        personal: sources.iter().map(|source| (source.reads().0, source.personal())).collect(),
        build: state_build::<P::State>(P::State::VERSION),
        clock: processor.clock(),
        start: processor.start(),
        is_personal: has_personal(&schema_of::<P::State>()),
    };
    Arc::new(ProcessorType { description, processor: Arc::new(processor), sources, output: Arc::new(Output::new::<P>()) })
}

struct ProcessorType<P: Processor> {
    description: ProcessorDescription,
    processor: Arc<P>,
    sources: Vec<Box<dyn ErasedSource<P>>>,
    output: Arc<Output>,
}

impl<P: Processor> HostedProcessor for ProcessorType<P> {
    fn description(&self) -> &ProcessorDescription {
        &self.description
    }

    fn output(&self) -> EntityHandle {
        Arc::clone(&self.output) as EntityHandle
    }

    fn read(&self, entity: &str, event: DeliveredEvent) -> Result<ProcessorInput, String> {
        let reads = |(kind, names): &(&str, Vec<&str>)| *kind == entity && names.contains(&&*event.name);
        let Some(at) = self.description.sources.iter().position(reads) else {
            return Err(format!("{} does not read {entity}/{}", P::NAME, event.name));
        };
        let recorded_micros = event.time_micros;
        let (Route { key, time_micros }, folding) = self.sources[at].read(event)?;
        let time_micros = match (self.description.clock, time_micros) {
            _ if key.is_none() => recorded_micros,
            (EventClock::Recorded, None) => recorded_micros,
            (EventClock::Own, Some(time)) => time,
            (EventClock::Own, None) => {
                return Err("its route gives no time, and the processor's clock is `EventClock::Own`; say `.at(time)`".into());
            }
            (EventClock::Recorded, Some(_)) => {
                return Err("its route gives a time, and the processor's clock is the recorded time; say `EventClock::Own`".into());
            }
        };
        Ok(ProcessorInput { key, time_micros, folding: Box::new(folding) })
    }

    fn fresh(&self) -> Box<dyn LiveKey> {
        Box::new(Live { processor: Arc::clone(&self.processor), state: P::State::default() })
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveKey>, Unreadable> {
        let unreadable = |message: String| Unreadable { message: format!("processor {}: {message}", P::NAME) };
        let state = decode_state::<P::State>(state).map_err(unreadable)?;
        Ok(Box::new(Live { processor: Arc::clone(&self.processor), state }))
    }
}

struct Live<P: Processor> {
    processor: Arc<P>,
    state: P::State,
}

impl<P: Processor> LiveKey for Live<P> {
    fn fold(&mut self, key: &str, input: ProcessorInput, moment: ProcessorMoment) -> Result<Folded, String> {
        let folding = input.folding.downcast::<Folding<P>>().map_err(|_| "the input is another processor's".to_owned())?;
        let mut ctx = ProcessorContext::new(key, moment.time_micros, moment.now_micros);
        folding(&self.processor, &mut self.state, &mut ctx);
        folded::<P>(key, ctx)
    }

    fn wake(&mut self, key: &str, moment: ProcessorMoment) -> Result<Folded, String> {
        let mut ctx = ProcessorContext::new(key, moment.time_micros, moment.now_micros);
        self.processor.wake(&mut self.state, &mut ctx);
        folded::<P>(key, ctx)
    }

    fn state(&self) -> Result<Vec<u8>, String> {
        encode_state(&self.state)
    }
}

fn folded<P: Processor>(key: &str, ctx: ProcessorContext<P::Event>) -> Result<Folded, String> {
    let ProcessorContext { mut emitted, wakes, .. } = ctx;
    // A processor is nobody: what it emits is of those that its inputs were of, or of whom a field names.
    let binding = Binding::of_nobody(key, None);
    emitted.iter_mut().for_each(|event| P::Event::bind(event, &binding));
    let events = emitted.iter().map(|event| encode_event(P::NAME, event)).collect::<Result<_, _>>()?;
    Ok(Folded { events, wakes })
}

impl<P: Processor, E: Event + Send> ErasedSource<P> for EventsOf<P, E> {
    fn reads(&self) -> (&'static str, Vec<&'static str>) {
        (self.entity, E::NAMES.to_vec())
    }

    fn personal(&self) -> Vec<&'static str> {
        personal_events::<E>()
    }

    fn read(&self, event: DeliveredEvent) -> Result<(Route, Folding<P>), String> {
        let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
        let decoded: E = decode_event(stored).map_err(|unreadable| format!("{}: {}", self.entity, unreadable.message))?;
        let DeliveredEvent { id, entity_id, tenant, sequence, time_micros, correlation_id, .. } = event;
        let recorded = Recorded { event: decoded, id, entity_id, tenant, sequence, time_micros, correlation_id };
        let (route, fold) = ((self.route)(&recorded), Arc::clone(&self.fold));
        Ok((route, Box::new(move |processor, state, ctx| fold(processor, state, recorded, ctx))))
    }
}

impl<P: Processor, T: Value + Send> ErasedSource<P> for TopicOf<P, T> {
    fn reads(&self) -> (&'static str, Vec<&'static str>) {
        (TOPIC_TYPE, vec![self.topic])
    }

    fn personal(&self) -> Vec<&'static str> {
        if has_personal(&schema_of::<T>()) { vec![self.topic] } else { Vec::new() }
    }

    fn read(&self, event: DeliveredEvent) -> Result<(Route, Folding<P>), String> {
        let message = message::<T>(event).map_err(|problem| format!("topic {}: {problem}", self.topic))?;
        let (route, fold) = ((self.route)(&message), Arc::clone(&self.fold));
        Ok((route, Box::new(move |processor, state, ctx| fold(processor, state, message, ctx))))
    }
}

/// How an event comes in the version that a reader asks for.
type Lower = fn(StoredEvent<'_>, u16) -> Result<Option<Vec<u8>>, Unreadable>;

/// The entity type of what a processor emits, as everybody else sees it: events, and no commands.
struct Output {
    description: EntityDescription,
    raise: fn(Option<&str>, StoredEvent<'_>) -> Result<EncodedEvent, Unreadable>,
    lower: Lower,
}

impl Output {
    fn new<P: Processor>() -> Self {
        let description = EntityDescription {
            name: P::NAME,
            commands: Vec::new(),
            events: P::Event::shapes(Definitions::default),
            rejections: Vec::new(),
            reply: schema_of::<()>(),
            state: schema_of::<Emitted>(),
            ..EntityDescription::default()
        };
        Self { description, raise: raise::<P>, lower: lower::<P> }
    }
}

fn raise<P: Processor>(key: Option<&str>, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
    let message = |message: String| Unreadable { message: format!("{}: {message}", P::NAME) };
    let mut event: P::Event = decode_event(event).map_err(|error| message(error.message))?;
    if let Some(key) = key {
        P::Event::bind(&mut event, &Binding::of_nobody(key, None));
    }
    encode_event(P::NAME, &event).map_err(message)
}

fn lower<P: Processor>(event: StoredEvent<'_>, version: u16) -> Result<Option<Vec<u8>>, Unreadable> {
    let named = |error: Unreadable| Unreadable { message: format!("{}: {}", P::NAME, error.message) };
    decode_lowered::<P::Event>(event, version).map_err(named)
}

impl HostedEntity for Output {
    fn name(&self) -> &'static str {
        self.description.name
    }

    fn check(&self, _: &str, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn fresh(&self) -> Box<dyn LiveEntity> {
        Box::new(Emitted::default())
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        Ok(Box::new(decode_state::<Emitted>(state).map_err(|message| Unreadable { message })?))
    }

    fn state_build(&self) -> &'static str {
        "emitted-1"
    }

    fn raised(&self, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        (self.raise)(None, event)
    }

    fn lowered(&self, event: StoredEvent<'_>, version: u16) -> Result<Option<Vec<u8>>, Unreadable> {
        (self.lower)(event, version)
    }

    fn bound(&self, entity_id: &str, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        (self.raise)(Some(entity_id), event)
    }

    fn description(&self) -> &EntityDescription {
        &self.description
    }
}

/// What a processor has emitted for a key; what it remembers of the key is its own.
#[derive(Clone, Debug, Default, macros::Value)]
struct Emitted {
    /// How many events.
    emitted: u64,
    /// The name of the last one.
    last: Option<String>,
}

impl LiveEntity for Emitted {
    fn decide(&mut self, _: &str, _: &[u8], _: &crate::hosted::CommandContext) -> Result<crate::hosted::Accepted, Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn evolve(&mut self, event: StoredEvent<'_>) -> Result<(), Unreadable> {
        self.emitted += 1;
        self.last = Some(event.name.to_owned());
        Ok(())
    }

    fn state(&self) -> Result<Vec<u8>, Unreadable> {
        encode_state(self).map_err(|message| Unreadable { message })
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
