//! Rows as columns: what `unnest` takes, one array a column.

use journal::{Context, Head, Tag};

use super::batch::{Decided, HeadRow, NewCommand, NewEvent, Numbered};
use super::look::Value;
use crate::rows::{Uuid, signed};

type Text<'a> = Option<&'a str>;

/// The four texts of a context.
#[derive(Default)]
struct Contexts<'a>([Vec<Text<'a>>; 4]);

impl<'a> Contexts<'a> {
    fn push(&mut self, context: Option<&'a Context>) {
        let texts = context.map(|context| [&context.correlation_id, &context.causation_id, &context.traceparent, &context.principal]);
        for (column, at) in self.0.iter_mut().zip(0..) {
            column.push(texts.and_then(|texts| texts[at].as_deref()));
        }
    }
}

/// The table `event`.
#[derive(Default)]
pub(super) struct Events<'a> {
    position: Vec<i64>,
    entity: Vec<i64>,
    sequence: Vec<i64>,
    slice: Vec<i16>,
    kind: Vec<&'a str>,
    tenant: Vec<&'a str>,
    id: Vec<&'a str>,
    name: Vec<&'a str>,
    version: Vec<i32>,
    time: Vec<i64>,
    commit: Vec<Uuid>,
    index: Vec<i32>,
    command: Vec<&'a [u8]>,
    command_name: Vec<&'a str>,
    contexts: Contexts<'a>,
    content: Vec<i16>,
    flags: Vec<i32>,
    /// With a line break between: no tag has one.
    tags: Vec<Option<String>>,
    payload: Vec<&'a [u8]>,
}

impl<'a> Events<'a> {
    pub(super) fn of(decided: &Decided<'a>) -> Self {
        let mut columns = Self::default();
        decided.events.iter().for_each(|new| columns.push(new));
        columns
    }

    fn push(&mut self, new: &NewEvent<'a>) {
        let (command, event) = (new.command, new.event);
        self.position.push(signed(new.position));
        self.entity.push(signed(new.entity));
        self.sequence.push(signed(new.sequence));
        // There are 1,024 slices.
        self.slice.push(command.entity.slice() as i16);
        self.kind.push(command.entity.kind());
        self.tenant.push(command.entity.tenant());
        self.id.push(command.entity.id());
        self.name.push(&event.name);
        self.version.push(event.version.into());
        self.time.push(new.time.as_micros());
        self.commit.push(Uuid(new.commit.0));
        // A commit has at most a thousand events.
        self.index.push(new.index as i32);
        self.command.push(&command.id.0);
        self.command_name.push(&command.name);
        self.contexts.push(Some(&command.context));
        self.content.push(event.content.code().into());
        self.flags.push(event.flags.0.into());
        let joined = || event.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join("\n");
        self.tags.push((!event.tags.is_empty()).then(joined));
        self.payload.push(&event.payload);
    }

    pub(super) fn values(&self) -> [Value<'_>; 22] {
        let [correlation, causation, trace, principal] = &self.contexts.0;
        [
            &self.position,
            &self.entity,
            &self.sequence,
            &self.slice,
            &self.kind,
            &self.tenant,
            &self.id,
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
        ]
    }
}

/// The table `tag`.
pub(super) struct Tags<'a> {
    tag: Vec<&'a str>,
    position: Vec<i64>,
}

impl<'a> Tags<'a> {
    pub(super) fn of(decided: &Decided<'a>) -> Self {
        let (mut tag, mut position) = (Vec::new(), Vec::new());
        for new in &decided.events {
            let mut own: Vec<&str> = new.event.tags.iter().map(Tag::as_str).collect();
            own.sort_unstable();
            own.dedup();
            position.extend(own.iter().map(|_| signed(new.position)));
            tag.extend(own);
        }
        Self { tag, position }
    }

    pub(super) fn are_none(&self) -> bool {
        self.tag.is_empty()
    }

    pub(super) fn values(&self) -> [Value<'_>; 2] {
        [&self.tag, &self.position]
    }
}

/// The table `command`.
#[derive(Default)]
pub(super) struct Commands<'a> {
    entity: Vec<i64>,
    command: Vec<&'a [u8]>,
    name: Vec<&'a str>,
    fingerprint: Vec<Option<&'a [u8]>>,
    reply: Vec<&'a [u8]>,
    sequence: Vec<i64>,
    events: Vec<i32>,
    commit: Vec<Uuid>,
    position: Vec<i64>,
    time: Vec<i64>,
    contexts: Contexts<'a>,
}

impl<'a> Commands<'a> {
    pub(super) fn of(decided: &Decided<'a>) -> Self {
        let mut columns = Self::default();
        decided.commands.iter().for_each(|new| columns.push(new));
        columns
    }

    fn push(&mut self, new: &NewCommand<'a>) {
        let command = new.command;
        self.entity.push(signed(new.entity));
        self.command.push(&command.id.0);
        self.name.push(&command.name);
        self.fingerprint.push(command.fingerprint.as_ref().map(|fingerprint| &fingerprint.0[..]));
        self.reply.push(&command.reply);
        self.sequence.push(signed(new.sequence));
        self.events.push(command.events.len() as i32);
        self.commit.push(Uuid(new.commit.0));
        self.position.push(signed(new.position));
        self.time.push(new.time.as_micros());
        // The events have it already.
        self.contexts.push(command.events.is_empty().then_some(&command.context));
    }

    pub(super) fn values(&self) -> [Value<'_>; 14] {
        let [correlation, causation, trace, principal] = &self.contexts.0;
        [
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
        ]
    }
}

/// What moves in the table `entity`.
#[derive(Default)]
pub(super) struct Entities {
    number: Vec<i64>,
    sequence: Vec<i64>,
    time: Vec<i64>,
    position: Vec<i64>,
    deleted: Vec<bool>,
}

impl Entities {
    pub(super) fn of<'n>(entities: impl IntoIterator<Item = &'n Numbered>) -> Self {
        let mut columns = Self::default();
        entities.into_iter().for_each(|numbered| columns.push(numbered));
        columns
    }

    fn push(&mut self, numbered: &Numbered) {
        let head = numbered.head.as_ref();
        self.number.push(signed(numbered.number));
        self.sequence.push(head.map_or(0, |head| signed(head.sequence)));
        self.time.push(head.map_or(0, |head| head.time.as_micros()));
        self.position.push(head.map_or(0, |head| signed(head.position)));
        self.deleted.push(head.is_some_and(|Head { deleted, .. }| *deleted));
    }

    pub(super) fn values(&self) -> [Value<'_>; 5] {
        [&self.number, &self.sequence, &self.time, &self.position, &self.deleted]
    }
}

/// New rows of the table `entity`.
pub(super) struct Fresh<'d> {
    entities: Entities,
    kind: Vec<&'d str>,
    tenant: Vec<&'d str>,
    id: Vec<&'d str>,
}

impl<'d> Fresh<'d> {
    pub(super) fn of(decided: &'d Decided<'_>) -> Self {
        let keys = || decided.fresh.iter().map(|(key, _)| key);
        Self {
            entities: Entities::of(decided.fresh.iter().map(|(_, numbered)| numbered)),
            kind: keys().map(journal::EntityKey::kind).collect(),
            tenant: keys().map(journal::EntityKey::tenant).collect(),
            id: keys().map(journal::EntityKey::id).collect(),
        }
    }

    pub(super) fn values(&self) -> [Value<'_>; 8] {
        let [number, sequence, time, position, deleted] = self.entities.values();
        [number, &self.kind, &self.tenant, &self.id, sequence, time, position, deleted]
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
