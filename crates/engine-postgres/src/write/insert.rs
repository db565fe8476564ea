//! What a batch writes: events, tags, commands, entities, a mark of time and the head, then `COMMIT`. One round trip.
//!
//! The rows of a table go as one array of rows (`records`): a statement a table, however many there are.

use std::future::Future;

use tokio_postgres::{Client, Error, Statement};

use super::batch::Decided;
use super::columns::{CommandRow, EntityRow, EventRow, HeadValues, TagRow};
use super::records::{Record, Records};

const EVENTS: &str = "INSERT INTO event SELECT * FROM unnest($1::event[])";

const TAGS: &str = "INSERT INTO tag SELECT * FROM unnest($1::tag[])";

const COMMANDS: &str = "INSERT INTO command SELECT * FROM unnest($1::command[])";

const FRESH: &str = "INSERT INTO entity SELECT * FROM unnest($1::entity[])";

const MOVED: &str = "UPDATE entity SET sequence = new.sequence, time = new.time, position = new.position, deleted = new.deleted
    FROM unnest($1::entity[]) AS new WHERE entity.number = new.number";

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
        let events: Records<_> = decided.events.iter().map(EventRow::of).collect();
        let tags: Records<_> = decided.events.iter().flat_map(TagRow::of).collect();
        let commands: Records<_> = decided.commands.iter().map(CommandRow::of).collect();
        let fresh: Records<_> = decided.fresh.iter().map(EntityRow::of).collect();
        let moved: Records<_> = decided.moved.iter().map(EntityRow::of).collect();
        let head = HeadValues::of(&decided.head);
        let (mark_values, head_values) = (head.of_mark(), head.of_head());
        // In this order: the statement that failed is heard, and not those behind it, which only hear of a transaction that has.
        tokio::try_join!(
            biased;
            insert(client, &self.events, &events),
            insert(client, &self.tags, &tags),
            insert(client, &self.commands, &commands),
            insert(client, &self.fresh, &fresh),
            insert(client, &self.moved, &moved),
            unless(!decided.marks, client.execute(&self.mark, &mark_values)),
            client.execute(&self.head, &head_values),
            client.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

async fn insert<R: Record + Sync>(client: &Client, statement: &Statement, rows: &Records<R>) -> Result<u64, Error> {
    if rows.are_none() { Ok(0) } else { client.execute(statement, &[rows]).await }
}

async fn unless(nothing: bool, write: impl Future<Output = Result<u64, Error>>) -> Result<u64, Error> {
    if nothing { Ok(0) } else { write.await }
}
