//! What is written, as rows of its tables.

use journal::{Context, EntityKey, Head, Tag};

use super::batch::{HeadRow, NewCommand, NewEvent, Numbered};
use super::look::Value;
use super::records::Record;
use crate::rows::{Uuid, signed};

/// Correlation, causation, trace and principal.
type Texts<'a> = [Option<&'a str>; 4];

fn texts(context: &Context) -> Texts<'_> {
    [&context.correlation_id, &context.causation_id, &context.traceparent, &context.principal].map(|text| text.as_deref())
}

/// A row of the table `event`.
pub(super) struct EventRow<'a> {
    position: i64,
    entity: i64,
    sequence: i64,
    slice: i16,
    /// Kind, tenant and id.
    key: [&'a str; 3],
    name: &'a str,
    version: i32,
    time: i64,
    commit: Uuid,
    index: i32,
    command: &'a [u8],
    command_name: &'a str,
    context: Texts<'a>,
    content: i16,
    flags: i32,
    tags: Option<Vec<&'a str>>,
    payload: &'a [u8],
}

impl<'a> EventRow<'a> {
    pub(super) fn of(new: &NewEvent<'a>) -> Self {
        let (command, event) = (new.command, new.event);
        Self {
            position: signed(new.position),
            entity: signed(new.entity),
            sequence: signed(new.sequence),
            // There are 1,024 slices.
            slice: command.entity.slice() as i16,
            key: key(&command.entity),
            name: &event.name,
            version: event.version.into(),
            time: new.time.as_micros(),
            commit: Uuid(new.commit.0),
            // A commit has at most a thousand events.
            index: new.index as i32,
            command: &command.id.0,
            command_name: &command.name,
            context: texts(&command.context),
            content: event.content.code().into(),
            flags: event.flags.0.into(),
            tags: (!event.tags.is_empty()).then(|| event.tags.iter().map(Tag::as_str).collect()),
            payload: &event.payload,
        }
    }
}

impl Record for EventRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let ([kind, tenant, id], [correlation, causation, trace, principal]) = (&self.key, &self.context);
        let columns: [Value<'_>; 22] = [
            &self.position,
            &self.entity,
            &self.sequence,
            &self.slice,
            kind,
            tenant,
            id,
            &self.name,
            &self.version,
            &self.time,
            &self.commit,
            &self.index,
            &self.command,
            &self.command_name,
            correlation,
            causation,
            trace,
            principal,
            &self.content,
            &self.flags,
            &self.tags,
            &self.payload,
        ];
        columns
    }
}

fn key(entity: &EntityKey) -> [&str; 3] {
    [entity.kind(), entity.tenant(), entity.id()]
}

/// A row of the table `tag`.
pub(super) struct TagRow<'a> {
    tag: &'a str,
    position: i64,
}

impl<'a> TagRow<'a> {
    /// Those of an event, each once.
    pub(super) fn of(new: &NewEvent<'a>) -> impl Iterator<Item = Self> + use<'a> {
        let mut own: Vec<&str> = new.event.tags.iter().map(Tag::as_str).collect();
        own.sort_unstable();
        own.dedup();
        let position = signed(new.position);
        own.into_iter().map(move |tag| Self { tag, position })
    }
}

impl Record for TagRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let columns: [Value<'_>; 2] = [&self.tag, &self.position];
        columns
    }
}

/// A row of the table `command`.
pub(super) struct CommandRow<'a> {
    entity: i64,
    command: &'a [u8],
    name: &'a str,
    fingerprint: Option<&'a [u8]>,
    reply: &'a [u8],
    sequence: i64,
    events: i32,
    commit: Uuid,
    position: i64,
    time: i64,
    context: Texts<'a>,
}

impl<'a> CommandRow<'a> {
    pub(super) fn of(new: &NewCommand<'a>) -> Self {
        let command = new.command;
        Self {
            entity: signed(new.entity),
            command: &command.id.0,
            name: &command.name,
            fingerprint: command.fingerprint.as_ref().map(|fingerprint| &fingerprint.0[..]),
            reply: &command.reply,
            sequence: signed(new.sequence),
            events: command.events.len() as i32,
            commit: Uuid(new.commit.0),
            position: signed(new.position),
            time: new.time.as_micros(),
            // The events have it already.
            context: if command.events.is_empty() { texts(&command.context) } else { [None; 4] },
        }
    }
}

impl Record for CommandRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let [correlation, causation, trace, principal] = &self.context;
        let columns: [Value<'_>; 14] = [
            &self.entity,
            &self.command,
            &self.name,
            &self.fingerprint,
            &self.reply,
            &self.sequence,
            &self.events,
            &self.commit,
            &self.position,
            &self.time,
            correlation,
            causation,
            trace,
            principal,
        ];
        columns
    }
}

/// A row of the table `entity`.
pub(super) struct EntityRow<'a> {
    number: i64,
    key: [&'a str; 3],
    sequence: i64,
    time: i64,
    position: i64,
    deleted: bool,
}

impl<'a> EntityRow<'a> {
    pub(super) fn of((entity, numbered): &'a (EntityKey, Numbered)) -> Self {
        let head = numbered.head.as_ref();
        Self {
            number: signed(numbered.number),
            key: key(entity),
            sequence: head.map_or(0, |head| signed(head.sequence)),
            time: head.map_or(0, |head| head.time.as_micros()),
            position: head.map_or(0, |head| signed(head.position)),
            deleted: head.is_some_and(|Head { deleted, .. }| *deleted),
        }
    }
}

impl Record for EntityRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let [kind, tenant, id] = &self.key;
        let columns: [Value<'_>; 8] = [&self.number, kind, tenant, id, &self.sequence, &self.time, &self.position, &self.deleted];
        columns
    }
}

/// The head row's columns.
pub(super) struct HeadValues {
    position: i64,
    entities: i64,
    latest: i64,
    marked: i64,
}

impl HeadValues {
    pub(super) fn of(head: &HeadRow) -> Self {
        Self {
            position: signed(head.position),
            entities: signed(head.entities),
            latest: head.latest.as_micros(),
            marked: signed(head.marked),
        }
    }

    pub(super) fn of_head(&self) -> [Value<'_>; 4] {
        [&self.position, &self.entities, &self.latest, &self.marked]
    }

    pub(super) fn of_mark(&self) -> [Value<'_>; 2] {
        [&self.position, &self.latest]
    }
}
