//! A history that is brought into a schema of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::embedded::{Part, StoredCommand};
use journal::seams::Random;
use journal::{EntityKey, Lineage, LineageId, ParentLineage, Position, Timestamp};
use tokio_postgres::{Client, Error, Statement};

use super::parts::{PartsError, Questions};
use super::placed::{GoneColumns, Placed, entities, place};
use crate::address::Address;
use crate::claim::Claim;
use crate::error::{OpenError, told};
use crate::journal_engine::has_zero;
use crate::limits;
use crate::rows::{signed, unsigned};
use crate::schema;
use crate::server::Server;
use crate::write::{HeadRow, Inserts};

/// There only while a schema holds half of a history: which one it grows out of, how far that goes, and how many of its events were gone.
const FILLING: &str = "CREATE TABLE filling (one boolean PRIMARY KEY DEFAULT true CHECK (one), parent bytea NOT NULL, fork bigint NOT NULL,
    gone bigint NOT NULL)";

const LOCK: &str = "SELECT position, entities, latest, marked, floor FROM head FOR UPDATE";

const NUMBERS: &str =
    "SELECT k.place, e.number FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (kind, tenant, id, place)
    JOIN entity e ON e.kind = k.kind AND e.tenant = k.tenant AND e.id = k.id";

const GONE: &str = "INSERT INTO gone (first, last, leaves) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";

const GONE_COMMANDS: &str = "INSERT INTO gone_command (hash, name, sequence, events, position, time)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[])";

const REGISTERS: &str = "INSERT INTO register (name, revision, value)
    SELECT name, nextval('revision'), value FROM unnest($1::text[], $2::bytea[]) AS new (name, value)";

/// Why a history does not come in, or out.
#[derive(Debug)]
pub enum FillError {
    /// The schema cannot be opened.
    Open(OpenError),
    /// There is no journal to read.
    Absent {
        /// The schema.
        schema: String,
    },
    /// There is a journal already.
    Taken {
        /// The schema.
        schema: String,
    },
    /// Half of another history is there, or the source is not what it was.
    Other {
        /// The schema.
        schema: String,
        /// What differs.
        what: &'static str,
    },
    /// A command has what PostgreSQL cannot keep.
    Unstorable {
        /// The position of its commit's first event.
        position: Position,
    },
    /// The tables do not hold what a commit wrote.
    Damaged {
        /// What does not fit.
        place: String,
    },
}

impl fmt::Display for FillError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(formatter),
            Self::Absent { schema } => write!(formatter, "the schema {schema} has no journal; name the service with ?service=NAME"),
            Self::Taken { schema } => {
                write!(formatter, "the schema {schema} has a journal; name another one with ?service=NAME, or drop it")
            }
            Self::Other { schema, what } => {
                write!(formatter, "the schema {schema} holds a part of a migration that does not fit: {what}; drop it to begin anew")
            }
            Self::Unstorable { position } => {
                write!(formatter, "the commit at position {position} has U+0000 in a name or a context, which PostgreSQL cannot keep")
            }
            Self::Damaged { place } => write!(formatter, "{place}"),
        }
    }
}

impl std::error::Error for FillError {}

impl From<OpenError> for FillError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Error> for FillError {
    fn from(error: Error) -> Self {
        Self::Open(OpenError::Unreachable { cause: told(&error) })
    }
}

impl From<PartsError> for FillError {
    fn from(error: PartsError) -> Self {
        match error {
            PartsError::Away(cause) => Self::Open(OpenError::Unreachable { cause }),
            PartsError::Damaged(place) => Self::Damaged { place },
        }
    }
}

/// What a history grows out of.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The history.
    pub parent: &'a Lineage,
    /// Its last position.
    pub fork: Position,
    /// How many of its events are gone.
    pub gone: u64,
}

/// See the module above.
pub struct Filling {
    client: Client,
    inserts: Inserts,
    statements: Statements,
    questions: Questions,
    lineage: Lineage,
    reached: Position,
    _claim: Claim,
}

struct Statements {
    lock: Statement,
    numbers: Statement,
    gone: Statement,
    gone_commands: Statement,
}

impl Filling {
    /// Begins in a schema that is not there yet, or goes on where an earlier run with the same source has ended.
    ///
    /// # Errors
    /// See [`FillError`].
    pub async fn begin(address: Address, random: &dyn Random, origin: Origin<'_>) -> Result<Self, FillError> {
        let server = Arc::new(Server::new(address)?);
        let claim = Claim::take(&server, Duration::ZERO).await?;
        let client = server.connect().await?;
        client.batch_execute("BEGIN").await?;
        let was_there = schema::migrate(&client, server.schema()).await?;
        if was_there {
            go_on(&client, server.schema(), origin).await?;
        } else {
            begin(&client, random, origin).await?;
        }
        let lineage = schema::lineage(&client).await?;
        client.batch_execute("COMMIT").await?;
        let reached = unsigned(client.query_one("SELECT position FROM head", &[]).await?.get(0));
        let (inserts, questions) = tokio::try_join!(Inserts::prepare(&client), Questions::prepare(&client))?;
        let statements = Statements::prepare(&client).await?;
        Ok(Self { client, inserts, statements, questions, lineage, reached, _claim: claim })
    }

    /// The new history.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The last position that is there.
    #[must_use]
    pub fn reached(&self) -> Position {
        self.reached
    }

    /// Takes the parts that come next, in one transaction.
    ///
    /// # Errors
    /// When they do not come next or cannot be kept, or the server says no; nothing of them is there then.
    pub async fn put(&mut self, parts: &[Part]) -> Result<(), FillError> {
        let Some(first) = parts.first().map(Part::first_position) else { return Ok(()) };
        if first != self.reached + 1 {
            return Err(FillError::Damaged { place: format!("position {} comes next, and not {first}", self.reached + 1) });
        }
        parts.iter().try_for_each(storable)?;
        self.client.batch_execute("BEGIN").await?;
        let (head, floor) = self.lock().await?;
        let numbers = self.numbers(&entities(parts)).await?;
        let placed = place(parts, numbers, head, floor);
        self.write_gone(&placed).await?;
        self.inserts.write(&self.client, &placed.rows).await?;
        self.reached = placed.rows.head.position;
        Ok(())
    }

    async fn lock(&self) -> Result<(HeadRow, Position), FillError> {
        let row = self.client.query_one(&self.statements.lock, &[]).await?;
        let head = HeadRow {
            position: unsigned(row.get(0)),
            entities: unsigned(row.get(1)),
            latest: Timestamp::from_micros(row.get(2)),
            marked: unsigned(row.get(3)),
        };
        match head.position == self.reached {
            true => Ok((head, unsigned(row.get(4)))),
            false => Err(FillError::Damaged { place: "somebody else has written to the tables".into() }),
        }
    }

    /// Of those that have one.
    async fn numbers(&self, keys: &[&EntityKey]) -> Result<HashMap<EntityKey, u64>, FillError> {
        let kinds: Vec<&str> = keys.iter().map(|key| key.kind()).collect();
        let tenants: Vec<&str> = keys.iter().map(|key| key.tenant()).collect();
        let ids: Vec<&str> = keys.iter().map(|key| key.id()).collect();
        let rows = self.client.query(&self.statements.numbers, &[&kinds, &tenants, &ids]).await?;
        let asked = |row: &tokio_postgres::Row| keys.get((unsigned(row.get(0)) as usize).wrapping_sub(1)).copied();
        Ok(rows.iter().filter_map(|row| Some((asked(row)?.clone(), unsigned(row.get(1))))).collect())
    }

    async fn write_gone(&self, placed: &Placed<'_>) -> Result<(), FillError> {
        if placed.gone.is_empty() {
            return Ok(());
        }
        let columns = GoneColumns::of(&placed.gone);
        self.client.execute(&self.statements.gone, &[&columns.first, &columns.last, &columns.leaves]).await?;
        let commands: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&columns.hash, &columns.name, &columns.sequence, &columns.events, &columns.position, &columns.time];
        self.client.execute(&self.statements.gone_commands, &commands).await?;
        self.client.execute("UPDATE head SET floor = $1", &[&signed(placed.floor)]).await?;
        Ok(())
    }

    /// The parts behind a place as the tables hold them; none behind the last that was put.
    ///
    /// # Errors
    /// When a position has neither event nor remains, a row is not whole, or the server is away.
    pub async fn parts(&self, after: Position) -> Result<Vec<Part>, FillError> {
        Ok(self.questions.next(&self.client, after, self.reached).await?)
    }

    /// Brings the registers along, and lets services open the history.
    ///
    /// # Errors
    /// When the server says no; the next run may do it again.
    pub async fn finish(self, registers: &[(String, Bytes)]) -> Result<LineageId, FillError> {
        self.client.batch_execute("BEGIN").await?;
        for some in registers.chunks(limits::MOVED_REGISTERS_AT_ONCE) {
            let (names, values): (Vec<&str>, Vec<&[u8]>) = some.iter().map(|(name, value)| (&**name, &**value)).unzip();
            self.client.execute(REGISTERS, &[&names, &values]).await?;
        }
        self.client.batch_execute("DROP TABLE filling; COMMIT").await?;
        Ok(self.lineage.id)
    }
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Error> {
        let (lock, numbers, gone, gone_commands) =
            tokio::try_join!(client.prepare(LOCK), client.prepare(NUMBERS), client.prepare(GONE), client.prepare(GONE_COMMANDS))?;
        Ok(Self { lock, numbers, gone, gone_commands })
    }
}

/// A history that grows out of another one: it knows that one and all before it.
async fn begin(client: &Client, random: &dyn Random, origin: Origin<'_>) -> Result<(), FillError> {
    let Origin { parent, fork, gone } = origin;
    let mut id = [0; 16];
    random.fill(&mut id);
    client.execute("INSERT INTO journal (lineage, family_key) VALUES ($1, $2)", &[&&id[..], &&parent.family_key[..]]).await?;
    client.batch_execute(FILLING).await?;
    client
        .execute("INSERT INTO filling (parent, fork, gone) VALUES ($1, $2, $3)", &[&&parent.id.0[..], &signed(fork), &signed(gone)])
        .await?;
    let older = parent.parents.iter().map(|older| ParentLineage { id: older.id, fork: older.fork.min(fork) });
    for (nearness, parent) in (1_i32..).zip(std::iter::once(ParentLineage { id: parent.id, fork }).chain(older)) {
        client
            .execute(
                "INSERT INTO parent (nearness, lineage, fork) VALUES ($1, $2, $3)",
                &[&nearness, &&parent.id.0[..], &signed(parent.fork)],
            )
            .await?;
    }
    Ok(())
}

/// The source may have grown since; nothing in it may have been let go of.
async fn go_on(client: &Client, schema: &str, origin: Origin<'_>) -> Result<(), FillError> {
    let Origin { parent, fork, gone } = origin;
    if !schema::is_filling(client, schema).await? {
        return Err(FillError::Taken { schema: schema.to_owned() });
    }
    let other = |what| FillError::Other { schema: schema.to_owned(), what };
    let row = client.query_one("SELECT parent, fork, gone FROM filling", &[]).await?;
    let (of, upto, were_gone): (&[u8], i64, i64) = (row.get(0), row.get(1), row.get(2));
    if *of != parent.id.0 {
        return Err(other("it is of another journal"));
    }
    if unsigned(upto) > fork || unsigned(were_gone) != gone {
        return Err(other("the source has lost events since, or has let go of some"));
    }
    client.execute("UPDATE filling SET fork = $1", &[&signed(fork)]).await?;
    client.execute("UPDATE parent SET fork = $1 WHERE lineage = $2", &[&signed(fork), &&parent.id.0[..]]).await?;
    Ok(())
}

fn storable(part: &Part) -> Result<(), FillError> {
    let Part::Commit(commit) = part else { return Ok(()) };
    let odd = |command: &StoredCommand| has_zero(&command.record);
    match commit.commands.iter().any(odd) {
        true => Err(FillError::Unstorable { position: commit.first_position }),
        false => Ok(()),
    }
}
