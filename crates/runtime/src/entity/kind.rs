//! An entity type as the runtime uses it: the component, and its names as the journal wants them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{EncodedEvent, EntityDescription, EntityHandle, LiveEntity, Refusal, StoredEvent, Unreadable};
use journal::{ContentType, EventData, EventFlags, Recorded, Tag};

use super::first::Newcomers;
use super::raise::Raised;
use crate::isolation::isolated;

/// A registered entity type.
pub(crate) struct Kind {
    hosted: EntityHandle,
    /// Names of commands and events, shared, so that a commit makes none anew.
    names: HashMap<&'static str, Arc<str>>,
    /// Older versions of its state.
    pub(super) raised: Raised,
    pub(super) newcomers: Newcomers,
}

impl Kind {
    pub(crate) fn new(hosted: EntityHandle) -> Self {
        let shapes = hosted.description().commands.iter().chain(&hosted.description().events);
        let names = shapes.map(|shape| (shape.name, shape.name.into())).collect();
        Self { hosted, names, raised: Raised::default(), newcomers: Newcomers::default() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.hosted.name()
    }

    pub(crate) fn description(&self) -> &EntityDescription {
        self.hosted.description()
    }

    /// Whether a command has the form that the component reads.
    pub(crate) fn check(&self, command: &str, body: &[u8]) -> Result<(), Refusal> {
        let broken = |message| Refusal::Broken { message };
        isolated(|| self.hosted.check(command, body)).unwrap_or_else(|panic| Err(broken(panic.during("reading the command"))))
    }

    /// A command's body with its personal values as marks, when it has any.
    pub(crate) fn marked(&self, command: &str, entity_id: &str, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let broken = |message| Refusal::Broken { message };
        let marked = isolated(|| self.hosted.marked(command, entity_id, body));
        marked.unwrap_or_else(|panic| Err(broken(panic.during("reading the command"))))
    }

    /// An event's payload in the version that a reader asks for.
    pub(crate) fn lowered(&self, event: &Recorded, version: u16) -> Result<Option<Bytes>, Unreadable> {
        let panicked = |message| Unreadable { message };
        let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
        let lowered = isolated(|| self.hosted.lowered(stored, version));
        lowered.unwrap_or_else(|panic| Err(panicked(panic.during("lowering the event")))).map(|payload| payload.map(Bytes::from))
    }

    /// The version of a command's shape.
    pub(crate) fn command_version(&self, command: &str) -> u16 {
        self.hosted.description().command_version(command)
    }

    /// The body of a command that has waited, as it would be sent today.
    pub(crate) fn raised_command(&self, command: &str, version: u16, body: Bytes) -> Result<Bytes, Refusal> {
        if version == self.command_version(command) {
            return Ok(body);
        }
        let unfit = |message| Refusal::Invalid { pointer: String::new(), message };
        let stored = StoredEvent { name: command, version, payload: &body };
        let raised = isolated(|| self.hosted.raised_command(stored)).map_err(|panic| unfit(panic.during("reading the command")))?;
        raised.map(Bytes::from).map_err(|unreadable| unfit(unreadable.message))
    }

    /// An event as it would be recorded of an entity today.
    pub(crate) fn bound(&self, entity_id: &str, event: StoredEvent<'_>) -> Result<EncodedEvent, Unreadable> {
        let panicked = |message| Unreadable { message };
        isolated(|| self.hosted.bound(entity_id, event)).unwrap_or_else(|panic| Err(panicked(panic.during("reading the event"))))
    }

    pub(crate) fn state_build(&self) -> &str {
        self.hosted.state_build()
    }

    pub(crate) fn fresh(&self) -> Result<Box<dyn LiveEntity>, Unreadable> {
        let panicked = |message| Unreadable { message };
        isolated(|| self.hosted.fresh()).map_err(|panic| panicked(panic.during(&format!("the default state of {}", self.name()))))
    }

    pub(crate) fn restore(&self, state: &[u8]) -> Option<Box<dyn LiveEntity>> {
        isolated(|| self.hosted.restore(state)).ok()?.ok()
    }

    /// A state from a baseline, whose shape may be one of another day.
    pub(crate) fn rebase(&self, build: &str, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        let panicked = |message| Unreadable { message };
        isolated(|| self.hosted.rebase(build, state)).unwrap_or_else(|panic| Err(panicked(panic.during("reading the baseline"))))
    }

    /// The shared name of a command or an event.
    pub(crate) fn shared_name(&self, name: &str) -> Arc<str> {
        self.names.get(name).cloned().unwrap_or_else(|| name.into())
    }

    /// Events as the journal takes them.
    pub(crate) fn recordable(&self, events: Vec<EncodedEvent>) -> Result<Vec<EventData>, Refusal> {
        events.into_iter().map(|event| self.event(event)).collect()
    }

    fn event(&self, event: EncodedEvent) -> Result<EventData, Refusal> {
        let tags: Result<Vec<_>, _> = event.tags.iter().map(|tag| Tag::new(tag)).collect();
        let broken = |problem| Refusal::Broken { message: format!("event {}/{}: {problem}", self.name(), event.name) };
        Ok(EventData {
            name: self.shared_name(event.name),
            version: event.version,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: tags.map_err(broken)?,
            payload: event.payload.into(),
        })
    }
}
