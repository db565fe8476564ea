//! What one step has gathered and not handed to the journal yet.

use std::collections::HashSet;

use component::hosted::EncodedEvent;
use journal::{CommandId, CommandRecord, ContentType, Context, EntityKey, EventData, EventFlags, Position, Recorded};

use super::record;
use crate::limits::{PROCESSOR_OUTPUT_BYTES_MAX, PROCESSOR_OUTPUT_EVENTS_MAX, PROCESSOR_STEP_BYTES, PROCESSOR_STEP_EVENTS};

/// What a fold is about: it is blamed when the fold fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// The event of this position.
    Event(Position),
    /// This key, which wanted to be woken then.
    Wake(EntityKey, i64),
}

/// See the module.
#[derive(Default)]
pub(super) struct Draft {
    /// The keys and sources whose record changes.
    pub(super) touched: HashSet<EntityKey>,
    pub(super) outputs: Vec<CommandRecord>,
    events: usize,
    bytes: usize,
    /// Inputs and wakes.
    pub(super) inputs: usize,
}

impl Draft {
    pub(super) fn touch(&mut self, key: &EntityKey) {
        self.touched.insert(key.clone());
    }

    /// Counts an input.
    pub(super) fn count(&mut self, bytes: usize) {
        self.inputs += 1;
        self.bytes += bytes;
    }

    /// What a key emits because of an event.
    pub(super) fn emit(&mut self, processor: &str, key: &EntityKey, event: &Recorded, emitted: Vec<EncodedEvent>) {
        // Most inputs lead to nothing, and an id costs more than many a fold.
        if emitted.is_empty() {
            return;
        }
        let id = output_id(processor, event);
        let context = Context { causation_id: Some(event.id.to_string().into()), ..(*event.context).clone() };
        self.push(key, id, context, emitted);
    }

    /// What a key emits because its time has come, in this step.
    pub(super) fn emit_woken(&mut self, processor: &str, key: &EntityKey, (due, step): (i64, u64), emitted: Vec<EncodedEvent>) {
        if emitted.is_empty() {
            return;
        }
        // The same time may come twice in a step, when it was asked for again.
        let count = self.outputs.len();
        let id = CommandId::from_raw(format!("{processor}\0wake {due} {step} {count}").as_bytes());
        self.push(key, id, Context::default(), emitted);
    }

    fn push(&mut self, key: &EntityKey, id: CommandId, context: Context, emitted: Vec<EncodedEvent>) {
        self.events += emitted.len();
        self.bytes += emitted.iter().map(|event| event.payload.len()).sum::<usize>();
        let events = emitted.into_iter().map(event_data).collect();
        self.outputs.push(record::record(key.clone(), id, context, events));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inputs == 0 && self.touched.is_empty()
    }

    /// Whether it is to be handed over before more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.events + self.touched.len() >= PROCESSOR_STEP_EVENTS || self.bytes >= PROCESSOR_STEP_BYTES
    }
}

/// What a processor emits because of an event has this id, whichever generation of it does.
pub(super) fn output_id(processor: &str, event: &Recorded) -> CommandId {
    CommandId::from_raw(format!("{processor}\0{}", event.id).as_bytes())
}

/// Whether one fold may emit that much.
pub(super) fn check_emitted(emitted: &[EncodedEvent]) -> Result<(), String> {
    if emitted.len() > PROCESSOR_OUTPUT_EVENTS_MAX {
        return Err(format!("it emits {} events at once; at most {PROCESSOR_OUTPUT_EVENTS_MAX} are allowed", emitted.len()));
    }
    let bytes: usize = emitted.iter().map(|event| event.payload.len()).sum();
    if bytes > PROCESSOR_OUTPUT_BYTES_MAX {
        return Err(format!("it emits {bytes} bytes at once; at most {PROCESSOR_OUTPUT_BYTES_MAX} are allowed"));
    }
    Ok(())
}

fn event_data(event: EncodedEvent) -> EventData {
    EventData {
        name: event.name.into(),
        version: event.version,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: event.payload.into(),
    }
}
