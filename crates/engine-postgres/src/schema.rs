//! The schema of a service: made and brought up to date by numbered migrations, under a lock, and refused when a newer version made it.
//!
//! A migration never changes. The table `migration` says which have run.

use journal::seams::Random;
use journal::{Lineage, LineageId, ParentLineage};
use tokio_postgres::Client;

use crate::error::OpenError;

/// In their order; number 1 is the first.
const MIGRATIONS: &[(&str, &str)] =
    &[("journal", include_str!("migrations/0001-journal.sql")), ("gone", include_str!("migrations/0002-gone.sql"))];

/// The version of the schema that this code knows.
pub(crate) const VERSION: i32 = MIGRATIONS.len() as i32;

/// What a schema holds.
pub(crate) struct Opened {
    pub(crate) lineage: Lineage,
    /// There are commands of which only a hash is known.
    pub(crate) has_gone: bool,
}

/// Brings the schema up to date, and gives the history that it holds; a new one gets a new history.
///
/// # Errors
/// When the schema is newer, holds half of a history, or the server says no.
pub(crate) async fn open(client: &Client, schema: &str, random: &dyn Random) -> Result<Opened, OpenError> {
    client.batch_execute("BEGIN").await?;
    if !migrate(client, schema).await? {
        begin_history(client, random).await?;
    }
    let lineage = find(client, schema).await?;
    let has_gone = client.query_one("SELECT EXISTS (SELECT FROM gone_command)", &[]).await?.get(0);
    client.batch_execute("COMMIT").await?;
    Ok(Opened { lineage, has_gone })
}

/// Brings the schema up to date, in the caller's transaction; whether it was there.
///
/// # Errors
/// When the schema is newer, or the server says no.
pub(crate) async fn migrate(client: &Client, schema: &str) -> Result<bool, OpenError> {
    // Of nodes that start together one migrates, and the others find it done.
    client.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&schema]).await?;
    let version = version(client, schema).await?;
    if version > VERSION {
        return Err(OpenError::SchemaNewer { found: version, known: VERSION });
    }
    for (number, (name, sql)) in (1..).zip(MIGRATIONS).skip(version as usize) {
        client.batch_execute(sql).await?;
        client.execute("INSERT INTO migration (number, name) VALUES ($1, $2)", &[&number, name]).await?;
    }
    Ok(version > 0)
}

/// The whole history that a schema holds.
///
/// # Errors
/// When it is half of one, or the server says no.
pub(crate) async fn find(client: &Client, schema: &str) -> Result<Lineage, OpenError> {
    match is_filling(client, schema).await? {
        true => Err(OpenError::Unfinished { schema: schema.to_owned() }),
        false => lineage(client).await,
    }
}

/// Whether the schema has a journal.
///
/// # Errors
/// When the server says no.
pub(crate) async fn is_there(client: &Client, schema: &str) -> Result<bool, OpenError> {
    has_table(client, schema, "journal").await
}

/// Whether the history is still being brought in.
///
/// # Errors
/// When the server says no.
pub(crate) async fn is_filling(client: &Client, schema: &str) -> Result<bool, OpenError> {
    has_table(client, schema, "filling").await
}

async fn has_table(client: &Client, schema: &str, table: &str) -> Result<bool, OpenError> {
    Ok(client.query_one("SELECT to_regclass($1 || '.' || $2) IS NOT NULL", &[&schema, &table]).await?.get(0))
}

/// Which migration was the last; 0 for a schema that is made here.
async fn version(client: &Client, schema: &str) -> Result<i32, OpenError> {
    if !has_table(client, schema, "migration").await? {
        let make = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
            CREATE TABLE migration (number integer PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
        );
        client.batch_execute(&make).await?;
    }
    Ok(client.query_one("SELECT coalesce(max(number), 0) FROM migration", &[]).await?.get(0))
}

async fn begin_history(client: &Client, random: &dyn Random) -> Result<(), OpenError> {
    let (mut lineage, mut family_key) = ([0; 16], [0; 32]);
    random.fill(&mut lineage);
    random.fill(&mut family_key);
    client.execute("INSERT INTO journal (lineage, family_key) VALUES ($1, $2)", &[&&lineage[..], &&family_key[..]]).await?;
    Ok(())
}

/// The history that a schema holds, whole or not.
///
/// # Errors
/// When the server says no.
pub(crate) async fn lineage(client: &Client) -> Result<Lineage, OpenError> {
    let own = client.query_one("SELECT lineage, family_key FROM journal", &[]).await?;
    let parents = client.query("SELECT lineage, fork FROM parent ORDER BY nearness", &[]).await?;
    let parent = |row: &tokio_postgres::Row| Ok(ParentLineage { id: LineageId(bytes(row.get(0))?), fork: row.get::<_, i64>(1) as u64 });
    Ok(Lineage {
        id: LineageId(bytes(own.get(0))?),
        family_key: bytes(own.get(1))?,
        parents: parents.iter().map(parent).collect::<Result<_, OpenError>>()?,
    })
}

fn bytes<const N: usize>(stored: &[u8]) -> Result<[u8; N], OpenError> {
    stored.try_into().map_err(|_| OpenError::Damaged { place: format!("the history's identity has {} bytes and not {N}", stored.len()) })
}
