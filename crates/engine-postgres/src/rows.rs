//! Between rows and the contract's words. Numbers that are unsigned there are signed here: no position reaches half of their range.

use std::error::Error;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use journal::{
    CommandId, CommitId, ContentType, Context, EntityKey, EventFlags, EventId, Fingerprint, FoundCommand, Head, Lineage, ReadError,
    Recorded, Tag, Timestamp,
};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A position, a sequence or a cursor's number as the tables have it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of a table, none of which is below zero.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A commit's id, which is a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(UUID);
}

/// The columns of an event, in the order of [`recorded`].
macro_rules! event_columns {
    () => {
        "position, commit, index, kind, tenant, id, sequence, time, command, command_name, correlation_id, causation_id, traceparent,
        principal, name, version, content, flags, tags, payload"
    };
}
pub(crate) use event_columns;

/// An event of a row with these columns.
///
/// # Errors
/// When the row holds what no commit wrote.
pub(crate) fn recorded(row: &Row) -> Result<Recorded, ReadError> {
    let position = unsigned(get(row, 0)?);
    let odd = |what: &str| ReadError::Damaged { place: format!("table event: position {position}: {what} is not one"), resume: None };
    let commit: Uuid = get(row, 1)?;
    let (kind, tenant, id): (&str, &str, &str) = (get(row, 3)?, get(row, 4)?, get(row, 5)?);
    let tags: Option<Vec<&str>> = get(row, 18)?;
    let tags = tags.unwrap_or_default().into_iter().map(Tag::new).collect::<Result<_, _>>();
    Ok(Recorded {
        position,
        id: EventId { commit: CommitId(commit.0), index: u16::try_from(get::<i32>(row, 2)?).map_err(|_| odd("the index"))? },
        entity: EntityKey::with_tenant(tenant, kind, id).map_err(|_| odd("the entity's key"))?,
        sequence: unsigned(get(row, 6)?),
        time: Timestamp::from_micros(get(row, 7)?),
        command: CommandId(get::<&[u8]>(row, 8)?.try_into().map_err(|_| odd("the command's id"))?),
        command_name: get::<&str>(row, 9)?.into(),
        context: Arc::new(Context {
            correlation_id: text(row, 10)?,
            causation_id: text(row, 11)?,
            traceparent: text(row, 12)?,
            principal: text(row, 13)?,
        }),
        name: get::<&str>(row, 14)?.into(),
        version: u16::try_from(get::<i32>(row, 15)?).map_err(|_| odd("the version"))?,
        content: ContentType::from_code(u8::try_from(get::<i16>(row, 16)?).map_err(|_| odd("the content type"))?),
        flags: EventFlags(u16::try_from(get::<i32>(row, 17)?).map_err(|_| odd("the flags"))?),
        tags: tags.map_err(|_| odd("a tag"))?,
        payload: Bytes::copy_from_slice(get(row, 19)?),
    })
}

/// The columns of a command's record, in the order of [`found_command`].
macro_rules! command_columns {
    () => {
        "c.name, c.fingerprint, c.reply, c.sequence, c.events, c.position, c.time, c.commit"
    };
}
pub(crate) use command_columns;

/// The record of a command and its commit's id, from the column `first` on.
///
/// # Errors
/// When the row holds what no commit wrote.
pub(crate) fn found_command(row: &Row, first: usize, lineage: &Lineage) -> Result<(FoundCommand, CommitId), ReadError> {
    let fingerprint: Option<&[u8]> = get(row, first + 1)?;
    let odd = |_| ReadError::Damaged { place: "table command: a fingerprint is not one".into(), resume: None };
    let commit: Uuid = get(row, first + 7)?;
    let found = FoundCommand {
        name: get::<&str>(row, first)?.into(),
        fingerprint: fingerprint.map(TryInto::try_into).transpose().map_err(odd)?.map(Fingerprint),
        reply: get::<Option<&[u8]>>(row, first + 2)?.map(Bytes::copy_from_slice),
        sequence: unsigned(get(row, first + 3)?),
        event_count: get::<i32>(row, first + 4)?.unsigned_abs(),
        cursor: lineage.cursor(unsigned(get(row, first + 5)?)),
        time: Timestamp::from_micros(get(row, first + 6)?),
    };
    Ok((found, CommitId(commit.0)))
}

/// A command of which only a hash and what it came to is known, from `name, sequence, events, position, time` on: its reply is gone.
///
/// # Errors
/// When the row holds what no history had.
pub(crate) fn gone_command(row: &Row, first: usize, lineage: &Lineage) -> Result<FoundCommand, ReadError> {
    Ok(FoundCommand {
        name: get::<&str>(row, first)?.into(),
        fingerprint: None,
        reply: None,
        sequence: unsigned(get(row, first + 1)?),
        event_count: get::<i32>(row, first + 2)?.unsigned_abs(),
        cursor: lineage.cursor(unsigned(get(row, first + 3)?)),
        time: Timestamp::from_micros(get(row, first + 4)?),
    })
}

/// The head of an entity from `sequence, time, position, deleted`; `None` while only commands without events have named it.
///
/// # Errors
/// When the columns are others.
pub(crate) fn head(row: &Row, first: usize) -> Result<Option<Head>, ReadError> {
    let head = Head {
        sequence: unsigned(get(row, first)?),
        time: Timestamp::from_micros(get(row, first + 1)?),
        position: unsigned(get(row, first + 2)?),
        deleted: get(row, first + 3)?,
    };
    Ok((head.sequence > 0).then_some(head))
}

/// A column; one of another type is damage, not our panic.
///
/// # Errors
/// When the column is not of the type.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, ReadError> {
    row.try_get(column)
        .map_err(|error| ReadError::Damaged { place: format!("a column of the schema is not as it was made: {error}"), resume: None })
}

/// A text that may be absent.
///
/// # Errors
/// When the column is not a text.
pub(crate) fn text(row: &Row, column: usize) -> Result<Option<Arc<str>>, ReadError> {
    Ok(get::<Option<&str>>(row, column)?.map(Arc::from))
}
