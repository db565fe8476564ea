//! What a batch writes: events, tags, commands, entities, a mark of time and the head, then `COMMIT`. One round trip.
//!
//! Rows go as one array a column, which costs a statement a table, however many rows there are.

use std::future::Future;

use tokio_postgres::{Client, Error, Statement};

use super::batch::Decided;
use super::columns::{Commands, Entities, Events, Fresh, HeadValues, Tags};

const EVENTS: &str = "INSERT INTO event (position, entity, sequence, slice, kind, tenant, id, name, version, time, commit, index, command,
        command_name, correlation_id, causation_id, traceparent, principal, content, flags, tags, payload)
    SELECT position, entity, sequence, slice, kind, tenant, id, name, version, time, commit, index, command, command_name, correlation_id,
        causation_id, traceparent, principal, content, flags, string_to_array(tags, E'\\n'), payload
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[],
        $10::bigint[], $11::uuid[], $12::int[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[],
        $19::smallint[], $20::int[], $21::text[], $22::bytea[])
        AS new (position, entity, sequence, slice, kind, tenant, id, name, version, time, commit, index, command, command_name,
            correlation_id, causation_id, traceparent, principal, content, flags, tags, payload)";

const TAGS: &str = "INSERT INTO tag (tag, position) SELECT * FROM unnest($1::text[], $2::bigint[])";

const COMMANDS: &str = "INSERT INTO command (entity, command, name, fingerprint, reply, sequence, events, commit, position, time,
        correlation_id, causation_id, traceparent, principal)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[], $7::int[], $8::uuid[], $9::bigint[],
        $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[])";

const FRESH: &str = "INSERT INTO entity (number, kind, tenant, id, sequence, time, position, deleted)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[])";

const MOVED: &str = "UPDATE entity SET sequence = new.sequence, time = new.time, position = new.position, deleted = new.deleted
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[]) AS new (number, sequence, time, position, deleted)
    WHERE entity.number = new.number";

const MARK: &str = "INSERT INTO mark (position, latest) VALUES ($1, $2)";

const HEAD: &str = "UPDATE head SET position = $1, entities = $2, latest = $3, marked = $4";

/// The prepared writes of one connection.
pub(crate) struct Inserts {
    events: Statement,
    tags: Statement,
    commands: Statement,
    fresh: Statement,
    moved: Statement,
    mark: Statement,
    head: Statement,
}

impl Inserts {
    /// # Errors
    /// When the server does not take one.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        let (events, tags, commands, fresh, moved, mark, head) = tokio::try_join!(
            client.prepare(EVENTS),
            client.prepare(TAGS),
            client.prepare(COMMANDS),
            client.prepare(FRESH),
            client.prepare(MOVED),
            client.prepare(MARK),
            client.prepare(HEAD),
        )?;
        Ok(Self { events, tags, commands, fresh, moved, mark, head })
    }

    /// Writes what was decided, and commits. All is sent at once; `COMMIT` behind a statement that failed rolls back, and the failure is told.
    ///
    /// # Errors
    /// What the server or the way to it says.
    pub(crate) async fn write(&self, client: &Client, decided: &Decided<'_>) -> Result<(), Error> {
        let (events, tags, commands) = (Events::of(decided), Tags::of(decided), Commands::of(decided));
        let (fresh, moved) = (Fresh::of(decided), Entities::of(&decided.moved));
        let head = HeadValues::of(&decided.head);
        let (event_values, tag_values, command_values) = (events.values(), tags.values(), commands.values());
        let (fresh_values, moved_values, mark_values, head_values) = (fresh.values(), moved.values(), head.of_mark(), head.of_head());
        tokio::try_join!(
            client.execute(&self.events, &event_values),
            unless(tags.are_none(), client.execute(&self.tags, &tag_values)),
            client.execute(&self.commands, &command_values),
            unless(decided.fresh.is_empty(), client.execute(&self.fresh, &fresh_values)),
            unless(decided.moved.is_empty(), client.execute(&self.moved, &moved_values)),
            unless(!decided.marks, client.execute(&self.mark, &mark_values)),
            client.execute(&self.head, &head_values),
            client.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

async fn unless(nothing: bool, write: impl Future<Output = Result<u64, Error>>) -> Result<u64, Error> {
    if nothing { Ok(0) } else { write.await }
}
