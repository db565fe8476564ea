//! The driver alone, as fast as the engine's way of writing can be: one connection, whatever waits goes into one transaction, which takes the lock on
//! the head row, looks, and writes the same rows of the same tables, in the same two round trips.
//!
//! The statements, the session and the schema are the engine's, and so is the way rows are sent. What is decided is what valid rows need: positions,
//! sequences, numbers of entities. Nothing is checked, nobody else is told of what was written, and a failure ends it.

mod rows;
mod statements;

// How the engine sends rows.
#[path = "../../../../../crates/engine-postgres/src/write/records.rs"]
mod records;

/// As `records` knows it.
mod look {
    use tokio_postgres::types::ToSql;

    /// A parameter.
    pub(super) type Value<'a> = &'a (dyn ToSql + Sync);
}

use std::collections::HashMap;

use bytes::Bytes;
use journal::seams::{Clock as _, SystemClock};
use journal::{CommandRecord, CommitId, EntityKey};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client as Driver, Row, Statement};

use self::look::Value;
use self::records::Records;
use self::rows::{CommandRow, EntityRow, EventRow, HeadRow, Written};
use self::statements::Statements;
use super::{Turn, engine};
use crate::load::{Acknowledged, Client, Command, load};
use crate::{Outcome, cart};

/// As many commands of one transaction at most as the engine takes, a half of them while it waits for the lock.
const BATCH_HALF: usize = 512;
/// So many positions lie between two marks of time, at least.
const MARK_POSITIONS: i64 = 1_024;

pub(super) async fn run(turn: &Turn<'_>, schema: &str) -> Outcome<Acknowledged> {
    // The engine makes its tables, and goes.
    engine::open(turn).await?.close().await;
    let (inbox, waiting) = mpsc::unbounded_channel();
    let driver = turn.server.connect().await?;
    driver.batch_execute(&statements::session(schema)).await?;
    let writer = Writer { statements: Statements::prepare(&driver).await?, driver, commits: 0 };
    let writing = tokio::spawn(writer.run(waiting));
    let payload = Bytes::from(cart::body());
    let clients = (0..turn.clients).map(|_| Sending { inbox: inbox.clone(), payload: payload.clone() }).collect();
    drop(inbox);
    let acknowledged = load(clients, turn.load).await;
    writing.await.map_err(|_| "the writer panicked; its message stands above")??;
    acknowledged
}

struct Sending {
    inbox: mpsc::UnboundedSender<Waiting>,
    payload: Bytes,
}

/// A command that waits for the writer.
struct Waiting {
    record: CommandRecord,
    written: oneshot::Sender<()>,
}

impl Client for Sending {
    async fn send(&mut self, command: Command) -> Outcome<()> {
        let (written, told) = oneshot::channel();
        let gone = "the writer has ended";
        self.inbox.send(Waiting { record: engine::record(&command, &self.payload)?, written }).map_err(|_| gone)?;
        Ok(told.await.map_err(|_| gone)?)
    }
}

struct Writer {
    driver: Driver,
    statements: Statements,
    commits: u64,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Waiting>) -> Outcome<()> {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH_HALF).await > 0 {
            self.write(&mut batch, &mut waiting).await?;
            for Waiting { written, .. } in batch.drain(..) {
                // A client that has gone is not told.
                let _ = written.send(());
            }
            // As the engine does it: whoever was told goes on first.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn write(&mut self, batch: &mut Vec<Waiting>, waiting: &mut mpsc::UnboundedReceiver<Waiting>) -> Outcome<()> {
        let (_, head, mut known) = tokio::try_join!(
            async { Ok(self.driver.batch_execute("BEGIN").await?) },
            async { Ok(self.driver.query_one(&self.statements.lock, &[]).await?) },
            self.look(batch),
        )?;
        let place = batch.len();
        if waiting.len() >= place && waiting.recv_many(batch, BATCH_HALF).await > 0 {
            known.extend(self.look(&batch[place..]).await?);
        }
        let written = self.decide(batch, HeadRow::of(&head), known);
        self.insert(written).await
    }

    /// The entities that have a number, with their sequences.
    async fn look(&self, batch: &[Waiting]) -> Outcome<HashMap<EntityKey, Known>> {
        let keys = || batch.iter().map(|waiting| &waiting.record.entity);
        let kinds: Vec<&str> = keys().map(EntityKey::kind).collect();
        let tenants: Vec<&str> = keys().map(EntityKey::tenant).collect();
        let ids: Vec<&str> = keys().map(EntityKey::id).collect();
        let commands: Vec<Option<&[u8]>> = batch.iter().map(|waiting| Some(&waiting.record.id.0[..])).collect();
        let values: [Value<'_>; 4] = [&kinds, &tenants, &ids, &commands];
        let found = self.driver.query(&self.statements.keys, &values).await?;
        Ok(found.iter().map(|row| (batch[place(row)].record.entity.clone(), Known::of(row))).collect())
    }

    fn decide<'a>(&mut self, batch: &'a [Waiting], mut head: HeadRow, mut known: HashMap<EntityKey, Known>) -> Written<'a> {
        let now = SystemClock.now();
        let mut written = Written { events: Vec::new(), commands: Vec::new(), fresh: Vec::new(), moved: Vec::new(), marks: false, head };
        let mut touched: HashMap<&EntityKey, EntityRow<'a>> = HashMap::new();
        for Waiting { record, .. } in batch {
            let entity = known.entry(record.entity.clone()).or_insert_with(|| {
                head.entities += 1;
                Known { number: head.entities, sequence: 0, is_fresh: true }
            });
            entity.sequence += 1;
            head.position += 1;
            self.commits += 1;
            let mut random = [0; 10];
            random[2..].copy_from_slice(&self.commits.to_be_bytes());
            let at = rows::Place {
                number: entity.number,
                sequence: entity.sequence,
                position: head.position,
                time: now.as_micros(),
                commit: rows::Uuid(CommitId::from_parts(now, random).0),
            };
            written.events.push(EventRow::of(record, at));
            written.commands.push(CommandRow::of(record, at));
            touched.insert(&record.entity, EntityRow::of(&record.entity, at));
        }
        (written.fresh, written.moved) = touched.into_values().partition(|row| known[row.key].is_fresh);
        head.latest = head.latest.max(now.as_micros());
        written.marks = head.position >= head.marked + MARK_POSITIONS;
        head.marked = if written.marks { head.position } else { head.marked };
        written.head = head;
        written
    }

    async fn insert(&self, written: Written<'_>) -> Outcome<()> {
        let Written { events, commands, fresh, moved, marks, head } = written;
        let (head_values, mark_values) = (head.values(), head.mark_values());
        let statements = &self.statements;
        tokio::try_join!(
            self.rows(&statements.events, events.into_iter().collect()),
            self.rows(&statements.commands, commands.into_iter().collect()),
            self.rows(&statements.fresh, fresh.into_iter().collect()),
            self.rows(&statements.moved, moved.into_iter().collect()),
            async { if marks { self.driver.execute(&statements.mark, &mark_values).await } else { Ok(0) } },
            self.driver.execute(&statements.head, &head_values),
            self.driver.batch_execute("COMMIT"),
        )?;
        Ok(())
    }

    async fn rows<R: records::Record + Sync>(&self, statement: &Statement, rows: Records<R>) -> Result<u64, tokio_postgres::Error> {
        if rows.are_none() { Ok(0) } else { self.driver.execute(statement, &[&rows]).await }
    }
}

/// Where in its batch the command is that a row answers.
fn place(row: &Row) -> usize {
    row.get::<_, i64>(0) as usize - 1
}

/// An entity that has a number.
struct Known {
    number: i64,
    sequence: i64,
    is_fresh: bool,
}

impl Known {
    fn of(row: &Row) -> Self {
        Self { number: row.get(1), sequence: row.get(2), is_fresh: false }
    }
}
