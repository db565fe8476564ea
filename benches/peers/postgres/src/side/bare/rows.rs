//! What is written, as rows of the engine's tables.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use journal::{CommandRecord, EntityKey, EventData};
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use super::look::Value;
use super::records::Record;

/// No causation, trace and principal; what its events have, a command has not.
const NO_TEXT: Option<&str> = None;
/// No tags.
const NO_TEXTS: Option<Vec<&str>> = None;

/// The rows of a transaction.
pub(super) struct Written<'a> {
    pub(super) events: Vec<EventRow<'a>>,
    pub(super) commands: Vec<CommandRow<'a>>,
    pub(super) fresh: Vec<EntityRow<'a>>,
    pub(super) moved: Vec<EntityRow<'a>>,
    /// Whether it ends with a mark of time.
    pub(super) marks: bool,
    pub(super) head: HeadRow,
}

/// Where a command is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// That of its entity.
    pub(super) number: i64,
    pub(super) sequence: i64,
    pub(super) position: i64,
    pub(super) time: i64,
    pub(super) commit: Uuid,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Uuid(pub(super) [u8; 16]);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

fn key(entity: &EntityKey) -> [&str; 3] {
    [entity.kind(), entity.tenant(), entity.id()]
}

/// A row of the table `event`: a command has one.
pub(super) struct EventRow<'a> {
    place: Place,
    slice: i16,
    key: [&'a str; 3],
    name: &'a str,
    version: i32,
    command: &'a [u8],
    command_name: &'a str,
    correlation: Option<&'a str>,
    content: i16,
    flags: i32,
    payload: &'a [u8],
}

impl<'a> EventRow<'a> {
    pub(super) fn of(record: &'a CommandRecord, place: Place) -> Self {
        let event: &EventData = &record.events[0];
        Self {
            place,
            slice: record.entity.slice() as i16,
            key: key(&record.entity),
            name: &event.name,
            version: event.version.into(),
            command: &record.id.0,
            command_name: &record.name,
            correlation: record.context.correlation_id.as_deref(),
            content: event.content.code().into(),
            flags: event.flags.0.into(),
            payload: &event.payload,
        }
    }
}

impl Record for EventRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let (Place { number, sequence, position, time, commit }, [kind, tenant, id]) = (&self.place, &self.key);
        let columns: [Value<'_>; 22] = [
            position,
            number,
            sequence,
            &self.slice,
            kind,
            tenant,
            id,
            &self.name,
            &self.version,
            time,
            commit,
            &0_i32,
            &self.command,
            &self.command_name,
            &self.correlation,
            &NO_TEXT,
            &NO_TEXT,
            &NO_TEXT,
            &self.content,
            &self.flags,
            &NO_TEXTS,
            &self.payload,
        ];
        columns
    }
}

/// A row of the table `command`.
pub(super) struct CommandRow<'a> {
    place: Place,
    command: &'a [u8],
    name: &'a str,
    fingerprint: Option<&'a [u8]>,
    reply: &'a [u8],
}

impl<'a> CommandRow<'a> {
    pub(super) fn of(record: &'a CommandRecord, place: Place) -> Self {
        Self {
            place,
            command: &record.id.0,
            name: &record.name,
            fingerprint: record.fingerprint.as_ref().map(|fingerprint| &fingerprint.0[..]),
            reply: &record.reply,
        }
    }
}

impl Record for CommandRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let Place { number, sequence, position, time, commit } = &self.place;
        let columns: [Value<'_>; 14] = [
            number,
            &self.command,
            &self.name,
            &self.fingerprint,
            &self.reply,
            sequence,
            &1_i32,
            commit,
            position,
            time,
            &NO_TEXT,
            &NO_TEXT,
            &NO_TEXT,
            &NO_TEXT,
        ];
        columns
    }
}

/// A row of the table `entity`.
pub(super) struct EntityRow<'a> {
    pub(super) key: &'a EntityKey,
    texts: [&'a str; 3],
    place: Place,
}

impl<'a> EntityRow<'a> {
    pub(super) fn of(entity: &'a EntityKey, place: Place) -> Self {
        Self { key: entity, texts: key(entity), place }
    }
}

impl Record for EntityRow<'_> {
    fn columns(&self) -> impl IntoIterator<Item = Value<'_>> {
        let (Place { number, sequence, position, time, .. }, [kind, tenant, id]) = (&self.place, &self.texts);
        let columns: [Value<'_>; 8] = [number, kind, tenant, id, sequence, time, position, &false];
        columns
    }
}

/// The head row.
#[derive(Clone, Copy)]
pub(super) struct HeadRow {
    pub(super) position: i64,
    pub(super) entities: i64,
    pub(super) latest: i64,
    pub(super) marked: i64,
}

impl HeadRow {
    pub(super) fn of(row: &Row) -> Self {
        Self { position: row.get(0), entities: row.get(1), latest: row.get(2), marked: row.get(3) }
    }

    pub(super) fn values(&self) -> [Value<'_>; 4] {
        [&self.position, &self.entities, &self.latest, &self.marked]
    }

    pub(super) fn mark_values(&self) -> [Value<'_>; 2] {
        [&self.position, &self.latest]
    }
}
